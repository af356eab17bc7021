"""The official OpenAI SDK for Python against Azure OpenAI, vLLM and DeepInfra behind a gateway.

Works with the 1.x and the 3.x line of the SDK. --base-url is the root of the gateway's providers. Each request tells
the local upstream in `user` what to answer; the bill of some is looked up through --admin.
"""

import json
from decimal import Decimal

import openai
from openai import AzureOpenAI, OpenAI

from harness import Mismatch, arguments, event, expect, expect_true, run

ARGS = arguments(__doc__.splitlines()[0])
HELLO = [{"role": "user", "content": "hello"}]
LLAMA = "meta-llama/Meta-Llama-3.1-8B-Instruct"
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
CALL = {"name": "weather", "arguments": '{"city": "São Paulo"}'}
CASES = []


def case(function):
    CASES.append((function.__name__, function))
    return function


def options(name=None, **more):
    headers = {"x-custom-event-id": f"{ARGS.event_prefix}-{name}"} if name else None
    return {"default_headers": headers, "max_retries": 0, "timeout": 30.0, **more}


def azure(name=None, version="2024-10-21", **more):
    return AzureOpenAI(
        azure_endpoint=f"{ARGS.base_url}/azure", api_key=ARGS.key, api_version=version, **options(name, **more)
    )


def azure_v1(name=None):
    return OpenAI(base_url=f"{ARGS.base_url}/azure/openai/v1", api_key=ARGS.key, **options(name))


def vllm(name=None):
    return OpenAI(base_url=f"{ARGS.base_url}/vllm/v1", api_key=ARGS.key, **options(name))


def deepinfra(name=None):
    return OpenAI(base_url=f"{ARGS.base_url}/deepinfra/v1", api_key=ARGS.key, **options(name))


def chat(sdk, model, commands=None, **more):
    body = {"user": json.dumps(commands or {})}
    return sdk.chat.completions.create(model=model, messages=HELLO, extra_body=body, **more)


def said(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices and chunk.choices[0].delta)


def booked(name, usd, prompt, completion):
    found = event(ARGS, f"{ARGS.event_prefix}-{name}")
    expect(Decimal(found["cost_in_usd"]), Decimal(usd), "cost_in_usd")
    expect((found["prompt_token_count"], found["completion_token_count"]), (prompt, completion), "tokens")
    expect(found["flags"], [], "flags")
    return {"usd": usd}


def raised(kind, make):
    try:
        make()
    except kind as error:
        return error
    raise Mismatch(f"no {kind.__name__} was raised")


@case
def azure_chat():
    tokens = {"input": 1000, "output": 100}
    answer = chat(azure("azure-chat"), "my-dep", {"content": "Grüße, 世界 🌍", "tokens": tokens})
    expect(answer.choices[0].message.content, "Grüße, 世界 🌍", "content")
    expect(answer.model, "gpt-4o-2024-11-20", "the model behind the deployment")
    expect_true(answer.to_dict().get("prompt_filter_results"), "members that OpenAI does not have")
    return booked("azure-chat", "0.00385", 1000, 100)


@case
def azure_chat_streamed():
    tokens = {"input": 1000, "output": 100}
    chunks = list(chat(azure("azure-stream"), "my-dep", {"chunks": 30, "tokens": tokens}, stream=True))
    expect(said(chunks), "".join(f" tok{at}" for at in range(30)), "content")
    expect((chunks[0].choices, chunks[0].model), ([], ""), "the first chunk reports the filter")
    expect([chunk for chunk in chunks if "usage" in chunk.to_dict()], [], "usage that nobody asked for")
    return booked("azure-stream", "0.00385", 1000, 100)


@case
def azure_chat_streamed_with_usage():
    stream = chat(azure(), "my-dep", {"tokens": {"input": 7}}, stream=True, stream_options={"include_usage": True})
    expect(list(stream)[-1].usage.prompt_tokens, 7, "usage")


@case
def azure_chat_streamed_by_an_elder_version():
    chunks = list(chat(azure(version="2024-06-01"), "my-dep", {"chunks": 3}, stream=True))
    expect(said(chunks), " tok0 tok1 tok2", "content")


@case
def azure_deployment_of_the_client():
    answer = chat(azure(azure_deployment="my-dep"), "gpt-4o", {"content": "ok"})
    expect(answer.choices[0].message.content, "ok", "content")


@case
def azure_tools():
    answer = chat(azure(), "my-dep", {"calls": [CALL, CALL]}, tools=[TOOL])
    calls = [call.function.arguments for call in answer.choices[0].message.tool_calls]
    expect(calls, [CALL["arguments"]] * 2, "arguments")
    found = {}
    for chunk in chat(azure(), "my-dep", {"calls": [CALL, CALL]}, tools=[TOOL], stream=True):
        for delta in (chunk.choices[0].delta.tool_calls or []) if chunk.choices else []:
            found[delta.index] = found.get(delta.index, "") + (delta.function.arguments or "")
    expect(found, {0: CALL["arguments"], 1: CALL["arguments"]}, "streamed arguments")


@case
def azure_embeddings():
    sdk = azure("azure-embeddings")
    body = {"user": json.dumps({"tokens": {"input": 8191}, "answers_as": "text-embedding-3-small"})}
    # In the EU zone a million tokens cost 0.022 USD.
    default = sdk.embeddings.create(model="emb", input=["a", "b"], extra_body=body)
    floats = azure().embeddings.create(model="emb", input=["a", "b"], encoding_format="float")
    expect([one.embedding for one in default.data], [one.embedding for one in floats.data], "both encodings")
    return booked("azure-embeddings", "0.000180202", 8191, 0)


