use super::super::super::{Failure, FailureKind};
use super::super::{anthropic_error, read_failure};
use serde_json::json;

const KINDS: [(FailureKind, &str); 10] = [
    (FailureKind::BadRequest, "invalid_request_error"),
    (FailureKind::Auth, "authentication_error"),
    (FailureKind::Billing, "billing_error"),
    (FailureKind::Permission, "permission_error"),
    (FailureKind::NotFound, "not_found_error"),
    (FailureKind::TooLarge, "request_too_large"),
    (FailureKind::Rate, "rate_limit_error"),
    (FailureKind::Timeout, "timeout_error"),
    (FailureKind::Overloaded, "overloaded_error"),
    (FailureKind::Server, "api_error"),
];

#[test]
fn every_kind_is_written_and_read_again() {
    for (kind, name) in KINDS {
        let failure = Failure { kind, message: "Why".into(), code: Some(name.into()) };
        let body = anthropic_error(&failure);
        assert_eq!(body, json!({"type": "error", "error": {"type": name, "message": "Why"}}));
        assert_eq!(read_failure(500, body.to_string().as_bytes()), failure);
    }
}

#[test]
fn errors_of_upstreams_are_read() {
    use FailureKind::{BadRequest, Billing, Overloaded, Permission, Rate, Server, TooLarge};
    let page = "<html><body>Bad gateway</body></html>";
    let long = "x".repeat(5000);
    for (status, body, kind, message, code) in [
        (
            429,
            r#"{"type":"error","error":{"type":"rate_limit_error","message":"Slow"},"request_id":"r"}"#,
            Rate,
            "Slow",
            Some("rate_limit_error"),
        ),
        (
            429,
            r#"{"error":{"type":"rate_limit_error","message":"Spent","details":{"error_code":"enforced_spend_limit_reached"}}}"#,
            Billing,
            "Spent",
            Some("rate_limit_error"),
        ),
        (409, r#"{"error":{"type":"conflict_error","message":"c"}}"#, BadRequest, "c", Some("conflict_error")),
        (
            413,
            r#"{"error":{"type":"invalid_request_error","message":"big"}}"#,
            TooLarge,
            "big",
            Some("invalid_request_error"),
        ),
        (403, r#"{"error":{"type":"of_the_future","message":"no"}}"#, Permission, "no", Some("of_the_future")),
        (400, r#"{"message":"plain"}"#, BadRequest, "plain", None),
        (400, r#"{"Message":"Plain"}"#, BadRequest, "Plain", None),
        (400, r#"{"error":"text"}"#, BadRequest, "text", None),
        (422, r#"{"detail":{"error":"deep"}}"#, BadRequest, "deep", None),
        (422, r#"{"detail":"flat"}"#, BadRequest, "flat", None),
        (529, "", Overloaded, "The upstream answered with status 529.", None),
        (502, page, Server, "The upstream answered with status 502.", None),
        (500, " odd text ", Server, "odd text", None),
        (500, &long, Server, &"x".repeat(200), None),
    ] {
        let expected = Failure { kind, message: message.into(), code: code.map(Into::into) };
        assert_eq!(read_failure(status, body.as_bytes()), expected, "{body}");
    }
}

#[test]
fn messages_of_upstreams_are_cut() {
    let body = json!({"error": {"type": "api_error", "message": "é".repeat(10_000)}}).to_string();
    assert_eq!(read_failure(500, body.as_bytes()).message.chars().count(), 2000);
}

proptest::proptest! {
    #[test]
    fn no_body_makes_it_fall(status in 0u16..1000, body in proptest::collection::vec(proptest::num::u8::ANY, 0..1000)) {
        proptest::prop_assert!(!read_failure(status, &body).message.is_empty());
    }
}
