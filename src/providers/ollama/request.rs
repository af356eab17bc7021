//! Reads what rules need of a request body, and prepares what goes upstream: always the client's own bytes.

use super::endpoints::Kind;
use crate::providers::{BadCall, Call, IncompleteSetting, Outbound, Prepare};
use crate::wire::json_walk::{Member, member, members, string, unescape, whole_number};
use http::HeaderValue;
use http::header::AUTHORIZATION;
use serde::de::IgnoredAny;

/// The members that rules and prices hang on.
const DECISIVE: [&str; 4] = ["model", "name", "stream", "options"];

pub(super) fn read(kind: Kind, has_body: bool, bytes: &[u8]) -> Result<Call, BadCall> {
    if !has_body {
        return Ok(Call { choices: 1, ..Call::default() });
    }
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(bad("The body must be a JSON object.", None));
    }
    serde_json::from_slice::<IgnoredAny>(bytes)
        .map_err(|e| bad(&format!("The body is not valid JSON (line {}, column {}).", e.line(), e.column()), None))?;
    let [model, name, stream, options] = decisive(bytes)?;
    let named = |m: Option<Member<'_>>, param| match m.filter(|m| m.value != b"null") {
        Some(m) => match string(m.value) {
            Some(text) => Ok(Box::<str>::from(unescape(text))),
            None => Err(bad("The model must be a string.", Some(param))),
        },
        None => Ok(Box::default()),
    };
    let (model, elder) = (named(model, "model")?, named(name, "name")?);
    // Elder clients ask to be shown a model by its `name`.
    let (model, more) = if model.is_empty() { (elder, Box::default()) } else { (model, elder) };
    let more_models =
        if more.is_empty() || more == model || kind != Kind::Other { Box::default() } else { [more].into() };
    let predicted = options.and_then(|m| member(m.value, "num_predict")).and_then(|m| whole_number(m.value));
    let runs = matches!(kind, Kind::Chat | Kind::Generate);
    Ok(Call {
        alias: if model.is_empty() { Box::default() } else { other_name(&model).into() },
        model,
        more_models,
        // A stream unless the client says otherwise.
        stream: runs && stream.is_none_or(|m| m.value != b"false"),
        // Zero and less than that stand for no maximum.
        max_output: predicted.filter(|tokens| runs && *tokens > 0),
        choices: 1,
        ..Call::default()
    })
}

/// The decisive members. The server takes a name in any case, and the last of a repeated one: only one of each may be
/// there, in small letters.
fn decisive(body: &[u8]) -> Result<[Option<Member<'_>>; 4], BadCall> {
    let mut found = [None; 4];
    for m in members(body) {
        let key = unescape(m.key);
        let folded = key.to_uppercase();
        for (place, name) in found.iter_mut().zip(DECISIVE) {
            if folded == name.to_uppercase() {
                if key != name || place.is_some() {
                    return Err(bad(
                        &format!("The body has more than one {name}, or spells it in another way."),
                        Some(name),
                    ));
                }
                *place = Some(m);
            }
        }
    }
    Ok(found)
}

fn bad(message: &str, param: Option<&'static str>) -> BadCall {
    BadCall { message: message.to_owned(), param }
}

/// A name without a tag and the one with `:latest` are one model.
pub(super) fn other_name(model: &str) -> String {
    let tagged = model.rsplit('/').next().unwrap_or(model).contains(':');
    match model.strip_suffix(":latest") {
        Some(plain) => plain.to_owned(),
        None if tagged => model.to_owned(),
        None => format!("{model}:latest"),
    }
}

/// Paths begin with `/api` themselves.
pub(super) fn base_url(configured: &str) -> &str {
    let url = configured.trim().trim_end_matches('/');
    url.strip_suffix("/api").unwrap_or(url).trim_end_matches('/')
}

pub(super) fn prepare(request: &Prepare<'_>) -> Result<Outbound, IncompleteSetting> {
    let setting = request.setting;
    let url = setting.parameters.get("url").filter(|url| !url.is_empty()).ok_or(IncompleteSetting { entry: "url" })?;
    let mut headers = Vec::new();
    if let Some(key) = setting.api_key().filter(|key| !key.is_empty()) {
        let value = HeaderValue::try_from(format!("Bearer {}", key.expose()));
        let mut value = value.map_err(|_| IncompleteSetting { entry: "apikey" })?;
        value.set_sensitive(true);
        headers.push((AUTHORIZATION, value));
    }
    Ok(Outbound {
        body: request.body.clone(),
        headers,
        base_url: Some(base_url(url).into()),
        // No endpoint has parameters.
        query: Some(Box::default()),
        ..Outbound::default()
    })
}
