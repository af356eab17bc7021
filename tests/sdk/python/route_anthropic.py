"""The official Anthropic SDK for Python whose base URL is a route: what answers is behind steps that fail.

Usage: route_anthropic.py --base-url URL/api/routes --key KEY
"""

import functools
import json

import anthropic
from anthropic import Anthropic

from harness import Mismatch, arguments, expect, expect_true, run
from talks import ARGUMENTS, HELLO, RESULTS, SCHEMA, SUMMARY, asks

ARGS = arguments(__doc__.splitlines()[0])
CASES = []
# Behind the first is OpenAI; the form of the second is Anthropic's own.
CHATS = ("/chat", "/claude", "/kept/chat", "/kept/claude")
TOOL = {"name": "weather", "description": "Tells degrees.", "input_schema": SCHEMA}


def case(function):
    CASES.append((function.__name__, function))
    return function


@functools.cache
def client(path, key=None):
    return Anthropic(base_url=ARGS.base_url + path, api_key=key or ARGS.key, max_retries=0, timeout=30.0)


def message(path, words, stream, **more):
    options = {"model": "any", "max_tokens": 1024, "messages": [asks(words)], **more}
    if not stream:
        return client(path).messages.create(**options)
    with client(path).messages.stream(**options) as events:
        kinds = [event.type for event in events]
        answer = events.get_final_message()
    expect((kinds[0], kinds[-1]), ("message_start", "message_stop"), f"{path}: first and last event")
    return answer


def said(answer):
    return "".join(block.text for block in answer.content if block.type == "text")


def each():
    """Twice, so that kept answers are read; in both forms, so that one is made of the other."""
    return [(path, stream) for path in CHATS for stream in (False, True, True, False)]


@case
def text():
    for path, stream in each():
        answer = message(path, "text", stream, system="Be short.")
        expect((said(answer), answer.stop_reason), (HELLO, "end_turn"), f"{path} {stream}")
        expect((answer.usage.input_tokens, answer.usage.output_tokens), (11, 7), f"{path} {stream} usage")


@case
def tools():
    for path, stream in each():
        asked = message(path, "tools", stream, tools=[TOOL])
        calls = [block for block in asked.content if block.type == "tool_use"]
        expect([call.input for call in calls], ARGUMENTS, f"{path} {stream}")
        expect(asked.stop_reason, "tool_use", f"{path} {stream}")
        results = [{"type": "tool_result", "tool_use_id": call.id, "content": told} for call, told in zip(calls, RESULTS)]
        turns = [asks("tools"), {"role": "assistant", "content": asked.content}, {"role": "user", "content": results}]
        expect(said(message(path, "tools", stream, tools=[TOOL], messages=turns)), SUMMARY, f"{path} {stream}")


def raised(kind, make):
    try:
        make()
    except kind as error:
        return error
    raise Mismatch(f"no {kind.__name__} was raised")


@case
def errors():
    for stream in (False, True):
        error = raised(anthropic.RateLimitError, lambda: message("/busy", "text", stream))
        expect(error.body["error"]["type"], "rate_limit_error", "type")
        expect(error.response.headers.get("retry-after"), "7", "retry-after")
        error = raised(anthropic.NotFoundError, lambda: message("/nowhere", "text", stream))
        expect_true(isinstance(error.body, dict) and error.body["error"]["message"], "an error that the SDK can read")
    stranger = client("/chat", "sk-nobody").messages
    make = lambda: stranger.create(model="any", max_tokens=9, messages=[asks("text")])  # noqa: E731
    raised(anthropic.AuthenticationError, make)


if __name__ == "__main__":
    print(json.dumps({"sdk": "anthropic-python", "version": anthropic.__version__, "base_url": ARGS.base_url}))
    run(CASES, ARGS)
