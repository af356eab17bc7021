//! Errors in the words of this form. They are read leniently: whoever copied the form did not copy its errors.

use super::super::{Failure, FailureKind};
use super::json::{get, some_text, text_of};
use serde_json::{Value, json};

/// Most characters of a message that is passed on.
const LONGEST: usize = 2000;
/// Most characters of a body that is no error of any known form.
const UNKNOWN: usize = 200;

/// The answer to a request that the upstream did not want.
pub(in super::super) fn read_failure(status: u16, body: &[u8]) -> Failure {
    let by_status = FailureKind::of_status(status);
    let whole = serde_json::from_slice::<&serde_json::value::RawValue>(body);
    let json = whole.map(|raw| raw.get().as_bytes()).unwrap_or_default();
    let mut failure = of_object(json, by_status);
    if failure.message.is_empty() {
        failure.message = synthesised(status, body);
    }
    failure
}

/// An error in the middle of a stream, where the status was already good. `None`: `chunk` is none.
pub(super) fn in_stream(chunk: &[u8]) -> Option<Failure> {
    get(chunk, "error").filter(|error| !matches!(*error, b"false" | b"\"\"" | b"{}"))?;
    let mut failure = of_object(chunk, FailureKind::Server);
    if failure.message.is_empty() {
        failure.message = "The upstream failed.".into();
    }
    Some(failure)
}

fn of_object(body: &[u8], fallback: FailureKind) -> Failure {
    let error = get(body, "error").unwrap_or_default();
    // Older servers have the members of the error at the top.
    let inner = if error.starts_with(b"{") { error } else { body };
    let detail = get(body, "detail").unwrap_or_default();
    let message = some_text(error, "message")
        .or_else(|| text_of(error))
        .or_else(|| some_text(body, "message"))
        .or_else(|| some_text(body, "Message"))
        .or_else(|| some_text(detail, "error"))
        .or_else(|| text_of(detail))
        .unwrap_or_default();
    let code = some_text(inner, "code");
    let class = some_text(inner, "type");
    let kind = [code.as_deref(), class.as_deref()].into_iter().flatten().find_map(kind_of);
    let by_code = || get(inner, "code").and_then(status_of).map(FailureKind::of_status);
    // Said of nearly everything: it decides only where there is no status.
    let is_request = matches!(class.as_deref(), Some("invalid_request_error" | "BadRequestError"));
    let unknown = if is_request && fallback == FailureKind::Server { FailureKind::BadRequest } else { fallback };
    Failure {
        kind: kind.or_else(by_code).unwrap_or(unknown),
        message: first(message.trim(), LONGEST),
        // A number only repeats the status.
        code: code.filter(|code| code.bytes().any(|b| !b.is_ascii_digit())),
    }
}

/// A code that is an HTTP status, as number or as text.
fn status_of(code: &[u8]) -> Option<u16> {
    let digits = code.strip_prefix(b"\"").and_then(|c| c.strip_suffix(b"\"")).unwrap_or(code);
    let status = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (400..600).contains(&status).then_some(status)
}

/// By a word that says more than the status.
fn kind_of(word: &str) -> Option<FailureKind> {
    Some(match word {
        "insufficient_quota" | "billing_hard_limit_reached" | "billing_error" => FailureKind::Billing,
        "rate_limit_exceeded" | "rate_limit_error" | "RateLimitError" => FailureKind::Rate,
        "invalid_api_key" | "authentication_error" => FailureKind::Auth,
        "permission_error" | "permission_denied" => FailureKind::Permission,
        "model_not_found" | "not_found_error" | "NotFoundError" => FailureKind::NotFound,
        "overloaded" | "overloaded_error" | "server_overloaded" => FailureKind::Overloaded,
        "timeout" | "timeout_error" => FailureKind::Timeout,
        "content_filter" | "context_length_exceeded" => FailureKind::BadRequest,
        _ => return None,
    })
}

fn first(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// What to say where the body says nothing, or is a page for people.
fn synthesised(status: u16, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body.get(..UNKNOWN * 4).unwrap_or(body));
    let text = text.trim();
    if text.is_empty() || text.starts_with('<') {
        return format!("The upstream answered with status {status}.");
    }
    first(text, UNKNOWN)
}

/// The object that stands in the member `error` of an answer of this form.
pub fn openai_error(failure: &Failure) -> Value {
    let own = failure.code.as_deref();
    let (class, code) = match failure.kind {
        // The stream broke off: that is not even an error of the upstream.
        FailureKind::Server if own == Some("upstream_disconnected") => ("upstream_error", own),
        FailureKind::BadRequest | FailureKind::TooLarge => ("invalid_request_error", own),
        FailureKind::Auth => ("authentication_error", own),
        FailureKind::Billing => ("insufficient_quota", own.or(Some("insufficient_quota"))),
        FailureKind::Permission => ("permission_error", own),
        FailureKind::NotFound => ("invalid_request_error", Some("model_not_found")),
        FailureKind::Rate => ("rate_limit_error", Some("rate_limit_exceeded")),
        FailureKind::Timeout => ("server_error", Some("timeout")),
        FailureKind::Overloaded => ("server_error", Some("overloaded_error")),
        FailureKind::Server => ("server_error", own),
    };
    json!({ "message": failure.message, "type": class, "param": null, "code": code })
}
