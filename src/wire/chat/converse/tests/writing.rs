use super::*;

/// Everything but the messages.
fn rest(request: &Request, target: &Target) -> (Value, Vec<String>) {
    let (mut body, dropped) = written(request, target);
    body.as_object_mut().expect("an object").remove("messages");
    (body, dropped)
}

#[test]
fn nothing_is_sent_that_was_not_asked_for() {
    assert_eq!(
        written(&asking(), &Target::default()),
        (json!({ "messages": [{ "role": "user", "content": [{ "text": "hi" }] }] }), vec![])
    );
}

#[test]
fn instructions_stand_apart() {
    let text = |text: &str| Text { text: text.into(), cache: None };
    let request = Request { system: vec![text("a"), text(" \n"), text("b")], ..asking() };
    assert_eq!(rest(&request, &claude()).0, json!({ "system": [{ "text": "a" }, { "text": "b" }] }));
}

#[test]
fn sampling_goes_where_the_model_takes_it() {
    let asked = Request {
        max_tokens: Some(9),
        temperature: Some(1.5),
        top_p: Some(0.5),
        top_k: Some(7),
        stop: vec!["x".into(), String::new(), "\n".into()],
        ..asking()
    };
    let target = |family, sampling| Target { family, sampling, ..Target::default() };
    let (stops, told) = (json!(["x"]), json!(["/stop_sequence"]));
    for (target, expected, lost) in [
        (
            target(Family::Claude, Sampling::Free),
            json!({
                "inferenceConfig": { "maxTokens": 9, "temperature": 1.0, "topP": 0.5, "stopSequences": stops },
                "additionalModelResponseFieldPaths": told,
                "additionalModelRequestFields": { "top_k": 7 },
            }),
            vec!["stop"],
        ),
        (
            target(Family::Claude, Sampling::OneOf),
            json!({
                "inferenceConfig": { "maxTokens": 9, "temperature": 1.0, "stopSequences": stops },
                "additionalModelResponseFieldPaths": told,
                "additionalModelRequestFields": { "top_k": 7 },
            }),
            vec!["top_p", "stop"],
        ),
        (
            target(Family::Claude, Sampling::Fixed),
            json!({
                "inferenceConfig": { "maxTokens": 9, "stopSequences": stops },
                "additionalModelResponseFieldPaths": told,
            }),
            vec!["temperature", "top_p", "top_k", "stop"],
        ),
        (
            target(Family::Nova, Sampling::Free),
            json!({
                "inferenceConfig": {
                    "maxTokens": 9, "temperature": 1.0, "topP": 0.5, "stopSequences": ["x", "\n"],
                },
                "additionalModelRequestFields": { "inferenceConfig": { "topK": 7 } },
            }),
            vec!["stop"],
        ),
        (
            target(Family::Other, Sampling::Free),
            json!({
                "inferenceConfig": {
                    "maxTokens": 9, "temperature": 1.0, "topP": 0.5, "stopSequences": ["x", "\n"],
                },
            }),
            vec!["top_k", "stop"],
        ),
        (
            Target { top_k: true, ..target(Family::Other, Sampling::Free) },
            json!({
                "inferenceConfig": {
                    "maxTokens": 9, "temperature": 1.0, "topP": 0.5, "stopSequences": ["x", "\n"],
                },
                "additionalModelRequestFields": { "top_k": 7 },
            }),
            vec!["stop"],
        ),
    ] {
        let (body, dropped) = rest(&asked, &target);
        assert_eq!(body, expected, "{target:?}");
        assert_eq!(dropped, lost, "{target:?}");
    }
    let zero = Request { temperature: Some(0.0), ..asking() };
    assert_eq!(rest(&zero, &claude()).0, json!({ "inferenceConfig": { "temperature": 0.0 } }));
}

