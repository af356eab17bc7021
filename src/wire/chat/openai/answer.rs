//! Whole answers, both ways.

use super::super::{Answer, Asked, Citation, Part, Stop, ToolCall, Unreadable, tool_id};
use super::json::{get, some_text, text, text_of};
use super::{stop, usage};
use crate::wire::json_walk::elements;
use serde::Serialize;
use serde_json::value::RawValue;

pub(in super::super) fn read_answer(body: &[u8]) -> Result<Answer, Unreadable> {
    let whole: &RawValue = serde_json::from_slice(body).map_err(|_| Unreadable)?;
    let body = whole.get().as_bytes();
    let choice = get(body, "choices").and_then(|all| elements(all).next()).ok_or(Unreadable)?;
    let message = get(choice, "message").ok_or(Unreadable)?;
    let (id, model) = id_and_model(body);
    let refusal = some_text(message, "refusal");
    let reason = text(choice, "finish_reason").map_or(Stop::End, |reason| stop::read(&reason));

    let mut parts: Vec<Part> = thinking(message);
    let said = get(message, "content").and_then(content_text).filter(|text| !text.is_empty());
    let citations = citations(message);
    match said {
        Some(text) => parts.push(Part::Text { text, cache: None, citations }),
        None => drop(citations),
    }
    let is_refused = refusal.is_some();
    parts.extend(refusal.map(Part::text));
    let calls = tool_calls(message, &id);
    let stop = stop::settled(reason, !calls.is_empty(), is_refused);
    parts.extend(calls.into_iter().map(Part::ToolCall));
    let tokens = get(body, "usage").map(usage::read).unwrap_or_default();
    Ok(Answer { id, model, parts, stop, stop_sequence: None, tokens })
}

/// A content that is a string, or consists of parts.
pub(super) fn content_text(content: &[u8]) -> Option<String> {
    if content.starts_with(b"[") {
        return Some(elements(content).filter_map(|part| text(part, "text")).collect());
    }
    text_of(content)
}

/// Signed blocks where there are some, plain text otherwise.
fn thinking(message: &[u8]) -> Vec<Part> {
    let blocks = get(message, "thinking_blocks").unwrap_or_default();
    let blocks: Vec<Part> = elements(blocks)
        .filter_map(|block| match text(block, "type")?.as_str() {
            "thinking" => Some(Part::Thinking {
                text: text(block, "thinking").unwrap_or_default(),
                signature: some_text(block, "signature"),
            }),
            "redacted_thinking" => some_text(block, "data").map(Part::RedactedThinking),
            _ => None,
        })
        .collect();
    if !blocks.is_empty() {
        return blocks;
    }
    let plain = some_text(message, "reasoning_content").or_else(|| some_text(message, "reasoning"));
    plain.map(|text| Part::Thinking { text, signature: None }).into_iter().collect()
}

fn citations(message: &[u8]) -> Vec<Citation> {
    let found = elements(get(message, "annotations").unwrap_or_default());
    let citation = |annotation| {
        let url = get(annotation, "url_citation")?;
        let title = text(url, "title").unwrap_or_default();
        Some(Citation { url: some_text(url, "url")?, title, quote: String::new() })
    };
    found.filter_map(citation).collect()
}

fn tool_calls(message: &[u8], answer: &str) -> Vec<ToolCall> {
    let mut found: Vec<&[u8]> = elements(get(message, "tool_calls").unwrap_or_default()).collect();
    if found.is_empty() {
        found.extend(get(message, "function_call"));
    }
    let call = |(at, call): (usize, &&[u8])| {
        let function = function_of(call);
        let id = some_text(call, "id").unwrap_or_else(|| missing_id(answer, at as u64));
        let name = some_text(function, "name")?;
        Some(ToolCall { id, name, arguments: arguments(function), free_text: false, cache: None })
    };
    found.iter().enumerate().filter_map(call).collect()
}

/// What a call holds: a function, a tool that takes text, or, as calls once were, itself.
pub(super) fn function_of(call: &[u8]) -> &[u8] {
    get(call, "function").or_else(|| get(call, "custom")).unwrap_or(call)
}

/// The arguments, or a piece of them. Some servers give the object instead of its text.
pub(super) fn arguments(function: &[u8]) -> String {
    let Some(value) = get(function, "arguments").or_else(|| get(function, "input")) else { return String::new() };
    match text_of(value) {
        Some(text) => text,
        None if value.starts_with(b"{") => String::from_utf8_lossy(value).into_owned(),
        None => String::new(),
    }
}

/// For a call without one: the same whenever the same answer is read.
pub(super) fn missing_id(answer: &str, at: u64) -> String {
    tool_id::made(&format!("{answer}/{at}"))
}

/// The id of an answer, made of the upstream's own where there is one.
pub(in super::super) fn answer_id(prefix: &str, upstream: &str, fresh: &str) -> String {
    let prefixes = ["msg_", "chatcmpl-", "resp_", "cmpl-"];
    let own = prefixes.iter().find_map(|known| upstream.strip_prefix(known)).unwrap_or(upstream);
    format!("{prefix}{}", if own.is_empty() { fresh } else { own })
}

