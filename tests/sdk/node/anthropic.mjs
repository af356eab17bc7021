// The official Anthropic SDK for Node against a base URL: the local upstream itself, or a gateway before it.
// Each request tells the local upstream in `metadata.user_id` what to answer.
// Usage: node anthropic.mjs --base-url URL --key KEY [--upstream URL] [--only CASE]... [--skip CASE]...
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
const gatewayed = args["base-url"] !== args.upstream;

const require = createRequire(pathToFileURL(path.join(path.resolve(args.modules), "here.js")));
const { default: Anthropic, toFile } = await import(pathToFileURL(require.resolve("@anthropic-ai/sdk")));
const { VERSION: version } = require("@anthropic-ai/sdk/version");

const model = "claude-opus-5-5";
const hello = [{ role: "user", content: "hello" }];
const client = (more = {}) =>
  new Anthropic({ baseURL: args["base-url"], apiKey: args.key, maxRetries: 0, timeout: 30_000, ...more });
const body = (commands, more = {}) => ({
  model, max_tokens: 1024, messages: hello, metadata: { user_id: JSON.stringify(commands) }, ...more,
});
const words = (count) => Array.from({ length: count }, (_, at) => ` tok${at}`).join("");
const stats = async () => (await fetch(`${args.upstream}/_stats`)).json();

async function all(stream) {
  const items = [];
  for await (const item of stream) items.push(item);
  return items;
}

