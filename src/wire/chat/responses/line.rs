//! The events of a stream, on the wire.

use super::items::{Annotation, OutputText, Summary, Written};
use super::object::Object;
use serde::Serialize;

/// An event: what it does not have stays `None`.
#[derive(Serialize, Default)]
pub(super) struct Line<'a> {
    pub(super) r#type: &'static str,
    pub(super) sequence_number: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response: Option<Object<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) item_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) output_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) summary_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) annotation_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) annotation: Option<&'a Annotation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) item: Option<Written<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) part: Option<Piece<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) delta: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) arguments: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) input: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) logprobs: Option<[(); 0]>,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Piece<'a> {
    Text(OutputText<'a>),
    Summary(Summary<'a>),
}

/// The stream itself is at its end.
#[derive(Serialize)]
struct Fault<'a> {
    r#type: &'static str,
    sequence_number: u64,
    code: &'a str,
    message: &'a str,
    param: Option<()>,
}

/// Numbers the events.
#[derive(Debug, Default)]
pub(super) struct Lines {
    next: u64,
    /// Nobody reads them.
    pub(super) muted: bool,
}

impl Lines {
    pub(super) fn send(&mut self, mut line: Line<'_>, out: &mut Vec<u8>) {
        line.sequence_number = self.next;
        self.put(line.r#type, &line, out);
    }

    pub(super) fn fault(&mut self, code: &str, message: &str, out: &mut Vec<u8>) {
        let fault = Fault { r#type: "error", sequence_number: self.next, code, message, param: None };
        self.put(fault.r#type, &fault, out);
    }

    fn put(&mut self, name: &str, what: &impl Serialize, out: &mut Vec<u8>) {
        self.next += 1;
        if self.muted {
            return;
        }
        let before = out.len();
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\ndata: ");
        match serde_json::to_writer(&mut *out, what) {
            Ok(()) => out.extend_from_slice(b"\n\n"),
            // Nothing that is written here can fail; half an event would spoil the rest.
            Err(_) => out.truncate(before),
        }
    }
}
