//! Requests as clients send them.

use super::super::{echo, read_request, sealed};
use crate::wire::chat::{
    BadRequest, CacheMark, Effort, Message, OutputFormat, Part, Reasoning, Request, Role, Source, ToolCall, ToolChoice,
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn body(more: &Value) -> Vec<u8> {
    let mut body = json!({"model": "m", "input": "Hi"});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    serde_json::to_vec(&body).unwrap()
}

fn read(more: &Value) -> Request {
    read_request(&body(more)).unwrap()
}

fn refused(more: &Value) -> BadRequest {
    read_request(&body(more)).unwrap_err()
}

fn turns(items: &Value) -> Vec<Message> {
    read(&json!({ "input": items })).messages
}

fn user(parts: Vec<Part>) -> Message {
    Message { role: Role::User, parts }
}

fn assistant(parts: Vec<Part>) -> Message {
    Message { role: Role::Assistant, parts }
}

fn call(id: &str, arguments: &str, free_text: bool) -> Part {
    Part::ToolCall(ToolCall { id: id.into(), name: "f".into(), arguments: arguments.into(), free_text, cache: None })
}

fn result(id: &str, parts: Vec<Part>) -> Part {
    Part::ToolResult { id: id.into(), parts, is_error: false, cache: None }
}

fn content(part: &Value) -> Part {
    turns(&json!([{"role": "user", "content": [part]}])).remove(0).parts.remove(0)
}

#[test]
fn the_plain_members_are_read() {
    let request = read(&json!({
        "instructions": "Be brief.", "max_output_tokens": 7, "temperature": 0.5, "top_p": 0.25, "stream": true,
        "parallel_tool_calls": false, "service_tier": "flex", "user": "u", "store": false, "truncation": "disabled",
        "metadata": {"a": "b"}, "include": ["reasoning.encrypted_content"], "top_logprobs": 0,
        "stream_options": {"include_obfuscation": false}, "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "reasoning": {"summary": "auto", "effort": "high"}, "previous_response_id": null, "background": false,
    }));
    assert_eq!(request.model, "m");
    assert_eq!(request.system[0].text, "Be brief.");
    assert_eq!(request.messages, [user(vec![Part::text("Hi")])]);
    assert_eq!((request.max_tokens, request.temperature, request.top_p), (Some(7), Some(0.5), Some(0.25)));
    assert_eq!((request.parallel_tool_calls, request.stream), (Some(false), true));
    assert_eq!((request.service_tier.as_deref(), request.user.as_deref()), (Some("flex"), Some("u")));
    assert_eq!(request.reasoning, Some(Reasoning::Effort(Effort::High)));
    assert!(request.output.is_none());
    assert_eq!(request.foreign, Vec::<String>::new());
    assert!(request.wants_usage);
    assert_eq!(read(&json!({"safety_identifier": "s", "user": "u"})).user.as_deref(), Some("s"));
    assert_eq!(read(&json!({"reasoning": {"effort": "none"}})).reasoning, Some(Reasoning::Off));
}

#[test]
fn what_no_other_api_knows_is_named() {
    let cases = [
        (json!({"store": true}), "store"),
        (json!({"truncation": "auto"}), "truncation"),
        (json!({"top_logprobs": 3}), "top_logprobs"),
        (json!({"include": ["message.output_text.logprobs"]}), "include"),
        (json!({"text": {"verbosity": "low"}}), "text.verbosity"),
        (json!({"reasoning": {"mode": "pro"}}), "reasoning.mode"),
        (json!({"reasoning": {"context": "all_turns"}}), "reasoning.context"),
        (json!({"prompt_cache_key": "k"}), "prompt_cache_key"),
        (json!({"max_tool_calls": 3}), "max_tool_calls"),
        (json!({"stop": ["x"]}), "stop"),
        (json!({"nobody_knows": 1}), "nobody_knows"),
        (json!({"tools": [{"type": "custom", "name": "f", "format": {"type": "grammar"}}]}), "tools.format"),
        (json!({"tools": [{"type": "function", "name": "f", "defer_loading": true}]}), "tools.defer_loading"),
    ];
    for (more, name) in cases {
        assert_eq!(read(&more).foreign, [name], "{more}");
    }
}

#[test]
fn what_cannot_be_given_is_refused_by_name() {
    let unsupported = [
        (json!({"previous_response_id": "resp_1"}), "previous_response_id"),
        (json!({"conversation": "conv_1"}), "conversation"),
        (json!({"prompt": {"id": "p"}}), "prompt"),
        (json!({"background": true}), "background"),
        (json!({"tools": [{"type": "web_search"}]}), "tools[0].type"),
        (json!({"tools": [{"type": "function", "name": "f"}, {"type": "mcp"}]}), "tools[1].type"),
        (json!({"tool_choice": {"type": "file_search"}}), "tool_choice.type"),
        (json!({"input": [{"type": "item_reference", "id": "x"}]}), "input[0]"),
        (json!({"input": [{"type": "web_search_call", "id": "x"}]}), "input[0].type"),
        (json!({"input": [{"role": "user", "content": [{"type": "video"}]}]}), "input[0].content[0].type"),
        (
            json!({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]}),
            "input[0].content[0].file_id",
        ),
        (json!({"text": {"format": {"type": "xml"}}}), "text.format.type"),
    ];
    for (more, param) in unsupported {
        let refusal = refused(&more);
        assert_eq!((refusal.param.as_deref(), refusal.code), (Some(param), Some("unsupported_parameter")), "{more}");
    }
    let wrong = [
        (json!({"model": null}), "model"),
        (json!({"input": null}), "input"),
        (json!({"input": ""}), "input"),
        (json!({"input": []}), "input"),
        (json!({"input": 3}), "input"),
        (json!({"input": [{"role": "system", "content": "only this"}]}), "input"),
        (json!({"input": ["x"]}), "input[0]"),
        (json!({"input": [{"content": "x"}]}), "input[0].type"),
        (json!({"input": [{"role": "robot", "content": "x"}]}), "input[0].role"),
        (json!({"input": [{"role": "user"}]}), "input[0].content"),
        (json!({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}), "input[0].content[0].text"),
        (json!({"input": [{"type": "function_call", "name": "f"}]}), "input[0].call_id"),
        (json!({"max_output_tokens": -1}), "max_output_tokens"),
        (json!({"temperature": "hot"}), "temperature"),
        (json!({"instructions": [1]}), "instructions"),
        (json!({"reasoning": {"effort": "titanic"}}), "reasoning.effort"),
        (json!({"text": {"format": {"type": "json_schema", "name": "n"}}}), "text.format.schema"),
        (json!({"tools": [{"type": "function"}]}), "tools[0].name"),
        (json!({"tools": [{"type": "function", "name": "f", "parameters": "x"}]}), "tools[0].parameters"),
        (json!({"tool_choice": "perhaps"}), "tool_choice"),
    ];
    for (more, param) in wrong {
        let refusal = refused(&more);
        assert_eq!((refusal.param.as_deref(), refusal.code), (Some(param), None), "{more}");
    }
    assert_eq!(read_request(b"nonsense").unwrap_err().param, None);
}

