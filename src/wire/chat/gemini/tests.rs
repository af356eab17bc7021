use super::super::request::*;
use super::super::*;
use super::signature;
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

fn tool(name: &str) -> Tool {
    let schema = Some(raw(&json!({"type": "object", "additionalProperties": false})));
    Tool { name: name.into(), description: Some("d".into()), schema, strict: None, free_text: false, cache: None }
}

fn hello() -> Request {
    Request { messages: vec![user(vec![Part::text("hi")])], ..Request::default() }
}

fn target() -> Target {
    Target { model: "gemini-2.5-flash".into(), ..Target::default() }
}

fn written(request: &Request, target: &Target) -> (Value, Vec<String>) {
    let written = write_request(Format::Gemini, request, target).unwrap();
    (serde_json::from_slice(&written.body).unwrap(), written.dropped)
}

#[test]
fn the_least_request_has_turns_alone() {
    let asked = Request { stream: true, model: "alias".into(), ..hello() };
    let (body, dropped) = written(&asked, &target());
    assert_eq!(body, json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}));
    assert!(dropped.is_empty());
}

#[test]
fn turns_become_contents() {
    let data = || Source::Data { media_type: "image/png".into(), data: "aGk=".into() };
    let pdf = Source::Data { media_type: "application/pdf".into(), data: "aGk=".into() };
    let text = |text: &str| Text { text: text.into(), cache: None };
    let request = Request {
        system: vec![text("one"), text("two")],
        messages: vec![
            user(vec![
                Part::text("look"),
                Part::text(""),
                Part::Image { source: data(), cache: None },
                Part::Document { name: Some("a.pdf".into()), source: pdf, cache: None },
                Part::Document { name: Some("a.txt".into()), source: Source::Text("said".into()), cache: None },
                Part::Audio { format: "mp3".into(), data: "aGk=".into() },
            ]),
            assistant(vec![
                Part::Thinking { text: "plain".into(), signature: None },
                Part::Thinking { text: "theirs".into(), signature: Some("c2ln".into()) },
                Part::Thinking { text: "own".into(), signature: Some("gts.c2ln".into()) },
                Part::RedactedThinking("x".into()),
                Part::text("well"),
                call("abc__ts_c2ln", "f", r#"{"z":1,"a":2}"#),
                call("call_1", "g", ""),
            ]),
            user(vec![
                Part::text("and?"),
                result("call_1", "gone", true),
                Part::ToolResult {
                    id: "abc__ts_c2ln".into(),
                    parts: vec![Part::text(r#"{"n":1.50}"#), Part::Image { source: data(), cache: None }],
                    is_error: false,
                    cache: None,
                },
            ]),
            assistant(vec![call("c3", "f", "{}")]),
            user(vec![result("c3", "[1]", false)]),
        ],
        ..Request::default()
    };
    let (body, dropped) = written(&request, &target());
    let picture = json!({"inlineData": {"mimeType": "image/png", "data": "aGk="}});
    assert_eq!(body["systemInstruction"], json!({"parts": [{"text": "one\n\ntwo"}]}));
    assert_eq!(
        body["contents"],
        json!([
            {"role": "user", "parts": [{"text": "look"}, picture,
                {"inlineData": {"mimeType": "application/pdf", "data": "aGk="}}, {"text": "a.txt\n\nsaid"},
                {"inlineData": {"mimeType": "audio/mp3", "data": "aGk="}}]},
            {"role": "model", "parts": [
                {"text": "own", "thought": true, "thoughtSignature": "c2ln"},
                {"text": "well"},
                {"functionCall": {"id": "abc", "name": "f", "args": {"z": 1, "a": 2}}, "thoughtSignature": "c2ln"},
                {"functionCall": {"id": "call_1", "name": "g", "args": {}}}]},
            {"role": "user", "parts": [
                {"functionResponse": {"id": "call_1", "name": "g", "response": {"error": "gone"}}},
                {"functionResponse": {"id": "abc", "name": "f", "response": {"n": 1.50}}},
                {"text": "and?"}, {"text": "[image from tool abc]"}, picture]},
            {"role": "model", "parts": [{"functionCall": {"id": "c3", "name": "f", "args": {}}}]},
            {"role": "user", "parts": [{"functionResponse": {"id": "c3", "name": "f", "response": {"output": "[1]"}}}]},
        ])
    );
    assert!(dropped.is_empty());
}

#[test]
fn newer_models_get_a_word_in_place_of_a_lost_signature() {
    let request = Request {
        messages: vec![user(vec![Part::text("q")]), assistant(vec![call("a", "f", "{}"), call("b", "f", "{}")])],
        ..Request::default()
    };
    for (model, wanted) in [
        ("gemini-1.5-pro", false),
        ("gemini-2.5-flash-lite", false),
        ("models/gemini-2.0-flash", false),
        ("gemini-3-pro-preview", true),
        ("gemini-3.1-flash", true),
        ("gemini-flash-latest", true),
        ("another", true),
    ] {
        let (body, _) = written(&request, &Target { model: model.into(), ..target() });
        let parts = &body["contents"][1]["parts"];
        let first = parts[0].get("thoughtSignature").and_then(Value::as_str);
        assert_eq!(first, wanted.then_some(signature::UNKNOWN), "{model}");
        assert_eq!(parts[1].get("thoughtSignature"), None, "the others of a turn have none: {model}");
    }
}

#[test]
fn a_user_begins_and_is_asked_on() {
    let request = Request { messages: vec![assistant(vec![Part::text("I")])], ..Request::default() };
    let opening = json!({"role": "user", "parts": [{"text": "."}]});
    let said = json!({"role": "model", "parts": [{"text": "I"}]});
    assert_eq!(written(&request, &target()).0["contents"], json!([opening, said]));
    let on = json!({"role": "user", "parts": [{"text": "Please continue."}]});
    let body = written(&request, &Target { prefill: false, ..target() }).0;
    assert_eq!(body["contents"], json!([opening, said, on]));
}

#[test]
fn every_option_has_its_place() {
    let request = Request {
        max_tokens: Some(100),
        temperature: Some(0.5),
        top_p: Some(0.9),
        top_k: Some(40),
        frequency_penalty: Some(0.1),
        presence_penalty: Some(-0.2),
        seed: Some(-7),
        stop: ["a", "b", "c", "d", "e"].map(String::from).to_vec(),
        output: Some(OutputFormat::Json),
        ..hello()
    };
    let (body, dropped) = written(&request, &target());
    assert_eq!(
        body["generationConfig"],
        json!({"maxOutputTokens": 100, "temperature": 0.5, "topP": 0.9, "topK": 40, "seed": -7,
            "stopSequences": ["a", "b", "c", "d", "e"], "frequencyPenalty": 0.1, "presencePenalty": -0.2,
            "responseMimeType": "application/json"})
    );
    assert!(dropped.is_empty());
    let mut more = request.stop.clone();
    more.push("f".into());
    let (body, dropped) = written(&Request { stop: more, seed: Some(1 << 40), ..request }, &target());
    assert_eq!(dropped, ["seed", "stop"]);
    assert_eq!(body["generationConfig"]["stopSequences"].as_array().unwrap().len(), 5);
    let capped = Target { max_tokens: MaxTokens { default: Some(7), ..MaxTokens::default() }, ..target() };
    assert_eq!(written(&hello(), &capped).0["generationConfig"], json!({"maxOutputTokens": 7}));
}

#[test]
fn tools_and_their_choice() {
    let text = Tool { free_text: true, description: None, ..tool("t") };
    let anything = Tool { schema: None, ..tool("u") };
    let with = |tool_choice| Request { tools: vec![tool("f"), text.clone(), anything.clone()], tool_choice, ..hello() };
    let (body, _) = written(&with(None), &target());
    assert_eq!(
        body["tools"],
        json!([{"functionDeclarations": [
            {"name": "f", "description": "d", "parametersJsonSchema": {"type": "object", "additionalProperties": false}},
            {"name": "t", "parametersJsonSchema": {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}},
            {"name": "u", "description": "d"},
        ]}])
    );
    assert_eq!(body.get("toolConfig"), None);
    for (choice, calling) in [
        (ToolChoice::Auto, json!({"mode": "AUTO"})),
        (ToolChoice::None, json!({"mode": "NONE"})),
        (ToolChoice::Required, json!({"mode": "ANY"})),
        (ToolChoice::Tool("u".into()), json!({"mode": "ANY", "allowedFunctionNames": ["u"]})),
    ] {
        let (body, dropped) = written(&with(Some(choice)), &target());
        assert_eq!((&body["toolConfig"]["functionCallingConfig"], dropped.len()), (&calling, 0));
    }
    let none = Request { tool_choice: Some(ToolChoice::Required), ..hello() };
    assert_eq!(written(&none, &target()).0.get("toolConfig"), None, "no tools, no choice");
}

#[test]
fn a_form_of_the_answer_is_a_schema_or_a_tool() {
    let schema = json!({"type": "object", "properties": {"b": {}, "a": {}}});
    let form = OutputFormat::Schema { name: "city".into(), description: None, schema: raw(&schema), strict: None };
    let request = Request { output: Some(form), ..hello() };
    let (body, _) = written(&request, &target());
    assert_eq!(body["generationConfig"], json!({"responseMimeType": "application/json", "responseJsonSchema": schema}));
    let plain = Target { structured_output: false, ..target() };
    let written = write_request(Format::Gemini, &request, &plain).unwrap();
    let body: Value = serde_json::from_slice(&written.body).unwrap();
    assert_eq!(written.answer_tool.as_deref(), Some("city"));
    assert_eq!(body["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"], schema);
    assert_eq!(body["toolConfig"]["functionCallingConfig"], json!({"mode": "ANY", "allowedFunctionNames": ["city"]}));
    assert_eq!(body.get("generationConfig"), None);
    let with_tools = Request { tools: vec![tool("f")], ..request };
    let written = write_request(Format::Gemini, &with_tools, &plain).unwrap();
    let body: Value = serde_json::from_slice(&written.body).unwrap();
    assert_eq!(body["toolConfig"]["functionCallingConfig"], json!({"mode": "ANY"}), "its own tools may be called too");
}

#[test]
fn thinking_follows_the_target() {
    use Reasoning::{Adaptive, Budget, Effort as Word, Off};
    let budget = |tokens: i64| json!({"thinkingBudget": tokens, "includeThoughts": true});
    let level = |word: &str| json!({"thinkingLevel": word, "includeThoughts": true});
    for (style, asked, config, lost) in [
        (ReasoningStyle::None, Word(Effort::Low), Value::Null, true),
        (ReasoningStyle::None, Off, Value::Null, false),
        (ReasoningStyle::Budget, Off, json!({"thinkingBudget": 0}), false),
        (ReasoningStyle::Budget, Budget(2000), budget(2000), false),
        (ReasoningStyle::Budget, Word(Effort::Medium), budget(4096), false),
        (ReasoningStyle::Adaptive, Adaptive(None), budget(-1), false),
        (ReasoningStyle::Effort, Word(Effort::Minimal), level("minimal"), false),
        (ReasoningStyle::Effort, Word(Effort::Max), level("high"), false),
        (ReasoningStyle::Effort, Budget(5000), level("medium"), false),
        (ReasoningStyle::Effort, Adaptive(None), json!({"includeThoughts": true}), false),
        (ReasoningStyle::Effort, Off, json!({"thinkingLevel": "low"}), true),
    ] {
        let request = Request { reasoning: Some(asked), ..hello() };
        let (body, dropped) = written(&request, &Target { reasoning: style, ..target() });
        let found = body["generationConfig"].get("thinkingConfig").unwrap_or(&Value::Null);
        assert_eq!((found, !dropped.is_empty()), (&config, lost), "{style:?} {asked:?}");
    }
}

#[test]
fn what_cannot_be_said_is_refused() {
    let picture = Part::Image { source: Source::Url("https://a/b".into()), cache: None };
    let paper = Part::Document { name: None, source: Source::Url("https://a/b".into()), cache: None };
    for (parts, code) in [
        (vec![picture], Some("unsupported_image_url")),
        (vec![paper], Some("unsupported_parameter")),
        (vec![result("nobody", "x", false)], None),
        (vec![Part::text("")], None),
        (vec![], None),
    ] {
        let request = Request { messages: vec![user(parts)], ..Request::default() };
        let refused = write_request(Format::Gemini, &request, &target()).unwrap_err();
        assert_eq!((refused.param.as_deref(), refused.code), (Some("messages"), code), "{request:?}");
    }
}

const STREAM: &str = concat!(
    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"hm\",\"thought\":true}],\"role\":\"model\"},\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":30,\"totalTokenCount\":34,\"thoughtsTokenCount\":4},\"modelVersion\":\"gemini-2.5-flash\",\"responseId\":\"aB-3_x\"}\r\n\r\n",
    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Gr\u{fc}\u{df}\"},{\"text\":\" dich\",\"thoughtSignature\":\"AAAA\"}],\"role\":\"model\"},\"index\":0},{\"content\":{\"parts\":[{\"text\":\"other\"}]},\"index\":1}]}\r\n\r\n",
    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"name\":\"f\",\"args\":{\"z\":1.50,\"a\":[]}},\"thoughtSignature\":\"+/8=\"},{\"functionCall\":{\"id\":\"x1\",\"name\":\"g\"}}],\"role\":\"model\"},\"index\":0}]}\r\n\r\n",
    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"\"}],\"role\":\"model\"},\"finishReason\":\"STOP\",\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":30,\"cachedContentTokenCount\":10,\"candidatesTokenCount\":6,\"thoughtsTokenCount\":4,\"toolUsePromptTokenCount\":5,\"totalTokenCount\":45}}\r\n\r\n",
);

fn events(body: &[u8], size: usize) -> Vec<Event> {
    let mut reader = stream_reader(Format::Gemini);
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
    assert_eq!(
        whole,
        [
            Event::Start {
                id: "aB-3_x".into(),
                model: "gemini-2.5-flash".into(),
                tokens: Tokens { input: 30, ..Tokens::default() }
            },
            Event::Thinking("hm".into()),
            Event::Text("Grüß".into()),
            Event::Text(" dich".into()),
            Event::ToolCall { id: "call_aB-3x_0__ts_-_8".into(), name: "f".into() },
            Event::Arguments(r#"{"z":1.50,"a":[]}"#.into()),
            Event::BlockEnd,
            Event::ToolCall { id: "x1".into(), name: "g".into() },
            Event::Arguments("{}".into()),
            Event::BlockEnd,
            Event::Stop { stop: Stop::ToolUse, sequence: None },
            Event::Tokens(Tokens { input: 25, cache_read: 10, output: 10, reasoning: 4, ..Tokens::default() }),
            Event::End,
        ]
    );
    for size in 1..80 {
        assert_eq!(events(STREAM.as_bytes(), size), whole, "{size}");
    }
}

#[test]
fn a_calls_signature_survives_the_way_to_the_client_and_back() {
    let Some(Ok(answer)) = collected(STREAM) else { panic!("an answer") };
    let ids: Vec<String> =
        answer.parts.iter().filter_map(|p| if let Part::ToolCall(c) = p { Some(c.id.clone()) } else { None }).collect();
    let results = ids.iter().map(|id| result(id, "ok", false)).collect();
    let request = Request {
        messages: vec![user(vec![Part::text("q")]), assistant(answer.parts), user(results)],
        ..Request::default()
    };
    let (body, _) = written(&request, &Target { model: "gemini-3-pro".into(), ..target() });
    let parts = body["contents"][1]["parts"].as_array().unwrap();
    assert_eq!(parts.len(), 3, "{body}");
    assert_eq!(parts[1]["thoughtSignature"], "+/8=");
    assert_eq!(parts[1]["functionCall"], json!({"id": "call_aB-3x_0", "name": "f", "args": {"z": 1.50, "a": []}}));
    assert_eq!(parts[2], json!({"functionCall": {"id": "x1", "name": "g", "args": {}}}));
    let names: Vec<&Value> =
        body["contents"][2]["parts"].as_array().unwrap().iter().map(|part| &part["functionResponse"]["id"]).collect();
    assert_eq!(names, ["call_aB-3x_0", "x1"]);
}

#[test]
fn a_thoughts_signature_survives_too() {
    let body = json!({"candidates": [{"content": {"parts": [{"text": "hm", "thought": true, "thoughtSignature": "c2ln"},
        {"text": "Hi"}]}, "finishReason": "STOP"}]});
    let answer = read_answer(Format::Gemini, body.to_string().as_bytes()).unwrap();
    let request =
        Request { messages: vec![user(vec![Part::text("q")]), assistant(answer.parts)], ..Request::default() };
    let parts = &written(&request, &target()).0["contents"][1]["parts"];
    assert_eq!(*parts, json!([{"text": "hm", "thought": true, "thoughtSignature": "c2ln"}, {"text": "Hi"}]));
}

#[test]
fn ids_carry_what_can_be_read_again() {
    for (id, proof, spelt) in [
        ("call_0", Some("c2lnbmF0dXJl"), "call_0__ts_c2lnbmF0dXJl"),
        ("a", Some("+/8="), "a__ts_-_8"),
        ("a", None, "a"),
        ("a", Some(""), "a"),
        ("a", Some("not base64!"), "a"),
    ] {
        let made = signature::into_id(id, proof);
        assert_eq!(made, spelt);
        let kept = proof.filter(|_| made.contains("__ts_")).map(str::to_owned);
        assert_eq!(signature::of_id(&made), (id, kept));
    }
    for foreign in ["toolu_01A__ts_", "call_x__ts_!!", "plain", ""] {
        assert_eq!(signature::of_id(foreign), (foreign, None));
    }
    assert!(signature::is_plain_id("function-call-12_a"));
    for odd in ["", "a b", "a__ts_c2ln", "ü", &"x".repeat(65)] {
        assert!(!signature::is_plain_id(odd), "{odd}");
    }
}

#[test]
fn reasons_to_stop() {
    for (reason, stop) in [
        ("STOP", Stop::End),
        ("MAX_TOKENS", Stop::Length),
        ("SAFETY", Stop::Filtered),
        ("RECITATION", Stop::Filtered),
        ("LANGUAGE", Stop::Filtered),
        ("BLOCKLIST", Stop::Filtered),
        ("PROHIBITED_CONTENT", Stop::Filtered),
        ("SPII", Stop::Filtered),
        ("IMAGE_SAFETY", Stop::Filtered),
        ("MALFORMED_FUNCTION_CALL", Stop::Malformed),
        ("UNEXPECTED_TOOL_CALL", Stop::Malformed),
        ("OTHER", Stop::End),
        ("BRAND_NEW", Stop::End),
    ] {
        let body = json!({"candidates": [{"finishReason": reason}]});
        assert_eq!(read_answer(Format::Gemini, body.to_string().as_bytes()).unwrap().stop, stop, "{reason}");
    }
    let blocked = r#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":9}}"#;
    let answer = read_answer(Format::Gemini, blocked.as_bytes()).unwrap();
    assert_eq!((answer.stop, answer.tokens.input, answer.parts.len()), (Stop::Filtered, 9, 0));
    let Some(Ok(streamed)) = collected(&format!("data: {blocked}\n\n")) else { panic!("an answer") };
    assert_eq!((streamed.stop, streamed.tokens.input), (Stop::Filtered, 9));
    for bad in ["", "[]", "{}", r#"{"error":{"code":400}}"#, "<html>"] {
        assert_eq!(read_answer(Format::Gemini, bad.as_bytes()), Err(Unreadable), "{bad}");
    }
}

#[test]
fn failures_and_breaks_in_the_middle_are_told_apart() {
    let begun = STREAM.find("data: {\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\"").unwrap();
    assert_eq!(collected(STREAM.split_at(begun).0), None, "broke off");
    let error = r#"data: {"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}"#;
    let Some(Err(failure)) = collected(&format!("{}{error}\n\n", STREAM.split_at(begun).0)) else {
        panic!("a failure")
    };
    assert_eq!((failure.kind, failure.code.as_deref()), (FailureKind::Overloaded, Some("UNAVAILABLE")));
    let with_noise = format!(": ping\n\ndata: <noise>\n\ndata: []\n\n{STREAM}");
    assert_eq!(collected(&with_noise), collected(STREAM));
}

#[test]
fn errors_are_told_by_their_status() {
    let body = |status: &str| json!({"error": {"code": 418, "message": "m", "status": status}}).to_string();
    for (status, kind) in [
        ("INVALID_ARGUMENT", FailureKind::BadRequest),
        ("FAILED_PRECONDITION", FailureKind::BadRequest),
        ("UNAUTHENTICATED", FailureKind::Auth),
        ("PERMISSION_DENIED", FailureKind::Permission),
        ("NOT_FOUND", FailureKind::NotFound),
        ("RESOURCE_EXHAUSTED", FailureKind::Rate),
        ("DEADLINE_EXCEEDED", FailureKind::Timeout),
        ("UNAVAILABLE", FailureKind::Overloaded),
        ("INTERNAL", FailureKind::Server),
    ] {
        let failure = read_failure(Format::Gemini, 200, None, body(status).as_bytes());
        assert_eq!((failure.kind, &*failure.message, failure.code.as_deref()), (kind, "m", Some(status)));
        let listed = read_failure(Format::Gemini, 200, None, format!("[{}]", body(status)).as_bytes());
        assert_eq!(listed, failure, "in a list");
    }
    let refused = json!({"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT",
        "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]}});
    assert_eq!(read_failure(Format::Gemini, 400, None, refused.to_string().as_bytes()).kind, FailureKind::Auth);
    let page = read_failure(Format::Gemini, 502, None, b"<html>bad gateway</html>");
    assert_eq!((page.kind, &*page.message), (FailureKind::Server, "<html>bad gateway</html>"));
}

proptest! {
    #[test]
    fn any_signature_comes_back(bytes in prop::collection::vec(any::<u8>(), 1..400)) {
        use base64::Engine;
        let proof = base64::engine::general_purpose::STANDARD.encode(bytes);
        let id = signature::into_id("call_r_0", Some(&proof));
        prop_assert!(id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        prop_assert_eq!(signature::of_id(&id), ("call_r_0", Some(proof)));
    }

    #[test]
    fn nothing_panics_and_chunks_do_not_matter(noise in prop::collection::vec(any::<u8>(), 0..200), at in 0..1200usize, size in 1..60usize) {
        let mut body = STREAM.as_bytes().to_vec();
        let at = at.min(body.len());
        body.splice(at..at, noise.iter().copied());
        prop_assert_eq!(events(&body, size), events(&body, body.len()));
        let _ = read_answer(Format::Gemini, &noise);
        let _ = read_failure(Format::Gemini, 500, None, &noise);
    }
}
