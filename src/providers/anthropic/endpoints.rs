//! Every operation of the API that is served: its label, its kind, where it goes.
//! A path that is not listed passes under one label; what would open a way around the gateway does not.

use crate::providers::path::{matches, segments};
use crate::providers::{Billing, Endpoint};
use http::Method;

/// How an endpoint is read and metered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Passed on; consumption, if any, is not read.
    Other,
    Messages,
    /// Text completions: an answer that does not report what it consumed.
    Complete,
    /// Names a model, costs nothing.
    CountTokens,
    /// Sets models to work whose results are fetched later; answers with a batch object.
    CreateBatch,
    /// Brings a file or a skill into being.
    CreateObject,
    /// Answers with one or more objects.
    Object,
    /// The results of a batch, a line each.
    Results,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::Other,
        Self::Messages,
        Self::Complete,
        Self::CountTokens,
        Self::CreateBatch,
        Self::CreateObject,
        Self::Object,
        Self::Results,
    ];

    pub fn of(endpoint: &Endpoint) -> Self {
        Self::ALL.into_iter().find(|k| *k as u8 == endpoint.kind).unwrap_or(Self::Other)
    }
    fn billing(self, template: &str) -> Billing {
        match self {
            Self::Messages | Self::Complete => Billing::Usage,
            Self::CreateBatch => Billing::Later,
            Self::Other if template == ANYTHING => Billing::Unpriced,
            // Results cost nothing themselves: they tell what the batch did.
            Self::CountTokens | Self::CreateObject | Self::Object | Self::Results | Self::Other => Billing::Free,
        }
    }
    pub(super) const fn has_json_body(self) -> bool {
        matches!(self, Self::Messages | Self::Complete | Self::CountTokens | Self::CreateBatch)
    }
}

/// Paths with a meaning for the body, by POST. The most called first: the search is linear.
const WORK: &[(&str, Kind)] = &[
    ("/v1/messages", Kind::Messages),
    ("/v1/messages/count_tokens", Kind::CountTokens),
    ("/v1/messages/batches", Kind::CreateBatch),
    ("/v1/complete", Kind::Complete),
    ("/v1/files", Kind::CreateObject),
    ("/v1/skills", Kind::CreateObject),
];

/// Everything else that has a label of its own, by any method.
const PLAIN: &[(&str, Kind)] = &[
    ("/v1/messages/batches", Kind::Object),
    ("/v1/messages/batches/{message_batch_id}", Kind::Object),
    ("/v1/messages/batches/{message_batch_id}/cancel", Kind::Object),
    ("/v1/messages/batches/{message_batch_id}/results", Kind::Results),
    ("/v1/models", Kind::Other),
    ("/v1/models/{model_id}", Kind::Other),
    ("/v1/files", Kind::Other),
    ("/v1/files/{file_id}", Kind::Other),
    ("/v1/files/{file_id}/content", Kind::Other),
    ("/v1/skills", Kind::Other),
    ("/v1/skills/{skill_id}", Kind::Other),
    ("/v1/skills/{skill_id}/versions", Kind::Other),
    ("/v1/skills/{skill_id}/versions/{version}", Kind::Other),
    ("/v1/skills/{skill_id}/versions/{version}/content", Kind::Other),
    ("/v1/messages", Kind::Other),
    ("/v1/messages/count_tokens", Kind::Other),
    ("/v1/complete", Kind::Other),
];

/// Administration of the organisation, its credentials and network; agents that work and cost on their own.
const CLOSED: &[&str] = &[
    "organization",
    "organizations",
    "agents",
    "deployments",
    "deployment_runs",
    "dreams",
    "environments",
    "memory_stores",
    "oauth",
    "sessions",
    "tunnels",
    "user_profiles",
    "vaults",
];

/// The label of a path that is not listed.
const ANYTHING: &str = "/v1/*";

/// `None` when there is no such operation, or none that may be called through a gateway.
pub(super) fn find(method: &Method, path: &str) -> Option<Endpoint> {
    // The common case, without a look at the segments.
    if method == Method::POST
        && let Some((template, kind)) = WORK.iter().find(|(template, _)| *template == path)
    {
        return Some(endpoint(template, *kind, method, path));
    }
    let segments = segments(path)?;
    let (first, rest) = segments.split_first()?;
    if first != "v1" || rest.is_empty() {
        return None;
    }
    if rest.first().is_some_and(|head| CLOSED.iter().any(|closed| head.eq_ignore_ascii_case(closed))) {
        return None;
    }
    let work = WORK.iter().filter(|_| method == Method::POST);
    let listed = work.chain(PLAIN).find(|(template, _)| matches(template, &segments));
    let (template, kind) = listed.copied().unwrap_or((ANYTHING, Kind::Other));
    Some(endpoint(template, kind, method, path))
}

