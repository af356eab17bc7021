// AWS's own client for Node against a gateway: only the endpoint and the access key id are changed.
// Usage: node check.mjs --base-url URL --key KEY --upstream URL --modules DIR

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
  },
});
const require = createRequire(pathToFileURL(path.join(path.resolve(args.modules), "here.js")));
const sdk = require("@aws-sdk/client-bedrock-runtime");

const client = (more = {}) =>
  new sdk.BedrockRuntimeClient({
    endpoint: args["base-url"],
    region: "us-east-1",
    credentials: { accessKeyId: args.key, secretAccessKey: "any" },
    maxAttempts: 1,
    ...more,
  });
const script = (...acts) =>
  fetch(`${args.upstream}/_script`, { method: "POST", body: JSON.stringify(acts) }).then((answer) => assert(answer.ok));
const messages = [{ role: "user", content: [{ text: "hello" }] }];
const nova = "us.amazon.nova-lite-v1:0";
const arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0";
const words = (count) => Array.from({ length: count }, (_, at) => ` tok${at}`).join("");

async function all(stream) {
  const items = [];
  for await (const item of stream) items.push(item);
  return items;
}

const cases = {
  async converse_unary() {
    for (const modelId of [nova, arn]) {
      await script({ content: "Grüße, 世界 🌍", tokens: { input: 11, output: 7 } });
      const answer = await client().send(new sdk.ConverseCommand({ modelId, messages }));
      assert.equal(answer.output.message.content[0].text, "Grüße, 世界 🌍");
      assert.deepEqual([answer.usage.inputTokens, answer.usage.outputTokens], [11, 7]);
    }
  },
  async converse_streamed() {
    // HTTP/2 without TLS and HTTP/1.1 are both in use by this client's handlers; the default is taken.
    await script({ chunks: 12, tokens: { input: 11, output: 7 } });
    const answer = await client().send(new sdk.ConverseStreamCommand({ modelId: nova, messages }));
    const events = await all(answer.stream);
    assert.equal(events.map((event) => event.contentBlockDelta?.delta.text ?? "").join(""), words(12));
    assert.equal(events.at(-1).metadata.usage.outputTokens, 7);
  },
  async tools_streamed() {
    const call = { name: "weather", arguments: '{"city": "São Paulo"}' };
    await script({ calls: [call] });
    const toolConfig = { tools: [{ toolSpec: { name: "weather", inputSchema: { json: { type: "object" } } } }] };
    const answer = await client().send(new sdk.ConverseStreamCommand({ modelId: nova, messages, toolConfig }));
    const events = await all(answer.stream);
    const inputs = events.map((event) => event.contentBlockDelta?.delta.toolUse?.input ?? "");
    assert.equal(inputs.join(""), call.arguments);
  },
  async invoke_unary_and_streamed() {
    await script({ content: "fine" }, { chunks: 4 });
    const body = JSON.stringify({ prompt: "hi" });
    const modelId = "meta.llama3-8b-instruct-v1:0";
    const answer = await client().send(new sdk.InvokeModelCommand({ modelId, body, contentType: "application/json" }));
    assert.equal(JSON.parse(new TextDecoder().decode(answer.body)).generation, "fine");
    const streamed = await client().send(new sdk.InvokeModelWithResponseStreamCommand({ modelId, body }));
    const parts = (await all(streamed.body)).map((event) => JSON.parse(new TextDecoder().decode(event.chunk.bytes)));
    assert.equal(parts.map((part) => part.generation).join(""), words(4));
    assert(parts.at(-1)["amazon-bedrock-invocationMetrics"]);
  },
  async errors_are_typed() {
    for (const [status, kind] of [[400, "ValidationException"], [429, "ThrottlingException"]]) {
      await script({ status });
      await assert.rejects(client().send(new sdk.ConverseCommand({ modelId: nova, messages })), (error) => {
        assert(error instanceof sdk[kind], `${error.name} is no ${kind}`);
        assert.equal(error.$metadata.httpStatusCode, status);
        return true;
      });
    }
    const nobody = client({ credentials: { accessKeyId: "nobody", secretAccessKey: "any" } });
    await assert.rejects(nobody.send(new sdk.ConverseCommand({ modelId: nova, messages })), /not known/);
  },
  async exceptions_in_a_stream() {
    const faults = [
      [{ kind: "error_frame", after: 3 }, "ThrottlingException"],
      [{ kind: "close", after: 3 }, "ModelStreamErrorException"],
    ];
    for (const [fault, kind] of faults) {
      await script({ chunks: 9, fault });
      const answer = await client().send(new sdk.ConverseStreamCommand({ modelId: nova, messages }));
      await assert.rejects(all(answer.stream), (error) => error.name.toLowerCase() === kind.toLowerCase());
    }
  },
};

let [passed, failed] = [0, 0];
for (const [name, run] of Object.entries(cases)) {
  try {
    await run();
    passed += 1;
    console.log(JSON.stringify({ case: name, ok: true }));
  } catch (error) {
    failed += 1;
    console.log(JSON.stringify({ case: name, ok: false, error: String(error.stack ?? error) }));
  }
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(passed && !failed ? 0 : 1);
