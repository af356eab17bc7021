"""The OpenAI SDK for Python against the unified API: one base URL, one key, and models of any provider.

Works with the 1.x and the 3.x line of the SDK.
Usage: unified_openai.py --base-url URL/v1 --key KEY --poor-key KEY --admin URL --prices JSON --event-prefix PREFIX
"""

import functools
import json
from decimal import Decimal

import openai
import pydantic
from openai import OpenAI

from harness import Bills, Mismatch, arguments, expect, expect_true, run
from talks import (
    ALL, ARGUMENTS, BEFORE, CITY, CLAUDE, COMPATIBLE, CONVERSE, CUT, EMBEDDINGS, HELLO, MAIN, NOVA, PICTURE, RESULTS, SCHEMA, SEEN,
    STOP, STOPPED, SUMMARY, THOUGHT, THOUGHTFUL, TOKENS, asks, each,
)

ARGS = arguments(__doc__.splitlines()[0])
BILLS = Bills(ARGS)
CASES = []
TOOL = {"type": "function", "function": {"name": "weather", "description": "Tells degrees.", "parameters": SCHEMA}}


class City(pydantic.BaseModel):
    city: str
    degrees: int


def case(function):
    CASES.append((function.__name__, function))
    return function


@functools.cache
def client(key=None):
    return OpenAI(base_url=ARGS.base_url, api_key=key or ARGS.key, max_retries=0, timeout=30.0)


def chat(name, model, stream, **more):
    """What the SDK shows of an answer: message, reason, usage."""
    more.setdefault("messages", [asks(name)])
    headers = BILLS.headers(f"chat-{name}", model, TOKENS["results" if len(more["messages"]) > 2 else name])
    create = client().chat.completions.create
    if not stream:
        answer = create(model=model, extra_headers=headers, **more)
        expect((answer.object, answer.model), ("chat.completion", model), "object and model")
        return answer.choices[0].message, answer.choices[0].finish_reason, answer.usage
    chunks = list(
        create(model=model, extra_headers=headers, stream=True, stream_options={"include_usage": True}, **more)
    )
    with_choices = [chunk for chunk in chunks if chunk.choices]
    expect(chunks[-1].choices, [], "the last chunk has the usage alone")
    expect([chunk for chunk in with_choices if chunk.usage], [], "usage in the last chunk only")
    expect(len({chunk.id for chunk in chunks}), 1, "one id")
    expect({chunk.model for chunk in chunks}, {model}, "the name that was asked for")
    return gathered(with_choices), with_choices[-1].choices[0].finish_reason, chunks[-1].usage


class Gathered:
    def __init__(self):
        self.content, self.reasoning_content, self.tool_calls = "", "", []


def gathered(chunks):
    """The message that the pieces of a stream make."""
    message = Gathered()
    for chunk in chunks:
        delta = chunk.choices[0].delta
        message.content += delta.content or ""
        message.reasoning_content += getattr(delta, "reasoning_content", None) or ""
        for piece in delta.tool_calls or []:
            if piece.index == len(message.tool_calls):
                message.tool_calls.append(piece)
            else:
                message.tool_calls[piece.index].function.arguments += piece.function.arguments or ""
    return message


def used(usage, name):
    have = (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)
    expect(have, (*TOKENS[name], sum(TOKENS[name])), "usage")


@case
def chat_text():
    for model, stream in each(ALL):
        message, reason, usage = chat("text", model, stream)
        expect((message.content, reason), (HELLO, "stop"), f"{model} {stream}")
        used(usage, "text")


@case
def chat_picture():
    url = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}}
    content = [{"type": "text", "text": "picture please"}, url]
    for model, stream in each(ALL):
        message, _, usage = chat("picture", model, stream, messages=[{"role": "user", "content": content}])
        expect(message.content, SEEN, f"{model} {stream}")
        used(usage, "picture")


@case
def chat_tools():
    for model, stream in each(ALL):
        message, reason, usage = chat("tools", model, stream, tools=[TOOL])
        calls = message.tool_calls
        expect([json.loads(call.function.arguments) for call in calls], ARGUMENTS, f"{model} {stream} arguments")
        expect([call.function.name for call in calls], ["weather"] * 2, "names")
        expect((reason, len({call.id for call in calls})), ("tool_calls", 2), "reason and ids")
        used(usage, "tools")
        made = [{"id": call.id, "type": "function", "function": call.function.model_dump()} for call in calls]
        results = [{"role": "tool", "tool_call_id": call.id, "content": text} for call, text in zip(calls, RESULTS)]
        talk = [
            {"role": "system", "content": "Be short."},
            asks("tools"),
            {"role": "assistant", "content": None, "tool_calls": made},
            *results,
        ]
        message, reason, usage = chat("tools", model, stream, messages=talk, tools=[TOOL])
        expect((message.content, reason), (SUMMARY, "stop"), f"{model} {stream}")
        used(usage, "results")


