//! `allowedPaths`: may this key use this method and path.

use crate::domain::AllowedPath;

/// An empty list allows everything. Otherwise some entry must match the method exactly and the path
/// literally, as a template (`:name` or `{name}` segments), or as a prefix when it ends in `*`.
pub fn may_call(allowed: &[AllowedPath], method: &str, path: &str) -> bool {
    allowed.is_empty() || allowed.iter().any(|entry| entry.method == method && matches(&entry.path, path))
}

fn matches(pattern: &str, path: &str) -> bool {
    if pattern == path {
        return true;
    }
    let (pattern, open_ended) = match wildcard_prefix(pattern) {
        Some(prefix) => (prefix, true),
        None => (pattern, false),
    };
    if open_ended && path.starts_with(pattern) {
        return true;
    }
    let mut wanted = pattern.split('/');
    let mut given = path.split('/');
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (None, Some(_)) => return false,
            // The prefix `/a/` splits into a last empty segment: everything below it is meant.
            (Some(""), Some(_)) if open_ended && wanted.clone().next().is_none() => return true,
            (Some(w), Some(g)) if w == g || (is_parameter(w) && !g.is_empty()) => {}
            _ => return false,
        }
    }
}

/// `/a/*` and `/a/*wildcard` mean everything that begins with `/a/`.
fn wildcard_prefix(pattern: &str) -> Option<&str> {
    let (prefix, name) = pattern.rsplit_once('*')?;
    (!name.contains('/')).then_some(prefix)
}

fn is_parameter(segment: &str) -> bool {
    (segment.len() > 1 && segment.starts_with(':')) || (segment.starts_with('{') && segment.ends_with('}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, path: &str, expect: bool) {
        let entry = AllowedPath { path: pattern.into(), method: "POST".into() };
        assert_eq!(may_call(&[entry], "POST", path), expect, "{pattern} on {path}");
    }

    #[test]
    fn c60_literal_ids_and_templates_match() {
        check("/api/providers/openai/v1/threads/abc", "/api/providers/openai/v1/threads/abc", true);
        check("/api/providers/openai/v1/threads/:thread_id", "/api/providers/openai/v1/threads/abc", true);
        check("/api/providers/openai/v1/threads/{id}/runs", "/api/providers/openai/v1/threads/abc/runs", true);
        check("/api/providers/openai/v1/threads/:thread_id", "/api/providers/openai/v1/threads/abc/runs", false);
        check("/api/providers/openai/v1/threads/:thread_id", "/api/providers/openai/v1/threads/", false);
        check("/api/custom/providers/:provider/*wildcard", "/api/custom/providers/acme/a/b", true);
        check("/api/providers/openai/*", "/api/providers/openai/v1/models", true);
        check("/api/providers/openai/*", "/api/providers/openaix", false);
    }

    #[test]
    fn the_method_must_be_the_same() {
        let entry = AllowedPath { path: "/a".into(), method: "GET".into() };
        assert!(!may_call(std::slice::from_ref(&entry), "POST", "/a"));
        assert!(may_call(&[], "POST", "/a"));
    }
}
