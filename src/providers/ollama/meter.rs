//! Follows a response and reads the bill from it. Lines go on as they came.

mod stream;
mod unary;

use super::bound;
use super::endpoints::Kind;
use crate::domain::{Usage, UsageSource};
use crate::metering::count::Encoding;
use crate::providers::kept::TextLog;
use crate::providers::passing::Passing;
use crate::providers::{Call, Reading, ResponseMeter};
use crate::wire::json_walk::{members, string, unescape, whole_number};
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;

pub(super) fn of(kind: Kind, call: &Call, status: u16, headers: &HeaderMap, sent: &Bytes) -> Box<dyn ResponseMeter> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|t| t.to_str().ok()).unwrap_or_default();
    let media = content_type.split(';').next().unwrap_or_default().trim();
    let is_lines =
        media.eq_ignore_ascii_case("application/x-ndjson") || media.eq_ignore_ascii_case("application/ndjson");
    if kind == Kind::Other || !(200..300).contains(&status) {
        return Box::new(Passing { is_stream: is_lines, broken: Some(error_line) });
    }
    let bill = Bill { kind, sent: sent.clone(), max_output: call.max_output, told: Told::default() };
    if is_lines || (call.stream && !media.eq_ignore_ascii_case("application/json")) {
        Box::new(stream::Stream::new(bill))
    } else {
        Box::new(unary::Unary::new(bill))
    }
}

/// The line that tells a client that its stream is broken. No line that says `done` follows: the answer is not whole.
fn error_line(message: &str) -> Bytes {
    Bytes::from(format!("{}\n", serde_json::json!({ "error": message })))
}

/// What an answer says of itself; later lines add to earlier ones.
#[derive(Debug, Default)]
struct Told {
    model: Option<Box<str>>,
    input: Option<u64>,
    output: Option<u64>,
    done: bool,
    failed: bool,
    /// A model was loaded or let go, and no more.
    idle: bool,
    /// There is something that could have cost.
    has_result: bool,
}

impl Told {
    /// Whether the line was all there.
    fn line(&mut self, line: &[u8]) -> bool {
        let mut walk = members(line);
        for m in walk.by_ref() {
            match m.key {
                b"model" if self.model.is_none() => {
                    self.model = string(m.value).filter(|name| !name.is_empty()).map(|name| unescape(name).into());
                }
                b"prompt_eval_count" => self.input = whole_number(m.value).or(self.input),
                b"eval_count" => self.output = whole_number(m.value).or(self.output),
                b"done" => self.done |= m.value == b"true",
                b"done_reason" => self.idle = matches!(string(m.value), Some(b"load" | b"unload")),
                b"error" => self.failed |= m.value != b"null",
                b"message" | b"response" | b"embeddings" => self.has_result = true,
                _ => {}
            }
        }
        walk.is_whole()
    }
}

/// What is billed, and by whose count.
#[derive(Debug)]
struct Bill {
    kind: Kind,
    sent: Bytes,
    max_output: Option<u64>,
    told: Told,
}

impl Bill {
    /// By the server's counts; what it left out is counted here: it names no prompt that it had at hand already.
    fn reading(&self, text: &TextLog, truncated: bool) -> Reading {
        let Told { model, input, output, failed, idle, has_result, .. } = &self.told;
        let written = || {
            let tokens = text.tokens(Encoding::O200k);
            self.max_output.map_or(tokens, |most| tokens.min(most))
        };
        let is_embedding = self.kind == Kind::Embed;
        let costs_nothing = *idle || (*failed && text.is_empty()) || !(*has_result || truncated);
        let usage = match (input, output) {
            (None, None) if costs_nothing => Usage::default(),
            (Some(input), _) if is_embedding => {
                Usage { in_text: *input, source: UsageSource::Upstream, ..Usage::default() }
            }
            (Some(input), Some(output)) => {
                Usage { in_text: *input, out_text: *output, source: UsageSource::Upstream, ..Usage::default() }
            }
            (input, output) => Usage {
                in_text: input.unwrap_or_else(|| bound::prompt_tokens(self.kind, &self.sent)),
                out_text: if is_embedding { 0 } else { output.unwrap_or_else(written) },
                source: UsageSource::Estimated,
                ..Usage::default()
            },
        };
        Reading { usage, model: model.clone(), truncated, ..Reading::default() }
    }
}
