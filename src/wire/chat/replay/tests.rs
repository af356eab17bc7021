use super::super::tests::round_trip::{answer, told};
use super::super::transcripts::event_streams;
use super::super::*;
use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::fmt::Write;

const FORMS: [Format; 4] = [Format::OpenAiChat, Format::OpenAiCompletions, Format::OpenAiResponses, Format::Anthropic];

fn parsed(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(body)))
}

fn streamed(format: Format, whole: &Value, usage: bool) -> Option<Bytes> {
    as_stream(format, serde_json::to_string_pretty(whole).unwrap().as_bytes(), usage).map(Bytes::from)
}

/// A body of these data.
fn events(all: &[Value]) -> Bytes {
    let mut body = String::new();
    all.iter().for_each(|data| write!(body, "data: {data}\n\n").unwrap());
    body.into()
}

fn chat() -> Value {
    let logprob = |token: &str| json!({"token": token, "logprob": -0.31725305, "bytes": [72], "top_logprobs": []});
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 17, "model": "m", "service_tier": "default",
        "system_fingerprint": "fp", "something_new": {"a": 1},
        "choices": [
            {"index": 0, "finish_reason": "tool_calls", "logprobs": {"content": [logprob("H"), logprob("i")], "refusal": null},
             "content_filter_results": {"hate": {"filtered": false, "severity": "safe"}},
             "message": {"role": "assistant", "content": "Hi \u{1f600}\n", "refusal": null, "reasoning_content": "hm",
                "annotations": [{"type": "url_citation", "url_citation": {"url": "u", "start_index": 0, "end_index": 2}}],
                "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"z\": 1.50}"}},
                    {"id": "b", "type": "custom", "custom": {"name": "g", "input": "x\ny"}},
                ]}},
            {"index": 1, "finish_reason": "content_filter", "logprobs": null,
             "message": {"role": "assistant", "content": null, "refusal": "no"}},
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16,
            "completion_tokens_details": {"reasoning_tokens": 2, "accepted_prediction_tokens": 1}},
    })
}

fn completion() -> Value {
    json!({
        "id": "cmpl-1", "object": "text_completion", "created": 17, "model": "m",
        "choices": [
            {"index": 0, "text": "one", "finish_reason": "stop", "logprobs": {"tokens": ["one"], "token_logprobs": [-0.1]}},
            {"index": 1, "text": "two", "finish_reason": "length", "logprobs": null},
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16},
    })
}

fn message() -> Value {
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "container": {"id": "c"},
        "stop_reason": "stop_sequence", "stop_sequence": "END",
        "content": [
            {"type": "thinking", "thinking": "hm\n", "signature": "proof"},
            {"type": "redacted_thinking", "data": "xx"},
            {"type": "text", "text": "plain"},
            {"type": "text", "text": "found", "citations": [
                {"type": "web_search_result_location", "url": "u", "title": "t", "cited_text": "c", "encrypted_index": "e"},
                {"type": "char_location", "cited_text": "d", "document_index": 0},
            ]},
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q \u{1f600}"}},
            {"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"type": "web_search_result", "url": "u"}]},
            {"type": "tool_use", "id": "t", "name": "f", "input": {"a": [1, {"b": 2.5}]}, "caller": {"type": "direct"}},
            {"type": "tool_use", "id": "v", "name": "g", "input": {}},
        ],
        "usage": {"input_tokens": 9, "cache_read_input_tokens": 4, "output_tokens": 7, "service_tier": "standard",
            "cache_creation": {"ephemeral_5m_input_tokens": 0}},
    })
}

