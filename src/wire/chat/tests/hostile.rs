//! Requests and streams that mean no good: they are refused or read in bounded time and memory, in every form.

use super::super::*;
use crate::wire::event_stream;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const CLIENTS: [Format; 5] =
    [Format::OpenAiChat, Format::OpenAiResponses, Format::OpenAiCompletions, Format::Anthropic, Format::Converse];

/// The least request of a form that asks for `text`, which is the inside of a JSON string.
fn asking(format: Format, text: &str) -> String {
    match format {
        Format::OpenAiChat => format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{text}"}}]}}"#),
        Format::OpenAiResponses => format!(r#"{{"model":"m","input":"{text}"}}"#),
        Format::OpenAiCompletions => format!(r#"{{"model":"m","prompt":"{text}"}}"#),
        Format::Anthropic => {
            format!(r#"{{"model":"m","max_tokens":9,"messages":[{{"role":"user","content":"{text}"}}]}}"#)
        }
        _ => format!(r#"{{"messages":[{{"role":"user","content":[{{"text":"{text}"}}]}}]}}"#),
    }
}

#[test]
fn a_member_that_comes_twice_is_refused() {
    for format in CLIENTS {
        let good = asking(format, "q");
        assert!(read_request(format, good.as_bytes()).is_ok(), "{format:?}");
        let inner = good.strip_prefix('{').unwrap();
        for twice in [r#""x":1,"x":1"#, r#""stream":true,"stream":false"#, r#""y":null,"y":1"#, r#""z":1,"\u007a":2"#] {
            let body = format!("{{{twice},{inner}");
            assert!(read_request(format, body.as_bytes()).is_err(), "{format:?} {twice}");
        }
        for name in ["\"model\":", "\"messages\":", "\"role\":", "\"text\":", "\"max_tokens\":"] {
            let Some(at) = good.find(name) else { continue };
            let body = format!("{}{name}null,{}", &good[..at], &good[at..]);
            assert!(read_request(format, body.as_bytes()).is_err(), "{format:?} {name}");
        }
    }
}

#[test]
fn half_a_character_is_no_reason_to_refuse() {
    for format in CLIENTS {
        let request = read_request(format, asking(format, r"a\ud83d").as_bytes());
        let request = request.unwrap_or_else(|refused| panic!("{format:?}: {refused}"));
        assert_eq!(request.messages[0].parts, [Part::text("a\u{fffd}")], "{format:?}");
    }
}

#[test]
fn lists_and_objects_have_an_end() {
    let many = |what: &str| vec![what; 200_000].join(",");
    for format in CLIENTS {
        let inner = asking(format, "q");
        let inner = inner.strip_prefix('{').unwrap();
        let named: Vec<String> = (0..200_000).map(|nth| format!("\"n{nth}\":0")).collect();
        let body = format!("{{{},{inner}", named.join(","));
        assert!(read_request(format, body.as_bytes()).is_err(), "{format:?}");
    }
    for (format, body) in [
        (
            Format::OpenAiChat,
            format!(r#"{{"model":"m","messages":[{{"role":"user","content":["q",{}]}}]}}"#, many("\"\"")),
        ),
        (Format::OpenAiResponses, format!(r#"{{"model":"m","input":[{}]}}"#, many(r#"{"role":"user","content":"q"}"#))),
        (Format::OpenAiCompletions, format!(r#"{{"model":"m","prompt":"q","stop":[{}]}}"#, many("\"\""))),
        (
            Format::Anthropic,
            format!(r#"{{"model":"m","max_tokens":9,"messages":[{}]}}"#, many(r#"{"role":"user","content":"q"}"#)),
        ),
        (
            Format::Converse,
            format!(r#"{{"messages":[{{"role":"user","content":[{{"text":"q"}},{}]}}]}}"#, many("null")),
        ),
    ] {
        assert!(read_request(format, body.as_bytes()).is_err(), "{format:?}");
    }
}

/// What takes seconds here with a loop in a loop takes hours with the largest body that is let in.
fn soon<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let done = work();
    assert!(begin.elapsed() < Duration::from_secs(8), "{what}: {:?}", begin.elapsed());
    done
}

fn user(parts: Vec<Part>) -> Message {
    Message { role: Role::User, parts }
}

fn call(id: &str, name: &str) -> Part {
    let (id, name) = (id.to_owned(), name.to_owned());
    Part::ToolCall(ToolCall { id, name, arguments: "{}".into(), free_text: false, cache: None })
}

fn tool(name: &str) -> Tool {
    Tool { name: name.into(), description: None, schema: None, strict: None, free_text: false, cache: None }
}

#[test]
fn many_small_things_are_read_and_written_in_one_go() {
    const MANY: usize = 50_000;
    let calls = (0..MANY).map(|nth| call(&format!("c{nth}"), &format!("f{nth}"))).collect();
    let messages = vec![user(vec![Part::text("q")]), Message { role: Role::Assistant, parts: calls }];
    let request = Request { messages, ..Request::default() };
    for format in [Format::Anthropic, Format::Converse] {
        soon("tools that only history knows", || write_request(format, &request, &Target::default()).unwrap());
    }
    let paper = || Part::Document { name: Some("a".into()), source: Source::Text("x".into()), cache: None };
    let request = Request { messages: vec![user((0..MANY).map(|_| paper()).collect())], ..Request::default() };
    soon("documents of one name", || write_request(Format::Converse, &request, &Target::default()).unwrap());

    let schema = serde_json::value::to_raw_value(&json!({"type": "object"})).unwrap();
    let output = OutputFormat::Schema { name: String::new(), description: None, schema, strict: None };
    let request = Request {
        messages: vec![user(vec![Part::text("q")])],
        tools: (0..MANY).map(|nth| tool(&format!("answer_{nth}"))).collect(),
        output: Some(output),
        ..Request::default()
    };
    let plain = Target { structured_output: false, ..Target::default() };
    soon("a free name", || write_request(Format::Converse, &request, &plain).unwrap());

    let tools: Vec<Value> =
        (0..MANY).map(|n| json!({"type": "function", "function": {"name": format!("f{n}")}})).collect();
    let choice = json!({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": tools}});
    let body =
        json!({"model": "m", "messages": [{"role": "user", "content": "q"}], "tools": tools, "tool_choice": choice});
    soon("a choice of tools", || read_request(Format::OpenAiChat, body.to_string().as_bytes()).unwrap());

    let output = json!({"type": "function_call_output", "call_id": "c", "output": "x"});
    let body = json!({"model": "m", "input": vec![output; MANY]}).to_string();
    soon("results in a row", || read_request(Format::OpenAiResponses, body.as_bytes()).unwrap());
}

#[test]
fn ids_of_calls_come_to_clients_as_they_are() {
    // Longer than any API's own: what a model has to get back may travel in it.
    let id = format!("call_0__ts_{}", "A".repeat(3000));
    let answer = Answer { parts: vec![call(&id, "f")], stop: Stop::ToolUse, ..Answer::default() };
    for format in [Format::OpenAiChat, Format::OpenAiResponses, Format::Anthropic, Format::Converse] {
        let whole = write_answer(format, &answer, &Asked::default());
        assert!(String::from_utf8_lossy(&whole).contains(&id), "{format:?}");
        let mut writer = stream_writer(format, Asked::default());
        let mut out = Vec::new();
        answer.clone().into_events().into_iter().for_each(|event| writer.write(event, &mut out));
        assert!(String::from_utf8_lossy(&out).contains(&id), "{format:?}");
    }
}

#[test]
fn an_empty_signature_is_none() {
    let thought = json!({"reasoningContent": {"reasoningText": {"text": "hm", "signature": ""}}});
    let unsigned = Part::Thinking { text: "hm".into(), signature: None };
    let asked = json!({"messages": [{"role": "assistant", "content": [thought]}]}).to_string();
    assert_eq!(read_request(Format::Converse, asked.as_bytes()).unwrap().messages[0].parts, [unsigned.clone()]);
    let answer = json!({"output": {"message": {"content": [thought]}}}).to_string();
    assert_eq!(read_answer(Format::Converse, answer.as_bytes()).unwrap().parts, [unsigned]);
}

#[test]
fn each_signed_thought_keeps_its_own_signature() {
    let thought = |text: &str, proof: &str| json!({"text": text, "thought": true, "thoughtSignature": proof});
    let body = json!({"candidates": [{"content": {"parts": [thought("a", "AAAA"), thought("b", "BBBB")]},
        "finishReason": "STOP"}]});
    let answer = read_answer(Format::Gemini, body.to_string().as_bytes()).unwrap();
    assert_eq!(answer.parts.len(), 2, "{answer:?}");
}

#[test]
fn half_a_character_of_an_upstream_loses_nothing_else() {
    let line = br#"{"message":{"content":"a\ud83d"},"done":true}"#;
    let chunk = br#"{"candidates":[{"content":{"parts":[{"text":"a\ud83d"}]},"finishReason":"STOP"}]}"#;
    let whole = br#"{"output":{"message":{"content":[{"text":"a\ud83d"}]}}}"#;
    for (format, body) in [(Format::Ollama, &line[..]), (Format::Gemini, chunk), (Format::Converse, whole)] {
        let answer = read_answer(format, body).unwrap_or_else(|_| panic!("{format:?}"));
        assert_eq!(answer.parts, [Part::text("a\u{fffd}")], "{format:?}");
    }
    let headers = [":event-type", ":message-type"].into_iter().zip(["contentBlockDelta", "event"]);
    let headers: Vec<_> = headers.map(|(name, value)| (name, event_stream::Value::Text(value))).collect();
    let payload = br#"{"contentBlockIndex":0,"delta":{"text":"a\ud83d"}}"#;
    let mut events = Vec::new();
    stream_reader(Format::Converse).push(&event_stream::encode(&headers, payload).unwrap(), &mut events);
    assert_eq!(events, [Event::Text("a\u{fffd}".into())]);
}

#[test]
fn citations_without_end_are_not_kept() {
    let found = || Event::Citation(Citation { url: "u".repeat(1000), title: String::new(), quote: "q".repeat(9000) });
    let mut writer = stream_writer(Format::OpenAiChat, Asked::default());
    let mut out = Vec::new();
    writer.write(Event::Text("t".into()), &mut out);
    (0..20_000).for_each(|_| writer.write(found(), &mut out));
    writer.write(Event::End, &mut out);
    assert!(out.len() < 4 << 20, "{}", out.len());

    let mut tool = AnswerTool::new("answer");
    let mut told = Vec::new();
    tool.apply(Event::Text("t".into()), &mut told);
    (0..100).for_each(|_| tool.apply(found(), &mut told));
    assert!(!told.is_empty(), "a megabyte is more than is held back");
}
