//! Requests of clients.
#![expect(clippy::needless_pass_by_value, reason = "bodies are written where they are used")]

use crate::wire::chat::*;
use serde_json::{Value, json};

fn read(mut body: Value) -> Result<Request, BadRequest> {
    let body = body.as_object_mut().expect("an object");
    body.entry("model").or_insert_with(|| "m".into());
    body.entry("messages").or_insert_with(|| json!([{ "role": "user", "content": "hi" }]));
    read_request(Format::OpenAiChat, &serde_json::to_vec(body).expect("JSON"))
}

fn good(body: Value) -> Request {
    read(body.clone()).unwrap_or_else(|bad| panic!("{body}: {bad:?}"))
}

fn said(messages: Value) -> Vec<Message> {
    good(json!({ "messages": messages })).messages
}

fn user_part(part: Value) -> Result<Part, BadRequest> {
    let request = read(json!({ "messages": [{ "role": "user", "content": [part] }] }))?;
    Ok(request.messages[0].parts[0].clone())
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

fn result(id: &str, text: &str) -> Part {
    Part::ToolResult { id: id.into(), parts: vec![Part::text(text)], is_error: false, cache: None }
}

#[test]
fn plain_members_are_read() {
    let request = good(json!({
        "model": "gpt", "max_completion_tokens": 9, "max_tokens": 7, "temperature": 0, "top_p": 0.5, "top_k": 3,
        "frequency_penalty": 0, "presence_penalty": -0.5, "seed": -4, "stop": "END", "user": "u",
        "safety_identifier": "s", "service_tier": "flex", "stream": true,
        "stream_options": { "include_usage": true, "include_obfuscation": true }, "parallel_tool_calls": false,
        "logprobs": false, "n": 1, "metadata": {}, "store": null, "logit_bias": {}, "modalities": ["text"],
        "verbosity": "medium"
    }));
    assert_eq!(request.model, "gpt");
    assert_eq!(request.max_tokens, Some(9));
    assert_eq!((request.temperature, request.top_p, request.top_k), (Some(0.0), Some(0.5), Some(3)));
    assert_eq!((request.frequency_penalty, request.presence_penalty), (None, Some(-0.5)));
    assert_eq!(request.seed, Some(-4));
    assert_eq!(request.stop, ["END"]);
    assert_eq!(request.user.as_deref(), Some("s"));
    assert_eq!(request.service_tier.as_deref(), Some("flex"));
    assert!(request.stream && request.wants_usage);
    assert_eq!(request.parallel_tool_calls, Some(false));
    assert_eq!(request.foreign, [""; 0]);
    assert_eq!(good(json!({ "max_tokens": 7.0 })).max_tokens, Some(7));
    assert_eq!(good(json!({ "stop": ["a", "", "b"] })).stop, ["a", "b"]);
}

#[test]
fn what_only_this_form_can_say_is_named() {
    for (body, name) in [
        (json!({ "logprobs": true }), "logprobs"),
        (json!({ "logit_bias": { "1": 2 } }), "logit_bias"),
        (json!({ "metadata": { "a": "b" } }), "metadata"),
        (json!({ "store": true }), "store"),
        (json!({ "verbosity": "low" }), "verbosity"),
        (json!({ "web_search_options": {} }), "web_search_options"),
        (json!({ "prediction": { "type": "content" } }), "prediction"),
        (json!({ "service_tier": "scale" }), "service_tier"),
        (json!({ "never_heard_of": 1 }), "never_heard_of"),
        (json!({ "stream_options": { "continuous_usage_stats": true } }), "stream_options.continuous_usage_stats"),
        (json!({ "messages": [{ "role": "user", "content": "a", "name": "Ann" }] }), "messages.name"),
        (json!({ "messages": [{ "role": "assistant", "content": "a", "audio": { "id": "x" } }] }), "messages.audio"),
        (
            json!({ "messages": [{ "role": "user", "content": [
                { "type": "image_url", "image_url": { "url": "https://a/b", "detail": "high" } }] }] }),
            "image_url.detail",
        ),
        (
            json!({ "tools": [{ "type": "custom", "custom": { "name": "f", "format": { "type": "grammar" } } }] }),
            "tools.custom.format",
        ),
    ] {
        assert_eq!(good(body).foreign, [name]);
    }
}

#[test]
fn foreign_names_are_few_and_fit_a_header() {
    let mut body = json!({ "a b": 1, "ünter": 1, "x\r\ny": 1 });
    body["l".repeat(65)] = 1.into();
    assert_eq!(good(body).foreign, [""; 0]);
    let body: serde_json::Map<_, _> = (0..100).map(|n| (format!("member_{n}"), 1.into())).collect();
    assert_eq!(good(body.into()).foreign.len(), 32);
}

#[test]
fn what_cannot_be_given_is_refused() {
    for (body, param, code) in [
        (json!({ "n": 2 }), "n", Some("unsupported_parameter")),
        (json!({ "best_of": 3 }), "best_of", Some("unsupported_parameter")),
        (json!({ "modalities": ["text", "audio"] }), "modalities", Some("unsupported_parameter")),
        (json!({ "tools": [{ "type": "web_search" }] }), "tools[0].type", Some("unsupported_parameter")),
        (json!({ "tools": [{ "type": "function", "function": {} }] }), "tools[0].function.name", None),
        (json!({ "tool_choice": "some" }), "tool_choice", None),
        (json!({ "temperature": "hot" }), "temperature", None),
        (json!({ "max_tokens": -1 }), "max_tokens", None),
        (json!({ "stream": 1 }), "stream", None),
        (json!({ "stop": [1] }), "stop[0]", None),
        (json!({ "model": "" }), "model", None),
        (json!({ "model": null }), "model", None),
        (json!({ "messages": [] }), "messages", None),
        (json!({ "messages": "hi" }), "messages", None),
        (json!({ "messages": [{ "role": "user", "content": "" }] }), "messages", None),
        (json!({ "messages": [{ "role": "robot", "content": "a" }] }), "messages[0].role", None),
        (json!({ "messages": [{ "role": "tool", "content": "a" }] }), "messages[0].tool_call_id", None),
        (json!({ "messages": [{ "role": "user", "content": 5 }] }), "messages[0].content", None),
        (json!({ "reasoning_effort": "hard" }), "reasoning_effort", None),
        (json!({ "response_format": { "type": "xml" } }), "response_format.type", None),
        (json!({ "response_format": { "type": "json_schema" } }), "response_format.json_schema", None),
        (
            json!({ "messages": [{ "role": "assistant", "tool_calls": [{ "id": "a", "function": {} }] }] }),
            "messages[0].tool_calls[0].function.name",
            None,
        ),
    ] {
        let bad = read(body.clone()).expect_err(&body.to_string());
        assert_eq!((bad.param.as_deref(), bad.code), (Some(param), code), "{body}");
    }
    for body in ["", "{", "[]", "\"a\"", "{\"model\":\"m\",}"] {
        let bad = read_request(Format::OpenAiChat, body.as_bytes()).expect_err(body);
        assert_eq!(bad.param, None, "{body}");
    }
}

#[test]
fn instructions_are_lifted_out_wherever_they_stand() {
    let request = good(json!({ "messages": [
        { "role": "system", "content": "one" },
        { "role": "user", "content": "hi" },
        { "role": "developer", "content": [
            { "type": "text", "text": "two", "cache_control": { "type": "ephemeral", "ttl": "1h" } },
            { "type": "text", "text": "" }] },
        { "role": "system", "content": "" },
    ] }));
    let two = Text { text: "two".into(), cache: Some(CacheMark { ttl: Some("1h".into()) }) };
    assert_eq!(request.system, [Text { text: "one".into(), cache: None }, two]);
    assert_eq!(request.messages, [user(vec![Part::text("hi")])]);
}

#[test]
fn tool_calls_and_their_results() {
    let messages = said(json!([
        { "role": "user", "content": "a" },
        { "role": "assistant", "content": null, "refusal": null, "annotations": [], "tool_calls": [
            { "id": "c1", "type": "function", "function": { "name": "f", "arguments": "{\"x\": 1e400}" } },
            { "id": "c2", "type": "function", "function": { "name": "g" } },
            { "id": "c3", "type": "custom", "custom": { "name": "h", "input": "free" } }] },
        { "role": "tool", "tool_call_id": "c1", "content": "18C" },
        { "role": "tool", "tool_call_id": "c2", "content": [{ "type": "text", "text": "ok" }] },
        { "role": "tool", "tool_call_id": "c3" },
    ]));
    let custom = Part::ToolCall(ToolCall {
        id: "c3".into(),
        name: "h".into(),
        arguments: "free".into(),
        free_text: true,
        cache: None,
    });
    let empty = Part::ToolResult { id: "c3".into(), parts: vec![], is_error: false, cache: None };
    assert_eq!(
        messages,
        [
            user(vec![Part::text("a")]),
            assistant(vec![call("c1", "f", "{\"x\": 1e400}"), call("c2", "g", ""), custom]),
            user(vec![result("c1", "18C")]),
            user(vec![result("c2", "ok")]),
            user(vec![empty]),
        ]
    );
}

#[test]
fn functions_of_old_get_ids() {
    let request = good(json!({
        "functions": [{ "name": "f", "parameters": { "b": 1, "a": 2 } }], "function_call": { "name": "f" },
        "messages": [
            { "role": "user", "content": "a" },
            { "role": "assistant", "content": null, "function_call": { "name": "f", "arguments": "{}" } },
            { "role": "function", "name": "f", "content": "1" },
            { "role": "assistant", "function_call": { "name": "f", "arguments": "{}" } },
            { "role": "function", "name": "f", "content": "2" }]
    }));
    assert_eq!(request.tool_choice, Some(ToolChoice::Tool("f".into())));
    assert_eq!(request.tools[0].name, "f");
    assert_eq!(request.messages[1], assistant(vec![call("call_fn_1", "f", "{}")]));
    assert_eq!(request.messages[2], user(vec![result("call_fn_1", "1")]));
    assert_eq!(request.messages[4], user(vec![result("call_fn_2", "2")]));
    assert_eq!(request.foreign, [""; 0]);
}

#[test]
fn schemas_keep_their_order_and_numbers() {
    let body = br#"{"model":"m","messages":[{"role":"user","content":"a"}],"tools":[{"type":"function","function":
        {"name":"f","description":"d","strict":true,"parameters":{"z":1.0,"a":1e400}}}]}"#;
    let request = read_request(Format::OpenAiChat, body).expect("a request");
    let tool = &request.tools[0];
    assert_eq!(tool.schema.as_ref().map(|raw| raw.get()), Some("{\"z\":1.0,\"a\":1e400}"));
    assert_eq!((tool.strict, tool.description.as_deref()), (Some(true), Some("d")));
}

