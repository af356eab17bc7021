"""LangChain's two chat models against the unified API: one base URL, one key, and models of any provider.

Usage: unified_langchain.py --base-url ROOT --key KEY --admin URL --admin-pass PASS --prices JSON --event-prefix PREFIX
"""

import json

import langchain_core
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from harness import Bills, arguments, expect, run
from talks import (
    ALL, ARGUMENTS, CITY, CLAUDE, COMPATIBLE, CONVERSE, HELLO, MAIN, PICTURE, RESULTS, SEEN, STILL, SUMMARY, THOUGHT,
    THOUGHTFUL, TOKENS,
)

ARGS = arguments(__doc__.splitlines()[0])
BILLS = Bills(ARGS)
CASES = []


class City(BaseModel):
    """A city and how warm it is."""

    city: str
    degrees: int


@tool
def weather(city: str) -> str:
    """Tells degrees."""
    return city


def case(function):
    CASES.append((function.__name__, function))
    return function


def openai(name, model, **more):
    headers = BILLS.headers(f"openai-{name}", model, TOKENS[name])
    return ChatOpenAI(
        base_url=f"{ARGS.base_url}/v1", api_key=ARGS.key, model=model, max_retries=0, default_headers=headers,
        stream_usage=True, **more,
    )


def anthropic(name, model, **more):
    headers = BILLS.headers(f"anthropic-{name.replace(' ', '-')}", model, TOKENS[name])
    return ChatAnthropic(
        base_url=ARGS.base_url, api_key=ARGS.key, model=model, max_retries=0, default_headers=headers, max_tokens=2048,
        **more,
    )


MAKERS = {"openai": openai, "anthropic": anthropic}


def each(models):
    return [(maker, model, stream) for maker in MAKERS.values() for model in models for stream in (False, True)]


def answer(runnable, messages, stream):
    if not stream:
        return runnable.invoke(messages)
    whole = None
    for chunk in runnable.stream(messages):
        whole = chunk if whole is None else whole + chunk
    return whole


def asks(name):
    return HumanMessage(f"{name} please")


def checked(message, name, where):
    usage = message.usage_metadata
    expect((usage["input_tokens"], usage["output_tokens"]), TOKENS[name], f"{where} usage")
    return message


@case
def text():
    for make, model, stream in each(ALL):
        where = f"{make.__name__} {model} {stream}"
        message = answer(make("text", model), [SystemMessage("Be short."), asks("text")], stream)
        expect(checked(message, "text", where).text, HELLO, where)


@case
def picture():
    url = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}}
    block = {"type": "image", "base64": PICTURE, "mime_type": "image/png"}
    for make, model, stream in each(MAIN):
        for image in (url, block):
            talk = [HumanMessage([{"type": "text", "text": "picture please"}, image])]
            expect(answer(make("picture", model), talk, stream).text, SEEN, f"{make.__name__} {model} {stream}")


@case
def tools():
    for make, model, stream in each(ALL):
        where = f"{make.__name__} {model} {stream}"
        asked = answer(make("tools", model).bind_tools([weather]), [asks("tools")], stream)
        calls = checked(asked, "tools", where).tool_calls
        expect([(call["name"], call["args"]) for call in calls], [("weather", one) for one in ARGUMENTS], where)
        results = [ToolMessage(told, tool_call_id=call["id"]) for call, told in zip(calls, RESULTS)]
        last = answer(make("results", model).bind_tools([weather]), [asks("tools"), asked, *results], stream)
        expect(checked(last, "results", where).text, SUMMARY, where)


@case
def thought():
    thinking = {"type": "enabled", "budget_tokens": 1024}
    for model in MAIN:
        for stream in (False, True):
            where = f"{model} {stream}"
            message = answer(anthropic("thought", model, thinking=thinking), [asks("thought")], stream)
            thoughts = [block["thinking"] for block in message.content if block["type"] == "thinking"]
            expect((thoughts, message.text), ([THOUGHT], THOUGHTFUL), where)
            if model == COMPATIBLE:
                continue
            talk = [asks("thought"), message, asks("kept thought")]
            expect(answer(anthropic("kept thought", model, thinking=thinking), talk, stream).text, STILL, where)


@case
def responses():
    for model in MAIN:
        for stream in (False, True):
            where = f"{model} {stream}"
            make = lambda name: openai(name, model, use_responses_api=True, store=False)
            expect(answer(make("text"), [asks("text")], stream).text, HELLO, where)
            asked = answer(make("tools").bind_tools([weather]), [asks("tools")], stream)
            expect([call["args"] for call in asked.tool_calls], ARGUMENTS, where)
            told = [ToolMessage(text, tool_call_id=call["id"]) for call, text in zip(asked.tool_calls, RESULTS)]
            last = answer(make("results").bind_tools([weather]), [asks("tools"), asked, *told], stream)
            expect(last.text, SUMMARY, where)


@case
def structured():
    for make, model, _ in each((CONVERSE, CLAUDE)):
        runnable = make("schema", model).with_structured_output(City, method="json_schema")
        expect(runnable.invoke([asks("schema")]), City(**CITY), f"{make.__name__} {model}")
        runnable = make("schema", model).with_structured_output(City, method="function_calling")
        expect(runnable.invoke([asks("schema")]), City(**CITY), f"{make.__name__} {model} by a call")


CASES.append(("bills", BILLS.check))

if __name__ == "__main__":
    print(json.dumps({"sdk": "langchain", "version": langchain_core.__version__, "base_url": ARGS.base_url}))
    run(CASES, ARGS)
