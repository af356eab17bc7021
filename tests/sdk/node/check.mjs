// The official OpenAI SDK for Node against a base URL: the local upstream itself, or a gateway before it.
// Each request tells the local upstream in `user` what to answer; the same expectations hold with and without a gateway.
// Usage: node check.mjs --base-url URL/v1 --key KEY [--upstream URL] [--only CASE]... [--skip CASE]...
// The SDK is looked for in node_modules of --modules DIR, or of the working directory.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const { values: args } = parseArgs({
  options: {
    "base-url": { type: "string" },
    key: { type: "string" },
    upstream: { type: "string" },
    modules: { type: "string", default: process.cwd() },
    only: { type: "string", multiple: true, default: [] },
    skip: { type: "string", multiple: true, default: [] },
  },
});
assert(args["base-url"] && args.key, "--base-url and --key are needed");

const require = createRequire(pathToFileURL(path.join(path.resolve(args.modules), "here.js")));
const { default: OpenAI, toFile } = await import(pathToFileURL(require.resolve("openai")));
const { VERSION: version } = require("openai/version");

const client = (more = {}) =>
  new OpenAI({ baseURL: args["base-url"], apiKey: args.key, maxRetries: 0, timeout: 30_000, ...more });
const hello = [{ role: "user", content: "hello" }];
const act = (commands) => ({ user: JSON.stringify(commands) });
const chat = (commands, more = {}, options = {}) =>
  client(options).chat.completions.create({ model: "gpt-4o", messages: hello, ...act(commands), ...more });

async function all(stream) {
  const items = [];
  for await (const item of stream) items.push(item);
  return items;
}
const said = (chunks) => chunks.map((chunk) => chunk.choices[0]?.delta?.content ?? "").join("");
const words = (count) => Array.from({ length: count }, (_, at) => ` tok${at}`).join("");
const stats = async () => (await fetch(`${args.upstream}/_stats`)).json();