#[test]
fn choices_of_tools() {
    for (choice, wanted) in [
        (json!("auto"), ToolChoice::Auto),
        (json!("none"), ToolChoice::None),
        (json!("required"), ToolChoice::Required),
        (json!({ "type": "function", "function": { "name": "b" } }), ToolChoice::Tool("b".into())),
        (json!({ "type": "custom", "custom": { "name": "c" } }), ToolChoice::Tool("c".into())),
        (json!({ "type": "auto" }), ToolChoice::Auto),
    ] {
        assert_eq!(good(json!({ "tool_choice": choice })).tool_choice, Some(wanted));
    }
    let tool = |name: &str| json!({ "type": "function", "function": { "name": name } });
    let request = good(json!({
        "tools": [tool("a"), { "type": "custom", "custom": { "name": "b" } }, tool("c")],
        "tool_choice": { "type": "allowed_tools", "allowed_tools": { "mode": "required", "tools": [
            tool("c"), { "type": "custom", "custom": { "name": "b" } }] } }
    }));
    assert_eq!(request.tool_choice, Some(ToolChoice::Required));
    let names: Vec<_> = request.tools.iter().map(|tool| (tool.name.as_str(), tool.free_text)).collect();
    assert_eq!(names, [("b", true), ("c", false)]);
}

