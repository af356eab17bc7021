use super::super::super::{
    CacheMark, Effort, Message, OutputFormat, Part, Reasoning, Request, Role, Source, Text, ToolCall, ToolChoice,
};
use super::{read, said, with};
use serde_json::{Value, json};

fn user(blocks: &Value) -> Vec<Part> {
    let request = read(&said(json!([{"role": "user", "content": blocks}]))).unwrap();
    request.messages.into_iter().next().unwrap().parts
}

fn marked(text: &str, ttl: Option<&str>) -> Part {
    Part::Text { text: text.into(), cache: Some(CacheMark { ttl: ttl.map(Into::into) }), citations: vec![] }
}

#[test]
fn a_plain_request_is_read_whole() {
    let request = read(&json!({
        "model": "claude", "max_tokens": 5, "system": "Be brief.", "stream": true, "temperature": 0, "top_p": 0.5,
        "top_k": 3, "stop_sequences": ["a", "b"], "metadata": {"user_id": "u1"}, "service_tier": "standard_only",
        "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [{"type": "text", "text": "Yo"}]}],
    }))
    .unwrap();
    assert_eq!(request.model, "claude");
    assert_eq!(request.max_tokens, Some(5));
    assert_eq!(request.system, [Text { text: "Be brief.".into(), cache: None }]);
    assert!(request.stream && request.wants_usage);
    assert_eq!((request.temperature, request.top_p, request.top_k), (Some(0.0), Some(0.5), Some(3)));
    assert_eq!(request.stop, ["a", "b"]);
    assert_eq!(request.user.as_deref(), Some("u1"));
    assert_eq!(request.service_tier.as_deref(), Some("default"));
    let turn = |role, text| Message { role, parts: vec![Part::text(text)] };
    assert_eq!(request.messages, [turn(Role::User, "Hi"), turn(Role::Assistant, "Yo")]);
    assert!(request.foreign.is_empty(), "{:?}", request.foreign);
}

#[test]
fn every_block_of_the_user_is_read() {
    let parts = user(&json!([
        {"type": "text", "text": "t", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"type": "text", "text": ""},
        {"type": "image", "source": {"type": "base64", "media_type": "IMAGE/PNG", "data": "aGV s\nbG8"}},
        {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}, "cache_control": {"type": "ephemeral"}},
        {"type": "document", "title": "d", "source": {"type": "base64", "media_type": "application/pdf", "data": "aGVsbG8="}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "plain"}},
        {"type": "document", "source": {"type": "url", "url": "https://x/y.pdf"}},
        {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}},
        {"type": "document", "source": {"type": "content", "content": "c"}},
        {"type": "search_result", "source": "https://s", "title": "T", "content": [{"type": "text", "text": "found"}]},
    ]));
    let data = |kind: &str| Source::Data { media_type: kind.into(), data: "aGVsbG8=".into() };
    let document = |source| Part::Document { name: None, source, cache: None };
    let expected = [
        marked("t", Some("1h")),
        Part::Image { source: data("image/png"), cache: None },
        Part::Image { source: Source::Url("https://x/y.png".into()), cache: Some(CacheMark::default()) },
        Part::Document { name: Some("d".into()), source: data("application/pdf"), cache: None },
        document(Source::Text("plain".into())),
        document(Source::Url("https://x/y.pdf".into())),
        document(Source::Text("a\n\nb".into())),
        document(Source::Text("c".into())),
        Part::text("T\nhttps://s\nfound"),
    ];
    assert_eq!(parts, expected);
}

#[test]
fn results_and_texts_of_one_message_are_both_kept() {
    let parts = user(&json!([
        {"type": "tool_result", "tool_use_id": "a", "content": "18C"},
        {"type": "tool_result", "tool_use_id": "b", "is_error": true, "cache_control": {"type": "ephemeral"}, "content": [
            {"type": "text", "text": "x"},
            {"type": "image", "source": {"type": "url", "url": "https://i"}},
            {"type": "tool_reference", "tool_name": "weather"},
        ]},
        {"type": "tool_result", "tool_use_id": "c"},
        {"type": "text", "text": "In French."},
    ]));
    let result = |id: &str, parts, is_error, cache| Part::ToolResult { id: id.into(), parts, is_error, cache };
    let expected = [
        result("a", vec![Part::text("18C")], false, None),
        result(
            "b",
            vec![
                Part::text("x"),
                Part::Image { source: Source::Url("https://i".into()), cache: None },
                Part::text("weather"),
            ],
            true,
            Some(CacheMark::default()),
        ),
        result("c", vec![], false, None),
        Part::text("In French."),
    ];
    assert_eq!(parts, expected);
}

