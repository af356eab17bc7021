//! The operations that are served: `/v1beta/models/{model}:{operation}`, and reading which models there are.

use crate::providers::path::segments;
use crate::providers::{Billing, Endpoint};
use http::Method;

/// How an endpoint is read and metered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Runs no model.
    Other,
    Generate,
    /// The same, as a stream.
    Stream,
    Embed,
}

impl Kind {
    pub(super) fn of(endpoint: &Endpoint) -> Self {
        let kinds = [Self::Generate, Self::Stream, Self::Embed];
        kinds.into_iter().find(|k| *k as u8 == endpoint.kind).unwrap_or(Self::Other)
    }
    pub(super) const fn writes(self) -> bool {
        matches!(self, Self::Generate | Self::Stream)
    }
}

const OPERATIONS: &[(&str, &str, Kind, Billing)] = &[
    ("generateContent", "/v1beta/models/{model}:generateContent", Kind::Generate, Billing::Usage),
    ("streamGenerateContent", "/v1beta/models/{model}:streamGenerateContent", Kind::Stream, Billing::Usage),
    ("embedContent", "/v1beta/models/{model}:embedContent", Kind::Embed, Billing::Usage),
    ("batchEmbedContents", "/v1beta/models/{model}:batchEmbedContents", Kind::Embed, Billing::Usage),
    ("countTokens", "/v1beta/models/{model}:countTokens", Kind::Other, Billing::Free),
];

pub(super) fn find(method: &Method, path: &str) -> Option<Endpoint> {
    let parts = segments(path)?;
    let mut parts = parts.iter().map(|part| &**part);
    if (parts.next(), parts.next()) != (Some("v1beta"), Some("models")) {
        return None;
    }
    let named = parts.next();
    if parts.next().is_some() {
        return None;
    }
    let endpoint = |template, path: String, kind: Kind, billing| Endpoint {
        template,
        method: method.clone(),
        path: path.into(),
        kind: kind as u8,
        json_body: method == Method::POST,
        billing,
    };
    match (method, named) {
        (&Method::GET, None) => Some(endpoint("/v1beta/models", "/v1beta/models".into(), Kind::Other, Billing::Free)),
        (&Method::GET, Some(model)) if is_model(model) => {
            Some(endpoint("/v1beta/models/{model}", format!("/v1beta/models/{model}"), Kind::Other, Billing::Free))
        }
        (&Method::POST, Some(named)) => {
            let (model, operation) = named.split_once(':')?;
            let (name, template, kind, billing) = OPERATIONS.iter().find(|(name, ..)| *name == operation)?;
            is_model(model).then(|| endpoint(template, format!("/v1beta/models/{model}:{name}"), *kind, *billing))
        }
        _ => None,
    }
}

fn is_model(name: &str) -> bool {
    let inside = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'@');
    (1..=256).contains(&name.len()) && name.bytes().all(inside)
}

/// The model in the path; empty where there is none.
pub(super) fn model(endpoint: &Endpoint) -> &str {
    let named = endpoint.path.strip_prefix("/v1beta/models/").unwrap_or_default();
    named.split(':').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_has_its_label_and_bill() {
        for (operation, kind, billing) in [
            ("generateContent", Kind::Generate, Billing::Usage),
            ("streamGenerateContent", Kind::Stream, Billing::Usage),
            ("embedContent", Kind::Embed, Billing::Usage),
            ("batchEmbedContents", Kind::Embed, Billing::Usage),
            ("countTokens", Kind::Other, Billing::Free),
        ] {
            let wire = format!("/v1beta/models/gemini-2.5-pro:{operation}");
            for path in [wire.clone(), wire.replace(':', "%3A"), wire.replace("gemini", "g%65mini")] {
                let found = find(&Method::POST, &path).unwrap_or_else(|| panic!("{path}"));
                assert_eq!((&*found.path, model(&found)), (&*wire, "gemini-2.5-pro"), "in one spelling");
                assert_eq!(found.template, format!("/v1beta/models/{{model}}:{operation}"));
                assert_eq!((Kind::of(&found), found.billing, found.json_body), (kind, billing, true));
            }
        }
        for (path, template, named) in
            [("/v1beta/models", "/v1beta/models", ""), ("/v1beta/models/a-1", "/v1beta/models/{model}", "a-1")]
        {
            let found = find(&Method::GET, path).expect(path);
            assert_eq!((found.template, found.billing, model(&found)), (template, Billing::Free, named));
        }
    }

    #[test]
    fn nothing_else_is_reached() {
        for path in [
            "/v1beta/models",
            "/v1beta/models/m",
            "/v1beta/models/m:predict",
            "/v1beta/models/m:batchGenerateContent",
            "/v1beta/models/m:GenerateContent",
            "/v1beta/models/m:generateContent:countTokens",
            "/v1beta/models/m/x:generateContent",
            "/v1beta/models/:generateContent",
            "/v1beta/models/a%2Fb:generateContent",
            "/v1beta/models/a%20b:generateContent",
            "/v1beta/models/../files",
            "/v1beta/tunedModels/m:generateContent",
            "/v1beta/files",
            "/v1beta/cachedContents",
            "/v1/models/m:generateContent",
            "/V1beta/models/m:generateContent",
            "",
        ] {
            assert_eq!(find(&Method::POST, path), None, "{path}");
        }
        assert_eq!(find(&Method::GET, "/v1beta/models/m:generateContent"), None);
        assert_eq!(find(&Method::DELETE, "/v1beta/models/m"), None);
    }
}
