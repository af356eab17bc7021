//! Refusals that only the unified API knows, and how its clients read all the others.

use super::super::refuse::GatewayError;
use crate::wire::refusal::Refusal;
use bytes::Bytes;

/// Why a request to the unified API is not sent on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::gateway) enum UnifiedError {
    WrongMethod {
        allow: &'static str,
    },
    /// The secret that only makes the first key.
    BootKey,
    UnknownModel(Box<str>),
    NotGranted(Box<str>),
    /// The row lacks something: the operator's fault, said as far as it is no secret.
    Misconfigured(String),
    /// What was asked for cannot be read, or not be said to this model.
    BadRequest {
        message: String,
        param: Option<String>,
        code: Option<&'static str>,
    },
}

/// Longest name that is repeated to the client, in characters.
const SHOWN_NAME: usize = 128;

impl UnifiedError {
    pub(in crate::gateway) const fn status(&self) -> u16 {
        match self {
            Self::WrongMethod { .. } => 405,
            Self::BootKey | Self::NotGranted(_) => 403,
            Self::UnknownModel(_) => 404,
            Self::Misconfigured(_) => 500,
            Self::BadRequest { .. } => 400,
        }
    }

    pub(in crate::gateway) fn message(&self) -> String {
        let shown = |name: &str| name.chars().filter(|c| !c.is_control()).take(SHOWN_NAME).collect::<String>();
        match self {
            Self::WrongMethod { .. } => "Method not allowed.".into(),
            Self::BootKey => "The boot key cannot call models. Create a key first.".into(),
            Self::UnknownModel(name) => format!("The model [{}] is not found.", shown(name)),
            Self::NotGranted(name) => format!(
                "You do not have permission to access the [{}] model, please contact the administrator.",
                shown(name)
            ),
            Self::Misconfigured(what) => what.clone(),
            Self::BadRequest { message, .. } => message.clone(),
        }
    }

    /// `type` and `code` of the error object.
    const fn words(&self) -> (&'static str, &'static str) {
        match self {
            Self::WrongMethod { .. } => (INVALID, "method_not_allowed"),
            Self::BootKey => ("permission_error", "boot_key"),
            Self::UnknownModel(_) => (INVALID, "model_not_found"),
            Self::NotGranted(_) => ("permission_error", "model_not_permitted"),
            Self::Misconfigured(_) => ("api_error", "provider_misconfigured"),
            Self::BadRequest { code: Some(code), .. } => (INVALID, code),
            Self::BadRequest { code: None, .. } => (INVALID, "invalid_request"),
        }
    }
}

const INVALID: &str = "invalid_request_error";
const AUTHENTICATION: &str = "authentication_error";

/// The body that clients of the unified API read.
pub(in crate::gateway) fn envelope(text: &str, kind: &str, code: &str, param: Option<&str>) -> Bytes {
    Refusal { text, kind, code, param }.body().into()
}

/// Any refusal of the gateway in that form.
pub(in crate::gateway) fn enveloped(error: &GatewayError) -> Bytes {
    let param = match error {
        GatewayError::Unified(UnifiedError::BadRequest { param, .. }) => param.as_deref(),
        GatewayError::BadRequest { param, .. } => *param,
        _ => None,
    };
    let (text, kind, code): (String, &str, &str) = match error {
        GatewayError::Unified(own) => {
            let (kind, code) = own.words();
            (own.message(), kind, code)
        }
        GatewayError::NoKey => ("Unauthorized: api key required.".into(), AUTHENTICATION, "missing_api_key"),
        GatewayError::UnknownKey | GatewayError::Revoked | GatewayError::Expired => {
            ("Unauthorized: api key error.".into(), AUTHENTICATION, "invalid_api_key")
        }
        GatewayError::NotFound => ("Not found.".into(), "not_found_error", "unknown_url"),
        GatewayError::BodyTooLarge { .. } => ("Request body too large.".into(), INVALID, "payload_too_large"),
        GatewayError::UpstreamAuth => (error.message(), "api_error", "upstream_auth"),
        GatewayError::Connect => (error.message(), "api_error", "upstream_connect"),
        GatewayError::Upstream => (error.message(), "api_error", "upstream_error"),
        GatewayError::Timeout => (error.message(), "api_error", "upstream_timeout"),
        GatewayError::NotPriced => (error.message(), "permission_error", "model_not_priced"),
        _ => {
            let (kind, code) = match error.status() {
                401 => (AUTHENTICATION, "invalid_api_key"),
                402 => ("insufficient_quota", "insufficient_quota"),
                403 => ("permission_error", "not_permitted"),
                404 => ("not_found_error", "not_found"),
                429 => ("rate_limit_error", "rate_limit_exceeded"),
                400..=499 => (INVALID, "invalid_request"),
                _ => ("api_error", "unavailable"),
            };
            (error.message(), kind, code)
        }
    };
    envelope(&text, kind, code, param)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(error: &GatewayError) -> serde_json::Value {
        serde_json::from_slice(&enveloped(error)).unwrap()
    }

    #[test]
    fn c21_every_error_has_all_that_both_kinds_of_client_read() {
        for error in [
            GatewayError::NoKey,
            GatewayError::UnknownKey,
            GatewayError::Timeout,
            GatewayError::Unified(UnifiedError::NotGranted("m".into())),
            GatewayError::BadRequest { message: "x".into(), param: Some("model") },
        ] {
            let body = json(&error);
            assert_eq!(body["success"], false);
            assert!(body["data"].is_string() && body["data"] == body["error"]["message"], "{body}");
            assert!(body["error"]["type"].is_string() && body["error"]["code"].is_string(), "{body}");
        }
        assert_eq!(json(&GatewayError::NoKey)["data"], "Unauthorized: api key required.");
        let bad = GatewayError::BadRequest { message: "x".into(), param: Some("model") };
        assert_eq!(json(&bad)["error"]["param"], "model");
    }

    #[test]
    fn c60_the_model_is_named_and_nothing_can_be_smuggled_in_its_name() {
        let text = UnifiedError::NotGranted("claude\n3".into()).message();
        assert_eq!(text, "You do not have permission to access the [claude3] model, please contact the administrator.");
    }
}
