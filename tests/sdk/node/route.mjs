// The official OpenAI SDK for Node whose base URL is a route: what answers is behind steps that fail.
// Usage: node route.mjs --base-url URL/api/routes --key KEY [--modules DIR] [--only CASE]...

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const { values: args } = parseArgs({
  options: {
    "base-url": { type: "string" },
    key: { type: "string" },
    modules: { type: "string", default: process.cwd() },
    only: { type: "string", multiple: true, default: [] },
  },
});
const require = createRequire(pathToFileURL(path.join(path.resolve(args.modules), "here.js")));
const { default: OpenAI } = await import(pathToFileURL(require.resolve("openai")));

const hello = "Grüße, 世界 🌍";
const cities = [{ city: "São Paulo" }, { city: "Oslo" }];
const schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tools = [{ type: "function", function: { name: "weather", parameters: schema } }];
// Behind `/claude` is Anthropic; what is below `/kept` is kept.
const chats = ["/chat", "/chat/v1", "/claude", "/kept/chat", "/kept/claude"];

const client = (route, more = {}) =>
  new OpenAI({ baseURL: args["base-url"] + route, apiKey: args.key, maxRetries: 0, timeout: 30_000, ...more });
const asks = (words) => ({ role: "user", content: `${words} please` });
const ask = (route, words, more = {}) =>
  client(route).chat.completions.create({ model: "any", max_tokens: 1024, messages: [asks(words)], ...more });

async function all(stream) {
  const items = [];
  for await (const item of stream) items.push(item);
  return items;
}

const cases = {
  async text() {
    for (const route of [...chats, ...chats]) {
      const answer = await ask(route, "text");
      assert.equal(answer.choices[0].message.content, hello);
      assert.deepEqual([answer.usage.prompt_tokens, answer.usage.completion_tokens], [11, 7]);
    }
  },
  async text_streamed() {
    for (const route of [...chats, ...chats]) {
      const chunks = await all(await ask(route, "text", { stream: true }));
      assert.equal(chunks.map((chunk) => chunk.choices[0]?.delta?.content ?? "").join(""), hello);
    }
  },
  async tools() {
    for (const route of chats) {
      const choice = (await ask(route, "tools", { tools })).choices[0];
      const calls = choice.message.tool_calls;
      assert.deepEqual(calls.map((call) => JSON.parse(call.function.arguments)), cities);
      const results = calls.map((call, at) => ({ role: "tool", tool_call_id: call.id, content: ["22", "-3"][at] }));
      const messages = [asks("tools"), { role: "assistant", tool_calls: calls }, ...results];
      const answer = await ask(route, "tools", { tools, messages });
      assert.equal(answer.choices[0].message.content, "Mild there, cold here.");
    }
  },
  async embeddings() {
    for (const route of ["/vectors", "/vectors/v1", "/kept/vectors", "/kept/vectors"]) {
      const answer = await client(route).embeddings.create({ model: "any", input: ["a", "b"] });
      assert.deepEqual(answer.data.map((one) => one.embedding.length), [1536, 1536]);
    }
  },
  async errors() {
    for (const stream of [false, true]) {
      await assert.rejects(ask("/busy", "text", { stream }), (error) => {
        assert(error instanceof OpenAI.RateLimitError);
        assert.equal(error.headers.get("retry-after"), "7");
        return true;
      });
      await assert.rejects(ask("/nowhere", "text", { stream }), OpenAI.NotFoundError);
    }
  },
};

let passed = 0;
let failed = 0;
for (const [name, run] of Object.entries(cases)) {
  if (args.only.length > 0 && !args.only.includes(name)) continue;
  const line = { case: name, ok: true };
  try {
    await run();
    passed += 1;
  } catch (error) {
    Object.assign(line, { ok: false, error: String(error?.stack ?? error) });
    failed += 1;
  }
  console.log(JSON.stringify(line));
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(passed > 0 && failed === 0 ? 0 : 1);
