use super::super::{
    Collector, Event, Format, Part, Request, Stop, StreamReader as _, Target, read_request, write_request,
};
use super::read::Reader;
use super::*;
use crate::wire::event_stream::{Value, encode};
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;

fn request(body: &serde_json::Value) -> Request {
    read_request(Format::OpenAiChat, body.to_string().as_bytes()).unwrap()
}

fn target(session: Option<&str>) -> Target {
    let knowledge = Knowledge { id: "KB1".into(), model_arn: "arn:aws:m".into(), session: session.map(Into::into) };
    Target { model: "arn:aws:m".into(), knowledge: Some(knowledge), ..Target::default() }
}

#[test]
fn the_last_question_is_asked_with_what_bounds_its_answer() {
    let asked =
        request(&json!({"model": "m", "max_tokens": 9, "temperature": 0.5, "top_p": 0.25, "stop": ["x"], "seed": 1,
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "first"},
            {"role": "assistant", "content": "no"}, {"role": "user", "content": "What is a toll?"}]}));
    let written = write_request(Format::Knowledge, &asked, &target(Some("s-1"))).unwrap();
    assert_eq!(written.dropped, ["tools", "seed"]);
    let body: serde_json::Value = serde_json::from_slice(&written.body).unwrap();
    let template = "Be brief.\n\nSearch results:\n$search_results$\n\n$output_format_instructions$";
    assert_eq!(
        body,
        json!({"input": {"text": "What is a toll?"}, "sessionId": "s-1", "retrieveAndGenerateConfiguration": {
            "type": "KNOWLEDGE_BASE", "knowledgeBaseConfiguration": {"knowledgeBaseId": "KB1", "modelArn": "arn:aws:m",
            "retrievalConfiguration": {"vectorSearchConfiguration": {"numberOfResults": 20, "overrideSearchType": "HYBRID"}},
            "generationConfiguration": {"promptTemplate": {"textPromptTemplate": template}, "inferenceConfig":
                {"textInferenceConfig": {"maxTokens": 9, "temperature": 0.5, "topP": 0.25, "stopSequences": ["x"]}}}}}})
    );
    let bare = request(&json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]}));
    let body: serde_json::Value =
        serde_json::from_slice(&write_request(Format::Knowledge, &bare, &target(None)).unwrap().body).unwrap();
    assert!(body.get("sessionId").is_none() && !body.to_string().contains("promptTemplate"), "{body}");
}

#[test]
fn only_words_are_asked() {
    for messages in [
        json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}]),
        json!([{"role": "assistant", "content": "hi"}]),
        json!([{"role": "user", "content": "  "}]),
    ] {
        let asked = request(&json!({"model": "m", "messages": messages}));
        assert!(question(&asked).is_err(), "{messages}");
    }
    assert!(is_session("0f8fad5b-d9cb-469f-a165-70867728950e"));
    for bad in ["", "a", "a b", "a\nb", "é-é", &"a".repeat(101)] {
        assert!(!is_session(bad), "{bad}");
    }
}

fn reference(source: &str) -> serde_json::Value {
    json!({"content": {"text": "It says so."}, "location": {"type": "S3", "s3Location": {"uri": source}}})
}

