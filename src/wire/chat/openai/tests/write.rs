//! Requests for upstreams.

use crate::wire::chat::*;
use serde_json::{Value, json, value::RawValue};

fn written(request: &Request, target: &Target) -> (Value, Vec<String>) {
    let written = write_request(Format::OpenAiChat, request, target).expect("a request");
    (serde_json::from_slice(&written.body).expect("JSON"), written.dropped)
}

fn asking(messages: Vec<Message>) -> Request {
    Request { messages, ..Request::default() }
}

fn user(parts: Vec<Part>) -> Message {
    Message { role: Role::User, parts }
}

fn assistant(parts: Vec<Part>) -> Message {
    Message { role: Role::Assistant, parts }
}

fn hello() -> Vec<Message> {
    vec![user(vec![Part::text("hi")])]
}

fn call(id: &str, arguments: &str, free_text: bool) -> Part {
    Part::ToolCall(ToolCall { id: id.into(), name: "f".into(), arguments: arguments.into(), free_text, cache: None })
}

fn png() -> Source {
    Source::Data { media_type: "image/png".into(), data: "iVBORw==".into() }
}

fn tool(name: &str) -> Tool {
    Tool { name: name.into(), description: None, schema: None, strict: None, free_text: false, cache: None }
}

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.into()).expect("JSON")
}

#[test]
fn messages_are_written() {
    let marked = Part::Text { text: "a".into(), cache: Some(CacheMark::default()), citations: vec![] };
    let thought = Part::Thinking { text: "hm".into(), signature: Some("s".into()) };
    let mut request = asking(vec![
        user(vec![marked]),
        user(vec![Part::Image { source: png(), cache: None }]),
        assistant(vec![thought, Part::RedactedThinking("x".into()), Part::text("b"), Part::text("c")]),
        assistant(vec![call("t1", "{ \"x\" : \"a b\\\"\" }", false), call("t 2", "", false), call("t3", "free", true)]),
        user(vec![
            Part::ToolResult {
                id: "t1".into(),
                parts: vec![
                    Part::text("one"),
                    Part::Image { source: Source::Url("https://a/b".into()), cache: None },
                    Part::text("two"),
                ],
                is_error: true,
                cache: None,
            },
            Part::text("and?"),
            Part::ToolResult { id: "t 2".into(), parts: vec![], is_error: false, cache: None },
        ]),
        user(vec![]),
    ]);
    request.system = ["s1", "s2"].map(|text| Text { text: text.into(), cache: None }).into();
    let (body, dropped) = written(&request, &Target::default());
    let id = body["messages"][2]["tool_calls"][1]["id"].clone();
    assert!(id.as_str().is_some_and(|id| id.starts_with("call_") && id.len() == 29), "{id}");
    assert_eq!(
        body["messages"],
        json!([
            { "role": "system", "content": "s1\n\ns2" },
            { "role": "user", "content": [
                { "type": "text", "text": "a" },
                { "type": "image_url", "image_url": { "url": "data:image/png;base64,iVBORw==" } }] },
            { "role": "assistant", "content": "bc", "tool_calls": [
                { "id": "t1", "type": "function", "function": { "name": "f", "arguments": "{\"x\":\"a b\\\"\"}" } },
                { "id": id, "type": "function", "function": { "name": "f", "arguments": "{}" } },
                { "id": "t3", "type": "function", "function": { "name": "f", "arguments": "{\"input\":\"free\"}" } }] },
            { "role": "tool", "tool_call_id": "t1", "content": "[tool error] one\ntwo" },
            { "role": "tool", "tool_call_id": id, "content": "" },
            { "role": "user", "content": [
                { "type": "text", "text": "[image from tool t1]" },
                { "type": "image_url", "image_url": { "url": "https://a/b" } }] },
            { "role": "user", "content": "and?" },
        ])
    );
    assert_eq!(dropped, [""; 0]);
}

