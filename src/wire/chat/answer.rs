//! An answer, whole or as it comes, in the words of no API.

use super::request::{Citation, Part, ToolCall};

/// A whole answer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Answer {
    /// The upstream's id; empty when it has none.
    pub id: String,
    /// The model as the upstream names it; empty when it does not.
    pub model: String,
    pub parts: Vec<Part>,
    pub stop: Stop,
    /// The sequence that ended it ([`Stop::Sequence`]).
    pub stop_sequence: Option<String>,
    pub tokens: Tokens,
}

/// Why the model stopped.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Stop {
    #[default]
    End,
    Sequence,
    /// The most tokens that were asked for.
    Length,
    /// The most that the model can hold.
    Context,
    ToolUse,
    Filtered,
    /// A long turn that the client may continue.
    Paused,
    /// What the model wrote could not be read by its own provider.
    Malformed,
}

/// What was consumed, as the upstream tells it. Disjoint but for `reasoning` and `cache_write_1h`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tokens {
    /// Not from the cache and not written to it.
    pub input: u64,
    pub cache_read: u64,
    pub cache_write: u64,
    /// Of `cache_write`.
    pub cache_write_1h: u64,
    /// Reasoning included.
    pub output: u64,
    /// Of `output`.
    pub reasoning: u64,
}

impl Tokens {
    pub const fn prompt(&self) -> u64 {
        self.input.saturating_add(self.cache_read).saturating_add(self.cache_write)
    }
    pub const fn total(&self) -> u64 {
        self.prompt().saturating_add(self.output)
    }
}

/// What comes next in an answer.
///
/// Blocks follow each other: texts and thinking begin with their first piece, tool calls with [`Event::ToolCall`];
/// a block ends with [`Event::BlockEnd`], or because another one or the end of the answer begins. An answer begins with
/// one [`Event::Start`] and ends with one [`Event::End`] or [`Event::Failed`]; a stream that just breaks off has neither.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    Start {
        id: String,
        model: String,
        /// As far as it is known by then.
        tokens: Tokens,
    },
    Text(String),
    Thinking(String),
    /// Of the thinking block that is open.
    Signature(String),
    /// A block of its own.
    RedactedThinking(String),
    /// Of the text that is open.
    Citation(Citation),
    /// A call begins. `arguments` follow in pieces.
    ToolCall {
        id: String,
        name: String,
    },
    Arguments(String),
    BlockEnd,
    Stop {
        stop: Stop,
        sequence: Option<String>,
    },
    /// Replaces what was told before.
    Tokens(Tokens),
    /// The upstream's own last word: the answer is whole.
    End,
    Failed(Failure),
}

/// Something that cannot be answered, as the upstream tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    pub kind: FailureKind,
    pub message: String,
    /// The upstream's own identifier, where it is worth passing on.
    pub code: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailureKind {
    BadRequest,
    Auth,
    /// A bill is not paid or a quota is used up.
    Billing,
    Permission,
    NotFound,
    TooLarge,
    Rate,
    Timeout,
    Overloaded,
    Server,
}

impl FailureKind {
    /// By HTTP status alone.
    pub const fn of_status(status: u16) -> Self {
        match status {
            401 => Self::Auth,
            402 => Self::Billing,
            403 => Self::Permission,
            404 => Self::NotFound,
            408 | 504 => Self::Timeout,
            413 => Self::TooLarge,
            429 => Self::Rate,
            503 | 529 => Self::Overloaded,
            400..=499 => Self::BadRequest,
            _ => Self::Server,
        }
    }
}

impl Answer {
    /// The same answer as it would have come in pieces.
    pub fn into_events(self) -> Vec<Event> {
        let mut events =
            vec![Event::Start { id: self.id, model: self.model, tokens: Tokens { output: 0, ..self.tokens } }];
        for part in self.parts {
            match part {
                Part::Text { text, citations, .. } => {
                    events.push(Event::Text(text));
                    events.extend(citations.into_iter().map(Event::Citation));
                }
                Part::Thinking { text, signature } => {
                    events.push(Event::Thinking(text));
                    events.extend(signature.map(Event::Signature));
                }
                Part::RedactedThinking(data) => events.push(Event::RedactedThinking(data)),
                Part::ToolCall(ToolCall { id, name, arguments, .. }) => {
                    events.push(Event::ToolCall { id, name });
                    events.push(Event::Arguments(arguments));
                }
                // Models answer with nothing else.
                Part::Image { .. } | Part::Document { .. } | Part::Audio { .. } | Part::ToolResult { .. } => continue,
            }
            events.push(Event::BlockEnd);
        }
        events.push(Event::Stop { stop: self.stop, sequence: self.stop_sequence });
        events.push(Event::Tokens(self.tokens));
        events.push(Event::End);
        events
    }
}

