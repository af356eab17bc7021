use super::*;
use crate::domain::{EventFlag, KeyId, Money};
use crate::telemetry::AbortedBy;
use std::io;

/// An output that can be read back, and held shut.
#[derive(Clone, Default)]
struct Paper(Arc<(Mutex<Vec<u8>>, Mutex<()>)>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _open = self.0.1.lock();
        self.0.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.0.lock().clone()).unwrap()
    }
}

fn written(format: LogFormat, line: &RequestLine<'_>) -> String {
    let paper = Paper::default();
    let log = RequestLog::new(format, paper.clone()).unwrap();
    log.write(line, UnixMillis(1_709_208_245_007));
    drop(log);
    paper.text()
}

fn line() -> RequestLine<'static> {
    RequestLine {
        request_id: "req-1",
        event_id: None,
        key_id: KeyId::parse("7b1c9a52-6a3e-4d53-9a55-1f0e5c2f0b11"),
        provider: "openai",
        model: "gpt-4o",
        method: "POST",
        endpoint: "/v1/chat/completions",
        status: 200,
        duration: Duration::from_millis(812),
        first_byte: Some(Duration::from_millis(95)),
        prompt_tokens: 12,
        completion_tokens: 34,
        cost: Money::from_units(3_700_000),
        flags: &[EventFlag::Estimated, EventFlag::Aborted],
        aborted: Some(AbortedBy::Client),
        refused: None,
    }
}

#[test]
fn the_line_of_a_request_reads_alone_and_has_fields() {
    let text = written(LogFormat::Text, &line());
    assert_eq!(text.lines().count(), 1, "{text}");
    for part in [
        "POST /v1/chat/completions 200 in 812 ms, openai gpt-4o, aborted by client",
        r#"request_id="req-1""#,
        "key_id=7b1c9a52-6a3e-4d53-9a55-1f0e5c2f0b11",
        "ttfb_ms=95",
        "prompt_tokens=12",
        "completion_tokens=34",
        "cost_usd=0.0003700000",
        "flags=estimated,aborted",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    assert!(!text.contains("refused") && !text.contains("event_id"), "absent fields are not shown: {text}");
}

#[test]
fn json_lines_are_flat_objects() {
    let text = written(LogFormat::Json, &line());
    let object: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!(object["status"], 200);
    assert_eq!(object["duration_ms"], 812);
    assert_eq!(object["model"], "gpt-4o");
    assert_eq!(object["aborted"], "client");
    assert_eq!(object["level"], "INFO");
    assert!(object["message"].as_str().unwrap().starts_with("POST /v1/chat/completions 200"));
    assert!(object.get("refused").is_none());
}

#[test]
fn a_client_cannot_write_lines_of_its_own_or_grow_one() {
    let model = format!("x\nforged\r\u{1b}[31m{}é", "m".repeat(5_000));
    let line = RequestLine { model: &model, request_id: "a\nb", method: "P\nT", ..line() };
    for format in [LogFormat::Text, LogFormat::Json] {
        let text = written(format, &line);
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.contains('\u{1b}') && !text.contains('\r'), "{text}");
        assert!(text.len() < 1_500, "{} bytes", text.len());
    }
}

#[test]
fn a_blocked_output_drops_lines_and_stalls_nobody() {
    let paper = Paper::default();
    let shut = paper.0.1.lock();
    let log = RequestLog::new(LogFormat::Text, paper.clone()).unwrap();
    let line = line();
    let one = written(LogFormat::Text, &line).len();
    let sent = 2 * MOST_WAITING / one + 100;
    for _ in 0..sent {
        log.write(&line, UnixMillis(0));
    }
    assert!(log.dropped_lines() > 0, "what does not fit is dropped");
    let kept = sent - usize::try_from(log.dropped_lines()).unwrap();
    drop(shut);
    drop(log);
    assert_eq!(paper.text().lines().count(), kept, "what fits is written");
}
