"""The official OpenAI SDK for Python whose base URL is a route: what answers is behind steps that fail.

Works with the 1.x and the 3.x line of the SDK. Usage: route_openai.py --base-url URL/api/routes --key KEY
"""

import functools
import json

import openai
from openai import OpenAI

from harness import Mismatch, arguments, expect, expect_true, run
from talks import ARGUMENTS, HELLO, RESULTS, SCHEMA, SUMMARY, asks

ARGS = arguments(__doc__.splitlines()[0])
CASES = []
# The form of the first is OpenAI's own; behind the second is Anthropic.
CHATS = ("/chat", "/chat/v1", "/claude", "/kept/chat", "/kept/claude/v1")
TOOL = {"type": "function", "function": {"name": "weather", "description": "Tells degrees.", "parameters": SCHEMA}}


def case(function):
    CASES.append((function.__name__, function))
    return function


@functools.cache
def client(path, key=None):
    return OpenAI(base_url=ARGS.base_url + path, api_key=key or ARGS.key, max_retries=0, timeout=30.0)


def ask(path, words, **more):
    options = {"model": "any", "max_tokens": 1024, "messages": [asks(words)], **more}
    return client(path).chat.completions.create(**options)


def said(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


@case
def text():
    for path in CHATS:
        for _ in range(2):  # The second one is kept where answers are kept.
            answer = ask(path, "text")
            expect((answer.choices[0].message.content, answer.choices[0].finish_reason), (HELLO, "stop"), path)
            expect((answer.usage.prompt_tokens, answer.usage.completion_tokens), (11, 7), f"{path} usage")


@case
def text_streamed():
    for path in CHATS:
        for _ in range(2):
            chunks = list(ask(path, "text", stream=True, stream_options={"include_usage": True}))
            expect(said(chunks), HELLO, path)
            expect((chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens), (11, 7), f"{path} usage")
        # A stream is made of a whole answer, and the other way round.
        expect(said(ask(path, "text", stream=True)), HELLO, path)


@case
def tools():
    for path in CHATS:
        asked = ask(path, "tools", tools=[TOOL]).choices[0]
        calls = asked.message.tool_calls
        expect([json.loads(call.function.arguments) for call in calls], ARGUMENTS, path)
        expect(asked.finish_reason, "tool_calls", path)
        turn = {"role": "assistant", "tool_calls": [call.to_dict() for call in calls]}
        results = [
            {"role": "tool", "tool_call_id": call.id, "content": told} for call, told in zip(calls, RESULTS)
        ]
        answer = ask(path, "tools", tools=[TOOL], messages=[asks("tools"), turn, *results])
        expect(answer.choices[0].message.content, SUMMARY, path)


@case
def tools_streamed():
    for path in CHATS:
        for _ in range(2):
            found = {}
            for chunk in ask(path, "tools", tools=[TOOL], stream=True):
                for delta in chunk.choices[0].delta.tool_calls or [] if chunk.choices else []:
                    found[delta.index] = found.get(delta.index, "") + (delta.function.arguments or "")
            expect([json.loads(found[index]) for index in sorted(found)], ARGUMENTS, path)


@case
def other_forms():
    hello = "Hello! How can I help you today?"
    for path in ("/chat", "/chat/v1", "/kept/chat"):
        expect(client(path).responses.create(model="any", input="hi").output_text, hello, path)
        events = list(client(path).responses.create(model="any", input="hi", stream=True))
        expect(events[-1].type, "response.completed", path)
        deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
        expect("".join(deltas), hello, path)
        expect(client(path).completions.create(model="any", prompt="hi", max_tokens=9).choices[0].text, hello, path)


@case
def embeddings():
    for path in ("/vectors", "/vectors/v1", "/kept/vectors"):
        for _ in range(2):
            answer = client(path).embeddings.create(model="any", input=["a", "b"])
            expect([len(one.embedding) for one in answer.data], [1536, 1536], path)


def raised(kind, make):
    try:
        make()
    except kind as error:
        return error
    raise Mismatch(f"no {kind.__name__} was raised")


@case
def errors():
    for stream in (False, True):
        error = raised(openai.RateLimitError, lambda: ask("/busy", "text", stream=stream))
        expect(error.response.headers.get("retry-after"), "7", "retry-after")
        error = raised(openai.NotFoundError, lambda: ask("/nowhere", "text", stream=stream))
        expect_true(isinstance(error.body, dict) and error.body.get("message"), "an error that the SDK can read")
    stranger = client("/chat", "sk-nobody").chat.completions
    raised(openai.AuthenticationError, lambda: stranger.create(model="any", messages=[asks("text")]))


if __name__ == "__main__":
    print(json.dumps({"sdk": "openai-python", "version": openai.__version__, "base_url": ARGS.base_url}))
    run(CASES, ARGS)