#[test]
fn every_block_of_the_assistant_is_read() {
    let body = br#"{"max_tokens":1,"messages":[{"role":"assistant","content":[
        {"type":"thinking","thinking":"hm","signature":"sig"},
        {"type":"thinking","thinking":"bare","signature":""},
        {"type":"redacted_thinking","data":"AAAA"},
        {"type":"text","text":"ok","citations":[{"type":"char_location"}]},
        {"type":"tool_use","id":"t1","name":"f","input":{ "z" : 1.50, "a": "x \" y" }}]}]}"#;
    let request = super::super::read_request(body).unwrap();
    let expected = [
        Part::Thinking { text: "hm".into(), signature: Some("sig".into()) },
        Part::Thinking { text: "bare".into(), signature: None },
        Part::RedactedThinking("AAAA".into()),
        Part::text("ok"),
        Part::ToolCall(ToolCall {
            id: "t1".into(),
            name: "f".into(),
            arguments: r#"{"z":1.50,"a":"x \" y"}"#.into(),
            free_text: false,
            cache: None,
        }),
    ];
    assert_eq!(request.messages[0].parts, expected, "members keep their order, numbers their spelling");
    assert!(request.foreign.is_empty());
}

#[test]
fn instructions_are_gathered_wherever_they_stand() {
    let request = read(&json!({
        "max_tokens": 1,
        "system": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": ""}],
        "messages": [{"role": "user", "content": "q"}, {"role": "system", "content": "b"}],
    }))
    .unwrap();
    let text = |text: &str, cache| Text { text: text.into(), cache };
    assert_eq!(request.system, [text("a", Some(CacheMark::default())), text("b", None)]);
    assert_eq!(request.messages.len(), 1);
}

#[test]
fn the_requests_own_cache_mark_is_one_on_its_last_block() {
    let mut body =
        said(json!([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]));
    body["cache_control"] = json!({"type": "ephemeral", "ttl": "5m"});
    let request = read(&body).unwrap();
    assert_eq!(request.messages[0].parts, [Part::text("a"), marked("b", Some("5m"))]);
    assert!(request.foreign.is_empty());
}

#[test]
fn tools_are_read_with_their_schema_as_it_came() {
    let body = br#"{"max_tokens":1,"messages":[{"role":"user","content":"q"}],"tools":[
        {"name":"f","description":"does","input_schema":{"type":"object", "b":1,"a":2.0},"strict":true,
         "cache_control":{"type":"ephemeral"}},
        {"type":"custom","name":"g","input_schema":{},"input_examples":[{}]}]}"#;
    let request = super::super::read_request(body).unwrap();
    let [f, g] = request.tools.as_slice() else { panic!("two tools") };
    assert_eq!((f.name.as_str(), f.description.as_deref(), f.strict), ("f", Some("does"), Some(true)));
    assert_eq!(f.schema.as_ref().unwrap().get(), r#"{"type":"object", "b":1,"a":2.0}"#);
    assert!(f.cache.is_some() && !f.free_text);
    assert_eq!((g.name.as_str(), g.strict), ("g", None));
    assert_eq!(request.foreign, ["tools.input_examples"]);
}

#[test]
fn choices_of_tools_are_read() {
    for (choice, expected, parallel) in [
        (json!({"type": "auto"}), ToolChoice::Auto, None),
        (json!({"type": "any", "disable_parallel_tool_use": false}), ToolChoice::Required, None),
        (json!({"type": "none"}), ToolChoice::None, None),
        (
            json!({"type": "tool", "name": "f", "disable_parallel_tool_use": true}),
            ToolChoice::Tool("f".into()),
            Some(false),
        ),
    ] {
        let request = read(&with("tool_choice", choice)).unwrap();
        assert_eq!(request.tool_choice, Some(expected));
        assert_eq!(request.parallel_tool_calls, parallel);
    }
}

#[test]
fn thinking_and_effort_are_one_wish() {
    let read = |thinking: Value, config: Value| {
        let mut body = with("thinking", thinking);
        body["output_config"] = config;
        let Request { reasoning, foreign, .. } = read(&body).unwrap();
        (reasoning, foreign)
    };
    let effort = |word: &str| json!({"effort": word});
    let none: Vec<String> = vec![];
    for (thinking, config, expected) in [
        (Value::Null, Value::Null, None),
        (json!({"type": "disabled"}), Value::Null, Some(Reasoning::Off)),
        (json!({"type": "enabled", "budget_tokens": 2000}), Value::Null, Some(Reasoning::Budget(2000))),
        (json!({"type": "adaptive"}), Value::Null, Some(Reasoning::Adaptive(None))),
        (json!({"type": "adaptive"}), effort("max"), Some(Reasoning::Adaptive(Some(Effort::Max)))),
        (json!({"type": "between_tools"}), Value::Null, Some(Reasoning::Adaptive(None))),
        (Value::Null, effort("low"), Some(Reasoning::Effort(Effort::Low))),
    ] {
        assert_eq!(read(thinking, config), (expected, none.clone()));
    }
    let (reasoning, foreign) =
        read(json!({"type": "enabled", "budget_tokens": 9, "display": "omitted"}), effort("high"));
    assert_eq!(reasoning, Some(Reasoning::Budget(9)));
    assert_eq!(foreign, ["thinking.display", "output_config.effort"]);
}

