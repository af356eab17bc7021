use super::*;
use crate::wire::chat::{Citation, Failure, FailureKind, ToolCall};
use proptest::prelude::*;

fn call(name: &str) -> Event {
    Event::ToolCall { id: format!("id_{name}"), name: name.into() }
}

fn args(text: &str) -> Event {
    Event::Arguments(text.into())
}

fn text(text: &str) -> Event {
    Event::Text(text.into())
}

fn stop(stop: Stop) -> Event {
    Event::Stop { stop, sequence: None }
}

fn applied(events: Vec<Event>) -> Vec<Event> {
    let (mut tool, mut out) = (AnswerTool::new("answer"), Vec::new());
    events.into_iter().for_each(|event| tool.apply(event, &mut out));
    out
}

#[test]
fn the_call_becomes_the_text() {
    let events = vec![call("answer"), args("{\"a\""), args(":1}"), Event::BlockEnd, stop(Stop::ToolUse), Event::End];
    assert_eq!(applied(events), [text("{\"a\""), text(":1}"), Event::BlockEnd, stop(Stop::End), Event::End]);
}

#[test]
fn arguments_are_told_as_they_come() {
    let (mut tool, mut out) = (AnswerTool::new("answer"), Vec::new());
    tool.apply(call("answer"), &mut out);
    tool.apply(args("{"), &mut out);
    assert_eq!(out, [text("{")]);
}

#[test]
fn words_around_the_answer_are_left_out() {
    let thinking = Event::Thinking("hm".into());
    let events = vec![
        text("Here "),
        text("it is:"),
        Event::Citation(Citation::default()),
        Event::BlockEnd,
        thinking.clone(),
        Event::BlockEnd,
        text("so"),
        call("answer"),
        args("{}"),
        Event::BlockEnd,
        text("Done."),
        Event::BlockEnd,
        call("answer"),
        args("{}"),
        Event::BlockEnd,
        stop(Stop::ToolUse),
        Event::End,
    ];
    let expected = [thinking, Event::BlockEnd, text("{}"), Event::BlockEnd, stop(Stop::End), Event::End];
    assert_eq!(applied(events), expected);
}

#[test]
fn other_calls_stay_calls() {
    let before = vec![text("a"), call("f"), args("{}"), Event::BlockEnd, stop(Stop::ToolUse), Event::End];
    assert_eq!(applied(before.clone()), before);
    let both = vec![call("answer"), args("1"), call("f"), args("2"), stop(Stop::ToolUse)];
    assert_eq!(applied(both), [text("1"), call("f"), args("2"), stop(Stop::ToolUse)]);
}

#[test]
fn a_text_without_a_call_is_told_in_the_end() {
    let failed = Event::Failed(Failure { kind: FailureKind::Server, message: String::new(), code: None });
    for last in [stop(Stop::End), Event::End, failed] {
        let events = vec![text("a"), Event::BlockEnd, Event::Thinking("b".into()), text("c"), last];
        assert_eq!(applied(events.clone()), events);
    }
}

#[test]
fn not_everything_is_held_back() {
    let (mut tool, mut out) = (AnswerTool::new("answer"), Vec::new());
    tool.apply(text(&"x".repeat(HELD_LIMIT)), &mut out);
    assert_eq!(out.len(), 1);
    tool.apply(text("y"), &mut out);
    assert_eq!(out.len(), 2);
    let mut tool = AnswerTool::new("answer");
    tool.apply(text("x"), &mut out);
    (0..HELD_LIMIT / 16).for_each(|_| tool.apply(Event::BlockEnd, &mut out));
    assert!(tool.held.is_empty());
}

#[test]
fn a_cut_answer_stays_cut() {
    let events = vec![call("answer"), args("{"), stop(Stop::Length), Event::End];
    assert_eq!(applied(events), [text("{"), stop(Stop::Length), Event::End]);
}

fn part(kind: u8, nth: usize) -> Part {
    let tool = |name: &str| {
        Part::ToolCall(ToolCall {
            id: format!("id{nth}"),
            name: name.into(),
            arguments: format!("{{\"a\":{nth}}}"),
            free_text: name == "free",
            cache: None,
        })
    };
    match kind {
        0 => Part::text("t"),
        1 => tool("answer"),
        2 => tool("free"),
        3 => tool("other"),
        _ => Part::Thinking { text: "hm".into(), signature: None },
    }
}

proptest! {
    #[test]
    fn whole_and_in_pieces_are_the_same(kinds in prop::collection::vec(0..5u8, 0..7)) {
        let parts: Vec<Part> = kinds.iter().enumerate().map(|(nth, kind)| part(*kind, nth)).collect();
        let answer = Answer { parts, stop: Stop::ToolUse, ..Answer::default() };
        let whole = AnswerTool::apply_whole("answer", answer.clone());
        let mut collector = Collector::default();
        applied(answer.clone().into_events()).into_iter().for_each(|event| collector.push(event));
        let mut streamed = collector.finish().unwrap().unwrap();
        for part in &mut streamed.parts {
            if let Part::ToolCall(call) = part {
                call.free_text = call.name == "free";
            }
        }
        prop_assert_eq!(&whole, &streamed);
        let left = whole.parts.iter().any(|part| matches!(part, Part::ToolCall(call) if call.name == "answer"));
        prop_assert!(!left);
        if !kinds.contains(&1) {
            prop_assert_eq!(whole, answer);
        }
    }
}
