use super::*;
use crate::wire::chat::converse::read_request;

fn read(body: &Value) -> Request {
    read_request(body.to_string().as_bytes()).expect("a request")
}

fn wrong(body: &Value) -> (Option<String>, Option<&'static str>) {
    let error = read_request(body.to_string().as_bytes()).expect_err("a refusal");
    (error.param, error.code)
}

/// A request with one block in its one message.
fn block(block: &Value) -> Value {
    json!({ "messages": [{ "role": "user", "content": [block] }] })
}

/// All that both ways know, in the very form that is written.
fn full() -> Value {
    let point = json!({ "cachePoint": { "type": "default", "ttl": "5m" } });
    json!({
        "messages": [
            { "role": "user", "content": [
                { "text": "look" },
                { "image": { "format": "png", "source": { "bytes": "iVBORw0KGgoAAAANSUhEUg==" } } },
                { "document": { "format": "pdf", "name": "paper", "source": { "bytes": "YQ==" } } },
                point,
            ] },
            { "role": "assistant", "content": [
                { "reasoningContent": { "reasoningText": { "text": "hm", "signature": "c2ln" } } },
                { "reasoningContent": { "redactedContent": "cmVk" } },
                { "text": "so" },
                { "toolUse": { "toolUseId": "t1", "name": "f", "input": { "z": 1, "a": 2 } } },
                point,
            ] },
            { "role": "user", "content": [
                { "toolResult": { "toolUseId": "t1", "content": [{ "text": "no" }], "status": "error" } },
                point,
                { "toolResult": { "toolUseId": "t2", "content": [{ "text": "yes" }], "status": "success" } },
            ] },
        ],
        "system": [{ "text": "be brief" }, point],
        "inferenceConfig": { "maxTokens": 10, "stopSequences": ["x"] },
        "toolConfig": {
            "tools": [
                { "toolSpec": {
                    "name": "f", "description": "does", "inputSchema": { "json": { "type": "object" } }, "strict": true,
                } },
                point,
            ],
            "toolChoice": { "auto": {} },
        },
        "additionalModelRequestFields": {
            "thinking": { "type": "adaptive" },
            "tool_choice": { "type": "auto", "disable_parallel_tool_use": true },
        },
        "outputConfig": {
            "textFormat": {
                "type": "json_schema",
                "structure": { "jsonSchema": { "schema": "{\"type\":\"object\"}", "name": "n", "description": "d" } },
            },
            "effort": "high",
        },
        "serviceTier": { "type": "flex" },
    })
}

#[test]
fn what_is_read_is_written_again() {
    let request = read(&full());
    assert_eq!(request.foreign, Vec::<String>::new());
    assert!(request.wants_usage && request.model.is_empty() && !request.stream);
    let target = Target { reasoning: ReasoningStyle::Adaptive, ..claude() };
    let mut whole = full();
    whole["additionalModelResponseFieldPaths"] = json!(["/stop_sequence"]);
    assert_eq!(written(&request, &target), (whole, vec![]));

    // What thinking excludes.
    let sampling = json!({
        "messages": [{ "role": "user", "content": [{ "text": "q" }] }],
        "inferenceConfig": { "temperature": 0.3, "topP": 0.4 },
        "toolConfig": {
            "tools": [{ "toolSpec": { "name": "f", "description": "f", "inputSchema": { "json": { "type": "object" } } } }],
            "toolChoice": { "tool": { "name": "f" } },
        },
        "additionalModelRequestFields": { "top_k": 5 },
    });
    assert_eq!(written(&read(&sampling), &claude()), (sampling, vec![]));
}

