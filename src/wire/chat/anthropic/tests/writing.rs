use super::super::super::{
    BadRequest, CacheMark, CachePoints, Effort, MaxTokens, Message, OutputFormat, Part, Reasoning, ReasoningStyle,
    Request, Role, Sampling, Source, Target, Text, Tool, ToolCall, ToolChoice, Written,
};
use super::{read, target};
use serde_json::value::RawValue;
use serde_json::{Value, json};

fn write(request: &Request, target: &Target) -> Result<(Value, Written), BadRequest> {
    let written = super::super::write_request(request, target)?;
    Ok((serde_json::from_slice(&written.body).unwrap(), written))
}

fn body(request: &Request) -> Value {
    write(request, &target()).unwrap().0
}

fn dropped(request: &Request, target: &Target) -> Vec<String> {
    write(request, target).unwrap().1.dropped
}

fn user(parts: Vec<Part>) -> Message {
    Message { role: Role::User, parts }
}

fn assistant(parts: Vec<Part>) -> Message {
    Message { role: Role::Assistant, parts }
}

fn hello() -> Request {
    talk(vec![user(vec![Part::text("Hi")])])
}

fn talk(messages: Vec<Message>) -> Request {
    Request { messages, ..Request::default() }
}

fn messages(parts: Vec<Message>) -> Value {
    body(&talk(parts))["messages"].take()
}

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.into()).unwrap()
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

fn result(id: &str, parts: Vec<Part>) -> Part {
    Part::ToolResult { id: id.into(), parts, is_error: false, cache: None }
}

