//! Conversations that any API may hold: what the last words of the user ask for is what is answered, once everything that
//! arrived has been checked. `tools please` and its like mean the same in every form, so that one client program can
//! ask any upstream behind a gateway. Each answer reports tokens of its own, so that a bill names its conversation.
#![allow(clippy::indexing_slicing, reason = "members of JSON values: one that is missing is null")]

mod read;
mod sound;
#[cfg(test)]
mod tests;

use super::act::{Act, Call, Fault, Tokens};
use super::house::Api;
use super::request::{Body, Head};
use read::{Part, Talk};
use serde_json::{Value, json};

/// Ends whatever chooses a scenario; other bodies are not looked at.
const PLEASE: &[u8] = b" please";
/// What the thoughts of every answer say, and what proves them.
pub const THOUGHT: &str = "A thought.";
pub const SIGNATURE: &str = "c2ln";
/// The picture that clients send: a red PNG of one pixel.
const PICTURE: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC";
const CITIES: [&str; 2] = ["São Paulo", "Oslo"];
const DEGREES: [&str; 2] = ["22", "-3"];
const STOP: &str = "END";
const BEFORE: &str = "Let me look.";

/// The form of a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    Chat,
    Completions,
    Messages,
    Converse,
    Ollama,
    Gemini,
}

impl Form {
    fn of(api: Api, head: &Head) -> Option<Form> {
        let path = head.path();
        if super::answer::is_bedrock(head) {
            return (path.ends_with("/converse") || path.ends_with("/converse-stream")).then_some(Form::Converse);
        }
        match (api, head.tail()) {
            (Api::OpenAi | Api::Vllm | Api::DeepInfra, Some("chat/completions")) => Some(Form::Chat),
            (Api::OpenAi | Api::Vllm | Api::DeepInfra, Some("completions")) => Some(Form::Completions),
            (Api::Anthropic, Some("messages")) => Some(Form::Messages),
            (Api::Ollama, _) => (path == "/api/chat").then_some(Form::Ollama),
            (Api::Gemini, _) => path.to_ascii_lowercase().contains("generatecontent").then_some(Form::Gemini),
            _ => None,
        }
    }

    /// Words for an answer that was cut off, and for one that met a stop sequence.
    fn reasons(self) -> (&'static str, &'static str) {
        match self {
            Form::Chat | Form::Completions | Form::Ollama => ("length", "stop"),
            Form::Messages | Form::Converse => ("max_tokens", "stop_sequence"),
            Form::Gemini => ("MAX_TOKENS", "STOP"),
        }
    }
}

/// What a body asks for; `None` when it chooses no scenario, `Err` what is wrong with it.
pub fn act(api: Api, head: &Head, body: &Body) -> Option<Result<Act, String>> {
    memchr::memmem::find(&body.kept, PLEASE)?;
    let form = Form::of(api, head)?;
    let sent: Value = serde_json::from_slice(&body.kept).ok()?;
    let talk = match read::talk(form, &sent) {
        Ok(talk) => talk,
        Err(text) => return Some(Err(text)),
    };
    let words = talk.last_words()?.strip_suffix(" please")?.to_owned();
    Some(sound::check(form, &sent, &talk).and_then(|()| choose(form, &talk, &words)))
}

