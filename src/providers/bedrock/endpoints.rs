//! The operations that are served, and the model id that most of them carry in their path.

use crate::providers::path::percent_encoded;
use crate::providers::{Billing, Endpoint};
use http::Method;

/// How an endpoint is read and metered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Passed on; consumption, if any, is not read.
    Other,
    Invoke,
    InvokeStream,
    Converse,
    ConverseStream,
    /// A message in Anthropic's own form, which becomes an invocation.
    Messages,
    /// The same for its older text completions.
    Complete,
    /// An answer from a knowledge base, at once or as a stream.
    Generate,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::Other,
        Self::Invoke,
        Self::InvokeStream,
        Self::Converse,
        Self::ConverseStream,
        Self::Messages,
        Self::Complete,
        Self::Generate,
    ];
    pub fn of(endpoint: &Endpoint) -> Self {
        Self::ALL.into_iter().find(|k| *k as u8 == endpoint.kind).unwrap_or(Self::Other)
    }
    /// Its clients speak Anthropic's dialect.
    pub(super) const fn is_anthropic(self) -> bool {
        matches!(self, Self::Messages | Self::Complete)
    }
    pub(super) const fn is_converse(self) -> bool {
        matches!(self, Self::Converse | Self::ConverseStream)
    }
}

/// What follows the model id, by POST.
const OPERATIONS: &[(&str, &str, Kind, Billing)] = &[
    ("/converse", "/model/{modelId}/converse", Kind::Converse, Billing::Usage),
    ("/converse-stream", "/model/{modelId}/converse-stream", Kind::ConverseStream, Billing::Usage),
    ("/invoke", "/model/{modelId}/invoke", Kind::Invoke, Billing::Usage),
    (
        "/invoke-with-response-stream",
        "/model/{modelId}/invoke-with-response-stream",
        Kind::InvokeStream,
        Billing::Usage,
    ),
    ("/count-tokens", "/model/{modelId}/count-tokens", Kind::Other, Billing::Free),
];

/// Operations without a model in their path: method, template, kind, billing.
const PLAIN: &[(&str, &str, Kind, Billing)] = &[
    ("POST", "/anthropic/v1/messages", Kind::Messages, Billing::Usage),
    ("POST", "/anthropic/v1/complete", Kind::Complete, Billing::Usage),
    ("POST", "/guardrail/{guardrailId}/version/{version}/apply", Kind::Other, Billing::Unpriced),
    ("POST", "/guardrail-checks/invoke", Kind::Other, Billing::Unpriced),
    ("POST", "/async-invoke", Kind::Other, Billing::Unpriced),
    ("GET", "/async-invoke", Kind::Other, Billing::Free),
    ("GET", "/async-invoke/{invocationArn}", Kind::Other, Billing::Free),
    // Of the service for agents and knowledge bases.
    ("POST", "/knowledgebases/{knowledgeBaseId}/retrieve", Kind::Other, Billing::Unpriced),
    ("POST", "/retrieveAndGenerate", Kind::Generate, Billing::Usage),
    ("POST", "/retrieveAndGenerateStream", Kind::Generate, Billing::Usage),
    ("POST", "/rerank", Kind::Other, Billing::Unpriced),
];

/// No id is longer, an ARN with a long name included.
const LONGEST_ID: usize = 2048;

/// `None` when there is no such operation, or none that may be called through a gateway.
pub(super) fn find(method: &Method, path: &str) -> Option<Endpoint> {
    let endpoint = |template, path: String, kind: Kind, billing| Endpoint {
        template,
        method: method.clone(),
        path: path.into(),
        kind: kind as u8,
        json_body: method == Method::POST,
        billing,
    };
    if let Some(rest) = path.strip_prefix("/model/") {
        let (id, operation) = rest.split_at_checked(rest.rfind('/')?)?;
        let (_, template, kind, billing) = *OPERATIONS.iter().find(|(name, ..)| *name == operation)?;
        if method != Method::POST {
            return None;
        }
        return Some(endpoint(
            template,
            format!("/model/{}{operation}", percent_encoded(&model_id(id)?)),
            kind,
            billing,
        ));
    }
    let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    let (_, template, kind, billing) =
        *PLAIN.iter().find(|(verb, template, ..)| *verb == method.as_str() && matches(template, &parts))?;
    // Ids in the path are sent in one spelling, whatever the client's was.
    let path =
        parts.iter().map(|part| Some(format!("/{}", percent_encoded(&model_id(part)?)))).collect::<Option<String>>()?;
    Some(endpoint(template, path, kind, billing))
}