fn tool(name: &str) -> Tool {
    Tool {
        name: name.into(),
        description: None,
        schema: Some(raw(r#"{"type":"object"}"#)),
        strict: None,
        free_text: false,
        cache: None,
    }
}

fn schema() -> Option<OutputFormat> {
    Some(OutputFormat::Schema {
        name: "my answer!".into(),
        description: Some("What is said.".into()),
        schema: raw(r#"{"z":1.0,"a":2}"#),
        strict: Some(true),
    })
}

#[test]
fn the_smallest_request() {
    let expected = json!({"model": "claude-x", "max_tokens": 4096, "messages": [{"role": "user", "content": "Hi"}]});
    assert_eq!(body(&hello()), expected);
}

#[test]
fn calls_results_and_a_question_are_two_turns_with_results_first() {
    // The results come as messages of their own, the question after them (transcript T2).
    let written = messages(vec![
        user(vec![Part::text("Weather and time in Paris?")]),
        assistant(vec![
            Part::text("Checking."),
            call("toolu_01A", "get_weather", r#"{"city":"Paris"}"#),
            call("toolu_01B", "get_time", ""),
        ]),
        user(vec![result("toolu_01A", vec![Part::text("18C")])]),
        user(vec![Part::text("Answer in French."), result("toolu_01B", vec![Part::text("14:05")])]),
    ]);
    let expected = json!([
        {"role": "user", "content": "Weather and time in Paris?"},
        {"role": "assistant", "content": [
            {"type": "text", "text": "Checking."},
            {"type": "tool_use", "id": "toolu_01A", "name": "get_weather", "input": {"city": "Paris"}},
            {"type": "tool_use", "id": "toolu_01B", "name": "get_time", "input": {}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "toolu_01A", "content": "18C"},
            {"type": "tool_result", "tool_use_id": "toolu_01B", "content": "14:05"},
            {"type": "text", "text": "Answer in French."},
        ]},
    ]);
    assert_eq!(written, expected);
}

#[test]
fn every_part_is_written() {
    let png = "iVBORw0KGgoAAAANSUhEUg==";
    let data = |kind: &str, data: &str| Source::Data { media_type: kind.into(), data: data.into() };
    let image = |source| Part::Image { source, cache: None };
    let document = |source| Part::Document { name: None, source, cache: None };
    for (part, expected) in [
        (
            image(data("image/png", png)),
            json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": png}}),
        ),
        // Told by its first bytes, whatever it is called.
        (
            image(data("image/jpeg", png)),
            json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": png}}),
        ),
        (
            image(data("image/jpg", "AAAA")),
            json!({"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "AAAA"}}),
        ),
        (
            image(Source::Url("https://x".into())),
            json!({"type": "image", "source": {"type": "url", "url": "https://x"}}),
        ),
        (
            Part::Document { name: Some("n".into()), source: data("application/pdf", "AAAA"), cache: None },
            json!({"type": "document", "title": "n", "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}}),
        ),
        (
            document(data("text/markdown", "aGk=")),
            json!({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hi"}}),
        ),
        (
            document(Source::Text("plain".into())),
            json!({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "plain"}}),
        ),
        (
            document(Source::Url("https://x".into())),
            json!({"type": "document", "source": {"type": "url", "url": "https://x"}}),
        ),
        (
            Part::ToolResult { id: "t".into(), parts: vec![], is_error: true, cache: Some(CacheMark::default()) },
            json!({"type": "tool_result", "tool_use_id": "t", "content": "", "is_error": true, "cache_control": {"type": "ephemeral"}}),
        ),
        (
            result("t", vec![Part::text("a"), image(Source::Url("https://x".into()))]),
            json!({"type": "tool_result", "tool_use_id": "t", "content": [
                {"type": "text", "text": "a"}, {"type": "image", "source": {"type": "url", "url": "https://x"}},
            ]}),
        ),
        (
            Part::Text { text: "c".into(), cache: Some(CacheMark { ttl: Some("1h".into()) }), citations: vec![] },
            json!({"type": "text", "text": "c", "cache_control": {"type": "ephemeral", "ttl": "1h"}}),
        ),
    ] {
        assert_eq!(messages(vec![user(vec![part])])[0]["content"], json!([expected]));
    }
}

#[test]
fn thinking_goes_back_only_with_its_proof() {
    let written = messages(vec![
        user(vec![Part::text("q")]),
        assistant(vec![
            Part::Thinking { text: "hm".into(), signature: Some("s".into()) },
            Part::Thinking { text: "bare".into(), signature: None },
            Part::RedactedThinking("AA".into()),
            Part::text("a"),
        ]),
        user(vec![Part::text("r")]),
    ]);
    let expected = json!([
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "redacted_thinking", "data": "AA"},
        {"type": "text", "text": "a"},
    ]);
    assert_eq!(written[1]["content"], expected);
}

#[test]
fn roles_alternate_and_the_user_begins() {
    let text = |text: &str| vec![Part::text(text)];
    let written = messages(vec![
        assistant(text("Welcome.")),
        user(text("a")),
        assistant(vec![Part::text("  \n")]),
        user(vec![]),
        user(text("b")),
    ]);
    let expected = json!([
        {"role": "user", "content": "."},
        {"role": "assistant", "content": "Welcome."},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
    ]);
    assert_eq!(written, expected);
    let empty = write(&talk(vec![user(vec![Part::text(" ")])]), &target()).unwrap_err();
    assert_eq!(empty.param.as_deref(), Some("messages"));
}

#[test]
fn what_the_assistant_began_is_continued_where_models_can() {
    let request = talk(vec![user(vec![Part::text("q")]), assistant(vec![Part::text(" The answer is \n")])]);
    let began = json!({"role": "assistant", "content": " The answer is"});
    assert_eq!(body(&request)["messages"], json!([{"role": "user", "content": "q"}, began]));
    let asked = json!([{"role": "user", "content": "q"}, began, {"role": "user", "content": "Please continue."}]);
    let cannot = Target { prefill: false, ..target() };
    assert_eq!(write(&request, &cannot).unwrap().0["messages"], asked);
    let thinks = Target { reasoning: ReasoningStyle::Adaptive, ..target() };
    let request = Request { reasoning: Some(Reasoning::Adaptive(None)), ..request };
    assert_eq!(write(&request, &thinks).unwrap().0["messages"], asked, "thinking cannot follow a beginning");
}

#[test]
fn ids_that_the_api_refuses_are_replaced_alike_in_calls_and_results() {
    let written = messages(vec![
        user(vec![Part::text("q")]),
        assistant(vec![call("a b", "f", "{}")]),
        user(vec![result("a b", vec![])]),
    ]);
    let id = written[1]["content"][0]["id"].as_str().unwrap();
    assert!(id.starts_with("call_") && id.len() == 29, "{id}");
    assert_eq!(written[2]["content"][0]["tool_use_id"], id);
}

#[test]
fn tools_are_written_as_objects() {
    let mut request = hello();
    let plain = |schema: Option<&str>| Tool { schema: schema.map(raw), ..tool("f") };
    request.tools = vec![
        Tool { description: Some("d".into()), strict: Some(true), cache: Some(CacheMark::default()), ..tool("a") },
        plain(None),
        plain(Some(r#"{"properties":{}}"#)),
        Tool { free_text: true, ..plain(None) },
    ];
    let expected = json!([
        {"name": "a", "description": "d", "input_schema": {"type": "object"}, "strict": true, "cache_control": {"type": "ephemeral"}},
        {"name": "f", "input_schema": {"type": "object", "properties": {}}},
        {"name": "f", "input_schema": {"type": "object", "properties": {}}},
        {"name": "f", "input_schema": {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}},
    ]);
    assert_eq!(body(&request)["tools"], expected);
    request.tools = vec![plain(Some(r#"{"type":"object","b":1.50,"a":2}"#))];
    let text = String::from_utf8(write(&request, &target()).unwrap().1.body).unwrap();
    assert!(text.contains(r#"{"type":"object","b":1.50,"a":2}"#), "{text}");
}

#[test]
fn the_text_of_a_free_text_call_is_its_input() {
    let mut free = call("a", "f", "SELECT 1");
    if let Part::ToolCall(call) = &mut free {
        call.free_text = true;
    }
    let written = messages(vec![user(vec![Part::text("q")]), assistant(vec![free]), user(vec![result("a", vec![])])]);
    assert_eq!(written[1]["content"][0]["input"], json!({"input": "SELECT 1"}));
}

#[test]
fn choices_of_tools_are_written() {
    use ToolChoice::{Auto, None as Never, Required};
    let named = ToolChoice::Tool("f".into());
    for (choice, parallel, expected) in [
        (None, None, Value::Null),
        (None, Some(true), Value::Null),
        (None, Some(false), json!({"type": "auto", "disable_parallel_tool_use": true})),
        (Some(Auto), None, json!({"type": "auto"})),
        (Some(Never), Some(false), json!({"type": "none"})),
        (Some(Required), Some(false), json!({"type": "any", "disable_parallel_tool_use": true})),
        (Some(named), None, json!({"type": "tool", "name": "f"})),
    ] {
        let request = Request { tools: vec![tool("f")], tool_choice: choice, parallel_tool_calls: parallel, ..hello() };
        assert_eq!(body(&request)["tool_choice"], expected);
    }
    let request = Request { tool_choice: Some(Required), parallel_tool_calls: Some(false), ..hello() };
    assert_eq!(body(&request)["tool_choice"], Value::Null, "there is nothing to choose from");
}

#[test]
fn tools_of_earlier_turns_are_listed_but_not_called() {
    let written = body(&talk(vec![
        user(vec![Part::text("q")]),
        assistant(vec![call("a", "f", "{}"), call("b", "f", "{}")]),
        user(vec![result("a", vec![]), result("b", vec![])]),
    ]));
    assert_eq!(written["tools"], json!([{"name": "f", "input_schema": {"type": "object"}}]));
    assert_eq!(written["tool_choice"], json!({"type": "none"}));
}

#[test]
fn sampling_is_written_as_far_as_the_model_takes_it() {
    let request = Request { temperature: Some(1.7), top_p: Some(0.9), top_k: Some(5), ..hello() };
    let neutral = Request { temperature: Some(1.0), top_p: Some(1.0), ..hello() };
    let cool = Request { temperature: Some(0.0), top_p: Some(0.9), ..hello() };
    let only_p = Request { top_p: Some(0.9), ..hello() };
    let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    for (sampling, request, expected, missing) in [
        (Sampling::Free, &request, json!([1.0, 0.9, 5]), names(&[])),
        (Sampling::Free, &cool, json!([0.0, 0.9, null]), names(&[])),
        (Sampling::OneOf, &request, json!([1.0, null, 5]), names(&["top_p"])),
        (Sampling::OneOf, &only_p, json!([null, 0.9, null]), names(&[])),
        (Sampling::OneOf, &neutral, json!([1.0, null, null]), names(&[])),
        (Sampling::Fixed, &cool, json!([null, null, null]), names(&["temperature", "top_p"])),
        (Sampling::Fixed, &request, json!([null, null, null]), names(&["top_p", "top_k"])),
        (Sampling::Fixed, &neutral, json!([null, null, null]), names(&[])),
    ] {
        let target = Target { sampling, ..target() };
        let (body, written) = write(request, &target).unwrap();
        assert_eq!(json!([body["temperature"], body["top_p"], body["top_k"]]), expected);
        assert_eq!(written.dropped, missing);
    }
    let thinks = Target { reasoning: ReasoningStyle::Adaptive, ..target() };
    let thinking = Request { reasoning: Some(Reasoning::Adaptive(None)), ..cool.clone() };
    assert_eq!(dropped(&thinking, &thinks), ["temperature", "top_p"]);
    let off = Request { reasoning: Some(Reasoning::Off), ..cool };
    assert_eq!(write(&off, &thinks).unwrap().0["temperature"], json!(0.0));
}

#[test]
fn reasoning_is_written_as_the_model_takes_it() {
    use Reasoning::{Adaptive, Budget, Off};
    let effort = Reasoning::Effort;
    let on = |tokens: u64| json!({"type": "enabled", "budget_tokens": tokens});
    let (adaptive, disabled, nothing) = (json!({"type": "adaptive"}), json!({"type": "disabled"}), Value::Null);
    let word = |word: &str| json!({"effort": word});
    /// Style, wish, most tokens asked for, thinking, output_config, max_tokens, dropped.
    type Case<'a> = (ReasoningStyle, Reasoning, Option<u64>, Value, Value, u64, &'a [&'a str]);
    let cases: [Case<'_>; 23] = [
        (ReasoningStyle::None, Off, None, nothing.clone(), Value::Null, 4096, &[]),
        (ReasoningStyle::None, effort(Effort::Low), None, nothing.clone(), Value::Null, 4096, &["reasoning_effort"]),
        (ReasoningStyle::None, Budget(2000), None, nothing.clone(), Value::Null, 4096, &["thinking"]),
        (ReasoningStyle::Budget, Off, None, disabled.clone(), Value::Null, 4096, &[]),
        (ReasoningStyle::Budget, effort(Effort::Minimal), Some(100), on(1024), Value::Null, 1124, &[]),
        (ReasoningStyle::Budget, effort(Effort::Low), None, on(1024), Value::Null, 4096, &[]),
        (ReasoningStyle::Budget, effort(Effort::Medium), None, on(4096), Value::Null, 8192, &[]),
        (ReasoningStyle::Budget, effort(Effort::High), Some(20_000), on(16_384), Value::Null, 20_000, &[]),
        (ReasoningStyle::Budget, effort(Effort::Max), Some(1000), on(32_768), Value::Null, 33_768, &[]),
        // The cap of the model is 40 000.
        (ReasoningStyle::Budget, effort(Effort::XHigh), Some(20_000), on(32_768), Value::Null, 40_000, &[]),
        (ReasoningStyle::Budget, Budget(50_000), Some(60_000), on(39_999), Value::Null, 40_000, &[]),
        (ReasoningStyle::Budget, Budget(5), Some(2000), on(1024), Value::Null, 2000, &[]),
        (ReasoningStyle::Budget, Adaptive(None), None, on(4096), Value::Null, 8192, &[]),
        (ReasoningStyle::Budget, Adaptive(Some(Effort::Low)), None, on(1024), Value::Null, 4096, &[]),
        (ReasoningStyle::Adaptive, Off, None, disabled, Value::Null, 4096, &[]),
        (ReasoningStyle::Adaptive, effort(Effort::Minimal), None, adaptive.clone(), word("low"), 4096, &[]),
        (ReasoningStyle::Adaptive, effort(Effort::XHigh), None, adaptive.clone(), word("xhigh"), 4096, &[]),
        (ReasoningStyle::Adaptive, Budget(2048), None, adaptive.clone(), word("low"), 4096, &[]),
        (ReasoningStyle::Adaptive, Budget(9000), None, adaptive.clone(), word("high"), 4096, &[]),
        (ReasoningStyle::Adaptive, Adaptive(None), None, adaptive.clone(), Value::Null, 4096, &[]),
        (ReasoningStyle::Adaptive, Adaptive(Some(Effort::Max)), None, adaptive, word("max"), 4096, &[]),
        (ReasoningStyle::Effort, effort(Effort::High), None, nothing.clone(), word("high"), 4096, &[]),
        (ReasoningStyle::Effort, Off, None, nothing, Value::Null, 4096, &["thinking"]),
    ];
    for (style, wish, asked, thinking, config, most, missing) in cases {
        let max_tokens = MaxTokens { cap: Some(40_000), ..MaxTokens::default() };
        let target = Target { reasoning: style, max_tokens, ..target() };
        let request = Request { reasoning: Some(wish), max_tokens: asked, ..hello() };
        let (body, written) = write(&request, &target).unwrap();
        let told = (&body["thinking"], &body["output_config"], &body["max_tokens"]);
        assert_eq!(told, (&thinking, &config, &json!(most)), "{style:?} {wish:?} {asked:?}");
        assert_eq!(written.dropped, missing, "{style:?} {wish:?}");
    }
}

#[test]
fn a_model_with_no_room_to_think_does_not() {
    let max_tokens = MaxTokens { cap: Some(1000), ..MaxTokens::default() };
    let target = Target { reasoning: ReasoningStyle::Budget, max_tokens, ..target() };
    let (body, written) = write(&Request { reasoning: Some(Reasoning::Budget(2000)), ..hello() }, &target).unwrap();
    assert_eq!((&body["thinking"], &body["max_tokens"]), (&Value::Null, &json!(1000)));
    assert_eq!(written.dropped, ["thinking"]);
}

#[test]
fn calls_made_without_thinking_cannot_be_followed_by_it() {
    let request = |proof: Option<&str>| Request {
        reasoning: Some(Reasoning::Effort(Effort::Low)),
        ..talk(vec![
            user(vec![Part::text("q")]),
            assistant(vec![
                Part::Thinking { text: "hm".into(), signature: proof.map(Into::into) },
                call("a", "f", "{}"),
            ]),
            user(vec![result("a", vec![])]),
        ])
    };
    let budget = Target { reasoning: ReasoningStyle::Budget, ..target() };
    assert_eq!(dropped(&request(None), &budget), ["reasoning_effort"]);
    assert!(dropped(&request(Some("sig")), &budget).is_empty());
    assert!(dropped(&request(None), &Target { reasoning: ReasoningStyle::Adaptive, ..target() }).is_empty());
}

#[test]
fn a_model_that_thinks_is_not_forced_to_call() {
    let request = Request {
        tools: vec![tool("f")],
        tool_choice: Some(ToolChoice::Required),
        reasoning: Some(Reasoning::Effort(Effort::Low)),
        ..hello()
    };
    let (body, written) = write(&request, &Target { reasoning: ReasoningStyle::Adaptive, ..target() }).unwrap();
    assert_eq!(body["tool_choice"], json!({"type": "auto"}));
    assert_eq!(written.dropped, ["tool_choice"]);
}

#[test]
fn a_schema_of_the_answer_is_sent_to_models_that_take_it() {
    let (body, written) = write(&Request { output: schema(), ..hello() }, &target()).unwrap();
    assert_eq!(body["output_config"], json!({"format": {"type": "json_schema", "schema": {"z": 1.0, "a": 2}}}));
    assert_eq!((written.answer_tool, written.dropped), (None, vec![]));
}

#[test]
fn elsewhere_a_tool_stands_in_for_the_answer() {
    let plain = Target { structured_output: false, reasoning: ReasoningStyle::Adaptive, ..target() };
    let answer = |name: &str| json!({"name": name, "description": "What is said.", "input_schema": {"z": 1.0, "a": 2, "type": "object"}});
    let forced = json!({"type": "tool", "name": "myanswer", "disable_parallel_tool_use": true});

    let (body, written) = write(&Request { output: schema(), ..hello() }, &plain).unwrap();
    assert_eq!((&body["tools"], &body["tool_choice"]), (&json!([answer("myanswer")]), &forced));
    assert_eq!((body["output_config"].clone(), written.answer_tool.as_deref()), (Value::Null, Some("myanswer")));

    // Forcing it leaves no thinking.
    let thinking = Request { output: schema(), reasoning: Some(Reasoning::Effort(Effort::Low)), ..hello() };
    assert_eq!(dropped(&thinking, &plain), ["reasoning_effort"]);

    // Beside other tools, one of all must be called.
    let f = json!({"name": "myanswer", "input_schema": {"type": "object"}});
    let beside = Request { output: schema(), tools: vec![tool("myanswer")], ..hello() };
    let (body, written) = write(&beside, &plain).unwrap();
    assert_eq!((&body["tools"], &body["tool_choice"]), (&json!([f, answer("myanswer_")]), &json!({"type": "any"})));
    assert_eq!(written.answer_tool.as_deref(), Some("myanswer_"));

    // But not where the client forbids the others, and there is no answer where it demands one of them.
    let never = Request { tool_choice: Some(ToolChoice::None), tools: vec![tool("f")], output: schema(), ..hello() };
    assert_eq!(write(&never, &plain).unwrap().0["tool_choice"], forced);
    let must = Request { tool_choice: Some(ToolChoice::Required), ..beside };
    let (body, written) = write(&must, &plain).unwrap();
    assert_eq!((&body["tool_choice"], written.answer_tool), (&json!({"type": "any"}), None));
}

#[test]
fn an_answer_in_json_is_asked_for_in_words() {
    let system = vec![Text { text: "Be kind.".into(), cache: None }, Text { text: " ".into(), cache: None }];
    let request = Request { output: Some(OutputFormat::Json), system, ..hello() };
    let (body, written) = write(&request, &target()).unwrap();
    let texts: Vec<&str> = body["system"].as_array().unwrap().iter().map(|b| b["text"].as_str().unwrap()).collect();
    assert_eq!(texts.len(), 2);
    assert_eq!(texts[0], "Be kind.");
    assert!(texts[1].contains("JSON object and nothing else"));
    assert_eq!(written.dropped, ["response_format"]);
}

#[test]
fn small_members_are_written_or_named() {
    let request = Request {
        stop: vec!["\n\n".into(), "END".into()],
        user: Some("u".into()),
        service_tier: Some("default".into()),
        stream: true,
        seed: Some(1),
        frequency_penalty: Some(0.0),
        presence_penalty: Some(0.5),
        max_tokens: Some(9000),
        ..hello()
    };
    let max_tokens = MaxTokens { cap: Some(8000), ..MaxTokens::default() };
    let (body, written) = write(&request, &Target { max_tokens, ..target() }).unwrap();
    assert_eq!(body["stop_sequences"], json!(["END"]));
    assert_eq!(body["metadata"], json!({"user_id": "u"}));
    assert_eq!(body["service_tier"], "standard_only");
    assert_eq!(body["stream"], true);
    assert_eq!(body["max_tokens"], 8000);
    assert_eq!(written.dropped, ["presence_penalty", "seed", "stop"]);
    for (tier, expected, missing) in
        [("auto", json!("auto"), 0), ("flex", Value::Null, 1), ("priority", Value::Null, 1)]
    {
        let (body, written) = write(&Request { service_tier: Some(tier.into()), ..hello() }, &target()).unwrap();
        assert_eq!((&body["service_tier"], written.dropped.len()), (&expected, missing));
    }
}

#[test]
fn cache_points_fill_what_the_clients_own_marks_leave() {
    let points = CachePoints { system: true, tools: true, messages: vec![0, -1, 7, -9] };
    let target = Target { cache_points: points, ..target() };
    let text = |text: &str, cache: Option<CacheMark>| Part::Text { text: text.into(), cache, citations: vec![] };
    let request = |cache: Option<CacheMark>| Request {
        system: vec![Text { text: "s".into(), cache: cache.clone() }],
        tools: vec![tool("f")],
        ..talk(vec![
            user(vec![text("a", cache.clone()), text("b", cache.clone())]),
            assistant(vec![text("c", cache)]),
            user(vec![Part::text("d")]),
        ])
    };
    let mark = json!({"type": "ephemeral"});
    let body = write(&request(None), &target).unwrap().0;
    let marked =
        [&body["tools"][0], &body["system"][0], &body["messages"][0]["content"][1], &body["messages"][2]["content"][0]];
    assert!(marked.iter().all(|place| place["cache_control"] == mark), "{body}");
    assert_eq!(body.to_string().matches("ephemeral").count(), 4);
    let body = write(&request(Some(CacheMark { ttl: Some("24h".into()) })), &target).unwrap().0;
    assert_eq!(body.to_string().matches("ephemeral").count(), 4, "the client's four are all there may be: {body}");
    assert_eq!(body["tools"][0].get("cache_control"), None);
}

#[test]
fn what_cannot_be_said_is_refused() {
    let audio = Part::Audio { format: "wav".into(), data: "AA==".into() };
    let data = |kind: &str| Source::Data { media_type: kind.into(), data: "/////w==".into() };
    let unsupported = Some("unsupported_parameter");
    for (part, code) in [
        (audio, unsupported),
        (Part::Image { source: data("image/tiff"), cache: None }, unsupported),
        (Part::Document { name: None, source: data("application/msword"), cache: None }, unsupported),
        (Part::Document { name: None, source: data("text/plain"), cache: None }, None),
        (call("a", "f", "{\"half"), None),
        (call("a", "f", "[1]"), None),
    ] {
        assert_eq!(write(&talk(vec![user(vec![part])]), &target()).unwrap_err().code, code);
    }
    let blind = Target { images: false, ..target() };
    let picture = Part::Image { source: Source::Url("https://x".into()), cache: None };
    let nested = talk(vec![user(vec![result("a", vec![picture.clone()])])]);
    for request in [talk(vec![user(vec![picture])]), nested] {
        assert_eq!(write(&request, &blind).unwrap_err().code, unsupported);
    }
}

#[test]
fn what_was_read_is_written_again() {
    let body = json!({
        "model": "claude-x", "max_tokens": 3000, "stream": true, "temperature": 0.5, "top_k": 4,
        "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object", "properties": {"a": {}}}, "strict": true}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
        "stop_sequences": ["END"], "metadata": {"user_id": "u"}, "service_tier": "standard_only",
        "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
        "messages": [
            {"role": "user", "content": [
                {"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": "R0lGODlhAQABAA=="}},
                {"type": "document", "title": "t", "source": {"type": "url", "url": "https://x/y.pdf"}},
                {"type": "text", "text": "q"},
            ]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "sig"},
                {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "is_error": true, "content": "no", "cache_control": {"type": "ephemeral"}},
                {"type": "text", "text": "again"},
            ]},
        ],
    });
    let request = read(&body).unwrap();
    let (again, written) = write(&request, &target()).unwrap();
    assert_eq!(again, body);
    assert!(written.dropped.is_empty());
}
