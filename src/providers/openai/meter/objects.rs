//! Looks at answers beside their own meter: which objects they make, and which earlier work they tell the bill of.

use crate::domain::{MadeObject, Usage, UsageSource};
use crate::providers::openai::Kind;
use crate::providers::openai::endpoints::ANYTHING;
use crate::providers::openai::objects::{Told, batch_line, told_by};
use crate::providers::sums::Sums;
use crate::providers::{Call, Charge, Ending, Endpoint, Progress, Reading, ResponseMeter};
use crate::wire::json_walk::member;
use crate::wire::sse::{Event, Frame, Framer};
use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method};
use memchr::{memchr, memmem};

/// A longer answer is no object and no page of a list.
const LONGEST_JSON: usize = 8 * 1024 * 1024;
/// A longer line of a batch's output is not read; the rest of it is.
const LONGEST_LINE: usize = 16 * 1024 * 1024;

/// `inner`, observed where the endpoint makes objects or tells what they consumed.
pub(super) fn wrap(
    endpoint: &Endpoint,
    call: &Call,
    status: u16,
    headers: &HeaderMap,
    sent: &Bytes,
    inner: Box<dyn ResponseMeter>,
) -> Box<dyn ResponseMeter> {
    if status != 200 && status != 201 {
        return inner;
    }
    let says = |name: &str, value: &[u8]| member(sent, name).is_some_and(|m| m.value == value);
    let media = headers.get(CONTENT_TYPE).map(|t| t.as_bytes()).unwrap_or_default();
    let is_json = media.starts_with(b"application/json");
    let posted = endpoint.method == Method::POST;
    let kind = Kind::of(endpoint);
    let background = kind == Kind::Responses && says("background", b"true");
    let look = match kind {
        Kind::Responses if inner.is_stream() => Look::Events { framer: Box::default(), until_made: !background },
        Kind::Runs if inner.is_stream() => Look::Events { framer: Box::default(), until_made: false },
        Kind::Responses | Kind::Runs => Look::Json { pieces: Vec::new(), bytes: 0 },
        Kind::Chat if memmem::find(sent, b"\"store\"").is_some() && says("store", b"true") => {
            if inner.is_stream() {
                Look::Events { framer: Box::default(), until_made: true }
            } else {
                Look::Json { pieces: Vec::new(), bytes: 0 }
            }
        }
        Kind::Other if endpoint.template.ends_with("/content") => match &call.charged_as {
            Some(batch) => {
                Look::Lines { batch: batch.clone(), carry: BytesMut::new(), skipping: false, sums: Sums::default() }
            }
            None => return inner,
        },
        Kind::Other if inner.is_stream() => Look::Events { framer: Box::default(), until_made: false },
        Kind::Other if is_json && endpoint.template != ANYTHING => Look::Json { pieces: Vec::new(), bytes: 0 },
        _ => return inner,
    };
    let makes = posted && !says("store", b"false");
    Box::new(Observed {
        inner,
        look,
        makes,
        deferred: call.deferred || background || kind == Kind::Runs,
        is_run: kind == Kind::Runs,
        told: Told::default(),
    })
}

struct Observed {
    inner: Box<dyn ResponseMeter>,
    look: Look,
    /// The request was there to make an object.
    makes: bool,
    /// The answer's own usage is charged by its object's id, whoever tells it first.
    deferred: bool,
    is_run: bool,
    told: Told,
}

enum Look {
    Json {
        pieces: Vec<Bytes>,
        bytes: usize,
    },
    Events {
        framer: Box<Framer>,
        /// Only the object's id is of interest.
        until_made: bool,
    },
    /// Output of a batch, a line for each of its requests.
    Lines {
        batch: Box<str>,
        carry: BytesMut,
        skipping: bool,
        sums: Sums,
    },
    Over,
}

impl Observed {
    fn see(&mut self, piece: &Bytes) {
        match &mut self.look {
            Look::Json { pieces, bytes } => {
                *bytes += piece.len();
                pieces.push(piece.clone());
                if *bytes > LONGEST_JSON {
                    self.look = Look::Over;
                }
            }
            Look::Events { framer, until_made } => {
                let (told, makes) = (&mut self.told, self.makes);
                framer.push(piece, |frame| {
                    if let Frame::Event(event) = frame {
                        see_event(&event, makes, told);
                    }
                });
                if *until_made && !told.made.is_empty() {
                    self.look = Look::Over;
                }
            }
            Look::Lines { carry, skipping, sums, .. } => {
                let mut rest: &[u8] = piece;
                while let Some(end) = memchr(b'\n', rest) {
                    let (line, after) = rest.split_at(end);
                    if !std::mem::take(skipping) {
                        carry.extend_from_slice(line);
                        add_line(carry, sums);
                    }
                    carry.clear();
                    rest = after.get(1..).unwrap_or_default();
                }
                if carry.len() + rest.len() > LONGEST_LINE {
                    carry.clear();
                    *skipping = true;
                } else if !*skipping {
                    carry.extend_from_slice(rest);
                }
            }
            Look::Over => {}
        }
    }

