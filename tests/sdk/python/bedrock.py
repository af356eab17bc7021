"""boto3 and the Anthropic SDK's Bedrock client against a gateway: only the endpoint and the key are changed.

The next answer of the local upstream is told to it beforehand. Usage: bedrock.py --base-url URL --key KEY --upstream URL
"""

import json
import os

import anthropic
import boto3
import botocore
from anthropic import AnthropicBedrock
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError

from harness import Upstream, arguments, expect, expect_true, run

ARGS = arguments(__doc__.splitlines()[0])
UPSTREAM = Upstream(ARGS.upstream)
HELLO = [{"role": "user", "content": [{"text": "hello"}]}]
NOVA = "us.amazon.nova-lite-v1:0"
CLAUDE = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
ARN = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0"
CASES = []


def case(function):
    CASES.append((function.__name__, function))
    return function


def client():
    """Signs with a secret that nobody knows: the access key id is the gateway's key."""
    return boto3.client(
        "bedrock-runtime",
        endpoint_url=ARGS.base_url,
        region_name="us-east-1",
        aws_access_key_id=ARGS.key,
        aws_secret_access_key="any",
        config=Config(retries={"total_max_attempts": 1}, read_timeout=30),
    )


def converse(model=NOVA, **more):
    return client().converse(modelId=model, messages=HELLO, **more)


def events(model=NOVA, **more):
    return list(client().converse_stream(modelId=model, messages=HELLO, **more)["stream"])


def said(stream):
    deltas = [event["contentBlockDelta"]["delta"] for event in stream if "contentBlockDelta" in event]
    return "".join(delta.get("text", "") for delta in deltas)


@case
def converse_unary():
    for model in (NOVA, ARN):
        UPSTREAM.script({"content": "Grüße, 世界 🌍", "tokens": {"input": 11, "output": 7, "cached": 5}})
        answer = converse(model, inferenceConfig={"maxTokens": 50})
        expect(answer["output"]["message"]["content"], [{"text": "Grüße, 世界 🌍"}], "content")
        usage = answer["usage"]
        expect((usage["inputTokens"], usage["outputTokens"], usage["cacheReadInputTokens"]), (11, 7, 5), "usage")


@case
def converse_streamed():
    for split in (None, 1, 7, 1000):
        UPSTREAM.script({"chunks": 12, "tokens": {"input": 11, "output": 7}, **({"split": split} if split else {})})
        stream = events()
        expect(said(stream), "".join(f" tok{at}" for at in range(12)), f"split {split}")
        expect(stream[-1]["metadata"]["usage"]["outputTokens"], 7, "usage at the end")
        expect([list(event)[0] for event in stream[-2:]], ["messageStop", "metadata"], "the last two")


CALL = {"name": "weather", "arguments": '{"city": "São Paulo"}'}
TOOLS = {"tools": [{"toolSpec": {"name": "weather", "inputSchema": {"json": {"type": "object"}}}}]}


@case
def tools():
    UPSTREAM.script({"calls": [CALL, CALL]}, {"calls": [CALL]})
    answer = converse(toolConfig=TOOLS)
    uses = [block["toolUse"]["input"] for block in answer["output"]["message"]["content"]]
    expect((uses, answer["stopReason"]), ([{"city": "São Paulo"}] * 2, "tool_use"), "calls")
    stream = events(toolConfig=TOOLS)
    deltas = [event["contentBlockDelta"]["delta"]["toolUse"]["input"] for event in stream if "contentBlockDelta" in event]
    expect("".join(deltas), CALL["arguments"], "streamed arguments")


