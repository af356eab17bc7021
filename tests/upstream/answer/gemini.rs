//! What the upstream answers when it plays Gemini: that API's paths, what it refuses, pieces of a stream with the usage
//! so far in each, and errors with the name of a status.
#![allow(clippy::indexing_slicing, reason = "a member of a JSON value is made by being written")]

use super::super::act::{Act, Call, Fault};
use super::super::reply::{Pieces, Reply};
use super::super::request::Head;
use super::{Ask, dictated, text};
use serde_json::{Value, json};

/// Members of a request that exist.
const KNOWN: [&str; 8] = [
    "contents",
    "systemInstruction",
    "tools",
    "toolConfig",
    "generationConfig",
    "safetySettings",
    "cachedContent",
    "serviceTier",
];

pub fn is_json_endpoint(head: &Head) -> bool {
    head.method == "POST"
}

pub fn error(status: u16, message: &str) -> Reply {
    let name = match status {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        503 => "UNAVAILABLE",
        _ => "INTERNAL",
    };
    Reply::json(status, json!({"error": {"code": status, "message": message, "status": name}}).to_string())
}

pub fn answer(ask: &Ask<'_>) -> Reply {
    match (ask.act.status, &ask.act.body, &ask.act.frames) {
        (Some(status), None, None) if status >= 400 => return error(status, "The service said no."),
        _ => {}
    }
    if let Some(reply) = dictated(ask.act) {
        return reply;
    }
    let path = ask.head.path();
    let Some(named) = path.strip_prefix("/v1beta/models") else { return error(404, "There is no such path.") };
    let named = named.trim_start_matches('/');
    if ask.head.method == "GET" {
        let model =
            json!({"name": "models/gemini-2.5-flash", "inputTokenLimit": 1_048_576, "outputTokenLimit": 65_536});
        return Reply::json(200, if named.is_empty() { json!({ "models": [model] }) } else { model }.to_string());
    }
    let Some((model, operation)) = named.split_once(':') else { return error(404, "There is no such path.") };
    if model.starts_with("no-such") {
        return error(404, &format!("models/{model} is not found for API version v1beta."));
    }
    let body: Value = serde_json::from_slice(&ask.body.kept).unwrap_or_default();
    match operation {
        "generateContent" | "streamGenerateContent" => objection(&body).unwrap_or_else(|| {
            let events =
                ask.head.target.split('?').nth(1).is_some_and(|query| query.split('&').any(|p| p == "alt=sse"));
            written(ask, &body, model, operation == "streamGenerateContent", events)
        }),
        "countTokens" => Reply::json(200, json!({"totalTokens": ask.act.tokens.input.unwrap_or(19)}).to_string()),
        "embedContent" => Reply::json(200, json!({"embedding": {"values": [0.5, -0.25]}}).to_string()),
        "batchEmbedContents" => {
            let requests = body["requests"].as_array().cloned().unwrap_or_default();
            let one = |request: &Value| json!({"values": text::vector(&request["content"]["parts"][0]["text"])});
            Reply::json(200, json!({"embeddings": requests.iter().map(one).collect::<Vec<_>>()}).to_string())
        }
        _ => error(404, "There is no such operation."),
    }
}

fn objection(body: &Value) -> Option<Reply> {
    let object = body.as_object()?;
    if let Some(name) = object.keys().find(|name| !KNOWN.contains(&name.as_str())) {
        return Some(error(
            400,
            &format!("Invalid JSON payload received. Unknown name \"{name}\": Cannot find field."),
        ));
    }
    let contents = body["contents"].as_array().cloned().unwrap_or_default();
    if contents.is_empty() {
        return Some(error(400, "* GenerateContentRequest.contents: contents is not specified"));
    }
    if contents.iter().any(|content| content["role"] != "user" && content["role"] != "model") {
        return Some(error(400, "Please use a valid role: user, model."));
    }
    let count = |content: &Value, kind: &str| {
        content["parts"].as_array().map_or(0, |parts| parts.iter().filter(|part| !part[kind].is_null()).count())
    };
    let unanswered = |pair: &[Value]| {
        let calls = count(&pair[0], "functionCall");
        calls > 0 && calls != count(&pair[1], "functionResponse")
    };
    contents.windows(2).any(unanswered).then(|| {
        error(
            400,
            "Please ensure that the number of function response parts is equal to the number of function call parts.",
        )
    })
}