/// Id and model of a chunk or answer, empty where they are not told.
pub(super) fn id_and_model(body: &[u8]) -> (String, String) {
    (text(body, "id").unwrap_or_default(), text(body, "model").unwrap_or_default())
}

#[derive(Serialize, Debug)]
struct Completion<'a> {
    id: String,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: [Choice<'a>; 1],
    usage: usage::Usage,
}

#[derive(Serialize, Debug)]
struct Choice<'a> {
    index: u8,
    message: Message<'a>,
    logprobs: (),
    finish_reason: &'static str,
}

#[derive(Serialize, Debug)]
struct Message<'a> {
    role: &'static str,
    content: Option<String>,
    refusal: (),
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    thinking_blocks: Vec<Block<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    annotations: Vec<Annotation>,
}

/// What only the model can check or read, for the client to give back.
#[derive(Serialize, Debug)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block<'a> {
    Thinking { thinking: &'a str, signature: &'a str },
    RedactedThinking { data: &'a str },
}

#[derive(Serialize, Debug)]
struct Call<'a> {
    id: String,
    #[serde(flatten)]
    called: Called<'a>,
}

#[derive(Serialize, Debug)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Called<'a> {
    Function { function: Function<'a> },
    Custom { custom: Custom<'a> },
}

#[derive(Serialize, Debug)]
struct Function<'a> {
    name: &'a str,
    arguments: &'a str,
}

#[derive(Serialize, Debug)]
struct Custom<'a> {
    name: &'a str,
    input: String,
}

/// Where the words of a stretch of the answer were found.
#[derive(Serialize, Debug)]
pub(super) struct Annotation {
    #[serde(rename = "type")]
    kind: &'static str,
    url_citation: UrlCitation,
}

#[derive(Serialize, Debug)]
struct UrlCitation {
    url: String,
    title: String,
    /// In characters of the whole text.
    start_index: usize,
    end_index: usize,
}

impl Annotation {
    pub(super) fn new(found: Citation, start_index: usize, end_index: usize) -> Self {
        let Citation { url, title, .. } = found;
        Self { kind: "url_citation", url_citation: UrlCitation { url, title, start_index, end_index } }
    }
}

/// The text that a free-text tool is called with, out of the arguments of the function that stood in for it.
pub(super) fn free_text(arguments: &str) -> String {
    let text = serde_json::from_str::<&RawValue>(arguments).ok().and_then(|raw| text(raw.get().as_bytes(), "input"));
    text.unwrap_or_else(|| arguments.to_owned())
}

pub(in super::super) fn write_answer(answer: &Answer, asked: &Asked) -> Vec<u8> {
    let mut message = Message {
        role: "assistant",
        content: None,
        refusal: (),
        reasoning_content: None,
        thinking_blocks: Vec::new(),
        tool_calls: Vec::new(),
        annotations: Vec::new(),
    };
    let mut said = 0;
    for part in &answer.parts {
        match part {
            Part::Text { text, citations, .. } => {
                let start = said;
                said += text.chars().count();
                message.content.get_or_insert_default().push_str(text);
                let annotations = citations.iter().map(|found| Annotation::new(found.clone(), start, said));
                message.annotations.extend(annotations);
            }
            Part::Thinking { text, signature } => {
                if !text.is_empty() {
                    message.reasoning_content.get_or_insert_default().push_str(text);
                }
                let block = signature.as_ref().map(|signature| Block::Thinking { thinking: text, signature });
                message.thinking_blocks.extend(block);
            }
            Part::RedactedThinking(data) => message.thinking_blocks.push(Block::RedactedThinking { data }),
            Part::ToolCall(call) => message.tool_calls.push(called(call, asked)),
            // Models answer with nothing else.
            Part::Image { .. } | Part::Document { .. } | Part::Audio { .. } | Part::ToolResult { .. } => {}
        }
    }
    if message.tool_calls.is_empty() {
        message.content.get_or_insert_default();
    }
    let finish_reason = stop::write(&answer.stop);
    let completion = Completion {
        id: answer_id("chatcmpl-", &answer.id, &asked.fresh_id),
        object: "chat.completion",
        created: asked.created,
        model: &asked.model,
        choices: [Choice { index: 0, message, logprobs: (), finish_reason }],
        usage: usage::write(&answer.tokens),
    };
    // Strings and numbers only: nothing in it can fail to be JSON.
    serde_json::to_vec(&completion).unwrap_or_default()
}

fn called<'a>(call: &'a ToolCall, asked: &Asked) -> Call<'a> {
    let name = &call.name;
    let called = if call.free_text {
        Called::Custom { custom: Custom { name, input: call.arguments.clone() } }
    } else if asked.free_text_tools.contains(name) {
        Called::Custom { custom: Custom { name, input: free_text(&call.arguments) } }
    } else {
        let arguments = if call.arguments.trim().is_empty() { "{}" } else { &call.arguments };
        Called::Function { function: Function { name, arguments } }
    };
    Call { id: tool_id::told(&call.id).into_owned(), called }
}