#[test]
fn the_maximum_is_the_targets_unless_it_is_asked_for() {
    let target =
        Target { max_tokens: MaxTokens { default: Some(50), cap: Some(100), ..MaxTokens::default() }, ..claude() };
    for (asked, sent) in [(None, 50), (Some(70), 70), (Some(500), 100)] {
        let request = Request { max_tokens: asked, ..asking() };
        assert_eq!(rest(&request, &target).0, json!({ "inferenceConfig": { "maxTokens": sent } }), "{asked:?}");
    }
}

#[test]
fn what_has_no_word_is_named() {
    let request = Request {
        frequency_penalty: Some(0.5),
        presence_penalty: Some(-1.0),
        seed: Some(0),
        user: Some("me".into()),
        service_tier: Some("scale".into()),
        ..asking()
    };
    let names = ["service_tier", "frequency_penalty", "presence_penalty", "seed", "user"];
    assert_eq!(rest(&request, &claude()), (json!({}), names.map(String::from).to_vec()));
    let nothing = Request { frequency_penalty: Some(0.0), presence_penalty: Some(0.0), ..asking() };
    assert_eq!(rest(&nothing, &claude()), (json!({}), vec![]));
    for (tier, body) in [("flex", json!({ "serviceTier": { "type": "flex" } })), ("auto", json!({}))] {
        let request = Request { service_tier: Some(tier.into()), ..asking() };
        assert_eq!(rest(&request, &claude()), (body, vec![]));
    }
}

