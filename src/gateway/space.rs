//! Which URL space a request belongs to.

use super::unified::{self, Surface};
use crate::providers::{self, Dialect, Endpoint, Handle};
use crate::snapshot::Snapshot;
use arc_swap::ArcSwap;
use http::Method;

#[derive(Debug)]
pub(super) enum Space {
    /// `GET /healthz` and `/api/health`.
    Alive,
    /// `GET /readyz`.
    Ready,
    /// `/api/providers/<name>/...` and `/api/custom/providers/<name>/...`
    Provider { provider: Handle, endpoint: Endpoint },
    /// `/api/routes/...` and `/api/route/...`: what follows, with its slash.
    Route { rest: Box<str> },
    /// `/v1/...`
    Unified(Surface),
    /// Nothing that is served.
    Unknown { dialect: Dialect },
}

pub(super) fn of(method: &Method, path: &str, snapshot: &ArcSwap<Snapshot>) -> Space {
    match path {
        "/healthz" if method == Method::GET => Space::Alive,
        "/api/health" if method == Method::GET || method == Method::POST => Space::Alive,
        "/readyz" if method == Method::GET => Space::Ready,
        _ if path.starts_with("/v1/") => {
            unified::of(method, path).map_or(Space::Unknown { dialect: Dialect::Unified }, Space::Unified)
        }
        _ if route_path(path).is_some() => match route_path(path) {
            Some(rest) if method == Method::POST && !rest.split('/').any(is_dot_segment) => {
                Space::Route { rest: rest.into() }
            }
            _ => Space::Unknown { dialect: Dialect::OpenAi },
        },
        _ => provider_space(method, path, snapshot).unwrap_or(Space::Unknown { dialect: Dialect::OpenAi }),
    }
}

/// What follows the prefix of routes, with its slash.
fn route_path(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/api/routes").or_else(|| path.strip_prefix("/api/route"))?;
    rest.starts_with('/').then_some(rest)
}

fn provider_space(method: &Method, path: &str, snapshot: &ArcSwap<Snapshot>) -> Option<Space> {
    // What a proxy in front or behind could read differently is not forwarded at all.
    if path.split('/').any(is_dot_segment) {
        return None;
    }
    let (provider, tail) = match providers::custom::split_path(path) {
        Some((name, tail)) => (snapshot.load().custom_provider(&name)?.clone(), tail.into()),
        None => providers::by_path(path).map(|(built_in, tail)| (built_in.clone(), tail))?,
    };
    Some(match provider.endpoint(method, &tail) {
        Some(endpoint) => Space::Provider { provider, endpoint },
        None => Space::Unknown { dialect: provider.unknown_dialect() },
    })
}

/// `.` or `..`, plain or percent-encoded.
fn is_dot_segment(segment: &str) -> bool {
    let mut dots = 0;
    let mut rest = segment.as_bytes();
    loop {
        rest = match rest {
            [] => return (1..=2).contains(&dots),
            [b'.', rest @ ..] | [b'%', b'2', b'e' | b'E', rest @ ..] => rest,
            _ => return false,
        };
        dots += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{CustomProvider, CustomProviderId, CustomRoute, UnixMillis};
    use crate::snapshot::{Change, Changes, Point};

    fn known(path: &str) -> bool {
        matches!(of(&Method::POST, path, &ArcSwap::default()), Space::Provider { .. })
    }

    #[test]
    fn dot_segments_never_reach_an_upstream() {
        assert!(known("/api/providers/openai/v1/chat/completions"));
        assert!(!known("/api/providers/openai/v1/../admin"));
        assert!(!known("/api/providers/openai/v1/%2e%2E/admin"));
        assert!(!known("/api/providers/openai/v1/.%2e/admin"));
        assert!(!is_dot_segment("...") && !is_dot_segment("") && !is_dot_segment("%2e%2f") && is_dot_segment("%2E"));
        assert!(!known("/api/providers/nobody/v1/chat/completions"));
        assert!(!known("/api/providers/openai"));
    }

    #[test]
    fn custom_providers_are_those_of_the_snapshot() {
        let row = CustomProvider {
            id: CustomProviderId::from_uuid(uuid::Uuid::nil()),
            revision: 1,
            name: "acme".into(),
            created_at: UnixMillis(0),
            updated_at: UnixMillis(0),
            routes: vec![route("/a/../b"), route("/a/b")],
            authentication_param: "".into(),
        };
        let changes = Changes { point: Point::at(1), changes: vec![Change::CustomProvider(Box::new(row))] };
        let snapshot = ArcSwap::from_pointee(Snapshot::default().apply(changes));
        let known = |method, path: &str| match of(&method, &format!("/api/custom/providers{path}"), &snapshot) {
            Space::Provider { provider, endpoint } => provider.name() == "acme" && *endpoint.path == *"/a/b",
            _ => false,
        };
        assert!(known(Method::POST, "/acme/a/b") && known(Method::POST, "/ACME/a/b"));
        for path in ["/acme/A/b", "/acme/a/b/", "/acme/a", "/acme", "/other/a/b", "/acme/a/../b"] {
            assert!(!known(Method::POST, path), "{path}");
        }
        assert!(!known(Method::GET, "/acme/a/b"));
    }

    fn route(path: &str) -> CustomRoute {
        CustomRoute { path: path.into(), ..CustomRoute::default() }
    }
}
