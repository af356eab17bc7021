//! Three forms of path for OpenAI's operations: below a deployment, beside all deployments, and version 1.
//! Each is looked up as OpenAI's own path, so that kinds, billing and what is closed are the same there and here.

use crate::providers::openai::{self, OpenAi};
use crate::providers::{Endpoint, Provider};
use http::Method;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

/// What a deployment does: OpenAI's path and ours.
const DEPLOYMENT: &[(&str, &str)] = &[
    ("/v1/chat/completions", "/openai/deployments/{deployment}/chat/completions"),
    ("/v1/embeddings", "/openai/deployments/{deployment}/embeddings"),
    ("/v1/completions", "/openai/deployments/{deployment}/completions"),
    ("/v1/audio/transcriptions", "/openai/deployments/{deployment}/audio/transcriptions"),
    ("/v1/audio/translations", "/openai/deployments/{deployment}/audio/translations"),
    ("/v1/audio/speech", "/openai/deployments/{deployment}/audio/speech"),
    ("/v1/images/generations", "/openai/deployments/{deployment}/images/generations"),
    ("/v1/images/edits", "/openai/deployments/{deployment}/images/edits"),
];

/// What dated versions have beside deployments: first segments.
const CLASSIC: &[&str] =
    &["responses", "models", "files", "batches", "assistants", "threads", "vector_stores", "fine_tuning"];

/// Longest name of a deployment, bytes.
const LONGEST_NAME: usize = 64;

/// Which form a path has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Surface {
    /// `/openai/deployments/{deployment}/...`, with a dated version.
    Deployment,
    /// `/openai/...`, with a dated version.
    Classic,
    /// `/openai/v1/...`, where a version is optional.
    V1,
}

/// Where the operation begins in a path: what stands before it, and itself without a slash.
struct Split<'a> {
    surface: Surface,
    before: &'a str,
    operation: &'a str,
}

fn split(path: &str) -> Option<Split<'_>> {
    let below = path.strip_prefix("/openai/")?;
    let before = |operation: &str| path.get(..path.len() - operation.len() - 1);
    if let Some(operation) = below.strip_prefix("v1/") {
        return Some(Split { surface: Surface::V1, before: before(operation)?, operation });
    }
    if let Some(named) = below.strip_prefix("deployments/") {
        let (name, operation) = named.split_once('/')?;
        let split = Split { surface: Surface::Deployment, before: before(operation)?, operation };
        return is_name(name).then_some(split);
    }
    let first = below.split('/').next()?;
    CLASSIC.contains(&first).then_some(Split { surface: Surface::Classic, before: before(below)?, operation: below })
}

/// The name is part of our own path and of the upstream's, as it stands.
pub(super) fn is_name(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(fits) && text != "." && text != ".."
}

pub(super) fn surface(path: &str) -> Surface {
    split(path).map_or(Surface::Classic, |split| split.surface)
}

/// The deployment that a path names.
pub(super) fn deployment(path: &str) -> Option<&str> {
    let split = split(path).filter(|split| split.surface == Surface::Deployment)?;
    split.before.rsplit('/').next()
}

pub(super) fn find(method: &Method, path: &str) -> Option<Endpoint> {
    let Split { surface, before, operation } = split(path)?;
    let found = OpenAi.endpoint(method, &format!("/v1/{operation}"))?;
    let template = label(surface, found.template)?;
    let tail = found.path.strip_prefix("/v1")?;
    Some(Endpoint { template, path: format!("{before}{tail}").into(), ..found })
}

/// The same operation as OpenAI has it: objects are known by its paths.
pub(super) fn as_openai(endpoint: &Endpoint) -> Cow<'_, Endpoint> {
    let theirs = split(&endpoint.path).and_then(|s| OpenAi.endpoint(&endpoint.method, &format!("/v1/{}", s.operation)));
    theirs.map_or(Cow::Borrowed(endpoint), Cow::Owned)
}

