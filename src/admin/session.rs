//! May this caller use the admin listener? One shared secret, or two of them; with none set everything is open to the
//! programs of this machine, but not to web pages.

use super::AdminState;
use super::browser;
use super::http::{FORBIDDEN, Fault, UNAUTHORIZED};
use crate::auth::shared::SharedSecrets;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

const API_KEY: &str = "x-api-key";

/// The secrets that open the admin listener.
#[derive(Debug)]
pub struct Access {
    secrets: SharedSecrets,
}

impl Access {
    pub const fn new(secrets: SharedSecrets) -> Self {
        Self { secrets }
    }
    /// No secret is set: everybody may do everything.
    pub fn is_open(&self) -> bool {
        self.secrets.is_empty()
    }
    /// Whether this is one of the secrets; with none set, nothing is.
    pub(super) fn accepts(&self, presented: &[u8]) -> bool {
        self.secrets.accepts(presented)
    }
    /// `bearer`: the secret may also come as `Authorization: Bearer`, as scrapers send it.
    fn allows(&self, headers: &HeaderMap, bearer: bool) -> bool {
        if self.is_open() {
            return true;
        }
        let by_key = headers.get(API_KEY).is_some_and(|value| self.accepts(value.as_bytes()));
        by_key || (bearer && bearer_token(headers).is_some_and(|token| self.accepts(token)))
    }
}

fn bearer_token(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

/// Lets nobody past without the secret.
pub(super) async fn require(State(state): State<AdminState>, request: Request, next: Next) -> Response {
    if state.access.is_open()
        && let Some(why) = browser::objection(request.headers(), request.uri())
    {
        return Fault::of(&FORBIDDEN, why).into_response();
    }
    let bearer = request.uri().path() == "/metrics";
    if state.access.allows(request.headers(), bearer) {
        return next.run(request).await;
    }
    Fault::of(&UNAUTHORIZED, "X-API-KEY is missing or wrong").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Secret;

    fn access<const N: usize>(secrets: [&str; N]) -> Access {
        Access::new(SharedSecrets::new(secrets.map(Secret::new)))
    }

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(axum::http::HeaderName::from_static(name), axum::http::HeaderValue::from_static(value))])
    }

    #[test]
    fn either_secret_opens() {
        let access = access(["pass", "", "api"]);
        assert!(access.allows(&headers("x-api-key", "pass"), false));
        assert!(access.allows(&headers("x-api-key", "api"), false));
        for wrong in ["", "pas", "passs", "PASS", "pass,api"] {
            assert!(!access.allows(&headers("x-api-key", wrong), false), "{wrong}");
        }
        assert!(!access.allows(&HeaderMap::new(), true));
    }

    #[test]
    fn bearer_counts_only_where_it_is_asked_for() {
        let access = access(["pass"]);
        assert!(access.allows(&headers("authorization", "bearer pass"), true));
        assert!(!access.allows(&headers("authorization", "Bearer pass"), false));
        assert!(!access.allows(&headers("authorization", "Basic pass"), true));
        assert!(!access.allows(&headers("authorization", "pass"), true));
    }

    #[test]
    fn without_a_secret_everything_is_open() {
        assert!(access([""]).allows(&HeaderMap::new(), false));
    }

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(format!("{:?}", access(["pass"])), "Access { secrets: SharedSecrets { accepted: [[digest]] } }");
    }
}