#[test]
fn documents_and_sound_are_written() {
    let document = |name: Option<&str>, source| Part::Document { name: name.map(Into::into), source, cache: None };
    let pdf = || Source::Data { media_type: "application/pdf".into(), data: "JVBERg==".into() };
    let request = asking(vec![user(vec![
        document(Some("a.pdf"), pdf()),
        document(None, pdf()),
        document(Some("Title"), Source::Text("words".into())),
        Part::Audio { format: "mp3".into(), data: "SUQz".into() },
    ])]);
    let file_data = "data:application/pdf;base64,JVBERg==";
    assert_eq!(
        written(&request, &Target::default()).0["messages"][0]["content"],
        json!([
            { "type": "file", "file": { "filename": "a.pdf", "file_data": file_data } },
            { "type": "file", "file": { "filename": "document.pdf", "file_data": file_data } },
            { "type": "text", "text": "Title\n\nwords" },
            { "type": "input_audio", "input_audio": { "data": "SUQz", "format": "mp3" } },
        ])
    );
    let by_url = asking(vec![user(vec![document(None, Source::Url("https://a/b.pdf".into()))])]);
    let refused = write_request(Format::OpenAiChat, &by_url, &Target::default()).expect_err("no URL");
    assert_eq!(refused.code, Some("unsupported_parameter"));
}

#[test]
fn what_the_model_cannot_see_or_read_is_refused() {
    let blind = Target { images: false, ..Target::default() };
    let request = asking(vec![user(vec![Part::Image { source: png(), cache: None }])]);
    let refused = write_request(Format::OpenAiChat, &request, &blind).expect_err("no picture");
    assert_eq!(refused.message, "This model does not support images.");
    let broken = asking(vec![assistant(vec![call("t", "{\"a\":", false)])]);
    assert!(write_request(Format::OpenAiChat, &broken, &Target::default()).is_err());
}

#[test]
fn turns_of_the_assistant() {
    let thought = || Part::Thinking { text: "hm".into(), signature: None };
    let request = asking(vec![user(vec![Part::text("a")]), assistant(vec![thought(), Part::text("b")])]);
    let target = Target { plain_reasoning: true, prefill: false, ..Target::default() };
    let (body, _) = written(&request, &target);
    assert_eq!(body["messages"][1], json!({ "role": "assistant", "content": "b", "reasoning_content": "hm" }));
    assert_eq!(body["messages"][2]["role"], "user");
    assert_eq!(written(&request, &Target::default()).0["messages"].as_array().map(Vec::len), Some(2));
    let only_calls = asking(vec![assistant(vec![call("t", "{}", false)]), user(vec![])]);
    let (body, _) = written(&only_calls, &Target::default());
    assert_eq!(body["messages"][0]["content"], Value::Null);
    let only_thought = asking(vec![assistant(vec![thought()])]);
    assert_eq!(written(&only_thought, &Target::default()).0["messages"][0]["content"], "");
}

