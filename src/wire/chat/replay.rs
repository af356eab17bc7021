//! Kept answers of a client's form: a whole one as the stream that would have said the same, and the other way round.
//!
//! No canonical answer stands between: each form is put together by its own rule, so that members that no codec knows,
//! refusals, tools of the provider, several choices and the spelling of every number stay. Pieces become long ones, and
//! padding is left out; what cannot be put together surely is not put together at all.
//!
//! | File | Form |
//! |---|---|
//! | `chunks` | chat and text completions |
//! | `message` | messages |
//! | `response` | responses |
//! | `object`, `grown` | JSON that is taken apart and put together |

mod chunks;
mod grown;
mod message;
mod object;
mod response;

use super::openai::write_usage;
use super::parsed::compact;
use super::{Format, Tokens};
use crate::wire::sse::{Frame, Framer};
use bytes::Bytes;
use serde_json::value::RawValue;

/// The stream of a whole answer with status 200. `usage`: the request asked for usage in the stream, where the form
/// leaves that to requests. `None`: it is no whole answer of this form, or a stream cannot say it.
pub fn as_stream(format: Format, body: &[u8], usage: bool) -> Option<Vec<u8>> {
    let valid: &RawValue = serde_json::from_slice(body).ok()?;
    // A line end between two members would end the line of an event.
    let body = compact(valid.get());
    match format {
        Format::OpenAiChat => chunks::as_stream(chunks::Kind::Chat, &body, usage),
        Format::OpenAiCompletions => chunks::as_stream(chunks::Kind::Text, &body, usage),
        Format::OpenAiResponses => response::as_stream(&body),
        Format::Anthropic => message::as_stream(&body),
        Format::Converse | Format::Ollama | Format::Gemini | Format::Knowledge => None,
    }
}

/// The whole answer of a stream. `told`: the usage, where the stream does not tell it, as those that were not asked
/// for it do not; no whole answer is without. `None`: the stream has failed or not ended, or cannot be put together.
pub fn as_whole(format: Format, stream: &Bytes, told: Option<&Tokens>) -> Option<Vec<u8>> {
    let told = || serde_json::to_string(&write_usage(told?)).ok();
    match format {
        Format::OpenAiChat => chunks::as_whole(chunks::Kind::Chat, stream, told),
        Format::OpenAiCompletions => chunks::as_whole(chunks::Kind::Text, stream, told),
        Format::OpenAiResponses => response::as_whole(stream),
        Format::Anthropic => message::as_whole(stream),
        Format::Converse | Format::Ollama | Format::Gemini | Format::Knowledge => None,
    }
}

/// The data of all events, in order, until `take` has no use for one.
fn each_data(stream: &Bytes, mut take: impl FnMut(&str) -> Option<()>) -> Option<()> {
    let mut framer = Framer::new(stream.len());
    let mut good = Some(());
    let mut look = |frame: Frame| {
        let Frame::Event(event) = frame else { return good = None };
        if let (Some(()), Some(data)) = (good, event.data_bytes()) {
            good = std::str::from_utf8(&data).ok().and_then(&mut take);
        }
    };
    framer.push(stream, &mut look);
    framer.finish().into_iter().for_each(look);
    good
}

#[cfg(test)]
mod tests;
