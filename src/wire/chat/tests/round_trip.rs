//! What is written in a form and read back is what it was, but for what the form has no word for.

use super::super::*;
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::value::RawValue;

/// The forms that are both written and read.
const FORMS: [Format; 3] = [Format::OpenAiChat, Format::Anthropic, Format::Converse];

/// What the parts of a conversation may be in a form.
#[derive(Clone, Copy)]
struct Words {
    /// Marks for caching, and thinking that comes back.
    full: bool,
    /// How long a mark holds is said.
    ttl: bool,
}

fn words(format: Format) -> Words {
    let full = format != Format::OpenAiChat;
    Words { full, ttl: full }
}

fn text() -> impl Strategy<Value = String> {
    // Not of white space only, nor with some at its end, which is cut where an answer is continued.
    "[a-z\u{e4}\u{1f600}\"\\\\\n{}]{0,12}[a-z\u{e4}\u{1f600}\"\\\\{}]"
}

fn base64() -> impl Strategy<Value = String> {
    prop::collection::vec(any::<u8>(), 1..40).prop_map(|bytes| media::encoded([b"GIF89a".as_slice(), &bytes].concat()))
}

fn arguments() -> impl Strategy<Value = String> {
    prop_oneof![Just("{}".to_owned()), Just(r#"{"z":1.50,"a":[1,{"b":"\u00e9 \""}]}"#.to_owned())]
}

fn mark(words: Words) -> BoxedStrategy<Option<CacheMark>> {
    let ttl = prop_oneof![Just(None), Just(Some("5m".to_owned())), Just(Some("1h".to_owned()))];
    match words {
        Words { full: false, .. } => Just(None).boxed(),
        Words { ttl: false, .. } => prop::option::weighted(0.2, Just(CacheMark::default())).boxed(),
        _ => prop::option::weighted(0.2, ttl.prop_map(|ttl| CacheMark { ttl })).boxed(),
    }
}

fn said(words: Words) -> impl Strategy<Value = Part> {
    (text(), mark(words)).prop_map(|(text, cache)| Part::Text { text, cache, citations: Vec::new() })
}

fn picture(words: Words) -> impl Strategy<Value = Part> {
    let source = base64().prop_map(|data| Source::Data { media_type: "image/gif".into(), data });
    (source, mark(words)).prop_map(|(source, cache)| Part::Image { source, cache })
}

fn paper(words: Words) -> impl Strategy<Value = Part> {
    let source = base64().prop_map(|data| Source::Data { media_type: "application/pdf".into(), data });
    (source, mark(words)).prop_map(|(source, cache)| Part::Document { name: Some("report".into()), source, cache })
}

/// What the user says.
fn asked(words: Words) -> impl Strategy<Value = Vec<Part>> {
    let others = prop::collection::vec(prop_oneof![said(words), picture(words)], 0..3);
    (prop::option::of(paper(words)), others, said(words)).prop_map(|(paper, mut others, last)| {
        others.extend(paper);
        others.push(last);
        others
    })
}

fn thoughts(words: Words) -> BoxedStrategy<Vec<Part>> {
    if !words.full {
        return Just(Vec::new()).boxed();
    }
    let thought =
        (text(), "[A-Za-z0-9]{4,40}").prop_map(|(text, proof)| Part::Thinking { text, signature: Some(proof) });
    prop::collection::vec(prop_oneof![3 => thought, 1 => base64().prop_map(Part::RedactedThinking)], 0..3).boxed()
}

/// Thinking, words, calls; and the results of the calls.
fn step(words: Words) -> impl Strategy<Value = (Vec<Part>, Vec<Part>)> {
    let result = (prop::collection::vec(said(Words { full: false, ..words }), 1..3), any::<bool>(), mark(words));
    let calls = prop::collection::vec((arguments(), mark(words), result), 1..4);
    (thoughts(words), prop::option::of(said(words)), calls, "[a-z0-9]{6}").prop_map(
        move |(mut said, text, calls, run)| {
            said.extend(text);
            let mut results = Vec::new();
            for (nth, (arguments, cache, (mut parts, is_error, result_cache))) in calls.into_iter().enumerate() {
                let id = format!("call_{run}_{nth}");
                let name = format!("tool_{nth}");
                said.push(Part::ToolCall(ToolCall { id: id.clone(), name, arguments, free_text: false, cache }));
                // In the lesser form several texts are one, and a failure is a text.
                parts.truncate(if words.full { 2 } else { 1 });
                results.push(Part::ToolResult { id, parts, is_error: is_error && words.full, cache: result_cache });
            }
            (said, results)
        },
    )
}

fn tool(words: Words) -> impl Strategy<Value = Tool> {
    (0..3_usize, text(), mark(words)).prop_map(|(nth, description, cache)| Tool {
        name: format!("tool_{nth}"),
        description: Some(description),
        schema: RawValue::from_string(r#"{"type":"object","properties":{"z":{},"a":{}}}"#.into()).ok(),
        strict: None,
        free_text: false,
        cache,
    })
}

fn request(words: Words) -> impl Strategy<Value = Request> {
    let turn = (asked(words), prop::option::of(step(words)), said(words));
    let instruction = (text(), mark(words)).prop_map(|(text, cache)| Text { text, cache });
    let choice = prop::option::of(prop_oneof![
        Just(ToolChoice::Auto),
        Just(ToolChoice::Required),
        Just(ToolChoice::Tool("tool_0".into())),
    ]);
    let system = prop::collection::vec(instruction, 0..=if words.full { 3 } else { 1 });
    let parts = (prop::collection::vec(turn, 0..3), asked(words), system);
    let tools = (prop::collection::vec(tool(words), 1..3), choice);
    let numbers = (
        1_u64..9000,
        prop::option::of(prop::sample::select(&[0.0, 0.25, 1.0][..])),
        prop::collection::vec("[a-z]{1,5}", 0..3),
    );
    (parts, tools, numbers).prop_map(|((turns, last, system), (tools, tool_choice), (max, temperature, stop))| {
        let mut messages = Vec::new();
        let mut say = |role, parts| messages.push(Message { role, parts });
        for (question, step, answer) in turns {
            say(Role::User, question);
            if let Some((calls, results)) = step {
                say(Role::Assistant, calls);
                say(Role::User, results);
            }
            say(Role::Assistant, vec![answer]);
        }
        say(Role::User, last);
        // Where two documents have one name, one of them is renamed.
        for (nth, part) in messages.iter_mut().flat_map(|message: &mut Message| &mut message.parts).enumerate() {
            if let Part::Document { name, .. } = part {
                *name = Some(format!("report {nth}"));
            }
        }
        Request { system, messages, tools, tool_choice, max_tokens: Some(max), temperature, stop, ..Request::default() }
    })
}

/// All of a request that this test makes.
fn essence(request: &Request) -> String {
    let Request { system, tools, tool_choice, max_tokens, temperature, stop, foreign, .. } = request;
    let turns = request.turns();
    // Asked for by the writer itself: which sequence ended the answer.
    let foreign: Vec<&String> = foreign.iter().filter(|name| *name != "additionalModelResponseFieldPaths").collect();
    format!("{system:#?} {turns:#?} {tools:#?} {tool_choice:?} {max_tokens:?} {temperature:?} {stop:?} {foreign:?}")
}

/// Blocks as an answer may have them: neighbours of one kind are one where the form has no blocks.
pub(in super::super) fn answer(format: Format) -> impl Strategy<Value = Answer> {
    let full = format != Format::OpenAiChat;
    let words = Words { full: false, ttl: false };
    let calls = prop::collection::vec(arguments(), 0..3);
    let texts = prop::collection::vec(text(), 1..=if full { 3 } else { 1 });
    let stop = prop_oneof![Just(Stop::End), Just(Stop::Length), Just(Stop::Filtered)];
    let tokens = [0_u64..5000, 0..5000, 0..5000, 0..5000];
    let plain = prop::option::of(text());
    (thoughts(Words { full, ..words }), plain, texts, calls, stop, tokens).prop_map(
        move |(mut parts, plain, texts, calls, mut stop, [input, cache_read, cache_write, output])| {
            if !full {
                parts.extend(plain.map(|text| Part::Thinking { text, signature: None }));
            }
            parts.extend(texts.into_iter().map(Part::text));
            if !calls.is_empty() && stop == Stop::End {
                stop = Stop::ToolUse;
            }
            parts.extend(calls.into_iter().enumerate().map(|(nth, arguments)| {
                let (id, name) = (format!("call_{nth}__ts_{}", "x".repeat(nth * 90)), format!("tool_{nth}"));
                Part::ToolCall(ToolCall { id, name, arguments, free_text: false, cache: None })
            }));
            let tokens = Tokens { input, cache_read, cache_write, output, ..Tokens::default() };
            Answer { parts, stop, tokens, ..Answer::default() }
        },
    )
}

/// Without the ids of answers and the names of models, which clients are told in their own way.
pub(in super::super) fn told(answer: Answer) -> Answer {
    Answer { id: String::new(), model: String::new(), ..answer }
}

fn streamed(format: Format, answer: &Answer, cuts: &[prop::sample::Index]) -> Option<Result<Answer, Failure>> {
    let mut writer = stream_writer(format, Asked { wants_usage: true, ..Asked::default() });
    let mut body = Vec::new();
    answer.clone().into_events().into_iter().for_each(|event| writer.write(event, &mut body));
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len())).chain([0, body.len()]).collect();
    cuts.sort_unstable();
    let (mut reader, mut events, mut collector) = (stream_reader(format), Vec::new(), Collector::default());
    for cut in cuts.windows(2) {
        reader.push(&Bytes::copy_from_slice(&body[cut[0]..cut[1]]), &mut events);
    }
    reader.end(&mut events);
    events.into_iter().for_each(|event| collector.push(event));
    collector.finish()
}

fn formed<T: std::fmt::Debug, S: Strategy<Value = T>>(of: fn(Format) -> S) -> impl Strategy<Value = (Format, T)> {
    prop::sample::select(FORMS.as_slice()).prop_flat_map(move |format| (Just(format), of(format)))
}

proptest! {
    #[test]
    fn requests_come_back((format, request) in formed(|format| request(words(format)))) {
        let target = Target { model: "m".into(), family: Family::Claude, ..Target::default() };
        let written = write_request(format, &request, &target).expect("it can be said");
        prop_assert_eq!(&written.dropped, &Vec::<String>::new());
        let read = read_request(format, &written.body).expect("it can be read");
        prop_assert_eq!(essence(&read), essence(&request), "{:?}: {}", format, String::from_utf8_lossy(&written.body));
    }

    #[test]
    fn answers_come_back((format, answer) in formed(answer)) {
        let written = write_answer(format, &answer, &Asked::default());
        let read = read_answer(format, &written).expect("an answer");
        prop_assert_eq!(told(read), answer, "{:?}: {}", format, String::from_utf8_lossy(&written));
    }

    #[test]
    fn streams_come_back(
        (format, answer) in formed(answer),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let read = streamed(format, &answer, &cuts).expect("an end").expect("an answer");
        prop_assert_eq!(told(read), answer, "{:?}", format);
    }
}
