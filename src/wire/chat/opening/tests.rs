use super::super::transcripts::event_streams;
use super::super::{Asked, Event, Failure, FailureKind, Stop, Tokens, stream_reader, stream_writer};
use super::*;
use Format::{Anthropic, OpenAiChat, OpenAiCompletions, OpenAiResponses};
use Opened::{Failed, NotYet, Output};
use proptest::prelude::*;

const FORMS: [Format; 4] = [OpenAiChat, OpenAiCompletions, OpenAiResponses, Anthropic];

/// What a whole stream is, cut anywhere.
fn opened(format: Format, stream: &[u8], cuts: &[prop::sample::Index]) -> Opened {
    let mut cuts: Vec<usize> = cuts.iter().map(|at| at.index(stream.len().max(1))).chain([0, stream.len()]).collect();
    cuts.sort_unstable();
    let mut opening = Opening::new(format);
    for cut in cuts.windows(2) {
        let before = opening.opened;
        let after = opening.push(&stream[cut[0]..cut[1].max(cut[0])]);
        assert!(before == NotYet || before == after, "what was said stays");
    }
    opening.end()
}

fn of_data(format: Format, data: &str) -> Opened {
    let name = serde_json::from_str::<serde_json::Value>(data).ok().and_then(|d| Some(d["type"].as_str()?.to_owned()));
    let named = name.map(|name| format!("event: {name}\n")).unwrap_or_default();
    let [bare, named] = [String::new(), named].map(|name| format!("{name}data: {data}\n\n"));
    let opened = Opening::new(format).push(bare.as_bytes());
    assert_eq!(Opening::new(format).push(named.as_bytes()), opened, "{format:?} {named}");
    opened
}

fn each_is(format: Format, expected: Opened, all: &[&str]) {
    for data in all {
        assert_eq!(of_data(format, data), expected, "{format:?} {data}");
    }
}