#[test]
fn a_form_of_the_answer_is_a_schema() {
    let format = json!({"type": "json_schema", "schema": {"type": "object"}});
    for body in [with("output_config", json!({"format": format})), with("output_format", format)] {
        let Some(OutputFormat::Schema { name, schema, strict, .. }) = read(&body).unwrap().output else {
            panic!("a schema")
        };
        assert_eq!((name.as_str(), schema.get(), strict), ("response", r#"{"type":"object"}"#, Some(true)));
    }
}

#[test]
fn what_no_other_api_has_is_named() {
    for (name, value, expected) in [
        ("container", json!("c"), "container"),
        ("context_management", json!({"edits": [1]}), "context_management"),
        ("inference_geo", json!("us"), "inference_geo"),
        ("speed", json!("fast"), "speed"),
        ("metadata", json!({"user_id": "u", "x": 1}), "metadata.x"),
        ("output_config", json!({"task_budget": {"total": 5}}), "output_config.task_budget"),
        ("new thing!", json!(1), "newthing"),
        ("tool_choice", json!({"type": "auto", "more": true}), "tool_choice.more"),
        (
            "messages",
            json!([{"role": "user", "content": [{"type": "document", "citations": {"enabled": true}, "source": {"type": "text", "data": "x"}}]}]),
            "document.citations",
        ),
        (
            "messages",
            json!([{"role": "user", "content": [{"type": "document", "context": "c", "source": {"type": "text", "data": "x"}}]}]),
            "document.context",
        ),
    ] {
        assert_eq!(read(&with(name, value)).unwrap().foreign, [expected]);
    }
}

#[test]
fn what_says_nothing_is_not_named() {
    for (name, value) in [
        ("container", Value::Null),
        ("mcp_servers", json!([])),
        ("context_management", json!({})),
        ("anything", json!(false)),
        ("anything", json!("")),
        ("speed", json!("standard")),
        ("anthropic_version", json!("bedrock-2023-05-31")),
        ("thinking", json!({"type": "adaptive", "display": "summarized"})),
    ] {
        assert!(read(&with(name, value.clone())).unwrap().foreign.is_empty(), "{name}: {value}");
    }
}

#[test]
fn names_of_unknown_members_are_few_and_short() {
    let mut body = with("x", json!(1));
    for n in 0..100 {
        body[format!("{n}{}", "y".repeat(100))] = json!(n);
    }
    let foreign = read(&body).unwrap().foreign;
    assert_eq!(foreign.len(), 32);
    assert!(foreign.iter().all(|name| name.len() <= 64));
}

#[test]
fn what_is_wrong_is_named_where_it_stands() {
    let block = |block: Value| {
        said(
            json!([{"role": "user", "content": "a"}, {"role": "user", "content": [{"type": "text", "text": "x"}, block]}]),
        )
    };
    let reply = |block: Value| said(json!([{"role": "assistant", "content": [block]}]));
    let cases = [
        (json!({"messages": [{"role": "user", "content": "q"}]}), "max_tokens"),
        (with("max_tokens", json!(0)), "max_tokens"),
        (with("max_tokens", json!("5")), "max_tokens"),
        (with("messages", Value::Null), "messages"),
        (said(json!([])), "messages"),
        (said(json!([{"role": "robot", "content": "x"}])), "messages[0].role"),
        (said(json!([{"role": "user"}])), "messages[0].content"),
        (said(json!([{"role": "user", "content": 5}])), "messages[0].content"),
        (said(json!(["x"])), "messages[0]"),
        (block(json!({"text": "x"})), "messages[1].content[1].type"),
        (block(json!({"type": "text"})), "messages[1].content[1].text"),
        (block(json!({"type": "text", "text": 5})), "messages[1].content[1].text"),
        (block(json!({"type": "image"})), "messages[1].content[1].source"),
        (
            block(json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "a*b"}})),
            "messages[1].content[1].source.data",
        ),
        (
            block(json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": ""}})),
            "messages[1].content[1].source.data",
        ),
        (block(json!({"type": "image", "source": {"type": "url"}})), "messages[1].content[1].source.url"),
        (block(json!({"type": "tool_result", "content": "x"})), "messages[1].content[1].tool_use_id"),
        (block(json!({"type": "tool_use", "id": "a", "name": "f", "input": {}})), "messages[1].content[1]"),
        (
            block(
                json!({"type": "document", "source": {"type": "content", "content": [{"type": "document", "source": {}}]}}),
            ),
            "messages[1].content[1].source.content[0]",
        ),
        (reply(json!({"type": "tool_use", "id": "a", "name": "f", "input": "x"})), "messages[0].content[0].input"),
        (reply(json!({"type": "tool_result", "tool_use_id": "a"})), "messages[0].content[0]"),
        (with("system", json!([{"type": "image"}])), "system[0]"),
        (with("tools", json!([{"name": "f"}])), "tools[0].input_schema"),
        (with("tools", json!([{"name": "f", "input_schema": []}])), "tools[0].input_schema"),
        (with("tools", json!([{"input_schema": {}}])), "tools[0].name"),
        (with("tool_choice", json!({"type": "some"})), "tool_choice.type"),
        (with("tool_choice", json!({"type": "tool"})), "tool_choice.name"),
        (with("thinking", json!({"type": "enabled"})), "thinking.budget_tokens"),
        (with("thinking", json!({"type": "hard"})), "thinking.type"),
        (with("output_config", json!({"effort": "huge"})), "output_config.effort"),
        (with("output_config", json!({"format": {"type": "json_schema"}})), "output_config.format.schema"),
        (with("service_tier", json!("flex")), "service_tier"),
        (with("stop_sequences", json!([1])), "stop_sequences[0]"),
        (with("temperature", json!("hot")), "temperature"),
        (with("cache_control", json!({"type": "ephemeral", "ttl": "2h"})), "cache_control.ttl"),
    ];
    for (body, param) in cases {
        let wrong = read(&body).expect_err(param);
        assert_eq!(wrong.param.as_deref(), Some(param), "{wrong}");
        assert!(wrong.message.contains(param), "{wrong}");
        assert_eq!(wrong.code, None, "{wrong}");
    }
}

