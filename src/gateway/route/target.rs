//! Which route a path means, and in which form it is asked.

use super::super::unified::Surface;
use crate::domain::{RequestFormat, Route};
use crate::providers::Dialect;
use crate::snapshot::Routes;
use crate::wire::chat::Format;
use std::sync::Arc;

/// A route and what is asked of it.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) route: Arc<Route>,
    pub(super) surface: Surface,
}

/// What clients put behind a base URL.
const OPERATIONS: [(&str, Surface); 5] = [
    ("/chat/completions", Surface::Talk(Format::OpenAiChat)),
    ("/completions", Surface::Talk(Format::OpenAiCompletions)),
    ("/responses", Surface::Talk(Format::OpenAiResponses)),
    ("/messages", Surface::Talk(Format::Anthropic)),
    ("/embeddings", Surface::Embeddings),
];

/// `path` is what follows `/api/routes`, with its slash. The route of this very path comes first; else one that a client
/// has as its base URL.
pub(super) fn find(routes: &Routes, path: &str) -> Option<Target> {
    if let Some(route) = routes.at(path) {
        let surface = match route.request_format {
            RequestFormat::Chat => Surface::Talk(Format::OpenAiChat),
            RequestFormat::Embeddings => Surface::Embeddings,
        };
        return Some(Target { route: Arc::clone(route), surface });
    }
    bases(path).find_map(|(base, surface)| {
        let route = routes.at(base).or_else(|| routes.at(base.strip_suffix("/v1")?))?;
        Some(Target { route: Arc::clone(route), surface })
    })
}

/// The path without the operation at its end. There may be two of them: `/chat` is a base URL as any other.
fn bases(path: &str) -> impl Iterator<Item = (&str, Surface)> {
    OPERATIONS.into_iter().filter_map(move |(end, surface)| {
        let base = path.strip_suffix(end)?;
        (!base.is_empty()).then_some((base, surface))
    })
}

/// The shape of errors, as far as the path tells.
pub(in crate::gateway) fn dialect(path: &str) -> Dialect {
    match bases(path).next() {
        Some((_, Surface::Talk(Format::Anthropic))) => Dialect::Anthropic,
        _ => Dialect::OpenAi,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{RetryStrategy, RouteCache, RouteId, UnixMillis};
    use crate::snapshot::{Change, Changes, Point, Snapshot};
    use uuid::Uuid;

    fn snapshot(paths: &[(&str, RequestFormat)]) -> Snapshot {
        let change = |(n, (path, request_format)): (usize, &(&str, RequestFormat))| {
            Change::Route(Box::new(Route {
                id: RouteId::from_uuid(Uuid::from_u128(n as u128)),
                revision: 1,
                name: "r".into(),
                path: (*path).into(),
                created_at: UnixMillis(0),
                updated_at: UnixMillis(0),
                key_ids: Vec::new(),
                steps: Vec::new(),
                cache: RouteCache::default(),
                retry_strategy: RetryStrategy::Unset,
                request_format: *request_format,
            }))
        };
        Snapshot::default()
            .apply(Changes { point: Point::at(1), changes: paths.iter().enumerate().map(change).collect() })
    }

    #[test]
    fn a_path_is_a_route_or_the_base_url_of_a_client() {
        let (chat, vectors) = (RequestFormat::Chat, RequestFormat::Embeddings);
        let snapshot = snapshot(&[
            ("/chat/prod", chat),
            ("/vectors", vectors),
            ("/prod/v1/messages", chat),
            ("/v1", chat),
            ("/team/chat", chat),
        ]);
        let talk = |format| Some(Surface::Talk(format));
        for (path, expect) in [
            ("/chat/prod", talk(Format::OpenAiChat)),
            ("/vectors", Some(Surface::Embeddings)),
            ("/chat/prod/chat/completions", talk(Format::OpenAiChat)),
            ("/chat/prod/v1/chat/completions", talk(Format::OpenAiChat)),
            ("/chat/prod/v1/messages", talk(Format::Anthropic)),
            ("/chat/prod/responses", talk(Format::OpenAiResponses)),
            ("/chat/prod/completions", talk(Format::OpenAiCompletions)),
            ("/vectors/v1/embeddings", Some(Surface::Embeddings)),
            ("/v1/chat/completions", talk(Format::OpenAiChat)),
            ("/team/chat/completions", talk(Format::OpenAiCompletions)),
            ("/team/chat/chat/completions", talk(Format::OpenAiChat)),
            // The very path wins over the base URL.
            ("/prod/v1/messages", talk(Format::OpenAiChat)),
            ("/chat/prod/", None),
            ("/chat", None),
            ("/chat/completions", None),
            ("/chat/prod/v2/messages", None),
            ("/chat/prod/v1", None),
        ] {
            assert_eq!(find(snapshot.routes(), path).map(|target| target.surface), expect, "{path}");
        }
    }

    #[test]
    fn errors_have_the_clients_shape_before_the_route_is_known() {
        assert_eq!(dialect("/nobody/v1/messages"), Dialect::Anthropic);
        assert_eq!(dialect("/nobody/v1/chat/completions"), Dialect::OpenAi);
        assert_eq!(dialect("/nobody"), Dialect::OpenAi);
    }
}