async function until(what, look) {
  const limit = Date.now() + 5_000;
  while (!(await look())) {
    if (Date.now() > limit) throw new Error(`not within 5 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const call = { name: "weather", arguments: '{"city": "São Paulo"}' };
const tools = [{ type: "function", function: { name: "weather", parameters: { type: "object" } } }];

const cases = {
  async chat_unary() {
    const answer = await chat({ content: "Grüße, 世界 🌍", tokens: { input: 11, output: 7 } });
    assert.equal(answer.choices[0].message.content, "Grüße, 世界 🌍");
    assert.deepEqual([answer.usage.prompt_tokens, answer.usage.completion_tokens], [11, 7]);
  },
  async chat_streamed_without_usage() {
    const chunks = await all(await chat({ chunks: 50 }, { stream: true }));
    assert.equal(said(chunks), words(50));
    assert(chunks.every((chunk) => chunk.choices.length === 1 && !("usage" in chunk)), "usage that nobody asked for");
    assert.equal(chunks.at(-1).choices[0].finish_reason, "stop");
  },
  async chat_streamed_with_usage() {
    const more = { stream: true, stream_options: { include_usage: true } };
    const chunks = await all(await chat({ chunks: 5, tokens: { input: 1000, cached: 200, output: 60 } }, more));
    const last = chunks.pop();
    assert.deepEqual(last.choices, []);
    assert.equal(last.usage.prompt_tokens_details.cached_tokens, 200);
    assert.equal(last.usage.completion_tokens, 60);
    assert(chunks.every((chunk) => chunk.usage === null), "usage in the last chunk only");
  },
  async chat_streamed_text_in_many_scripts() {
    const text = "añ😀é日本語 👩‍👩‍👧 ok";
    for (const chunks of [1, 3, 40]) {
      assert.equal(said(await all(await chat({ content: text, chunks }, { stream: true }))), text);
    }
  },
  async chat_streamed_in_odd_network_pieces() {
    for (const split of [1, 2, 7, 1000]) {
      assert.equal(said(await all(await chat({ chunks: 12, split }, { stream: true }))), words(12));
    }
  },
  async chat_tools() {
    const answer = await chat({ calls: [call, call] }, { tools });
    const calls = answer.choices[0].message.tool_calls;
    assert.deepEqual(calls.map((one) => one.function.arguments), [call.arguments, call.arguments]);
    const found = {};
    for (const chunk of await all(await chat({ calls: [call, call] }, { tools, stream: true }))) {
      for (const delta of chunk.choices[0].delta.tool_calls ?? []) {
        found[delta.index] = (found[delta.index] ?? "") + (delta.function.arguments ?? "");
      }
    }
    assert.deepEqual(found, { 0: call.arguments, 1: call.arguments });
  },
  async responses() {
    const body = { model: "gpt-5", input: "hi" };
    const unary = await client().responses.create({ ...body, ...act({ content: "fine", tokens: { input: 40 } }) });
    assert.equal(unary.output_text, "fine");
    assert.equal(unary.usage.input_tokens, 40);
    const events = await all(await client().responses.create({ ...body, ...act({ chunks: 6 }), stream: true }));
    assert.deepEqual(events.map((event) => event.sequence_number), events.map((_, at) => at));
    const deltas = events.filter((event) => event.type === "response.output_text.delta").map((event) => event.delta);
    assert.equal(deltas.join(""), words(6));
    assert.equal(events.at(-1).type, "response.completed");
    assert.equal(events.at(-1).response.usage.output_tokens, 10);
  },
  async embeddings() {
    const body = { model: "text-embedding-3-small", input: ["a", "b"] };
    const decoded = await client().embeddings.create(body);
    const floats = await client().embeddings.create({ ...body, encoding_format: "float" });
    assert.equal(decoded.data[0].embedding.length, 1536);
    assert.deepEqual(decoded.data.map((one) => [...one.embedding]), floats.data.map((one) => one.embedding));
  },
  async files_and_audio() {
    const content = Buffer.from(Array.from({ length: 180_000 }, (_, at) => at % 256));
    const file = await client().files.create({ file: await toFile(content, "data.bin"), purpose: "batch" });
    assert.deepEqual([file.bytes, file.filename, file.purpose], [content.length, "data.bin", "batch"]);
    const back = Buffer.from(await (await client().files.content(file.id)).arrayBuffer());
    assert.equal(back.length, 4096);
    assert(back.every((byte, at) => byte === 255 - (at % 256)), "binary content is unchanged");
    const speech = await client().audio.speech.create({ model: "tts-1", voice: "alloy", input: "hello" });
    assert.equal((await speech.arrayBuffer()).byteLength, 8192);
  },
  async errors() {
    const wrong = client({ apiKey: "sk-nobody" }).chat.completions.create({ model: "gpt-4o", messages: hello });
    await assert.rejects(wrong, OpenAI.AuthenticationError);
    await assert.rejects(chat({ status: 404 }), OpenAI.NotFoundError);
    await assert.rejects(chat({ status: 500 }, { stream: true }), OpenAI.InternalServerError);
    await assert.rejects(chat({ status: 429, headers: { "retry-after": "7" } }), (error) => {
      assert(error instanceof OpenAI.RateLimitError);
      assert.equal(error.headers.get("retry-after"), "7");
      assert.equal(error.code, "rate_limit_exceeded");
      return true;
    });
  },
  async error_frame_in_the_stream() {
    const stream = await chat({ chunks: 9, fault: { kind: "error_frame", after: 3 } }, { stream: true });
    await assert.rejects(all(stream), (error) => {
      assert.match(String(error.message) + JSON.stringify(error.error ?? ""), /had an error/);
      return true;
    });
  },
  async broken_stream_raises() {
    for (const fault of [{ kind: "close", after: 3 }, { kind: "reset", after: 3 }, { kind: "truncate" }]) {
      await assert.rejects(async () => all(await chat({ chunks: 9, fault }, { stream: true })), Error, fault.kind);
    }
  },
  async client_leaves_mid_stream() {
    const before = args.upstream ? (await stats()).aborted : 0;
    const stream = await chat({ chunks: 1000, chunk_delay_ms: 20 }, { stream: true });
    let seen = 0;
    for await (const _ of stream) if (++seen === 3) break;
    if (args.upstream) await until("the upstream call has ended", async () => (await stats()).aborted > before);
  },
  async client_times_out() {
    const before = args.upstream ? (await stats()).aborted : 0;
    await assert.rejects(chat({ fault: { kind: "stall" } }, {}, { timeout: 500 }), OpenAI.APIConnectionTimeoutError);
    if (args.upstream) await until("the upstream call has ended", async () => (await stats()).aborted > before);
  },
  async many_at_once() {
    const one = async (at) => said(await all(await chat({ content: `answer ${at}`, chunks: 5 }, { stream: true })));
    const numbers = Array.from({ length: 40 }, (_, at) => at);
    assert.deepEqual(await Promise.all(numbers.map(one)), numbers.map((at) => `answer ${at}`));
  },
};

console.log(JSON.stringify({ sdk: "openai-node", version, base_url: args["base-url"] }));
let passed = 0;
let failed = 0;
for (const [name, run] of Object.entries(cases)) {
  if ((args.only.length && !args.only.includes(name)) || args.skip.includes(name)) continue;
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
