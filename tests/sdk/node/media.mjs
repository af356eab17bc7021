// Pictures, sound, files, uploads, moderations and assistants with the official OpenAI SDK for Node.
// The same expectations hold with and without a gateway.
// Usage: node media.mjs --base-url URL/v1 --key KEY [--modules DIR]

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
  },
});
assert(args["base-url"] && args.key, "--base-url and --key are needed");

const require = createRequire(pathToFileURL(path.join(path.resolve(args.modules), "here.js")));
const { default: OpenAI, toFile } = await import(pathToFileURL(require.resolve("openai")));
const { VERSION: version } = require("openai/version");

const sdk = new OpenAI({ baseURL: args["base-url"], apiKey: args.key, maxRetries: 0, timeout: 30_000 });
const sound = (bytes = 3000) => toFile(Buffer.alloc(bytes, 7), "speech.mp3", { type: "audio/mpeg" });

async function all(stream) {
  const items = [];
  for await (const item of stream) items.push(item);
  return items;
}

const cases = {
  async images() {
    const answer = await sdk.images.generate({ model: "gpt-image-1", prompt: "a cat" });
    assert.equal(answer.usage.output_tokens, 4160);
    const stream = await sdk.images.generate({ model: "gpt-image-1", prompt: "a cat", stream: true, partial_images: 1 });
    const kinds = (await all(stream)).map((event) => event.type);
    assert.deepEqual(kinds, ["image_generation.partial_image", "image_generation.completed"]);
  },
  async image_edits() {
    const image = [await toFile(Buffer.from("one"), "a.png"), await toFile(Buffer.from("two"), "b.png")];
    const answer = await sdk.images.edit({ model: "gpt-image-1", image, prompt: "a hat" });
    assert(answer.data[0].b64_json.length > 0);
    const gone = sdk.images.createVariation({ image: image[0], model: "dall-e-2" });
    await assert.rejects(gone, OpenAI.NotFoundError);
  },
  async speech() {
    const plain = await sdk.audio.speech.create({ model: "tts-1", voice: "alloy", input: "hello" });
    const bytes = Buffer.from(await plain.arrayBuffer());
    assert.equal(bytes.length, 8192);
    assert(bytes.every((byte, at) => byte === 255 - (at % 256)), "sound is unchanged");
    const request = { model: "gpt-4o-mini-tts", voice: "alloy", input: "hello", stream_format: "sse" };
    const text = await (await sdk.audio.speech.create(request)).text();
    assert.match(text, /speech\.audio\.done/);
  },
  async transcriptions() {
    for (const model of ["whisper-1", "gpt-4o-transcribe"]) {
      const answer = await sdk.audio.transcriptions.create({ model, file: await sound() });
      assert.equal(answer.text, "Hello there.");
    }
    const text = await sdk.audio.transcriptions.create({ model: "whisper-1", file: await sound(), response_format: "vtt" });
    assert.match(text, /^WEBVTT/);
    const stream = await sdk.audio.transcriptions.create({ model: "gpt-4o-transcribe", file: await sound(), stream: true });
    assert.equal((await all(stream)).at(-1).type, "transcript.text.done");
  },
  async large_recording() {
    const answer = await sdk.audio.transcriptions.create({ model: "whisper-1", file: await sound(5_000_000) });
    assert.equal(answer.text, "Hello there.");
  },
  async translations() {
    const answer = await sdk.audio.translations.create({ model: "whisper-1", file: await sound() });
    assert.equal(answer.text, "Hello there.");
  },
  async moderations() {
    assert.equal((await sdk.moderations.create({ input: "hello" , model: "omni-moderation-latest" })).results[0].flagged, false);
  },
  async uploads() {
    const upload = await sdk.uploads.create({ filename: "a.jsonl", bytes: 10, mime_type: "text/jsonl", purpose: "batch" });
    const part = await sdk.uploads.parts.create(upload.id, { data: await toFile(Buffer.from("0123456789"), "part") });
    const done = await sdk.uploads.complete(upload.id, { part_ids: [part.id] });
    assert.equal(done.status, "completed");
  },
  async runs() {
    const stream = await sdk.beta.threads.runs.create("thread_1", { assistant_id: "asst_1", stream: true });
    const events = await all(stream);
    assert(events.some((event) => event.event === "thread.run.completed" && event.data.usage.prompt_tokens === 19));
  },
};

console.log(JSON.stringify({ sdk: "openai-node", version, base_url: args["base-url"] }));
let passed = 0;
let failed = 0;
for (const [name, run] of Object.entries(cases)) {
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