@case
def azure_responses_and_models():
    sdk = azure(version="2025-04-01-preview")
    answer = sdk.responses.create(model="my-dep", input="hi", extra_body={"user": json.dumps({"content": "fine"})})
    expect(answer.output_text, "fine", "output_text")
    expect_true([model.id for model in sdk.models.list()], "models")


@case
def azure_version_1():
    answer = chat(azure_v1("azure-v1"), "my-dep", {"tokens": {"input": 1000, "output": 100}})
    expect(answer.usage.prompt_tokens, 1000, "usage")
    events = list(azure_v1().responses.create(model="my-dep", input="hi", stream=True))
    expect(events[-1].type, "response.completed", "last event")
    return booked("azure-v1", "0.00385", 1000, 100)


@case
def azure_errors():
    error = raised(openai.NotFoundError, lambda: chat(azure(), "no-such-deployment"))
    expect(error.code, "DeploymentNotFound", "code")
    body = {"error": {"message": "filtered", "type": None, "param": "prompt", "code": "content_filter", "status": 400}}
    error = raised(openai.BadRequestError, lambda: chat(azure(), "my-dep", {"status": 400, "body": json.dumps(body)}))
    expect(error.code, "content_filter", "code")
    command = {"status": 429, "headers": {"retry-after": "7"}}
    error = raised(openai.RateLimitError, lambda: chat(azure(), "my-dep", command))
    expect(error.response.headers.get("retry-after"), "7", "retry-after")
    wrong = AzureOpenAI(
        azure_endpoint=f"{ARGS.base_url}/azure", api_key="nobody", api_version="2024-10-21", max_retries=0
    )
    expect(raised(openai.AuthenticationError, lambda: chat(wrong, "my-dep")).status_code, 401, "status")
    stream = chat(azure(), "my-dep", {"chunks": 9, "fault": {"kind": "close", "after": 5}}, stream=True)
    raised(openai.APIError, lambda: list(stream))


@case
def vllm_chat():
    answer = chat(vllm("vllm-chat"), "qwen3-32b", {"content": "ok", "tokens": {"input": 30, "output": 6}}, temperature=0)
    expect(answer.choices[0].message.content, "ok", "content")
    return booked("vllm-chat", "0.000042", 30, 6)


@case
def vllm_chat_streamed():
    tokens = {"input": 30, "output": 6}
    chunks = list(chat(vllm("vllm-stream"), "qwen3-32b", {"chunks": 4, "tokens": tokens}, stream=True))
    expect(said(chunks), " tok0 tok1 tok2 tok3", "content")
    expect([chunk for chunk in chunks if chunk.usage or not chunk.choices], [], "usage that nobody asked for")
    with_usage = list(chat(vllm(), "qwen3-32b", {}, stream=True, stream_options={"include_usage": True}))
    expect([bool(chunk.usage) for chunk in with_usage].count(True), 1, "usage in the last chunk only")
    expect(with_usage[-1].choices, [], "no choices there")
    return booked("vllm-stream", "0.000042", 30, 6)


@case
def vllm_completions_and_tools():
    answer = vllm().completions.create(model="qwen3-32b", prompt="hi", stream=True, extra_body={"top_k": 5})
    expect_true("".join(chunk.choices[0].text for chunk in answer), "text")
    answer = chat(vllm(), "qwen3-32b", {"calls": [CALL]}, tools=[TOOL])
    expect(answer.choices[0].message.tool_calls[0].function.arguments, CALL["arguments"], "arguments")


@case
def vllm_errors():
    expect(str(raised(openai.NotFoundError, lambda: chat(vllm(), "no-such")).code), "404", "code")
    stream = chat(vllm(), "qwen3-32b", {"chunks": 9, "fault": {"kind": "error_frame", "after": 3}}, stream=True)
    raised(openai.APIError, lambda: list(stream))


@case
def deepinfra_chat():
    tokens = {"input": 15, "output": 16}
    answer = chat(deepinfra("deepinfra-chat"), LLAMA, {"content": "ok", "tokens": tokens})
    expect(answer.choices[0].message.content, "ok", "content")
    expect(answer.usage.to_dict()["estimated_cost"], 1.25e-06, "the provider's own estimate")
    chunks = list(chat(deepinfra("deepinfra-stream"), LLAMA.lower(), {"chunks": 3, "tokens": tokens}, stream=True))
    expect(said(chunks), " tok0 tok1 tok2", "content")
    booked("deepinfra-stream", "0.00000125", 15, 16)
    return booked("deepinfra-chat", "0.00000125", 15, 16)


@case
def deepinfra_embeddings_models_and_errors():
    answer = deepinfra().embeddings.create(model="BAAI/bge-m3", input="a")
    expect(answer.usage.prompt_tokens, 8, "usage")
    expect_true([model.id for model in deepinfra().models.list()], "models")
    raised(openai.NotFoundError, lambda: chat(deepinfra(), "no-such/model"))
    raised(openai.InternalServerError, lambda: chat(deepinfra(), LLAMA, {"status": 503}))


if __name__ == "__main__":
    print(json.dumps({"sdk": "openai-python", "version": openai.__version__, "base_url": ARGS.base_url}))
    run(CASES, ARGS)
