//! Answers that are objects. One that was just made is remembered as the caller's.
//!
//! Of a batch, the address of its results is absolute and names the provider's own host; the SDKs follow it with the key
//! they have, which would show the client's key to the provider and miss the gateway. It becomes a path, which they
//! append to the base URL they were given. White space makes up for what is cut, so that no length changes.

use crate::domain::MadeObject;
use crate::providers::anthropic::objects;
use crate::providers::{Ending, Progress, Reading, ResponseMeter};
use crate::wire::json_walk::strings;
use bytes::{Bytes, BytesMut};
use memchr::memmem;
use std::ops::Range;

/// An object is shorter, and so is a list of them; a longer answer passes as it is.
const LIMIT: usize = 8 * 1024 * 1024;
const RESULTS: &[u8] = b"/v1/messages/batches/";

#[derive(Debug, Default)]
pub(super) struct Objects {
    /// The request was there to make one.
    makes: bool,
    made: Option<MadeObject>,
    held: BytesMut,
    /// Too long to be held.
    passing: bool,
}

impl Objects {
    pub(super) fn new(makes: bool) -> Self {
        Self { makes, ..Self::default() }
    }
}

impl ResponseMeter for Objects {
    fn push(&mut self, piece: Bytes, out: &mut Vec<Bytes>) -> Progress {
        if self.passing {
            out.push(piece);
            return Progress::More;
        }
        self.held.extend_from_slice(&piece);
        if self.held.len() > LIMIT {
            self.passing = true;
            out.push(self.held.split().freeze());
        }
        Progress::More
    }
    fn end(&mut self, out: &mut Vec<Bytes>) {
        let mut body = self.held.split();
        self.made = objects::made(&body).filter(|_| self.makes);
        for place in addresses(&body) {
            shorten(&mut body, place);
        }
        if !body.is_empty() {
            out.push(body.freeze());
        }
    }
    fn reading(&mut self, _ending: Ending) -> Reading {
        Reading { made: self.made.take().into_iter().collect(), ..Reading::default() }
    }
    fn broken_tail(&self, _message: &str) -> Option<Bytes> {
        None
    }
    fn is_stream(&self) -> bool {
        false
    }
}

/// Where the addresses of results stand, without their quotes.
fn addresses(body: &[u8]) -> Vec<Range<usize>> {
    let mut from = 0;
    let mut found = Vec::new();
    for (_, address) in strings(body).filter(|(key, _)| *key == b"results_url") {
        // Slices of the body, in its order: the next occurrence at or after the last one is this one.
        let Some(at) = body.get(from..).and_then(|rest| memmem::find(rest, address)) else { break };
        let start = from + at;
        from = start + address.len();
        found.push(start..from);
    }
    found
}

/// Cuts an address down to its path, and moves the closing quote with it.
fn shorten(body: &mut [u8], place: Range<usize>) {
    let Some(address) = body.get_mut(place.start..=place.end) else { return };
    let is_url = address.starts_with(b"http://") || address.starts_with(b"https://");
    let Some(cut) = memmem::find(address, RESULTS).filter(|_| is_url) else { return };
    let kept = address.len() - cut;
    address.copy_within(cut.., 0);
    if let Some(rest) = address.get_mut(kept..) {
        rest.fill(b' ');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::suite;

    fn through(body: &str) -> String {
        let outcome = suite::run(Box::new(Objects::default()), body.as_bytes(), &[3, 40], Ending::Complete);
        assert_eq!(outcome.put_out.len(), body.len(), "{body}");
        assert_eq!(outcome.reading, Reading::default());
        String::from_utf8(outcome.put_out).expect("utf-8")
    }

    #[test]
    fn results_are_fetched_through_the_gateway() {
        let one = |id: &str| {
            format!(
                r#"{{"id":"{id}","note":1e400,"results_url":"https://api.anthropic.com/v1/messages/batches/{id}/results","x":"\ud83d"}}"#
            )
        };
        let list = format!(r#"{{"data":[{},{}],"has_more":false}}"#, one("msgbatch_1"), one("msgbatch_2"));
        let answer = through(&list);
        assert!(!answer.contains("https://"), "{answer}");
        let squeezed: String = answer.split_whitespace().collect();
        assert_eq!(squeezed, list.replace("https://api.anthropic.com", ""));
    }

    #[test]
    fn what_is_made_is_remembered() {
        let body = br#"{"id":"file_1","type":"file"}"#;
        for makes in [false, true] {
            let outcome = suite::run(Box::new(Objects::new(makes)), body, &[9], Ending::Complete);
            let made = outcome.reading.made.first().map(|object| (&*object.id, &*object.kind));
            assert_eq!(made, makes.then_some(("file_1", "file")));
        }
    }

    #[test]
    fn everything_else_stays() {
        for body in [
            r#"{"id":"b","results_url":null}"#,
            r#"{"results_url":"/v1/messages/batches/b/results"}"#,
            r#"{"results_url":"https://elsewhere/x"}"#,
            r#"{"url":"https://api.anthropic.com/v1/messages/batches/b/results"}"#,
            "{\"results_url\":\"https://cut/v1/messages/batches/",
            "not json at all",
            "",
        ] {
            assert_eq!(through(body), body);
        }
        suite::any_chunking_is_the_same(
            || Box::new(Objects::default()),
            br#"{"results_url":"https://a/v1/messages/batches/b/results"}"#,
        );
    }

    #[test]
    fn a_huge_answer_is_not_held() {
        let mut meter = Objects::default();
        let mut out = Vec::new();
        meter.push(Bytes::from(vec![b' '; LIMIT + 1]), &mut out);
        meter.push(Bytes::from_static(b"x"), &mut out);
        assert_eq!(out.iter().map(Bytes::len).sum::<usize>(), LIMIT + 2);
        assert!(meter.held.is_empty());
    }
}
