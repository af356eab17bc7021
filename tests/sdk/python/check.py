"""The official OpenAI SDK for Python against a base URL: the local upstream itself, or a gateway before it.

Works with the 1.x and the 3.x line of the SDK. Each request tells the local upstream in `user` what to answer, so the
same expectations hold with and without a gateway. Usage: check.py --base-url URL/v1 --key KEY [--upstream URL] ...
"""

import asyncio
import json
import os
from decimal import Decimal

import openai
from openai import AsyncOpenAI, OpenAI

from harness import Mismatch, Upstream, arguments, event, expect, expect_true, run, until

ARGS = arguments(__doc__.splitlines()[0])
HELLO = [{"role": "user", "content": "hello"}]
CASES = []
HERE = os.path.dirname(os.path.abspath(__file__))


def case(function):
    CASES.append((function.__name__, function))
    return function


def client(name=None, **more):
    headers = {"x-custom-event-id": f"{ARGS.event_prefix}-{name}"} if name and ARGS.event_prefix else None
    more = {"max_retries": 0, "timeout": 30.0, **more}
    return OpenAI(base_url=ARGS.base_url, api_key=ARGS.key, default_headers=headers, **more)


def act(**commands):
    """The upstream's orders for this request."""
    return {"user": json.dumps(commands)}


def chat(sdk, commands=None, **more):
    more.setdefault("messages", HELLO)
    return sdk.chat.completions.create(
        model=more.pop("model", "gpt-4o"), extra_body=act(**commands) if commands else None, **more
    )


