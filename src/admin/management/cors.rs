//! Browsers of other origins: the console may be served elsewhere, and chat clients run in pages. A key is asked for
//! in any case, and no cookie is ever read, so the answer to all of them may be yes.

use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

const METHODS: HeaderValue = HeaderValue::from_static("GET,HEAD,PUT,POST,DELETE,PATCH,OPTIONS");
/// Allowed whether they are asked for or not.
const HEADERS: &str = "authorization, x-api-key, content-type, session-id, think-budget";
/// Seconds that a browser may remember a preflight.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// Which origins may call from a page.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Origins {
    #[default]
    Any,
    /// As browsers send them, such as `https://console.example`.
    Listed(Vec<HeaderValue>),
}

impl Origins {
    /// `*`, or origins separated by commas. Nothing at all allows no origin. `None` when one cannot be an origin.
    pub fn parse(text: &str) -> Option<Self> {
        if text.trim() == "*" {
            return Some(Self::Any);
        }
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        let origin = |name: &str| {
            let name = name.trim_end_matches('/').to_ascii_lowercase();
            let (_, host) = name.split_once("://")?;
            let plain = !host.is_empty() && !host.contains(['/', '*', ' ']);
            HeaderValue::try_from(name.as_str()).ok().filter(|_| plain)
        };
        names.map(origin).collect::<Option<_>>().map(Self::Listed)
    }

    /// Says in an answer whether the page that asked may read it.
    pub(super) fn allow(&self, asked: &Asked, answer: &mut HeaderMap) {
        let allowed = match self {
            Self::Any => Some(HeaderValue::from_static("*")),
            Self::Listed(origins) => {
                // A cache must not give one origin's answer to another.
                answer.append(VARY, HeaderValue::from_static("Origin"));
                asked.origin.clone().filter(|origin| origins.contains(origin))
            }
        };
        if let Some(allowed) = allowed {
            answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        }
    }
}

/// What the browser said about the page.
pub(super) struct Asked {
    origin: Option<HeaderValue>,
    headers: Option<HeaderValue>,
}

impl Asked {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        Self { origin: headers.get(ORIGIN).cloned(), headers: headers.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned() }
    }

    /// The answer to the question that comes before a request, without who may.
    pub(super) fn preflight(&self) -> Response {
        let asked = self.headers.as_ref().and_then(|headers| headers.to_str().ok()).unwrap_or_default();
        let known = |name: &&str| !name.is_empty() && !HEADERS.split(", ").any(|h| h.eq_ignore_ascii_case(name));
        let more: String = asked.split(',').map(str::trim).filter(known).map(|name| format!(", {name}")).collect();
        let headers = HeaderValue::try_from(format!("{HEADERS}{more}")).unwrap_or(HeaderValue::from_static(HEADERS));
        let told = [
            (ACCESS_CONTROL_ALLOW_METHODS, METHODS),
            (ACCESS_CONTROL_ALLOW_HEADERS, headers),
            (ACCESS_CONTROL_MAX_AGE, MAX_AGE),
        ];
        (StatusCode::NO_CONTENT, told).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_browsers_spell_it() {
        let listed = Origins::parse(" https://A.example/ ,http://localhost:3000").unwrap();
        let expect = ["https://a.example", "http://localhost:3000"].map(HeaderValue::from_static).to_vec();
        assert_eq!(listed, Origins::Listed(expect));
        assert_eq!(Origins::parse("*"), Some(Origins::Any));
        assert_eq!(Origins::parse(""), Some(Origins::Listed(vec![])));
        for wrong in ["a.example", "https://*.example", "https://a/b", "https://", "*, https://a"] {
            assert_eq!(Origins::parse(wrong), None, "{wrong}");
        }
    }
}