#[test]
fn items_of_one_side_become_one_turn() {
    let items = json!([
        {"role": "developer", "content": "first"},
        {"role": "user", "content": "Weather and time?"},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
            "content": [{"type": "output_text", "text": "Looking.", "annotations": []}]},
        {"type": "function_call", "id": "fc_1", "call_id": "a", "name": "f", "arguments": "{\"x\":1.0}"},
        {"type": "custom_tool_call", "id": "ctc_1", "call_id": "b", "name": "f", "input": "any {text"},
        {"type": "function_call_output", "call_id": "a", "output": "18C"},
        {"type": "custom_tool_call_output", "call_id": "b", "output": [
            {"type": "input_text", "text": "see"},
            {"type": "input_image", "image_url": "https://a/b.png", "detail": "auto"}]},
        {"role": "user", "content": ""},
        {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "second"}]},
        {"role": "user", "content": "And in French?"},
        {"role": "user", "content": "Please."},
        {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {"type": "message", "role": "assistant", "content": "Well."},
    ]);
    let request = read(&json!({"instructions": "zero", "input": items}));
    assert_eq!(request.system.iter().map(|t| t.text.as_str()).collect::<Vec<_>>(), ["zero", "first", "second"]);
    let image = Part::Image { source: Source::Url("https://a/b.png".into()), cache: None };
    let expected = [
        user(vec![Part::text("Weather and time?")]),
        assistant(vec![
            Part::Thinking { text: "hm".into(), signature: None },
            Part::text("Looking."),
            call("a", "{\"x\":1.0}", false),
            call("b", "any {text", true),
        ]),
        user(vec![result("a", vec![Part::text("18C")]), result("b", vec![Part::text("see"), image])]),
        user(vec![Part::text("And in French?")]),
        user(vec![Part::text("Please.")]),
        assistant(vec![Part::text("No.")]),
        assistant(vec![Part::text("Well.")]),
    ];
    assert_eq!(request.messages, expected);
}

