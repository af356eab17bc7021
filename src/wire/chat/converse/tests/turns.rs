use super::*;

const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1Pe";

fn messages(messages: Vec<Message>, target: &Target) -> Value {
    written(&Request { messages, ..Request::default() }, target).0["messages"].clone()
}

fn content(parts: Vec<Part>) -> Value {
    messages(vec![user(parts)], &claude())[0]["content"].clone()
}

fn image(media_type: &str, data: &str) -> Part {
    Part::Image { source: Source::Data { media_type: media_type.into(), data: data.into() }, cache: None }
}

fn document(name: Option<&str>, media_type: &str) -> Part {
    let source = Source::Data { media_type: media_type.into(), data: "YQ==".into() };
    Part::Document { name: name.map(str::to_owned), source, cache: None }
}

#[test]
fn turns_alternate_begin_with_the_users_and_hold_something() {
    let text = |words: &str| vec![Part::text(words)];
    let keeps = claude();
    let goes_on = Target { prefill: false, ..claude() };
    let ask = |words: &[&str]| {
        let blocks: Vec<Value> = words.iter().map(|word| json!({ "text": word })).collect();
        json!({ "role": "user", "content": blocks })
    };
    let say = |word: &str| json!({ "role": "assistant", "content": [{ "text": word }] });
    for (given, target, expected) in [
        (vec![user(text("a")), user(text("b"))], &keeps, json!([ask(&["a", "b"])])),
        (vec![assistant(text("a")), user(text("b"))], &keeps, json!([ask(&["."]), say("a"), ask(&["b"])])),
        (vec![user(text("a")), assistant(text("b \n"))], &keeps, json!([ask(&["a"]), say("b")])),
        (
            vec![user(text("a")), assistant(text("b \n"))],
            &goes_on,
            json!([ask(&["a"]), say("b \n"), ask(&["Please continue."])]),
        ),
        (
            vec![user(text("a")), assistant(vec![]), user(text("b"))],
            &keeps,
            json!([ask(&["a"]), say("."), ask(&["b"])]),
        ),
        (vec![user(text("a")), assistant(text(" "))], &keeps, json!([ask(&["a"])])),
        (vec![user(text("a")), assistant(vec![])], &goes_on, json!([ask(&["a"])])),
        (vec![user(text(" \n"))], &keeps, json!([ask(&["."])])),
        (vec![user(text("")), user(text("a"))], &keeps, json!([ask(&["a"])])),
        (vec![], &keeps, json!([ask(&["."])])),
    ] {
        assert_eq!(messages(given.clone(), target), expected, "{given:?}");
    }
}

#[test]
fn pictures_are_what_their_first_bytes_say() {
    for (media_type, data, format) in [
        ("image/png", PNG, "png"),
        ("image/jpeg", PNG, "png"),
        ("application/octet-stream", "/9j/4AAQSkZJRgABAQAA", "jpeg"),
        ("image/png", "R0lGODlhAQABAIAAAP//", "gif"),
        ("", "UklGRiQAAABXRUJQVlA4", "webp"),
        ("image/jpg", "YWJj", "jpeg"),
        ("image/webp; q=1", "YWJj", "webp"),
    ] {
        let expected = json!([{ "image": { "format": format, "source": { "bytes": data } } }]);
        assert_eq!(content(vec![image(media_type, data)]), expected, "{media_type}");
    }
    let of = |part: Part| Request { messages: vec![user(vec![part])], ..Request::default() };
    assert_eq!(refused(&of(image("image/bmp", "YWJj")), &claude()).code, None);
    let blind = Target { images: false, ..claude() };
    assert_eq!(refused(&of(image("image/png", PNG)), &blind).code, Some("unsupported_parameter"));
    let far = Part::Image { source: Source::Url("https://x/a.png".into()), cache: None };
    let error = refused(&of(far), &claude());
    assert_eq!(error.code, Some("unsupported_image_url"));
    assert!(!error.message.contains("https"), "{error}");
    let audio = Part::Audio { format: "wav".into(), data: "YQ==".into() };
    assert_eq!(refused(&of(audio), &claude()).code, Some("unsupported_parameter"));
}

