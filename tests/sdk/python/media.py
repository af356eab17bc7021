"""Pictures, sound, files, uploads, moderations and assistants with the official OpenAI SDK for Python, 1.x and 3.x.

The same expectations hold with and without a gateway; with --admin also what each call cost.
Usage: media.py --base-url URL/v1 --key KEY [--upstream URL] [--admin URL --event-prefix P]
"""

import io
import json
import wave
from decimal import Decimal

import openai
from openai import OpenAI

from harness import Upstream, arguments, event, expect, expect_true, run

ARGS = arguments(__doc__.splitlines()[0])
CASES = []


def case(function):
    CASES.append((function.__name__, function))
    return function


def client(name=None, **more):
    headers = {"x-custom-event-id": f"{ARGS.event_prefix}-{name}"} if name and ARGS.event_prefix else None
    more = {"max_retries": 0, "timeout": 30.0, **more}
    return OpenAI(base_url=ARGS.base_url, api_key=ARGS.key, default_headers=headers, **more)


def cost(name, usd):
    if ARGS.admin and ARGS.event_prefix:
        booked = event(ARGS, f"{ARGS.event_prefix}-{name}")
        expect(Decimal(booked["cost_in_usd"]), Decimal(usd), "cost_in_usd")
    return {"usd": usd}


def recording(seconds):
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16_000)
        sound.writeframes(bytes(32_000 * seconds))
    return ("speech.wav", file.getvalue())


@case
def images_generate():
    answer = client("generate").images.generate(model="gpt-image-1", prompt="a cat")
    expect_true(answer.data[0].b64_json, "a picture")
    expect(answer.usage.input_tokens_details.image_tokens, 323, "usage")
    return cost("generate", "0.16988")


@case
def images_streamed():
    if not hasattr(openai.types, "ImageGenStreamEvent"):
        return {"skipped": "this SDK has no such stream"}
    options = {"model": "gpt-image-1", "prompt": "a cat", "stream": True, "partial_images": 2}
    kinds = [one.type for one in client("drafts").images.generate(**options)]
    expect(kinds, ["image_generation.partial_image"] * 2 + ["image_generation.completed"], "events")
    return cost("drafts", "0.16988")


@case
def images_edit():
    pictures = [("a.png", b"png one"), ("b.png", b"png two")]
    answer = client("edit").images.edit(model="gpt-image-1", image=pictures, prompt="a hat")
    expect_true(answer.data[0].b64_json, "a picture")
    return cost("edit", "0.16988")


@case
def images_variation_is_gone():
    try:
        client().images.create_variation(image=("a.png", b"png"), model="dall-e-2")
    except openai.NotFoundError as error:
        expect_true("Invalid URL" in str(error), f"the provider's own words, not {error}")
    else:
        expect_true(False, "no NotFoundError was raised")


@case
def speech():
    sdk = client("speech")
    with sdk.audio.speech.with_streaming_response.create(model="tts-1", voice="alloy", input="é" * 1234) as answer:
        sound = answer.read()
    expect(sound, bytes(range(255, -1, -1)) * 32, "sound")
    return cost("speech", "0.01851")


@case
def transcription():
    answer = client("whisper").audio.transcriptions.create(model="whisper-1", file=recording(3))
    expect(answer.text, "Hello there.", "text")
    return cost("whisper", "0.0003")


@case
def transcription_as_subtitles():
    sdk = client("subtitles")
    text = sdk.audio.transcriptions.create(model="whisper-1", file=recording(40), response_format="srt")
    expect_true("-->" in text, f"subtitles, not {text}")
    return cost("subtitles", "0.004")


@case
def transcription_in_detail():
    answer = client().audio.transcriptions.create(
        model="whisper-1", file=recording(3), response_format="verbose_json", timestamp_granularities=["word", "segment"]
    )
    expect(float(answer.duration), 2.9, "duration")


@case
def transcription_by_tokens():
    answer = client("tokens").audio.transcriptions.create(model="gpt-4o-transcribe", file=recording(3))
    expect(answer.text, "Hello there.", "text")
    return cost("tokens", "0.00105")


@case
def transcription_streamed():
    sdk = client("listened")
    events = list(sdk.audio.transcriptions.create(model="gpt-4o-transcribe", file=recording(3), stream=True))
    deltas = "".join(one.delta for one in events if one.type == "transcript.text.delta")
    expect((deltas, events[-1].type), ("Hello! How can I help you today?", "transcript.text.done"), "events")
    return cost("listened", "0.00105")


@case
def translation():
    answer = client("translated").audio.translations.create(model="whisper-1", file=recording(5))
    expect(answer.text, "Hello there.", "text")
    return cost("translated", "0.0005")


@case
def audio_errors():
    for status, kind in ((400, openai.BadRequestError), (429, openai.RateLimitError), (500, openai.InternalServerError)):
        if not ARGS.upstream:
            return {"skipped": "needs --upstream"}
        Upstream(ARGS.upstream).script({"path": "audio/transcriptions", "status": status})
        try:
            client(f"error-{status}").audio.transcriptions.create(model="whisper-1", file=recording(1))
        except kind:
            cost(f"error-{status}", "0")
        else:
            expect_true(False, f"no {kind.__name__} was raised")


@case
def moderations():
    expect(client("moderation").moderations.create(input="hello", model="omni-moderation-latest").results[0].flagged, False, "flagged")
    return cost("moderation", "0")


@case
def files():
    sdk = client()
    content = bytes(range(256)) * 1000
    created = sdk.files.create(file=("data.bin", content), purpose="batch")
    expect((created.bytes, created.filename), (len(content), "data.bin"), "file")
    expect(sdk.files.retrieve(created.id).id, created.id, "the same file")
    expect(len(sdk.files.content(created.id).read()), 4096, "content")
    expect(sdk.files.delete(created.id).deleted, True, "deleted")


@case
def uploads():
    sdk = client()
    upload = sdk.uploads.create(filename="a.jsonl", bytes=10, mime_type="text/jsonl", purpose="batch")
    part = sdk.uploads.parts.create(upload.id, data=b"0123456789")
    expect(part.object, "upload.part", "part")
    expect(sdk.uploads.complete(upload.id, part_ids=[part.id]).status, "completed", "upload")


@case
def runs():
    sdk = client("run")
    threads = getattr(sdk.beta, "threads", None)
    if threads is None:
        return {"skipped": "this SDK has no assistants"}
    events = list(threads.runs.create("thread_1", assistant_id="asst_1", stream=True))
    expect(events[0].event, "thread.run.created", "first event")
    done = [one for one in events if one.event == "thread.run.completed"]
    expect(done[0].data.usage.prompt_tokens, 19, "usage")
    return cost("run", "0.0001475")


if __name__ == "__main__":
    print(json.dumps({"sdk": "openai-python", "version": openai.__version__, "base_url": ARGS.base_url}))
    run(CASES, ARGS)