#[test]
fn pictures_files_and_sound() {
    let data = |media_type: &str, data: &str| Source::Data { media_type: media_type.into(), data: data.into() };
    let image = |source| Part::Image { source, cache: None };
    let document = |name: Option<&str>, source| Part::Document { name: name.map(Into::into), source, cache: None };
    let url = |url: &str| json!({ "type": "image_url", "image_url": { "url": url } });
    let file = |name: &str, data: &str| json!({ "type": "file", "file": { "filename": name, "file_data": data } });
    let doc = |format: &str, bytes: Value| json!({ "type": "doc", "doc": { "name": "d", "format": format, "size": 3, "source": { "bytes": bytes } } });
    for (part, wanted) in [
        (url("data:image/PNG;base64,iVBORw"), image(data("image/png", "iVBORw=="))),
        (url("data:image/jpg;base64,_9j_"), image(data("image/jpeg", "/9j/"))),
        (url("data:;base64,iVBO\r\n Rw=="), image(data("image/png", "iVBORw=="))),
        (url("https://a.b/c.png"), image(Source::Url("https://a.b/c.png".into()))),
        (json!({ "type": "image_url", "image_url": "http://a/b" }), image(Source::Url("http://a/b".into()))),
        (
            file("a.pdf", "data:application/pdf;base64,JVBERg=="),
            document(Some("a.pdf"), data("application/pdf", "JVBERg==")),
        ),
        (file("a.csv", "YSxi"), document(Some("a.csv"), data("text/csv", "YSxi"))),
        (file("a", "JVBERg"), document(Some("a"), data("application/pdf", "JVBERg=="))),
        (file("a.txt", "data:text/plain;base64,aGk="), document(Some("a.txt"), Source::Text("hi".into()))),
        (file("a.png", "data:image/png;base64,iVBORw"), image(data("image/png", "iVBORw=="))),
        (doc("pdf", json!({ "0": 37, "2": 68, "1": 80 })), document(Some("d"), data("application/pdf", "JVBE"))),
        (doc("md", json!([35, 32, 97])), document(Some("d"), data("text/markdown", "IyBh"))),
        (doc("txt", json!("aGk")), document(Some("d"), Source::Text("hi".into()))),
        (
            json!({ "type": "input_audio", "input_audio": { "data": "UklGRg", "format": "wav" } }),
            Part::Audio { format: "wav".into(), data: "UklGRg==".into() },
        ),
        (json!({ "type": "refusal", "refusal": "no" }), Part::text("no")),
        (
            json!({ "type": "text", "text": "a", "prompt_cache_breakpoint": { "mode": "explicit", "ttl": "30m" } }),
            Part::Text { text: "a".into(), cache: Some(CacheMark { ttl: None }), citations: vec![] },
        ),
    ] {
        assert_eq!(user_part(part.clone()), Ok(wanted), "{part}");
    }
    for (part, param) in [
        (url("data:image/png;base64,$$"), "image_url.url"),
        (url("data:image/png,abc"), "image_url.url"),
        (url("data:text/plain;base64,aGk="), "image_url.url"),
        (url("nothing"), "image_url.url"),
        (json!({ "type": "image_url" }), "image_url"),
        (json!({ "type": "video_url" }), "type"),
        (json!({ "type": "file", "file": { "file_id": "f1" } }), "file.file_id"),
        (json!({ "type": "file", "file": {} }), "file.file_data"),
        (doc("exe", json!([1])), "doc.format"),
        (doc("pdf", json!([256])), "doc.source.bytes"),
        (doc("pdf", json!({ "0": 1, "7": 2 })), "doc.source.bytes"),
        (doc("pdf", json!({})), "doc.source.bytes"),
    ] {
        let bad = user_part(part.clone()).expect_err(&part.to_string());
        assert_eq!(bad.param, Some(format!("messages[0].content[0].{param}")), "{part}");
    }
}

