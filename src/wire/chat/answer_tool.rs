//! Takes an answer out of the tool that it was forced into: where a model knows no schema for its answers, a tool with
//! that schema stands in, and its arguments are the text that the client waits for.
//!
//! That text has to be the whole text, or it does not parse. So what the model says before it calls is held back until
//! it is known whether it calls.

use super::{Answer, Collector, Event, Part, Stop};

/// Bytes that are held back at most; a model that goes on for longer does not answer with the tool.
const HELD_LIMIT: usize = 256 * 1024;

/// For one answer, whole or streamed.
#[derive(Debug)]
pub struct AnswerTool {
    name: String,
    block: Block,
    /// Texts, and what came after them, while the call may still come.
    held: Vec<Event>,
    held_bytes: usize,
    /// No more is held back.
    released: bool,
    /// The tool was called.
    answered: bool,
    /// Another tool was called.
    others: bool,
}

/// What the current block is to become.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Block {
    Kept,
    /// The arguments of the tool.
    Answer,
    /// Words beside the answer, or a second one.
    Omitted,
}

impl AnswerTool {
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            block: Block::Kept,
            held: Vec::new(),
            held_bytes: 0,
            released: false,
            answered: false,
            others: false,
        }
    }

    /// Adds to `out` what the client is to see instead of `event`, and what was held back for it.
    pub fn apply(&mut self, event: Event, out: &mut Vec<Event>) {
        match event {
            Event::ToolCall { name, .. } if name == self.name => {
                self.block = if self.answered { Block::Omitted } else { Block::Answer };
                self.answered = true;
                out.extend(without_text(std::mem::take(&mut self.held)));
                self.released = true;
            }
            Event::ToolCall { .. } => {
                self.others = true;
                self.release(out);
                self.block = Block::Kept;
                out.push(event);
            }
            Event::Arguments(more) => match self.block {
                Block::Kept => self.pass(Event::Arguments(more), out),
                Block::Answer => out.push(Event::Text(more)),
                Block::Omitted => {}
            },
            Event::Text(_) | Event::Citation(_) if self.answered => self.block = Block::Omitted,
            Event::Text(_) if !self.released => self.hold(event, out),
            Event::Thinking(_) | Event::Signature(_) | Event::RedactedThinking(_) => {
                self.block = Block::Kept;
                self.pass(event, out);
            }
            Event::BlockEnd => {
                if std::mem::replace(&mut self.block, Block::Kept) != Block::Omitted {
                    self.pass(event, out);
                }
            }
            Event::Stop { stop: Stop::ToolUse, sequence } if self.answered && !self.others => {
                out.push(Event::Stop { stop: Stop::End, sequence });
            }
            Event::Stop { .. } | Event::End | Event::Failed(_) => {
                self.release(out);
                out.push(event);
            }
            Event::Start { .. } | Event::Tokens(_) => out.push(event),
            Event::Text(_) | Event::Citation(_) => self.pass(event, out),
        }
    }

    /// The same for a whole answer.
    pub fn apply_whole(name: &str, answer: Answer) -> Answer {
        if !answer.parts.iter().any(|part| matches!(part, Part::ToolCall(call) if call.name == name)) {
            return answer;
        }
        let calls: Vec<Part> = answer.parts.iter().filter(|p| matches!(p, Part::ToolCall(_))).cloned().collect();
        let (mut tool, mut events, mut collector) = (Self::new(name), Vec::new(), Collector::default());
        for event in answer.into_events() {
            tool.apply(event, &mut events);
        }
        events.into_iter().for_each(|event| collector.push(event));
        let Some(Ok(mut answer)) = collector.finish() else { return Answer::default() };
        // Pieces do not say everything about the other calls.
        let others = calls.into_iter().filter(|call| !matches!(call, Part::ToolCall(call) if call.name == name));
        let kept = answer.parts.iter_mut().filter(|part| matches!(part, Part::ToolCall(_)));
        kept.zip(others).for_each(|(part, call)| *part = call);
        answer
    }

    /// Behind what is held back, if anything is.
    fn pass(&mut self, event: Event, out: &mut Vec<Event>) {
        if self.held.is_empty() { out.push(event) } else { self.hold(event, out) }
    }

    fn hold(&mut self, event: Event, out: &mut Vec<Event>) {
        let bytes = match &event {
            Event::Text(text) | Event::Thinking(text) | Event::Signature(text) | Event::RedactedThinking(text) => {
                text.len()
            }
            Event::Citation(found) => found.url.len() + found.title.len() + found.quote.len(),
            _ => 0,
        };
        self.held_bytes = self.held_bytes.saturating_add(bytes).saturating_add(size_of::<Event>());
        self.held.push(event);
        if self.held_bytes > HELD_LIMIT {
            self.release(out);
        }
    }

    fn release(&mut self, out: &mut Vec<Event>) {
        out.append(&mut self.held);
        self.released = true;
    }
}

fn without_text(held: Vec<Event>) -> impl Iterator<Item = Event> {
    let mut in_text = false;
    held.into_iter().filter(move |event| match event {
        Event::Text(_) | Event::Citation(_) => {
            in_text = true;
            false
        }
        Event::BlockEnd => !std::mem::take(&mut in_text),
        _ => {
            in_text = false;
            true
        }
    })
}

#[cfg(test)]
mod tests;
