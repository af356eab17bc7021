//! Reads an answer: one JSON object, or a line of it for each piece, of which the last one has the counts. A line may
//! tell a failure instead.

use super::super::answer::{Answer, Event, Failure, FailureKind, Stop, Tokens};
use super::super::upstream_only::object;
use super::super::{Collector, StreamReader, Unreadable, parsed};
use crate::wire::ndjson::{Frame, Lines};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

/// A whole answer, or a line of one: the same members.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Line<'a> {
    model: Option<String>,
    created_at: Option<String>,
    message: Option<Message>,
    done: Option<bool>,
    done_reason: Option<String>,
    prompt_eval_count: Option<u64>,
    eval_count: Option<u64>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Message {
    #[serde(deserialize_with = "parsed::lossy")]
    content: Option<String>,
    #[serde(deserialize_with = "parsed::lossy")]
    thinking: Option<String>,
    tool_calls: Option<Vec<Call>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Call {
    /// Newer servers give one.
    id: Option<String>,
    function: Function,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Function {
    name: Option<String>,
    arguments: Option<Box<RawValue>>,
}

/// # Errors
/// It is no answer, or tells a failure.
pub(in super::super) fn read_answer(body: &[u8]) -> Result<Answer, Unreadable> {
    let line: Line<'_> = object(body).ok_or(Unreadable)?;
    if line.message.is_none() {
        return Err(Unreadable);
    }
    let (mut story, mut events) = (Story::default(), Vec::new());
    story.line(Line { done: Some(true), ..line }, &mut events);
    let mut collector = Collector::default();
    events.into_iter().for_each(|event| collector.push(event));
    collector.finish().and_then(Result::ok).ok_or(Unreadable)
}

#[derive(Debug, Default)]
pub(in super::super) struct Reader {
    lines: Lines,
    story: Story,
}

impl StreamReader for Reader {
    fn push(&mut self, piece: &Bytes, out: &mut Vec<Event>) {
        let story = &mut self.story;
        self.lines.push(piece, |frame| story.frame(frame, out));
    }
    fn end(&mut self, out: &mut Vec<Event>) {
        if let Some(frame) = self.lines.finish() {
            self.story.frame(frame, out);
        }
    }
}

/// What was told so far.
#[derive(Debug, Default)]
struct Story {
    /// The time of the first line, as far as it may stand in an id.
    time: Option<String>,
    calls: usize,
    is_over: bool,
}

impl Story {
    fn frame(&mut self, frame: Frame, out: &mut Vec<Event>) {
        // A line over the limit is left out.
        if let Frame::Line(line) = frame
            && let Some(line) = object(&line)
        {
            self.line(line, out);
        }
    }

    fn line(&mut self, line: Line<'_>, out: &mut Vec<Event>) {
        if self.is_over {
            return;
        }
        if let Some(error) = line.error {
            self.is_over = true;
            return out.push(Event::Failed(failure(error)));
        }
        if self.time.is_none() {
            let time: String =
                line.created_at.iter().flat_map(|t| t.chars()).filter(char::is_ascii_alphanumeric).collect();
            self.time = Some(time.chars().take(32).collect());
            let model = line.model.unwrap_or_default();
            out.push(Event::Start { id: String::new(), model, tokens: Tokens::default() });
        }
        let message = line.message.unwrap_or_default();
        let said = |text: Option<String>| text.filter(|text| !text.is_empty());
        out.extend(said(message.thinking).map(Event::Thinking));
        out.extend(said(message.content).map(Event::Text));
        for call in message.tool_calls.unwrap_or_default() {
            self.call(call, out);
        }
        if line.done == Some(true) {
            self.is_over = true;
            let stop = match line.done_reason.as_deref() {
                Some("length") => Stop::Length,
                _ if self.calls > 0 => Stop::ToolUse,
                _ => Stop::End,
            };
            let (input, output) = (line.prompt_eval_count.unwrap_or(0), line.eval_count.unwrap_or(0));
            out.push(Event::Stop { stop, sequence: None });
            out.push(Event::Tokens(Tokens { input, output, ..Tokens::default() }));
            out.push(Event::End);
        }
    }

    fn call(&mut self, call: Call, out: &mut Vec<Event>) {
        let at = self.calls;
        self.calls += 1;
        let made = || match self.time.as_deref() {
            None | Some("") => format!("call_{at}"),
            Some(time) => format!("call_{time}_{at}"),
        };
        let id = call.id.filter(|id| !id.is_empty()).unwrap_or_else(made);
        out.push(Event::ToolCall { id, name: call.function.name.unwrap_or_default() });
        let arguments = call.function.arguments.map_or_else(|| "{}".to_owned(), |raw| text(&raw));
        out.push(Event::Arguments(arguments));
        out.push(Event::BlockEnd);
    }
}

/// An object as it was written; a text that should have been one, without its quotes.
fn text(raw: &RawValue) -> String {
    serde_json::from_str::<String>(raw.get()).unwrap_or_else(|_| raw.get().to_owned())
}

fn failure(error: &RawValue) -> Failure {
    #[derive(Deserialize)]
    struct Told {
        message: String,
    }
    let message = serde_json::from_str::<Told>(error.get()).map_or_else(|_| text(error), |told| told.message);
    Failure { kind: FailureKind::Server, message, code: None }
}