#[test]
fn thinking_comes_back() {
    let block = json!({ "type": "thinking", "thinking": "hm", "signature": "s" });
    let redacted = json!({ "type": "redacted_thinking", "data": "x" });
    let signed = Part::Thinking { text: "hm".into(), signature: Some("s".into()) };
    let plain = Part::Thinking { text: "hm".into(), signature: None };
    for (message, thought) in [
        (json!({ "reasoning_content": "hm" }), vec![plain.clone()]),
        (json!({ "reasoning": "hm" }), vec![plain]),
        (
            json!({ "reasoning_content": "hm", "thinking_blocks": [block, redacted] }),
            vec![signed, Part::RedactedThinking("x".into())],
        ),
    ] {
        let mut message = message;
        message["role"] = "assistant".into();
        message["content"] = "so".into();
        let mut wanted = thought;
        wanted.push(Part::text("so"));
        assert_eq!(said(json!([message])), [assistant(wanted)]);
    }
}

#[test]
fn how_much_to_think() {
    for (body, wanted) in [
        (json!({}), None),
        (json!({ "reasoning_effort": "none" }), Some(Reasoning::Off)),
        (json!({ "reasoning_effort": "xhigh" }), Some(Reasoning::Effort(Effort::XHigh))),
        (json!({ "thinking": { "type": "enabled", "budget_tokens": 2000 } }), Some(Reasoning::Budget(2000))),
        (json!({ "thinking": { "type": "enabled" } }), Some(Reasoning::Budget(1024))),
        (json!({ "thinking": { "type": "disabled" }, "reasoning_effort": "high" }), Some(Reasoning::Off)),
        (
            json!({ "thinking": { "type": "adaptive" }, "reasoning_effort": "low" }),
            Some(Reasoning::Adaptive(Some(Effort::Low))),
        ),
    ] {
        assert_eq!(good(body).reasoning, wanted);
    }
}

