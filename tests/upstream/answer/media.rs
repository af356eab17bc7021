//! Pictures and sound, as JSON, events, text or bytes: usage in tokens, in seconds, or none at all.

use base64::Engine as _;
use serde_json::{Value, json};

use super::super::reply::{Pieces, Reply};
use super::files::{Part, binary, described, parts};
use super::{Ask, CREATED, text};

/// A request's fields, whether they came in JSON or in a form.
struct Fields {
    json: Value,
    parts: Vec<Part>,
}

impl Fields {
    fn of(ask: &Ask<'_>) -> Result<Fields, Box<Reply>> {
        let is_json = ask.head.header("content-type").is_some_and(|kind| kind.starts_with("application/json"));
        if is_json {
            let json = serde_json::from_slice(&ask.body.kept).unwrap_or(Value::Null);
            return Ok(Fields { json, parts: Vec::new() });
        }
        match parts(ask) {
            Ok(parts) => Ok(Fields { json: Value::Null, parts }),
            Err(message) => Err(Box::new(Reply::error(400, "invalid_request_error", None, message))),
        }
    }

    fn text(&self, name: &str) -> String {
        let part = self.parts.iter().find(|part| part.name == name).map(|part| part.text.clone());
        part.or_else(|| self.json.get(name).map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)))
            .unwrap_or_default()
    }

    fn number(&self, name: &str, usual: usize) -> usize {
        self.text(name).parse().unwrap_or(usual)
    }

    fn is(&self, name: &str, value: &str) -> bool {
        self.text(name).eq_ignore_ascii_case(value)
    }

    /// A form too large to be kept has fields that nobody here can see.
    fn unseen(&self) -> bool {
        self.json.is_null() && self.parts.is_empty()
    }
}

fn missing(what: &str) -> Reply {
    Reply::error(400, "invalid_request_error", None, &format!("Missing required parameter: '{what}'."))
}

/// The usage that a behaviour dictates, else the usual one.
fn usage(ask: &Ask<'_>, usual: Value) -> Option<Value> {
    match &ask.act.usage {
        _ if ask.act.no_usage => None,
        Some(raw) => serde_json::from_str(raw.get()).ok(),
        None => Some(usual),
    }
}

fn with_usage(mut answer: Value, usage: Option<Value>) -> Value {
    if let (Some(answer), Some(usage)) = (answer.as_object_mut(), usage) {
        answer.insert("usage".to_owned(), usage);
    }
    answer
}

/// `POST /v1/images/generations` and `/v1/images/edits`. The newer models report tokens, the elder ones only pictures.
pub fn images(ask: &Ask<'_>, name: &str) -> Reply {
    let fields = match Fields::of(ask) {
        Ok(fields) => fields,
        Err(reply) => return *reply,
    };
    if fields.text("prompt").is_empty() && !fields.unseen() {
        return missing("prompt");
    }
    let picture = base64::engine::general_purpose::STANDARD.encode(binary(ask.act.content_bytes.unwrap_or(300)));
    let usual = json!({
        "total_tokens": 4533, "input_tokens": 373, "output_tokens": 4160,
        "input_tokens_details": {"text_tokens": 50, "image_tokens": 323},
    });
    let looks = json!({"background": "opaque", "output_format": "png", "quality": "high", "size": "1024x1024"});
    if fields.is("stream", "true") {
        let mut pieces = Pieces::default();
        let mut event = |kind: &str, more: Value| {
            let kind = format!("{name}.{kind}");
            let mut all = json!({"type": kind, "b64_json": picture, "created_at": CREATED});
            merge(&mut all, looks.clone());
            merge(&mut all, more);
            pieces.event(&kind, &all.to_string());
        };
        for index in 0..fields.number("partial_images", 0) {
            event("partial_image", json!({"partial_image_index": index}));
        }
        event("completed", with_usage(json!({}), usage(ask, usual)));
        return Reply::events(pieces);
    }
    let elder = fields.text("model").starts_with("dall-e");
    let one = if elder { json!({"url": "https://images.local/1.png"}) } else { json!({"b64_json": picture}) };
    let data = vec![one; fields.number("n", 1).clamp(1, 10)];
    let mut answer = json!({"created": CREATED, "data": data});
    if !elder {
        merge(&mut answer, looks);
        answer = with_usage(answer, usage(ask, usual));
    }
    Reply::json(200, answer.to_string())
}

