//! Reads an answer, of which a stream's pieces have the same members: candidates with parts, and the usage so far.

use super::super::answer::{Answer, Event, Stop, Tokens};
use super::super::upstream_only::object;
use super::super::{Collector, Unreadable, parsed};
use super::failure::told;
use super::signature;
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Chunk<'a> {
    candidates: Option<Vec<Candidate>>,
    prompt_feedback: Option<Feedback>,
    usage_metadata: Option<Used>,
    model_version: Option<String>,
    response_id: Option<String>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Candidate {
    content: Option<Content>,
    finish_reason: Option<String>,
    index: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Content {
    parts: Option<Vec<Part>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Part {
    #[serde(deserialize_with = "parsed::lossy")]
    text: Option<String>,
    thought: Option<bool>,
    thought_signature: Option<String>,
    function_call: Option<Call>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Call {
    id: Option<String>,
    name: Option<String>,
    args: Option<Box<RawValue>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Feedback {
    block_reason: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Used {
    prompt_token_count: Option<u64>,
    cached_content_token_count: Option<u64>,
    candidates_token_count: Option<u64>,
    thoughts_token_count: Option<u64>,
    tool_use_prompt_token_count: Option<u64>,
}

impl Used {
    /// Cached tokens are part of the prompt, thoughts are no part of the candidates, and what tools found is neither.
    fn tokens(&self) -> Tokens {
        let of = |count: Option<u64>| count.unwrap_or(0);
        let (cached, thought) = (of(self.cached_content_token_count), of(self.thoughts_token_count));
        let prompt = of(self.prompt_token_count).saturating_sub(cached);
        Tokens {
            input: prompt.saturating_add(of(self.tool_use_prompt_token_count)),
            cache_read: cached,
            output: of(self.candidates_token_count).saturating_add(thought),
            reasoning: thought,
            ..Tokens::default()
        }
    }
}

/// # Errors
/// It is no answer, or tells a failure.
pub(in super::super) fn read_answer(body: &[u8]) -> Result<Answer, Unreadable> {
    let chunk: Chunk<'_> = object(body).ok_or(Unreadable)?;
    if chunk.candidates.is_none() && chunk.prompt_feedback.is_none() {
        return Err(Unreadable);
    }
    let (mut story, mut events) = (Story { finished: true, ..Story::default() }, Vec::new());
    story.chunk(chunk, &mut events);
    story.end(&mut events);
    let mut collector = Collector::default();
    events.into_iter().for_each(|event| collector.push(event));
    collector.finish().and_then(Result::ok).ok_or(Unreadable)
}

/// What was told so far.
#[derive(Debug, Default)]
pub(super) struct Story {
    /// The answer's id, as far as it may stand in the id of a call.
    id: Option<String>,
    calls: usize,
    stop: Stop,
    finished: bool,
    tokens: Tokens,
    is_over: bool,
}

impl Story {
    pub(super) fn chunk(&mut self, chunk: Chunk<'_>, out: &mut Vec<Event>) {
        if self.is_over {
            return;
        }
        if let Some(error) = chunk.error {
            self.is_over = true;
            return out.push(Event::Failed(told(error.get().as_bytes(), 500)));
        }
        let used = chunk.usage_metadata.map(|used| used.tokens());
        self.tokens = used.unwrap_or(self.tokens);
        if self.id.is_none() {
            let id = chunk.response_id.unwrap_or_default();
            let plain = id.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-');
            self.id = Some(plain.take(32).collect());
            let model = chunk.model_version.unwrap_or_default();
            out.push(Event::Start { id, model, tokens: Tokens { output: 0, reasoning: 0, ..self.tokens } });
        }
        if chunk.prompt_feedback.is_some_and(|feedback| feedback.block_reason.is_some()) {
            self.stop = Stop::Filtered;
            self.finished = true;
        }
        for candidate in chunk.candidates.unwrap_or_default() {
            if candidate.index.unwrap_or(0) == 0 {
                self.candidate(candidate, out);
            }
        }
    }

    fn candidate(&mut self, candidate: Candidate, out: &mut Vec<Event>) {
        let parts = candidate.content.and_then(|content| content.parts).unwrap_or_default();
        for part in parts {
            self.part(part, out);
        }
        if let Some(reason) = candidate.finish_reason {
            self.finished = true;
            self.stop = stop(&reason);
        }
    }

    fn part(&mut self, part: Part, out: &mut Vec<Event>) {
        if let Some(call) = part.function_call {
            return self.call(call, part.thought_signature.as_deref(), out);
        }
        let Some(text) = part.text else { return };
        if part.thought != Some(true) {
            // The signature of a text is not asked for again.
            if !text.is_empty() {
                out.push(Event::Text(text));
            }
            return;
        }
        if !text.is_empty() || part.thought_signature.is_some() {
            out.push(Event::Thinking(text));
        }
        if let Some(proof) = part.thought_signature {
            // The next thought is another one, with a signature of its own.
            out.extend([Event::Signature(signature::of_thought(&proof)), Event::BlockEnd]);
        }
    }

    fn call(&mut self, call: Call, signature: Option<&str>, out: &mut Vec<Event>) {
        let at = self.calls;
        self.calls += 1;
        let made = || match self.id.as_deref() {
            None | Some("") => format!("call_{at}"),
            Some(answer) => format!("call_{answer}_{at}"),
        };
        let id = call.id.filter(|id| signature::is_plain_id(id)).unwrap_or_else(made);
        let name = call.name.unwrap_or_default();
        out.push(Event::ToolCall { id: signature::into_id(&id, signature), name });
        out.push(Event::Arguments(call.args.map_or_else(|| "{}".to_owned(), |raw| raw.get().to_owned())));
        out.push(Event::BlockEnd);
    }

    /// There is no last word: the answer is whole when the model had stopped before its body ended.
    pub(super) fn end(&mut self, out: &mut Vec<Event>) {
        if self.is_over || !self.finished || self.id.is_none() {
            return;
        }
        self.is_over = true;
        let stop = match std::mem::take(&mut self.stop) {
            Stop::End if self.calls > 0 => Stop::ToolUse,
            stop => stop,
        };
        out.push(Event::Stop { stop, sequence: None });
        out.push(Event::Tokens(self.tokens));
        out.push(Event::End);
    }
}

fn stop(reason: &str) -> Stop {
    match reason {
        "MAX_TOKENS" => Stop::Length,
        "SAFETY" | "RECITATION" | "LANGUAGE" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" => Stop::Filtered,
        "MALFORMED_FUNCTION_CALL"
        | "UNEXPECTED_TOOL_CALL"
        | "TOO_MANY_TOOL_CALLS"
        | "MISSING_THOUGHT_SIGNATURE"
        | "MALFORMED_RESPONSE" => Stop::Malformed,
        _ if reason.starts_with("IMAGE_") => Stop::Filtered,
        _ => Stop::End,
    }
}
