//! Every error answer of the gateway itself: one place that knows status, type and dialect.

use super::forward::Fault;
use super::unified::{UnifiedError, enveloped};
use crate::limits::RateState;
use crate::providers::Dialect;
use crate::telemetry::{AbortedBy, RefusalReason};
use bytes::Bytes;
use std::time::Duration;

/// Why the gateway answers instead of an upstream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum GatewayError {
    NotFound,
    NoKey,
    UnknownKey,
    Revoked,
    Expired,
    NoSetting,
    /// The route is there, and not for this key.
    NotOfRoute,
    IncompleteSetting(&'static str),
    BadTimeout,
    BadRequest {
        message: String,
        param: Option<&'static str>,
    },
    EncodedBody,
    UpgradeRequired,
    BodyTooLarge {
        limit: u64,
    },
    BodyTimeout,
    PathNotAllowed,
    ModelNotAllowed,
    UnknownObject {
        id: Box<str>,
    },
    ObjectsUnavailable,
    NotPriced,
    Unbounded,
    Rate {
        state: RateState,
    },
    WindowBudget {
        retry_after: Duration,
        rate: Option<RateState>,
    },
    TotalBudgetExhausted,
    TotalBudgetFull {
        rate: Option<RateState>,
    },
    /// Neither quota nor balance is left.
    Quota {
        rate: Option<RateState>,
    },
    Overloaded,
    JournalUnavailable,
    CountersUnavailable,
    Connect,
    Upstream,
    UpstreamAuth,
    Timeout,
    /// Of the unified API alone.
    Unified(UnifiedError),
}

impl GatewayError {
    /// `None`: nobody is there to be told.
    pub(super) const fn of_fault(fault: Fault) -> Option<Self> {
        match fault {
            Fault::ClientGone { .. } => None,
            Fault::Timeout { .. } => Some(Self::Timeout),
            Fault::Connect => Some(Self::Connect),
            Fault::Broken { .. } => Some(Self::Upstream),
            Fault::TooLarge { limit } => Some(Self::BodyTooLarge { limit }),
        }
    }

    pub(super) const fn status(&self) -> u16 {
        match self {
            Self::NotFound | Self::UnknownObject { .. } => 404,
            Self::NoKey
            | Self::UnknownKey
            | Self::Revoked
            | Self::Expired
            | Self::NoSetting
            | Self::NotOfRoute
            | Self::IncompleteSetting(_)
            | Self::TotalBudgetExhausted => 401,
            Self::BadTimeout | Self::BadRequest { .. } => 400,
            Self::Quota { .. } => 402,
            Self::EncodedBody => 415,
            Self::UpgradeRequired => 426,
            Self::BodyTooLarge { .. } => 413,
            Self::BodyTimeout => 408,
            Self::PathNotAllowed | Self::ModelNotAllowed | Self::NotPriced | Self::Unbounded => 403,
            Self::Rate { .. } | Self::WindowBudget { .. } | Self::TotalBudgetFull { .. } => 429,
            Self::Overloaded | Self::JournalUnavailable | Self::CountersUnavailable | Self::ObjectsUnavailable => 503,
            Self::Connect | Self::Upstream | Self::UpstreamAuth => 502,
            Self::Timeout => 504,
            Self::Unified(error) => error.status(),
        }
    }