#[test]
fn blocks_become_parts() {
    let picture = |media_type: &str| Part::Image {
        source: Source::Data { media_type: media_type.into(), data: "YWI=".into() },
        cache: None,
    };
    let paper = |source| Part::Document { name: Some("n".into()), source, cache: None };
    let bytes = |media_type: &str| Source::Data { media_type: media_type.into(), data: "YQ==".into() };
    for (given, part) in [
        (json!({ "text": "a" }), Part::text("a")),
        (json!({ "image": { "format": "jpg", "source": { "bytes": "YW I" } } }), picture("image/jpeg")),
        (json!({ "image": { "format": "WEBP", "source": { "bytes": "YWI=\n" } } }), picture("image/webp")),
        (
            json!({ "document": { "format": "pdf", "name": "n", "source": { "bytes": "YQ" } } }),
            paper(bytes("application/pdf")),
        ),
        (json!({ "document": { "name": "n", "source": { "bytes": "YQ==" } } }), paper(bytes("text/plain"))),
        (
            json!({ "document": { "format": "txt", "name": "n", "source": { "text": "t" } } }),
            paper(Source::Text("t".into())),
        ),
        (
            json!({ "document": { "name": "n", "source": { "content": [{ "text": "t" }, { "text": "u" }] } } }),
            paper(Source::Text("tu".into())),
        ),
        (
            json!({ "audio": { "format": "mp3", "source": { "bytes": "YQ" } } }),
            Part::Audio { format: "mp3".into(), data: "YQ==".into() },
        ),
        (json!({ "guardContent": { "text": { "text": "a", "qualifiers": ["query"] } } }), Part::text("a")),
        (
            json!({ "guardContent": { "image": { "format": "png", "source": { "bytes": "YWI" } } } }),
            picture("image/png"),
        ),
        (json!({ "toolUse": { "toolUseId": "t", "name": "f" } }), call("t", "{}")),
        (json!({ "toolUse": { "toolUseId": "t", "name": "f", "input": { "z": 1 } } }), call("t", r#"{"z":1}"#)),
        (
            json!({ "toolResult": { "toolUseId": "t", "content": [{ "json": { "a": 1 } }, { "text": "b" }] } }),
            result("t", vec![Part::text(r#"{"a":1}"#), Part::text("b")]),
        ),
        (json!({ "toolResult": { "toolUseId": "t" } }), result("t", vec![])),
        (
            json!({ "reasoningContent": { "reasoningText": { "text": "a" } } }),
            Part::Thinking { text: "a".into(), signature: None },
        ),
        (json!({ "reasoningContent": { "redactedContent": "YQ" } }), Part::RedactedThinking("YQ==".into())),
        (json!({ "citationsContent": { "content": [{ "text": "a" }], "citations": [{}] } }), Part::text("a")),
        (
            json!({ "searchResult": { "source": "s", "title": "t", "content": [{ "text": "a" }] } }),
            Part::text("t\ns\na"),
        ),
    ] {
        assert_eq!(read(&block(&given)).messages, [user(vec![part])], "{given}");
    }
}

#[test]
fn marks_hang_on_what_stands_before_them() {
    let point = json!({ "cachePoint": { "type": "default" } });
    let request = read(&json!({
        "system": [point, { "guardContent": { "text": { "text": "s" } } }, point, { "text": "" }],
        "messages": [
            { "role": "system", "content": [{ "text": "t" }] },
            { "role": "user", "content": [point, { "text": "a" }, point] },
        ],
    }));
    let mark = Some(CacheMark { ttl: None });
    let expected = [Text { text: "s".into(), cache: mark.clone() }, Text { text: "t".into(), cache: None }];
    assert_eq!(request.system, expected);
    assert_eq!(request.messages, [user(vec![Part::Text { text: "a".into(), cache: mark, citations: vec![] }])]);
}

#[test]
fn settings_of_models_are_understood() {
    use Reasoning::{Adaptive, Budget, Off};
    for (fields, output, expected) in [
        (json!({ "thinking": { "type": "enabled", "budget_tokens": 5 } }), json!({}), Some(Budget(5))),
        (json!({ "thinking": { "type": "disabled" } }), json!({ "effort": "low" }), Some(Off)),
        (json!({ "thinking": { "type": "adaptive" } }), json!({}), Some(Adaptive(None))),
        (json!({ "thinking": { "type": "adaptive" } }), json!({ "effort": "max" }), Some(Adaptive(Some(Effort::Max)))),
        (json!({}), json!({ "effort": "low" }), Some(Reasoning::Effort(Effort::Low))),
        (json!({ "output_config": { "effort": "low" } }), json!({}), Some(Reasoning::Effort(Effort::Low))),
        (json!({ "reasoning_effort": "high" }), json!({}), Some(Reasoning::Effort(Effort::High))),
        (
            json!({ "reasoningConfig": { "type": "enabled", "maxReasoningEffort": "low" } }),
            json!({}),
            Some(Reasoning::Effort(Effort::Low)),
        ),
        (json!({ "reasoningConfig": { "type": "disabled" } }), json!({}), Some(Off)),
        (json!({}), json!({}), None),
    ] {
        let mut body = block(&json!({ "text": "a" }));
        body["additionalModelRequestFields"] = fields;
        body["outputConfig"] = output;
        let request = read(&body);
        assert_eq!((request.reasoning, request.foreign.len()), (expected, 0), "{body}");
    }
    let mut body = block(&json!({ "text": "a" }));
    body["additionalModelRequestFields"] =
        json!({ "inferenceConfig": { "topK": 4 }, "tool_choice": { "type": "auto" } });
    let request = read(&body);
    assert_eq!((request.top_k, request.parallel_tool_calls), (Some(4), None));
}

#[test]
fn members_that_nothing_can_be_made_of_are_named() {
    let mut body = block(&json!({ "text": "a" }));
    body["guardrailConfig"] = json!({ "guardrailIdentifier": "g" });
    body["requestMetadata"] = json!({});
    body["promptVariables"] = json!(null);
    body["additionalModelResponseFieldPaths"] = json!([" "]);
    body["performanceConfig"] = json!({ "latency": "standard" });
    body["inferenceConfig"] = json!({ "odd name\n": 1, "maxTokens": null });
    body["additionalModelRequestFields"] = json!({ "anthropic_beta": ["x"], "x": false });
    body["serviceTier"] = json!({ "type": "reserved" });
    let mut foreign = read(&body).foreign;
    foreign.sort();
    assert_eq!(
        foreign,
        [
            "additionalModelRequestFields.anthropic_beta",
            "additionalModelResponseFieldPaths",
            "guardrailConfig",
            "inferenceConfig.odd_name_",
            "serviceTier",
        ]
    );
    for (thinking, name) in [
        (json!({ "type": "between_tools" }), "additionalModelRequestFields.thinking"),
        (json!({ "type": "adaptive", "display": "omitted" }), "additionalModelRequestFields.thinking.display"),
    ] {
        let mut body = block(&json!({ "text": "a" }));
        body["additionalModelRequestFields"]["thinking"] = thinking;
        assert_eq!(read(&body).foreign, [name]);
    }
    let cited = json!({ "name": "n", "source": { "text": "t" }, "context": "c", "citations": { "enabled": true } });
    let twice = json!({ "messages": [{ "role": "user", "content": [{ "document": cited }, { "document": cited }] }] });
    assert_eq!(read(&twice).foreign, ["document.citations", "document.context"]);
    body["performanceConfig"] = json!({ "latency": "optimized" });
    assert!(read(&body).foreign.contains(&"performanceConfig".to_owned()));
    for number in 0..100 {
        body[format!("{number}{}", "n".repeat(100))] = json!(1);
    }
    let foreign = read(&body).foreign;
    assert!(foreign.len() == 32 && foreign.iter().all(|name| name.len() <= 64), "{foreign:?}");
}

#[test]
fn mistakes_are_named_by_their_place() {
    let text = json!({ "text": "a" });
    let message = |role: &Value, content: &Value| json!({ "messages": [{ "role": role, "content": content }] });
    let with = |name: &str, value: Value| {
        let mut body = block(&text);
        body[name] = value;
        body
    };
    let in_block = |kind: &str, value: Value| block(&json!({ kind: value }));
    let at = "messages[0].content[0]";
    for (body, param) in [
        (json!([]), ""),
        (json!({}), "messages"),
        (json!({ "messages": [] }), "messages"),
        (json!({ "messages": {} }), "messages"),
        (json!({ "messages": [{ "role": "user" }] }), "messages[0]"),
        (message(&json!("tool"), &json!([text])), "messages[0].role"),
        (message(&json!("user"), &json!("text")), "messages[0].content"),
        (message(&json!("user"), &json!([{ "text": 1 }])), "messages[0].content[0].text"),
        (message(&json!("user"), &json!([{ "text": "a", "image": {} }])), at),
        (message(&json!("user"), &json!([{}])), at),
        (in_block("image", json!({ "format": "png" })), "messages[0].content[0].image"),
        (
            in_block("image", json!({ "format": "png", "source": { "bytes": "a b!" } })),
            "messages[0].content[0].image.source.bytes",
        ),
        (in_block("toolUse", json!({ "name": "f" })), "messages[0].content[0].toolUse"),
        (with("inferenceConfig", json!({ "maxTokens": -1 })), "inferenceConfig.maxTokens"),
        (with("inferenceConfig", json!({ "temperature": "1" })), "inferenceConfig.temperature"),
        (with("toolConfig", json!({ "tools": [{ "toolSpec": {} }] })), "toolConfig.tools[0].toolSpec"),
        (
            with("additionalModelRequestFields", json!({ "thinking": { "type": "enabled" } })),
            "additionalModelRequestFields.thinking",
        ),
        (with("outputConfig", json!({ "effort": "odd" })), "outputConfig.effort"),
        (
            with(
                "outputConfig",
                json!({ "textFormat": { "type": "json_schema", "structure": { "jsonSchema": { "schema": "{" } } } }),
            ),
            "outputConfig.textFormat.structure.jsonSchema.schema",
        ),
    ] {
        let (found, code) = wrong(&body);
        assert_eq!((found.unwrap_or_default().as_str(), code), (param, None), "{body}");
    }
    let far = json!({ "s3Location": { "uri": "s3://b/k" } });
    for (body, param) in [
        (in_block("video", json!({ "format": "mp4" })), "messages[0].content[0].video"),
        (in_block("toolRemoval", json!({})), "messages[0].content[0].toolRemoval"),
        (
            in_block("toolUse", json!({ "toolUseId": "t", "name": "f", "input": {}, "type": "server_tool_use" })),
            "messages[0].content[0].toolUse",
        ),
        (
            in_block("image", json!({ "format": "png", "source": far })),
            "messages[0].content[0].image.source.s3Location",
        ),
        (in_block("document", json!({ "source": far })), "messages[0].content[0].document.source.s3Location"),
        (
            in_block("toolResult", json!({ "toolUseId": "t", "content": [{ "video": {} }] })),
            "messages[0].content[0].toolResult.content[0].video",
        ),
        (with("toolConfig", json!({ "tools": [{ "systemTool": { "name": "n" } }] })), "toolConfig.tools[0].systemTool"),
    ] {
        assert_eq!(wrong(&body), (Some(param.to_owned()), Some("unsupported_parameter")), "{body}");
    }
    let long = wrong(&block(&json!({ "x".repeat(100_000): 1 }))).0.expect("a place");
    assert!(long.len() < 200, "no more than a name is repeated");
    assert!(read_request(b"{").expect_err("no JSON").message.contains("line 1"));
}

/// Each place of the full request, with something else in it.
fn spoilt(value: &Value, with: &Value) -> Vec<Value> {
    let mut all = vec![with.clone()];
    match value {
        Value::Object(members) => {
            for (name, inner) in members {
                all.extend(spoilt(inner, with).into_iter().map(|inner| {
                    let mut whole = members.clone();
                    whole.insert(name.clone(), inner);
                    Value::Object(whole)
                }));
            }
        }
        Value::Array(items) => {
            for (at, inner) in items.iter().enumerate() {
                all.extend(spoilt(inner, with).into_iter().map(|inner| {
                    let mut whole = items.clone();
                    whole[at] = inner;
                    Value::Array(whole)
                }));
            }
        }
        _ => {}
    }
    all
}

#[test]
fn anything_anywhere_is_read_or_refused() {
    let (mut read, mut refused) = (0, 0);
    for with in [json!(null), json!(true), json!(1), json!("x"), json!([]), json!({}), json!([{ "x": [] }])] {
        for body in spoilt(&full(), &with) {
            match read_request(body.to_string().as_bytes()) {
                Ok(request) => {
                    read += 1;
                    // Whatever was taken can be written, or is refused in words.
                    let _written = crate::wire::chat::converse::write_request(&request, &claude());
                }
                Err(error) => {
                    refused += 1;
                    assert!(!error.message.is_empty());
                }
            }
        }
    }
    assert!(read > 50 && refused > 50, "{read} {refused}");
}

proptest::proptest! {
    #[test]
    fn no_bytes_are_too_odd(body in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        let _read = read_request(&body);
    }

    #[test]
    fn no_cut_is_too_odd(cut in 0_usize..3000) {
        let body = full().to_string();
        let cut = cut % body.len();
        proptest::prop_assert!(read_request(&body.as_bytes()[..cut]).is_err());
    }
}
