"""The OpenAI and the Anthropic SDK against the unified API, with aimock in every provider's place.

Nobody here wrote that upstream: what it makes of a translated request is its own opinion. It counts tokens by itself where
`../aimock/fixtures.json` does not say; the bill must be what the client was told.
Usage: unified_aimock.py --base-url ROOT --key KEY --admin URL --admin-pass PASS --prices JSON --event-prefix PREFIX
"""

import json

import anthropic
import openai

from harness import Bills, Mismatch, arguments, expect, run

ARGS = arguments(__doc__.splitlines()[0])
BILLS = Bills(ARGS)
MODELS = [(model, stream) for model in ARGS.prices for stream in (False, True)]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
HELLO = "Hello there, world!"
CASES = []
OPENAI = openai.OpenAI(base_url=f"{ARGS.base_url}/v1", api_key=ARGS.key, max_retries=0, timeout=30.0)
ANTHROPIC = anthropic.Anthropic(base_url=ARGS.base_url, api_key=ARGS.key, max_retries=0, timeout=30.0)


def case(function):
    CASES.append((function.__name__, function))
    return function


def user(text):
    return {"role": "user", "content": text}


def chat(model, stream, messages, **more):
    headers = BILLS.headers("chat", model)
    options = {"model": model, "messages": messages, "extra_headers": headers, **more}
    if stream:
        with OPENAI.chat.completions.stream(stream_options={"include_usage": True}, **options) as events:
            answer = events.get_final_completion()
    else:
        answer = OPENAI.chat.completions.create(**options)
    BILLS.used(headers, (answer.usage.prompt_tokens, answer.usage.completion_tokens))
    return answer.choices[0].message


def message(model, stream, messages, **more):
    headers = BILLS.headers("message", model)
    options = {"model": model, "messages": messages, "max_tokens": 2048, "extra_headers": headers, **more}
    if stream:
        with ANTHROPIC.messages.stream(**options) as events:
            answer = events.get_final_message()
    else:
        answer = ANTHROPIC.messages.create(**options)
    BILLS.used(headers, (answer.usage.input_tokens, answer.usage.output_tokens))
    return answer.content


def said(content):
    return "".join(block.text for block in content if block.type == "text")


@case
def text():
    for model, stream in MODELS:
        expect(chat(model, stream, [user("hello")]).content, HELLO, f"{model} {stream}")
        expect(said(message(model, stream, [user("hello")], system="Be short.")), HELLO, f"{model} {stream}")


@case
def chat_tools():
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}]
    for model, stream in MODELS:
        (call,) = chat(model, stream, [user("weather")], tools=tools).tool_calls
        given = (call.function.name, json.loads(call.function.arguments))
        expect(given, ("get_weather", {"city": "Paris"}), f"{model} {stream}")
        function = {"name": call.function.name, "arguments": call.function.arguments}
        made = {"role": "assistant", "content": None, "tool_calls": [{"id": call.id, "type": "function", "function": function}]}
        result = {"role": "tool", "tool_call_id": call.id, "content": "18 degrees"}
        last = chat(model, stream, [user("weather"), made, result], tools=tools)
        expect(last.content, "Mild in Paris.", f"{model} {stream}")


@case
def message_tools():
    tools = [{"name": "get_weather", "input_schema": SCHEMA}]
    for model, stream in MODELS:
        asked = message(model, stream, [user("weather")], tools=tools)
        (call,) = [block for block in asked if block.type == "tool_use"]
        expect((call.name, call.input), ("get_weather", {"city": "Paris"}), f"{model} {stream}")
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "18 degrees"}
        talk = [user("weather"), {"role": "assistant", "content": asked}, user([result])]
        expect(said(message(model, stream, talk, tools=tools)), "Mild in Paris.", f"{model} {stream}")


@case
def thought():
    for model, stream in MODELS:
        # It does not think in Ollama's own words.
        if model == "u-ollama":
            continue
        answer = chat(model, stream, [user("think")], reasoning_effort="low")
        expect(answer.content, "42", f"{model} {stream}")
        expect(getattr(answer, "reasoning_content", None), "Let me think.", f"{model} {stream} reasoning")
        blocks = message(model, stream, [user("think")], thinking={"type": "enabled", "budget_tokens": 1024})
        thoughts = [block.thinking for block in blocks if block.type == "thinking"]
        expect((thoughts, said(blocks)), (["Let me think."], "42"), f"{model} {stream} thinking")


@case
def errors():
    for model, stream in MODELS:
        for kind, make in (
            (openai.RateLimitError, lambda: OPENAI.chat.completions.create(model=model, messages=[user("boom")], stream=stream)),
            (
                anthropic.RateLimitError,
                lambda: ANTHROPIC.messages.create(model=model, messages=[user("boom")], max_tokens=9, stream=stream),
            ),
        ):
            try:
                make()
            except kind as error:
                expect("slow down" in str(error), True, f"{model}: the upstream's own text, not {error}")
            else:
                raise Mismatch(f"{model} {stream}: no {kind.__name__} was raised")


CASES.append(("bills", BILLS.check))

if __name__ == "__main__":
    print(json.dumps({"sdk": "openai-python, anthropic-python", "version": [openai.__version__, anthropic.__version__]}))
    run(CASES, ARGS)