#[test]
fn what_only_its_provider_can_run_is_refused_by_name() {
    let cases = [
        (
            with("tools", json!([{"type": "web_search_20250305", "name": "web_search"}])),
            "tools[0].type",
            "web_search_20250305",
        ),
        (with("tools", json!([{"type": "bash_20250124", "name": "bash"}])), "tools[0].type", "bash_20250124"),
        (with("mcp_servers", json!([{"url": "x"}])), "mcp_servers", "mcp_servers"),
        (
            said(
                json!([{"role": "assistant", "content": [{"type": "server_tool_use", "id": "x", "name": "web_search", "input": {}}]}]),
            ),
            "messages[0].content[0].type",
            "server_tool_use",
        ),
        (
            said(json!([{"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}])),
            "messages[0].content[0].source.type",
            "base64",
        ),
    ];
    for (body, param, word) in cases {
        let wrong = read(&body).expect_err(param);
        assert_eq!((wrong.param.as_deref(), wrong.code), (Some(param), Some("unsupported_parameter")));
        assert!(wrong.message.contains(word), "{wrong}");
    }
}

#[test]
fn a_body_that_is_no_object_or_is_two_in_one_is_refused() {
    let twice = br#"{"max_tokens":1,"max_tokens":2,"messages":[{"role":"user","content":"q"}]}"#;
    for body in [&b""[..], b"[]", b"{", b"null", b"\xff", twice] {
        assert!(super::super::read_request(body).is_err());
    }
}

#[test]
fn deep_nesting_is_no_danger() {
    let document = r#"[{"type":"document","source":{"type":"content","content":"#;
    let deep = format!("{}\"x\"{}", document.repeat(50_000), "}}]".repeat(50_000));
    let body = format!(r#"{{"max_tokens":1,"messages":[{{"role":"user","content":{deep}}}]}}"#);
    assert!(super::super::read_request(body.as_bytes()).is_err());
    let input = format!("{}{}", r#"{"a":"#.repeat(50_000), "1".to_owned() + &"}".repeat(50_000));
    let body = format!(
        r#"{{"max_tokens":1,"messages":[{{"role":"assistant","content":[{{"type":"tool_use","id":"a","name":"f","input":{input}}}]}}]}}"#
    );
    let _ = super::super::read_request(body.as_bytes());
}

proptest::proptest! {
    #[test]
    fn no_body_makes_it_fall(body in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let _ = super::super::read_request(&body);
    }

    #[test]
    fn no_damage_to_a_request_makes_it_fall(at in 0usize..400, byte in proptest::num::u8::ANY) {
        let mut body = json!({
            "max_tokens": 9, "system": [{"type": "text", "text": "s"}], "thinking": {"type": "adaptive"},
            "tools": [{"name": "f", "input_schema": {"type": "object"}}],
            "messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "c"}]},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {"k": [1, 2]}}]}],
        })
        .to_string()
        .into_bytes();
        let at = at % body.len();
        body[at] = byte;
        let _ = super::super::read_request(&body);
    }
}
