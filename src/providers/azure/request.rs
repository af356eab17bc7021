//! Prepares what goes upstream: the setting's credential in the header that it belongs into, a version where the client
//! names none, and the client's own body, asked for usage wherever the version knows that question.

use super::endpoints::{self, Surface};
use crate::domain::Setting;
use crate::providers::openai::OpenAi;
use crate::providers::{IncompleteSetting, Outbound, Prepare, Provider};
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};

const API_KEY: HeaderName = HeaderName::from_static("api-key");
/// Day of the first version that takes `stream_options`. Elder ones refuse a body that has it.
const FIRST_WITH_STREAM_OPTIONS: &str = "2024-09-01";

/// How the setting's `apikey` is presented.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AuthScheme {
    /// A key of the resource.
    ApiKey,
    /// A token of the directory, or a key where version 1 takes it as one.
    Bearer,
}

impl AuthScheme {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "api-key" => Some(Self::ApiKey),
            "bearer" => Some(Self::Bearer),
            _ => None,
        }
    }
}

pub(super) fn prepare(request: &Prepare<'_>) -> Result<Outbound, IncompleteSetting> {
    let surface = endpoints::surface(&request.endpoint.path);
    let setting = request.setting;
    let default_version = setting.parameters.get("apiVersion").map(|version| &**version);
    let query = query(request.query, default_version.filter(|_| surface != Surface::V1));
    let version = parameter(query.as_deref().or(request.query), "api-version");
    let outbound = OpenAi.prepare(request)?;
    let body = if surface == Surface::V1 || version.is_some_and(takes_stream_options) {
        outbound.body
    } else {
        request.body.clone()
    };
    Ok(Outbound {
        body,
        headers: vec![credential(setting)?],
        base_url: setting.base_url().map(|url| base_url(url).into()),
        query: query.map(Into::into),
        ..outbound
    })
}

fn credential(setting: &Setting) -> Result<(HeaderName, HeaderValue), IncompleteSetting> {
    let incomplete = |entry| IncompleteSetting { entry };
    let key = setting.api_key().filter(|key| !key.is_empty()).ok_or(incomplete("apikey"))?.expose();
    let scheme = setting.parameters.get("authScheme").map_or(Some(AuthScheme::ApiKey), |text| AuthScheme::parse(text));
    let (name, value) = match scheme.ok_or(incomplete("authScheme"))? {
        AuthScheme::ApiKey => (API_KEY, HeaderValue::try_from(key)),
        AuthScheme::Bearer => (AUTHORIZATION, HeaderValue::try_from(format!("Bearer {key}"))),
    };
    let mut value = value.map_err(|_| incomplete("apikey"))?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// All paths begin with `/openai` themselves.
pub(super) fn base_url(configured: &str) -> &str {
    let url = configured.trim().trim_end_matches('/');
    let url = url.strip_suffix("/openai/v1").or_else(|| url.strip_suffix("/openai")).unwrap_or(url);
    url.trim_end_matches('/')
}

/// The query to send in place of the client's; `None` when that one is good as it is. Keys are read from a query by
/// the provider, so whatever stands there under such a name stays here.
fn query(given: Option<&str>, default_version: Option<&str>) -> Option<String> {
    let given = given.unwrap_or_default();
    let parts = || given.split('&').filter(|part| !part.is_empty());
    let is_key = |part: &&str| {
        let name = decoded_name(part).to_ascii_lowercase();
        matches!(name.as_str(), "api-key" | "subscription-key" | "ocp-apim-subscription-key" | "authorization")
    };
    let added = default_version.filter(|_| parameter(Some(given), "api-version").is_none());
    if added.is_none() && !parts().any(|part| is_key(&part)) {
        return None;
    }
    let is_replaced = |part: &&str| added.is_some() && decoded_name(part).eq_ignore_ascii_case("api-version");
    let kept = parts().filter(|part| !is_key(part) && !is_replaced(part));
    let mut kept: Vec<String> = kept.map(str::to_owned).collect();
    kept.extend(added.map(|version| format!("api-version={version}")));
    Some(kept.join("&"))
}

/// The value of the first parameter with this name, still encoded.
fn parameter<'a>(query: Option<&'a str>, name: &str) -> Option<&'a str> {
    let part = query?.split('&').find(|part| decoded_name(part).eq_ignore_ascii_case(name))?;
    Some(part.split_once('=').map_or("", |(_, value)| value)).filter(|value| !value.is_empty())
}