#[test]
fn an_answer_lists_its_sources_once() {
    let cited = json!({"retrievedReferences": [reference("s3://b/a.pdf"), reference("s3://b/c.pdf")]});
    let web = json!({"retrievedReferences": [reference("s3://b/a.pdf"),
        {"content": {"text": "x"}, "location": {"type": "WEB", "webLocation": {"url": "https://w"}}}, {}]});
    let body = json!({"sessionId": "s-2", "output": {"text": "Yes."}, "citations": [cited, web]}).to_string();
    let answer = read_answer(body.as_bytes()).unwrap();
    let text: String = answer.parts.iter().filter_map(Part::as_text).collect();
    assert_eq!(text, "Yes.\n\n---\n\n1. s3://b/a.pdf\n2. s3://b/c.pdf\n3. https://w");
    assert_eq!(session(body.as_bytes()).as_deref(), Some("s-2"));
    let bare = read_answer(br#"{"output":{"text":"No."},"citations":[],"guardrailAction":"INTERVENED"}"#).unwrap();
    assert_eq!((bare.parts.len(), bare.stop), (1, Stop::Filtered));
    for odd in ["{}", "[]", "", r#"{"output":{}}"#] {
        assert!(read_answer(odd.as_bytes()).is_err(), "{odd}");
    }
}

fn frame(kind: &str, name: &str, payload: &serde_json::Value) -> Vec<u8> {
    let headers = [
        (":message-type", Value::Text(kind)),
        (if kind == "event" { ":event-type" } else { ":exception-type" }, Value::Text(name)),
    ];
    encode(&headers, payload.to_string().as_bytes()).unwrap().to_vec()
}

fn stream() -> Vec<u8> {
    let cited = json!({"retrievedReferences": [reference("s3://b/a.pdf")]});
    [
        frame("event", "output", &json!({"text": "Ye"})),
        frame("event", "output", &json!({"text": "s."})),
        frame("event", "citation", &cited),
        frame("event", "citation", &json!({"citation": cited})),
    ]
    .concat()
}

fn events(body: &[u8], size: usize) -> Vec<Event> {
    let (mut reader, mut out) = (Reader::default(), Vec::new());
    body.chunks(size).for_each(|piece| reader.push(&Bytes::copy_from_slice(piece), &mut out));
    reader.end(&mut out);
    out
}

#[test]
fn a_stream_is_whole_when_it_ends_between_two_messages() {
    let body = stream();
    for size in 1..body.len() {
        assert_eq!(events(&body, size), events(&body, body.len()), "{size}");
    }
    let told = events(&body, 7);
    assert_eq!(told.last(), Some(&Event::End));
    assert_eq!(told.iter().filter(|event| matches!(event, Event::Citation(_))).count(), 1, "cited twice, told once");
    let mut collector = Collector::default();
    told.into_iter().for_each(|event| collector.push(event));
    let answer = collector.finish().unwrap().unwrap();
    let text: String = answer.parts.iter().filter_map(Part::as_text).collect();
    assert_eq!(text, "Yes.\n\n---\n\n1. s3://b/a.pdf");
    for cut in [body.len() - 1, body.len() - 40] {
        assert!(!events(&body[..cut], 9).contains(&Event::End), "{cut}");
    }
    assert!(events(b"", 1).is_empty());
    let failed = [stream(), frame("exception", "throttlingException", &json!({"message": "slow"}))].concat();
    assert!(matches!(events(&failed, 50).last(), Some(Event::Failed(failure)) if failure.message == "slow"));
}

#[test]
fn passages_come_before_the_question_and_are_bounded() {
    let long = "\"\n é".repeat(20_000);
    let found = json!({"retrievalResults": [{"content": {"text": "one"}, "location": {"s3Location": {"uri": "s3://b/1"}}},
        {"content": {"text": long}}, {"content": {"text": "three"}}]});
    let passages = super::found(found.to_string().as_bytes()).unwrap();
    assert_eq!((passages.len(), &*passages[0].source), (2, "s3://b/1"), "no room is left for a third");
    let asked = request(&json!({"model": "m", "messages": [{"role": "user", "content": "before"},
        {"role": "assistant", "content": "x"}, {"role": "user", "content": "why?"}]}));
    let grounded = ground(&asked, &passages).unwrap();
    let text = grounded.messages[0].parts[0].as_text().unwrap();
    assert!(text.contains("[Passage 1]\none\n") && text.ends_with("[Question]\nwhy?") && !text.contains("before"));
    assert_eq!(grounded.messages.len(), 1);
    let ask: serde_json::Value = serde_json::from_slice(&find("why?")).unwrap();
    assert_eq!(
        ask,
        json!({"retrievalQuery": {"text": "why?"}, "retrievalConfiguration":
        {"vectorSearchConfiguration": {"numberOfResults": 5, "overrideSearchType": "HYBRID"}}})
    );
}

proptest! {
    /// What a question is admitted with is never shorter than what is sent.
    #[test]
    fn stand_ins_bound_what_is_found(texts in prop::collection::vec("(\\PC|[\"\n\t\u{1}]){0,30}", 0..9), many in 1_usize..3000) {
        let results: Vec<_> = texts.iter().map(|text| json!({"content": {"text": text.repeat(many)}})).collect();
        let passages = found(json!({"retrievalResults": results}).to_string().as_bytes()).unwrap();
        let asked = request(&json!({"model": "m", "messages": [{"role": "user", "content": "why?"}]}));
        let target = Target::default();
        for format in [Format::OpenAiChat, Format::Converse, Format::Anthropic] {
            let bytes = |passages: &[Passage]| write_request(format, &ground(&asked, passages).unwrap(), &target).unwrap().body.len();
            prop_assert!(bytes(&passages) <= bytes(&stand_ins()), "{format:?}");
        }
    }

    #[test]
    fn any_bytes_are_an_answer_or_none(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = (read_answer(&body), found(&body), session(&body));
        events(&body, 3);
    }
}