#[test]
fn documents_have_a_format_a_name_of_their_own_and_a_text_beside_them() {
    let found = content(vec![
        document(Some("Bericht für 2026.pdf"), "application/pdf"),
        document(Some("a_b__c (1)[2]-x"), "text/csv"),
        document(None, "text/plain; charset=utf-8"),
        document(None, "text/html"),
        document(Some("notes.MD"), "application/octet-stream"),
        Part::Document { name: None, source: Source::Text("aä".into()), cache: None },
    ]);
    let of = |format: &str, name: &str, bytes: &str| json!({ "document": { "format": format, "name": name, "source": { "bytes": bytes } } });
    let expected = json!([
        of("pdf", "Bericht f r 2026 pdf", "YQ=="),
        of("csv", "a b c (1)[2]-x", "YQ=="),
        of("txt", "document", "YQ=="),
        of("html", "document (2)", "YQ=="),
        of("md", "notes MD", "YQ=="),
        of("txt", "document (3)", "YcOk"),
        { "text": "." },
    ]);
    assert_eq!(found, expected);
    let said = content(vec![document(None, "application/pdf"), Part::text("read it")]);
    assert_eq!(said.as_array().expect("blocks").len(), 2);
    // Names are one request's, wherever the documents stand.
    let inside = content(vec![result("1", vec![document(Some("a"), "text/csv")]), document(Some("a"), "text/csv")]);
    assert_eq!(inside[0]["toolResult"]["content"][0]["document"]["name"], "a");
    assert_eq!(inside[1]["document"]["name"], "a (2)");
    let long =
        content(vec![document(Some(&"n".repeat(300)), "text/csv"), document(Some(&"n".repeat(300)), "text/csv")]);
    let names = [0, 1].map(|at| long[at]["document"]["name"].as_str().expect("a name").to_owned());
    assert_eq!(names.clone().map(|name| name.len()), [200, 200]);
    assert_ne!(names[0], names[1]);
    for part in [
        document(Some("a.zip"), "application/zip"),
        Part::Document { name: None, source: Source::Url("https://x".into()), cache: None },
    ] {
        refused(&Request { messages: vec![user(vec![part])], ..Request::default() }, &claude());
    }
}

#[test]
fn calls_and_their_results_find_each_other() {
    let odd = "id with spaces";
    let failed = Part::ToolResult { id: odd.into(), parts: vec![Part::text("no")], is_error: true, cache: marked() };
    let kept = |text: &str| Part::Text { text: text.into(), cache: marked(), citations: vec![] };
    let found = messages(
        vec![
            user(vec![Part::text("hi")]),
            assistant(vec![Part::text("so"), call("a.b:c-1", r#"{"z":1, "a":[]}"#), call(odd, " ")]),
            user(vec![Part::text("first")]),
            user(vec![result("a.b:c-1", vec![Part::text(" "), image("image/png", PNG)]), failed]),
            user(vec![result("x", vec![Part::text("")]), result("y", vec![kept("1"), Part::text("2")])]),
        ],
        &claude(),
    );
    let safe = "call_a89f0d6b5d5b0ff1d55b1ad1";
    let made = found[1]["content"][2]["toolUse"]["toolUseId"].as_str().expect("an id").to_owned();
    assert_eq!(made.len(), safe.len());
    assert_eq!(found[1]["content"][2]["toolUse"]["input"], json!({}));
    let point = json!({ "cachePoint": { "type": "default", "ttl": "1h" } });
    let result = |id: &str, status: &str, content: Value| json!({ "toolResult": { "toolUseId": id, "content": content, "status": status } });
    let picture = json!({ "image": { "format": "png", "source": { "bytes": PNG } } });
    assert_eq!(
        found[2]["content"],
        json!([
            result("a.b:c-1", "success", json!([picture])),
            result(&made, "error", json!([{ "text": "no" }])),
            point,
            result("x", "success", json!([{ "text": "(empty result)" }])),
            result("y", "success", json!([{ "text": "1" }, { "text": "2" }])),
            point,
            { "text": "first" },
        ])
    );
}

#[test]
fn arguments_are_sent_as_they_were_written_or_refused() {
    let of = |part: Part| Request { messages: vec![user(vec![]), assistant(vec![part])], ..Request::default() };
    let exact = of(call("1", r#"{"z":1.50,"a":12345678901234567890123}"#));
    let body = crate::wire::chat::converse::write_request(&exact, &claude()).expect("a request").body;
    let body = String::from_utf8(body).expect("text");
    assert!(body.contains(r#""input":{"z":1.50,"a":12345678901234567890123}"#), "{body}");
    for arguments in ["{", "[1]", "text", "1"] {
        assert_eq!(refused(&of(call("1", arguments)), &claude()).param.as_deref(), Some("messages"), "{arguments}");
    }
    let Part::ToolCall(free) = call("1", "any text") else { unreachable!() };
    let request = of(Part::ToolCall(ToolCall { free_text: true, ..free }));
    let (body, _) = written(&request, &claude());
    assert_eq!(body["messages"][1]["content"][0]["toolUse"]["input"], json!({ "input": "any text" }));
}

#[test]
fn thoughts_go_back_to_the_model_that_can_know_them() {
    let thoughts = vec![
        Part::Thinking { text: "a".into(), signature: Some("s".into()) },
        Part::Thinking { text: "b".into(), signature: None },
        Part::RedactedThinking("cmVk".into()),
        Part::text("c"),
    ];
    let signed = json!({ "reasoningContent": { "reasoningText": { "text": "a", "signature": "s" } } });
    let plain = json!({ "reasoningContent": { "reasoningText": { "text": "b" } } });
    let redacted = json!({ "reasoningContent": { "redactedContent": "cmVk" } });
    let history = vec![user(vec![Part::text("q")]), assistant(thoughts), user(vec![Part::text("q")])];
    let said = json!({ "text": "c" });
    assert_eq!(messages(history.clone(), &claude())[1]["content"], json!([signed, redacted, said]));
    let open = Target { plain_reasoning: true, ..claude() };
    assert_eq!(messages(history, &open)[1]["content"], json!([signed, plain, redacted, said]));
}
