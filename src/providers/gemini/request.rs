//! Reads what rules need of a request, and prepares what goes upstream: always the client's own bytes. The API reads
//! every member in two spellings, `likeThis` and `like_this`: so does this file.

use super::endpoints::{Kind, model};
use crate::providers::{BadCall, Call, Endpoint, IncompleteSetting, Outbound, Prepare};
use crate::wire::json_walk::{Member, elements, members, string, strings, unescape, whole_number};
use http::header::ACCEPT;
use http::{HeaderName, HeaderValue};
use serde::de::IgnoredAny;

const API_KEY: HeaderName = HeaderName::from_static("x-goog-api-key");
const FIELD_MASK: HeaderName = HeaderName::from_static("x-goog-fieldmask");

/// Members of an object with this name in either spelling. `name`: `like_this`.
pub(super) fn named<'a>(object: &'a [u8], name: &'static str) -> impl Iterator<Item = Member<'a>> {
    members(object).filter(move |m| is(m.key, name) && m.value != b"null")
}

/// Whether a key is this name in either spelling.
pub(super) fn is(key: &[u8], name: &str) -> bool {
    let key = unescape(key);
    let mut key = key.chars();
    let mut fold = false;
    for wanted in name.chars() {
        if wanted == '_' {
            // Either the underscore stands there too, or the next letter is a capital.
            let mut ahead = key.clone();
            if ahead.next() == Some('_') {
                key = ahead;
            } else {
                fold = true;
            }
            continue;
        }
        let wanted = if std::mem::take(&mut fold) { wanted.to_ascii_uppercase() } else { wanted };
        if key.next() != Some(wanted) {
            return false;
        }
    }
    key.next().is_none()
}

/// Whole numbers may also stand between quotes.
fn number(value: &[u8]) -> Option<u64> {
    whole_number(string(value).unwrap_or(value))
}

pub(super) fn read(endpoint: &Endpoint, bytes: &[u8]) -> Result<Call, BadCall> {
    let kind = Kind::of(endpoint);
    let model = Box::<str>::from(model(endpoint));
    if !endpoint.json_body {
        return Ok(Call { model, choices: 1, ..Call::default() });
    }
    let bad = |message: String| BadCall { message, param: None };
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(bad("The body must be a JSON object.".to_owned()));
    }
    serde_json::from_slice::<IgnoredAny>(bytes)
        .map_err(|e| bad(format!("The body is not valid JSON (line {}, column {}).", e.line(), e.column())))?;
    // Of a member that is there twice, in whatever spelling, the dearer one counts.
    let most = |name| {
        named(bytes, "generation_config").flat_map(|m| named(m.value, name)).filter_map(|m| number(m.value)).max()
    };
    Ok(Call {
        more_models: more_models(bytes, &model),
        model,
        stream: kind == Kind::Stream,
        max_output: most("max_output_tokens").filter(|tokens| kind.writes() && *tokens > 0),
        choices: most("candidate_count").filter(|_| kind.writes()).unwrap_or(1).max(1),
        tier: named(bytes, "service_tier").filter_map(|m| tier(m.value)).next().unwrap_or_default(),
        ..Call::default()
    })
}

/// A service tier as prices have it: `SERVICE_TIER_PRIORITY` is `priority`.
pub(super) fn tier(value: &[u8]) -> Option<Box<str>> {
    let name = unescape(string(value)?).to_ascii_lowercase();
    Some(name.strip_prefix("service_tier_").unwrap_or(&name).into())
}

/// Models that the body names beside the path.
fn more_models(body: &[u8], first: &str) -> Box<[Box<str>]> {
    let holders = || std::iter::once(body).chain(named(body, "requests").flat_map(|m| elements(m.value)));
    let mut found: Vec<Box<str>> = Vec::new();
    for name in holders().flat_map(|holder| named(holder, "model")).filter_map(|m| string(m.value)) {
        let name = unescape(name);
        let name = name.strip_prefix("models/").unwrap_or(&name);
        if name != first && !name.is_empty() && !found.iter().any(|known| **known == *name) {
            found.push(name.into());
        }
    }
    found.into()
}

/// Files and cached contents of the credential's that the body names.
pub(super) fn references(body: &[u8]) -> Vec<Box<str>> {
    let mut found: Vec<Box<str>> = Vec::new();
    for (key, value) in strings(body) {
        let value = unescape(value);
        let id = if is(key, "cached_content") {
            Some(&*value)
        } else if is(key, "file_uri") {
            // Addresses beyond the API, such as of films, are nobody's.
            value
                .find("files/")
                .filter(|at| *at == 0 || value.contains("generativelanguage"))
                .and_then(|at| value.get(at..))
        } else {
            None
        };
        if let Some(id) = id.filter(|id| !id.is_empty() && !found.iter().any(|known| **known == **id)) {
            found.push(id.into());
        }
    }
    found
}

/// All paths begin with `/v1beta` themselves.
pub(super) fn base_url(configured: &str) -> &str {
    let url = configured.trim().trim_end_matches('/');
    url.strip_suffix("/v1beta").unwrap_or(url).trim_end_matches('/')
}

pub(super) fn prepare(request: &Prepare<'_>) -> Result<Outbound, IncompleteSetting> {
    let incomplete = IncompleteSetting { entry: "apikey" };
    let key = request.setting.api_key().filter(|key| !key.is_empty()).ok_or_else(|| incomplete.clone())?;
    let mut key = HeaderValue::try_from(key.expose()).map_err(|_| incomplete)?;
    key.set_sensitive(true);
    let mut headers = vec![(API_KEY, key)];
    // Both would take the usage out of an answer's reach: a part of its members, or another form than JSON.
    if request.headers.contains_key(&FIELD_MASK) {
        headers.push((FIELD_MASK, HeaderValue::from_static("*")));
    }
    if request.headers.contains_key(ACCEPT) {
        headers.push((ACCEPT, HeaderValue::from_static("*/*")));
    }
    Ok(Outbound {
        body: request.body.clone(),
        headers,
        base_url: request.setting.base_url().map(|url| base_url(url).into()),
        query: Some(query(request.query.unwrap_or_default()).into()),
        ..Outbound::default()
    })
}

/// The API reads keys, forms and parts of answers from the query: only what is listed passes.
fn query(given: &str) -> String {
    let passes = |part: &&str| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        matches!((name, value), ("alt", "sse" | "json") | ("pageSize" | "pageToken" | "prettyPrint", _))
    };
    given.split('&').filter(passes).collect::<Vec<_>>().join("&")
}

/// As it is written; then without a version behind the name, of which `-001` and `-latest` are two.
pub(super) fn price_names(model: &str, take: &mut dyn FnMut(&str) -> bool) {
    let name = model.strip_prefix("models/").unwrap_or(model);
    if take(name) {
        return;
    }
    let is_version = |tail: &str| tail == "latest" || (tail.len() == 3 && tail.bytes().all(|b| b.is_ascii_digit()));
    if let Some((plain, _)) = name.rsplit_once('-').filter(|(_, tail)| is_version(tail)) {
        take(plain);
    }
}

/// The generation of a model: 2 of `gemini-2.5-flash`.
pub(super) fn generation(model: &str) -> Option<u32> {
    model.strip_prefix("gemini-")?.split(['.', '-']).next()?.parse().ok()
}
