"""The official Anthropic SDK for Python against a base URL: the local upstream itself, or a gateway before it.

Works with the 0.x and the 2.x line of the SDK. Each request tells the local upstream in `metadata.user_id` what to
answer, so the same expectations hold with and without a gateway.
Usage: anthropic_check.py --base-url URL --key KEY [--upstream URL] ...
"""

import asyncio
import json

import anthropic
from anthropic import Anthropic, AsyncAnthropic

from harness import Mismatch, Upstream, arguments, expect, expect_true, run, until

ARGS = arguments(__doc__.splitlines()[0])
MODEL = "claude-opus-5-5"
HELLO = [{"role": "user", "content": "hello"}]
CASES = []
MAJOR = int(anthropic.__version__.split(".")[0])


def case(function):
    CASES.append((function.__name__, function))
    return function


def client(**more):
    more = {"max_retries": 0, "timeout": 30.0, "api_key": ARGS.key, **more}
    return Anthropic(base_url=ARGS.base_url, **more)


def body(commands, **more):
    """A request with the upstream's orders in it."""
    return {"model": MODEL, "max_tokens": 1024, "messages": HELLO, "metadata": {"user_id": json.dumps(commands)}, **more}


def words(count):
    return "".join(f" tok{at}" for at in range(count))


def raises(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise Mismatch(f"no {kind.__name__}")


@case
def message_unary():
    tokens = {"input": 11, "output": 7, "cached": 3, "cache_write": 5}
    answer = client().messages.create(**body({"content": "Grüße, 世界 🌍", "tokens": tokens}))
    expect(answer.content[0].text, "Grüße, 世界 🌍", "content")
    expect((answer.stop_reason, answer.model), ("end_turn", MODEL), "stop_reason and model")
    usage = answer.usage
    expect((usage.input_tokens, usage.output_tokens), (11, 7), "usage")
    expect((usage.cache_read_input_tokens, usage.cache_creation_input_tokens), (3, 5), "caches")
    expect(usage.cache_creation.ephemeral_5m_input_tokens, 5, "the split")
    expect_true(answer._request_id.startswith("req_"), "the provider's request id is there")


@case
def message_streamed():
    events = list(client().messages.create(stream=True, **body({"chunks": 50, "tokens": {"input": 12, "output": 60}})))
    text = "".join(e.delta.text for e in events if e.type == "content_block_delta")
    expect(text, words(50), "content")
    expect((events[0].type, events[-1].type), ("message_start", "message_stop"), "first and last")
    expect(events[0].message.usage.input_tokens, 12, "the input is told first")
    expect([e.usage.output_tokens for e in events if e.type == "message_delta"], [60], "the output last")


@case
def message_streamed_by_the_helper():
    for split in (1, 2, 7, 1000):
        with client().messages.stream(**body({"chunks": 12, "split": split, "tokens": {"reasoning": 4}})) as stream:
            expect("".join(stream.text_stream), words(12), f"split every {split} bytes")
            final = stream.get_final_message()
        expect([block.type for block in final.content], ["thinking", "text"], "blocks")
        expect(final.content[0].thinking, "A thought.", "thinking")
        expect((final.usage.input_tokens, final.usage.output_tokens), (19, 10), "usage")


@case
def message_streamed_text_in_many_scripts():
    text = "añ😀é日本語 👩‍👩‍👧 ok"
    for chunks in (1, 3, 40):
        with client().messages.stream(**body({"content": text, "chunks": chunks})) as stream:
            expect(stream.get_final_text(), text, f"in {chunks} pieces")


TOOL = {
    "name": "weather",
    "description": "The weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
CALL = {"name": "weather", "arguments": '{"city": "São Paulo"}'}


@case
def tools():
    answer = client().messages.create(tools=[TOOL], **body({"calls": [CALL, CALL]}))
    expect(answer.stop_reason, "tool_use", "stop_reason")
    expect([(b.name, b.input) for b in answer.content], [("weather", {"city": "São Paulo"})] * 2, "calls")
    result = {"type": "tool_result", "tool_use_id": answer.content[0].id, "content": "sun"}
    turns = HELLO + [{"role": "assistant", "content": answer.content}, {"role": "user", "content": [result]}]
    again = client().messages.create(tools=[TOOL], **body({"content": "sunny"}, messages=turns))
    expect(again.content[0].text, "sunny", "the second turn")


@case
def tools_streamed():
    with client().messages.stream(tools=[TOOL], **body({"calls": [CALL, CALL]})) as stream:
        final = stream.get_final_message()
    expect([b.input for b in final.content], [{"city": "São Paulo"}] * 2, "inputs")


@case
def beta_messages():
    answer = client().beta.messages.create(betas=["interleaved-thinking-2025-05-14"], **body({"content": "ok"}))
    expect(answer.content[0].text, "ok", "content")


@case
def count_tokens():
    counted = client().messages.count_tokens(model=MODEL, messages=HELLO, system="be short", tools=[TOOL])
    expect(counted.input_tokens, 19, "tokens")


@case
def models():
    sdk = client()
    expect([model.id for model in sdk.models.list()][0], MODEL, "first model")
    expect(sdk.models.retrieve(MODEL).id, MODEL, "one model")
    raises(anthropic.NotFoundError, lambda: sdk.models.retrieve("none"))


@case
def batches():
    sdk = client()
    params = {"model": MODEL, "max_tokens": 10, "messages": HELLO}
    made = sdk.messages.batches.create(requests=[{"custom_id": "one", "params": params}])
    expect(made.processing_status, "in_progress", "status")
    expect_true(len(list(sdk.messages.batches.list())) == 2, "a list")
    expect(sdk.messages.batches.cancel(made.id).processing_status, "canceling", "cancelled")
    # The SDK follows the address in the batch object, wherever that leads.
    if ARGS.base_url == ARGS.upstream:
        return {"skipped": "the results of the local upstream lie at the real API's host"}
    results = list(sdk.messages.batches.results(made.id))
    expect([result.custom_id for result in results], ["one"], "results")
    expect(results[0].result.message.usage.output_tokens, 10, "usage")
    expect(sdk.messages.batches.delete(made.id).type, "message_batch_deleted", "deleted")


@case
def files():
    sdk = client()
    content = bytes(range(256)) * 700
    made = sdk.beta.files.upload(file=("data.txt", content, "text/plain"))
    expect_true(made.id.startswith("file_"), "an id")
    expect(made.to_dict()["parts"]["file"]["length"], len(content), "what arrived")
    back = sdk.beta.files.download(made.id).read()
    expect((len(back), back[:2]), (4096, b"\xff\xfe"), "binary content is unchanged")
    expect(sdk.beta.files.delete(made.id).type, "file_deleted", "deleted")


@case
def errors_of_the_provider():
    sdk = client()
    for status, kind, name in (
        (400, anthropic.BadRequestError, "invalid_request_error"),
        (404, anthropic.NotFoundError, "not_found_error"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (500, anthropic.InternalServerError, "api_error"),
        (529, anthropic.APIStatusError, "overloaded_error"),
    ):
        headers = {"retry-after": "7"}
        for stream in (False, True):
            call = lambda: sdk.messages.create(stream=stream, **body({"status": status, "headers": headers}))
            error = raises(kind, call)
            expect((error.status_code, error.body["error"]["type"]), (status, name), "status and type")
            expect(error.response.headers["retry-after"], "7", "retry-after")
            expect_true(error.request_id.startswith("req_"), "the provider's request id is there")
    refused = raises(anthropic.BadRequestError, lambda: sdk.messages.create(**body({}, metadata={"user_id": "{"})))
    expect_true("upstream_act" in str(refused), "the upstream's own words")


@case
def an_unknown_key():
    error = raises(anthropic.AuthenticationError, lambda: client(api_key="nobody").messages.create(**body({})))
    expect((error.status_code, error.body["error"]["type"]), (401, "authentication_error"), "status and type")
    expect_true(error.request_id, "a request id")


@case
def retries():
    if not ARGS.upstream:
        return {"skipped": "no way to script the upstream"}
    busy = {"status": 529, "headers": {"retry-after-ms": "1"}}
    Upstream(ARGS.upstream).script(busy, busy)
    answer = client(max_retries=2).messages.create(**body({"content": "third time"}))
    expect(answer.content[0].text, "third time", "content")


@case
def overloaded_in_the_stream():
    fault = {"kind": "error_frame", "after": 5}
    stream = client().messages.create(stream=True, **body({"chunks": 9, "fault": fault}))
    error = raises(anthropic.APIStatusError, lambda: list(stream))
    expect(error.body["error"]["type"], "overloaded_error", "type")


@case
def a_broken_stream_raises():
    for fault in ({"kind": "close", "after": 5}, {"kind": "reset", "after": 5}, {"kind": "truncate"}):
        stream = client().messages.create(stream=True, **body({"chunks": 9, "fault": fault}))
        error = raises(Exception, lambda: list(stream))
        if ARGS.base_url != ARGS.upstream:
            expect(type(error.body), dict, f"{fault}: an error of the API's own shape")
            expect(error.body["error"]["type"], "api_error", "type")


@case
def the_client_leaves_mid_stream():
    before = Upstream(ARGS.upstream).stats()["aborted"] if ARGS.upstream else 0
    with client().messages.stream(**body({"chunks": 1000, "chunk_delay_ms": 20})) as stream:
        for at, _ in enumerate(stream):
            if at == 3:
                break
    if ARGS.upstream:
        until("the upstream call has ended", lambda: Upstream(ARGS.upstream).stats()["aborted"] > before)


@case
def a_legacy_text_completion():
    if MAJOR > 0:
        return {"skipped": "this SDK does not know them"}
    prompt = f"{anthropic.HUMAN_PROMPT} hello{anthropic.AI_PROMPT}"
    ask = {"model": "claude-2", "max_tokens_to_sample": 50, "prompt": prompt}
    orders = {"metadata": {"user_id": json.dumps({"chunks": 4})}}
    expect(client().completions.create(**ask, **orders).completion, words(4), "unary")
    pieces = list(client().completions.create(stream=True, **ask, **orders))
    expect("".join(piece.completion for piece in pieces), words(4), "streamed")


@case
def a_bearer_token():
    answer = client(api_key=None, auth_token=ARGS.key).messages.create(**body({"content": "ok"}))
    expect(answer.content[0].text, "ok", "content")


@case
def many_at_once():
    async def all_of_them():
        async with AsyncAnthropic(base_url=ARGS.base_url, api_key=ARGS.key, max_retries=0, timeout=30.0) as sdk:

            async def one(at):
                async with sdk.messages.stream(**body({"content": f"answer {at}", "chunks": 5})) as stream:
                    return await stream.get_final_text()

            return await asyncio.gather(*(one(at) for at in range(40)))

    expect(asyncio.run(all_of_them()), [f"answer {at}" for at in range(40)], "answers")


if __name__ == "__main__":
    print(json.dumps({"sdk": "anthropic-python", "version": anthropic.__version__, "base_url": ARGS.base_url}), flush=True)
    run(CASES, ARGS)
