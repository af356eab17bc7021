//! Prepares what goes upstream: a credential if the setting has one, and in streams two wishes spliced in: for the
//! usage, and for the usage so far with every piece, so that a stream that breaks is billed by what it had reported.

use crate::providers::openai::{Kind, OpenAi};
use crate::providers::{Call, Endpoint, IncompleteSetting, Outbound, Prepare, Provider};
use crate::wire::{json_edit, json_walk};
use bytes::Bytes;
use http::HeaderValue;
use http::header::AUTHORIZATION;

const OPTIONS: &str = "stream_options";
const EACH_PIECE: &str = "continuous_usage_stats";

pub(super) fn is_metered_stream(endpoint: &Endpoint, call: &Call) -> bool {
    call.stream && matches!(Kind::of(endpoint), Kind::Chat | Kind::Completions)
}

/// The client itself asked for the usage with every piece, which it gets only together with the other wish.
pub(super) fn asks_for_all(call: &Call, body: &[u8]) -> bool {
    let options = || json_walk::member(body, OPTIONS);
    let each = || options().and_then(|m| json_walk::member(m.value, EACH_PIECE)).is_some_and(|m| m.value == b"true");
    call.wants_usage && each()
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
    let wishes = is_metered_stream(request.endpoint, request.call) && !asks_for_all(request.call, request.body);
    let body = wishes.then(|| asking(request.body)).flatten();
    Ok(Outbound {
        // Where nothing could be spliced in, `stream_options` is no object, and the upstream is the one to say so.
        body: body.unwrap_or_else(|| request.body.clone()),
        headers,
        base_url: Some(OpenAi.base_url(url).into()),
        ..Outbound::default()
    })
}

fn asking(body: &[u8]) -> Option<Bytes> {
    let asking = json_edit::set_within(body, OPTIONS, "include_usage", b"true")?;
    json_edit::set_within(&asking, OPTIONS, EACH_PIECE, b"true").map(Bytes::from)
}