pub fn speech(ask: &Ask<'_>) -> Reply {
    let fields = match Fields::of(ask) {
        Ok(fields) => fields,
        Err(reply) => return *reply,
    };
    let sound = binary(ask.act.content_bytes.unwrap_or(8192));
    if !fields.is("stream_format", "sse") {
        let mut reply = Reply::bytes("audio/mpeg", sound);
        reply.streamed = true;
        return reply;
    }
    let mut pieces = Pieces::default();
    for piece in sound.chunks(3000) {
        let audio = base64::engine::general_purpose::STANDARD.encode(piece);
        pieces.data(&json!({"type": "speech.audio.delta", "audio": audio}).to_string());
    }
    let usual = json!({"input_tokens": 14, "output_tokens": 101, "total_tokens": 115});
    pieces.data(&with_usage(json!({"type": "speech.audio.done"}), usage(ask, usual)).to_string());
    Reply::events(pieces)
}

/// `POST /v1/audio/transcriptions`: tokens from the newer models, seconds from the elder one, nothing beside plain text.
pub fn transcription(ask: &Ask<'_>) -> Reply {
    let fields = match Fields::of(ask) {
        Ok(fields) => fields,
        Err(reply) => return *reply,
    };
    if !fields.unseen() {
        for name in ["file", "model"] {
            if !fields.parts.iter().any(|part| part.name == name) {
                return missing(name);
            }
        }
    }
    let said = ask.act.content.as_deref().unwrap_or("Hello there.");
    let tokens = fields.text("model").starts_with("gpt-4o");
    let usual = if tokens {
        json!({
            "type": "tokens", "total_tokens": 160, "input_tokens": 120, "output_tokens": 40,
            "input_token_details": {"text_tokens": 20, "audio_tokens": 100},
        })
    } else {
        json!({"type": "duration", "seconds": 3})
    };
    if tokens && fields.is("stream", "true") {
        let mut pieces = Pieces::default();
        for piece in text::pieces(ask.act) {
            pieces.data(&json!({"type": "transcript.text.delta", "delta": piece}).to_string());
        }
        let done = json!({"type": "transcript.text.done", "text": text::whole(ask.act)});
        pieces.data(&with_usage(done, usage(ask, usual)).to_string());
        return Reply::events(pieces);
    }
    written(&fields, said).unwrap_or_else(|| {
        let mut answer = json!({"text": said, "parts": described(&fields.parts)});
        if fields.is("response_format", "verbose_json") {
            merge(&mut answer, json!({"task": "transcribe", "language": "english", "duration": 2.9, "segments": []}));
        }
        Reply::json(200, with_usage(answer, usage(ask, usual)).to_string())
    })
}

/// `POST /v1/audio/translations`: never a usage; a duration only where all details were asked for.
pub fn translation(ask: &Ask<'_>) -> Reply {
    let fields = match Fields::of(ask) {
        Ok(fields) => fields,
        Err(reply) => return *reply,
    };
    let said = ask.act.content.as_deref().unwrap_or("Hello there.");
    written(&fields, said).unwrap_or_else(|| {
        let mut answer = json!({"text": said});
        if fields.is("response_format", "verbose_json") {
            merge(&mut answer, json!({"task": "translate", "language": "english", "duration": 75.4, "segments": []}));
        }
        Reply::json(200, answer.to_string())
    })
}

/// The forms of an answer that are no JSON.
fn written(fields: &Fields, said: &str) -> Option<Reply> {
    let text = match &*fields.text("response_format") {
        "text" => format!("{said}\n"),
        "srt" => format!("1\n00:00:00,000 --> 00:00:03,000\n{said}\n\n"),
        "vtt" => format!("WEBVTT\n\n00:00:00.000 --> 00:00:03.000\n{said}\n\n"),
        _ => return None,
    };
    Some(Reply::bytes("text/plain; charset=utf-8", text.into_bytes()))
}

fn merge(into: &mut Value, more: Value) {
    if let (Value::Object(into), Value::Object(more)) = (into, more) {
        into.extend(more);
    }
}