@case
def chat_careful_tools():
    # This form has no place for the proof of a thought: the model is asked to go on without thinking.
    for model, stream in each(MAIN):
        message, _, _ = chat("careful tools", model, stream, tools=[TOOL], reasoning_effort="low")
        expect((message.reasoning_content, message.content), (THOUGHT, BEFORE), f"{model} {stream}")
        calls = message.tool_calls
        made = [{"id": call.id, "type": "function", "function": call.function.model_dump()} for call in calls]
        results = [{"role": "tool", "tool_call_id": call.id, "content": text} for call, text in zip(calls, RESULTS)]
        talk = [asks("careful tools"), {"role": "assistant", "content": message.content, "tool_calls": made}, *results]
        last = chat("careful tools", model, stream, messages=talk, tools=[TOOL], reasoning_effort="low")
        expect(last[0].content, SUMMARY, f"{model} {stream}")


@case
def chat_cache():
    for model, stream in each(MAIN):
        cached = 8 if model == COMPATIBLE else 100
        whole = 20 if model == COMPATIBLE else 120
        headers = BILLS.headers("chat-cache", model, (whole, 3))
        options = {"model": model, "messages": [asks("cache")], "extra_headers": headers}
        if stream:
            options |= {"stream": True, "stream_options": {"include_usage": True}}
            usage = list(client().chat.completions.create(**options))[-1].usage
        else:
            usage = client().chat.completions.create(**options).usage
        have = (usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens, usage.completion_tokens)
        expect(have, (whole, cached, 3), f"{model} {stream}")


@case
def broken_streams():
    for model in ALL:
        for words in ("break", "overload"):
            messages = [asks(words)]
            stream = client().chat.completions.create(model=model, messages=messages, stream=True)
            error = raised(Exception, lambda: list(stream))
            known = (openai.APIError,) if words == "overload" else (openai.APIError, Exception)
            expect_true(isinstance(error, known), f"{model} {words}: {error!r}")
    for model in MAIN:
        events = list(client().responses.create(model=model, input=[asks("overload")], stream=True))
        expect(events[-1].type in ("response.failed", "error"), True, f"{model}: {events[-1].type}")


@case
def chat_thought():
    for model, stream in each(ALL):
        message, _, usage = chat("thought", model, stream, reasoning_effort="low")
        expect((message.reasoning_content, message.content), (THOUGHT, THOUGHTFUL), f"{model} {stream}")
        used(usage, "thought")


@case
def chat_length():
    for model, stream in each(ALL):
        message, reason, _ = chat("length", model, stream, max_tokens=1100)
        expect((message.content, reason), (CUT, "length"), f"{model} {stream}")


@case
def chat_stop():
    for model, stream in each(ALL):
        message, reason, _ = chat("stop", model, stream, stop=STOP)
        expect((message.content, reason), (STOPPED, "stop"), f"{model} {stream}")


@case
def chat_schema():
    for model in (*ALL, NOVA):
        for stream in (False, True):
            headers = BILLS.headers("chat-schema", model, TOKENS["schema"])
            options = {"model": model, "messages": [asks("schema")], "response_format": City, "extra_headers": headers}
            if stream:
                with client().chat.completions.stream(**options) as events:
                    answer = events.get_final_completion()
            else:
                answer = client().chat.completions.parse(**options)
            expect(answer.choices[0].message.parsed, City(**CITY), f"{model} {stream}")
            expect(answer.choices[0].finish_reason, "stop", f"{model} {stream}")


@case
def chat_without_usage():
    for model in ALL:
        headers = BILLS.headers("chat-text", model, TOKENS["text"])
        create = client().chat.completions.create
        chunks = list(create(model=model, messages=[asks("text")], stream=True, extra_headers=headers))
        expect([chunk for chunk in chunks if chunk.usage or not chunk.choices], [], f"{model}: no usage was asked for")
        expect(gathered(chunks).content, HELLO, model)


@case
def completions():
    for name, more, want in (
        ("text", {}, (HELLO, "stop")),
        ("length", {"max_tokens": 1100}, (CUT, "length")),
        ("stop", {"stop": [STOP]}, (STOPPED, "stop")),
    ):
        for model, stream in each(MAIN):
            headers = BILLS.headers(f"completions-{name}", model, TOKENS[name])
            options = {"model": model, "prompt": f"{name} please", "extra_headers": headers, **more}
            if stream:
                pieces = list(client().completions.create(stream=True, **options))
                have = ("".join(piece.choices[0].text for piece in pieces), pieces[-1].choices[0].finish_reason)
            else:
                answer = client().completions.create(**options)
                have = (answer.choices[0].text, answer.choices[0].finish_reason)
                expect((answer.usage.prompt_tokens, answer.usage.completion_tokens), TOKENS[name], "usage")
            expect(have, want, f"{model} {stream}")


