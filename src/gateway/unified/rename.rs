//! An answer that passes as it is, but for the model's name: it is the one that the client asked for. Aliases would
//! otherwise tell what is behind them.

use crate::domain::Usage;
use crate::providers::{Ending, Progress, Reading, ResponseMeter};
use crate::wire::sse::{Event, Frame, Framer};
use crate::wire::{json_edit, json_walk};
use bytes::Bytes;
use http::HeaderMap;
use memchr::memmem;

/// Of an answer that is held to be renamed.
const WHOLE: usize = super::translate::WHOLE;

/// Objects of a stream's events that hold the model's name beside the event itself.
const WITHIN: [&str; 2] = ["message", "response"];

pub(super) struct Renamed {
    inner: Box<dyn ResponseMeter>,
    /// As JSON.
    name: Vec<u8>,
    /// Of streams.
    framer: Option<Framer>,
    body: Vec<u8>,
    passed: Vec<Bytes>,
}

/// Around the meter of an answer that went well.
pub(in crate::gateway) fn renamed(inner: Box<dyn ResponseMeter>, name: &str) -> Box<dyn ResponseMeter> {
    let framer = inner.is_stream().then(Framer::default);
    let name = serde_json::Value::from(name).to_string().into_bytes();
    Box::new(Renamed { inner, name, framer, body: Vec::new(), passed: Vec::new() })
}

impl Renamed {
    fn take(&mut self, out: &mut Vec<Bytes>) {
        for piece in self.passed.drain(..) {
            match &mut self.framer {
                Some(framer) => framer.push(&piece, |frame| out.push(of_frame(frame, &self.name))),
                None => self.body.extend_from_slice(&piece),
            }
        }
    }
}

fn of_frame(frame: Frame, name: &[u8]) -> Bytes {
    match frame {
        Frame::Event(event) => of_event(&event, name).unwrap_or_else(|| event.into_raw()),
        Frame::Opaque(bytes) => bytes,
    }
}

/// `None` when it names no model.
fn of_event(event: &Event, name: &[u8]) -> Option<Bytes> {
    memmem::find(event.raw(), b"\"model\"")?;
    let data = event.data_bytes()?;
    let data = of_json(&data, name).or_else(|| {
        let holder = WITHIN.into_iter().find(|holder| {
            json_walk::member(&data, holder).is_some_and(|m| json_walk::member(m.value, "model").is_some())
        })?;
        json_edit::set_within(&data, holder, "model", name)
    })?;
    Some(event.with_data(&data))
}

fn of_json(text: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    json_walk::member(text, "model")?;
    json_edit::set(text, "model", name)
}

impl ResponseMeter for Renamed {
    fn push(&mut self, piece: Bytes, out: &mut Vec<Bytes>) -> Progress {
        let progress = self.inner.push(piece, &mut self.passed);
        self.take(out);
        progress
    }
    fn end(&mut self, out: &mut Vec<Bytes>) {
        self.inner.end(&mut self.passed);
        self.take(out);
        match &mut self.framer {
            Some(framer) => out.extend(framer.finish().map(|frame| of_frame(frame, &self.name))),
            None => {
                let body = std::mem::take(&mut self.body);
                out.push(of_json(&body, &self.name).unwrap_or(body).into());
            }
        }
    }
    fn reading(&mut self, ending: Ending) -> Reading {
        self.inner.reading(ending)
    }
    fn also(&mut self) -> Vec<(Box<str>, Usage)> {
        self.inner.also()
    }
    fn broken_tail(&self, message: &str) -> Option<Bytes> {
        self.inner.broken_tail(message)
    }
    fn is_stream(&self) -> bool {
        self.inner.is_stream()
    }
    fn held_whole(&self) -> Option<usize> {
        self.framer.is_none().then_some(WHOLE)
    }
    fn status(&self, upstream: u16) -> u16 {
        self.inner.status(upstream)
    }
    fn head(&self, headers: &mut HeaderMap) {
        self.inner.head(headers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Lets everything through.
    struct Through(bool);

    impl ResponseMeter for Through {
        fn push(&mut self, piece: Bytes, out: &mut Vec<Bytes>) -> Progress {
            out.push(piece);
            Progress::More
        }
        fn end(&mut self, _out: &mut Vec<Bytes>) {}
        fn reading(&mut self, _ending: Ending) -> Reading {
            Reading::default()
        }
        fn broken_tail(&self, _message: &str) -> Option<Bytes> {
            None
        }
        fn is_stream(&self) -> bool {
            self.0
        }
    }

    fn through(stream: bool, pieces: &[&[u8]]) -> String {
        let mut meter = renamed(Box::new(Through(stream)), "my \"own\"");
        let mut out = Vec::new();
        for piece in pieces {
            meter.push(Bytes::copy_from_slice(piece), &mut out);
        }
        meter.end(&mut out);
        String::from_utf8(out.concat()).unwrap()
    }

    const STREAM: &str = "data: {\"id\":\"1\",\"model\":\"gpt-4o\",\"x\":{\"model\":\"stays\"}}\n\n\
        event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"claude\"}}\n\n\
        data: {\"text\":\"say \\\"model\\\" twice\"}\n\ndata: [DONE]\n\n";
    const EXPECT: &str = "data: {\"id\":\"1\",\"model\":\"my \\\"own\\\"\",\"x\":{\"model\":\"stays\"}}\n\n\
        event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"my \\\"own\\\"\"}}\n\n\
        data: {\"text\":\"say \\\"model\\\" twice\"}\n\ndata: [DONE]\n\n";

    #[test]
    fn whole_answers_and_events_name_the_model_that_was_asked_for() {
        assert_eq!(through(true, &[STREAM.as_bytes()]), EXPECT);
        assert_eq!(through(false, &[b"{\"model\":", b"\"gpt-4o\",\"n\":1}"]), "{\"model\":\"my \\\"own\\\"\",\"n\":1}");
        assert_eq!(through(false, &[b"{\"error\":{}}"]), "{\"error\":{}}");
        assert_eq!(through(false, &[b"not json"]), "not json");
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_stream(cuts in prop::collection::vec(0..STREAM.len(), 0..8)) {
            let mut cuts = cuts;
            cuts.extend([0, STREAM.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|w| &STREAM.as_bytes()[w[0]..w[1]]).collect();
            prop_assert_eq!(through(true, &pieces), EXPECT);
        }
    }
}