fn matches(template: &str, parts: &[&str]) -> bool {
    let mut wanted = template.split('/').skip(1);
    parts.iter().all(|part| wanted.next().is_some_and(|want| want.starts_with('{') || want == *part))
        && wanted.next().is_none()
}

/// Of the service that knowledge bases, agents and ranking belong to.
pub(super) fn is_agents(endpoint: &Endpoint) -> bool {
    ["/knowledgebases/", "/retrieveAndGenerate", "/rerank"].iter().any(|start| endpoint.template.starts_with(start))
}

/// The id as it is written, from a path in which it may stand with or without escapes. `None` for what is no id:
/// nothing that an upstream could take for another path gets through.
pub(super) fn model_id(raw: &str) -> Option<String> {
    let mut id = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        if *byte == b'%' {
            let (digits, tail) = tail.split_at_checked(2)?;
            id.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = tail;
        } else {
            id.push(*byte);
        }
    }
    let fits = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b':' | b'/' | b'@' | b'+');
    let id = String::from_utf8(id).ok().filter(|id| id.len() <= LONGEST_ID && id.bytes().all(|b| fits(&b)))?;
    id.split('/').all(|part| !matches!(part, "" | "." | "..")).then_some(id)
}

/// The model in the path of an endpoint, unescaped; empty where there is none.
pub(super) fn model(endpoint: &Endpoint) -> String {
    let id = endpoint.path.strip_prefix("/model/").and_then(|rest| rest.split('/').next());
    id.and_then(model_id).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(path: &str) -> Option<(&'static str, String, String)> {
        find(&Method::POST, path).map(|e| (e.template, e.path.to_string(), model(&e)))
    }

    #[test]
    fn ids_in_any_spelling_go_out_in_one() {
        let wire = "/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/invoke";
        for path in [wire, "/model/anthropic.claude-sonnet-4-5-20250929-v1:0/invoke", &wire.replace("%3A", "%3a")] {
            let expected = ("/model/{modelId}/invoke", wire.into(), "anthropic.claude-sonnet-4-5-20250929-v1:0".into());
            assert_eq!(post(path), Some(expected), "{path}");
        }
        let arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123def456";
        let wire = "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fabc123def456/converse";
        for path in [wire, &format!("/model/{arn}/converse")] {
            assert_eq!(post(path), Some(("/model/{modelId}/converse", wire.into(), arn.into())), "{path}");
        }
    }

    #[test]
    fn each_operation_has_its_label_and_bill() {
        for (method, path, template, billing) in [
            ("POST", "/model/m/converse-stream", "/model/{modelId}/converse-stream", Billing::Usage),
            (
                "POST",
                "/model/m/invoke-with-response-stream",
                "/model/{modelId}/invoke-with-response-stream",
                Billing::Usage,
            ),
            ("POST", "/model/m/count-tokens", "/model/{modelId}/count-tokens", Billing::Free),
            ("POST", "/anthropic/v1/messages", "/anthropic/v1/messages", Billing::Usage),
            ("POST", "/anthropic/v1/complete", "/anthropic/v1/complete", Billing::Usage),
            (
                "POST",
                "/guardrail/g/version/1/apply",
                "/guardrail/{guardrailId}/version/{version}/apply",
                Billing::Unpriced,
            ),
            ("POST", "/async-invoke", "/async-invoke", Billing::Unpriced),
            ("GET", "/async-invoke", "/async-invoke", Billing::Free),
            ("POST", "/retrieveAndGenerate", "/retrieveAndGenerate", Billing::Usage),
            ("POST", "/knowledgebases/KB/retrieve", "/knowledgebases/{knowledgeBaseId}/retrieve", Billing::Unpriced),
        ] {
            let found = find(&Method::from_bytes(method.as_bytes()).unwrap(), path).expect(path);
            assert_eq!((found.template, found.billing), (template, billing), "{path}");
            assert_eq!(is_agents(&found), template.contains("etrieve"), "{path}");
        }
    }

    #[test]
    fn nothing_else_is_reached() {
        for path in [
            "/",
            "/model//invoke",
            "/model/invoke",
            "/model/../invoke",
            "/model/%2e%2e/invoke",
            "/model/a%2F..%2Fb/invoke",
            "/model/a%00/invoke",
            "/model/a%/invoke",
            "/model/a?b/invoke",
            "/model/m/invoke/",
            "/model/m/INVOKE",
            "/model/m/invoke-with-bidirectional-stream",
            "/guardrail/../version/1/apply",
            "/foundation-models",
            "/v1/messages",
        ] {
            assert_eq!(post(path), None, "{path}");
        }
        assert!(find(&Method::GET, "/model/m/invoke").is_none());
        assert!(find(&Method::POST, &format!("/model/{}/invoke", "a".repeat(3000))).is_none());
    }
}
