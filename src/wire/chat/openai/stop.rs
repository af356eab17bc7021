//! Why an answer ended, in the words of this form.

use super::super::Stop;

/// Of a `finish_reason`. Words that are not known mean that the answer is over.
pub(super) fn read(reason: &str) -> Stop {
    match reason {
        "length" => Stop::Length,
        "tool_calls" | "function_call" => Stop::ToolUse,
        "content_filter" => Stop::Filtered,
        _ => Stop::End,
    }
}

/// What it means beside what the answer holds: some say `stop` after calling tools, and when they refuse.
pub(super) fn settled(stop: Stop, has_calls: bool, has_refusal: bool) -> Stop {
    match stop {
        Stop::End if has_calls => Stop::ToolUse,
        Stop::End if has_refusal => Stop::Filtered,
        other => other,
    }
}

pub(super) const fn write(stop: &Stop) -> &'static str {
    match stop {
        Stop::End | Stop::Sequence | Stop::Malformed => "stop",
        Stop::Length | Stop::Context | Stop::Paused => "length",
        Stop::ToolUse => "tool_calls",
        Stop::Filtered => "content_filter",
    }
}
