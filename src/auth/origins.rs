//! Which pages of other origins may call, and what browsers are told when they ask. A key is asked for in any case, and
//! no cookie is ever read, so the answer to all of them may be yes.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue};

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

    /// What an answer to a request with these headers says of who may read it.
    pub fn answer(&self, request: &HeaderMap) -> Allowed {
        match self {
            Self::Any => Allowed { origin: Some(HeaderValue::from_static("*")), varies: false },
            Self::Listed(origins) => {
                let origin = request.get(ORIGIN).filter(|origin| origins.contains(origin));
                Allowed { origin: origin.cloned(), varies: true }
            }
        }
    }
}

/// Whether the page that asked may read an answer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Allowed {
    pub origin: Option<HeaderValue>,
    /// A cache must not give one origin's answer to another.
    pub varies: bool,
}

impl Allowed {
    pub fn apply(&self, answer: &mut HeaderMap) {
        if self.varies {
            answer.append(VARY, HeaderValue::from_static("Origin"));
        }
        if let Some(origin) = &self.origin {
            answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
    }
}

/// The answer to the question that comes before a request, without who may.
pub fn preflight(request: &HeaderMap) -> [(HeaderName, HeaderValue); 3] {
    let asked = request.get(ACCESS_CONTROL_REQUEST_HEADERS).and_then(|headers| headers.to_str().ok());
    let known = |name: &&str| !name.is_empty() && !HEADERS.split(", ").any(|h| h.eq_ignore_ascii_case(name));
    let more = asked.unwrap_or_default().split(',').map(str::trim).filter(known);
    let more: String = more.map(|name| format!(", {name}")).collect();
    let headers = HeaderValue::try_from(format!("{HEADERS}{more}")).unwrap_or(HeaderValue::from_static(HEADERS));
    [
        (ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (ACCESS_CONTROL_ALLOW_HEADERS, headers),
        (ACCESS_CONTROL_MAX_AGE, MAX_AGE),
    ]
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
