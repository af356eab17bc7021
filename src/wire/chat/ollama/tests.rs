use super::super::request::*;
use super::super::*;
use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Value, json};

fn raw(value: &Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap()
}

fn user(parts: Vec<Part>) -> Message {
    Message { role: Role::User, parts }
}

fn assistant(parts: Vec<Part>) -> Message {
    Message { role: Role::Assistant, parts }
}

fn call(id: &str, name: &str, arguments: &str) -> Part {
    Part::ToolCall(ToolCall {
        id: id.into(),
        name: name.into(),
        arguments: arguments.into(),
        free_text: false,
        cache: None,
    })
}

fn result(id: &str, text: &str, is_error: bool) -> Part {
    Part::ToolResult { id: id.into(), parts: vec![Part::text(text)], is_error, cache: None }
}

fn picture(source: Source) -> Part {
    Part::Image { source, cache: None }
}

fn tool(name: &str) -> Tool {
    let schema = RawValue::from_string(r#"{"type":"object","properties":{"z":{},"a":{}}}"#.into()).ok();
    Tool { name: name.into(), description: Some("d".into()), schema, strict: None, free_text: false, cache: None }
}

fn hello() -> Request {
    Request { messages: vec![user(vec![Part::text("hi")])], ..Request::default() }
}

fn target() -> Target {
    Target { model: "qwen3:8b".into(), ..Target::default() }
}

fn written(request: &Request, target: &Target) -> (Value, Vec<String>) {
    let written = write_request(Format::Ollama, request, target).unwrap();
    (serde_json::from_slice(&written.body).unwrap(), written.dropped)
}

#[test]
fn the_least_request_says_that_it_is_no_stream() {
    let (body, dropped) = written(&hello(), &target());
    assert_eq!(body, json!({"model": "qwen3:8b", "messages": [{"role": "user", "content": "hi"}], "stream": false}));
    assert!(dropped.is_empty());
}

#[test]
fn turns_become_messages_of_one_text() {
    let data = Source::Data { media_type: "image/png".into(), data: "aGk=".into() };
    let text = |text: &str| Text { text: text.into(), cache: None };
    let request = Request {
        system: vec![text("one"), text("two")],
        messages: vec![
            user(vec![
                Part::text("look"),
                picture(data.clone()),
                Part::Document { name: Some("a.txt".into()), source: Source::Text("said".into()), cache: None },
            ]),
            assistant(vec![
                Part::Thinking { text: "hm".into(), signature: None },
                Part::Thinking { text: "theirs".into(), signature: Some("s".into()) },
                Part::text("well"),
                call("c1", "f", r#"{"z":1,"a":2}"#),
                call("c2", "g", ""),
            ]),
            user(vec![
                Part::text("and?"),
                result("c2", "gone", true),
                Part::ToolResult {
                    id: "c1".into(),
                    parts: vec![Part::text("1"), Part::text("2"), picture(data)],
                    is_error: false,
                    cache: None,
                },
            ]),
        ],
        stream: true,
        ..Request::default()
    };
    let (body, dropped) = written(&request, &Target { plain_reasoning: true, ..target() });
    assert_eq!(
        body["messages"],
        json!([
            {"role": "system", "content": "one\n\ntwo"},
            {"role": "user", "content": "look\na.txt\n\nsaid", "images": ["aGk="]},
            {"role": "assistant", "content": "well", "thinking": "hm", "tool_calls": [
                {"function": {"name": "f", "arguments": {"z": 1, "a": 2}}},
                {"function": {"name": "g", "arguments": {}}},
            ]},
            {"role": "tool", "content": "[tool error] gone", "tool_name": "g"},
            {"role": "tool", "content": "1\n2", "tool_name": "f"},
            {"role": "user", "content": "and?\n[image from tool c1]", "images": ["aGk="]},
        ])
    );
    assert_eq!((&body["stream"], dropped.len()), (&json!(true), 0));
    let (body, _) = written(&request, &target());
    assert_eq!(body["messages"][2].get("thinking"), None, "only where the target takes it back");
}

#[test]
fn every_option_has_its_place() {
    let request = Request {
        max_tokens: Some(9000),
        temperature: Some(0.5),
        top_p: Some(0.9),
        top_k: Some(40),
        frequency_penalty: Some(0.1),
        presence_penalty: Some(-0.2),
        seed: Some(-7),
        stop: vec!["a".into(), "b".into()],
        ..hello()
    };
    let capped = Target { max_tokens: MaxTokens { cap: Some(8000), ..MaxTokens::default() }, ..target() };
    let (body, dropped) = written(&request, &capped);
    assert_eq!(
        body["options"],
        json!({"num_predict": 8000, "temperature": 0.5, "top_p": 0.9, "top_k": 40, "stop": ["a", "b"], "seed": -7,
            "frequency_penalty": 0.1, "presence_penalty": -0.2})
    );
    assert!(dropped.is_empty());
    for (sampling, lost) in [(Sampling::OneOf, vec!["top_p"]), (Sampling::Fixed, vec!["temperature", "top_p", "top_k"])]
    {
        let (body, dropped) = written(&request, &Target { sampling, ..target() });
        assert_eq!(dropped, lost);
        assert!(lost.iter().all(|name| body["options"].get(name).is_none()), "{body}");
    }
}

#[test]
fn tools_are_offered_as_they_may_be_called() {
    let text = Tool { free_text: true, description: None, ..tool("t") };
    let anything = Tool { schema: None, ..tool("u") };
    let with = |tool_choice| Request { tools: vec![tool("f"), text.clone(), anything.clone()], tool_choice, ..hello() };
    let names = |choice| {
        let (body, dropped) = written(&with(choice), &target());
        let names: Vec<String> = body["tools"]
            .as_array()
            .map(|tools| tools.iter().map(|t| t["function"]["name"].as_str().unwrap().to_owned()).collect())
            .unwrap_or_default();
        (names.join(","), dropped.join(","))
    };
    let all = || "f,t,u".to_owned();
    assert_eq!(names(None), (all(), String::new()));
    assert_eq!(names(Some(ToolChoice::Auto)), (all(), String::new()));
    assert_eq!(names(Some(ToolChoice::None)), (String::new(), String::new()));
    assert_eq!(names(Some(ToolChoice::Required)), (all(), "tool_choice".into()));
    assert_eq!(names(Some(ToolChoice::Tool("t".into()))), ("t".into(), "tool_choice".into()));
    let written = write_request(Format::Ollama, &with(None), &target()).unwrap();
    let body = String::from_utf8(written.body).unwrap();
    assert!(body.contains(r#"{"type":"object","properties":{"z":{},"a":{}}}"#), "the schema keeps its order: {body}");
    assert!(body.contains(r#""name":"t","parameters":{"type":"object","properties":{"input":{"type":"string"}}"#));
    assert!(body.contains(r#""name":"u","description":"d","parameters":{"type":"object","properties":{}}"#));
}

#[test]
fn formats_and_thinking_follow_the_target() {
    let schema = OutputFormat::Schema {
        name: "n".into(),
        description: None,
        schema: raw(&json!({"type": "object"})),
        strict: Some(true),
    };
    let asked = |output| Request { output: Some(output), ..hello() };
    assert_eq!(written(&asked(OutputFormat::Json), &target()).0["format"], "json");
    assert_eq!(written(&asked(schema.clone()), &target()).0["format"], json!({"type": "object"}));
    let plain = Target { structured_output: false, ..target() };
    let (body, dropped) = written(&asked(schema), &plain);
    assert_eq!((&body["format"], dropped), (&json!("json"), vec!["response_format".to_owned()]));

    use Reasoning::{Adaptive, Budget, Effort as Word, Off};
    for (style, asked, think, lost) in [
        (ReasoningStyle::None, Word(Effort::Low), Value::Null, true),
        (ReasoningStyle::None, Off, Value::Null, false),
        (ReasoningStyle::Budget, Off, json!(false), false),
        (ReasoningStyle::Budget, Budget(2000), json!(true), false),
        (ReasoningStyle::Adaptive, Adaptive(None), json!(true), false),
        (ReasoningStyle::Effort, Off, json!(false), false),
        (ReasoningStyle::Effort, Word(Effort::Minimal), json!("low"), false),
        (ReasoningStyle::Effort, Adaptive(Some(Effort::Max)), json!("high"), false),
        (ReasoningStyle::Effort, Budget(5000), json!("medium"), false),
        (ReasoningStyle::Effort, Adaptive(None), json!(true), false),
    ] {
        let request = Request { reasoning: Some(asked), ..hello() };
        let (body, dropped) = written(&request, &Target { reasoning: style, ..target() });
        assert_eq!(
            (body.get("think").unwrap_or(&Value::Null), !dropped.is_empty()),
            (&think, lost),
            "{style:?} {asked:?}"
        );
    }
}

#[test]
fn what_cannot_be_said_is_named_or_refused() {
    let strict = Tool { strict: Some(true), ..tool("f") };
    let request = Request {
        tools: vec![strict],
        parallel_tool_calls: Some(false),
        user: Some("u".into()),
        service_tier: Some("flex".into()),
        foreign: vec!["logit_bias".into()],
        ..hello()
    };
    let names = ["parallel_tool_calls", "strict", "user", "service_tier", "logit_bias"];
    assert_eq!(written(&request, &target()).1, names);
    let refusing = Target { unsupported: Unsupported::Refuse, ..target() };
    let refused = write_request(Format::Ollama, &request, &refusing).unwrap_err();
    assert_eq!((refused.param.as_deref(), refused.code), (Some("parallel_tool_calls"), Some("unsupported_parameter")));
    assert!(written(&Request { service_tier: Some("auto".into()), ..hello() }, &target()).1.is_empty());

    let url = || Source::Url("https://a/b".into());
    let pdf = Source::Data { media_type: "application/pdf".into(), data: "aGk=".into() };
    let document = |source| Part::Document { name: None, source, cache: None };
    for (parts, code) in [
        (vec![picture(url())], Some("unsupported_image_url")),
        (vec![document(url())], Some("unsupported_parameter")),
        (vec![document(pdf)], Some("unsupported_parameter")),
        (vec![Part::Audio { format: "wav".into(), data: "aGk=".into() }], Some("unsupported_parameter")),
        (vec![result("nobody", "x", false)], None),
        (vec![], None),
    ] {
        let request = Request { messages: vec![user(parts)], ..Request::default() };
        let refused = write_request(Format::Ollama, &request, &target()).unwrap_err();
        assert_eq!((refused.param.as_deref(), refused.code), (Some("messages"), code), "{request:?}");
    }
    let bad = Request { messages: vec![assistant(vec![call("c", "f", "[1]")])], ..Request::default() };
    assert!(write_request(Format::Ollama, &bad, &target()).is_err());
    let blind = Target { images: false, ..target() };
    let data = Source::Data { media_type: "image/png".into(), data: "aGk=".into() };
    let request = Request { messages: vec![user(vec![picture(data)])], ..Request::default() };
    assert!(write_request(Format::Ollama, &request, &blind).is_err());
}

#[test]
fn a_turn_that_cannot_be_continued_is_asked_on() {
    let request = Request { messages: vec![assistant(vec![Part::text("I")])], ..Request::default() };
    assert_eq!(written(&request, &target()).0["messages"], json!([{"role": "assistant", "content": "I"}]));
    let body = written(&request, &Target { prefill: false, ..target() }).0;
    assert_eq!(body["messages"][1], json!({"role": "user", "content": "Please continue."}));
}

const STREAM: &str = concat!(
    r#"{"model":"qwen3:8b","created_at":"2026-11-21T10:04:31.123456789Z","message":{"role":"assistant","content":"","thinking":"hm "},"done":false}"#,
    "\n",
    r#"{"model":"qwen3:8b","created_at":"2026-11-21T10:04:32Z","message":{"role":"assistant","content":"","thinking":"so"},"done":false}"#,
    "\n",
    r#"{"model":"qwen3:8b","created_at":"2026-11-21T10:04:32Z","message":{"role":"assistant","content":"Gr\u00fc"},"done":false}"#,
    "\r\n",
    r#"{"model":"qwen3:8b","created_at":"2026-11-21T10:04:33Z","message":{"role":"assistant","content":"ße","tool_calls":[{"function":{"name":"f","arguments":{"z":1.50,"a":[]}}},{"id":"call_x","function":{"index":1,"name":"g","arguments":null}}]},"done":false}"#,
    "\n",
    r#"{"model":"qwen3:8b","created_at":"2026-11-21T10:04:33Z","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","total_duration":5043500667,"load_duration":5025959,"prompt_eval_count":26,"prompt_eval_duration":325953000,"eval_count":290,"eval_duration":4709213000}"#,
    "\n",
);

fn events(body: &[u8], size: usize) -> Vec<Event> {
    let mut reader = stream_reader(Format::Ollama);
    let mut out = Vec::new();
    for piece in body.chunks(size.max(1)) {
        reader.push(&Bytes::copy_from_slice(piece), &mut out);
    }
    reader.end(&mut out);
    out
}

fn collected(body: &str) -> Option<Result<Answer, Failure>> {
    let mut collector = Collector::default();
    events(body.as_bytes(), body.len()).into_iter().for_each(|event| collector.push(event));
    collector.finish()
}

#[test]
fn a_stream_is_read_however_it_was_cut() {
    let whole = events(STREAM.as_bytes(), STREAM.len());
    let time = "20261121T100431123456789Z";
    assert_eq!(
        whole,
        [
            Event::Start { id: String::new(), model: "qwen3:8b".into(), tokens: Tokens::default() },
            Event::Thinking("hm ".into()),
            Event::Thinking("so".into()),
            Event::Text("Grü".into()),
            Event::Text("ße".into()),
            Event::ToolCall { id: format!("call_{time}_0"), name: "f".into() },
            Event::Arguments(r#"{"z":1.50,"a":[]}"#.into()),
            Event::BlockEnd,
            Event::ToolCall { id: "call_x".into(), name: "g".into() },
            Event::Arguments("{}".into()),
            Event::BlockEnd,
            Event::Stop { stop: Stop::ToolUse, sequence: None },
            Event::Tokens(Tokens { input: 26, output: 290, ..Tokens::default() }),
            Event::End,
        ]
    );
    for size in 1..80 {
        assert_eq!(events(STREAM.as_bytes(), size), whole, "{size}");
    }
}

#[test]
fn a_whole_answer_is_read_as_its_stream() {
    let body = json!({"model": "m", "created_at": "", "message": {"role": "assistant", "content": "Hi",
        "thinking": "hm", "tool_calls": [{"function": {"name": "f", "arguments": "{\"a\":1}"}}]},
        "done": true, "done_reason": "stop", "prompt_eval_count": 3, "eval_count": 4});
    let answer = read_answer(Format::Ollama, body.to_string().as_bytes()).unwrap();
    let thinking = Part::Thinking { text: "hm".into(), signature: None };
    assert_eq!(answer.parts, [thinking, Part::text("Hi"), call("call_0", "f", r#"{"a":1}"#)]);
    assert_eq!((answer.stop, answer.tokens.input, answer.tokens.output), (Stop::ToolUse, 3, 4));
    for bad in ["", "[]", "{}", r#"{"error":"no such model"}"#, r#"{"models":[]}"#, "<html>"] {
        assert_eq!(read_answer(Format::Ollama, bad.as_bytes()), Err(Unreadable), "{bad}");
    }
}

#[test]
fn reasons_to_stop() {
    for (reason, stop) in [
        (json!("stop"), Stop::End),
        (json!("length"), Stop::Length),
        (json!("load"), Stop::End),
        (Value::Null, Stop::End),
    ] {
        let body = json!({"message": {"content": "x"}, "done": true, "done_reason": reason});
        assert_eq!(read_answer(Format::Ollama, body.to_string().as_bytes()).unwrap().stop, stop, "{reason}");
    }
}

#[test]
fn failures_and_breaks_in_the_middle_are_told_apart() {
    let cut = STREAM.find("Gr").unwrap();
    let begun = STREAM.split_at(cut).0.rfind('\n').unwrap() + 1;
    assert_eq!(collected(STREAM.split_at(begun).0), None, "broke off");
    for error in [r#"{"error":"model runner has crashed"}"#, r#"{"error":{"message":"model runner has crashed"}}"#] {
        let Some(Err(failure)) = collected(&format!("{}{error}", STREAM.split_at(begun).0)) else { panic!("{error}") };
        assert_eq!((failure.kind, &*failure.message), (FailureKind::Server, "model runner has crashed"));
    }
    assert!(matches!(collected(STREAM.trim_end()), Some(Ok(_))), "the last line needs no line feed");
    let with_noise = format!("\n<noise>\n[]\n{STREAM}{STREAM}");
    assert_eq!(
        collected(&with_noise),
        collected(STREAM),
        "what cannot be understood, and what follows the end, is left out"
    );
}

#[test]
fn a_line_over_the_limit_is_left_out_and_not_kept() {
    let giant = format!("{{\"message\":{{\"content\":\"{}\"}}}}\n{STREAM}", "x".repeat(2 << 20));
    let mut reader = stream_reader(Format::Ollama);
    let mut out = Vec::new();
    for piece in giant.as_bytes().chunks(1 << 16) {
        reader.push(&Bytes::copy_from_slice(piece), &mut out);
    }
    reader.end(&mut out);
    assert_eq!(out, events(STREAM.as_bytes(), STREAM.len()));
}

proptest! {
    #[test]
    fn nothing_panics_and_chunks_do_not_matter(noise in prop::collection::vec(any::<u8>(), 0..200), at in 0..1200usize, size in 1..60usize) {
        let mut body = STREAM.as_bytes().to_vec();
        let at = at.min(body.len());
        body.splice(at..at, noise.iter().copied());
        prop_assert_eq!(events(&body, size), events(&body, body.len()));
        let _ = read_answer(Format::Ollama, &noise);
    }
}
