//! Errors, of whole answers and in the middle of streamed ones.

use super::super::{Failure, FailureKind};
use super::answer::optional;
use crate::wire::json_walk::{member, string};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// Characters of a message that are passed on.
const MESSAGE_LIMIT: usize = 2000;
/// Characters of a body that is in no known form.
const EXCERPT_LIMIT: usize = 200;

/// The body of an error, or of an `error` event, for clients of this API.
pub fn anthropic_error(failure: &Failure) -> Value {
    let kind = match failure.kind {
        FailureKind::BadRequest => "invalid_request_error",
        FailureKind::Auth => "authentication_error",
        FailureKind::Billing => "billing_error",
        FailureKind::Permission => "permission_error",
        FailureKind::NotFound => "not_found_error",
        FailureKind::TooLarge => "request_too_large",
        FailureKind::Rate => "rate_limit_error",
        FailureKind::Timeout => "timeout_error",
        FailureKind::Overloaded => "overloaded_error",
        FailureKind::Server => "api_error",
    };
    json!({"type": "error", "error": {"type": kind, "message": failure.message}})
}

pub(in super::super) fn read_failure(status: u16, body: &[u8]) -> Failure {
    let by_status = FailureKind::of_status(status);
    if serde_json::from_slice::<&RawValue>(body).is_err() {
        return Failure { kind: by_status, message: excerpt(status, body), code: None };
    }
    let error = member(body, "error").map(|m| m.value).unwrap_or_default();
    let mut failure = read_error(error, by_status);
    if failure.kind == FailureKind::BadRequest && by_status == FailureKind::TooLarge {
        failure.kind = by_status;
    }
    if failure.message.is_empty() {
        failure.message = any_message(body).unwrap_or_else(|| excerpt(status, body));
    }
    failure
}

/// Reads `{"type","message"}`. `otherwise`: what it is when its type is not known.
pub(super) fn read_error(error: &[u8], otherwise: FailureKind) -> Failure {
    let code = optional(error, "type").filter(|name| !name.is_empty());
    let details = member(error, "details").map(|m| m.value).unwrap_or_default();
    let spent = matches!(
        optional(details, "error_code").as_deref(),
        Some("enforced_spend_limit_reached" | "contract_spend_limit_reached")
    );
    let kind = match code.as_deref() {
        // Waiting does not help against these.
        Some("rate_limit_error") if spent => FailureKind::Billing,
        Some("rate_limit_error") => FailureKind::Rate,
        Some("invalid_request_error" | "conflict_error") => FailureKind::BadRequest,
        Some("authentication_error") => FailureKind::Auth,
        Some("billing_error") => FailureKind::Billing,
        Some("permission_error") => FailureKind::Permission,
        Some("not_found_error") => FailureKind::NotFound,
        Some("request_too_large") => FailureKind::TooLarge,
        Some("timeout_error") => FailureKind::Timeout,
        Some("overloaded_error") => FailureKind::Overloaded,
        Some("api_error") => FailureKind::Server,
        _ => otherwise,
    };
    let message = optional(error, "message").unwrap_or_default().chars().take(MESSAGE_LIMIT).collect();
    Failure { kind, message, code }
}

/// Where others than the API itself, such as what stands in front of it, put their message.
fn any_message(body: &[u8]) -> Option<String> {
    let detail = member(body, "detail").map(|m| m.value).unwrap_or_default();
    let found = optional(body, "error")
        .or_else(|| optional(body, "message"))
        .or_else(|| optional(body, "Message"))
        .or_else(|| optional(detail, "error"))
        .or_else(|| string(detail).and_then(|_| optional(body, "detail")))?;
    Some(found.chars().take(MESSAGE_LIMIT).collect()).filter(|message: &String| !message.is_empty())
}

fn excerpt(status: u16, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body.get(..4 * EXCERPT_LIMIT).unwrap_or(body));
    let text = text.trim();
    // A page for people says nothing to a program.
    if text.is_empty() || text.starts_with('<') {
        return format!("The upstream answered with status {status}.");
    }
    text.chars().take(EXCERPT_LIMIT).collect()
}
