//! The one line that a request leaves in the log when it has ended. Made of ids, names and numbers only.
//! Formatted by hand in the shape of all other lines: a general formatter costs ten times as much, per request.

use super::labels::{AbortedBy, Label, RefusalReason};
use super::log::LogFormat;
use crate::domain::{EventFlag, EventId, KeyId, Money, UnixMillis};
use std::fmt::{self, Write as _};
use std::time::Duration;

/// Says what kind of line it is, as other lines name their module.
const TARGET: &str = "tollgate::request";

/// Bytes of a text that a client chose; more is cut, because a line must not grow with the request.
const MAX_TEXT: usize = 128;

/// What is worth telling of one request.
#[derive(Clone, Copy, Debug)]
pub struct RequestLine<'a> {
    pub request_id: &'a str,
    /// Admitted requests have one.
    pub event_id: Option<EventId>,
    pub key_id: Option<KeyId>,
    /// Empty when the path names none.
    pub provider: &'a str,
    /// Empty when the body names none.
    pub model: &'a str,
    pub method: &'a str,
    /// The template, never the literal path: ids in a path are the client's business.
    pub endpoint: &'a str,
    pub status: u16,
    pub duration: Duration,
    pub first_byte: Option<Duration>,
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    pub cost: Money,
    pub flags: &'a [EventFlag],
    pub aborted: Option<AbortedBy>,
    pub refused: Option<RefusalReason>,
}

/// Appends the line. Formatted text is not escaped by every output: what a client chose is escaped here.
pub(super) fn append(line: &RequestLine<'_>, at: UnixMillis, format: LogFormat, out: &mut String) {
    // Writing to a String cannot fail.
    let _ = match format {
        LogFormat::Text => text(line, at, out),
        LogFormat::Json => json(line, at, out),
    };
    out.push('\n');
}

fn text(line: &RequestLine<'_>, at: UnixMillis, out: &mut String) -> fmt::Result {
    write!(out, "{at}")?;
    out.push_str("  INFO ");
    out.push_str(TARGET);
    out.push_str(": ");
    message(line, out);
    out.push_str(" request_id=\"");
    plain(short(line.request_id), out);
    out.push('"');
    for_each_fact(line, |name, fact| {
        out.push(' ');
        out.push_str(name);
        out.push('=');
        match fact {
            Fact::Word(word) => plain(word, out),
            Fact::Shown(shown) => write!(out, "{shown}")?,
            Fact::Number(value) => number(value, out),
        }
        Ok(())
    })
}

fn json(line: &RequestLine<'_>, at: UnixMillis, out: &mut String) -> fmt::Result {
    write!(out, "{{\"timestamp\":\"{at}\",\"level\":\"INFO\",\"message\":")?;
    let mut told = String::with_capacity(96);
    message(line, &mut told);
    quoted(&told, out)?;
    out.push_str(",\"request_id\":");
    quoted(short(line.request_id), out)?;
    for_each_fact(line, |name, fact| {
        write!(out, ",\"{name}\":")?;
        match fact {
            Fact::Word(word) => quoted(word, out),
            Fact::Shown(shown) => write!(out, "\"{shown}\""),
            Fact::Number(number) => write!(out, "{number}"),
        }
    })?;
    write!(out, ",\"target\":\"{TARGET}\"}}")
}

/// What can be read without the fields.
fn message(line: &RequestLine<'_>, out: &mut String) {
    plain(short(line.method), out);
    out.push(' ');
    out.push_str(line.endpoint);
    out.push(' ');
    number(line.status.into(), out);
    out.push_str(" in ");
    number(millis(line.duration), out);
    out.push_str(" ms");
    for (before, text) in [
        (", ", line.provider),
        (" ", short(line.model)),
        (", refused: ", line.refused.map_or("", Label::name)),
        (", aborted by ", line.aborted.map_or("", Label::name)),
    ] {
        if !text.is_empty() {
            out.push_str(before);
            plain(text, out);
        }
    }
}

enum Fact<'a> {
    /// May hold anything.
    Word(&'a str),
    /// Shows itself in letters, digits and plain signs only.
    Shown(&'a dyn fmt::Display),
    Number(u64),
}

fn for_each_fact(line: &RequestLine<'_>, mut each: impl FnMut(&str, Fact<'_>) -> fmt::Result) -> fmt::Result {
    if let Some(id) = &line.event_id {
        each("event_id", Fact::Shown(id))?;
    }
    if let Some(id) = &line.key_id {
        each("key_id", Fact::Shown(id))?;
    }
    for (name, word) in [
        ("provider", line.provider),
        ("model", short(line.model)),
        ("method", short(line.method)),
        ("endpoint", line.endpoint),
    ] {
        each(name, Fact::Word(word))?;
    }
    each("status", Fact::Number(line.status.into()))?;
    each("duration_ms", Fact::Number(millis(line.duration)))?;
    if let Some(first_byte) = line.first_byte {
        each("ttfb_ms", Fact::Number(millis(first_byte)))?;
    }
    each("prompt_tokens", Fact::Number(line.prompt_tokens))?;
    each("completion_tokens", Fact::Number(line.completion_tokens))?;
    each("cost_usd", Fact::Shown(&line.cost))?;
    if !line.flags.is_empty() {
        each("flags", Fact::Shown(&Flags(line.flags)))?;
    }
    if let Some(by) = line.aborted {
        each("aborted", Fact::Word(by.name()))?;
    }
    match line.refused {
        Some(why) => each("refused", Fact::Word(why.name())),
        None => Ok(()),
    }
}

/// A JSON string.
fn quoted(text: &str, out: &mut String) -> fmt::Result {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => write!(out, "\\u{:04x}", u32::from(c))?,
            c => out.push(c),
        }
    }
    out.push('"');
    Ok(())
}

/// A text that cannot end a line or colour it. Nearly all are plain already, so looking comes before escaping.
fn plain(text: &str, out: &mut String) {
    let harmless = text.bytes().all(|b| matches!(b, b' '..=b'~') && !matches!(b, b'"' | b'\\' | b'\''));
    if harmless {
        out.push_str(text);
    } else {
        out.extend(text.escape_debug());
    }
}

fn number(value: u64, out: &mut String) {
    if value >= 10 {
        number(value / 10, out);
    }
    out.extend(char::from_digit(u32::try_from(value % 10).unwrap_or_default(), 10));
}

struct Flags<'a>(&'a [EventFlag]);

impl fmt::Display for Flags<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, flag) in self.0.iter().enumerate() {
            f.write_str(if n == 0 { "" } else { "," })?;
            f.write_str(match flag {
                EventFlag::Estimated => "estimated",
                EventFlag::Aborted => "aborted",
                EventFlag::Unpriced => "unpriced",
                EventFlag::Cached => "cached",
                EventFlag::Refused => "refused",
                EventFlag::Recovered => "recovered",
            })?;
        }
        Ok(())
    }
}

fn short(text: &str) -> &str {
    let end = text.floor_char_boundary(MAX_TEXT);
    text.get(..end).unwrap_or_default()
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
