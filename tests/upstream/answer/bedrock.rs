//! AWS Bedrock's runtime: conversations and invocations of every family, unary and as event streams.
#![allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "members of JSON values that are made or looked at here, and lengths of what is written here"
)]

use base64::Engine as _;
use serde_json::{Value, json};

use super::super::act::{Act, Fault};
use super::super::reply::{Pieces, Reply};
use super::super::request::{Body, Head};
use super::super::scenario::SIGNATURE;
use super::text;

/// Whether a request is one of this service.
pub fn is_bedrock(head: &Head) -> bool {
    ["/model/", "/retrieveAndGenerate", "/knowledgebases/"].iter().any(|part| head.path().contains(part))
}

pub fn answer(head: &Head, body: &Body, act: &Act) -> Reply {
    let mut reply = reply(head, body, act);
    let number = format!("{:08x}-0000-4000-8000-000000000000", reply.body.len());
    reply.headers.push(("x-amzn-requestid".to_owned(), number));
    reply
}

fn reply(head: &Head, body: &Body, act: &Act) -> Reply {
    match (act.status, &act.body) {
        (status, Some(body)) => return Reply::json(status.unwrap_or(200), body.clone()),
        (Some(status), None) if status >= 400 => return failure(status),
        _ => {}
    }
    let Ok(sent) = serde_json::from_slice::<Value>(&body.kept) else {
        return error(400, "ValidationException", "Malformed input request, please reformat your input and try again.");
    };
    let Some((model, operation)) = place(head) else {
        return knowledge(head, &sent, act);
    };
    if model.contains("no-such") {
        return error(
            404,
            "ResourceNotFoundException",
            "Could not resolve the foundation model from the provided model identifier.",
        );
    }
    let ask = Ask { act, sent: &sent, model: &model };
    match operation {
        "converse" | "converse-stream" if !sent["messages"].is_array() => {
            error(400, "ValidationException", "1 validation error detected: messages must not be null")
        }
        "converse" => Reply::json(200, ask.conversation().to_string()),
        "converse-stream" => ask.stream(&ask.conversation_events()),
        "invoke" | "invoke-with-response-stream" if !ask.is_sound_invocation() => {
            error(400, "ValidationException", "extraneous key or missing anthropic_version")
        }
        "invoke" => ask.invocation(),
        "invoke-with-response-stream" => ask.stream(&ask.chunks()),
        "count-tokens" => Reply::json(200, json!({"inputTokens": ask.input()}).to_string()),
        _ => error(404, "UnknownOperationException", "There is no such operation."),
    }
}

/// An answer written from one passage, which is cited twice. Nothing is said of usage.
fn knowledge(head: &Head, sent: &Value, act: &Act) -> Reply {
    let citation = json!({
        "generatedResponsePart": {"textResponsePart": {"text": text::whole(act), "span": {"start": 0, "end": 1}}},
        "retrievedReferences": [
            {"content": {"text": "Hello, world!"}, "location": {"type": "S3", "s3Location": {"uri": "s3://books/a.pdf"}}},
        ],
    });
    if head.path().ends_with("/retrieve") {
        let found = |name: &str| {
            json!({"content": {"text": format!("passage of {name}")}, "score": 0.5,
            "location": {"type": "S3", "s3Location": {"uri": format!("s3://books/{name}.pdf")}}})
        };
        return Reply::json(200, json!({"retrievalResults": [found("a"), found("b"), found("a")]}).to_string());
    }
    if !head.path().ends_with("Stream") {
        let answer =
            json!({"sessionId": "s-1", "output": {"text": text::whole(act)}, "citations": [citation, citation]});
        return Reply::json(200, answer.to_string());
    }
    let mut events: Vec<Vec<u8>> =
        text::pieces(act).iter().map(|piece| event("output", &json!({"text": piece}))).collect();
    events.extend([event("citation", &citation), event("citation", &json!({"citation": citation}))]);
    let mut reply = Ask { act, sent, model: "" }.stream(&events);
    reply.headers.push(("x-amzn-bedrock-knowledge-base-session-id".to_owned(), "s-2".to_owned()));
    reply
}

/// Model and operation of a path; the model must be one segment, escaped.
fn place(head: &Head) -> Option<(String, &str)> {
    let (id, operation) = head.path().split_once("/model/")?.1.split_once('/')?;
    Some((id.replace("%3A", ":").replace("%2F", "/"), operation))
}

