//! What every API demands of a conversation, each in its own words: known members only, turns in order, results for
//! calls.
#![allow(clippy::indexing_slicing, reason = "members of JSON values: one that is missing is null")]

use super::Form;
use super::read::{Part, Talk, Turn};
use serde_json::Value;

pub(super) fn check(form: Form, sent: &Value, talk: &Talk) -> Result<(), String> {
    let members = sent.as_object().ok_or("a body is an object")?;
    if let Some(name) = members.keys().find(|name| !known(form).contains(&name.as_str())) {
        return Err(format!("{name}: Extra inputs are not permitted"));
    }
    if let Some(name) = members.iter().find(|(_, value)| value.is_null()).map(|(name, _)| name) {
        return Err(format!("{name}: null is not a value"));
    }
    if talk.turns.first().is_none_or(|turn| turn.role != "user") {
        return Err("a conversation begins with the user".to_owned());
    }
    if talk.turns.iter().any(|turn| turn.parts.is_empty()) {
        return Err("a turn says something".to_owned());
    }
    if talk.parts().any(|part| matches!(part, Part::Text(text) if text.trim().is_empty())) {
        return Err("a text is not blank".to_owned());
    }
    results(form, &talk.turns)?;
    match form {
        Form::Converse => {
            alternate(&talk.turns)?;
            let uses = talk.parts().any(|part| matches!(part, Part::Call { .. } | Part::Result { .. }));
            if uses && talk.tools.is_empty() {
                return Err("toolConfig must be defined when using toolUse and toolResult content blocks".to_owned());
            }
            let sane = |id: &str| {
                (1..=64).contains(&id.len())
                    && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
            };
            if talk.parts().any(|part| matches!(part, Part::Call { id, .. } | Part::Result { id, .. } if !sane(id))) {
                return Err("toolUseId has characters that it may not have".to_owned());
            }
            thinking(&sent["additionalModelRequestFields"], &sent["inferenceConfig"], talk)
        }
        Form::Messages => {
            alternate(&talk.turns)?;
            thinking(sent, sent, talk)
        }
        Form::Gemini => alternate(&talk.turns),
        Form::Chat | Form::Completions | Form::Ollama => Ok(()),
    }
}

fn known(form: Form) -> &'static [&'static str] {
    match form {
        Form::Chat => &[
            "model",
            "messages",
            "tools",
            "tool_choice",
            "parallel_tool_calls",
            "max_tokens",
            "max_completion_tokens",
            "temperature",
            "top_p",
            "stop",
            "n",
            "response_format",
            "reasoning_effort",
            "stream",
            "stream_options",
            "user",
            "seed",
            "frequency_penalty",
        ],
        Form::Completions => {
            &["model", "prompt", "max_tokens", "temperature", "top_p", "stop", "n", "stream", "stream_options"]
        }
        Form::Messages => &[
            "model",
            "messages",
            "system",
            "tools",
            "tool_choice",
            "max_tokens",
            "temperature",
            "top_p",
            "top_k",
            "stop_sequences",
            "stream",
            "thinking",
            "metadata",
            "output_config",
            "cache_control",
        ],
        Form::Converse => &[
            "messages",
            "system",
            "inferenceConfig",
            "toolConfig",
            "additionalModelRequestFields",
            "additionalModelResponseFieldPaths",
            "outputConfig",
        ],
        Form::Ollama => &["model", "messages", "tools", "format", "options", "stream", "think"],
        Form::Gemini => &["contents", "systemInstruction", "tools", "toolConfig", "generationConfig"],
    }
}

fn alternate(turns: &[Turn]) -> Result<(), String> {
    if turns.iter().zip(turns.iter().skip(1)).any(|(one, next)| one.role == next.role) {
        return Err("roles must alternate between the user and the model".to_owned());
    }
    Ok(())
}

/// Each call has its result before anybody says anything else, and no result is without its call.
fn results(form: Form, turns: &[Turn]) -> Result<(), String> {
    let mut open: Vec<&str> = Vec::new();
    for turn in turns {
        let answers: Vec<&str> = turn
            .parts
            .iter()
            .filter_map(|part| if let Part::Result { id, .. } = part { Some(id.as_str()) } else { None })
            .collect();
        // One turn has all of them, except where each is a message of its own.
        let all_at_once = !matches!(form, Form::Chat | Form::Ollama);
        if !open.is_empty() && (answers.is_empty() || (all_at_once && answers.len() != open.len())) {
            return Err("each call must have a result in the turn after it".to_owned());
        }
        for id in answers {
            let Some(at) = open.iter().position(|call| *call == id) else {
                return Err(format!("a result without a call: {id}"));
            };
            open.remove(at);
        }
        open.extend(
            turn.parts
                .iter()
                .filter_map(|part| if let Part::Call { id, .. } = part { Some(id.as_str()) } else { None }),
        );
    }
    if open.is_empty() { Ok(()) } else { Err("the last calls have no result".to_owned()) }
}

/// What a model that is told to think refuses.
fn thinking(asked: &Value, limits: &Value, talk: &Talk) -> Result<(), String> {
    let most = talk.max_tokens.ok_or("a maximum of tokens is required")?;
    if asked["thinking"]["type"] != "enabled" {
        return Ok(());
    }
    let budget = asked["thinking"]["budget_tokens"].as_u64().unwrap_or_default();
    if budget < 1024 || budget >= most {
        return Err(format!("a budget from 1024 to less than max_tokens: {budget} of {most}"));
    }
    if limits["temperature"].as_f64().is_some_and(|temperature| temperature < 1.0) || !limits["top_k"].is_null() {
        return Err("temperature may only be set to 1 when thinking is enabled".to_owned());
    }
    let last = talk.turns.iter().rfind(|turn| turn.role == "model");
    let calls = |turn: &Turn| turn.parts.iter().any(|part| matches!(part, Part::Call { .. }));
    let thinks = |turn: &Turn| matches!(turn.parts.first(), Some(Part::Thought(_, Some(_))));
    if last.is_some_and(|turn| calls(turn) && !thinks(turn)) {
        return Err("Expected `thinking`, but found `tool_use`: a turn with calls begins with its thought".to_owned());
    }
    if talk.forced.is_some() {
        return Err("Thinking may not be enabled when tool_choice forces tool use.".to_owned());
    }
    Ok(())
}