    fn conclude(&mut self) {
        match std::mem::replace(&mut self.look, Look::Over) {
            Look::Json { pieces, .. } => match &*pieces {
                [only] => told_by(only, self.makes, &mut self.told),
                _ => told_by(&pieces.concat(), self.makes, &mut self.told),
            },
            Look::Lines { batch, carry, mut sums, .. } => {
                add_line(&carry, &mut sums);
                self.told.charges.extend(sums.into_charge(batch));
            }
            Look::Events { .. } | Look::Over => {}
        }
    }
}

fn add_line(line: &[u8], sums: &mut Sums) {
    if let Some((model, usage)) = batch_line(line) {
        sums.add(model, usage);
    }
}

/// Objects stand in the data of events that are named after them, or in its `response`.
fn see_event(event: &Event, makes: bool, told: &mut Told) {
    let name = event.name().unwrap_or_default();
    let of_response = name.starts_with(b"response.") && matches!(name.iter().filter(|b| **b == b'.').count(), 1);
    if !(name.is_empty() || of_response || name.starts_with(b"thread.")) {
        return;
    }
    let Some(data) = event.data_bytes() else { return };
    if of_response {
        if let Some(response) = member(&data, "response") {
            let is_new = makes && told.made.is_empty();
            told_by(response.value, is_new, told);
        }
    } else if name.is_empty() {
        // A chunk of a chat completion.
        if makes && told.made.is_empty() && member(&data, "object").is_some() {
            told_by(&data, true, told);
        }
    } else if name.ends_with(b".created") || name.starts_with(b"thread.run.") {
        told_by(&data, makes && name.ends_with(b".created"), told);
    }
}

impl ResponseMeter for Observed {
    fn push(&mut self, piece: Bytes, out: &mut Vec<Bytes>) -> Progress {
        self.see(&piece);
        self.inner.push(piece, out)
    }
    fn end(&mut self, out: &mut Vec<Bytes>) {
        self.inner.end(out);
    }
    fn reading(&mut self, ending: Ending) -> Reading {
        let mut reading = self.inner.reading(ending);
        self.conclude();
        let Told { made, charges, run } = std::mem::take(&mut self.told);
        reading.made = distinct(made);
        reading.charges = charges;
        if self.deferred {
            let own = std::mem::take(&mut reading.usage);
            match reading.charges.last_mut() {
                // The meter of the whole answer knows more than its object tells: searches, files, sessions.
                Some(charge) if own.source == UsageSource::Upstream => charge.usage = own,
                // Its result can be read although its stream was not: what was seen of it is billed, and that is all.
                None if self.is_run && own.source != UsageSource::None && !run.is_empty() => {
                    let model = reading.model.clone().unwrap_or_default();
                    reading.charges.push(Charge { id: run, model, usage: own, more: Vec::new() });
                }
                _ => {}
            }
        }
        reading
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
    fn head(&self, headers: &mut HeaderMap) {
        self.inner.head(headers);
    }
}

fn distinct(made: Vec<MadeObject>) -> Vec<MadeObject> {
    let mut kept: Vec<MadeObject> = Vec::with_capacity(made.len());
    for object in made {
        if !kept.iter().any(|known| known.id == object.id) {
            kept.push(object);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::by_name;

    fn read(
        method: &Method,
        path: &str,
        request: &str,
        media: &'static str,
        answer: &str,
        charged_as: Option<&str>,
    ) -> Reading {
        let provider = by_name("openai").unwrap();
        let endpoint = provider.endpoint(method, path).unwrap();
        let sent = Bytes::copy_from_slice(request.as_bytes());
        let mut call = provider.read(&endpoint, &HeaderMap::new(), &sent).unwrap();
        call.charged_as = charged_as.map(Into::into);
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, http::HeaderValue::from_static(media))]);
        let reading = |size: usize| {
            let mut meter = provider.meter(&endpoint, &call, 200, &headers, &sent);
            let mut out = Vec::new();
            for piece in answer.as_bytes().chunks(size) {
                meter.push(Bytes::copy_from_slice(piece), &mut out);
            }
            meter.end(&mut out);
            assert_eq!(out.concat(), answer.as_bytes(), "nothing is changed");
            meter.reading(Ending::Complete)
        };
        let whole = reading(answer.len().max(1));
        assert_eq!(reading(7), whole, "any chunking reads the same");
        whole
    }

    fn ids(reading: &Reading) -> Vec<&str> {
        reading.made.iter().map(|made| &*made.id).collect()
    }

    const JSON: &str = "application/json";
    const EVENTS: &str = "text/event-stream";

