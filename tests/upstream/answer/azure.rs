//! How Azure differs: paths with deployments, versions, its own errors, and reports of its content filter.

use super::super::reply::{Pieces, Reply};
use super::{Ask, openai, quote};

/// What every answer says of the prompt.
const FILTER: &str = r#""prompt_filter_results":[{"prompt_index":0,"content_filter_results":{"hate":{"filtered":false,"severity":"safe"},"jailbreak":{"filtered":false,"detected":false}}}]"#;

/// Of `/openai/v1/...`, `/openai/deployments/{deployment}/...` and `/openai/...`.
pub fn operation(path: &str) -> Option<&str> {
    let below = path.trim_end_matches('/').split_once("/openai/")?.1;
    if let Some(operation) = below.strip_prefix("v1/") {
        return Some(operation);
    }
    match below.strip_prefix("deployments/") {
        Some(named) => named.split_once('/').map(|(_, operation)| operation),
        None => Some(below),
    }
}

fn deployment(path: &str) -> Option<&str> {
    path.split_once("/openai/deployments/")?.1.split('/').next()
}

pub fn error(status: u16, message: &str) -> Reply {
    Reply::json(status, serde_json::json!({"error": {"code": status.to_string(), "message": message}}).to_string())
}

pub fn answer(ask: &mut Ask<'_>, tail: &str) -> Reply {
    if let Some(refused) = refused(ask) {
        return refused;
    }
    // A deployment answers with the name of the model behind it.
    let named = deployment(ask.head.path()).or(ask.call.model.as_deref());
    let is_model = |name: &&str| name.starts_with("gpt-") || name.starts_with("text-embedding-");
    let model = named.filter(is_model).unwrap_or("gpt-4o-2024-11-20").to_owned();
    ask.answers_as.get_or_insert(model);
    let mut reply = openai(ask, tail);
    if tail == "chat/completions" && reply.status == 200 {
        reply.body = filtered(&reply.body, reply.streamed);
    }
    reply
}

fn refused(ask: &Ask<'_>) -> Option<Reply> {
    let head = ask.head;
    let version = head.query("api-version").unwrap_or_default();
    let is_dated = version.starts_with("20");
    let is_v1 = head.path().contains("/openai/v1/");
    if is_v1 && is_dated || !is_v1 && !is_dated {
        return Some(error(if is_v1 { 400 } else { 404 }, "API version not supported"));
    }
    // Told by the raw member: an elder version does not look into it.
    if !is_v1 && version < "2024-09-01" && ask.call.stream_options.is_some() {
        return Some(error(400, "Unrecognized request argument supplied: stream_options"));
    }
    if deployment(head.path()).or(ask.call.model.as_deref()).is_some_and(|name| name.starts_with("no-such")) {
        let body = r#"{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}"#;
        return Some(Reply::json(404, body.to_owned()));
    }
    None
}

/// The prompt's report: a member of a whole answer, a chunk before all others of a stream.
fn filtered(body: &Pieces, streamed: bool) -> Pieces {
    if !streamed {
        let text = String::from_utf8_lossy(body.bytes());
        return Pieces::whole(format!("{},{FILTER}}}", text.strip_suffix('}').unwrap_or(&text)).into_bytes());
    }
    let mut pieces = Pieces::default();
    pieces.data(&format!(r#"{{"choices":[],"created":0,"id":{0},"model":{0},"object":{0},{FILTER}}}"#, quote("")));
    body.iter().for_each(|piece| pieces.push(piece));
    pieces
}