def respond(name, model, stream, **more):
    """The response object, after the events of a stream have been checked against it."""
    tokens = TOKENS["results" if len(more.get("input", "")) > 2 else name]
    headers = BILLS.headers(f"responses-{name}", model, tokens)
    options = {"model": model, "input": [asks(name)], "store": False, "extra_headers": headers, **more}
    if not stream:
        answer = client().responses.create(**options)
    else:
        events = list(client().responses.create(stream=True, **options))
        expect([event.sequence_number for event in events], list(range(len(events))), "sequence numbers")
        expect([event.type for event in events[:2]], ["response.created", "response.in_progress"], "first events")
        answer = events[-1].response
        text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        expect(text, answer.output_text, "the deltas make the text")
        done = [event.item.to_dict() for event in events if event.type == "response.output_item.done"]
        expect(done, [item.to_dict() for item in answer.output], "the items make the output")
    expect((answer.usage.input_tokens, answer.usage.output_tokens), tokens, f"{model} {stream} usage")
    expect((answer.object, answer.model), ("response", model), "object and model")
    return answer


@case
def responses_text():
    for model, stream in each(MAIN):
        answer = respond("text", model, stream)
        expect((answer.output_text, answer.status), (HELLO, "completed"), f"{model} {stream}")


@case
def responses_picture():
    url = {"type": "input_image", "image_url": f"data:image/png;base64,{PICTURE}", "detail": "auto"}
    content = [{"type": "input_text", "text": "picture please"}, url]
    for model, stream in each(MAIN):
        answer = respond("picture", model, stream, input=[{"role": "user", "content": content}])
        expect(answer.output_text, SEEN, f"{model} {stream}")


@case
def responses_tools():
    tool = {"type": "function", "name": "weather", "parameters": SCHEMA, "strict": False}
    for model, stream in each(MAIN):
        answer = respond("tools", model, stream, tools=[tool])
        calls = [item for item in answer.output if item.type == "function_call"]
        expect([json.loads(call.arguments) for call in calls], ARGUMENTS, f"{model} {stream}")
        # As its documentation shows: the output goes back as it came.
        results = [
            {"type": "function_call_output", "call_id": call.call_id, "output": text}
            for call, text in zip(calls, RESULTS)
        ]
        answer = respond("tools", model, stream, input=[asks("tools"), *answer.output, *results], tools=[tool])
        expect(answer.output_text, SUMMARY, f"{model} {stream}")


def respond_carefully(model, stream, asked):
    """Thought, words and calls go back as they came, with the results."""
    tool = {"type": "function", "name": "weather", "parameters": SCHEMA, "strict": False}
    answer = respond("careful tools", model, stream, tools=[tool], **asked)
    calls = [item for item in answer.output if item.type == "function_call"]
    expect((answer.output_text, len(calls)), (BEFORE, 2), f"{model} {stream}")
    results = [
        {"type": "function_call_output", "call_id": call.call_id, "output": text} for call, text in zip(calls, RESULTS)
    ]
    talk = [asks("careful tools"), *answer.output, *results]
    return respond("careful tools", model, stream, input=talk, tools=[tool], **asked).output_text


@case
def responses_thought():
    for model, stream in each(MAIN):
        asked = {"reasoning": {"effort": "low", "summary": "auto"}, "include": ["reasoning.encrypted_content"]}
        answer = respond("thought", model, stream, **asked)
        thoughts = [item for item in answer.output if item.type == "reasoning"]
        expect([part.text for item in thoughts for part in item.summary], [THOUGHT], f"{model} {stream}")
        expect(answer.output_text, THOUGHTFUL, f"{model} {stream}")
        talk = respond_carefully(model, stream, asked)
        expect(talk, SUMMARY, f"{model} {stream}")
        if model == COMPATIBLE:
            continue
        # The proof of the thought travels in what only the gateway reads.
        talk = [asks("thought"), *answer.output, asks("kept thought")]
        headers = BILLS.headers("responses-kept", model, TOKENS["kept thought"])
        again = client().responses.create(model=model, input=talk, store=False, extra_headers=headers, **asked)
        expect(again.output_text, "It still is.", model)


@case
def responses_length():
    for model, stream in each(MAIN):
        answer = respond("length", model, stream, max_output_tokens=1100)
        expect((answer.output_text, answer.status), (CUT, "incomplete"), f"{model} {stream}")
        expect(answer.incomplete_details.reason, "max_output_tokens", "why")