fn response() -> Value {
    json!({
        "id": "resp_1", "object": "response", "created_at": 17, "status": "incomplete", "model": "m", "error": null,
        "incomplete_details": {"reason": "max_output_tokens"}, "metadata": {"k": "v"}, "temperature": 1.0,
        "output": [
            {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "e"},
            {"type": "web_search_call", "id": "ws", "status": "completed", "action": {"type": "search", "query": "q"}},
            {"type": "message", "id": "msg", "role": "assistant", "status": "completed", "content": [
                {"type": "output_text", "text": "a\nb", "logprobs": [], "annotations": [{"type": "url_citation", "url": "u"}]},
                {"type": "refusal", "refusal": "no"},
            ]},
            {"type": "function_call", "id": "fc", "call_id": "a", "name": "f", "arguments": "{\"z\": 1.50}", "status": "completed"},
            {"type": "custom_tool_call", "id": "ct", "call_id": "b", "name": "g", "input": "x", "status": "completed"},
        ],
        "usage": {"input_tokens": 9, "output_tokens": 7, "total_tokens": 16},
    })
}

fn samples() -> [(Format, Value); 4] {
    FORMS.map(|format| match format {
        Format::OpenAiChat => (format, chat()),
        Format::OpenAiCompletions => (format, completion()),
        Format::OpenAiResponses => (format, response()),
        _ => (format, message()),
    })
}

#[test]
fn nothing_is_lost_on_the_way_there_and_back() {
    for (format, whole) in samples() {
        let stream = streamed(format, &whole, true).expect("a stream");
        assert_eq!(parsed(&as_whole(format, &stream, None).expect("a whole")), whole, "{format:?}");
        assert_eq!(Opening::new(format).push(&stream), Opened::Output, "{format:?}");
    }
}

#[test]
fn streams_are_such_as_the_api_sends() {
    let stream = streamed(Format::OpenAiChat, &chat(), false).unwrap();
    let text = String::from_utf8(stream.to_vec()).unwrap();
    assert!(!text.contains("usage") && text.ends_with("\n\ndata: [DONE]\n\n"));
    assert_eq!(text.matches("something_new").count(), 1, "said once");
    assert!(!text.contains("\"message\"") && !text.contains("\"chat.completion\""));
    let usage = streamed(Format::OpenAiChat, &chat(), true).unwrap();
    let usage = String::from_utf8(usage.to_vec()).unwrap();
    assert!(usage.contains(r#""choices":[],"usage":{"completion_tokens":7"#) && usage.contains(r#""usage":null"#));

    let names = |format, whole: &Value| -> Vec<String> {
        let stream = streamed(format, whole, false).unwrap();
        let text = String::from_utf8(stream.to_vec()).unwrap();
        let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
        let mut all: Vec<String> = names.into_iter().map(str::to_owned).collect();
        all.dedup();
        all
    };
    assert_eq!(
        names(Format::Anthropic, &message())[..6].join(" "),
        "message_start content_block_start content_block_delta content_block_stop content_block_start content_block_stop"
    );
    let responses = names(Format::OpenAiResponses, &response());
    for name in [
        "response.created",
        "response.output_item.added",
        "response.reasoning_summary_text.delta",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.annotation.added",
        "response.output_text.done",
        "response.refusal.delta",
        "response.function_call_arguments.done",
        "response.custom_tool_call_input.delta",
        "response.output_item.done",
    ] {
        assert!(responses.iter().any(|known| known == name), "{name}");
    }
    assert_eq!(responses.last().map(String::as_str), Some("response.incomplete"));
}

#[test]
fn pieces_of_every_kind_are_put_together() {
    let chunk = |delta: Value, finish: Value| {
        json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}], "obfuscation": "xx"})
    };
    let call = |index: u64, rest: Value| json!({"tool_calls": [{"index": index, "function": rest}]});
    let stream = events(&[
        json!({"id": "", "created": 0, "model": "", "object": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]}),
        chunk(json!({"role": "assistant", "content": ""}), Value::Null),
        chunk(
            json!({"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]}),
            Value::Null,
        ),
        chunk(call(0, json!({"arguments": "{\"x"})), Value::Null),
        chunk(call(0, json!({"arguments": "\":1}"})), Value::Null),
        chunk(json!({}), "tool_calls".into()),
    ]);
    let tokens = Tokens { input: 3, output: 2, ..Tokens::default() };
    assert_eq!(as_whole(Format::OpenAiChat, &stream, None), None, "usage is nowhere");
    let whole = parsed(&as_whole(Format::OpenAiChat, &stream, Some(&tokens)).unwrap());
    assert_eq!(whole["usage"]["total_tokens"], 5);
    assert_eq!([&whole["id"], &whole["model"], &whole["created"]], [&json!("c"), &json!("m"), &json!(1)]);
    assert_eq!(whole["prompt_filter_results"], json!([{"prompt_index": 0}]));
    assert_eq!(whole.get("obfuscation"), None);
    assert_eq!(
        whole["choices"],
        json!([{"index": 0, "logprobs": null, "finish_reason": "tool_calls", "message": {
        "role": "assistant", "content": null, "refusal": null,
        "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x\":1}"}}]}}])
    );
}

