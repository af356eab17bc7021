"""The Anthropic SDK for Python against the unified API: one base URL, one key, and models of any provider.

Works with the 0.x and the 2.x line of the SDK.
Usage: unified_anthropic.py --base-url URL --key KEY --poor-key KEY --admin URL --prices JSON --event-prefix PREFIX
"""

import functools
import json

import anthropic
from anthropic import Anthropic

from harness import Bills, Mismatch, arguments, expect, expect_true, run
from talks import (
    ALL, ARGUMENTS, CITY, CLAUDE, COMPATIBLE, CONVERSE, CUT, GEMINI, HELLO, MAIN, NOVA, OLLAMA, PICTURE, RESULTS, SCHEMA,
    SEEN, STILL, STOP, STOPPED, SUMMARY, THOUGHT, THOUGHTFUL, TOKENS, asks, each,
)

ARGS = arguments(__doc__.splitlines()[0])
BILLS = Bills(ARGS)
CASES = []
TOOL = {"name": "weather", "description": "Tells degrees.", "input_schema": SCHEMA}


def case(function):
    CASES.append((function.__name__, function))
    return function


@functools.cache
def client(key=None):
    return Anthropic(base_url=ARGS.base_url, api_key=key or ARGS.key, max_retries=0, timeout=30.0)


def message(name, model, stream, tokens=None, **more):
    """The message of an answer, or what the SDK's helper makes of a stream."""
    tokens = tokens or TOKENS[name]
    headers = BILLS.headers(name.replace(" ", "-"), model, tokens)
    options = {"max_tokens": 2048, "messages": [asks(name)], **more, "model": model, "extra_headers": headers}
    if stream:
        with client().messages.stream(**options) as events:
            kinds = [event.type for event in events]
            answer = events.get_final_message()
        expect((kinds[0], kinds[-1]), ("message_start", "message_stop"), "first and last event")
        expect(kinds.count("content_block_start"), kinds.count("content_block_stop"), "blocks begin and end")
    else:
        answer = client().messages.create(**options)
    expect((answer.type, answer.role, answer.model), ("message", "assistant", model), "what it is")
    expect((answer.usage.input_tokens, answer.usage.output_tokens), tokens, f"{model} {stream} usage")
    return answer


def said(answer):
    return "".join(block.text for block in answer.content if block.type == "text")


@case
def text():
    for model, stream in each(ALL):
        answer = message("text", model, stream, system="Be short.")
        expect((said(answer), answer.stop_reason), (HELLO, "end_turn"), f"{model} {stream}")


@case
def text_raw_events():
    for model in ALL:
        headers = BILLS.headers("raw", model, TOKENS["text"])
        options = {"max_tokens": 2048, "messages": [asks("text")], "model": model, "extra_headers": headers}
        events = list(client().messages.create(stream=True, **options))
        deltas = [event.delta for event in events if event.type == "content_block_delta"]
        expect("".join(delta.text for delta in deltas), HELLO, model)
        expect(events[-2].usage.output_tokens, TOKENS["text"][1], f"{model}: usage in message_delta")


@case
def picture():
    source = {"type": "base64", "media_type": "image/png", "data": PICTURE}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "picture please"}]
    for model, stream in each(ALL):
        answer = message("picture", model, stream, messages=[{"role": "user", "content": content}])
        expect(said(answer), SEEN, f"{model} {stream}")


@case
def tools():
    for model, stream in each(ALL):
        answer = message("tools", model, stream, tools=[TOOL])
        calls = [block for block in answer.content if block.type == "tool_use"]
        expect([(call.name, call.input) for call in calls], [("weather", one) for one in ARGUMENTS], f"{model} {stream}")
        expect((answer.stop_reason, len({call.id for call in calls})), ("tool_use", 2), "reason and ids")
        results = [
            {"type": "tool_result", "tool_use_id": call.id, "content": told} for call, told in zip(calls, RESULTS)
        ]
        talk = [
            asks("tools"),
            {"role": "assistant", "content": answer.content},
            {"role": "user", "content": results},
        ]
        answer = message("tools", model, stream, tokens=TOKENS["results"], messages=talk, tools=[TOOL])
        expect((said(answer), answer.stop_reason), (SUMMARY, "end_turn"), f"{model} {stream}")