#[test]
fn thinking_comes_back_as_it_was() {
    let proof = sealed::thinking("6 x 7 = 42", "EqQB/+==");
    let items = json!([
        {"role": "user", "content": "?"},
        // Shortened by the client: the proof is of the words inside.
        {"type": "reasoning", "id": "a", "summary": [{"type": "summary_text", "text": "6 x"}], "encrypted_content": proof},
        {"type": "reasoning", "id": "b", "summary": [], "encrypted_content": sealed::redacted("c2VjcmV0")},
        {"type": "reasoning", "id": "c", "summary": [{"type": "summary_text", "text": "s"}], "encrypted_content": "gAAAA"},
        {"type": "reasoning", "id": "d", "summary": [], "content": [{"type": "reasoning_text", "text": "raw"}]},
        {"type": "reasoning", "id": "e", "summary": [{"text": "one"}, {"text": "two"}]},
        {"type": "reasoning", "id": "f", "summary": []},
    ]);
    let thinking = |text: &str, signature: Option<&str>| Part::Thinking {
        text: text.into(),
        signature: signature.map(Into::into),
    };
    let expected = vec![
        thinking("6 x 7 = 42", Some("EqQB/+==")),
        Part::RedactedThinking("c2VjcmV0".into()),
        thinking("raw", None),
        thinking("one\n\ntwo", None),
    ];
    assert_eq!(turns(&items)[1], assistant(expected));
    for foreign in ["", "tollgate1.", "tollgate1.!", "tollgate1.e30", "tollgate2.e30"] {
        assert_eq!(sealed::open(foreign), None, "{foreign}");
    }
}

