"""The OpenAI SDK against aimock, an upstream that nobody here wrote (directly or through a gateway).

Expects what `../aimock/fixtures.json` says. Usage: aimock.py --base-url URL/v1 --key KEY
"""

import json

import openai
from openai import OpenAI

from harness import arguments, expect, expect_true, run

ARGS = arguments(__doc__.splitlines()[0])
CASES = []


def case(function):
    CASES.append((function.__name__, function))
    return function


def chat(text, **more):
    sdk = OpenAI(base_url=ARGS.base_url, api_key=ARGS.key, max_retries=0, timeout=30.0)
    return sdk.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": text}], **more)


@case
def unary():
    answer = chat("hello")
    expect(answer.choices[0].message.content, "Hello there, world!", "content")
    expect((answer.usage.prompt_tokens, answer.usage.completion_tokens), (120, 7), "usage")


@case
def streamed_without_usage():
    chunks = list(chat("hello", stream=True))
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    expect(said, "Hello there, world!", "content")
    expect([chunk for chunk in chunks if chunk.usage], [], "no usage was asked for")
    expect([chunk for chunk in chunks if not chunk.choices], [], "no chunk without choices")


@case
def streamed_with_usage():
    chunks = list(chat("hello", stream=True, stream_options={"include_usage": True}))
    expect(chunks[-1].choices, [], "the last chunk has no choices")
    expect((chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens), (120, 7), "usage")


@case
def half_an_emoji():
    # aimock cuts text at UTF-16 units: two chunks hold a lone surrogate each, and the SDK must get exactly those.
    chunks = chat("emoji", stream=True)
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    whole = said.encode("utf-16", "surrogatepass").decode("utf-16")
    expect(whole, "nineteen characters😀 and a smile", "content")
    return {"lone_surrogates": any(0xD800 <= ord(character) < 0xE000 for character in said)}


@case
def tools():
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
    call = chat("weather", tools=[tool]).choices[0].message.tool_calls[0]
    expect((call.function.name, json.loads(call.function.arguments)), ("get_weather", {"city": "Paris"}), "call")
    arguments_text = ""
    for chunk in chat("weather", tools=[tool], stream=True):
        for delta in chunk.choices[0].delta.tool_calls or [] if chunk.choices else []:
            arguments_text += delta.function.arguments or ""
    expect(json.loads(arguments_text), {"city": "Paris"}, "streamed arguments")


@case
def rate_limit():
    try:
        chat("boom")
    except openai.RateLimitError as error:
        expect_true("slow down" in str(error), f"the upstream's own text, not {error}")
    else:
        expect_true(False, "no RateLimitError was raised")


@case
def responses():
    sdk = OpenAI(base_url=ARGS.base_url, api_key=ARGS.key, max_retries=0)
    expect(sdk.responses.create(model="gpt-4o", input="hello").output_text, "Hello there, world!", "output_text")
    events = list(sdk.responses.create(model="gpt-4o", input="hello", stream=True))
    deltas = "".join(one.delta for one in events if one.type == "response.output_text.delta")
    expect(deltas, "Hello there, world!", "deltas")
    expect(events[-1].type, "response.completed", "last event")


@case
def embeddings():
    sdk = OpenAI(base_url=ARGS.base_url, api_key=ARGS.key, max_retries=0)
    answer = sdk.embeddings.create(model="text-embedding-3-small", input="embed me")
    expect(answer.data[0].embedding, [0.5, 0.25], "vector")


if __name__ == "__main__":
    print(json.dumps({"sdk": "openai-python", "version": openai.__version__, "base_url": ARGS.base_url}))
    run(CASES, ARGS)