@case
def careful_tools():
    thinking = {"type": "enabled", "budget_tokens": 1024}
    for model, stream in each(MAIN):
        asked = message("careful tools", model, stream, tools=[TOOL], thinking=thinking)
        expect([block.type for block in asked.content], ["thinking", "text", "tool_use", "tool_use"], f"{model} {stream}")
        calls = asked.content[2:]
        results = [
            {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": told}]}
            for call, told in zip(calls, RESULTS)
        ]
        talk = [asks("careful tools"), {"role": "assistant", "content": asked.content}, {"role": "user", "content": results}]
        options = {"messages": talk, "tools": [TOOL], "thinking": thinking, "tokens": TOKENS["results"]}
        expect(said(message("careful tools", model, stream, **options)), SUMMARY, f"{model} {stream}")


@case
def cache():
    for model, stream in each(MAIN):
        # What OpenAI counts among the input, Anthropic counts beside it.
        fresh, cached = (12, 8) if model == COMPATIBLE else (20, 100)
        headers = BILLS.headers("cache", model, (fresh + cached, 3))
        options = {"max_tokens": 2048, "messages": [asks("cache")], "model": model, "extra_headers": headers}
        if stream:
            with client().messages.stream(**options) as events:
                usage = events.get_final_message().usage
        else:
            usage = client().messages.create(**options).usage
        have = (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens)
        expect(have, (fresh, cached, 3), f"{model} {stream}")


@case
def broken_streams():
    for model in ALL:
        for words in ("break", "overload"):
            stream = client().messages.create(model=model, max_tokens=100, messages=[asks(words)], stream=True)
            error = raised(Exception, lambda: list(stream))
            known = anthropic.APIError if words == "overload" else Exception
            expect_true(isinstance(error, known), f"{model} {words}: {error!r}")


@case
def thought():
    thinking = {"type": "enabled", "budget_tokens": 1024}
    for model, stream in each(ALL):
        answer = message("thought", model, stream, thinking=thinking)
        first = answer.content[0]
        expect((first.type, first.thinking, said(answer)), ("thinking", THOUGHT, THOUGHTFUL), f"{model} {stream}")
        if model not in (CLAUDE, CONVERSE):
            continue
        # The SDK sends the whole turn back; the proof must reach the model that made it.
        expect(first.signature, "c2ln", f"{model} {stream} signature")
        talk = [asks("thought"), {"role": "assistant", "content": answer.content}, asks("kept thought")]
        again = message("kept thought", model, stream, thinking=thinking, messages=talk)
        expect(said(again), STILL, f"{model} {stream}")


@case
def a_thought_of_another_model_is_no_obstacle():
    thought_of_nobody = {"type": "thinking", "thinking": THOUGHT, "signature": "c2ln"}
    turn = {"role": "assistant", "content": [thought_of_nobody, {"type": "text", "text": THOUGHTFUL}]}
    for model, stream in each((COMPATIBLE, OLLAMA, GEMINI)):
        talk = [asks("thought"), turn, asks("text")]
        expect(said(message("text", model, stream, messages=talk)), HELLO, f"{model} {stream}")


@case
def length():
    for model, stream in each(ALL):
        answer = message("length", model, stream, max_tokens=1100)
        expect((said(answer), answer.stop_reason), (CUT, "max_tokens"), f"{model} {stream}")


@case
def stop():
    for model, stream in each(ALL):
        answer = message("stop", model, stream, stop_sequences=[STOP])
        expect(said(answer), STOPPED, f"{model} {stream}")
        # Others do not tell what ended their answer.
        want = ("stop_sequence", STOP) if model in (CLAUDE, CONVERSE) else ("end_turn", None)
        expect((answer.stop_reason, answer.stop_sequence), want, f"{model} {stream}")


@case
def schema():
    schema = {**SCHEMA, "properties": {"city": {"type": "string"}, "degrees": {"type": "integer"}}}
    output = {"format": {"type": "json_schema", "schema": {**schema, "additionalProperties": False}}}
    for model, stream in each((*ALL, NOVA)):
        answer = message("schema", model, stream, extra_body={"output_config": output})
        expect((json.loads(said(answer)), answer.stop_reason), (CITY, "end_turn"), f"{model} {stream}")


@case
def models():
    names = [model.id for model in client().models.list()]
    expect(sorted(set(ALL) - set(names)), [], "granted models are listed")
    expect(client().models.retrieve(CLAUDE).id, CLAUDE, "one model")


def raised(kind, make):
    try:
        make()
    except kind as error:
        return error
    raise Mismatch(f"no {kind.__name__} was raised")


def failing(model, words, stream, key=None):
    return lambda: client(key).messages.create(model=model, max_tokens=100, messages=[asks(words)], stream=stream)


@case
def errors():
    for model, stream in each(ALL):
        error = raised(anthropic.BadRequestError, failing(model, "refuse", stream))
        expect(error.body["error"]["type"], "invalid_request_error", f"{model} type")
        error = raised(anthropic.RateLimitError, failing(model, "busy", stream))
        expect(error.body["error"]["type"], "rate_limit_error", f"{model} type")
        expect(error.response.headers.get("retry-after"), "7", f"{model} retry-after")
        raised(anthropic.InternalServerError, failing(model, "fail", stream))
    error = raised(anthropic.APIStatusError, failing(COMPATIBLE, "text", False, ARGS.poor_key))
    expect((error.status_code, error.body["error"]["type"]), (402, "billing_error"), "no money")
    error = raised(anthropic.AuthenticationError, failing(CLAUDE, "text", True, "nobody"))
    expect(error.body["error"]["type"], "authentication_error", "type")
    error = raised(anthropic.NotFoundError, failing("no-model", "text", False))
    expect_true("no-model" in error.body["error"]["message"], "the model is named")


CASES.append(("bills", BILLS.check))

if __name__ == "__main__":
    print(json.dumps({"sdk": "anthropic-python", "version": anthropic.__version__, "base_url": ARGS.base_url}))
    run(CASES, ARGS)