#[test]
fn what_is_not_whole_or_unsure_is_no_answer() {
    let finish = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": {"total_tokens": 1}});
    let with = |before: Value| events(&[before, finish.clone()]);
    let said = json!({"choices": [{"index": 0, "delta": {"content": "x"}}]});
    let whole = |stream: &Bytes| as_whole(Format::OpenAiChat, stream, None);
    assert!(whole(&with(said.clone())).is_some(), "some servers forget their last word");
    assert_eq!(whole(&events(std::slice::from_ref(&said))), None, "it broke off");
    assert_eq!(whole(&with(json!({"choices": [{"index": 1, "delta": {"content": "x"}}]}))), None, "a choice broke off");
    assert_eq!(whole(&with(json!({"error": {"message": "m"}}))), None);
    assert_eq!(whole(&with(json!({"choices": [{"index": 0, "delta": {"audio": {"data": "QQ=="}}}]}))), None);
    assert_eq!(whole(&with(json!({"choices": [{"delta": {"tool_calls": [{"id": "a", "function": {}}]}}]}))), None);
    let two = json!([{"index": 0, "id": "a"}, {"index": 0, "id": "b"}]);
    assert_eq!(whole(&with(json!({"choices": [{"delta": {"tool_calls": two}}]}))), None, "two calls in one place");
    assert_eq!(whole(&Bytes::from_static(b"data: {\"choices\":[{\"ind")), None);
    assert_eq!(whole(&Bytes::new()), None);

    let mut sound = chat();
    sound["choices"][0]["message"]["audio"] = json!({"id": "a", "data": "QQ=="});
    assert_eq!(streamed(Format::OpenAiChat, &sound, false), None);
    let mut running = response();
    running["status"] = "queued".into();
    assert_eq!(streamed(Format::OpenAiResponses, &running, false), None);
    for (format, _) in samples() {
        for body in ["{}", "[]", "", "{\"choices\":[]}", "{\"error\":{\"message\":\"m\"}}", "{\"choices\":[{}]} x"] {
            assert_eq!(as_stream(format, body.as_bytes(), true), None, "{format:?} {body}");
        }
    }
    for (format, data) in [
        (Format::Anthropic, json!({"type": "error", "error": {"type": "overloaded_error"}})),
        (Format::OpenAiResponses, json!({"type": "error", "message": "m"})),
        (Format::OpenAiResponses, json!({"type": "response.failed", "response": {}})),
        (Format::OpenAiCompletions, json!({"error": {"message": "m"}})),
    ] {
        let (_, sample) = samples().into_iter().find(|(known, _)| *known == format).unwrap();
        let good = streamed(format, &sample, true).unwrap();
        let failed = [&*events(std::slice::from_ref(&data)), &good].concat();
        assert_eq!(as_whole(format, &Bytes::from(failed), None), None, "{format:?} {data}");
    }
    for format in [Format::Converse, Format::Ollama, Format::Gemini, Format::Knowledge] {
        assert_eq!(as_stream(format, chat().to_string().as_bytes(), true), None);
        assert_eq!(as_whole(format, &streamed(Format::OpenAiChat, &chat(), true).unwrap(), None), None);
    }
}

