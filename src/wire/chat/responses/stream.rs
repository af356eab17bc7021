//! Writes answers: as the events of a stream, or whole, as the object that the last of those events has.

use super::super::request::free_text;
use super::super::{Answer, Asked, Citation, Event, Failure, FailureKind, Part, Stop, StreamWriter, Tokens};
use super::items::{Annotation, Ids, Item, OutputText, State, Summary};
use super::line::{Line, Lines, Piece};
use super::object::{Head, Progress, code, cut_short};

/// Bytes of an answer that are kept for its last event, which repeats all of it. Far above what models write.
const KEPT_LIMIT: usize = 16 * 1024 * 1024;
/// What an item counts against that limit beside its text.
const ITEM_BYTES: usize = 256;

pub(crate) fn write_answer(answer: &Answer, asked: &Asked) -> Vec<u8> {
    let mut asked = asked.clone();
    asked.free_text_tools.extend(answer.parts.iter().filter_map(|part| match part {
        Part::ToolCall(call) if call.free_text => Some(call.name.clone()),
        _ => None,
    }));
    let mut writer = Writer { limit: usize::MAX, ..Writer::new(asked) };
    writer.lines.muted = true;
    let mut out = Vec::new();
    for event in answer.clone().into_events() {
        writer.write(event, &mut out);
    }
    let progress = Progress::Ended { stop: &writer.stop, tokens: &writer.tokens };
    let object = writer.head.as_ref().map(|head| head.object(&writer.items, progress));
    object.and_then(|object| serde_json::to_vec(&object).ok()).unwrap_or_default()
}

#[derive(Debug)]
pub(crate) struct Writer {
    asked: Asked,
    ids: Ids,
    /// From the first event on.
    head: Option<Head>,
    items: Vec<Item>,
    /// The last item may still grow.
    open: bool,
    /// A part of its content was announced.
    begun: bool,
    /// It grows no more; whether it is whole is said by what comes next.
    over: bool,
    /// Of the text of the message that is open.
    characters: usize,
    /// Where its current block begins.
    block: usize,
    /// Of the current block.
    citations: Vec<Citation>,
    stop: Stop,
    tokens: Tokens,
    ended: bool,
    kept: usize,
    limit: usize,
    lines: Lines,
}

impl Writer {
    pub(crate) fn new(asked: Asked) -> Self {
        Self {
            ids: Ids::of("", &asked),
            asked,
            head: None,
            items: Vec::new(),
            open: false,
            begun: false,
            over: false,
            characters: 0,
            block: 0,
            citations: Vec::new(),
            stop: Stop::End,
            tokens: Tokens::default(),
            ended: false,
            kept: 0,
            limit: KEPT_LIMIT,
            lines: Lines::default(),
        }
    }