#[test]
fn members_go_where_the_target_takes_them() {
    let request = Request {
        messages: hello(),
        max_tokens: Some(90),
        temperature: Some(0.5),
        top_p: Some(0.25),
        top_k: Some(4),
        frequency_penalty: Some(0.5),
        presence_penalty: Some(1.5),
        seed: Some(7),
        stop: ["a", "b", "c", "d", "e"].map(Into::into).into(),
        user: Some("u".into()),
        service_tier: Some("flex".into()),
        stream: true,
        tools: vec![tool("f")],
        tool_choice: Some(ToolChoice::Required),
        parallel_tool_calls: Some(false),
        foreign: vec!["speed".into()],
        ..Request::default()
    };
    let free = Target { model: "up".into(), top_k: true, ..Target::default() };
    let (mut body, dropped) = written(&request, &free);
    body.as_object_mut().expect("an object").remove("messages");
    assert_eq!(
        body,
        json!({
            "model": "up", "max_tokens": 90, "temperature": 0.5, "top_p": 0.25, "top_k": 4, "frequency_penalty": 0.5,
            "presence_penalty": 1.5, "seed": 7, "stop": ["a", "b", "c", "d"], "user": "u", "service_tier": "flex",
            "stream": true, "stream_options": { "include_usage": true }, "tool_choice": "required",
            "parallel_tool_calls": false,
            "tools": [{ "type": "function", "function":
                { "name": "f", "parameters": { "type": "object", "properties": {} } } }],
        })
    );
    assert_eq!(dropped, ["stop", "speed"]);

    let one_of = Target { sampling: Sampling::OneOf, ..Target::default() };
    let (body, dropped) = written(&request, &one_of);
    assert_eq!((&body["temperature"], &body["top_p"]), (&json!(0.5), &Value::Null));
    assert_eq!(dropped, ["top_p", "top_k", "stop", "speed"]);

    let reasoner = Target {
        sampling: Sampling::Fixed,
        reasoning: ReasoningStyle::Effort,
        max_tokens: MaxTokens { default: None, cap: Some(50), member: MaxTokensMember::MaxCompletionTokens },
        ..Target::default()
    };
    let (body, dropped) = written(&request, &reasoner);
    for gone in ["temperature", "top_p", "top_k", "stop", "frequency_penalty", "max_tokens", "user"] {
        assert_eq!(body[gone], Value::Null, "{gone}");
    }
    assert_eq!((&body["max_completion_tokens"], &body["safety_identifier"]), (&json!(50), &json!("u")));
    let all = ["temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty", "stop", "speed"];
    let mut sorted = dropped;
    sorted.sort();
    let mut wanted = all.to_vec();
    wanted.sort_unstable();
    assert_eq!(sorted, wanted);

    let usual = Request { temperature: Some(1.0), ..asking(hello()) };
    assert_eq!(written(&usual, &reasoner).1, [""; 0], "leaving out what is so anyway loses nothing");
    let refusing = Target { unsupported: Unsupported::Refuse, ..one_of };
    let refused = write_request(Format::OpenAiChat, &request, &refusing).expect_err("top_p");
    assert_eq!(refused.param.as_deref(), Some("top_p"));
}

#[test]
fn a_request_for_little_says_little() {
    let request = Request { tool_choice: Some(ToolChoice::Auto), parallel_tool_calls: Some(true), ..asking(hello()) };
    let (body, dropped) = written(&request, &Target { model: "up".into(), ..Target::default() });
    assert_eq!(body, json!({ "model": "up", "messages": [{ "role": "user", "content": "hi" }] }));
    assert_eq!(dropped, [""; 0]);
}

#[test]
fn thinking_in_the_target_s_words() {
    use Reasoning::{Adaptive, Budget, Effort as Word, Off};
    let effort = |word: &str| json!({ "reasoning_effort": word });
    let budget = |n: u64| json!({ "thinking": { "type": "enabled", "budget_tokens": n } });
    let adaptive = json!({ "type": "adaptive" });
    for (style, asked, wanted) in [
        (ReasoningStyle::None, Off, json!({})),
        (ReasoningStyle::Effort, Off, json!({})),
        (ReasoningStyle::Effort, Word(Effort::Minimal), effort("minimal")),
        (ReasoningStyle::Effort, Word(Effort::Max), effort("xhigh")),
        (ReasoningStyle::Effort, Budget(2048), effort("low")),
        (ReasoningStyle::Effort, Budget(8192), effort("medium")),
        (ReasoningStyle::Effort, Budget(8193), effort("high")),
        (ReasoningStyle::Effort, Adaptive(None), effort("medium")),
        (ReasoningStyle::Effort, Adaptive(Some(Effort::High)), effort("high")),
        (ReasoningStyle::Budget, Off, json!({ "thinking": { "type": "disabled" } })),
        (ReasoningStyle::Budget, Budget(5), budget(1024)),
        (ReasoningStyle::Budget, Word(Effort::High), budget(16_384)),
        (ReasoningStyle::Budget, Adaptive(None), budget(4096)),
        (ReasoningStyle::Adaptive, Adaptive(None), json!({ "thinking": adaptive })),
        (ReasoningStyle::Adaptive, Budget(9000), json!({ "thinking": adaptive, "reasoning_effort": "high" })),
    ] {
        let request = Request { reasoning: Some(asked), ..asking(hello()) };
        let (mut body, dropped) = written(&request, &Target { reasoning: style, ..Target::default() });
        let members = body.as_object_mut().expect("an object");
        members.retain(|name, _| name == "thinking" || name == "reasoning_effort");
        assert_eq!(body, wanted, "{style:?} {asked:?}");
        assert_eq!(dropped, [""; 0]);
    }
    let request = Request { reasoning: Some(Budget(2000)), max_tokens: Some(500), ..asking(hello()) };
    assert_eq!(written(&request, &Target::default()).1, ["reasoning_effort"]);
    let cap = MaxTokens { cap: Some(2400), ..MaxTokens::default() };
    let target = Target { reasoning: ReasoningStyle::Budget, max_tokens: cap, ..Target::default() };
    assert_eq!(written(&request, &target).0["max_tokens"], 2400);
}