def said(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


@case
def chat_unary():
    answer = chat(client(), {"content": "Grüße, 世界 🌍", "tokens": {"input": 11, "output": 7}})
    expect(answer.choices[0].message.content, "Grüße, 世界 🌍", "content")
    expect(answer.choices[0].finish_reason, "stop", "finish_reason")
    expect((answer.usage.prompt_tokens, answer.usage.completion_tokens), (11, 7), "usage")
    return {"usage": [11, 7]}


@case
def chat_streamed_without_usage():
    chunks = list(chat(client(), {"chunks": 50}, stream=True))
    expect(said(chunks), "".join(f" tok{at}" for at in range(50)), "content")
    expect([chunk.usage for chunk in chunks if chunk.usage], [], "no usage was asked for")
    expect([chunk for chunk in chunks if not chunk.choices], [], "no chunk without choices")
    expect(chunks[-1].choices[0].finish_reason, "stop", "finish_reason")
    expect([chunk for chunk in chunks if "usage" in chunk.to_dict()], [], "no usage member")


@case
def chat_streamed_with_usage():
    tokens = {"input": 1000, "cached": 200, "output": 60, "reasoning": 10}
    chunks = list(chat(client(), {"chunks": 5, "tokens": tokens}, stream=True, stream_options={"include_usage": True}))
    *earlier, last = chunks
    expect(last.choices, [], "the last chunk has no choices")
    expect((last.usage.prompt_tokens, last.usage.completion_tokens), (1000, 60), "usage")
    expect(last.usage.prompt_tokens_details.cached_tokens, 200, "cached")
    expect(last.usage.completion_tokens_details.reasoning_tokens, 10, "reasoning")
    expect([chunk.usage for chunk in earlier if chunk.usage], [], "usage in the last chunk only")
    expect(said(earlier), " tok0 tok1 tok2 tok3 tok4", "content")


@case
def chat_streamed_text_in_many_scripts():
    text = "añ😀é日本語 👩‍👩‍👧 ok"
    for chunks in (1, 3, 40):
        expect(said(chat(client(), {"content": text, "chunks": chunks}, stream=True)), text, f"in {chunks} pieces")


@case
def chat_streamed_in_odd_network_pieces():
    for size in (1, 2, 7, 1000):
        chunks = list(chat(client(), {"chunks": 12, "split": size}, stream=True))
        expect(said(chunks), "".join(f" tok{at}" for at in range(12)), f"split every {size} bytes")


@case
def chat_streamed_with_obfuscation():
    chunks = list(chat(client(), {"chunks": 4, "obfuscation": True}, stream=True))
    expect(said(chunks), " tok0 tok1 tok2 tok3", "content")
    expect_true(all(chunk.to_dict().get("obfuscation") for chunk in chunks), "obfuscation passes through")


TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
CALL = {"name": "weather", "arguments": '{"city": "São Paulo"}'}


@case
def chat_tools():
    answer = chat(client(), {"calls": [CALL, CALL]}, tools=[TOOL])
    calls = answer.choices[0].message.tool_calls
    expect([call.function.name for call in calls], ["weather", "weather"], "names")
    expect(json.loads(calls[1].function.arguments), {"city": "São Paulo"}, "arguments")
    expect(answer.choices[0].finish_reason, "tool_calls", "finish_reason")


@case
def chat_tools_streamed():
    arguments = {}
    for chunk in chat(client(), {"calls": [CALL, CALL]}, tools=[TOOL], stream=True):
        for delta in chunk.choices[0].delta.tool_calls or []:
            arguments[delta.index] = arguments.get(delta.index, "") + (delta.function.arguments or "")
    expect(arguments, {0: CALL["arguments"], 1: CALL["arguments"]}, "arguments")


@case
def chat_many_choices():
    answer = chat(client(), {"content": "same"}, n=3)
    expect([choice.message.content for choice in answer.choices], ["same"] * 3, "choices")


@case
def chat_long_prompt():
    text = "0123456789abcdef" * 65536
    answer = chat(client(), {"content": "read"}, messages=[{"role": "user", "content": text}])
    expect(answer.choices[0].message.content, "read", "content")


@case
def completions():
    sdk = client()
    answer = sdk.completions.create(model="gpt-3.5-turbo-instruct", prompt="hi", extra_body=act(content="there"))
    expect(answer.choices[0].text, "there", "text")
    stream = sdk.completions.create(model="gpt-3.5-turbo-instruct", prompt="hi", stream=True, extra_body=act(chunks=3))
    expect("".join(chunk.choices[0].text for chunk in stream), " tok0 tok1 tok2", "streamed text")


@case
def responses_unary():
    tokens = {"input": 40, "cached": 8, "output": 20, "reasoning": 5}
    answer = client().responses.create(model="gpt-5", input="hi", extra_body=act(content="fine", tokens=tokens))
    expect(answer.output_text, "fine", "output_text")
    expect((answer.usage.input_tokens, answer.usage.output_tokens), (40, 20), "usage")
    expect(answer.usage.input_tokens_details.cached_tokens, 8, "cached")
    expect(answer.usage.output_tokens_details.reasoning_tokens, 5, "reasoning")


@case
def responses_streamed():
    stream = client().responses.create(model="gpt-5", input="hi", stream=True, extra_body=act(chunks=6))
    events = list(stream)
    expect([one.sequence_number for one in events], list(range(len(events))), "sequence numbers")
    deltas = [one.delta for one in events if one.type == "response.output_text.delta"]
    expect(deltas, [f" tok{at}" for at in range(6)], "deltas")
    expect(events[-1].type, "response.completed", "last event")
    expect(events[-1].response.usage.output_tokens, 10, "usage of the completed response")


@case
def responses_tools_streamed():
    stream = client().responses.create(model="gpt-5", input="hi", stream=True, extra_body=act(calls=[CALL]))
    events = list(stream)
    deltas = [one.delta for one in events if one.type == "response.function_call_arguments.delta"]
    expect("".join(deltas), CALL["arguments"], "arguments")
    expect(events[-1].response.output[0].name, "weather", "call in the completed response")


@case
def embeddings():
    sdk = client()
    # The SDK asks for base64 by itself and decodes it.
    default = sdk.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
    floats = sdk.embeddings.create(model="text-embedding-3-small", input=["a", "b"], encoding_format="float")
    expect(len(default.data), 2, "vectors")
    expect(len(default.data[0].embedding), 1536, "dimensions")
    expect([one.embedding for one in default.data], [one.embedding for one in floats.data], "both encodings")
    expect(default.usage.prompt_tokens, 8, "usage")


@case
def models():
    sdk = client()
    names = [model.id for model in sdk.models.list()]
    expect_true("gpt-4o" in names, f"gpt-4o among {names}")
    expect(sdk.models.retrieve("gpt-4o").id, "gpt-4o", "one model")


@case
def moderations():
    answer = client().moderations.create(model="omni-moderation-latest", input="hello")
    expect(answer.results[0].flagged, False, "flagged")


@case
def files_and_audio():
    sdk = client()
    content = bytes(range(256)) * 700
    created = sdk.files.create(file=("data.bin", content), purpose="batch")
    expect((created.bytes, created.filename, created.purpose), (len(content), "data.bin", "batch"), "upload")
    want = bytes(range(255, -1, -1))
    expect(sdk.files.content(created.id).read(), want * 16, "download")
    expect(sdk.files.delete(created.id).deleted, True, "deleted")
    expect(sdk.audio.speech.create(model="tts-1", voice="alloy", input="hello").read(), want * 32, "speech")


def raised(kind, make):
    try:
        make()
    except kind as error:
        return error
    raise Mismatch(f"no {kind.__name__} was raised")


@case
def error_wrong_key():
    sdk = OpenAI(base_url=ARGS.base_url, api_key="sk-nobody", max_retries=0)
    error = raised(openai.AuthenticationError, lambda: chat(sdk))
    expect(error.status_code, 401, "status")
    expect_true(isinstance(error.body, dict) and error.body.get("message"), "an error object that the SDK can read")
    expect_true("sk-nobody" not in str(error), "the key is not repeated")


@case
def error_statuses():
    for status, kind in (
        (400, openai.BadRequestError),
        (404, openai.NotFoundError),
        (422, openai.UnprocessableEntityError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ):
        for stream in (False, True):
            error = raised(kind, lambda: chat(client(), {"status": status}, stream=stream))
            expect(error.status_code, status, "status")


@case
def error_rate_limit():
    command = {"status": 429, "headers": {"retry-after": "7"}}
    error = raised(openai.RateLimitError, lambda: chat(client(), command))
    expect(error.response.headers.get("retry-after"), "7", "retry-after")
    expect(error.code, "rate_limit_exceeded", "code")


@case
def retries_after_a_rate_limit():
    if not ARGS.upstream:
        return {"skipped": "needs --upstream"}
    upstream = Upstream(ARGS.upstream)
    upstream.script({"path": "chat/completions", "status": 429, "headers": {"retry-after-ms": "10"}})
    before = upstream.stats()["requests"]
    expect(chat(client(max_retries=2), {"content": "second try"}).choices[0].message.content, "second try", "content")
    expect(upstream.stats()["requests"] - before, 2 + 1, "two tries and this look")


@case
def error_frame_in_the_stream():
    stream = chat(client(), {"chunks": 9, "fault": {"kind": "error_frame", "after": 3}}, stream=True)
    error = raised(openai.APIError, lambda: list(stream))
    expect_true("had an error" in str(error), f"the upstream's own text, not {error}")


@case
def broken_stream_raises():
    kinds = []
    for fault in ({"kind": "close", "after": 3}, {"kind": "reset", "after": 3}, {"kind": "truncate"}):
        stream = chat(client(), {"chunks": 9, "fault": fault}, stream=True)
        error = raised(Exception, lambda: list(stream))
        kinds.append(type(error).__name__)
    return {"raised": kinds}


def left(upstream, before):
    if upstream:
        until("the upstream call has ended", lambda: upstream.stats()["aborted"] > before)


@case
def client_leaves_mid_stream():
    upstream = Upstream(ARGS.upstream) if ARGS.upstream else None
    before = upstream.stats()["aborted"] if upstream else 0
    stream = chat(client(), {"chunks": 1000, "chunk_delay_ms": 20}, stream=True)
    for _ in range(3):
        next(stream)
    stream.close()
    left(upstream, before)


@case
def client_times_out():
    upstream = Upstream(ARGS.upstream) if ARGS.upstream else None
    for fault, stream in (({"kind": "stall"}, False), ({"kind": "stall", "after": 2}, True)):
        before = upstream.stats()["aborted"] if upstream else 0
        sdk = client(timeout=0.5)
        make = lambda: list(chat(sdk, {"fault": fault}, stream=True)) if stream else chat(sdk, {"fault": fault})
        # While a stream is read, the SDK lets the transport's own exception through.
        error = raised(Exception, make)
        expect_true("timeout" in type(error).__name__.lower(), f"a timeout, not {error!r}")
        left(upstream, before)


@case
def many_at_once():
    async def one(sdk, at):
        commands = {"content": f"answer {at}", "chunks": 5, "chunk_delay_ms": 5}
        stream = await sdk.chat.completions.create(
            model="gpt-4o", messages=HELLO, stream=True, extra_body=act(**commands)
        )
        return said([chunk async for chunk in stream])

    async def all_of_them():
        async with AsyncOpenAI(base_url=ARGS.base_url, api_key=ARGS.key, max_retries=0) as sdk:
            return await asyncio.gather(*(one(sdk, at) for at in range(40)))

    expect(asyncio.run(all_of_them()), [f"answer {at}" for at in range(40)], "each its own answer")


def vector(one, stream):
    name = one["id"] + ("-streamed" if stream else "")
    commands = {"tokens": one["tokens"]}
    if "service_tier" in one:
        commands["service_tier"] = one["service_tier"]
    sdk = client(name)
    body = act(**commands)
    if one["endpoint"] == "embeddings":
        usage = sdk.embeddings.create(model=one["model"], input="x", extra_body=body).usage
        have = [usage.prompt_tokens]
    elif one["endpoint"] == "responses":
        answer = sdk.responses.create(model=one["model"], input="x", stream=stream, extra_body=body)
        usage = (list(answer)[-1].response if stream else answer).usage
        have = [usage.input_tokens, usage.output_tokens]
    else:
        options = {"n": one.get("n", 1), "model": one["model"], "stream": stream}
        if stream:
            # Nobody asks for usage here: the bill must be right all the same.
            list(chat(sdk, commands, **options))
            have = None
        else:
            usage = chat(sdk, commands, **options).usage
            have = [usage.prompt_tokens, usage.completion_tokens]
    want = [count for count in (one["tokens"].get("input"), one["tokens"].get("output")) if count is not None]
    if have is not None:
        expect(have, want, "usage")
    if not (ARGS.admin and ARGS.event_prefix):
        return {"usd": one["usd"], "checked": "usage"}
    booked = event(ARGS, f"{ARGS.event_prefix}-{name}")
    expect(Decimal(booked["cost_in_usd"]), Decimal(one["usd"]), "cost_in_usd")
    expect(booked["prompt_token_count"], want[0], "prompt_token_count")
    return {"usd": one["usd"], "checked": "cost"}


with open(os.path.join(HERE, "..", "vectors.json"), encoding="utf-8") as file:
    for one in json.load(file):
        CASES.append((one["id"], lambda one=one: vector(one, False)))
        if one["endpoint"] != "embeddings":
            CASES.append((one["id"] + "-streamed", lambda one=one: vector(one, True)))

if __name__ == "__main__":
    print(json.dumps({"sdk": "openai-python", "version": openai.__version__, "base_url": ARGS.base_url}))
    run(CASES, ARGS)