/// The service's error shape.
pub fn error(status: u16, kind: &str, message: &str) -> Reply {
    let mut reply = Reply::json(status, json!({ "message": message }).to_string());
    reply.headers.push(("x-amzn-errortype".to_owned(), format!("{kind}:http://internal.amazon.com/coral/")));
    reply
}

fn failure(status: u16) -> Reply {
    let kind = match status {
        400 => "ValidationException",
        403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        408 => "ModelTimeoutException",
        424 => "ModelErrorException",
        429 => "ThrottlingException",
        503 => "ServiceUnavailableException",
        _ => "InternalServerException",
    };
    error(status, kind, "Too many requests, please wait before trying again.")
}

struct Ask<'a> {
    act: &'a Act,
    sent: &'a Value,
    model: &'a str,
}

impl Ask<'_> {
    fn input(&self) -> u64 {
        self.act.tokens.input.unwrap_or(19)
    }

    fn output(&self) -> u64 {
        self.act.tokens.output.unwrap_or(10)
    }

    fn is(&self, family: &str) -> bool {
        self.model.contains(family)
    }

    /// Claude takes no body with members of its own API.
    fn is_sound_invocation(&self) -> bool {
        let own = ["model", "stream"].iter().any(|name| self.sent.get(name).is_some());
        let legacy = self.sent.get("prompt").is_some();
        !self.is("claude") || (!own && (legacy || self.sent["anthropic_version"].is_string()))
    }

    fn usage(&self) -> Value {
        if let Some(usage) = &self.act.usage {
            return serde_json::from_str(usage.get()).unwrap_or_default();
        }
        let (tokens, input, output) = (&self.act.tokens, self.input(), self.output());
        json!({
            "inputTokens": input, "outputTokens": output,
            "totalTokens": input + output + tokens.cached + tokens.cache_write,
            "cacheReadInputTokens": tokens.cached, "cacheWriteInputTokens": tokens.cache_write,
            "cacheDetails": if tokens.cache_write > 0 { json!([{"ttl": "5m", "inputTokens": tokens.cache_write}]) } else { json!([]) },
        })
    }

    fn metrics(&self) -> Value {
        json!({
            "inputTokenCount": self.input(), "outputTokenCount": self.output(), "invocationLatency": 420,
            "firstByteLatency": 210, "cacheReadInputTokenCount": self.act.tokens.cached,
            "cacheWriteInputTokenCount": self.act.tokens.cache_write,
        })
    }

    fn thoughts(&self) -> Vec<Value> {
        let thought = |text| json!({"reasoningContent": {"reasoningText": {"text": text, "signature": SIGNATURE}}});
        self.act.thought.iter().map(thought).collect()
    }

    fn stop(&self) -> &str {
        let usual = if self.act.calls.is_empty() { "end_turn" } else { "tool_use" };
        self.act.finish_reason.as_deref().unwrap_or(usual)
    }

    /// Told only to who asked for it.
    fn stop_fields(&self) -> Option<Value> {
        let asked = self.sent["additionalModelResponseFieldPaths"].as_array()?;
        let told = asked.iter().any(|path| path == "/stop_sequence");
        self.act.stop_sequence.as_ref().filter(|_| told).map(|stop| json!({ "stop_sequence": stop }))
    }

    fn conversation(&self) -> Value {
        let mut content = self.thoughts();
        content.extend(text::before_calls(self.act).map(|text| json!({ "text": text })));
        content.extend(match &*self.act.calls {
            [] => vec![json!({"text": text::whole(self.act)})],
            calls => calls
                .iter()
                .enumerate()
                .map(|(at, call)| {
                    let input: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
                    json!({"toolUse": {"toolUseId": format!("tooluse_{at}"), "name": call.name, "input": input}})
                })
                .collect(),
        });
        let mut answer = json!({
            "output": {"message": {"role": "assistant", "content": content}},
            "stopReason": self.stop(), "metrics": {"latencyMs": 551},
        });
        if let Some(fields) = self.stop_fields() {
            answer["additionalModelResponseFields"] = fields;
        }
        if !self.act.no_usage {
            answer["usage"] = self.usage();
        }
        if let Some(tier) = &self.act.service_tier {
            answer["serviceTier"] = json!({ "type": tier });
        }
        answer
    }

    fn conversation_events(&self) -> Vec<Vec<u8>> {
        let mut events = vec![event("messageStart", &json!({"role": "assistant", "p": "abcdef"}))];
        let mut first = 0;
        if let Some(thought) = &self.act.thought {
            let proof = json!({ "signature": SIGNATURE });
            let words = thought.split_inclusive(' ').map(|word| json!({ "text": word }));
            for part in words.chain([proof]) {
                let delta = json!({"contentBlockIndex": first, "delta": {"reasoningContent": part}});
                events.push(event("contentBlockDelta", &delta));
            }
            events.push(event("contentBlockStop", &json!({"contentBlockIndex": first})));
            first += 1;
        }
        if self.act.calls.is_empty() {
            for piece in text::pieces(self.act) {
                let delta = json!({"contentBlockIndex": first, "delta": {"text": piece}, "p": "abcd"});
                events.push(event("contentBlockDelta", &delta));
            }
            events.push(event("contentBlockStop", &json!({"contentBlockIndex": first})));
        }
        if let Some(text) = text::before_calls(self.act) {
            let delta = json!({"contentBlockIndex": first, "delta": {"text": text}});
            events.push(event("contentBlockDelta", &delta));
            events.push(event("contentBlockStop", &json!({"contentBlockIndex": first})));
            first += 1;
        }
        for (at, call) in self.act.calls.iter().enumerate() {
            let at = first + at;
            let start = json!({"contentBlockIndex": at, "start": {"toolUse": {"toolUseId": format!("tooluse_{at}"), "name": call.name}}});
            events.push(event("contentBlockStart", &start));
            let characters: Vec<char> = call.arguments.chars().collect();
            for piece in characters.chunks(5) {
                let piece: String = piece.iter().collect();
                events.push(event(
                    "contentBlockDelta",
                    &json!({"contentBlockIndex": at, "delta": {"toolUse": {"input": piece}}}),
                ));
            }
            events.push(event("contentBlockStop", &json!({"contentBlockIndex": at})));
        }
        if matches!(self.act.fault, Some(Fault::NoTerminator)) {
            return events;
        }
        let mut stopped = json!({"stopReason": self.stop()});
        if let Some(fields) = self.stop_fields() {
            stopped["additionalModelResponseFields"] = fields;
        }
        events.push(event("messageStop", &stopped));
        let mut metadata = json!({"usage": self.usage(), "metrics": {"latencyMs": 551}, "p": "abc"});
        if let Some(tier) = &self.act.service_tier {
            metadata["serviceTier"] = json!({ "type": tier });
        }
        events.push(event("metadata", &metadata));
        events
    }

    fn claude_usage(&self) -> Value {
        let tokens = &self.act.tokens;
        json!({
            "input_tokens": self.input(), "cache_creation_input_tokens": tokens.cache_write,
            "cache_read_input_tokens": tokens.cached, "output_tokens": self.output(),
        })
    }

    fn invocation(&self) -> Reply {
        let said = text::whole(self.act);
        let answer = if self.is("embed") {
            if self.is("titan") {
                json!({"embedding": text::vector(&self.sent["inputText"]), "inputTextTokenCount": self.input()})
            } else {
                json!({"id": "e", "embeddings": text::vectors(&self.sent["texts"]), "texts": self.sent["texts"]})
            }
        } else if self.is("claude") && self.sent.get("prompt").is_some() {
            json!({"type": "completion", "completion": said, "stop_reason": "stop_sequence", "stop": "\n\nHuman:"})
        } else if self.is("claude") {
            json!({
                "id": "msg_bdrk_1", "type": "message", "role": "assistant", "model": "claude-local",
                "content": [{"type": "text", "text": said}], "stop_reason": "end_turn", "stop_sequence": null,
                "usage": self.claude_usage(),
            })
        } else if self.is("llama") {
            json!({
                "generation": said, "prompt_token_count": self.input(), "generation_token_count": self.output(),
                "stop_reason": "stop",
            })
        } else if self.is("nova") {
            self.conversation()
        } else {
            json!({"outputs": [{"text": said, "stop_reason": "stop"}]})
        };
        let mut reply = Reply::json(200, answer.to_string());
        if !self.act.no_usage {
            let counts = [("input", self.input()), ("output", self.output())];
            let counts = counts.into_iter().filter(|(side, _)| *side == "input" || !self.is("embed"));
            reply.headers.extend(counts.map(|(side, n)| (format!("x-amzn-bedrock-{side}-token-count"), n.to_string())));
            reply.headers.push(("x-amzn-bedrock-invocation-latency".to_owned(), "420".to_owned()));
        }
        reply
    }

    fn chunks(&self) -> Vec<Vec<u8>> {
        let mut parts = Vec::new();
        let pieces = text::pieces(self.act);
        if self.is("claude") {
            let mut start = self.claude_usage();
            start["output_tokens"] = json!(1);
            parts.push(
                json!({"type": "message_start", "message": {"id": "msg_bdrk_1", "type": "message", "role": "assistant",
                "model": "claude-local", "content": [], "stop_reason": null, "stop_sequence": null, "usage": start}}),
            );
            parts.push(
                json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
            );
            for piece in pieces {
                parts.push(
                    json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}),
                );
            }
            parts.push(json!({"type": "content_block_stop", "index": 0}));
            parts.push(json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null},
                "usage": {"output_tokens": self.output()}}));
            parts.push(json!({"type": "message_stop"}));
        } else if self.is("llama") {
            for (at, piece) in pieces.into_iter().enumerate() {
                let prompt = if at == 0 { json!(self.input()) } else { Value::Null };
                parts.push(json!({"generation": piece, "prompt_token_count": prompt, "generation_token_count": at + 1, "stop_reason": null}));
            }
            parts.push(json!({"generation": "", "prompt_token_count": null, "generation_token_count": self.output(), "stop_reason": "stop"}));
        } else if self.is("nova") {
            parts.push(json!({"messageStart": {"role": "assistant"}}));
            for piece in pieces {
                parts.push(json!({"contentBlockDelta": {"delta": {"text": piece}, "contentBlockIndex": 0}}));
            }
            parts.push(json!({"messageStop": {"stopReason": "end_turn"}}));
            parts.push(json!({"metadata": {"usage": self.usage(), "metrics": {}, "trace": {}}}));
        } else {
            parts.extend(pieces.into_iter().map(|piece| json!({"outputs": [{"text": piece, "stop_reason": null}]})));
            parts.push(json!({"outputs": [{"text": "", "stop_reason": "stop"}]}));
        }
        if matches!(self.act.fault, Some(Fault::NoTerminator)) {
            parts.truncate(parts.len().saturating_sub(2));
        } else if let Some(last) = parts.last_mut() {
            last["amazon-bedrock-invocationMetrics"] = self.metrics();
        }
        parts.iter().map(chunk).collect()
    }

    fn stream(&self, events: &[Vec<u8>]) -> Reply {
        let mut pieces = Pieces::default();
        events.iter().for_each(|event| pieces.push(event));
        let mut reply = Reply::events(pieces);
        reply.content_type = "application/vnd.amazon.eventstream".to_owned();
        reply.headers.push(("x-amzn-bedrock-content-type".to_owned(), "application/json".to_owned()));
        let exception = [(":exception-type", "throttlingException"), (":message-type", "exception")];
        let text = json!({"message": "Too many tokens, please wait before trying again."});
        reply.error_frame = Some(frame(&exception, text.to_string().as_bytes()));
        reply
    }
}

fn chunk(json: &Value) -> Vec<u8> {
    let encoded = base64::engine::general_purpose::STANDARD.encode(json.to_string());
    event("chunk", &json!({"bytes": encoded, "p": "abcdefghijk"}))
}

fn event(name: &str, payload: &Value) -> Vec<u8> {
    let headers = [(":event-type", name), (":content-type", "application/json"), (":message-type", "event")];
    frame(&headers, payload.to_string().as_bytes())
}

/// One message of the stream; written apart from the product's own encoder.
fn frame(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(name.len() as u8);
        block.extend(name.bytes());
        block.push(7);
        block.extend((value.len() as u16).to_be_bytes());
        block.extend(value.bytes());
    }
    let mut out = ((block.len() + payload.len() + 16) as u32).to_be_bytes().to_vec();
    out.extend((block.len() as u32).to_be_bytes());
    out.extend(crc32fast::hash(&out).to_be_bytes());
    out.extend(block);
    out.extend(payload);
    out.extend(crc32fast::hash(&out).to_be_bytes());
    out
}
