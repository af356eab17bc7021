//! Errors.

use crate::wire::chat::*;
use serde_json::json;

fn read(status: u16, body: &str) -> Failure {
    read_failure(Format::OpenAiChat, status, None, body.as_bytes())
}

#[test]
fn errors_of_many_forms_are_read() {
    use FailureKind::{Auth, BadRequest, Billing, NotFound, Overloaded, Rate, Server};
    for (status, body, kind, message, code) in [
        (
            400,
            r#"{"error":{"message":"m","type":"invalid_request_error","param":"x","code":"invalid_value"}}"#,
            BadRequest,
            "m",
            Some("invalid_value"),
        ),
        (
            429,
            r#"{"error":{"message":"m","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#,
            Rate,
            "m",
            Some("rate_limit_exceeded"),
        ),
        (
            429,
            r#"{"error":{"message":"m","type":"insufficient_quota","code":"insufficient_quota"}}"#,
            Billing,
            "m",
            Some("insufficient_quota"),
        ),
        (429, r#"{"error":{"code":"429","message":"m"}}"#, Rate, "m", None),
        (
            400,
            r#"{"error":{"message":"m","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{}}}"#,
            BadRequest,
            "m",
            Some("content_filter"),
        ),
        (401, r#"{"statusCode":401,"message":"m"}"#, Auth, "m", None),
        (
            401,
            r#"{"error":{"message":"m","type":"invalid_request_error","code":"invalid_api_key"}}"#,
            Auth,
            "m",
            Some("invalid_api_key"),
        ),
        (400, r#"{"error":{"message":"m","type":"BadRequestError","param":null,"code":400}}"#, BadRequest, "m", None),
        (404, r#"{"object":"error","message":"m","type":"NotFoundError","code":404}"#, NotFound, "m", None),
        (422, r#"{"detail":{"error":"m"}}"#, BadRequest, "m", None),
        (500, r#"{"detail":"m"}"#, Server, "m", None),
        (404, r#"{"error":"m"}"#, NotFound, "m", None),
        (500, r#"{"Message":"m"}"#, Server, "m", None),
        (422, r#"{"detail":[1]}"#, BadRequest, r#"{"detail":[1]}"#, None),
        (500, r#"{"error":{"message":"m","type":"invalid_request_error"}}"#, BadRequest, "m", None),
        (502, "<html>oops</html>", Server, "The upstream answered with status 502.", None),
        (503, "", Overloaded, "The upstream answered with status 503.", None),
        (500, " gone wrong\n", Server, "gone wrong", None),
    ] {
        assert_eq!(read(status, body), Failure { kind, message: message.into(), code: code.map(Into::into) }, "{body}");
    }
    assert_eq!(read(500, &"é".repeat(900)).message, "é".repeat(200));
    assert_eq!(read(500, &json!({ "error": "é".repeat(9000) }).to_string()).message.chars().count(), 2000);
}

#[test]
fn errors_are_written() {
    use FailureKind::*;
    for (kind, own, class, code) in [
        (BadRequest, Some("c"), "invalid_request_error", Some("c")),
        (TooLarge, None, "invalid_request_error", None),
        (Auth, None, "authentication_error", None),
        (Billing, None, "insufficient_quota", Some("insufficient_quota")),
        (Permission, None, "permission_error", None),
        (NotFound, None, "invalid_request_error", Some("model_not_found")),
        (Rate, Some("c"), "rate_limit_error", Some("rate_limit_exceeded")),
        (Timeout, None, "server_error", Some("timeout")),
        (Overloaded, None, "server_error", Some("overloaded_error")),
        (Server, Some("c"), "server_error", Some("c")),
        (Server, Some("upstream_disconnected"), "upstream_error", Some("upstream_disconnected")),
    ] {
        let failure = Failure { kind, message: "m".into(), code: own.map(Into::into) };
        assert_eq!(openai_error(&failure), json!({ "message": "m", "type": class, "param": null, "code": code }));
    }
}