/// The name of a parameter with its percent signs resolved; a broken one as it stands.
fn decoded_name(part: &str) -> String {
    let name = part.split('=').next().unwrap_or_default();
    let mut pieces = name.split('%');
    let mut out: Vec<u8> = pieces.next().unwrap_or_default().into();
    for piece in pieces {
        let byte = piece.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte.zip(piece.get(2..)) {
            Some((byte, rest)) => {
                out.push(byte);
                out.extend_from_slice(rest.as_bytes());
            }
            None => {
                out.push(b'%');
                out.extend_from_slice(piece.as_bytes());
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A dated version by its day; one without a date is the newest.
fn takes_stream_options(version: &str) -> bool {
    match version.get(..FIRST_WITH_STREAM_OPTIONS.len()).filter(|day| is_day(day)) {
        Some(day) => day >= FIRST_WITH_STREAM_OPTIONS,
        None => matches!(version, "preview" | "latest"),
    }
}

fn is_day(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 10
        && bytes.iter().enumerate().all(|(at, b)| if matches!(at, 4 | 7) { *b == b'-' } else { b.is_ascii_digit() })
}

/// Something that can stand in a query as it is.
pub(super) fn is_version(text: &str) -> bool {
    matches!(text, "preview" | "latest")
        || text.get(..10).is_some_and(is_day)
            && text.len() <= 32
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_by_their_day() {
        for (version, takes) in [
            ("2024-09-01-preview", true),
            ("2024-10-21", true),
            ("2025-04-01-preview", true),
            ("preview", true),
            ("2024-08-01-preview", false),
            ("2023-05-15", false),
            ("2024-9-1", false),
            ("newest", false),
            ("", false),
        ] {
            assert_eq!(takes_stream_options(version), takes, "{version}");
        }
        for bad in ["", "2024-10-21&x=1", "2024-10-21 ", "v1", "20241021", "2024-10-21%26"] {
            assert!(!is_version(bad), "{bad}");
        }
        assert!(is_version("2024-10-21") && is_version("2025-04-01-preview") && is_version("latest"));
    }

    #[test]
    fn a_query_gets_a_version_and_loses_keys() {
        for (given, default, sent) in [
            (Some("api-version=2024-10-21"), None, None),
            (Some("api-version=2024-10-21"), Some("2023-05-15"), None),
            (None, None, None),
            (None, Some("2024-10-21"), Some("api-version=2024-10-21")),
            (Some("limit=2"), Some("2024-10-21"), Some("limit=2&api-version=2024-10-21")),
            (Some("api-version="), Some("2024-10-21"), Some("api-version=2024-10-21")),
            (Some("api-key=gw&a=b"), None, Some("a=b")),
            (Some("api%2Dkey=gw"), None, Some("")),
            (Some("a=1&Api-Key=gw&subscription-key=x"), None, Some("a=1")),
            (Some("%zz=1"), None, None),
        ] {
            assert_eq!(query(given, default).as_deref(), sent, "{given:?} {default:?}");
        }
    }

    #[test]
    fn a_base_may_be_written_with_its_path() {
        for (written, base) in [
            ("https://r.openai.azure.com/", "https://r.openai.azure.com"),
            ("https://r.openai.azure.com/openai/v1/", "https://r.openai.azure.com"),
            ("https://r.services.ai.azure.com/openai", "https://r.services.ai.azure.com"),
            ("http://127.0.0.1:1/prefix", "http://127.0.0.1:1/prefix"),
        ] {
            assert_eq!(base_url(written), base);
        }
    }
}
