//! A request of any API in one shape.
#![allow(clippy::indexing_slicing, reason = "members of JSON values: one that is missing is null")]

use super::Form;
use serde_json::Value;

#[derive(Debug, Default)]
pub(super) struct Talk {
    pub(super) turns: Vec<Turn>,
    pub(super) tools: Vec<String>,
    /// The tool that must be called.
    pub(super) forced: Option<String>,
    pub(super) stop: Vec<String>,
    pub(super) max_tokens: Option<u64>,
    pub(super) schema: bool,
    pub(super) thinks: bool,
}

#[derive(Debug)]
pub(super) struct Turn {
    /// `user`, `model` or `tool`.
    pub(super) role: &'static str,
    pub(super) parts: Vec<Part>,
}

#[derive(Debug)]
pub(super) enum Part {
    Text(String),
    /// Base64.
    Picture(String),
    Call {
        id: String,
        name: String,
        arguments: Value,
    },
    Result {
        id: String,
        text: String,
    },
    /// With its signature.
    Thought(String, Option<String>),
}

impl Part {
    pub(super) fn as_picture(&self) -> Option<&String> {
        if let Part::Picture(data) = self { Some(data) } else { None }
    }
    pub(super) fn as_call(&self) -> Option<(&str, &Value)> {
        if let Part::Call { name, arguments, .. } = self { Some((name, arguments)) } else { None }
    }
    pub(super) fn as_result(&self) -> Option<&str> {
        if let Part::Result { text, .. } = self { Some(text) } else { None }
    }
}

impl Talk {
    pub(super) fn parts(&self) -> impl Iterator<Item = &Part> {
        self.turns.iter().flat_map(|turn| &turn.parts)
    }

    /// The last text of the user.
    pub(super) fn last_words(&self) -> Option<&str> {
        let mut parts = self.turns.iter().filter(|turn| turn.role == "user").flat_map(|turn| &turn.parts).rev();
        parts.find_map(|part| if let Part::Text(text) = part { Some(text.as_str()) } else { None })
    }
}