#[test]
fn forms_of_answers() {
    assert!(good(json!({ "response_format": { "type": "text" } })).output.is_none());
    assert!(matches!(good(json!({ "response_format": { "type": "json_object" } })).output, Some(OutputFormat::Json)));
    let schema = json!({ "name": "n", "schema": { "type": "object" }, "strict": true });
    let request = good(json!({ "response_format": { "type": "json_schema", "json_schema": schema } }));
    let Some(OutputFormat::Schema { name, schema, strict, description }) = request.output else { panic!("a schema") };
    assert_eq!((name.as_str(), schema.get(), strict, description), ("n", "{\"type\":\"object\"}", Some(true), None));
}

#[test]
fn half_a_character_is_no_reason_to_refuse() {
    let body = br#"{"model":"m","messages":[{"role":"user","content":"a\ud83d"}]}"#;
    let request = read_request(Format::OpenAiChat, body).expect("a request");
    assert_eq!(request.messages, [user(vec![Part::text("a\u{fffd}")])]);
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let _read = read_request(Format::OpenAiChat, &body);
    }

    /// Values of every kind in every place.
    #[test]
    fn any_values_are_read_or_refused(
        which in 0..22_usize, role in "(user|assistant|tool|system|function)", value in 0..9_usize,
        inner in 0..9_usize, name in "(type|url|name|text|function|custom|bytes|source|doc|file|content|image_url)",
    ) {
        let values = |inner: Value| [
            Value::Null, json!(true), json!(-1), json!(0.5), json!(""), json!("text"), json!([inner]),
            json!({ name.as_str(): inner }), json!([{ "type": name, name.as_str(): inner }]),
        ];
        let value = values(values(Value::Null)[inner].clone())[value].clone();
        let members = [
            "tools", "tool_choice", "functions", "function_call", "stop", "thinking", "response_format", "modalities",
            "stream_options", "reasoning_effort", "temperature", "seed", "n",
        ];
        let mut message = json!({ "role": role, "content": "a", "tool_call_id": "x" });
        let mut body = json!({});
        let of_message = [
            "content", "tool_calls", "function_call", "thinking_blocks", "reasoning_content", "cache_control", "name",
            "refusal", "tool_call_id",
        ];
        match members.get(which) {
            Some(member) => body[*member] = value,
            None => message[of_message[which - members.len()]] = value,
        }
        body["messages"] = json!([message]);
        let _read = read(body);
    }
}