fn choose(form: Form, talk: &Talk, words: &str) -> Result<Act, String> {
    let (length, stop) = form.reasons();
    let thought = Some(THOUGHT.to_owned());
    Ok(match words {
        "text" => said("Grüße, 世界 🌍", 11, 7),
        "picture" => {
            let pictures: Vec<&String> = talk.parts().filter_map(Part::as_picture).collect();
            expect(pictures == [PICTURE], "one picture with the bytes that the client has")?;
            said("A red dot.", 300, 5)
        }
        "tools" => tools(talk)?,
        "thought" => {
            expect(talk.thinks, "thinking is asked for")?;
            let mut act = said("It is 42.", 30, 12);
            act.tokens.reasoning = 5;
            Act { thought, ..act }
        }
        "kept thought" => {
            let kept =
                |part: &Part| matches!(part, Part::Thought(text, Some(proof)) if text == THOUGHT && proof == SIGNATURE);
            expect(talk.parts().filter(|part| kept(part)).count() == 1, "the thought of the turn before, signed")?;
            said("It still is.", 60, 6)
        }
        "careful tools" => careful_tools(form, talk)?,
        "break" => Act { fault: Some(Fault::Close { after: Some(3) }), ..said("This will not end well", 15, 5) },
        "overload" => Act { fault: Some(Fault::ErrorFrame { after: 3 }), ..said("This will not end well", 15, 5) },
        "length" => {
            expect(talk.max_tokens == Some(1100), "the client's own most tokens")?;
            Act { finish_reason: Some(length.to_owned()), ..said("This ends in the mid", 13, 8) }
        }
        "stop" => {
            expect(talk.stop == [STOP], "the client's stop sequence")?;
            let act = said("Up to here ", 14, 4);
            Act { finish_reason: Some(stop.to_owned()), stop_sequence: Some(STOP.to_owned()), ..act }
        }
        "schema" => schema(talk)?,
        "cache" => {
            let mut act = said("Remembered.", 20, 3);
            act.tokens.cached = if matches!(form, Form::Messages | Form::Converse) { 100 } else { 8 };
            act
        }
        "refuse" => Act { status: Some(400), ..Act::default() },
        "busy" => {
            let headers = [("retry-after".to_owned(), "7".to_owned())];
            Act { status: Some(429), headers: headers.into_iter().collect(), ..Act::default() }
        }
        "fail" => Act { status: Some(500), ..Act::default() },
        other => return Err(format!("no scenario: {other}")),
    })
}

fn said(content: &str, input: u64, output: u64) -> Act {
    let tokens = Tokens { input: Some(input), output: Some(output), ..Tokens::default() };
    Act { content: Some(content.to_owned()), chunks: Some(4), tokens, ..Act::default() }
}

fn expect(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("expected {what}")) }
}

/// Two calls of one tool at first; a summary once both results are there, each for its own call.
fn tools(talk: &Talk) -> Result<Act, String> {
    expect(talk.tools == ["weather"], "the tool that the client has")?;
    let calls: Vec<(&str, &Value)> = talk.parts().filter_map(Part::as_call).collect();
    if calls.is_empty() {
        let call = |city: &str| Call { name: "weather".to_owned(), arguments: json!({ "city": city }).to_string() };
        return Ok(Act { calls: CITIES.map(call).into(), ..said("", 50, 20) });
    }
    let asked: Vec<&str> = calls.iter().filter_map(|(_, arguments)| arguments["city"].as_str()).collect();
    expect(calls.iter().all(|(name, _)| *name == "weather") && asked == CITIES, "both calls as they were made")?;
    let results: Vec<&str> = talk.parts().filter_map(Part::as_result).collect();
    let told = results.iter().zip(DEGREES).all(|(text, degrees)| text.contains(degrees));
    expect(results.len() == 2 && told, "both results, in the order of their calls")?;
    Ok(said("Mild there, cold here.", 90, 9))
}

/// As above, with a thought and some words before the calls. Who proves thoughts wants this one back with the results.
fn careful_tools(form: Form, talk: &Talk) -> Result<Act, String> {
    let act = tools(talk)?;
    if !act.calls.is_empty() {
        let thought = Some(THOUGHT.to_owned()).filter(|_| talk.thinks);
        let reasoning = if talk.thinks { 5 } else { 0 };
        let tokens = Tokens { reasoning, ..act.tokens };
        return Ok(Act { thought, tokens, content: Some(BEFORE.to_owned()), ..act });
    }
    let words = talk.parts().any(|part| matches!(part, Part::Text(text) if text == BEFORE));
    expect(words, "the words before the calls")?;
    let proven =
        |part: &Part| matches!(part, Part::Thought(text, Some(proof)) if text == THOUGHT && proof == SIGNATURE);
    let proves = matches!(form, Form::Messages | Form::Converse);
    expect(!(proves && talk.thinks) || talk.parts().any(proven), "the thought before the calls, signed")?;
    Ok(act)
}

/// JSON, as text or as the call of the tool that must be called.
fn schema(talk: &Talk) -> Result<Act, String> {
    let city = json!({"city": "Oslo", "degrees": -3}).to_string();
    match &talk.forced {
        Some(name) => Ok(Act { calls: vec![Call { name: name.clone(), arguments: city }], ..said("", 70, 15) }),
        None => {
            expect(talk.schema, "a schema for the answer")?;
            Ok(said(&city, 70, 15))
        }
    }
}
