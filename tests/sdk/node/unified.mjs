// The official OpenAI and Anthropic SDKs for Node against the unified API: one base URL, one key, models of any provider.
// The last words of the user tell the local upstreams what to answer; bills are looked up at the end.
// Usage: node unified.mjs --base-url ROOT --key KEY --poor-key KEY --admin URL --admin-pass PASS --prices JSON --event-prefix P

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const text = { type: "string" };
const { values: args } = parseArgs({
  options: {
    "base-url": text, key: text, "poor-key": text, admin: text, "admin-pass": text, prices: text, "event-prefix": text,
    modules: { type: "string", default: process.cwd() },
    only: { type: "string", multiple: true, default: [] },
  },
});
const require = createRequire(pathToFileURL(path.join(path.resolve(args.modules), "here.js")));
const load = async (name) => (await import(pathToFileURL(require.resolve(name)))).default;
const OpenAI = await load("openai");
const Anthropic = await load("@anthropic-ai/sdk");

const common = { apiKey: args.key, maxRetries: 0, timeout: 30_000 };
const openai = new OpenAI({ baseURL: `${args["base-url"]}/v1`, ...common });
const anthropic = new Anthropic({ baseURL: args["base-url"], ...common });

const main = ["u-converse", "u-claude", "u-compat"];
const all = [...main, "u-ollama", "u-gemini"];
const picture = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC";
const schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const cities = [{ city: "São Paulo" }, { city: "Oslo" }];
const degrees = ["22 degrees", "-3 degrees"];
const hello = "Grüße, 世界 🌍";
const tokens = {
  text: [11, 7], picture: [300, 5], tools: [50, 20], results: [90, 9], thought: [30, 12], "kept thought": [60, 6],
  length: [13, 8], stop: [14, 4], schema: [70, 15],
};
const asks = (words) => ({ role: "user", content: `${words} please` });
const each = (models) => models.flatMap((model) => [false, true].map((stream) => [model, stream]));

// What each call must have cost: units of 1e-10 USD, as integers.
const due = new Map();
const prices = JSON.parse(args.prices);
const units = (price) => BigInt(Math.round(Number(price) * 10_000));
function billed(name, model) {
  const id = `${args["event-prefix"]}-${due.size}-${name.replace(" ", "-")}-${model}`;
  const [input, output] = tokens[name];
  due.set(id, [units(prices[model][0]) * BigInt(input) + units(prices[model][1]) * BigInt(output), input, output]);
  return { headers: { "x-custom-event-id": id } };
}

