//! The messages of a request, read: instructions are lifted out, results of tools become turns of the user.

use super::super::{BadRequest, CacheMark, Message, Part, Request, Role, Text, ToolCall};
use super::json::{Node, Object};
use super::parts::{self, cache_mark};
use super::request::Foreign;
use super::tools::name;

/// Members of a message that are read, or that only repeat what the model once told.
const KNOWN: [&str; 15] = [
    "role",
    "content",
    "refusal",
    "tool_calls",
    "tool_call_id",
    "function_call",
    "reasoning_content",
    "reasoning",
    "reasoning_details",
    "thinking_blocks",
    "cache_control",
    "prompt_cache_breakpoint",
    "annotations",
    "provider_specific_fields",
    "id",
];

/// Reads one message after the other.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    system: Vec<Text>,
    messages: Vec<Message>,
    /// Calls of the older kind, which have no ids: counted, they get some.
    functions: usize,
}

impl Conversation {
    pub(super) fn read(&mut self, node: &Node<'_>, foreign: &mut Foreign) -> Result<(), BadRequest> {
        let message = node.object()?;
        let role = message.need("role")?;
        match role.text()?.as_str() {
            "system" | "developer" => self.instruct(&message, foreign)?,
            "user" => {
                let parts = content(&message, foreign)?;
                self.say(Role::User, parts);
            }
            "assistant" => {
                let parts = self.answer(&message, foreign)?;
                self.say(Role::Assistant, parts);
            }
            "tool" => {
                let id = message.need("tool_call_id")?.text()?;
                let result = result(id, &message, foreign)?;
                self.say(Role::User, vec![result]);
            }
            "function" => {
                let result = result(function_id(self.functions.max(1)), &message, foreign)?;
                self.say(Role::User, vec![result]);
            }
            _ => return Err(role.wrong("is no role that is known here.")),
        }
        let user_name =
            message.get("name").filter(|_| message.get("role").is_some_and(|r| r.value() != b"\"function\""));
        if user_name.is_some_and(|name| !name.is_empty()) {
            foreign.add("messages.name");
        }
        for (name, value) in message.iter().filter(|(name, _)| *name != "name" && !KNOWN.contains(name)) {
            if !value.is_empty() {
                foreign.add(&format!("messages.{name}"));
            }
        }
        Ok(())
    }

    pub(super) fn finish(self, request: &mut Request) {
        request.system = self.system;
        request.messages = self.messages;
    }

    fn say(&mut self, role: Role, parts: Vec<Part>) {
        if !parts.is_empty() {
            self.messages.push(Message { role, parts });
        }
    }

    fn instruct(&mut self, message: &Object<'_>, foreign: &mut Foreign) -> Result<(), BadRequest> {
        let Some(content) = message.get("content") else { return Ok(()) };
        let mut texts = parts::texts(&content, foreign)?;
        if let (Some(mark), Some(last)) = (cache_mark(message)?, texts.last_mut()) {
            last.cache = Some(mark);
        }
        self.system.extend(texts);
        Ok(())
    }

    /// What the model said: its thinking, its words, its calls.
    fn answer(&mut self, message: &Object<'_>, foreign: &mut Foreign) -> Result<Vec<Part>, BadRequest> {
        let mut parts = thinking(message)?;
        parts.extend(content(message, foreign)?);
        if let Some(refusal) = message.text("refusal")?.filter(|text| !text.is_empty()) {
            parts.push(Part::text(refusal));
        }
        if let Some(calls) = message.get("tool_calls") {
            for call in calls.elements()? {
                parts.push(Part::ToolCall(tool_call(&call.object()?)?));
            }
        }
        if let Some(call) = message.get("function_call") {
            let call = call.object()?;
            self.functions += 1;
            parts.push(Part::ToolCall(ToolCall {
                id: function_id(self.functions),
                name: name(&call)?,
                arguments: arguments(&call, "arguments")?,
                free_text: false,
                cache: None,
            }));
        }
        Ok(parts)
    }
}

fn function_id(count: usize) -> String {
    format!("call_fn_{count}")
}

/// The parts of the content; a mark on the message is one on the last of them.
fn content(message: &Object<'_>, foreign: &mut Foreign) -> Result<Vec<Part>, BadRequest> {
    let Some(node) = message.get("content") else { return Ok(Vec::new()) };
    let mut parts = parts::read(&node, foreign)?;
    if let (Some(mark), Some(last)) = (cache_mark(message)?, parts.last_mut().and_then(cache_of)) {
        *last = Some(mark);
    }
    Ok(parts)
}

fn cache_of(part: &mut Part) -> Option<&mut Option<CacheMark>> {
    match part {
        Part::Text { cache, .. } | Part::Image { cache, .. } | Part::Document { cache, .. } => Some(cache),
        _ => None,
    }
}

fn result(id: String, message: &Object<'_>, foreign: &mut Foreign) -> Result<Part, BadRequest> {
    let parts = match message.get("content") {
        Some(content) => parts::read(&content, foreign)?,
        None => Vec::new(),
    };
    Ok(Part::ToolResult { id, parts, is_error: false, cache: cache_mark(message)? })
}

/// Thinking that the client gives back: in blocks with their signatures, or as plain text.
fn thinking(message: &Object<'_>) -> Result<Vec<Part>, BadRequest> {
    let mut parts = Vec::new();
    if let Some(blocks) = message.get("thinking_blocks").filter(|blocks| !blocks.is_empty()) {
        for block in blocks.elements()? {
            let block = block.object()?;
            let kind = block.need("type")?;
            parts.push(match kind.text()?.as_str() {
                "thinking" => Part::Thinking {
                    text: block.text("thinking")?.unwrap_or_default(),
                    signature: block.text("signature")?.filter(|proof| !proof.is_empty()),
                },
                "redacted_thinking" => Part::RedactedThinking(block.need("data")?.text()?),
                _ => return Err(kind.wrong("is no kind of thinking that is known here.")),
            });
        }
        return Ok(parts);
    }
    let plain = message.get("reasoning_content").or_else(|| message.get("reasoning"));
    if let Some(text) =
        plain.filter(|node| node.is_text()).map(|node| node.text()).transpose()?.filter(|t| !t.is_empty())
    {
        parts.push(Part::Thinking { text, signature: None });
    }
    Ok(parts)
}

fn tool_call(call: &Object<'_>) -> Result<ToolCall, BadRequest> {
    let id = call.need("id")?.text()?;
    let cache = cache_mark(call)?;
    if let Some(custom) = call.get("custom") {
        let custom = custom.object()?;
        let arguments = custom.text("input")?.unwrap_or_default();
        return Ok(ToolCall { id, name: name(&custom)?, arguments, free_text: true, cache });
    }
    let function = call.need("function")?.object()?;
    let arguments = arguments(&function, "arguments")?;
    Ok(ToolCall { id, name: name(&function)?, arguments, free_text: false, cache })
}

/// JSON as text. Some clients give the object itself.
fn arguments(function: &Object<'_>, member: &str) -> Result<String, BadRequest> {
    match function.get(member) {
        Some(node) if node.is_object() => Ok(node.raw()?.get().to_owned()),
        Some(node) => node.text(),
        None => Ok(String::new()),
    }
}