    fn begin(&mut self, upstream: &str, out: &mut Vec<u8>) {
        if self.head.is_none() {
            self.ids = Ids::of(upstream, &self.asked);
            let head = self.head.insert(Head::of(&self.ids, &self.asked));
            for kind in ["response.created", "response.in_progress"] {
                let response = Some(head.object(&[], Progress::Running));
                self.lines.send(Line { r#type: kind, response, ..Line::default() }, out);
            }
        }
    }

    fn open(&mut self, item: Item, out: &mut Vec<u8>) {
        self.close(State::Completed, out);
        let line = Line {
            r#type: "response.output_item.added",
            output_index: Some(self.items.len()),
            item: Some(item.written(State::InProgress)),
            ..Line::default()
        };
        self.lines.send(line, out);
        self.items.push(item);
        self.kept = self.kept.saturating_add(ITEM_BYTES);
        (self.open, self.begun, self.over) = (true, false, false);
    }

    fn text(&mut self, more: &str, out: &mut Vec<u8>) {
        if !matches!(self.items.last(), Some(Item::Message { .. }) if self.open) {
            // What the text is found in may be told before its first words.
            let citations = std::mem::take(&mut self.citations);
            let id = self.ids.item("msg");
            self.open(Item::Message { id, text: String::new(), annotations: Vec::new() }, out);
            self.citations = citations;
            (self.characters, self.block) = (0, 0);
            let part = Some(Piece::Text(OutputText::of("", &[])));
            self.tell(
                Line { r#type: "response.content_part.added", content_index: Some(0), part, ..Line::default() },
                out,
            );
        }
        self.tell(
            Line {
                r#type: "response.output_text.delta",
                content_index: Some(0),
                delta: Some(more),
                logprobs: Some([]),
                ..Line::default()
            },
            out,
        );
        self.characters = self.characters.saturating_add(more.chars().count());
        if let Some(Item::Message { text, .. }) = self.items.last_mut() {
            text.push_str(more);
        }
    }

    fn reasoning(&mut self, out: &mut Vec<u8>) {
        if !matches!(self.items.last(), Some(Item::Reasoning { .. }) if self.open) {
            let id = self.ids.item("rs");
            self.open(Item::Reasoning { id, text: String::new(), signature: None }, out);
        }
    }

    fn thinking(&mut self, more: &str, out: &mut Vec<u8>) {
        self.reasoning(out);
        if more.is_empty() {
            return;
        }
        if !self.begun {
            self.begun = true;
            let kind = "response.reasoning_summary_part.added";
            let part = Some(Piece::Summary(Summary::of("")));
            self.tell(Line { r#type: kind, summary_index: Some(0), part, ..Line::default() }, out);
        }
        let kind = "response.reasoning_summary_text.delta";
        self.tell(Line { r#type: kind, summary_index: Some(0), delta: Some(more), ..Line::default() }, out);
        if let Some(Item::Reasoning { text, .. }) = self.items.last_mut() {
            text.push_str(more);
        }
    }

    fn call(&mut self, id: String, name: String, out: &mut Vec<u8>) {
        let custom = self.asked.free_text_tools.contains(&name);
        let own = self.ids.item(if custom { "ctc" } else { "fc" });
        let call_id = if id.is_empty() { format!("call_{own}") } else { id };
        self.open(Item::Call { id: own, call_id, name, arguments: String::new(), custom }, out);
    }

    fn arguments(&mut self, more: &str, out: &mut Vec<u8>) {
        let Some(Item::Call { arguments, custom, .. }) = self.items.last_mut().filter(|_| self.open && !self.over)
        else {
            return;
        };
        arguments.push_str(more);
        // Free text may come wrapped in JSON: what it is shows at its end.
        if !*custom && !more.is_empty() {
            let kind = "response.function_call_arguments.delta";
            self.tell(Line { r#type: kind, delta: Some(more), ..Line::default() }, out);
        }
    }

    /// The citations of a block stand for all of its words.
    fn cite(&mut self, out: &mut Vec<u8>) {
        let found = std::mem::take(&mut self.citations);
        let words = self.block..self.characters;
        self.block = self.characters;
        let output_index = self.items.len().checked_sub(1);
        let Some(Item::Message { id, annotations, .. }) = self.items.last_mut().filter(|_| self.open) else { return };
        for citation in found {
            let annotation = Annotation::of(citation, words.clone());
            let line = Line {
                r#type: "response.output_text.annotation.added",
                item_id: Some(id),
                output_index,
                content_index: Some(0),
                annotation_index: Some(annotations.len()),
                annotation: Some(&annotation),
                ..Line::default()
            };
            self.lines.send(line, out);
            annotations.push(annotation);
        }
    }

    fn close(&mut self, state: State, out: &mut Vec<u8>) {
        self.cite(out);
        if !std::mem::take(&mut self.open) {
            return;
        }
        if let Some(Item::Call { arguments, custom, .. }) = self.items.last_mut() {
            if *custom {
                *arguments = free_text(arguments);
            } else if arguments.is_empty() {
                // A call without arguments is one with none of them, and has to be read as JSON.
                arguments.push_str("{}");
                let kind = "response.function_call_arguments.delta";
                self.tell(Line { r#type: kind, delta: Some("{}"), ..Line::default() }, out);
            }
        }
        let Some(output_index) = self.items.len().checked_sub(1) else { return };
        let Some(item) = self.items.last() else { return };
        let line =
            |kind| Line { r#type: kind, item_id: Some(item.id()), output_index: Some(output_index), ..Line::default() };
        match item {
            Item::Message { text, annotations, .. } => {
                let (content_index, part) = (Some(0), Some(Piece::Text(OutputText::of(text, annotations))));
                let done = line("response.output_text.done");
                self.lines.send(Line { content_index, text: Some(text), logprobs: Some([]), ..done }, out);
                self.lines.send(Line { content_index, part, ..line("response.content_part.done") }, out);
            }
            Item::Reasoning { text, .. } if self.begun => {
                let (summary_index, part) = (Some(0), Some(Piece::Summary(Summary::of(text))));
                let done = line("response.reasoning_summary_text.done");
                self.lines.send(Line { summary_index, text: Some(text), ..done }, out);
                self.lines.send(Line { summary_index, part, ..line("response.reasoning_summary_part.done") }, out);
            }
            Item::Reasoning { .. } | Item::Redacted { .. } => {}
            Item::Call { arguments, custom: true, .. } => {
                let whole = Some(arguments.as_str());
                self.lines.send(Line { delta: whole, ..line("response.custom_tool_call_input.delta") }, out);
                self.lines.send(Line { input: whole, ..line("response.custom_tool_call_input.done") }, out);
            }
            Item::Call { arguments, name, custom: false, .. } => {
                let done = line("response.function_call_arguments.done");
                self.lines.send(Line { name: Some(name), arguments: Some(arguments), ..done }, out);
            }
        }
        let done = Line { item: Some(item.written(state)), item_id: None, ..line("response.output_item.done") };
        self.lines.send(done, out);
    }

    /// Of the item that is open.
    fn tell(&mut self, line: Line<'_>, out: &mut Vec<u8>) {
        let item_id = self.items.last().map(Item::id);
        let output_index = self.items.len().checked_sub(1);
        self.lines.send(Line { item_id, output_index, ..line }, out);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let cut = cut_short(&self.stop).is_some();
        self.close(if cut { State::Incomplete } else { State::Completed }, out);
        self.ended = true;
        let Some(head) = &self.head else { return };
        let object = head.object(&self.items, Progress::Ended { stop: &self.stop, tokens: &self.tokens });
        let kind = if cut { "response.incomplete" } else { "response.completed" };
        self.lines.send(Line { r#type: kind, response: Some(object), ..Line::default() }, out);
    }

    /// Some clients look for the one, some for the other.
    fn fail(&mut self, failure: &Failure, out: &mut Vec<u8>) {
        self.ended = true;
        self.lines.fault(failure.code.as_deref().unwrap_or(code(failure.kind)), &failure.message, out);
        let Some(head) = &self.head else { return };
        let object = head.object(&self.items, Progress::Failed(failure));
        self.lines.send(Line { r#type: "response.failed", response: Some(object), ..Line::default() }, out);
    }

    /// Counts what is kept for the last event.
    fn keep(&mut self, event: &Event) -> Result<(), Failure> {
        let bytes = match event {
            Event::Text(text) | Event::Thinking(text) | Event::Signature(text) | Event::Arguments(text) => text.len(),
            Event::RedactedThinking(data) => data.len(),
            Event::Citation(found) => found.url.len() + found.title.len() + ITEM_BYTES,
            Event::ToolCall { id, name } => id.len() + name.len(),
            _ => 0,
        };
        self.kept = self.kept.saturating_add(bytes);
        if self.kept <= self.limit {
            return Ok(());
        }
        let message = "The answer is longer than an answer may be.".into();
        Err(Failure { kind: FailureKind::Server, message, code: None })
    }
}

impl StreamWriter for Writer {
    fn write(&mut self, event: Event, out: &mut Vec<u8>) {
        if self.ended {
            return;
        }
        self.begin(if let Event::Start { id, .. } = &event { id } else { "" }, out);
        if let Err(failure) = self.keep(&event) {
            return self.fail(&failure, out);
        }
        match event {
            Event::Start { tokens, .. } | Event::Tokens(tokens) => self.tokens = tokens,
            Event::Text(more) if more.is_empty() => {}
            Event::Text(more) => self.text(&more, out),
            Event::Thinking(more) => self.thinking(&more, out),
            Event::Signature(proof) => {
                self.reasoning(out);
                if let Some(Item::Reasoning { signature, .. }) = self.items.last_mut() {
                    *signature = Some(proof);
                }
            }
            Event::RedactedThinking(data) => {
                let id = self.ids.item("rs");
                self.open(Item::Redacted { id, data }, out);
            }
            Event::Citation(found) => self.citations.push(found),
            Event::ToolCall { id, name } => self.call(id, name, out),
            Event::Arguments(more) => self.arguments(&more, out),
            Event::BlockEnd => match self.items.last() {
                // Texts that follow each other are one: the next one goes on.
                Some(Item::Message { .. }) => self.cite(out),
                Some(Item::Call { .. }) => self.over = true,
                _ => self.close(State::Completed, out),
            },
            Event::Stop { stop, .. } => self.stop = stop,
            Event::End => self.end(out),
            Event::Failed(failure) => self.fail(&failure, out),
        }
    }
}