#[test]
fn every_beginning_of_a_stream_is_no_answer() {
    for (format, whole) in samples() {
        let stream = streamed(format, &whole, true).unwrap();
        let last = if matches!(format, Format::OpenAiChat | Format::OpenAiCompletions) {
            // All but the last word: why every choice ended, and the usage.
            stream.len() - b"\n\ndata: [DONE]\n\n".len()
        } else {
            stream.len() - 3
        };
        for end in 0..last {
            assert_eq!(as_whole(format, &stream.slice(..end), None), None, "{format:?} {end}");
        }
    }
}

#[test]
fn transcripts_become_what_their_codec_reads() {
    for (format, stream) in event_streams() {
        let stream = Bytes::from(stream);
        let (mut reader, mut events, mut collector) = (stream_reader(format), Vec::new(), Collector::default());
        reader.push(&stream, &mut events);
        reader.end(&mut events);
        events.into_iter().for_each(|event| collector.push(event));
        let whole = as_whole(format, &stream, Some(&Tokens::default()));
        match collector.finish() {
            Some(Ok(expected)) => {
                let read = read_answer(format, &whole.expect("an answer")).expect("of its form");
                assert_eq!(read, expected, "{format:?} {}", String::from_utf8_lossy(&stream));
            }
            _ => assert_eq!(whole, None),
        }
    }
}

/// As the codec of the form writes it.
fn stream_of(format: Format, answer: &Answer) -> Bytes {
    let mut writer = stream_writer(format, Asked { wants_usage: true, ..Asked::default() });
    let mut body = Vec::new();
    answer.clone().into_events().into_iter().for_each(|event| writer.write(event, &mut body));
    body.into()
}

/// Clients of completions see text only.
fn words(format: Format) -> Format {
    if format == Format::Anthropic { format } else { Format::OpenAiChat }
}

fn answered() -> impl Strategy<Value = (Format, Answer)> {
    prop::sample::select(FORMS.as_slice()).prop_flat_map(|format| (Just(format), answer(words(format))))
}

proptest! {
    #[test]
    fn what_codecs_write_whole_and_streamed_is_one((format, answer) in answered()) {
        let whole = write_answer(format, &answer, &Asked::default());
        let gathered = as_whole(format, &stream_of(format, &answer), None).expect("an answer");
        prop_assert_eq!(parsed(&gathered), parsed(&whole), "{:?}", format);
    }

    #[test]
    fn replays_are_read_as_what_they_replay((format, answer) in answered()) {
        let whole = write_answer(format, &answer, &Asked::default());
        let stream = Bytes::from(as_stream(format, &whole, true).expect("a stream"));
        prop_assert_eq!(parsed(&as_whole(format, &stream, None).expect("an answer")), parsed(&whole), "{:?}", format);
        if format == words(format) {
            let (mut reader, mut events, mut collector) = (stream_reader(format), Vec::new(), Collector::default());
            reader.push(&stream, &mut events);
            reader.end(&mut events);
            events.into_iter().for_each(|event| collector.push(event));
            prop_assert_eq!(told(collector.finish().expect("an end").expect("an answer")), answer, "{:?}", format);
        }
    }

    #[test]
    fn anything_is_looked_at(
        which in 0..FORMS.len(),
        text in "[a-c{}\\[\\]\":,0-2\\\\ \n]{0,40}",
        at in any::<prop::sample::Index>(),
    ) {
        as_stream(FORMS[which], text.as_bytes(), true);
        as_whole(FORMS[which], &Bytes::from(format!("data: {text}\n\n")), None);
        let (format, whole) = &samples()[which];
        let mut stream = streamed(*format, whole, true).unwrap().to_vec();
        let mut body = whole.to_string().into_bytes();
        for bytes in [&mut stream, &mut body] {
            let at = at.index(bytes.len());
            bytes.splice(at..at, text.bytes());
        }
        as_whole(*format, &Bytes::from(stream), None);
        as_stream(*format, &body, true);
    }
}
