//! Realtime over WebSocket: one connection, many responses, each with a bill of its own.
//! `response.done` tells the usage of a response (they add up), transcriptions of what was heard tell theirs.

use super::endpoints::REALTIME;
use super::usage::whole_or_zero;
use crate::domain::{Usage, UsageSource};
use crate::providers::{Call, Endpoint, Reading, Socket, SocketMeter};
use crate::wire::json_walk::{member, members, string, unescape};
use crate::wire::websocket::Messages;
use http::{HeaderMap, HeaderValue, header};

/// Types of messages that tell a usage.
const TELLING: [&[u8]; 2] = [b"response.done", b"conversation.item.input_audio_transcription.completed"];

/// Nearly all messages begin with their type, and nearly all of those are audio that is not worth holding.
fn may_tell(start: &[u8]) -> bool {
    match members(start).next() {
        Some(first) if first.is("type") => string(first.value).is_none_or(|kind| TELLING.contains(&kind)),
        _ => true,
    }
}

/// `None` for anything but the realtime endpoint.
pub(super) fn socket(endpoint: &Endpoint, query: Option<&str>, headers: &HeaderMap) -> Option<Socket> {
    if endpoint.template != REALTIME {
        return None;
    }
    let model = query.unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("model="));
    let model: Box<str> = model.unwrap_or_default().into();
    let call = Call { model: model.clone(), stream: true, choices: 1, ..Call::default() };
    let meter = Meter { model, messages: Messages::default() };
    // The client's own list may carry its key. Who offered nothing must not be answered with anything.
    let offers = headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL);
    let protocol = (header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("realtime"));
    let headers = if offers { vec![protocol] } else { Vec::new() };
    Some(Socket { call, headers, meter: Box::new(meter) })
}

struct Meter {
    model: Box<str>,
    messages: Messages,
}

impl SocketMeter for Meter {
    fn push(&mut self, piece: &[u8]) -> Vec<Reading> {
        let mut found = Vec::new();
        let model = &self.model;
        self.messages.push(piece, may_tell, |message| found.extend(reading(message, model)));
        found
    }
}

fn reading(message: &[u8], model: &str) -> Option<Reading> {
    match string(member(message, "type")?.value)? {
        b"response.done" => {
            let response = member(message, "response")?.value;
            let usage = used(member(response, "usage")?.value)?;
            Some(Reading { usage, model: Some(model.into()), ..Reading::default() })
        }
        b"conversation.item.input_audio_transcription.completed" => {
            let told = member(message, "usage")?.value;
            let by = member(message, "model").and_then(|m| string(m.value)).map(unescape);
            let model = by.map_or_else(|| TRANSCRIBER.into(), Into::into);
            let usage = match string(member(told, "type")?.value)? {
                b"duration" => Usage {
                    audio_millis: millis(member(told, "seconds")?.value)?,
                    source: UsageSource::Upstream,
                    ..Usage::default()
                },
                _ => used(told)?,
            };
            Some(Reading { usage, model: Some(model), ..Reading::default() })
        }
        _ => None,
    }
}

/// The event does not say which model transcribed; this is what a session has unless it chose another.
// LIMIT: a session that chose another transcription model is billed as this one.
const TRANSCRIBER: &str = "gpt-4o-transcribe";

fn millis(seconds: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(seconds).ok()?;
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let part: String = part.chars().chain(std::iter::repeat('0')).take(3).collect();
    Some(whole.parse::<u64>().ok()?.saturating_mul(1000).saturating_add(part.parse().ok()?))
}

