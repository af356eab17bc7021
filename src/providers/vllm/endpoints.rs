//! What is served of the server: inference, and what belongs to it. Loading models, tracing and everything else that
//! an operator has there for himself has no row and is not reachable.

use crate::providers::openai::{Kind, OpenAi};
use crate::providers::{Billing, Endpoint, Provider};
use http::Method;

/// In the shape of another provider's API.
pub(super) const MESSAGES: &str = "/v1/messages";

/// OpenAI's own operations that the server has; read and metered as OpenAI's.
const OPENAI: &[(Method, &str)] = &[
    (Method::POST, "/v1/chat/completions"),
    (Method::POST, "/v1/completions"),
    (Method::POST, "/v1/embeddings"),
    (Method::POST, "/v1/responses"),
    (Method::GET, "/v1/responses/{response_id}"),
    (Method::POST, "/v1/responses/{response_id}/cancel"),
    (Method::GET, "/v1/models"),
    (Method::POST, "/v1/audio/transcriptions"),
    (Method::POST, "/v1/audio/translations"),
    (Method::POST, "/v1/decisions"),
];

/// Of [`OPENAI`], what is metered by another measure than tokens, or by nobody.
const UNPRICED: &[&str] = &["/v1/audio/transcriptions", "/v1/audio/translations"];

/// The server's own, by POST, with a model in their JSON. Their prompts are put together from several texts.
// LIMIT: what they consume is not read, and so they are not priced.
const OWN: &[&str] =
    &[MESSAGES, "/rerank", "/v1/rerank", "/v2/rerank", "/score", "/v1/score", "/classify", "/pooling", "/v2/embed"];

/// The server's own that run no model.
const FREE: &[&str] = &["/tokenize", "/detokenize"];

/// Paths are taken as they are written: the server tells letters by their case.
pub(super) fn find(method: &Method, path: &str) -> Option<Endpoint> {
    if let Some(found) = OpenAi.endpoint(method, path) {
        let is_there = OPENAI.iter().any(|(has, template)| has == method && *template == found.template);
        if is_there {
            let unpriced = UNPRICED.contains(&found.template);
            return Some(if unpriced { Endpoint { billing: Billing::Unpriced, ..found } } else { found });
        }
    }
    let own = |list: &[&'static str]| list.iter().copied().find(|template| *template == path);
    let (template, billing) = own(OWN)
        .map(|template| (template, Billing::Unpriced))
        .or_else(|| own(FREE).map(|template| (template, Billing::Free)))?;
    (method == Method::POST).then(|| Endpoint {
        template,
        method: method.clone(),
        path: path.into(),
        kind: Kind::Other as u8,
        json_body: true,
        billing,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inference_is_open() {
        for (method, path, template, json, billing) in [
            (Method::POST, "/v1/chat/completions", "/v1/chat/completions", true, Billing::Usage),
            (Method::POST, "/v1/completions", "/v1/completions", true, Billing::Usage),
            (Method::POST, "/v1/embeddings", "/v1/embeddings", true, Billing::Usage),
            (Method::POST, "/v1/responses", "/v1/responses", true, Billing::Usage),
            (Method::GET, "/v1/responses/resp_1", "/v1/responses/{response_id}", false, Billing::Free),
            (Method::GET, "/v1/models", "/v1/models", false, Billing::Free),
            (Method::POST, "/v1/messages", "/v1/messages", true, Billing::Unpriced),
            (Method::POST, "/v1/audio/transcriptions", "/v1/audio/transcriptions", false, Billing::Unpriced),
            (Method::POST, "/v2/rerank", "/v2/rerank", true, Billing::Unpriced),
            (Method::POST, "/tokenize", "/tokenize", true, Billing::Free),
        ] {
            let found = find(&method, path).unwrap_or_else(|| panic!("{path}"));
            assert_eq!((found.template, &*found.path, found.json_body, found.billing), (template, path, json, billing));
        }
    }

    #[test]
    fn the_operators_own_is_closed() {
        for path in [
            "/v1/load_lora_adapter",
            "/v1/unload_lora_adapter",
            "/v1/files",
            "/v1/brand/new",
            "/v1/realtime",
            "/sleep",
            "/wake_up",
            "/reset_prefix_cache",
            "/collective_rpc",
            "/server_info",
            "/start_profile",
            "/metrics",
            "/load",
            "/invocations",
            "/v1/rerank/",
            "/Score",
            "/v1/../metrics",
            "",
        ] {
            assert_eq!(find(&Method::POST, path), None, "{path}");
            assert_eq!(find(&Method::GET, path), None, "{path}");
        }
        assert_eq!(find(&Method::GET, "/v1/chat/completions"), None);
        assert_eq!(find(&Method::DELETE, "/v1/models/m"), None);
    }
}