@case
def responses_schema():
    for model in (*MAIN, NOVA):
        headers = BILLS.headers("responses-schema", model, TOKENS["schema"])
        options = {"model": model, "input": [asks("schema")], "text_format": City, "extra_headers": headers}
        expect(client().responses.parse(store=False, **options).output_parsed, City(**CITY), model)
        options["extra_headers"] = BILLS.headers("responses-schema", model, TOKENS["schema"])
        with client().responses.stream(store=False, **options) as events:
            list(events)
            expect(events.get_final_response().output_parsed, City(**CITY), f"{model} streamed")


@case
def embeddings():
    headers = BILLS.headers("embeddings", EMBEDDINGS, (8, 0))
    answer = client().embeddings.create(model=EMBEDDINGS, input=["a", "b"], extra_headers=headers)
    expect([len(one.embedding) for one in answer.data], [1536, 1536], "vectors")
    expect(answer.usage.prompt_tokens, 8, "usage")
    error = raised(openai.BadRequestError, lambda: client().embeddings.create(model=CONVERSE, input="a"))
    expect_true("does not serve embeddings" in error.message, error.message)


@case
def headers():
    more = {"seed": 7, "frequency_penalty": 0.5, "temperature": 0.3}
    for model, dropped in ((CONVERSE, "frequency_penalty,seed"), (CLAUDE, "frequency_penalty,seed"), (COMPATIBLE, None)):
        headers = BILLS.headers("headers", model, TOKENS["text"])
        create = client().chat.completions.with_raw_response.create
        raw = create(model=model, messages=[asks("text")], extra_headers=headers, **more)
        expect(raw.parse().choices[0].message.content, HELLO, model)
        told = raw.headers.get("x-tollgate-dropped-params")
        expect(told and ",".join(sorted(told.replace(" ", "").split(","))), dropped, f"{model} dropped")
        cost = sum(Decimal(price) * count for price, count in zip(ARGS.prices[model], TOKENS["text"])) / 1_000_000
        expect(Decimal(raw.headers["x-tollgate-cost-usd"]), cost, f"{model} cost")
        expect_true(raw.headers["x-tollgate-model"], "who really answered")


@case
def instructions():
    for model in MAIN:
        answer = client().responses.create(
            model=model, input="text please", instructions="Be short.", store=False, temperature=0.2,
            extra_headers=BILLS.headers("instructions", model, TOKENS["text"]),
        )
        expect((answer.output_text, answer.instructions, answer.temperature), (HELLO, "Be short.", 0.2), model)
        messages = [{"role": "developer", "content": "Be short."}, asks("text")]
        headers = BILLS.headers("developer", model, TOKENS["text"])
        answer = client().chat.completions.create(model=model, messages=messages, extra_headers=headers)
        expect(answer.choices[0].message.content, HELLO, model)


@case
def models():
    names = [model.id for model in client().models.list()]
    expect(sorted(set(ALL) - set(names)), [], "granted models are listed")
    one = client().models.retrieve(CONVERSE)
    expect((one.id, one.object), (CONVERSE, "model"), "one model")
    raised(openai.NotFoundError, lambda: client().models.retrieve("nobody"))


def raised(kind, make):
    try:
        make()
    except kind as error:
        return error
    raise Mismatch(f"no {kind.__name__} was raised")


def failing(model, words, stream, key=None):
    return lambda: client(key).chat.completions.create(model=model, messages=[asks(words)], stream=stream)


@case
def errors():
    for model, stream in each(ALL):
        error = raised(openai.BadRequestError, failing(model, "refuse", stream))
        expect_true(error.body.get("message") and error.type, f"{model}: an error object that the SDK can read: {error.body}")
        error = raised(openai.RateLimitError, failing(model, "busy", stream))
        expect(error.response.headers.get("retry-after"), "7", f"{model} retry-after")
        raised(openai.InternalServerError, failing(model, "fail", stream))
    error = raised(openai.APIStatusError, failing(CLAUDE, "text", False, ARGS.poor_key))
    expect((error.status_code, error.code), (402, "insufficient_quota"), "no money")
    error = raised(openai.AuthenticationError, failing(CLAUDE, "text", True, "nobody"))
    expect(error.code, "invalid_api_key", "code")
    error = raised(openai.NotFoundError, failing("no-model", "text", False))
    expect(error.code, "model_not_found", "code")
    for model in MAIN:
        error = raised(openai.BadRequestError, lambda: client().responses.create(model=model, input=[asks("refuse")]))
        expect_true(error.body.get("message"), "an error object that the SDK can read")


CASES.append(("bills", BILLS.check))

if __name__ == "__main__":
    print(json.dumps({"sdk": "openai-python", "version": openai.__version__, "base_url": ARGS.base_url}))
    run(CASES, ARGS)
