//! `POST /v1/chat/completions`, unary and streamed: text, tool calls, several choices.

use std::fmt::Write as _;

use super::super::act::Fault;
use super::super::reply::{Pieces, Reply};
use super::{Ask, CREATED, quote, text, usage};

pub fn answer(ask: &Ask<'_>) -> Reply {
    if ask.call.streams() { Reply::events(stream(ask)) } else { Reply::json(200, unary(ask)) }
}

fn unary(ask: &Ask<'_>) -> String {
    let finish = finish_reason(ask);
    let message = if ask.act.calls.is_empty() {
        let content = quote(&text::whole(ask.act));
        let thought = thought(ask);
        format!(r#"{{"role":"assistant",{thought}"content":{content},"refusal":null,"annotations":[]}}"#)
    } else {
        let calls = tool_calls(ask, false).join(",");
        let content = text::before_calls(ask.act).map_or_else(|| "null".to_owned(), quote);
        let thought = thought(ask);
        format!(
            r#"{{"role":"assistant",{thought}"content":{content},"tool_calls":[{calls}],"refusal":null,"annotations":[]}}"#
        )
    };
    let mut choices = String::new();
    for index in 0..ask.call.choices() {
        let comma = if index > 0 { "," } else { "" };
        let one = format!(
            r#"{comma}{{"index":{index},"message":{message},"logprobs":null,"finish_reason":{}}}"#,
            quote(finish)
        );
        choices.push_str(&one);
    }
    let usage = usage::chat(ask.act).map(|usage| format!(r#""usage":{usage},"#)).unwrap_or_default();
    format!(
        r#"{{"id":"chatcmpl-{number:029}","object":"chat.completion","created":{CREATED},"model":{model},"choices":[{choices}],{usage}"service_tier":{tier},"system_fingerprint":"fp_local0000"}}"#,
        number = ask.number,
        model = ask.model_json(),
        tier = quote(ask.tier()),
    )
}

fn thought(ask: &Ask<'_>) -> String {
    let member = |thought: &String| format!(r#""reasoning_content":{},"#, quote(thought));
    ask.act.thought.as_ref().map(member).unwrap_or_default()
}

fn stream(ask: &Ask<'_>) -> Pieces {
    let mut chunks = Chunks::new(ask);
    let choices = ask.call.choices();
    for index in 0..choices {
        chunks.delta(index, r#"{"role":"assistant","content":"","refusal":null}"#, None);
    }
    for word in ask.act.thought.iter().flat_map(|thought| thought.split_inclusive(' ')) {
        let delta = format!(r#"{{"reasoning_content":{}}}"#, quote(word));
        (0..choices).for_each(|index| chunks.delta(index, &delta, None));
    }
    if ask.act.calls.is_empty() {
        for piece in text::pieces(ask.act) {
            let delta = format!(r#"{{"content":{}}}"#, quote(&piece));
            (0..choices).for_each(|index| chunks.delta(index, &delta, None));
        }
    } else {
        if let Some(text) = text::before_calls(ask.act) {
            let delta = format!(r#"{{"content":{}}}"#, quote(text));
            (0..choices).for_each(|index| chunks.delta(index, &delta, None));
        }
        for delta in tool_deltas(ask) {
            (0..choices).for_each(|index| chunks.delta(index, &delta, None));
        }
    }
    if !matches!(ask.act.fault, Some(Fault::NoTerminator)) {
        (0..choices).for_each(|index| chunks.delta(index, "{}", Some(finish_reason(ask))));
        chunks.end();
    }
    chunks.pieces
}

fn finish_reason<'a>(ask: &'a Ask<'_>) -> &'a str {
    let usual = if ask.act.calls.is_empty() { "stop" } else { "tool_calls" };
    ask.act.finish_reason.as_deref().unwrap_or(usual)
}

fn tool_calls(ask: &Ask<'_>, indexed: bool) -> Vec<String> {
    let one = |(at, call): (usize, &super::super::act::Call)| {
        let index = if indexed { format!(r#""index":{at},"#) } else { String::new() };
        // A stream opens a call with empty arguments and sends them in pieces.
        let arguments = if indexed { quote("") } else { quote(&call.arguments) };
        let name = quote(&call.name);
        format!(
            r#"{{{index}"id":"call_{number:08}_{at}","type":"function","function":{{"name":{name},"arguments":{arguments}}}}}"#,
            number = ask.number,
        )
    };
    ask.act.calls.iter().enumerate().map(one).collect()
}

fn tool_deltas(ask: &Ask<'_>) -> Vec<String> {
    let mut deltas = Vec::new();
    for (at, (open, call)) in tool_calls(ask, true).into_iter().zip(&ask.act.calls).enumerate() {
        deltas.push(format!(r#"{{"tool_calls":[{open}]}}"#));
        let characters: Vec<char> = call.arguments.chars().collect();
        for piece in characters.chunks(5) {
            let piece = quote(&piece.iter().collect::<String>());
            deltas.push(format!(r#"{{"tool_calls":[{{"index":{at},"function":{{"arguments":{piece}}}}}]}}"#));
        }
    }
    deltas
}

struct Chunks<'a> {
    ask: &'a Ask<'a>,
    /// Everything before `"choices"`, the same in each chunk.
    opening: String,
    wants_usage: bool,
    pieces: Pieces,
    line: String,
}

impl<'a> Chunks<'a> {
    fn new(ask: &'a Ask<'a>) -> Chunks<'a> {
        let opening = format!(
            r#"{{"id":"chatcmpl-{number:029}","object":"chat.completion.chunk","created":{CREATED},"model":{model},"service_tier":{tier},"system_fingerprint":"fp_local0000","choices":["#,
            number = ask.number,
            model = ask.model_json(),
            tier = quote(ask.tier()),
        );
        let wants_usage = ask.call.wants_usage();
        Chunks { ask, opening, wants_usage, pieces: Pieces::default(), line: String::new() }
    }

    fn delta(&mut self, index: usize, delta: &str, finish: Option<&str>) {
        self.line.clear();
        self.line.push_str(&self.opening);
        let finish = finish.map_or_else(|| "null".to_owned(), quote);
        let written =
            write!(self.line, r#"{{"index":{index},"delta":{delta},"logprobs":null,"finish_reason":{finish}}}]"#);
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
        if self.wants_usage {
            self.line.push_str(r#","usage":null"#);
        }
        self.close();
    }

    fn close(&mut self) {
        if self.ask.act.obfuscation {
            // Pads each chunk to hide the length of its token.
            let pad = 16_usize.saturating_sub(self.line.len() % 16);
            let filler: String = "kQ3vZ8xWpL0sTn5e".chars().take(pad).collect();
            self.line.push_str(r#","obfuscation":""#);
            self.line.push_str(&filler);
            self.line.push('"');
        }
        self.line.push('}');
        self.pieces.data(&self.line);
    }

    fn end(&mut self) {
        if self.wants_usage
            && let Some(usage) = usage::chat(self.ask.act)
        {
            self.line.clear();
            self.line.push_str(&self.opening);
            self.line.push_str(r#"],"usage":"#);
            self.line.push_str(&usage);
            self.close();
        }
        self.pieces.data("[DONE]");
    }
}