async function until(what, look) {
  const limit = Date.now() + 5_000;
  while (!(await look())) {
    if (Date.now() > limit) throw new Error(`not within 5 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const call = { name: "weather", arguments: '{"city": "São Paulo"}' };
const tools = [{ name: "weather", input_schema: { type: "object" } }];

const cases = {
  async message_unary() {
    const answer = await client().messages.create(
      body({ content: "Grüße, 世界 🌍", tokens: { input: 11, output: 7, cached: 3 } }),
    );
    assert.equal(answer.content[0].text, "Grüße, 世界 🌍");
    assert.deepEqual(
      [answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.cache_read_input_tokens], [11, 7, 3],
    );
    assert.match(answer._request_id, /^req_/);
  },
  async message_streamed() {
    const events = await all(await client().messages.create(body({ chunks: 50 }, { stream: true })));
    const text = events.filter((e) => e.type === "content_block_delta").map((e) => e.delta.text).join("");
    assert.equal(text, words(50));
    assert.deepEqual([events[0].type, events.at(-1).type], ["message_start", "message_stop"]);
  },
  async message_streamed_by_the_helper() {
    for (const split of [1, 2, 7, 1000]) {
      const stream = client().messages.stream(body({ chunks: 12, split, tokens: { reasoning: 4 } }));
      const final = await stream.finalMessage();
      assert.deepEqual(final.content.map((block) => block.type), ["thinking", "text"]);
      assert.equal(final.content[1].text, words(12));
      assert.deepEqual([final.usage.input_tokens, final.usage.output_tokens], [19, 10]);
    }
  },
  async message_streamed_text_in_many_scripts() {
    const text = "añ😀é日本語 👩‍👩‍👧 ok";
    for (const chunks of [1, 3, 40]) {
      assert.equal(await client().messages.stream(body({ content: text, chunks })).finalText(), text);
    }
  },
  async tools() {
    const answer = await client().messages.create(body({ calls: [call, call] }, { tools }));
    assert.equal(answer.stop_reason, "tool_use");
    assert.deepEqual(answer.content.map((block) => block.input), [{ city: "São Paulo" }, { city: "São Paulo" }]);
    const streamed = await client().messages.stream(body({ calls: [call, call] }, { tools })).finalMessage();
    assert.deepEqual(streamed.content.map((block) => block.input), [{ city: "São Paulo" }, { city: "São Paulo" }]);
    const result = { type: "tool_result", tool_use_id: answer.content[0].id, content: "sun" };
    const messages = [...hello, { role: "assistant", content: answer.content }, { role: "user", content: [result] }];
    const again = await client().messages.create(body({ content: "sunny" }, { tools, messages }));
    assert.equal(again.content[0].text, "sunny");
  },
  async count_tokens_and_models() {
    assert.equal((await client().messages.countTokens({ model, messages: hello })).input_tokens, 19);
    assert.equal((await all(client().models.list()))[0].id, model);
    assert.equal((await client().models.retrieve(model)).id, model);
  },
  async batches() {
    const params = { model, max_tokens: 10, messages: hello };
    const made = await client().messages.batches.create({ requests: [{ custom_id: "one", params }] });
    assert.equal(made.processing_status, "in_progress");
    // The SDK follows the address in the batch object, wherever that leads.
    if (!gatewayed) return;
    const results = await all(await client().messages.batches.results(made.id));
    assert.deepEqual(results.map((result) => result.custom_id), ["one"]);
    assert.equal(results[0].result.message.usage.output_tokens, 10);
  },
  async files() {
    const content = Buffer.from(Array.from({ length: 180_000 }, (_, at) => at % 256));
    const made = await client().beta.files.upload({ file: await toFile(content, "data.txt", { type: "text/plain" }) });
    assert.equal(made.parts.file.length, content.length);
    const back = Buffer.from(await (await client().beta.files.download(made.id)).arrayBuffer());
    assert.equal(back.length, 4096);
    assert(back.every((byte, at) => byte === 255 - (at % 256)), "binary content is unchanged");
  },
  async errors() {
    const wrong = client({ apiKey: "nobody" }).messages.create(body({}));
    await assert.rejects(wrong, (error) => {
      assert(error instanceof Anthropic.AuthenticationError);
      assert.equal(error.error.error.type, "authentication_error");
      assert(error.requestID, "a request id");
      return true;
    });
    for (const [status, kind, type] of [
      [400, Anthropic.BadRequestError, "invalid_request_error"],
      [404, Anthropic.NotFoundError, "not_found_error"],
      [429, Anthropic.RateLimitError, "rate_limit_error"],
      [500, Anthropic.InternalServerError, "api_error"],
      [529, Anthropic.APIError, "overloaded_error"],
    ]) {
      for (const stream of [false, true]) {
        const asked = client().messages.create(body({ status, headers: { "retry-after": "7" } }, { stream }));
        await assert.rejects(asked, (error) => {
          assert(error instanceof kind, `${status}: ${error}`);
          assert.equal(error.status, status);
          assert.equal(error.error.error.type, type);
          assert.equal(error.headers.get("retry-after"), "7");
          return true;
        });
      }
    }
  },
  async overloaded_in_the_stream() {
    const fault = { kind: "error_frame", after: 5 };
    const stream = await client().messages.create(body({ chunks: 9, fault }, { stream: true }));
    await assert.rejects(all(stream), (error) => {
      assert.match(String(error.message) + JSON.stringify(error.error ?? ""), /overloaded_error/);
      return true;
    });
  },
  async a_broken_stream_raises() {
    for (const fault of [{ kind: "close", after: 5 }, { kind: "reset", after: 5 }, { kind: "truncate" }]) {
      const stream = await client().messages.create(body({ chunks: 9, fault }, { stream: true }));
      await assert.rejects(all(stream), (error) => {
        if (gatewayed) assert.match(String(error.message) + JSON.stringify(error.error ?? ""), /api_error/);
        return true;
      });
    }
  },
  async client_leaves_mid_stream() {
    const before = args.upstream ? (await stats()).aborted : 0;
    const stream = await client().messages.create(body({ chunks: 1000, chunk_delay_ms: 20 }, { stream: true }));
    let seen = 0;
    for await (const _ of stream) if (++seen === 3) break;
    if (args.upstream) await until("the upstream call has ended", async () => (await stats()).aborted > before);
  },
  async many_at_once() {
    const one = (at) => client().messages.stream(body({ content: `answer ${at}`, chunks: 5 })).finalText();
    const numbers = Array.from({ length: 40 }, (_, at) => at);
    assert.deepEqual(await Promise.all(numbers.map(one)), numbers.map((at) => `answer ${at}`));
  },
};

console.log(JSON.stringify({ sdk: "anthropic-node", version, base_url: args["base-url"] }));
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