#[test]
fn tools_are_described_and_chosen() {
    let plain = Tool { description: Some(" ".into()), schema: None, ..tool("bare") };
    let untyped = Tool { schema: Some(raw(r#"{ "properties":{} }"#)), ..tool("untyped") };
    let empty = Tool { schema: Some(raw("{ }")), ..tool("empty") };
    let free = Tool { free_text: true, schema: None, ..tool("free") };
    let strict = Tool { strict: Some(true), ..tool("strict") };
    let lax = Tool { strict: Some(false), ..tool("lax") };
    let request = Request { tools: vec![plain, untyped, empty, free, strict, lax], ..asking() };
    let open = json!({ "type": "object", "properties": {} });
    let full = json!({ "type": "object", "properties": { "z": {}, "a": {} } });
    let text = json!({ "type": "object", "properties": { "input": { "type": "string" } }, "required": ["input"] });
    let spec = |name: &str, description: &str, schema: &Value| json!({ "toolSpec": { "name": name, "description": description, "inputSchema": { "json": schema } } });
    let mut strict_spec = spec("strict", "does", &full);
    strict_spec["toolSpec"]["strict"] = true.into();
    let expected = json!({ "toolConfig": { "tools": [
        spec("bare", "bare", &open), spec("untyped", "does", &open), spec("empty", "does", &json!({ "type": "object" })),
        spec("free", "does", &text), strict_spec, spec("lax", "does", &full),
    ] } });
    assert_eq!(rest(&request, &claude()), (expected, vec![]));
    let unstructured = Target { structured_output: false, ..claude() };
    assert_eq!(rest(&request, &unstructured).1, ["tools.strict"]);
    // Members keep their order, which parsed JSON would not show.
    let body = crate::wire::chat::converse::write_request(&request, &claude()).expect("a request").body;
    assert!(String::from_utf8(body).expect("text").contains(r#"{"z":{},"a":{}}"#));

    for (choice, expected) in [
        (ToolChoice::Auto, Some(json!({ "auto": {} }))),
        (ToolChoice::Required, Some(json!({ "any": {} }))),
        (ToolChoice::Tool("t".into()), Some(json!({ "tool": { "name": "t" } }))),
        (ToolChoice::None, None),
    ] {
        let request = Request { tools: vec![tool("t")], tool_choice: Some(choice), ..asking() };
        let (body, dropped) = rest(&request, &claude());
        assert_eq!(body.get("toolConfig").map(|config| config["toolChoice"].clone()), expected);
        assert_eq!(dropped, Vec::<String>::new());
    }
    // A choice without tools is none.
    let request = Request { tool_choice: Some(ToolChoice::Required), ..asking() };
    assert_eq!(rest(&request, &claude()), (json!({}), vec![]));
}

#[test]
fn history_with_calls_has_tools() {
    let history = Request {
        messages: vec![
            user(vec![Part::text("hi")]),
            assistant(vec![call("1", "{}"), call("2", "{}")]),
            user(vec![result("1", vec![]), result("2", vec![])]),
        ],
        ..Request::default()
    };
    let (body, _) = rest(&history, &claude());
    let open = json!({ "json": { "type": "object", "properties": {} } });
    let spec = json!({ "toolSpec": { "name": "f", "description": "f", "inputSchema": open } });
    assert_eq!(body, json!({ "toolConfig": { "tools": [spec] } }));
    // No more calls are wanted, which cannot be said.
    let request = Request { tools: vec![tool("f")], tool_choice: Some(ToolChoice::None), ..history };
    let (body, dropped) = rest(&request, &claude());
    assert_eq!(body["toolConfig"]["toolChoice"], json!({ "auto": {} }));
    assert_eq!(body["toolConfig"]["tools"].as_array().expect("tools").len(), 1);
    assert_eq!(dropped, ["tool_choice"]);
}

#[test]
fn one_call_at_a_time_is_claudes() {
    let request = Request { tools: vec![tool("t")], parallel_tool_calls: Some(false), ..asking() };
    for (choice, expected) in [
        (None, json!({ "type": "auto", "disable_parallel_tool_use": true })),
        (Some(ToolChoice::Required), json!({ "type": "any", "disable_parallel_tool_use": true })),
        (Some(ToolChoice::Tool("t".into())), json!({ "type": "tool", "name": "t", "disable_parallel_tool_use": true })),
    ] {
        let request = Request { tool_choice: choice, ..request.clone() };
        assert_eq!(rest(&request, &claude()).0["additionalModelRequestFields"]["tool_choice"], expected);
    }
    assert_eq!(rest(&request, &Target::default()).1, ["parallel_tool_calls"]);
    let untooled = Request { parallel_tool_calls: Some(false), ..asking() };
    assert_eq!(rest(&untooled, &Target::default()), (json!({}), vec![]));
    let parallel = Request { parallel_tool_calls: Some(true), ..request };
    assert_eq!(rest(&parallel, &Target::default()).1, Vec::<String>::new());
}

#[test]
fn thinking_is_told_in_the_models_way() {
    use Reasoning::{Adaptive, Budget, Off};
    let effort = Reasoning::Effort;
    let enabled = |tokens: u64| json!({ "thinking": { "type": "enabled", "budget_tokens": tokens } });
    let adaptive = json!({ "thinking": { "type": "adaptive" } });
    let (none, disabled) = (json!(null), json!({ "thinking": { "type": "disabled" } }));
    let word = |word: &str| json!({ "reasoning_effort": word });
    let nova = |word: &str| json!({ "reasoningConfig": { "type": "enabled", "maxReasoningEffort": word } });
    // Family, style, wish; additional fields, effort of the output, maximum, dropped.
    type Row = (Family, ReasoningStyle, Reasoning, Value, Option<&'static str>, Option<u64>, Option<&'static str>);
    let rows: Vec<Row> = vec![
        (
            Family::Claude,
            ReasoningStyle::None,
            effort(Effort::Low),
            none.clone(),
            None,
            Some(100),
            Some("reasoning_effort"),
        ),
        (Family::Claude, ReasoningStyle::None, Budget(2000), none.clone(), None, Some(100), Some("thinking")),
        (Family::Claude, ReasoningStyle::None, Off, none.clone(), None, Some(100), None),
        (Family::Claude, ReasoningStyle::Budget, Budget(5), enabled(1024), None, Some(1124), None),
        (Family::Claude, ReasoningStyle::Budget, Budget(2000), enabled(2000), None, Some(2100), None),
        (Family::Claude, ReasoningStyle::Budget, effort(Effort::Minimal), enabled(1024), None, Some(1124), None),
        (Family::Claude, ReasoningStyle::Budget, effort(Effort::Medium), enabled(4096), None, Some(4196), None),
        (Family::Claude, ReasoningStyle::Budget, Adaptive(None), enabled(4096), None, Some(4196), None),
        (Family::Claude, ReasoningStyle::Budget, effort(Effort::High), enabled(16_384), None, Some(16_484), None),
        (Family::Claude, ReasoningStyle::Budget, effort(Effort::Max), enabled(19_999), None, Some(20_000), None),
        (Family::Claude, ReasoningStyle::Budget, Off, none.clone(), None, Some(100), None),
        (
            Family::Claude,
            ReasoningStyle::Adaptive,
            effort(Effort::Minimal),
            adaptive.clone(),
            Some("low"),
            Some(100),
            None,
        ),
        (
            Family::Claude,
            ReasoningStyle::Adaptive,
            effort(Effort::XHigh),
            adaptive.clone(),
            Some("xhigh"),
            Some(100),
            None,
        ),
        (Family::Claude, ReasoningStyle::Adaptive, Budget(8192), adaptive.clone(), Some("medium"), Some(100), None),
        (Family::Claude, ReasoningStyle::Adaptive, Adaptive(None), adaptive, None, Some(100), None),
        (Family::Claude, ReasoningStyle::Adaptive, Off, disabled, None, Some(100), None),
        (Family::Claude, ReasoningStyle::Effort, effort(Effort::Max), none.clone(), Some("max"), Some(100), None),
        (Family::GptOss, ReasoningStyle::Effort, effort(Effort::Minimal), word("low"), None, Some(100), None),
        (Family::GptOss, ReasoningStyle::Effort, effort(Effort::Max), word("high"), None, Some(100), None),
        (Family::GptOss, ReasoningStyle::Effort, Adaptive(None), word("medium"), None, Some(100), None),
        (Family::GptOss, ReasoningStyle::Effort, Off, none.clone(), None, Some(100), Some("reasoning_effort")),
        (Family::Nova, ReasoningStyle::Effort, Budget(9000), nova("high"), None, Some(100), None),
        (Family::Nova, ReasoningStyle::Effort, Off, none, None, Some(100), None),
    ];
    for (family, reasoning, wish, fields, effort, maximum, lost) in rows {
        let max_tokens = MaxTokens { cap: Some(20_000), ..MaxTokens::default() };
        let target = Target { family, reasoning, max_tokens, ..Target::default() };
        let request = Request { reasoning: Some(wish), max_tokens: Some(100), ..asking() };
        let (body, dropped) = rest(&request, &target);
        assert_eq!(body["additionalModelRequestFields"], fields, "{target:?} {wish:?}");
        assert_eq!(body["outputConfig"]["effort"].as_str(), effort, "{target:?} {wish:?}");
        assert_eq!(body["inferenceConfig"]["maxTokens"].as_u64(), maximum, "{target:?} {wish:?}");
        assert_eq!(dropped.first().map(String::as_str), lost, "{target:?} {wish:?}");
    }
}

#[test]
fn the_budget_needs_room() {
    let of = |asked, default, cap| {
        let max_tokens = MaxTokens { default, cap, ..MaxTokens::default() };
        let target = Target { reasoning: ReasoningStyle::Budget, max_tokens, ..claude() };
        let request = Request { reasoning: Some(Reasoning::Budget(2000)), max_tokens: asked, ..asking() };
        let (body, dropped) = rest(&request, &target);
        let budget = body["additionalModelRequestFields"]["thinking"]["budget_tokens"].as_u64();
        (budget, body["inferenceConfig"]["maxTokens"].as_u64(), dropped.len())
    };
    assert_eq!(of(None, None, None), (Some(2000), Some(4096), 0));
    assert_eq!(of(Some(2000), None, None), (Some(2000), Some(4000), 0));
    assert_eq!(of(None, Some(700), None), (Some(2000), Some(2700), 0));
    assert_eq!(of(Some(5000), None, Some(1500)), (Some(1499), Some(1500), 0));
    assert_eq!(of(Some(5000), None, Some(1024)), (None, Some(1024), 1));
}

#[test]
fn a_model_that_thinks_takes_no_sampling_and_no_forced_tool() {
    let target = Target { reasoning: ReasoningStyle::Budget, ..claude() };
    let request = Request {
        reasoning: Some(Reasoning::Effort(Effort::Low)),
        temperature: Some(0.5),
        top_p: Some(0.9),
        top_k: Some(3),
        tools: vec![tool("t")],
        tool_choice: Some(ToolChoice::Required),
        messages: vec![user(vec![Part::text("hi")]), assistant(vec![Part::text("I")])],
        ..Request::default()
    };
    let (body, dropped) = written(&request, &target);
    assert_eq!(body["inferenceConfig"], json!({ "maxTokens": 4096 }));
    assert_eq!(body["toolConfig"]["toolChoice"], json!({ "auto": {} }));
    assert_eq!(dropped, ["tool_choice", "temperature", "top_p", "top_k"]);
    assert_eq!(body["messages"][2]["role"], "user", "nor a beginning of its answer");
    let same = Request { temperature: Some(1.0), top_p: Some(1.0), ..asking() };
    let same = Request { reasoning: request.reasoning, ..same };
    assert_eq!(rest(&same, &target).1, Vec::<String>::new(), "1 is what it does anyhow");
}

#[test]
fn a_turn_that_hides_its_thoughts_is_continued_without() {
    let target = Target { reasoning: ReasoningStyle::Budget, ..claude() };
    let signed = || Part::Thinking { text: "hm".into(), signature: Some("s".into()) };
    let unsigned = || Part::Thinking { text: "hm".into(), signature: None };
    let thinks = |messages: Vec<Message>| {
        let request = Request { messages, reasoning: Some(Reasoning::Budget(2000)), ..Request::default() };
        let (body, dropped) = written(&request, &target);
        assert_eq!(dropped.is_empty(), body.get("additionalModelRequestFields").is_some());
        dropped.is_empty()
    };
    let ask = || user(vec![Part::text("hi")]);
    let back = || user(vec![result("1", vec![])]);
    assert!(!thinks(vec![ask(), assistant(vec![call("1", "{}")]), back()]));
    assert!(!thinks(vec![ask(), assistant(vec![unsigned(), call("1", "{}")]), back()]));
    assert!(thinks(vec![ask(), assistant(vec![signed(), call("1", "{}")]), back()]));
    // Thoughts come once in a turn, however many calls it makes.
    let second = || assistant(vec![Part::text("and"), call("1", "{}")]);
    assert!(thinks(vec![ask(), assistant(vec![signed(), call("1", "{}")]), back(), second(), back()]));
    // A turn that is over is not continued.
    let over = vec![ask(), assistant(vec![call("1", "{}")]), back(), assistant(vec![Part::text("so")]), ask()];
    assert!(thinks(over));
}

#[test]
fn a_form_of_the_answer_is_a_member_or_a_tool() {
    let schema = raw(r#"{"type":"object","properties":{"z":{},"a":{}}}"#);
    let output = OutputFormat::Schema { name: "my form".into(), description: None, schema, strict: Some(true) };
    let request = Request { output: Some(output), ..asking() };
    let text = r#"{"type":"object","properties":{"z":{},"a":{}}}"#;
    let expected = json!({ "outputConfig": { "textFormat": {
        "type": "json_schema",
        "structure": { "jsonSchema": { "schema": text, "name": "my form" } },
    } } });
    assert_eq!(rest(&request, &claude()), (expected, vec![]));

    let target = Target { structured_output: false, reasoning: ReasoningStyle::Budget, ..claude() };
    let chosen = |request: &Request| {
        let Written { body, dropped, answer_tool } =
            crate::wire::chat::converse::write_request(request, &target).expect("a request");
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        let tools = body["toolConfig"]["tools"].as_array().cloned().unwrap_or_default();
        let names: Vec<String> =
            tools.iter().map(|tool| tool["toolSpec"]["name"].as_str().unwrap_or_default().to_owned()).collect();
        (names, body["toolConfig"]["toolChoice"].clone(), answer_tool, dropped)
    };
    let own = || vec!["my_form".to_owned()];
    let forced = json!({ "tool": { "name": "my_form" } });
    assert_eq!(chosen(&request), (own(), forced.clone(), Some("my_form".into()), vec![]));
    // The form is kept, the thinking is not.
    let thinking = Request { reasoning: Some(Reasoning::Budget(2000)), ..request.clone() };
    assert_eq!(chosen(&thinking), (own(), forced.clone(), Some("my_form".into()), vec!["thinking".into()]));
    // Beside other tools, any of them may come next.
    let beside = Request { tools: vec![tool("my_form")], ..request.clone() };
    let both = vec!["my_form".to_owned(), "answer_0".to_owned()];
    assert_eq!(chosen(&beside), (both, json!({ "any": {} }), Some("answer_0".into()), vec![]));
    let barred = Request { tools: vec![tool("t")], tool_choice: Some(ToolChoice::None), ..request.clone() };
    assert_eq!(chosen(&barred), (own(), forced, Some("my_form".into()), vec![]));
    // A call that the client demands is not the answer yet.
    let demanded = Request { tools: vec![tool("t")], tool_choice: Some(ToolChoice::Required), ..request };
    assert_eq!(chosen(&demanded), (vec!["t".into()], json!({ "any": {} }), None, vec![]));

    let json_only = Request { output: Some(OutputFormat::Json), ..asking() };
    let (body, dropped) = rest(&json_only, &claude());
    assert!(body["system"][0]["text"].as_str().expect("a text").contains("JSON"));
    assert_eq!(dropped, ["response_format"]);
}

#[test]
fn what_is_to_be_cached_is_marked() {
    let text = |cache| Part::Text { text: "hi".into(), cache, citations: vec![] };
    let request = Request {
        system: vec![Text { text: "s".into(), cache: marked() }],
        tools: vec![Tool { cache: marked(), ..tool("t") }],
        messages: vec![user(vec![text(marked()), text(None)]), assistant(vec![text(None)]), user(vec![text(None)])],
        ..Request::default()
    };
    let point = json!({ "cachePoint": { "type": "default", "ttl": "1h" } });
    let (body, dropped) = written(&request, &claude());
    assert_eq!(body["system"], json!([{ "text": "s" }, point]));
    assert_eq!(body["toolConfig"]["tools"][1], point);
    assert_eq!(body["messages"][0]["content"], json!([{ "text": "hi" }, point, { "text": "hi" }]));
    assert_eq!(dropped, Vec::<String>::new());

    // Only Claude knows how long; only few models cache at all.
    let nova = Target { family: Family::Nova, ..Target::default() };
    let plain = json!({ "cachePoint": { "type": "default" } });
    assert_eq!(written(&request, &nova).0["system"][1], plain);
    let (body, dropped) = written(&request, &Target::default());
    assert!(!body.to_string().contains("cachePoint"));
    assert_eq!(dropped, ["cache_control"]);

    // The operator's own points: beside the client's, four in all, never two in one place.
    let points = CachePoints { system: true, tools: true, messages: vec![-1, 1, 0, 9, -9] };
    let target = Target { cache_points: points, ..claude() };
    let (body, _) = written(&request, &target);
    assert_eq!(body.to_string().matches("cachePoint").count(), 4);
    assert_eq!(body["messages"][2]["content"], json!([{ "text": "hi" }, plain]));
    let unmarked = Request { system: vec![Text { text: "s".into(), cache: None }], tools: vec![tool("t")], ..asking() };
    let (body, _) = written(&unmarked, &target);
    assert_eq!(body["system"][1], plain);
    assert_eq!(body["toolConfig"]["tools"][1], plain);
    assert_eq!(body["messages"][0]["content"], json!([{ "text": "hi" }, plain]));
    assert_eq!(written(&asking(), &target).0.to_string().matches("cachePoint").count(), 1, "what is not there");
}