#[test]
fn content_of_every_kind_is_read() {
    let data = |media_type: &str, data: &str| Source::Data { media_type: media_type.into(), data: data.into() };
    let image = |source| Part::Image { source, cache: None };
    let document = |name: Option<&str>, source| Part::Document { name: name.map(Into::into), source, cache: None };
    let cases = [
        (json!({"type": "input_text", "text": "a"}), Part::text("a")),
        (json!({"type": "input_image", "image_url": "data:IMAGE/PNG;base64,aGk"}), image(data("image/png", "aGk="))),
        (
            json!({"type": "input_image", "image_url": "data:image/png;x=y;base64,a G\nk="}),
            image(data("image/png", "aGk=")),
        ),
        (json!({"type": "input_image", "image_url": "http://a/b"}), image(Source::Url("http://a/b".into()))),
        (
            json!({"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="}),
            document(Some("a.pdf"), data("application/pdf", "aGk=")),
        ),
        (
            json!({"type": "input_file", "filename": "a.CSV", "file_data": "aGk="}),
            document(Some("a.CSV"), data("text/csv", "aGk=")),
        ),
        (
            json!({"type": "input_file", "file_data": "data:text/plain;base64,aGk="}),
            document(None, Source::Text("hi".into())),
        ),
        (
            json!({"type": "input_file", "file_url": "https://a/b.pdf"}),
            document(None, Source::Url("https://a/b.pdf".into())),
        ),
        (
            json!({"type": "input_audio", "input_audio": {"data": "aGk", "format": "wav"}}),
            Part::Audio { format: "wav".into(), data: "aGk=".into() },
        ),
        (
            json!({"type": "input_text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}}),
            Part::Text { text: "a".into(), cache: Some(CacheMark::default()), citations: vec![] },
        ),
        (
            json!({"type": "input_text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}}),
            Part::Text { text: "a".into(), cache: Some(CacheMark { ttl: Some("1h".into()) }), citations: vec![] },
        ),
    ];
    for (part, expected) in cases {
        assert_eq!(content(&part), expected, "{part}");
    }
    let wrong = [
        (json!({"type": "input_image", "image_url": "ftp://a/b"}), "image_url"),
        (json!({"type": "input_image", "image_url": "data:image/png;base64,@"}), "image_url"),
        (json!({"type": "input_image", "image_url": "data:image/png,%00"}), "image_url"),
        (json!({"type": "input_file", "filename": "a.txt", "file_data": "/w=="}), "file_data"),
        (json!({"type": "input_file", "file_url": "file:///etc/passwd"}), "file_url"),
    ];
    for (part, member) in wrong {
        let refusal = refused(&json!({"input": [{"role": "user", "content": [part]}]}));
        assert_eq!(refusal.param, Some(format!("input[0].content[0].{member}")), "{part}");
    }
}

#[test]
fn tools_and_their_choice_are_read() {
    let tools = r#"[{"type":"function","name":"f","description":"d","parameters":{"z":1.0,"a":2},"strict":true},
        {"type":"custom","name":"g","format":{"type":"text"}},{"type":"function","name":"h","parameters":null}]"#;
    let with = |choice: &str| {
        let body = format!(r#"{{"model":"m","input":"x","tools":{tools},"tool_choice":{choice}}}"#);
        read_request(body.as_bytes()).unwrap()
    };
    let request = with("null");
    let read: Vec<_> = request.tools.iter().map(|t| (t.name.as_str(), t.free_text, t.strict)).collect();
    assert_eq!(read, [("f", false, Some(true)), ("g", true, None), ("h", false, None)]);
    assert_eq!(request.tools[0].schema.as_ref().unwrap().get(), r#"{"z":1.0,"a":2}"#);
    assert_eq!(request.tools[0].description.as_deref(), Some("d"));
    assert!(request.tools[2].schema.is_none() && request.foreign.is_empty());
    let cases = [
        ("null", None),
        (r#""auto""#, Some(ToolChoice::Auto)),
        (r#""none""#, Some(ToolChoice::None)),
        (r#""required""#, Some(ToolChoice::Required)),
        (r#"{"type":"function","name":"f"}"#, Some(ToolChoice::Tool("f".into()))),
        (r#"{"type":"custom","name":"g"}"#, Some(ToolChoice::Tool("g".into()))),
    ];
    for (choice, expected) in cases {
        assert_eq!(with(choice).tool_choice, expected, "{choice}");
    }
    let allowed = with(r#"{"type":"allowed_tools","mode":"required","tools":[{"type":"custom","name":"g"}]}"#);
    assert_eq!(allowed.tool_choice, Some(ToolChoice::Required));
    assert_eq!(allowed.tools.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["g"]);
}

#[test]
fn the_form_of_the_answer_is_read() {
    let form = |format: Value| read(&json!({"text": {"format": format}})).output;
    assert!(form(json!({"type": "text"})).is_none());
    assert!(matches!(form(json!({"type": "json_object"})), Some(OutputFormat::Json)));
    let Some(OutputFormat::Schema { name, schema, strict, description }) = form(json!({
        "type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": true, "description": "d"}))
    else {
        panic!("a schema");
    };
    assert_eq!((name.as_str(), schema.get(), strict), ("n", r#"{"type":"object"}"#, Some(true)));
    assert_eq!(description.as_deref(), Some("d"));
}

#[test]
fn the_echo_is_what_a_response_repeats() {
    let body = br#"{"model":"m","input":"secret","tools":[{"a":1.0}],"temperature":0.50,"instructions":null,"x":1}"#;
    assert_eq!(echo(body).unwrap().get(), r#"{"temperature":0.50,"tools":[{"a":1.0}]}"#);
    assert!(echo(b"[]").is_none());
}

proptest! {
    #[test]
    fn nothing_that_is_sent_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_request(&bytes);
        let _ = echo(&bytes);
    }

    #[test]
    fn nothing_at_any_place_panics(
        place in prop::sample::select(vec!["model", "input", "instructions", "tools", "tool_choice", "text", "reasoning",
            "include", "stream", "metadata", "top_logprobs", "stream_options"]),
        value in prop::sample::select(vec!["1", "-1", "1e999", "\"\"", "\"a\"", "true", "[]", "[[]]", "[null]", "{}",
            "[{\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":\"input_file\"}]}]",
            "{\"type\":\"allowed_tools\"}", "{\"format\":{}}", "[{\"type\":\"reasoning\",\"summary\":[1]}]"]),
    ) {
        let _ = read_request(format!("{{\"model\":\"m\",\"input\":\"x\",\"{place}\":{value}}}").as_bytes());
    }
}
