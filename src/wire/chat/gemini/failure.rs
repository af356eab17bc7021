//! Reads an error: a code, a sentence and the name of a status, and details that tell a refused key from a bad request.

use super::super::answer::{Failure, FailureKind};
use super::super::parsed::object;
use serde::Deserialize;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Body {
    error: Option<Told>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Told {
    code: Option<u16>,
    message: Option<String>,
    status: Option<String>,
    details: Option<Vec<Detail>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Detail {
    reason: Option<String>,
}

/// Characters of a body in another form that are told.
const MOST_TOLD: usize = 200;

pub(in super::super) fn read_failure(status: u16, body: &[u8]) -> Failure {
    let told = object::<Body>(body).and_then(|body| body.error);
    // A stream that was not asked for as events puts its error into a list.
    let listed = || serde_json::from_slice::<Vec<Body>>(body).ok()?.into_iter().find_map(|body| body.error);
    match told.or_else(listed) {
        Some(told) => failure(told, status),
        None => {
            let message = String::from_utf8_lossy(body).chars().take(MOST_TOLD).collect();
            Failure { kind: FailureKind::of_status(status), message, code: None }
        }
    }
}

/// The object under `error`, wherever it stands. `status`: of the answer, where the object has none.
pub(super) fn told(error: &[u8], status: u16) -> Failure {
    failure(object(error).unwrap_or_default(), status)
}

fn failure(told: Told, status: u16) -> Failure {
    let refused_key = told.details.iter().flatten().any(|d| d.reason.as_deref() == Some("API_KEY_INVALID"));
    let kind = match told.status.as_deref() {
        _ if refused_key => FailureKind::Auth,
        Some("INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "OUT_OF_RANGE") => FailureKind::BadRequest,
        Some("UNAUTHENTICATED") => FailureKind::Auth,
        Some("PERMISSION_DENIED") => FailureKind::Permission,
        Some("NOT_FOUND") => FailureKind::NotFound,
        Some("RESOURCE_EXHAUSTED") => FailureKind::Rate,
        Some("DEADLINE_EXCEEDED") => FailureKind::Timeout,
        Some("UNAVAILABLE") => FailureKind::Overloaded,
        Some("INTERNAL" | "UNKNOWN" | "DATA_LOSS") => FailureKind::Server,
        _ => FailureKind::of_status(told.code.unwrap_or(status)),
    };
    Failure { kind, message: told.message.unwrap_or_default(), code: told.status }
}