fn label(surface: Surface, template: &'static str) -> Option<&'static str> {
    static LABELS: LazyLock<HashMap<&'static str, [String; 2]>> = LazyLock::new(|| {
        let both = |template: &str| [template.replacen("/v1", "/openai", 1), format!("/openai{template}")];
        openai::templates().map(|template| (template, both(template))).collect()
    });
    if surface == Surface::Deployment {
        return DEPLOYMENT.iter().find(|(theirs, _)| *theirs == template).map(|(_, ours)| *ours);
    }
    let [classic, v1] = LABELS.get(template)?;
    Some(if surface == Surface::V1 { v1 } else { classic })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::Billing;

    fn post(path: &str) -> Option<Endpoint> {
        find(&Method::POST, path)
    }

    #[test]
    fn c88_three_forms_lead_to_the_same_operations() {
        for (method, path, template, billing) in [
            (
                "POST",
                "/openai/deployments/my-dep/chat/completions",
                "/openai/deployments/{deployment}/chat/completions",
                Billing::Usage,
            ),
            (
                "POST",
                "/openai/deployments/a.b_c-1/embeddings",
                "/openai/deployments/{deployment}/embeddings",
                Billing::Usage,
            ),
            (
                "POST",
                "/openai/deployments/d/completions",
                "/openai/deployments/{deployment}/completions",
                Billing::Usage,
            ),
            ("POST", "/openai/responses", "/openai/responses", Billing::Usage),
            ("GET", "/openai/models", "/openai/models", Billing::Free),
            ("GET", "/openai/files/f/content", "/openai/files/{file_id}/content", Billing::Free),
            ("POST", "/openai/batches", "/openai/batches", Billing::Later),
            ("POST", "/openai/v1/chat/completions", "/openai/v1/chat/completions", Billing::Usage),
            ("POST", "/openai/v1/responses", "/openai/v1/responses", Billing::Usage),
            ("GET", "/openai/v1/models", "/openai/v1/models", Billing::Free),
            ("POST", "/openai/v1/brand/new", "/openai/v1/*", Billing::Unpriced),
        ] {
            let method: Method = method.parse().expect(method);
            let found = find(&method, path).unwrap_or_else(|| panic!("{path}"));
            assert_eq!((found.template, &*found.path, found.method, found.billing), (template, path, method, billing));
        }
        for (_, template) in DEPLOYMENT {
            assert_eq!(post(&template.replace("{deployment}", "d")).map(|e| e.template), Some(*template));
        }
    }

    #[test]
    fn names_and_paths_that_could_lead_elsewhere_are_closed() {
        let long = format!("/openai/deployments/{}/embeddings", "x".repeat(65));
        for path in [
            "/openai/deployments/d",
            "/openai/deployments//chat/completions",
            "/openai/deployments/../chat/completions",
            "/openai/deployments/d%2fe/chat/completions",
            "/openai/deployments/d e/chat/completions",
            "/openai/deployments/d/models",
            "/openai/deployments/d/responses",
            "/openai/deployments/d/realtime",
            "/openai/deployments/d/../v1/chat/completions",
            "/openai/deployments/d/chat//completions",
            "/openai/deployments/d/extensions/chat/completions",
            "/openai/Deployments/d/chat/completions",
            "/openai/chat/completions",
            "/openai/realtime",
            "/openai/v1/realtime/client_secrets",
            "/openai/v1",
            "/openai/v1/",
            "/openai",
            "/v1/chat/completions",
            "/management/accounts",
            "",
            &long,
        ] {
            assert_eq!(post(path), None, "{path}");
        }
    }

    #[test]
    fn objects_are_known_by_openais_paths() {
        for (path, id) in [("/openai/files/file-1/content", "file-1"), ("/openai/v1/batches/batch_1/cancel", "batch_1")]
        {
            let found = find(&Method::POST, path).expect(path);
            assert_eq!(OpenAi.references(&as_openai(&found), None, b""), [Box::from(id)], "{path}");
        }
        let list = find(&Method::GET, "/openai/v1/files").expect("files");
        assert!(OpenAi.lists_objects(&as_openai(&list)) && !OpenAi.lists_objects(&list));
        assert_eq!(find(&Method::GET, "/openai/v1/realtime"), None, "no socket is opened past the meter");
    }

    #[test]
    fn the_path_names_the_deployment() {
        for (path, name) in [
            ("/openai/deployments/my-dep/chat/completions", Some("my-dep")),
            ("/openai/v1/chat/completions", None),
            ("/openai/responses", None),
        ] {
            assert_eq!(deployment(path), name, "{path}");
        }
    }
}