    /// Stable identifier, the `type` of the error body.
    const fn kind(&self) -> &'static str {
        match self {
            Self::NotFound | Self::UnknownObject { .. } => "gateway_not_found",
            Self::NoKey
            | Self::UnknownKey
            | Self::Revoked
            | Self::Expired
            | Self::NoSetting
            | Self::NotOfRoute
            | Self::IncompleteSetting(_) => "gateway_auth",
            Self::BadTimeout
            | Self::BadRequest { .. }
            | Self::EncodedBody
            | Self::UpgradeRequired
            | Self::BodyTooLarge { .. }
            | Self::BodyTimeout => "gateway_bad_request",
            Self::PathNotAllowed => "gateway_path_not_allowed",
            Self::ModelNotAllowed => "gateway_model_not_allowed",
            Self::NotPriced => "model_not_priced",
            Self::Rate { .. } => "gateway_rate_limit",
            Self::WindowBudget { .. } | Self::TotalBudgetExhausted | Self::TotalBudgetFull { .. } | Self::Unbounded => {
                "gateway_cost_limit"
            }
            Self::Quota { .. } => "insufficient_quota",
            Self::Overloaded | Self::JournalUnavailable | Self::CountersUnavailable | Self::ObjectsUnavailable => {
                "gateway_unavailable"
            }
            Self::Connect | Self::Upstream => "gateway_upstream_error",
            Self::UpstreamAuth => "upstream_auth",
            Self::Timeout => "gateway_timeout",
            Self::Unified(_) => "gateway_bad_request",
        }
    }

    pub(super) fn message(&self) -> String {
        match self {
            Self::NotFound => "no such path on this gateway".into(),
            Self::NoKey => "no API key: send it as Authorization: Bearer, x-api-key, api-key or x-goog-api-key".into(),
            Self::UnknownKey => "the API key is not known".into(),
            Self::Revoked => "the API key is revoked".into(),
            Self::Expired => "the API key has expired".into(),
            Self::NoSetting => "the API key has no provider setting for this path".into(),
            Self::NotOfRoute => "this route is not for this API key".into(),
            Self::IncompleteSetting(entry) => format!("the provider setting of this key has no usable {entry}"),
            Self::BadTimeout => "x-request-timeout must be a duration such as 30s or 1m30s".into(),
            Self::BadRequest { message, .. } => message.clone(),
            Self::EncodedBody => "the request body must not be compressed (content-encoding)".into(),
            Self::UpgradeRequired => "this path speaks WebSocket over HTTP/1.1".into(),
            Self::BodyTooLarge { limit } => format!("the request body is larger than {limit} bytes"),
            Self::BodyTimeout => "the request body did not arrive in time".into(),
            Self::PathNotAllowed => "this key may not call this method and path".into(),
            Self::ModelNotAllowed => "this key may not use this model".into(),
            Self::UnknownObject { id } => format!("this key has no object {id}"),
            Self::ObjectsUnavailable => "the gateway cannot look up whose object this is now".into(),
            Self::NotPriced => "this key has a budget and no price is known for this model or endpoint".into(),
            Self::Unbounded => {
                "this key's budget is strict and nothing bounds the cost of this request: send a maximum of output tokens".into()
            }
            Self::Rate { state } => format!("rate limit of {} requests reached", state.limit),
            Self::WindowBudget { .. } => "the budget of this window does not cover this request".into(),
            Self::TotalBudgetExhausted => "the budget of this key is spent".into(),
            Self::TotalBudgetFull { .. } => "the rest of this key's budget is held by requests in flight or too small for this one".into(),
            // Word for word what users of the unified API know.
            Self::Quota { .. } => "Please recharge.".into(),
            Self::Overloaded => "the gateway is at capacity".into(),
            Self::JournalUnavailable => "the gateway cannot record requests now".into(),
            Self::CountersUnavailable => "the gateway cannot check limits now".into(),
            Self::Connect => "the provider could not be reached".into(),
            Self::Upstream => "the provider closed the connection without a usable answer".into(),
            Self::UpstreamAuth => "the provider refused the credential that the gateway holds for it".into(),
            Self::Timeout => "the provider did not answer in time".into(),
            Self::Unified(error) => error.message(),
        }
    }

    pub(super) const fn reason(&self) -> Option<RefusalReason> {
        Some(match self {
            Self::NotFound | Self::UnknownObject { .. } => RefusalReason::NotFound,
            Self::NoKey | Self::UnknownKey | Self::NoSetting | Self::NotOfRoute | Self::IncompleteSetting(_) => {
                RefusalReason::Auth
            }
            Self::Revoked => RefusalReason::Revoked,
            Self::Expired => RefusalReason::Expired,
            Self::BadTimeout
            | Self::BadRequest { .. }
            | Self::EncodedBody
            | Self::UpgradeRequired
            | Self::BodyTimeout => RefusalReason::BadRequest,
            Self::BodyTooLarge { .. } => RefusalReason::BodyTooLarge,
            Self::PathNotAllowed => RefusalReason::Path,
            Self::ModelNotAllowed => RefusalReason::Model,
            Self::NotPriced | Self::Unbounded => RefusalReason::Unpriced,
            Self::Rate { .. } => RefusalReason::Rate,
            Self::WindowBudget { .. } => RefusalReason::WindowBudget,
            Self::TotalBudgetExhausted | Self::TotalBudgetFull { .. } => RefusalReason::TotalBudget,
            Self::Quota { .. } => RefusalReason::Quota,
            Self::Overloaded | Self::CountersUnavailable | Self::ObjectsUnavailable => RefusalReason::Overloaded,
            Self::JournalUnavailable => RefusalReason::Journal,
            Self::Unified(UnifiedError::NotGranted(_) | UnifiedError::BootKey) => RefusalReason::Model,
            Self::Unified(UnifiedError::UnknownModel(_)) => RefusalReason::NotFound,
            Self::Unified(_) => RefusalReason::BadRequest,
            Self::Connect | Self::Upstream | Self::UpstreamAuth | Self::Timeout => return None,
        })
    }

    /// Who ended an admitted request early, when it ended in this error.
    pub(super) const fn aborted_by(&self) -> Option<AbortedBy> {
        Some(match self {
            Self::Connect | Self::Upstream => AbortedBy::Upstream,
            Self::Timeout => AbortedBy::Timeout,
            _ => return None,
        })
    }

    /// Whole seconds, rounded up, at least 1.
    pub(super) fn retry_after(&self) -> Option<u64> {
        let wait = match self {
            Self::Rate { state } => state.reset,
            Self::WindowBudget { retry_after, .. } => *retry_after,
            Self::TotalBudgetFull { .. }
            | Self::Overloaded
            | Self::JournalUnavailable
            | Self::CountersUnavailable
            | Self::ObjectsUnavailable => Duration::from_secs(1),
            _ => return None,
        };
        Some(u64::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u64::MAX).max(1))
    }

    /// How the key's rate stands, when the key lives on and has one.
    pub(super) const fn rate(&self) -> Option<RateState> {
        match self {
            Self::Rate { state } => Some(*state),
            Self::WindowBudget { rate, .. } | Self::TotalBudgetFull { rate } | Self::Quota { rate } => *rate,
            _ => None,
        }
    }

    /// Clients that obey `x-should-retry` must not repeat these.
    pub(super) const fn never_retry(&self) -> bool {
        matches!(self.status(), 400..=403 | 413 | 415)
    }

    /// A refusal by a rule of a known key: recorded as an event.
    pub(super) const fn is_rule_of_key(&self) -> bool {
        matches!(
            self,
            Self::Revoked
                | Self::Expired
                | Self::NoSetting
                | Self::NotOfRoute
                | Self::PathNotAllowed
                | Self::ModelNotAllowed
                | Self::UnknownObject { .. }
                | Self::NotPriced
                | Self::Unbounded
                | Self::Rate { .. }
                | Self::WindowBudget { .. }
                | Self::TotalBudgetExhausted
                | Self::TotalBudgetFull { .. }
                | Self::Unified(UnifiedError::NotGranted(_))
                | Self::Quota { .. }
        )
    }

    /// The word that Anthropic clients choose an exception by.
    const fn anthropic_type(&self) -> &'static str {
        match self.status() {
            401 => "authentication_error",
            402 => "billing_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            504 => "timeout_error",
            503 => "overloaded_error",
            400..=499 => "invalid_request_error",
            _ => "api_error",
        }
    }

    /// The exception that AWS clients raise, in `x-amzn-errortype`.
    pub(super) const fn aws_type(&self) -> &'static str {
        match self.status() {
            401 | 403 => "AccessDeniedException",
            // The one about money that clients do not repeat by themselves.
            402 => "ServiceQuotaExceededException",
            404 => "ResourceNotFoundException",
            429 => "ThrottlingException",
            504 => "ModelTimeoutException",
            502 | 503 => "ServiceUnavailableException",
            400..=499 => "ValidationException",
            _ => "InternalServerException",
        }
    }

    /// The name of a status that Google's clients know.
    const fn google_status(&self) -> &'static str {
        match self.status() {
            401 => "UNAUTHENTICATED",
            403 => "PERMISSION_DENIED",
            404 => "NOT_FOUND",
            429 => "RESOURCE_EXHAUSTED",
            504 => "DEADLINE_EXCEEDED",
            502 | 503 => "UNAVAILABLE",
            400..=499 => "INVALID_ARGUMENT",
            _ => "INTERNAL",
        }
    }

    pub(super) fn body(&self, dialect: Dialect, request_id: &str) -> Bytes {
        let param = match self {
            Self::BadRequest { param, .. } => *param,
            _ => None,
        };
        let message = format!("[Tollgate] {}", self.message());
        let value = match dialect {
            Dialect::OpenAi => serde_json::json!({"error": {
                "message": message,
                "type": self.kind(),
                "param": param,
                "code": self.status().to_string(),
            }}),
            Dialect::Anthropic => serde_json::json!({
                "type": "error",
                "error": {
                    "type": self.anthropic_type(),
                    "message": message,
                    "details": {"error_code": self.kind(), "param": param},
                },
                "request_id": request_id,
            }),
            Dialect::Aws => serde_json::json!({"message": message}),
            // In the order of members that its clients know.
            Dialect::Unified => return enveloped(self),
            Dialect::Google => serde_json::json!({"error": {
                "code": self.status(),
                "message": message,
                "status": self.google_status(),
            }}),
            Dialect::Ollama => serde_json::json!({"error": message}),
        };
        Bytes::from(value.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c49_body_is_openai_shaped_with_a_string_code() {
        let body: serde_json::Value = serde_json::from_slice(&GatewayError::NoKey.body(Dialect::OpenAi, "r")).unwrap();
        assert_eq!(body["error"]["code"], "401");
        assert_eq!(body["error"]["type"], "gateway_auth");
        assert!(body["error"]["message"].as_str().unwrap().contains("API key"));
    }

    #[test]
    fn c72_retry_after_is_rounded_up_and_never_zero() {
        let rate = |millis| GatewayError::Rate {
            state: RateState { limit: 2, remaining: 0, reset: Duration::from_millis(millis) },
        };
        assert_eq!(rate(59_001).retry_after(), Some(60));
        assert_eq!(rate(0).retry_after(), Some(1));
        assert_eq!(GatewayError::NoKey.retry_after(), None);
    }

    #[test]
    fn c87_nothing_left_of_quota_and_balance_is_for_the_client_to_pay() {
        let error = GatewayError::Quota { rate: None };
        assert_eq!((error.status(), error.kind(), &*error.message()), (402, "insufficient_quota", "Please recharge."));
        assert!(error.never_retry() && error.is_rule_of_key() && error.retry_after().is_none());
        assert_eq!((error.reason(), error.aborted_by()), (Some(RefusalReason::Quota), None));
        let body = |dialect| serde_json::from_slice::<serde_json::Value>(&error.body(dialect, "r")).unwrap();
        assert_eq!(body(Dialect::OpenAi)["error"]["type"], "insufficient_quota");
        assert_eq!(body(Dialect::Anthropic)["error"]["type"], "billing_error");
        assert_eq!(error.aws_type(), "ServiceQuotaExceededException");
    }

    #[test]
    fn a_bad_field_is_named() {
        let error = GatewayError::BadRequest { message: "x".into(), param: Some("model") };
        let body: serde_json::Value = serde_json::from_slice(&error.body(Dialect::OpenAi, "r")).unwrap();
        assert_eq!(body["error"]["param"], "model");
    }
}
