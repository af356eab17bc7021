use super::*;
use crate::wire::chat::converse::read_failure;

#[test]
fn exceptions_are_known_by_their_class() {
    for (status, class, kind) in [
        (400, "ValidationException", FailureKind::BadRequest),
        (400, "ValidationException:http://internal.amazon.com/coral/", FailureKind::BadRequest),
        (400, "com.amazon.coral.service#ThrottlingException", FailureKind::Rate),
        (400, "ServiceQuotaExceededException", FailureKind::Billing),
        (400, "ConflictException", FailureKind::BadRequest),
        (403, "AccessDeniedException", FailureKind::Permission),
        (403, "UnrecognizedClientException", FailureKind::Auth),
        (403, "InvalidSignatureException", FailureKind::Auth),
        (403, "ExpiredTokenException", FailureKind::Auth),
        (404, "ResourceNotFoundException", FailureKind::NotFound),
        (408, "ModelTimeoutException", FailureKind::Timeout),
        (424, "ModelErrorException", FailureKind::Server),
        (424, "ModelStreamErrorException", FailureKind::Server),
        (429, "ModelNotReadyException", FailureKind::Rate),
        (500, "InternalServerException", FailureKind::Server),
        (503, "ServiceUnavailableException", FailureKind::Overloaded),
        (413, "NewException", FailureKind::TooLarge),
        (429, "", FailureKind::Rate),
    ] {
        let failure = read_failure(status, Some(class), br#"{"message":"no"}"#);
        assert_eq!(failure, Failure { kind, message: "no".into(), code: None }, "{class}");
        let body = json!({ "message": "no", "__type": class }).to_string();
        assert_eq!(read_failure(status, None, body.as_bytes()).kind, kind, "{class}");
    }
}

#[test]
fn the_message_is_found_or_made() {
    let html = format!("<html>{}</html>", "x".repeat(500));
    let shown: String = html.chars().take(200).collect();
    for (body, message) in [
        (r#"{"Message":"capital"}"#, "capital"),
        (r#"{"other":1}"#, r#"{"other":1}"#),
        ("", ""),
        (html.as_str(), shown.as_str()),
    ] {
        assert_eq!(read_failure(500, None, body.as_bytes()).message, message);
    }
    read_failure(500, None, &[0xff, 0xfe, b'{']);
}

#[test]
fn every_kind_has_its_exception() {
    for (kind, status, class) in [
        (FailureKind::BadRequest, 400, "ValidationException"),
        (FailureKind::Auth, 403, "AccessDeniedException"),
        (FailureKind::Billing, 400, "ServiceQuotaExceededException"),
        (FailureKind::Permission, 403, "AccessDeniedException"),
        (FailureKind::NotFound, 404, "ResourceNotFoundException"),
        (FailureKind::TooLarge, 400, "ValidationException"),
        (FailureKind::Rate, 429, "ThrottlingException"),
        (FailureKind::Timeout, 408, "ModelTimeoutException"),
        (FailureKind::Overloaded, 503, "ServiceUnavailableException"),
        (FailureKind::Server, 500, "InternalServerException"),
    ] {
        assert_eq!(aws_error(&Failure { kind, message: String::new(), code: None }), (status, class));
    }
}
