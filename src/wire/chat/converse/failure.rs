//! Exceptions: of an upstream's answer or stream, and for clients of the AWS SDKs.

use crate::wire::chat::answer::{Failure, FailureKind};
use crate::wire::chat::parsed;
use serde::Deserialize;

/// Of a body that is no error of this form, the most that is shown.
const SHOWN: usize = 200;

/// The status and the exception that clients of the AWS SDKs raise.
pub const fn aws_error(failure: &Failure) -> (u16, &'static str) {
    match failure.kind {
        FailureKind::BadRequest | FailureKind::TooLarge => (400, "ValidationException"),
        FailureKind::Auth | FailureKind::Permission => (403, "AccessDeniedException"),
        FailureKind::Billing => (400, "ServiceQuotaExceededException"),
        FailureKind::NotFound => (404, "ResourceNotFoundException"),
        FailureKind::Rate => (429, "ThrottlingException"),
        FailureKind::Timeout => (408, "ModelTimeoutException"),
        FailureKind::Overloaded => (503, "ServiceUnavailableException"),
        FailureKind::Server => (500, "InternalServerException"),
    }
}

/// The exception of a stream that has begun. Streams have fewer of them, and of one that they do not have, clients of
/// the AWS SDKs see neither class nor message: the nearest stands in.
pub(super) const fn stream_error(failure: &Failure) -> &'static str {
    match failure.kind {
        FailureKind::BadRequest | FailureKind::TooLarge | FailureKind::Billing | FailureKind::NotFound => {
            "validationException"
        }
        FailureKind::Rate => "throttlingException",
        FailureKind::Timeout => "modelStreamErrorException",
        FailureKind::Overloaded => "serviceUnavailableException",
        // A credential that was good when the stream began is not the client's fault.
        FailureKind::Auth | FailureKind::Permission | FailureKind::Server => "internalServerException",
    }
}

/// By the class of the exception, however it is cased; `None` if it is not known.
pub(in crate::wire::chat) fn kind_of(class: &str) -> Option<FailureKind> {
    // `namespace#Class` or `Class:url`.
    let name = class.rsplit('#').next().unwrap_or_default().split(':').next().unwrap_or_default().trim();
    let name = name.to_ascii_lowercase();
    Some(match name.strip_suffix("exception").unwrap_or(&name) {
        "validation" | "conflict" => FailureKind::BadRequest,
        "unrecognizedclient"
        | "invalidsignature"
        | "incompletesignature"
        | "missingauthenticationtoken"
        | "expiredtoken" => FailureKind::Auth,
        "accessdenied" => FailureKind::Permission,
        "servicequotaexceeded" => FailureKind::Billing,
        "resourcenotfound" => FailureKind::NotFound,
        "throttling" | "modelnotready" | "toomanyrequests" => FailureKind::Rate,
        "modeltimeout" => FailureKind::Timeout,
        "serviceunavailable" => FailureKind::Overloaded,
        "internalserver" | "internalfailure" | "modelerror" | "modelstreamerror" => FailureKind::Server,
        _ => return None,
    })
}

#[derive(Deserialize)]
struct Body {
    #[serde(alias = "Message")]
    message: Option<String>,
    #[serde(rename = "__type")]
    class: Option<String>,
}

/// The text of an exception and its class, where the payload names one.
pub(in crate::wire::chat) fn told(payload: &[u8]) -> Option<(String, Option<String>)> {
    let Body { message, class } = parsed::object(payload)?;
    Some((message.unwrap_or_default(), class))
}

pub(in crate::wire::chat) fn read_failure(status: u16, class: Option<&str>, body: &[u8]) -> Failure {
    let (mut message, own_class) = told(body).unwrap_or_default();
    if message.is_empty() {
        message = String::from_utf8_lossy(body).trim().chars().take(SHOWN).collect();
    }
    let kind = class.and_then(kind_of).or_else(|| own_class.as_deref().and_then(kind_of));
    Failure { kind: kind.unwrap_or_else(|| FailureKind::of_status(status)), message, code: None }
}