/// Text, audio and image tokens, each less what was cached of it.
fn used(usage: &[u8]) -> Option<Usage> {
    let input = whole_or_zero(usage, "input_tokens");
    let output = whole_or_zero(usage, "output_tokens");
    if input == 0 && output == 0 && whole_or_zero(usage, "total_tokens") == 0 {
        return None;
    }
    let details = |name: &str| member(usage, name).map(|m| m.value).unwrap_or_default();
    let (of_input, of_output) = (details("input_token_details"), details("output_token_details"));
    let cached = member(of_input, "cached_tokens_details").map(|m| m.value).unwrap_or_default();
    let all_cached = whole_or_zero(of_input, "cached_tokens");
    let (cached_audio, cached_image) = (whole_or_zero(cached, "audio_tokens"), whole_or_zero(cached, "image_tokens"));
    let cached_text = if cached.is_empty() { all_cached } else { whole_or_zero(cached, "text_tokens") };
    let (in_audio, in_image) = (whole_or_zero(of_input, "audio_tokens"), whole_or_zero(of_input, "image_tokens"));
    let in_text = input.saturating_sub(in_audio).saturating_sub(in_image);
    let out_audio = whole_or_zero(of_output, "audio_tokens").min(output);
    Some(Usage {
        in_text: in_text.saturating_sub(cached_text),
        in_audio: in_audio.saturating_sub(cached_audio),
        in_image: in_image.saturating_sub(cached_image),
        cache_read_text: cached_text.min(in_text),
        cache_read_audio: cached_audio.min(in_audio),
        cache_read_image: cached_image.min(in_image),
        out_text: output - out_audio,
        out_audio,
        source: UsageSource::Upstream,
        ..Usage::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Money, UnixMillis};
    use crate::metering::Pricing;

    const DONE: &str = r#"{"type":"response.done","event_id":"e","response":{"id":"r","status":"completed","usage":{
        "total_tokens":1450,"input_tokens":1000,"output_tokens":450,
        "input_token_details":{"text_tokens":300,"audio_tokens":700,"cached_tokens":700,"cached_tokens_details":{"text_tokens":200,"audio_tokens":500}},
        "output_token_details":{"text_tokens":50,"audio_tokens":400}}}}"#;

    #[test]
    fn c18_a_response_is_billed_by_kind() {
        let reading = reading(DONE.as_bytes(), "gpt-realtime").unwrap();
        let at = UnixMillis::from_seconds(1_795_219_200);
        let price = Pricing::shipped().price("openai", "gpt-realtime", at, None).unwrap();
        assert_eq!(Some(price.cost(&reading.usage)), Money::parse_usd("0.03348"));
    }

    #[test]
    fn only_messages_that_tell_a_usage_are_read() {
        assert!(reading(br#"{"type":"response.audio.delta","delta":"x","usage":{"input_tokens":5}}"#, "m").is_none());
        assert!(reading(br#"{"type":"response.done","response":{"usage":null}}"#, "m").is_none());
        let heard = br#"{"type":"conversation.item.input_audio_transcription.completed","usage":{"type":"duration","seconds":2.5}}"#;
        assert_eq!(reading(heard, "m").unwrap().usage.audio_millis, 2500);
        let heard = br#"{"type":"conversation.item.input_audio_transcription.completed","usage":{"type":"tokens","input_tokens":12,"output_tokens":3,"input_token_details":{"audio_tokens":10}}}"#;
        let usage = reading(heard, "m").unwrap().usage;
        assert_eq!((usage.in_audio, usage.in_text, usage.out_text), (10, 2, 3));
    }

    #[test]
    fn a_type_is_found_wherever_it_stands() {
        assert!(!may_tell(br#"{"type": "response.output_audio.delta","delta":"AAAA"#));
        assert!(may_tell(br#" {"type":"response.done","resp"#) && may_tell(br#"{"event_id":"e","type":"x"#));
    }

    #[test]
    fn more_cached_than_sent_is_not_negative() {
        let odd = br#"{"type":"response.done","response":{"usage":{"input_tokens":1,"output_tokens":1,"input_token_details":{"cached_tokens":9},"output_token_details":{"audio_tokens":7}}}}"#;
        let usage = reading(odd, "m").unwrap().usage;
        assert_eq!((usage.in_text, usage.cache_read_text, usage.out_text, usage.out_audio), (0, 1, 0, 1));
    }
}
