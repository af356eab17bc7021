//! `POST /v1/completions`, the elder text endpoint, unary and streamed.

use super::super::act::Fault;
use super::super::reply::{Pieces, Reply};
use super::{Ask, CREATED, quote, text, usage};

pub fn answer(ask: &Ask<'_>) -> Reply {
    let finish = ask.act.finish_reason.as_deref().unwrap_or("stop");
    if ask.call.streams() {
        return Reply::events(stream(ask, finish));
    }
    let text = quote(&text::whole(ask.act));
    let usage = usage::chat(ask.act).map(|usage| format!(r#","usage":{usage}"#)).unwrap_or_default();
    let choices: Vec<String> = (0..ask.call.choices()).map(|index| choice(index, &text, &quote(finish))).collect();
    Reply::json(200, format!("{}{}]{usage}}}", opening(ask), choices.join(",")))
}

fn stream(ask: &Ask<'_>, finish: &str) -> Pieces {
    let opening = opening(ask);
    let wants_usage = ask.call.wants_usage();
    let null = if wants_usage { r#","usage":null"# } else { "" };
    let mut pieces = Pieces::default();
    let mut chunk = |text: &str, finish: &str| {
        for index in 0..ask.call.choices() {
            pieces.data(&format!("{opening}{}]{null}}}", choice(index, &quote(text), finish)));
        }
    };
    for piece in text::pieces(ask.act) {
        chunk(&piece, "null");
    }
    if matches!(ask.act.fault, Some(Fault::NoTerminator)) {
        return pieces;
    }
    chunk("", &quote(finish));
    if wants_usage && let Some(usage) = usage::chat(ask.act) {
        pieces.data(&format!(r#"{opening}],"usage":{usage}}}"#));
    }
    pieces.data("[DONE]");
    pieces
}

fn opening(ask: &Ask<'_>) -> String {
    let (number, model) = (ask.number, ask.model_json());
    format!(r#"{{"id":"cmpl-{number:029}","object":"text_completion","created":{CREATED},"model":{model},"choices":["#)
}

fn choice(index: usize, text: &str, finish: &str) -> String {
    format!(r#"{{"text":{text},"index":{index},"logprobs":null,"finish_reason":{finish}}}"#)
}