/// Puts an answer together from its pieces.
#[derive(Debug, Default)]
pub struct Collector {
    answer: Answer,
    /// The next text or thinking begins a block of its own.
    closed: bool,
    failure: Option<Failure>,
    ended: bool,
}

impl Collector {
    pub fn push(&mut self, event: Event) {
        let fresh = std::mem::take(&mut self.closed);
        let answer = &mut self.answer;
        match event {
            Event::Start { id, model, tokens } => {
                answer.id = id;
                answer.model = model;
                answer.tokens = tokens;
            }
            Event::Text(more) => match answer.parts.last_mut() {
                Some(Part::Text { text, .. }) if !fresh => text.push_str(&more),
                _ => answer.parts.push(Part::text(more)),
            },
            Event::Thinking(more) => match answer.parts.last_mut() {
                Some(Part::Thinking { text, .. }) if !fresh => text.push_str(&more),
                _ => answer.parts.push(Part::Thinking { text: more, signature: None }),
            },
            Event::Signature(proof) => match answer.parts.last_mut() {
                Some(Part::Thinking { signature, .. }) if !fresh => *signature = Some(proof),
                _ => answer.parts.push(Part::Thinking { text: String::new(), signature: Some(proof) }),
            },
            Event::RedactedThinking(data) => answer.parts.push(Part::RedactedThinking(data)),
            Event::Citation(found) => {
                if let Some(Part::Text { citations, .. }) = answer.parts.last_mut() {
                    citations.push(found);
                }
                self.closed = fresh;
            }
            Event::ToolCall { id, name } => answer.parts.push(Part::ToolCall(ToolCall {
                id,
                name,
                arguments: String::new(),
                free_text: false,
                cache: None,
            })),
            Event::Arguments(more) => {
                if let Some(Part::ToolCall(call)) = answer.parts.last_mut() {
                    call.arguments.push_str(&more);
                }
            }
            Event::BlockEnd => self.closed = true,
            Event::Stop { stop, sequence } => {
                answer.stop = stop;
                answer.stop_sequence = sequence;
            }
            Event::Tokens(tokens) => answer.tokens = tokens,
            Event::End => self.ended = true,
            Event::Failed(failure) => self.failure = Some(failure),
        }
    }

    /// `None`: the stream broke off without a word.
    pub fn finish(self) -> Option<Result<Answer, Failure>> {
        match self.failure {
            Some(failure) => Some(Err(failure)),
            None => self.ended.then_some(Ok(self.answer)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_put_together_are_the_answer() {
        let answer = Answer {
            id: "a".into(),
            model: "m".into(),
            parts: vec![
                Part::Thinking { text: "hm".into(), signature: Some("s".into()) },
                Part::RedactedThinking("x".into()),
                Part::text("one"),
                Part::Text {
                    text: "two".into(),
                    cache: None,
                    citations: vec![Citation { url: "u".into(), ..Citation::default() }],
                },
                Part::ToolCall(ToolCall {
                    id: "t".into(),
                    name: "f".into(),
                    arguments: "{}".into(),
                    free_text: false,
                    cache: None,
                }),
            ],
            stop: Stop::ToolUse,
            stop_sequence: None,
            tokens: Tokens { input: 3, cache_read: 1, output: 2, ..Tokens::default() },
        };
        let mut collector = Collector::default();
        answer.clone().into_events().into_iter().for_each(|event| collector.push(event));
        assert_eq!(collector.finish(), Some(Ok(answer)));
    }

    #[test]
    fn what_broke_off_is_no_answer() {
        let mut collector = Collector::default();
        collector.push(Event::Text("half".into()));
        assert_eq!(collector.finish(), None);
        let failure = Failure { kind: FailureKind::Rate, message: "slow".into(), code: None };
        let mut collector = Collector::default();
        collector.push(Event::Failed(failure.clone()));
        assert_eq!(collector.finish(), Some(Err(failure)));
    }
}