#[test]
fn chunks_of_conversations() {
    let choice = |choice: &str| format!(r#"{{"id":"c","object":"chat.completion.chunk","choices":[{choice}]}}"#);
    for delta in [
        r#"{"role":"assistant"}"#,
        r#"{"role":"assistant","content":"","refusal":null,"tool_calls":[]}"#,
        r#"{"content":null,"reasoning_content":""}"#,
        "{}",
    ] {
        let data = choice(&format!(
            r#"{{"index":0,"delta":{delta},"finish_reason":null,"content_filter_results":{{"x":1}}}}"#
        ));
        each_is(OpenAiChat, NotYet, &[&data]);
    }
    each_is(
        OpenAiChat,
        NotYet,
        &[
            r#"{"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0,"content_filter_results":{"hate":{"filtered":false}}}]}"#,
            r#"{"id":"c","choices":[],"usage":{"prompt_tokens":9}}"#,
            r#"{"id":"c","error":null,"usage":null}"#,
        ],
    );
    for delta in [
        r#"{"content":"x"}"#,
        r#"{"content":" "}"#,
        r#"{"refusal":"no"}"#,
        r#"{"reasoning_content":"hm"}"#,
        r#"{"reasoning":"hm"}"#,
        r#"{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":""}}]}"#,
        r#"{"function_call":{"name":"f"}}"#,
        r#"{"audio":{"id":"a"}}"#,
        r#"{"something_new":1}"#,
    ] {
        let both = [format!(r#"{{"delta":{delta}}}"#), format!(r#"{{"delta":{{}}}},{{"index":1,"delta":{delta}}}"#)];
        both.iter().for_each(|data| each_is(OpenAiChat, Output, &[&choice(data)]));
    }
    each_is(OpenAiChat, Output, &[r#"{"text":"x"}"#, "{}"]);
    let finished = choice(r#"{"index":0,"delta":{},"finish_reason":"stop"}"#);
    each_is(OpenAiChat, Output, &[&finished, "[DONE]", " [DONE]", "what is this", r#"{"broken":"#]);
    each_is(
        OpenAiChat,
        Failed,
        &[
            r#"{"error":{"message":"m"}}"#,
            r#"{"error":"m"}"#,
            r#"{"object":"error","message":"m","code":400}"#,
            r#"{"choices":[{"index":0,"delta":{},"finish_reason":"error"}],"error":{"code":502}}"#,
        ],
    );
    each_is(OpenAiCompletions, NotYet, &[r#"{"choices":[{"text":"","index":0,"finish_reason":null}]}"#]);
    each_is(OpenAiCompletions, Output, &[r#"{"choices":[{"text":"x","index":0}]}"#]);
}

#[test]
fn events_of_messages() {
    each_is(
        Anthropic,
        NotYet,
        &[
            r#"{"type":"message_start","message":{"id":"m","content":[],"stop_reason":null,"usage":{"input_tokens":9}}}"#,
            r#"{"type":"ping"}"#,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"","citations":[]}}"#,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":""}}"#,
            r#"{"type":"content_block_stop","index":0}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":null},"usage":{"output_tokens":1}}"#,
        ],
    );
    each_is(
        Anthropic,
        Output,
        &[
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"x"}}"#,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}"#,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"redacted_thinking","data":"x"}}"#,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"server_tool_use","id":"t"}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"x"}}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#,
            r#"{"type":"message_stop"}"#,
            r#"{"type":"something_new"}"#,
        ],
    );
    each_is(
        Anthropic,
        Failed,
        &[r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#, r#"{"error":{"message":"m"}}"#],
    );
    let named = b"event: error\ndata: gone wrong\n\n";
    assert_eq!(Opening::new(Anthropic).push(named), Failed);
}

#[test]
fn events_of_responses() {
    each_is(
        OpenAiResponses,
        NotYet,
        &[
            r#"{"type":"response.created","response":{"status":"in_progress","error":null,"output":[]}}"#,
            r#"{"type":"response.in_progress","response":{}}"#,
            r#"{"type":"response.queued","response":{}}"#,
            r#"{"type":"response.output_item.added","item":{"type":"message","id":"m","content":[]}}"#,
            r#"{"type":"response.output_item.added","item":{"type":"reasoning","summary":[],"encrypted_content":"x"}}"#,
            r#"{"type":"response.content_part.added","part":{"type":"output_text","text":"","annotations":[]}}"#,
            r#"{"type":"response.reasoning_summary_part.added","part":{"type":"summary_text","text":""}}"#,
            r#"{"type":"response.output_text.delta","delta":""}"#,
            r#"{"type":"keepalive","sequence_number":3}"#,
        ],
    );
    each_is(
        OpenAiResponses,
        Output,
        &[
            r#"{"type":"response.output_item.added","item":{"type":"function_call","name":"f","arguments":""}}"#,
            r#"{"type":"response.output_item.added","item":{"type":"web_search_call"}}"#,
            r#"{"type":"response.output_item.added","item":{"type":"message","content":[{"type":"output_text"}]}}"#,
            r#"{"type":"response.output_text.delta","delta":"x"}"#,
            r#"{"type":"response.refusal.delta","delta":"x"}"#,
            r#"{"type":"response.reasoning_summary_text.delta","delta":"x"}"#,
            r#"{"type":"response.output_item.done","item":{"type":"reasoning"}}"#,
            r#"{"type":"response.incomplete","response":{"error":null}}"#,
            r#"{"type":"response.completed","response":{}}"#,
            r#"{"type":"response.something_new"}"#,
            r#"{"text":"x"}"#,
        ],
    );
    each_is(
        OpenAiResponses,
        Failed,
        &[
            r#"{"type":"error","code":"server_error","message":"m"}"#,
            r#"{"type":"response.failed","response":{"status":"failed","error":{"code":"server_error"}}}"#,
            r#"{"error":{"message":"m"}}"#,
        ],
    );
}

#[test]
fn the_first_word_decides() {
    let (quiet, text, error) = (
        ": wait\n\ndata: {\"choices\":[]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n",
        "data: {\"error\":{}}\n\ndata: {\"error\":\"e\"}\n\n",
    );
    let of = |stream: String| opened(OpenAiChat, stream.as_bytes(), &[]);
    assert_eq!(of(quiet.into()), NotYet);
    assert_eq!(of(format!("{quiet}{text}{error}")), Output);
    assert_eq!(of(format!("{quiet}{error}{text}")), Failed);
    assert_eq!(of("data: {\"error\":\"e\"}".into()), Failed, "its blank line is missing");
    assert_eq!(of(String::new()), NotYet);
}

#[test]
fn silence_has_an_end_and_so_has_what_is_held() {
    let quiet = b": PROCESSING\n\n";
    let mut opening = Opening::new(OpenAiChat);
    let mut held = 0;
    while opening.push(quiet) == NotYet {
        held += quiet.len();
    }
    assert_eq!(opening.opened, Output);
    assert!(held <= OPENING_LIMIT && held + quiet.len() >= OPENING_LIMIT);
    for long in [vec![b'x'; OPENING_LIMIT], [b"data: \"".as_slice(), &vec![b'x'; 3 * OPENING_LIMIT]].concat()] {
        assert_eq!(Opening::new(OpenAiChat).push(&long), Output);
    }
    // What stands in the first bytes counts, however much follows it in one piece.
    let failed = [b"data: {\"error\":\"e\"}\n\n".as_slice(), &vec![b' '; 3 * OPENING_LIMIT]].concat();
    assert_eq!(Opening::new(OpenAiChat).push(&failed), Failed);
}

#[test]
fn what_is_no_stream_of_events_is_not_held() {
    for whole in ["{\"id\":\"c\"", " \n{}", "[]"] {
        assert_eq!(Opening::new(OpenAiChat).push(whole.as_bytes()), Output, "{whole}");
    }
    for format in [Format::Converse, Format::Ollama, Format::Gemini, Format::Knowledge] {
        let mut opening = Opening::new(format);
        assert_eq!([opening.push(b""), opening.push(b":")], [NotYet, Output], "{format:?}");
    }
}

/// What codecs write: every kind of first word, in every form.
#[test]
fn what_is_written_here_is_understood_here() {
    let start = || Event::Start { id: "i".into(), model: "m".into(), tokens: Tokens::default() };
    let failure = Failure { kind: FailureKind::Rate, message: "m".into(), code: None };
    for format in FORMS {
        let of = |events: Vec<Event>| {
            let mut writer = stream_writer(format, Asked { wants_usage: true, ..Asked::default() });
            let mut body = Vec::new();
            events.into_iter().for_each(|event| writer.write(event, &mut body));
            opened(format, &body, &[])
        };
        let only_text = if format == OpenAiCompletions { NotYet } else { Output };
        assert_eq!(of(vec![start()]), NotYet, "{format:?}");
        assert_eq!(of(vec![start(), Event::Text("x".into())]), Output, "{format:?}");
        assert_eq!(of(vec![start(), Event::Thinking("x".into())]), only_text, "{format:?}");
        let call = Event::ToolCall { id: "t".into(), name: "f".into() };
        assert_eq!(of(vec![start(), call]), only_text, "{format:?}");
        assert_eq!(of(vec![start(), Event::Failed(failure.clone())]), Failed, "{format:?}");
        let stop = Event::Stop { stop: Stop::End, sequence: None };
        assert_eq!(of(vec![start(), stop, Event::End]), Output, "{format:?}");
    }
}

/// By the codec that reads the stream: whether it was told something that a client could see.
fn as_read(format: Format, beginning: &[u8]) -> Opened {
    let mut events = Vec::new();
    stream_reader(format).push(&Bytes::copy_from_slice(beginning), &mut events);
    let word = |event: &Event| match event {
        Event::Start { .. } | Event::Tokens(_) | Event::BlockEnd => NotYet,
        Event::Failed(_) => Failed,
        _ => Output,
    };
    events.iter().map(word).find(|word| *word != NotYet).unwrap_or(NotYet)
}

proptest! {
    #[test]
    fn transcripts_open_with_their_first_word(
        which in any::<prop::sample::Index>(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let all = event_streams();
        let (format, stream) = which.get(&all);
        let ends = (0..stream.len()).filter(|at| stream[..*at].ends_with(b"\n\n"));
        let ends: Vec<usize> = ends.chain([stream.len()]).collect();
        let expected: Vec<Opened> = ends.iter().map(|end| as_read(*format, &stream[..*end])).collect();
        prop_assert_eq!(expected.last(), Some(&Output));
        for (end, expected) in ends.iter().zip(expected).take(12) {
            let opened = opened(*format, &stream[..*end], &cuts);
            prop_assert_eq!(opened, expected, "{:?} {}", format, String::from_utf8_lossy(&stream[..*end]));
        }
    }

    #[test]
    fn anything_is_looked_at_and_cuts_do_not_matter(
        which in 0..FORMS.len(),
        pieces in prop::collection::vec(
            prop_oneof![
                "[a-z{}\":,\\[\\] \n\r]{0,12}".prop_map(String::into_bytes),
                prop::collection::vec(any::<u8>(), 0..6),
                prop::sample::select(&[
                    "data: ", "event: error", "\n\n", "\r\n\r\n", "{\"type\":\"error\"}", "{\"error\":null,\"choices\":[",
                    "{\"delta\":{\"content\":\"", "\"}}]}", ": ping", "data: [DONE]", "{\"type\":\"response.created\"}",
                ][..]).prop_map(|text| text.as_bytes().to_vec()),
            ],
            0..12,
        ),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let stream = pieces.concat();
        prop_assert_eq!(opened(FORMS[which], &stream, &cuts), opened(FORMS[which], &stream, &[]));
    }
}
