//! Whole conversations, replayed: what an upstream sent, through reader and writer, is what the client must get; all
//! at once, byte by byte, and cut anywhere. The files beside this one say it in the words of both sides.
//!
//! A file consists of sections. `## upstream <form>` is the body of the upstream's answer, `## client <form> <model>
//! <fresh id>` the body for a client that asked for that model and for usage; of event streams of AWS each line is one
//! message, its event type and payload (with `!`: an exception's). `## request <form>` are requests of one meaning.

use super::{Asked, Event, Format, Target, read_request, stream_reader, stream_writer, write_request};
use crate::wire::{event_stream, sse};
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value;

/// What a client is told about the time: all transcripts were made in one second.
const CREATED: i64 = 1_795_262_400;

/// A section of a transcript.
struct Section<'a> {
    /// The words of its title.
    title: Vec<&'a str>,
    text: &'a str,
}

impl Section<'_> {
    fn format(&self) -> Format {
        match self.title[1] {
            "completions" => Format::OpenAiChat,
            "messages" => Format::Anthropic,
            "converse" => Format::Converse,
            other => panic!("no form is called {other}"),
        }
    }

    /// The bytes on the wire.
    fn body(&self) -> Vec<u8> {
        match self.format() {
            Format::Converse => self.text.lines().filter(|l| !l.is_empty()).flat_map(message).collect(),
            _ => format!("{}\n\n", self.text.trim_end()).into_bytes(),
        }
    }

    fn asked(&self) -> Asked {
        Asked {
            model: self.title[2].to_owned(),
            created: CREATED,
            fresh_id: self.title[3].to_owned(),
            wants_usage: true,
            ..Asked::default()
        }
    }
}

fn sections(transcript: &str) -> Vec<Section<'_>> {
    let section = |text| {
        let (title, text) = str::split_once(text, '\n').expect("a title in a line of its own");
        Section { title: title.split(' ').collect(), text }
    };
    transcript.strip_prefix("## ").expect("a title").split("\n## ").map(section).collect()
}

/// Upstream and client of a transcript.
fn sides(transcript: &str) -> (Section<'_>, Section<'_>) {
    let mut both = sections(transcript).into_iter();
    (both.next().expect("an upstream"), both.next().expect("a client"))
}

fn message(line: &str) -> Bytes {
    use event_stream::Value::Text;
    let (name, payload) = line.split_once(' ').expect("a type and a payload");
    let (member, name, kind) = match name.strip_prefix('!') {
        Some(name) => (":exception-type", name, "exception"),
        None => (":event-type", name, "event"),
    };
    let headers = [(member, Text(name)), (":content-type", Text("application/json")), (":message-type", Text(kind))];
    event_stream::encode(&headers, payload.as_bytes()).expect("a message of any size that a test has")
}

/// One event of a body: its name, and its data as JSON where it is that.
#[derive(PartialEq, Debug)]
struct Said {
    name: String,
    data: Value,
}

/// A body as its events: two bodies that say the same are equal.
fn said(format: Format, body: &[u8]) -> Vec<Said> {
    let body = Bytes::copy_from_slice(body);
    let mut said = Vec::new();
    if format == Format::Converse {
        let mut framer = event_stream::Framer::default();
        let whole = framer.push(&body, |message| {
            let name = message.text(":event-type").or(message.text(":exception-type")).unwrap_or_default();
            said.push(Said { name: name.to_owned(), data: data(message.payload()) });
        });
        assert_eq!(whole, Ok(()));
        assert!(!framer.is_unfinished(), "the last message is whole");
    } else {
        let mut framer = sse::Framer::default();
        framer.push(&body, |frame| match frame {
            sse::Frame::Event(event) => said.push(Said {
                name: String::from_utf8(event.name().unwrap_or_default().to_vec()).expect("a name in UTF-8"),
                data: data(&event.data_bytes().unwrap_or_default()),
            }),
            sse::Frame::Opaque(_) => panic!("an event that is too large"),
        });
        assert_eq!(framer.finish(), None, "the last event is whole");
    }
    said
}

fn data(bytes: &[u8]) -> Value {
    let text = std::str::from_utf8(bytes).expect("UTF-8");
    let mut data = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
    // How long it took is the clock's to say.
    if let Some(latency) = data.pointer_mut("/metrics/latencyMs").filter(|l| l.is_u64()) {
        *latency = Value::from(0);
    }
    data
}