fn endpoint(template: &'static str, kind: Kind, method: &Method, path: &str) -> Endpoint {
    Endpoint {
        template,
        method: method.clone(),
        path: path.into(),
        kind: kind as u8,
        json_body: kind.has_json_body(),
        billing: kind.billing(template),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(path: &str) -> Option<Endpoint> {
        find(&Method::POST, path)
    }

    #[test]
    fn documented_paths_have_their_labels() {
        for (method, path, template, kind, billing) in [
            ("POST", "/v1/messages", "/v1/messages", Kind::Messages, Billing::Usage),
            ("POST", "/v1/complete", "/v1/complete", Kind::Complete, Billing::Usage),
            ("POST", "/v1/messages/count_tokens", "/v1/messages/count_tokens", Kind::CountTokens, Billing::Free),
            ("POST", "/v1/messages/batches", "/v1/messages/batches", Kind::CreateBatch, Billing::Later),
            ("GET", "/v1/messages/batches", "/v1/messages/batches", Kind::Object, Billing::Free),
            ("GET", "/v1/messages/batches/b", "/v1/messages/batches/{message_batch_id}", Kind::Object, Billing::Free),
            (
                "DELETE",
                "/v1/messages/batches/b",
                "/v1/messages/batches/{message_batch_id}",
                Kind::Object,
                Billing::Free,
            ),
            (
                "POST",
                "/v1/messages/batches/b/cancel",
                "/v1/messages/batches/{message_batch_id}/cancel",
                Kind::Object,
                Billing::Free,
            ),
            (
                "GET",
                "/v1/messages/batches/b/results",
                "/v1/messages/batches/{message_batch_id}/results",
                Kind::Results,
                Billing::Free,
            ),
            ("GET", "/v1/models", "/v1/models", Kind::Other, Billing::Free),
            ("GET", "/v1/models/claude-opus-5-5", "/v1/models/{model_id}", Kind::Other, Billing::Free),
            ("POST", "/v1/files", "/v1/files", Kind::CreateObject, Billing::Free),
            ("GET", "/v1/files/f/content", "/v1/files/{file_id}/content", Kind::Other, Billing::Free),
            ("GET", "/v1/skills/s/versions/1", "/v1/skills/{skill_id}/versions/{version}", Kind::Other, Billing::Free),
            ("POST", "/v1/brand/new", "/v1/*", Kind::Other, Billing::Unpriced),
        ] {
            let method: Method = method.parse().expect(method);
            let found = find(&method, path).unwrap_or_else(|| panic!("{path}"));
            assert_eq!((found.template, &*found.path, &found.method), (template, path, &method));
            assert_eq!((Kind::of(&found), found.billing), (kind, billing), "{path}");
        }
    }

    #[test]
    fn no_spelling_of_a_metered_path_goes_unmetered() {
        for path in ["/v1/messages/", "/v1/Messages", "/v1/%6dessages", "/v1/complete/"] {
            assert!(post(path).is_some_and(|e| e.billing == Billing::Usage && e.json_body), "{path}");
        }
        for path in ["/v1//messages", "/v1/./messages", "/v1/models/../messages", "/v1/messages%2Fbatches", "/v1/a%00"]
        {
            assert_eq!(post(path), None, "{path}");
        }
    }

    #[test]
    fn ways_around_the_gateway_are_closed() {
        for path in [
            "/v1/organizations/api_keys",
            "/v1/Organizations/users",
            "/v1/%6frganizations/me",
            "/v1/agents",
            "/v1/sessions/s/events",
            "/v1/environments",
            "/v1/vaults/v/credentials",
            "/v1/memory_stores",
            "/v1/deployments/d/run",
            "/v1/deployment_runs",
            "/v1/dreams",
            "/v1/user_profiles",
            "/v1/tunnels/t/reveal_token",
            "/v1/oauth/token",
            "/v2/messages",
            "/messages",
            "/v1",
            "/v1/",
            "/",
            "",
        ] {
            assert_eq!((post(path), find(&Method::GET, path)), (None, None), "{path}");
        }
    }
}