fn usage(act: &Act, share: u64, of: u64) -> Value {
    if let Some(usage) = &act.usage {
        return serde_json::from_str(usage.get()).unwrap_or_default();
    }
    let (input, output) = (act.tokens.input.unwrap_or(19), act.tokens.output.unwrap_or(10));
    let said = (output.saturating_sub(act.tokens.reasoning)).saturating_mul(share) / of.max(1);
    let mut usage = json!({"promptTokenCount": input, "candidatesTokenCount": said,
        "totalTokenCount": input + said + act.tokens.reasoning,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": input}]});
    if act.tokens.reasoning > 0 {
        usage["thoughtsTokenCount"] = json!(act.tokens.reasoning);
    }
    if act.tokens.cached > 0 {
        usage["cachedContentTokenCount"] = json!(act.tokens.cached);
        usage["cacheTokensDetails"] = json!([{"modality": "TEXT", "tokenCount": act.tokens.cached}]);
    }
    usage
}

fn call(call: &Call) -> Value {
    let args: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
    json!({"functionCall": {"name": call.name, "args": args}, "thoughtSignature": "c2lnbmVk"})
}

fn thoughts(act: &Act) -> Vec<Value> {
    act.thought.iter().map(|thought| json!({"text": thought, "thought": true})).collect()
}

fn written(ask: &Ask<'_>, _body: &Value, model: &str, streams: bool, events: bool) -> Reply {
    let act = ask.act;
    let version = act.answers_as.as_deref().unwrap_or(model);
    let chunk = |parts: Vec<Value>, finish: Option<&str>, usage: Value| {
        let mut candidate = json!({"content": {"parts": parts, "role": "model"}, "index": 0});
        if let Some(reason) = finish {
            candidate["finishReason"] = json!(reason);
        }
        let mut chunk = json!({"candidates": [candidate], "modelVersion": version,
            "responseId": format!("resp-{}", ask.number)});
        if !act.no_usage {
            chunk["usageMetadata"] = usage;
        }
        chunk
    };
    let finish = act.finish_reason.as_deref().unwrap_or("STOP");
    let parts = |text: String| vec![json!({ "text": text })];
    if !streams {
        let said = if act.calls.is_empty() { parts(text::whole(act)) } else { act.calls.iter().map(call).collect() };
        let said = thoughts(act).into_iter().chain(said).collect();
        return Reply::json(200, chunk(said, Some(finish), usage(act, 1, 1)).to_string());
    }
    let said: Vec<Vec<Value>> = if act.calls.is_empty() {
        text::pieces(act).into_iter().map(parts).collect()
    } else {
        vec![act.calls.iter().map(call).collect()]
    };
    let said: Vec<Vec<Value>> = act.thought.iter().map(|_| thoughts(act)).chain(said).collect();
    let of = said.len() as u64;
    let mut chunks: Vec<Value> =
        said.into_iter().zip(1..).map(|(parts, at)| chunk(parts, None, usage(act, at, of))).collect();
    if !matches!(act.fault, Some(Fault::NoTerminator)) {
        chunks.push(chunk(parts(String::new()), Some(finish), usage(act, 1, 1)));
    }
    if !events {
        return Reply::json(200, Value::from(chunks).to_string());
    }
    let mut pieces = Pieces::default();
    chunks.iter().for_each(|chunk| pieces.data(&chunk.to_string()));
    let mut reply = Reply::events(pieces);
    "text/event-stream".clone_into(&mut reply.content_type);
    let failed = json!({"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}});
    reply.error_frame = Some(format!("data: {failed}\n\n").into_bytes());
    reply
}