/// The events that a body stands for, pushed in pieces that end at `cuts`.
fn read(format: Format, body: &[u8], cuts: &[usize]) -> Vec<Event> {
    let mut reader = stream_reader(format);
    let mut events = Vec::new();
    let mut start = 0;
    for end in cuts.iter().copied().chain([body.len()]) {
        reader.push(&Bytes::copy_from_slice(&body[start..end]), &mut events);
        start = end;
    }
    reader.end(&mut events);
    events
}

fn written(events: Vec<Event>, client: &Section<'_>) -> Vec<u8> {
    let mut writer = stream_writer(client.format(), client.asked());
    let mut out = Vec::new();
    events.into_iter().for_each(|event| writer.write(event, &mut out));
    out
}

/// The whole way: at once and byte by byte.
fn replays(transcript: &str) {
    let (upstream, client) = sides(transcript);
    let body = upstream.body();
    let wanted = said(client.format(), &client.body());
    let each: Vec<usize> = (0..body.len()).collect();
    for cuts in [&[], &each[..]] {
        let events = read(upstream.format(), &body, cuts);
        assert_eq!(said(client.format(), &written(events, &client)), wanted);
    }
}

/// What the upstream's section is read as.
pub(super) fn events_of(transcript: &str) -> Vec<Event> {
    let (upstream, _) = sides(transcript);
    read(upstream.format(), &upstream.body(), &[])
}

/// That the client's section is what these events are written as.
pub(super) fn assert_written(events: Vec<Event>, transcript: &str) {
    let (_, client) = sides(transcript);
    assert_eq!(said(client.format(), &written(events, &client)), said(client.format(), &client.body()));
}

/// Every stream of server-sent events that a transcript has, of both sides, with its form.
pub(super) fn event_streams() -> Vec<(Format, Vec<u8>)> {
    let both = ALL.iter().flat_map(|transcript| <[_; 2]>::from(sides(transcript)));
    both.map(|side| (side.format(), side.body())).filter(|(format, _)| *format != Format::Converse).collect()
}

macro_rules! transcripts {
    ($($name:ident: $text:ident = $file:literal,)*) => {
        $(pub(super) const $text: &str = include_str!($file);)*

        $(#[test] fn $name() { replays($text); })*

        /// All of them.
        const ALL: &[&str] = &[$($text),*];
    };
}

transcripts! {
    text_from_the_cache: T1 = "transcripts/t1.txt",
    text_and_parallel_tool_calls: T2 = "transcripts/t2.txt",
    signed_thinking: T3 = "transcripts/t3.txt",
    text_after_an_empty_chunk: T4 = "transcripts/t4.txt",
    tool_calls_in_order: T5 = "transcripts/t5.txt",
    reasoning_with_usage_on_each_chunk: T6 = "transcripts/t6.txt",
    reasoning_text_and_tool_from_frames: T7 = "transcripts/t7.txt",
    text_and_tools_to_frames: T8 = "transcripts/t8.txt",
    failure_after_text: T9_COMPLETIONS = "transcripts/t9a.txt",
    exception_after_text: T9_MESSAGES = "transcripts/t9b.txt",
}

#[test]
fn a_follow_up_request_puts_results_first() {
    let all = sections(T2);
    let [_, _, asked, wanted] = all.as_slice() else { panic!("two requests after the streams") };
    let mut body: Value = serde_json::from_str(asked.text).expect("JSON");
    body["model"] = "m".into();
    let request = read_request(asked.format(), body.to_string().as_bytes()).expect("a request");
    let written = write_request(wanted.format(), &request, &Target::default()).expect("a request of the other form");
    let written: Value = serde_json::from_slice(&written.body).expect("JSON");
    let wanted: Value = serde_json::from_str(wanted.text).expect("JSON");
    assert_eq!(written["messages"], wanted["messages"]);
}

proptest! {
    #[test]
    fn pieces_do_not_matter(which in 0..ALL.len(), at in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        let (upstream, client) = sides(ALL[which]);
        let body = upstream.body();
        let mut cuts: Vec<usize> = at.iter().map(|at| at.index(body.len())).collect();
        cuts.sort_unstable();
        let events = read(upstream.format(), &body, &cuts);
        prop_assert_eq!(said(client.format(), &written(events, &client)), said(client.format(), &client.body()));
    }
}