@case
def invoke_every_family():
    for model, body, read in [
        ("meta.llama3-8b-instruct-v1:0", {"prompt": "hi"}, lambda a: a["generation"]),
        ("mistral.mistral-7b-instruct-v0:2", {"prompt": "hi"}, lambda a: a["outputs"][0]["text"]),
        (NOVA, {"messages": HELLO}, lambda a: a["output"]["message"]["content"][0]["text"]),
        (
            CLAUDE,
            {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": []},
            lambda a: a["content"][0]["text"],
        ),
    ]:
        UPSTREAM.script({"content": "fine"})
        # No content type is given: the SDK sends none.
        answer = client().invoke_model(modelId=model, body=json.dumps(body))
        expect(read(json.loads(answer["body"].read())), "fine", model)
    UPSTREAM.script({})
    answer = client().invoke_model(modelId="amazon.titan-embed-text-v2:0", body=json.dumps({"inputText": "hi"}))
    expect(json.loads(answer["body"].read())["embedding"], [0.5, 0.25], "embedding")


@case
def invoke_streamed():
    UPSTREAM.script({"chunks": 6})
    body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": []}
    answer = client().invoke_model_with_response_stream(modelId=CLAUDE, body=json.dumps(body))
    parts = [json.loads(event["chunk"]["bytes"]) for event in answer["body"]]
    text = "".join(part["delta"]["text"] for part in parts if part["type"] == "content_block_delta")
    expect(text, "".join(f" tok{at}" for at in range(6)), "text")
    expect_true("amazon-bedrock-invocationMetrics" in parts[-1], "metrics in the last part")


@case
def errors_are_typed():
    sdk = client()
    for status, kind in [(400, "ValidationException"), (404, "ResourceNotFoundException"), (429, "ThrottlingException")]:
        UPSTREAM.script({"status": status})
        try:
            sdk.converse(modelId=NOVA, messages=HELLO)
            expect_true(False, "no error was raised")
        except sdk.exceptions.ClientError as error:
            expect(error.response["Error"]["Code"], kind, "code")
            expect(type(error).__name__, kind, "class")
            expect(error.response["ResponseMetadata"]["HTTPStatusCode"], status, "status")


@case
def errors_of_the_gateway_are_typed_too():
    sdk = boto3.client(
        "bedrock-runtime", endpoint_url=ARGS.base_url, region_name="us-east-1", aws_access_key_id="nobody",
        aws_secret_access_key="any", config=Config(retries={"total_max_attempts": 1}),
    )
    try:
        sdk.converse(modelId=NOVA, messages=HELLO)
        expect_true(False, "no error was raised")
    except ClientError as error:
        expect_true(error.response["Error"]["Code"].endswith("Exception"), f"a code, not {error.response['Error']}")
        expect_true("not known" in error.response["Error"]["Message"], "the gateway's text")


@case
def exceptions_in_a_stream():
    for fault, kind in [
        ({"kind": "error_frame", "after": 3}, "throttlingException"),
        ({"kind": "close", "after": 3}, "modelStreamErrorException"),
        ({"kind": "garbage", "after": 3}, "modelStreamErrorException"),
    ]:
        UPSTREAM.script({"chunks": 9, "fault": fault})
        seen = []
        try:
            for event in client().converse_stream(modelId=NOVA, messages=HELLO)["stream"]:
                seen.append(event)
            expect_true(False, f"{fault}: no error was raised")
        except EventStreamError as error:
            expect(error.response["Error"]["Code"], kind, str(fault))
            expect_true(len(seen) >= 2, "what came before is delivered")


def anthropic_client(**more):
    return AnthropicBedrock(base_url=ARGS.base_url, aws_region="us-east-1", max_retries=0, timeout=30.0, **more)


def both_clients():
    """With a key that signs, and with a key that is a bearer token."""
    yield anthropic_client(aws_access_key=ARGS.key, aws_secret_key="any")
    yield anthropic_client(api_key=ARGS.key)


MESSAGE = {"model": CLAUDE, "max_tokens": 50, "messages": [{"role": "user", "content": "hello"}]}


@case
def anthropic_unary_and_streamed():
    for sdk in both_clients():
        UPSTREAM.script({"content": "fine", "tokens": {"input": 11, "output": 7}}, {"chunks": 5, "tokens": {"output": 7}})
        answer = sdk.messages.create(**MESSAGE)
        expect((answer.content[0].text, answer.usage.input_tokens), ("fine", 11), "answer")
        stream = list(sdk.messages.create(**MESSAGE, stream=True))
        text = "".join(event.delta.text for event in stream if event.type == "content_block_delta")
        expect((text, stream[-1].type), (" tok0 tok1 tok2 tok3 tok4", "message_stop"), "stream")


@case
def anthropic_errors():
    for sdk in both_clients():
        UPSTREAM.script({"status": 429})
        try:
            sdk.messages.create(**MESSAGE)
            expect_true(False, "no error was raised")
        except anthropic.RateLimitError as error:
            expect(error.status_code, 429, "status")


@case
def the_plain_anthropic_sdk_on_its_own_path():
    sdk = anthropic.Anthropic(base_url=f"{ARGS.base_url}/anthropic", api_key=ARGS.key, max_retries=0, timeout=30.0)
    UPSTREAM.script({"content": "fine"}, {"chunks": 5, "tokens": {"input": 11, "output": 7}})
    expect(sdk.messages.create(**MESSAGE).content[0].text, "fine", "answer")
    with sdk.messages.stream(**MESSAGE) as stream:
        expect("".join(stream.text_stream), " tok0 tok1 tok2 tok3 tok4", "streamed text")
        usage = stream.get_final_message().usage
    expect((usage.input_tokens, usage.output_tokens), (11, 7), "usage")
    UPSTREAM.script({"chunks": 9, "fault": {"kind": "close", "after": 4}})
    try:
        list(sdk.messages.create(**MESSAGE, stream=True))
        expect_true(False, "no error was raised")
    except anthropic.APIStatusError as error:
        expect(error.body["error"]["type"], "api_error", "type of the error")


if __name__ == "__main__":
    # Nothing of the machine's own AWS configuration is to play a part.
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    print(json.dumps({"boto3": boto3.__version__, "botocore": botocore.__version__, "anthropic": anthropic.__version__}))
    run(CASES, ARGS)