async function booked(id) {
  const limit = Date.now() + 5_000;
  const query = new URLSearchParams({ customId: id });
  for (;;) {
    const answer = await fetch(`${args.admin}/api/events?${query}`, { headers: { "x-api-key": args["admin-pass"] } });
    const events = await answer.json();
    if (events.length > 0) return events;
    if (Date.now() > limit) throw new Error(`no event ${id} within 5 s`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function items(stream) {
  const found = [];
  for await (const item of stream) found.push(item);
  return found;
}

// The SDK's own helper gathers a stream.
async function chat(name, model, stream, more = {}, tokensOf = name) {
  const body = { model, messages: [asks(name)], ...more };
  const options = billed(tokensOf, model);
  if (!stream) return openai.chat.completions.create(body, options);
  const helper = openai.chat.completions.stream({ ...body, stream_options: { include_usage: true } }, options);
  return helper.finalChatCompletion();
}

async function message(name, model, stream, more = {}, tokensOf = name) {
  const body = { model, max_tokens: 2048, messages: [asks(name)], ...more };
  const options = billed(tokensOf, model);
  const answer = stream
    ? await anthropic.messages.stream(body, options).finalMessage()
    : await anthropic.messages.create(body, options);
  assert.deepEqual([answer.usage.input_tokens, answer.usage.output_tokens], tokens[tokensOf]);
  return answer;
}
const said = (answer) => answer.content.filter((block) => block.type === "text").map((block) => block.text).join("");

const cases = {
  async chat_text() {
    for (const [model, stream] of each(all)) {
      const answer = await chat("text", model, stream);
      assert.equal(answer.choices[0].message.content, hello);
      assert.deepEqual([answer.usage.prompt_tokens, answer.usage.completion_tokens], tokens.text);
    }
  },
  async chat_picture() {
    const url = { type: "image_url", image_url: { url: `data:image/png;base64,${picture}` } };
    const messages = [{ role: "user", content: [{ type: "text", text: "picture please" }, url] }];
    for (const [model, stream] of each(main)) {
      assert.equal((await chat("picture", model, stream, { messages })).choices[0].message.content, "A red dot.");
    }
  },
  async chat_tools() {
    const tools = [{ type: "function", function: { name: "weather", parameters: schema } }];
    for (const [model, stream] of each(all)) {
      const { message, finish_reason } = (await chat("tools", model, stream, { tools })).choices[0];
      assert.deepEqual(message.tool_calls.map((call) => JSON.parse(call.function.arguments)), cities);
      assert.equal(finish_reason, "tool_calls");
      const results = message.tool_calls.map((call, at) => ({ role: "tool", tool_call_id: call.id, content: degrees[at] }));
      // The message goes back as the SDK made it.
      const messages = [asks("tools"), { ...message, parsed: undefined }, ...results];
      if (model === "u-compat") delete messages[1].refusal;
      const last = await chat("tools", model, stream, { tools, messages }, "results");
      assert.equal(last.choices[0].message.content, "Mild there, cold here.");
    }
  },
  async chat_ends() {
    for (const [model, stream] of each(main)) {
      const cut = await chat("length", model, stream, { max_tokens: 1100 });
      assert.equal(cut.choices[0].finish_reason, "length");
      const stopped = await chat("stop", model, stream, { stop: ["END"] });
      assert.deepEqual([stopped.choices[0].message.content, stopped.choices[0].finish_reason], ["Up to here ", "stop"]);
    }
  },
  async chat_schema() {
    const response_format = { type: "json_schema", json_schema: { name: "city", strict: true, schema } };
    for (const [model, stream] of each([...main, "u-nova"])) {
      const answer = await chat("schema", model, stream, { response_format });
      assert.deepEqual(JSON.parse(answer.choices[0].message.content), { city: "Oslo", degrees: -3 });
    }
  },
  async responses() {
    const tools = [{ type: "function", name: "weather", parameters: schema, strict: false }];
    const respond = async (name, model, stream, more = {}, tokensOf = name) => {
      const body = { model, input: [asks(name)], store: false, ...more };
      const options = billed(tokensOf, model);
      const answer = stream
        ? await openai.responses.stream(body, options).finalResponse()
        : await openai.responses.create(body, options);
      assert.deepEqual([answer.usage.input_tokens, answer.usage.output_tokens], tokens[tokensOf]);
      return answer;
    };
    for (const [model, stream] of each(main)) {
      assert.equal((await respond("text", model, stream)).output_text, hello);
      const thought = await respond("thought", model, stream, { reasoning: { effort: "low", summary: "auto" } });
      assert.equal(thought.output.find((item) => item.type === "reasoning").summary[0].text, "A thought.");
      const asked = await respond("tools", model, stream, { tools });
      const calls = asked.output.filter((item) => item.type === "function_call");
      assert.deepEqual(calls.map((call) => JSON.parse(call.arguments)), cities);
      const made = calls.map(({ call_id, name, arguments: given }) =>
        ({ type: "function_call", call_id, name, arguments: given }));
      const results = calls.map(({ call_id }, at) => ({ type: "function_call_output", call_id, output: degrees[at] }));
      const input = [asks("tools"), ...made, ...results];
      const last = await respond("tools", model, stream, { tools, input }, "results");
      assert.equal(last.output_text, "Mild there, cold here.");
    }
  },
  async completions() {
    for (const model of main) {
      const body = { model, prompt: "text please" };
      const answer = await openai.completions.create(body, billed("text", model));
      assert.equal(answer.choices[0].text, hello);
      const pieces = await items(await openai.completions.create({ ...body, stream: true }, billed("text", model)));
      assert.equal(pieces.map((piece) => piece.choices[0]?.text ?? "").join(""), hello);
    }
  },
  async models() {
    const names = (await items(await openai.models.list())).map((model) => model.id);
    assert(all.every((name) => names.includes(name)), `${names}`);
    assert.equal((await openai.models.retrieve("u-claude")).id, "u-claude");
    const answer = await openai.embeddings.create({ model: "u-embed", input: ["a"] });
    assert.equal(answer.data[0].embedding.length, 1536);
  },
  async message_text() {
    for (const [model, stream] of each(all)) {
      const answer = await message("text", model, stream, { system: "Be short." });
      assert.deepEqual([said(answer), answer.stop_reason], [hello, "end_turn"]);
    }
  },
  async message_picture() {
    const source = { type: "base64", media_type: "image/png", data: picture };
    const content = [{ type: "image", source }, { type: "text", text: "picture please" }];
    for (const [model, stream] of each(main)) {
      assert.equal(said(await message("picture", model, stream, { messages: [{ role: "user", content }] })), "A red dot.");
    }
  },
  async message_tools() {
    const tools = [{ name: "weather", input_schema: schema }];
    for (const [model, stream] of each(all)) {
      const asked = await message("tools", model, stream, { tools });
      const calls = asked.content.filter((block) => block.type === "tool_use");
      assert.deepEqual([calls.map((call) => call.input), asked.stop_reason], [cities, "tool_use"]);
      const results = calls.map((call, at) => ({ type: "tool_result", tool_use_id: call.id, content: degrees[at] }));
      const messages = [asks("tools"), { role: "assistant", content: asked.content }, { role: "user", content: results }];
      assert.equal(said(await message("tools", model, stream, { tools, messages }, "results")), "Mild there, cold here.");
    }
  },
  async message_thought() {
    const thinking = { type: "enabled", budget_tokens: 1024 };
    for (const [model, stream] of each(main)) {
      const answer = await message("thought", model, stream, { thinking });
      assert.equal(answer.content[0].thinking, "A thought.");
      if (model === "u-compat") continue;
      const messages = [asks("thought"), { role: "assistant", content: answer.content }, asks("kept thought")];
      assert.equal(said(await message("kept thought", model, stream, { thinking, messages })), "It still is.");
    }
  },
  async errors() {
    for (const [model, stream] of each(all)) {
      const chatting = (words) => openai.chat.completions.create({ model, messages: [asks(words)], stream });
      const writing = (words) => anthropic.messages.create({ model, max_tokens: 9, messages: [asks(words)], stream });
      await assert.rejects(chatting("refuse"), OpenAI.BadRequestError);
      await assert.rejects(chatting("busy"), OpenAI.RateLimitError);
      await assert.rejects(writing("refuse"), Anthropic.BadRequestError);
      await assert.rejects(writing("busy"), (error) => {
        assert(error instanceof Anthropic.RateLimitError);
        assert.deepEqual([error.error.error.type, error.headers.get("retry-after")], ["rate_limit_error", "7"]);
        return true;
      });
    }
    const poor = { apiKey: args["poor-key"], maxRetries: 0 };
    const body = { model: "u-claude", max_tokens: 9, messages: [asks("text")] };
    const broke = (kind) => (error) => error instanceof kind && error.status === 402;
    await assert.rejects(openai.withOptions(poor).chat.completions.create(body), broke(OpenAI.APIError));
    await assert.rejects(anthropic.withOptions(poor).messages.create(body), broke(Anthropic.APIError));
  },
  async bills() {
    for (const [id, [cost, input, output]] of due) {
      const events = await booked(id);
      const have = events.map((event) => [units(event.cost_in_usd * 1_000_000), event.prompt_token_count, event.completion_token_count]);
      assert.deepEqual(have, [[cost, input, output]], id);
    }
  },
};

let passed = 0;
let failed = 0;
for (const [name, run] of Object.entries(cases)) {
  if (args.only.length > 0 && !args.only.includes(name)) continue;
  const began = performance.now();
  const line = { case: name, ok: true };
  try {
    await run();
    passed += 1;
  } catch (error) {
    Object.assign(line, { ok: false, error: String(error?.stack ?? error) });
    failed += 1;
  }
  console.log(JSON.stringify({ ...line, ms: Math.round(performance.now() - began) }));
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(passed > 0 && failed === 0 ? 0 : 1);