    #[test]
    fn what_is_made_is_told() {
        let file = r#"{"id":"file-1","object":"file","bytes":3}"#;
        assert_eq!(ids(&read(&Method::POST, "/v1/files", "", JSON, file, None)), ["file-1"]);
        assert!(ids(&read(&Method::GET, "/v1/files/file-1", "", JSON, file, None)).is_empty());
        let upload =
            r#"{"id":"upload_1","object":"upload","status":"completed","file":{"id":"file-2","object":"file"}}"#;
        let made = read(&Method::POST, "/v1/uploads/upload_1/complete", "{}", JSON, upload, None);
        assert_eq!(ids(&made), ["upload_1", "file-2"]);
        let response = r#"{"id":"resp_1","object":"response","status":"completed","model":"gpt-5","output":[],"usage":{"input_tokens":5,"output_tokens":1}}"#;
        let kept = read(&Method::POST, "/v1/responses", r#"{"model":"gpt-5"}"#, JSON, response, None);
        assert_eq!((ids(&kept), kept.usage.in_text), (vec!["resp_1"], 5));
        let unkept = read(&Method::POST, "/v1/responses", r#"{"model":"gpt-5","store":false}"#, JSON, response, None);
        assert!(ids(&unkept).is_empty());
        let chat = r#"{"id":"chatcmpl-1","object":"chat.completion","model":"gpt-4o","choices":[],"usage":{"prompt_tokens":1}}"#;
        assert!(ids(&read(&Method::POST, "/v1/chat/completions", r#"{"model":"m"}"#, JSON, chat, None)).is_empty());
        let stored = read(&Method::POST, "/v1/chat/completions", r#"{"model":"m","store":true}"#, JSON, chat, None);
        assert_eq!(ids(&stored), ["chatcmpl-1"]);
    }

    #[test]
    fn a_streamed_run_makes_and_charges() {
        let events = concat!(
            "event: thread.created\ndata: {\"id\":\"thread_1\",\"object\":\"thread\"}\n\n",
            "event: thread.run.created\ndata: {\"id\":\"run_1\",\"object\":\"thread.run\",\"thread_id\":\"thread_1\",\"status\":\"queued\",\"usage\":null}\n\n",
            "event: thread.message.delta\ndata: {\"id\":\"msg_1\"}\n\n",
            "event: thread.run.completed\ndata: {\"id\":\"run_1\",\"object\":\"thread.run\",\"status\":\"completed\",\"model\":\"gpt-4o\",\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":4}}\n\n",
            "event: done\ndata: [DONE]\n\n",
        );
        let reading =
            read(&Method::POST, "/v1/threads/runs", r#"{"assistant_id":"asst_1","stream":true}"#, EVENTS, events, None);
        assert_eq!(ids(&reading), ["thread_1", "run_1"]);
        let [charge] = &*reading.charges else { panic!("{reading:?}") };
        assert_eq!((&*charge.id, charge.usage.in_text, charge.usage.out_text), ("run_1", 9, 4));
    }

    #[test]
    fn a_background_stream_is_charged_by_its_response() {
        let events = concat!(
            "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\",\"object\":\"response\",\"background\":true,\"status\":\"queued\",\"usage\":null}}\n\n",
            "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"a\"}\n\n",
            "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"resp_1\",\"object\":\"response\",\"background\":true,\"status\":\"completed\",\"model\":\"gpt-5\",\"usage\":{\"input_tokens\":3,\"output_tokens\":2}}}\n\n",
        );
        let asked = r#"{"model":"gpt-5","stream":true,"background":true}"#;
        let reading = read(&Method::POST, "/v1/responses", asked, EVENTS, events, None);
        assert_eq!((ids(&reading), &reading.usage), (vec!["resp_1"], &Usage::default()));
        assert_eq!((reading.charges.len(), reading.charges[0].usage.in_text), (1, 3));
        let plain = events.replace("true", "false");
        let reading = read(&Method::POST, "/v1/responses", r#"{"model":"gpt-5","stream":true}"#, EVENTS, &plain, None);
        assert_eq!((ids(&reading), reading.charges.len(), reading.usage.in_text), (vec!["resp_1"], 0, 3));
    }

    #[test]
    fn output_of_a_batch_is_summed() {
        let line = |n: u64| {
            format!(
                "{{\"custom_id\":\"{n}\",\"response\":{{\"body\":{{\"model\":\"gpt-4o\",\"usage\":{{\"prompt_tokens\":{n},\"completion_tokens\":1}}}}}}}}"
            )
        };
        let output = [line(10), line(20), "{\"custom_id\":\"x\",\"response\":null}".to_owned(), line(30)].join("\n");
        let path = "/v1/files/file-out/content";
        let reading = read(&Method::GET, path, "", "application/octet-stream", &output, Some("batch_1"));
        let [charge] = &*reading.charges else { panic!("{reading:?}") };
        assert_eq!(
            (&*charge.id, charge.usage.in_text, charge.usage.out_text, charge.usage.batch),
            ("batch_1", 60, 3, true)
        );
        assert!(read(&Method::GET, path, "", "application/octet-stream", &output, None).charges.is_empty());
        let errors = "{\"custom_id\":\"x\",\"response\":null,\"error\":{\"code\":\"e\"}}\n";
        let errors = read(&Method::GET, path, "", "application/octet-stream", errors, Some("batch_1"));
        assert!(errors.charges.is_empty(), "a file of errors must not settle the batch");
    }
}