pub(super) fn talk(form: Form, sent: &Value) -> Result<Talk, String> {
    match form {
        Form::Chat | Form::Ollama => Ok(chat(form, sent)),
        Form::Completions => Ok(Talk {
            turns: vec![Turn { role: "user", parts: vec![Part::Text(text(&sent["prompt"]))] }],
            stop: texts(&sent["stop"]),
            max_tokens: sent["max_tokens"].as_u64(),
            ..Talk::default()
        }),
        Form::Messages => messages(sent),
        Form::Converse => converse(sent),
        Form::Gemini => gemini(sent),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    if value.is_string() { vec![text(value)] } else { list(value).iter().map(text).collect() }
}

fn maybe(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// What follows the comma of a data URL.
fn data(url: &Value) -> String {
    text(url).rsplit(',').next().unwrap_or_default().to_owned()
}

/// A text, or the texts of its parts.
fn joined(content: &Value) -> String {
    let parts: Vec<String> = list(content).iter().map(|part| text(&part["text"])).collect();
    if content.is_string() { text(content) } else { parts.concat() }
}

fn chat(form: Form, sent: &Value) -> Talk {
    let mut turns = Vec::new();
    for message in list(&sent["messages"]) {
        let role = match message["role"].as_str() {
            Some("assistant") => "model",
            Some("tool") => "tool",
            Some("user") => "user",
            _ => continue,
        };
        let mut parts = Vec::new();
        for name in ["reasoning_content", "thinking"] {
            parts.extend(maybe(&message[name]).map(|thought| Part::Thought(thought, None)));
        }
        match (role, &message["content"]) {
            ("tool", content) => parts.push(Part::Result { id: text(&message["tool_call_id"]), text: joined(content) }),
            (_, Value::String(text)) if !text.is_empty() => parts.push(Part::Text(text.clone())),
            (_, content) => parts.extend(list(content).iter().map(|part| match part["type"].as_str() {
                Some("image_url") => Part::Picture(data(&part["image_url"]["url"])),
                _ => Part::Text(text(&part["text"])),
            })),
        }
        parts.extend(list(&message["images"]).iter().map(|image| Part::Picture(text(image))));
        for call in list(&message["tool_calls"]) {
            let arguments = &call["function"]["arguments"];
            let arguments = match form {
                Form::Ollama => arguments.clone(),
                _ => serde_json::from_str(&text(arguments)).unwrap_or_default(),
            };
            parts.push(Part::Call { id: text(&call["id"]), name: text(&call["function"]["name"]), arguments });
        }
        turns.push(Turn { role, parts });
    }
    let options = &sent["options"];
    let most = [&sent["max_completion_tokens"], &sent["max_tokens"], &options["num_predict"]];
    Talk {
        turns,
        tools: list(&sent["tools"]).iter().map(|tool| text(&tool["function"]["name"])).collect(),
        forced: maybe(&sent["tool_choice"]["function"]["name"]),
        stop: if options["stop"].is_null() { texts(&sent["stop"]) } else { texts(&options["stop"]) },
        max_tokens: most.iter().find_map(|value| value.as_u64()),
        schema: sent["response_format"]["json_schema"]["schema"].is_object() || sent["format"].is_object(),
        thinks: sent["reasoning_effort"].is_string() || !matches!(sent["think"], Value::Null | Value::Bool(false)),
    }
}

fn messages(sent: &Value) -> Result<Talk, String> {
    let mut turns = Vec::new();
    for message in list(&sent["messages"]) {
        let role = if message["role"] == "assistant" { "model" } else { "user" };
        let mut parts = Vec::new();
        if let Some(text) = maybe(&message["content"]) {
            parts.push(Part::Text(text));
        }
        for block in list(&message["content"]) {
            parts.push(match block["type"].as_str() {
                Some("text") => Part::Text(text(&block["text"])),
                Some("image") => Part::Picture(text(&block["source"]["data"])),
                Some("tool_use") => {
                    Part::Call { id: text(&block["id"]), name: text(&block["name"]), arguments: block["input"].clone() }
                }
                Some("tool_result") => {
                    Part::Result { id: text(&block["tool_use_id"]), text: joined(&block["content"]) }
                }
                Some("thinking") => Part::Thought(text(&block["thinking"]), maybe(&block["signature"])),
                other => return Err(format!("no such block: {other:?}")),
            });
        }
        turns.push(Turn { role, parts });
    }
    Ok(Talk {
        turns,
        tools: list(&sent["tools"]).iter().map(|tool| text(&tool["name"])).collect(),
        forced: maybe(&sent["tool_choice"]["name"]),
        stop: texts(&sent["stop_sequences"]),
        max_tokens: sent["max_tokens"].as_u64(),
        schema: sent["output_config"]["format"]["schema"].is_object() || sent["output_format"]["schema"].is_object(),
        thinks: matches!(sent["thinking"]["type"].as_str(), Some("enabled" | "adaptive")),
    })
}

fn converse(sent: &Value) -> Result<Talk, String> {
    let mut turns = Vec::new();
    for message in list(&sent["messages"]) {
        let role = if message["role"] == "assistant" { "model" } else { "user" };
        let mut parts = Vec::new();
        for block in list(&message["content"]) {
            let (name, value) = block
                .as_object()
                .filter(|members| members.len() == 1)
                .and_then(|members| members.iter().next())
                .ok_or("a block of content has one member")?;
            parts.push(match name.as_str() {
                "text" => Part::Text(text(value)),
                "image" => Part::Picture(text(&value["source"]["bytes"])),
                "toolUse" => Part::Call {
                    id: text(&value["toolUseId"]),
                    name: text(&value["name"]),
                    arguments: value["input"].clone(),
                },
                "toolResult" => Part::Result { id: text(&value["toolUseId"]), text: joined(&value["content"]) },
                "reasoningContent" => {
                    let thought = &value["reasoningText"];
                    Part::Thought(text(&thought["text"]), maybe(&thought["signature"]))
                }
                "cachePoint" => continue,
                other => return Err(format!("no such block: {other}")),
            });
        }
        turns.push(Turn { role, parts });
    }
    let config = &sent["inferenceConfig"];
    let more = &sent["additionalModelRequestFields"];
    Ok(Talk {
        turns,
        tools: list(&sent["toolConfig"]["tools"])
            .iter()
            .filter(|tool| tool["cachePoint"].is_null())
            .map(|tool| text(&tool["toolSpec"]["name"]))
            .collect(),
        forced: maybe(&sent["toolConfig"]["toolChoice"]["tool"]["name"]),
        stop: texts(&config["stopSequences"]),
        max_tokens: config["maxTokens"].as_u64(),
        schema: !sent["outputConfig"]["textFormat"].is_null(),
        thinks: more.to_string().contains("thinking") || more.to_string().contains("reasoning"),
    })
}

fn gemini(sent: &Value) -> Result<Talk, String> {
    let mut turns = Vec::new();
    for content in list(&sent["contents"]) {
        let role = if content["role"] == "model" { "model" } else { "user" };
        let mut parts = Vec::new();
        for part in list(&content["parts"]) {
            let one = |name: &str| part.get(name).filter(|value| !value.is_null());
            parts.push(if let Some(call) = one("functionCall") {
                let arguments = call["args"].clone();
                Part::Call { id: text(&call["id"]), name: text(&call["name"]), arguments }
            } else if let Some(result) = one("functionResponse") {
                Part::Result { id: text(&result["id"]), text: result["response"].to_string() }
            } else if let Some(picture) = one("inlineData") {
                Part::Picture(text(&picture["data"]))
            } else if part["thought"] == true {
                Part::Thought(text(&part["text"]), maybe(&part["thoughtSignature"]))
            } else {
                Part::Text(text(one("text").ok_or("a part has some content")?))
            });
        }
        turns.push(Turn { role, parts });
    }
    let config = &sent["generationConfig"];
    let tools = list(&sent["tools"]).iter().flat_map(|tool| list(&tool["functionDeclarations"]));
    Ok(Talk {
        turns,
        tools: tools.map(|tool| text(&tool["name"])).collect(),
        forced: None,
        stop: texts(&config["stopSequences"]),
        max_tokens: config["maxOutputTokens"].as_u64(),
        schema: config.get("responseSchema").is_some() || config.get("responseJsonSchema").is_some(),
        thinks: !config["thinkingConfig"].is_null(),
    })
}
