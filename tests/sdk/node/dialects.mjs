// The official OpenAI SDK for Node against Azure OpenAI, vLLM and DeepInfra behind a gateway.
// Each request tells the local upstream in `user` what to answer; the bill of some is looked up in the configuration API.
// Usage: node dialects.mjs --base-url ROOT_OF_PROVIDERS --key KEY --admin URL --event-prefix PREFIX [--modules DIR]

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const { values: args } = parseArgs({
  options: {
    "base-url": { type: "string" },
    key: { type: "string" },
    admin: { type: "string" },
    "event-prefix": { type: "string", default: "node" },
    modules: { type: "string", default: process.cwd() },
    only: { type: "string", multiple: true, default: [] },
  },
});
assert(args["base-url"] && args.key && args.admin, "--base-url, --key and --admin are needed");

const require = createRequire(pathToFileURL(path.join(path.resolve(args.modules), "here.js")));
const { default: OpenAI, AzureOpenAI } = await import(pathToFileURL(require.resolve("openai")));
const { VERSION: version } = require("openai/version");

const options = (name) => ({
  apiKey: args.key,
  maxRetries: 0,
  timeout: 30_000,
  defaultHeaders: name ? { "x-custom-event-id": `${args["event-prefix"]}-${name}` } : {},
});
const azure = (name, more = {}) =>
  new AzureOpenAI({ endpoint: `${args["base-url"]}/azure`, apiVersion: "2024-10-21", ...options(name), ...more });
const at = (where) => (name) => new OpenAI({ baseURL: `${args["base-url"]}${where}`, ...options(name) });
const azureV1 = at("/azure/openai/v1");
const vllm = at("/vllm/v1");
const deepinfra = at("/deepinfra/v1");

const messages = [{ role: "user", content: "hello" }];
const llama = "meta-llama/Meta-Llama-3.1-8B-Instruct";
const call = { name: "weather", arguments: '{"city": "São Paulo"}' };
const tools = [{ type: "function", function: { name: "weather", parameters: { type: "object" } } }];
const chat = (sdk, model, commands = {}, more = {}) =>
  sdk.chat.completions.create({ model, messages, user: JSON.stringify(commands), ...more });
const said = (chunks) => chunks.map((chunk) => chunk.choices[0]?.delta?.content ?? "").join("");

async function all(stream) {
  const items = [];
  for await (const item of stream) items.push(item);
  return items;
}

