//! What is served of the server: inference, and what tells which models are there.

use crate::providers::{Billing, Endpoint};
use http::Method;

/// How an endpoint is read and metered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Runs no model.
    Other,
    Chat,
    Generate,
    Embed,
}

impl Kind {
    pub(super) fn of(endpoint: &Endpoint) -> Self {
        [Self::Chat, Self::Generate, Self::Embed].into_iter().find(|k| *k as u8 == endpoint.kind).unwrap_or(Self::Other)
    }
}

const SERVED: &[(Method, &str, Kind, Billing)] = &[
    (Method::POST, "/api/chat", Kind::Chat, Billing::Usage),
    (Method::POST, "/api/generate", Kind::Generate, Billing::Usage),
    (Method::POST, "/api/embed", Kind::Embed, Billing::Usage),
    (Method::POST, "/api/show", Kind::Other, Billing::Free),
    (Method::GET, "/api/tags", Kind::Other, Billing::Free),
];

/// Paths are taken as they are written: the server tells letters by their case.
pub(super) fn find(method: &Method, path: &str) -> Option<Endpoint> {
    let (_, template, kind, billing) = SERVED.iter().find(|(has, template, ..)| has == method && *template == path)?;
    Some(Endpoint {
        template,
        method: method.clone(),
        path: (*template).into(),
        kind: *kind as u8,
        json_body: method == Method::POST,
        billing: *billing,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inference_is_open() {
        for (method, path, kind, billing) in [
            (Method::POST, "/api/chat", Kind::Chat, Billing::Usage),
            (Method::POST, "/api/generate", Kind::Generate, Billing::Usage),
            (Method::POST, "/api/embed", Kind::Embed, Billing::Usage),
            (Method::POST, "/api/show", Kind::Other, Billing::Free),
            (Method::GET, "/api/tags", Kind::Other, Billing::Free),
        ] {
            let found = find(&method, path).unwrap_or_else(|| panic!("{path}"));
            assert_eq!((found.template, &*found.path, Kind::of(&found), found.billing), (path, path, kind, billing));
            assert_eq!(found.json_body, method == Method::POST);
        }
    }

    #[test]
    fn the_operators_own_is_closed() {
        for path in [
            "/api/pull",
            "/api/push",
            "/api/create",
            "/api/copy",
            "/api/delete",
            "/api/blobs/sha256:0",
            "/api/ps",
            "/api/embeddings",
            "/api/chat/",
            "/API/chat",
            "/v1/chat/completions",
            "/",
            "",
        ] {
            assert_eq!(find(&Method::POST, path), None, "{path}");
            assert_eq!(find(&Method::GET, path), None, "{path}");
        }
        assert_eq!(find(&Method::GET, "/api/chat"), None);
        assert_eq!(find(&Method::DELETE, "/api/tags"), None);
    }
}