#[test]
fn tools_are_written() {
    let mut request = asking(hello());
    request.tools = vec![
        Tool {
            schema: Some(raw("{\"z\":1,\"a\":1.0}")),
            strict: Some(true),
            description: Some("d".into()),
            ..tool("f")
        },
        Tool { free_text: true, ..tool("g") },
    ];
    request.tool_choice = Some(ToolChoice::Tool("g".into()));
    let sent = write_request(Format::OpenAiChat, &request, &Target::default()).expect("a request");
    let text = String::from_utf8(sent.body).expect("UTF-8");
    assert!(text.contains("\"parameters\":{\"z\":1,\"a\":1.0}"), "{text}");
    let body: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(body["tools"][0]["function"]["strict"], true);
    assert_eq!(body["tools"][0]["function"]["description"], "d");
    assert_eq!(body["tools"][1]["function"]["parameters"]["required"], json!(["input"]));
    assert_eq!(body["tool_choice"], json!({ "type": "function", "function": { "name": "g" } }));
}

#[test]
fn forms_of_answers() {
    let schema = || OutputFormat::Schema {
        name: "shape".into(),
        description: None,
        schema: raw("{\"type\":\"object\"}"),
        strict: Some(true),
    };
    let request = Request { output: Some(schema()), ..asking(hello()) };
    let (body, _) = written(&request, &Target::default());
    assert_eq!(
        body["response_format"],
        json!({ "type": "json_schema",
            "json_schema": { "name": "shape", "schema": { "type": "object" }, "strict": true } })
    );
    let simple = Target { structured_output: false, ..Target::default() };
    let forced = write_request(Format::OpenAiChat, &request, &simple).expect("a request");
    let body: Value = serde_json::from_slice(&forced.body).expect("JSON");
    assert_eq!(forced.answer_tool.as_deref(), Some("shape"));
    assert_eq!(body["tool_choice"]["function"]["name"], "shape");
    assert_eq!(body["tools"][0]["function"]["parameters"], json!({ "type": "object" }));
    assert_eq!(body["response_format"], Value::Null);

    let with_tools = Request { output: Some(schema()), tools: vec![tool("f")], ..asking(hello()) };
    assert_eq!(written(&with_tools, &simple).1, ["response_format"]);
    let json = Request { output: Some(OutputFormat::Json), ..asking(hello()) };
    assert_eq!(written(&json, &simple).0["response_format"], json!({ "type": "json_object" }));
}

#[test]
fn what_was_read_is_written_again() {
    let body = json!({
        "model": "m", "max_tokens": 5, "temperature": 0.5, "stop": ["x"], "seed": 3, "user": "u",
        "messages": [
            { "role": "system", "content": "s" },
            { "role": "user", "content": [{ "type": "text", "text": "a" },
                { "type": "image_url", "image_url": { "url": "https://a/b" } }] },
            { "role": "assistant", "content": null, "tool_calls": [
                { "id": "c", "type": "function", "function": { "name": "f", "arguments": "{\"b\":1,\"a\":2}" } }] },
            { "role": "tool", "tool_call_id": "c", "content": "r" }],
        "tools": [{ "type": "function", "function": { "name": "f", "parameters": { "type": "object" } } }],
        "tool_choice": "auto", "response_format": { "type": "json_object" },
    });
    let request = read_request(Format::OpenAiChat, body.to_string().as_bytes()).expect("a request");
    let (again, dropped) = written(&request, &Target { model: "m".into(), ..Target::default() });
    assert_eq!(again, body);
    assert_eq!(dropped, [""; 0]);
}