async function booked(name, usd, prompt, completion) {
  const limit = Date.now() + 5_000;
  for (;;) {
    const query = new URLSearchParams({ customId: `${args["event-prefix"]}-${name}` });
    const events = await (await fetch(`${args.admin}/api/events?${query}`)).json();
    if (events.length > 0) {
      const [event] = events;
      const have = [event.cost_in_usd, event.prompt_token_count, event.completion_token_count, event.flags];
      return assert.deepEqual(have, [usd, prompt, completion, []]);
    }
    if (Date.now() > limit) throw new Error(`no event ${name} within 5 s`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const cases = {
  async azure_chat() {
    const answer = await chat(azure("azure-chat"), "my-dep", { content: "Grüße 🌍", tokens: { input: 1000, output: 100 } });
    assert.equal(answer.choices[0].message.content, "Grüße 🌍");
    assert.equal(answer.model, "gpt-4o-2024-11-20");
    assert(answer.prompt_filter_results, "members that OpenAI does not have");
    await booked("azure-chat", 0.00385, 1000, 100);
  },
  async azure_chat_streamed() {
    const commands = { chunks: 30, tokens: { input: 1000, output: 100 } };
    const chunks = await all(await chat(azure("azure-stream"), "my-dep", commands, { stream: true }));
    assert.equal(said(chunks), Array.from({ length: 30 }, (_, number) => ` tok${number}`).join(""));
    assert.deepEqual([chunks[0].choices, chunks[0].model], [[], ""]);
    assert(chunks.every((chunk) => !("usage" in chunk)), "usage that nobody asked for");
    await booked("azure-stream", 0.00385, 1000, 100);
  },
  async azure_elder_version() {
    const sdk = azure(undefined, { apiVersion: "2024-06-01", deployment: "my-dep" });
    assert.equal(said(await all(await chat(sdk, "gpt-4o", { chunks: 3 }, { stream: true }))), " tok0 tok1 tok2");
  },
  async azure_tools() {
    const answer = await chat(azure(), "my-dep", { calls: [call, call] }, { tools });
    assert.deepEqual(answer.choices[0].message.tool_calls.map((one) => one.function.arguments), [call.arguments, call.arguments]);
  },
  async azure_embeddings() {
    const user = JSON.stringify({ tokens: { input: 8191 }, answers_as: "text-embedding-3-small" });
    const answer = await azure("azure-embeddings").embeddings.create({ model: "emb", input: ["a", "b"], user });
    assert.equal(answer.data[0].embedding.length, 1536);
    await booked("azure-embeddings", 0.000180202, 8191, 0);
  },
  async azure_version_1() {
    const events = await all(await azureV1("azure-v1").responses.create({ model: "my-dep", input: "hi", stream: true }));
    assert.equal(events.at(-1).type, "response.completed");
    await booked("azure-v1", 0.00016225, 19, 10);
  },
  async azure_errors() {
    await assert.rejects(chat(azure(), "no-such-deployment"), (error) => {
      assert(error instanceof OpenAI.NotFoundError);
      assert.equal(error.code, "DeploymentNotFound");
      return true;
    });
    await assert.rejects(chat(azure(), "my-dep", { status: 429 }), OpenAI.RateLimitError);
    await assert.rejects(chat(azure(undefined, { apiKey: "nobody" }), "my-dep"), OpenAI.AuthenticationError);
    const fault = { kind: "close", after: 5 };
    await assert.rejects(async () => all(await chat(azure(), "my-dep", { chunks: 9, fault }, { stream: true })));
  },
  async vllm_chat() {
    const tokens = { input: 30, output: 6 };
    const answer = await chat(vllm("vllm-chat"), "qwen3-32b", { content: "ok", tokens }, { top_k: 5 });
    assert.equal(answer.choices[0].message.content, "ok");
    await booked("vllm-chat", 0.000042, 30, 6);
    const chunks = await all(await chat(vllm("vllm-stream"), "qwen3-32b", { chunks: 4, tokens }, { stream: true }));
    assert.equal(said(chunks), " tok0 tok1 tok2 tok3");
    assert(chunks.every((chunk) => chunk.choices.length === 1 && !("usage" in chunk)));
    await booked("vllm-stream", 0.000042, 30, 6);
    const more = { stream: true, stream_options: { include_usage: true } };
    const asked = await all(await chat(vllm(), "qwen3-32b", { chunks: 4 }, more));
    assert.equal(asked.filter((chunk) => chunk.usage).length, 1);
  },
  async vllm_tools_and_errors() {
    const answer = await chat(vllm(), "qwen3-32b", { calls: [call] }, { tools });
    assert.equal(answer.choices[0].message.tool_calls[0].function.arguments, call.arguments);
    await assert.rejects(chat(vllm(), "no-such"), OpenAI.NotFoundError);
  },
  async deepinfra_chat() {
    const tokens = { input: 15, output: 16 };
    const answer = await chat(deepinfra("deepinfra-chat"), llama, { content: "ok", tokens });
    assert.equal(answer.usage.estimated_cost, 1.25e-6);
    await booked("deepinfra-chat", 0.00000125, 15, 16);
    const commands = { chunks: 3, tokens };
    const chunks = await all(await chat(deepinfra("deepinfra-stream"), llama.toLowerCase(), commands, { stream: true }));
    assert.equal(said(chunks), " tok0 tok1 tok2");
    await booked("deepinfra-stream", 0.00000125, 15, 16);
  },
  async deepinfra_errors() {
    await assert.rejects(chat(deepinfra(), "no-such/model"), OpenAI.NotFoundError);
    await assert.rejects(chat(deepinfra(), llama, { status: 503 }), OpenAI.InternalServerError);
  },
};

console.log(JSON.stringify({ sdk: "openai-node", version, base_url: args["base-url"] }));
let passed = 0;
let failed = 0;
for (const [name, run] of Object.entries(cases)) {
  if (args.only.length && !args.only.includes(name)) continue;
  const began = performance.now();
  const line = { case: name };
  try {
    await run();
    line.ok = true;
    passed += 1;
  } catch (error) {
    line.ok = false;
    line.error = String(error?.stack ?? error);
    failed += 1;
  }
  line.ms = Math.round(performance.now() - began);
  console.log(JSON.stringify(line));
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(passed > 0 && failed === 0 ? 0 : 1);
