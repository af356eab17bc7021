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
    Chat,
    Completions,
    Embeddings,
    /// `/responses` and what answers in the same form.
    Responses,
    Moderations,
    /// Pictures from text: JSON.
    Images,
    /// Pictures from pictures: a form, or JSON.
    ImageEdits,
    /// Sound from text: JSON.
    Speech,
    /// Text from sound: a form. So are translations.
    Transcriptions,
    Translations,
    /// Work of an assistant: JSON.
    Runs,
}

impl Kind {
    const ALL: [Self; 12] = [
        Self::Other,
        Self::Chat,
        Self::Completions,
        Self::Embeddings,
        Self::Responses,
        Self::Moderations,
        Self::Images,
        Self::ImageEdits,
        Self::Speech,
        Self::Transcriptions,
        Self::Translations,
        Self::Runs,
    ];
    pub fn of(endpoint: &Endpoint) -> Self {
        Self::ALL.into_iter().find(|k| *k as u8 == endpoint.kind).unwrap_or(Self::Other)
    }
    /// `template` and `method` decide where the body is not read.
    fn billing(self, template: &str, method: &Method) -> Billing {
        match self {
            Self::Moderations => Billing::Free,
            Self::Other if template == REALTIME => Billing::Usage,
            Self::Other if template == ANYTHING => Billing::Unpriced,
            Self::Other if method == Method::POST && TOLD_LATER.contains(&template) => Billing::Later,
            Self::Other if method == Method::POST && STARTS_WORK.contains(&template) => Billing::Unpriced,
            Self::Other => Billing::Free,
            _ => Billing::Usage,
        }
    }
    const fn has_json_body(self) -> bool {
        !matches!(self, Self::Other) && !self.is_form()
    }
    /// Pictures and sound.
    pub(super) const fn is_media(self) -> bool {
        matches!(self, Self::Images | Self::Speech) || self.is_form()
    }
    pub(super) const fn is_form(self) -> bool {
        matches!(self, Self::ImageEdits | Self::Transcriptions | Self::Translations)
    }
}

/// Paths with a meaning for the body, by POST. The most called first: the search is linear.
const WORK: &[(&str, Kind)] = &[
    ("/v1/chat/completions", Kind::Chat),
    ("/v1/responses", Kind::Responses),
    ("/v1/embeddings", Kind::Embeddings),
    ("/v1/completions", Kind::Completions),
    ("/v1/moderations", Kind::Moderations),
    ("/v1/responses/compact", Kind::Responses),
    ("/v1/decisions", Kind::Responses),
    ("/v1/audio/transcriptions", Kind::Transcriptions),
    ("/v1/audio/speech", Kind::Speech),
    ("/v1/images/generations", Kind::Images),
    ("/v1/images/edits", Kind::ImageEdits),
    ("/v1/images/variations", Kind::ImageEdits),
    ("/v1/audio/translations", Kind::Translations),
    ("/v1/threads/runs", Kind::Runs),
    ("/v1/threads/{thread_id}/runs", Kind::Runs),
    ("/v1/threads/{thread_id}/runs/{run_id}/submit_tool_outputs", Kind::Runs),
];

/// Everything else that has a label of its own, by any method.
const PLAIN: &[&str] = &[
    "/v1/chat/completions/{completion_id}",
    "/v1/chat/completions/{completion_id}/messages",
    "/v1/responses/input_tokens",
    "/v1/responses/{response_id}",
    "/v1/responses/{response_id}/cancel",
    "/v1/responses/{response_id}/input_items",
    "/v1/conversations",
    "/v1/conversations/{conversation_id}",
    "/v1/conversations/{conversation_id}/items",
    "/v1/conversations/{conversation_id}/items/{item_id}",
    "/v1/models",
    "/v1/models/{model}",
    "/v1/files",
    "/v1/files/{file_id}",
    "/v1/files/{file_id}/content",
    "/v1/uploads",
    "/v1/uploads/{upload_id}",
    "/v1/uploads/{upload_id}/parts",
    "/v1/uploads/{upload_id}/complete",
    "/v1/uploads/{upload_id}/cancel",
    "/v1/audio/voices",
    "/v1/audio/voices/{voice_id}",
    "/v1/audio/voice_consents",
    "/v1/audio/voice_consents/{consent_id}",
    "/v1/batches",
    "/v1/batches/{batch_id}",
    "/v1/batches/{batch_id}/cancel",
    "/v1/fine_tuning/jobs",
    "/v1/fine_tuning/jobs/{job_id}",
    "/v1/fine_tuning/jobs/{job_id}/cancel",
    "/v1/fine_tuning/jobs/{job_id}/pause",
    "/v1/fine_tuning/jobs/{job_id}/resume",
    "/v1/fine_tuning/jobs/{job_id}/events",
    "/v1/fine_tuning/jobs/{job_id}/checkpoints",
    "/v1/fine_tuning/checkpoints/{checkpoint}/permissions",
    "/v1/fine_tuning/checkpoints/{checkpoint}/permissions/{permission_id}",
    "/v1/fine_tuning/alpha/graders/run",
    "/v1/fine_tuning/alpha/graders/validate",
    "/v1/assistants",
    "/v1/assistants/{assistant_id}",
    "/v1/assistants/{assistant_id}/files",
    "/v1/assistants/{assistant_id}/files/{file_id}",
    "/v1/threads",
    "/v1/threads/{thread_id}",
    "/v1/threads/{thread_id}/messages",
    "/v1/threads/{thread_id}/messages/{message_id}",
    "/v1/threads/{thread_id}/messages/{message_id}/files",
    "/v1/threads/{thread_id}/messages/{message_id}/files/{file_id}",
    "/v1/threads/{thread_id}/runs/{run_id}",
    "/v1/threads/{thread_id}/runs/{run_id}/cancel",
    "/v1/threads/{thread_id}/runs/{run_id}/steps",
    "/v1/threads/{thread_id}/runs/{run_id}/steps/{step_id}",
    "/v1/vector_stores",
    "/v1/vector_stores/{vector_store_id}",
    "/v1/vector_stores/{vector_store_id}/search",
    "/v1/vector_stores/{vector_store_id}/files",
    "/v1/vector_stores/{vector_store_id}/files/{file_id}",
    "/v1/vector_stores/{vector_store_id}/files/{file_id}/content",
    "/v1/vector_stores/{vector_store_id}/file_batches",
    "/v1/vector_stores/{vector_store_id}/file_batches/{batch_id}",
    "/v1/vector_stores/{vector_store_id}/file_batches/{batch_id}/files",
    "/v1/vector_stores/{vector_store_id}/file_batches/{batch_id}/cancel",
    "/v1/containers",
    "/v1/containers/{container_id}",
    "/v1/containers/{container_id}/files",
    "/v1/containers/{container_id}/files/{file_id}",
    "/v1/containers/{container_id}/files/{file_id}/content",
    "/v1/skills",
    "/v1/skills/{skill_id}",
    "/v1/evals",
    "/v1/evals/{eval_id}",
    "/v1/evals/{eval_id}/runs",
    "/v1/evals/{eval_id}/runs/{run_id}",
    "/v1/webhook_endpoints",
    "/v1/webhook_endpoints/{endpoint_id}",
    "/v1/videos",
    "/v1/videos/{video_id}",
    "/v1/videos/{video_id}/content",
    "/v1/videos/{video_id}/remix",
];

/// Of [`PLAIN`], what sets a model or a machine to work when it is posted.
const STARTS_WORK: &[&str] = &[
    "/v1/containers",
    "/v1/evals/{eval_id}/runs",
    "/v1/fine_tuning/alpha/graders/run",
    "/v1/fine_tuning/jobs",
    "/v1/videos",
    "/v1/videos/{video_id}/remix",
];

/// Of [`PLAIN`], work whose object tells its consumption when it is over.
const TOLD_LATER: &[&str] = &["/v1/batches"];

/// Administration of the organisation; sockets and credentials that would let a client go past the meter.
const CLOSED: &[&str] = &[
    "organization",
    "organizations",
    "projects",
    "vaults",
    "safety",
    "agents",
    "tunnels",
    "realtime",
    "live",
    "chatkit",
];

/// WebSocket, metered message by message. What else is below it hands out credentials and stays closed.
pub(super) const REALTIME: &str = "/v1/realtime";

/// The label of a path that is not listed.
pub(super) const ANYTHING: &str = "/v1/*";

/// All labels.
pub(super) fn templates() -> impl Iterator<Item = &'static str> {
    WORK.iter().map(|(template, _)| *template).chain(PLAIN.iter().copied()).chain([ANYTHING])
}

/// `None` when there is no such operation, or none that may be called through a gateway.
pub(super) fn find(method: &Method, path: &str) -> Option<Endpoint> {
    // The common case, without a look at the segments.
    if method == Method::POST
        && let Some((template, kind)) = WORK.iter().find(|(template, _)| *template == path)
    {
        return Some(endpoint(template, *kind, method.clone(), path));
    }
    let segments = segments(path)?;
    let (first, rest) = segments.split_first()?;
    if first != "v1" || rest.is_empty() {
        return None;
    }
    if method == Method::GET && rest == ["realtime"] {
        return Some(endpoint(REALTIME, Kind::Other, method.clone(), path));
    }
    if rest.first().is_some_and(|head| CLOSED.iter().any(|closed| head.eq_ignore_ascii_case(closed))) {
        return None;
    }
    // A slip of an old document that clients copied.
    if let [_, audios, translations] = &*segments
        && audios == "audios"
        && translations == "translations"
    {
        return find(method, "/v1/audio/translations");
    }
    if method == Method::POST
        && let Some((template, kind)) = WORK.iter().find(|(template, _)| matches(template, &segments))
    {
        return Some(endpoint(template, *kind, method.clone(), path));
    }
    let work = WORK.iter().map(|(template, _)| *template);
    let template = work.chain(PLAIN.iter().copied()).find(|t| matches(t, &segments)).unwrap_or(ANYTHING);
    let method =
        if template == "/v1/files/{file_id}" && method == Method::POST { Method::DELETE } else { method.clone() };
    Some(endpoint(template, Kind::Other, method, path))
}

fn endpoint(template: &'static str, kind: Kind, method: Method, path: &str) -> Endpoint {
    Endpoint {
        template,
        billing: kind.billing(template, &method),
        method,
        path: path.into(),
        kind: kind as u8,
        json_body: kind.has_json_body(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str) -> Option<Endpoint> {
        find(&Method::GET, path)
    }
    fn post(path: &str) -> Option<Endpoint> {
        find(&Method::POST, path)
    }

    #[test]
    fn documented_paths_have_their_labels() {
        for (method, path, template) in [
            ("POST", "/v1/chat/completions", "/v1/chat/completions"),
            ("GET", "/v1/chat/completions", "/v1/chat/completions"),
            ("POST", "/v1/embeddings", "/v1/embeddings"),
            ("POST", "/v1/moderations", "/v1/moderations"),
            ("GET", "/v1/models", "/v1/models"),
            ("DELETE", "/v1/models/ft:gpt-4o:a::b", "/v1/models/{model}"),
            ("GET", "/v1/files", "/v1/files"),
            ("GET", "/v1/files/file-1", "/v1/files/{file_id}"),
            ("GET", "/v1/files/file-1/content", "/v1/files/{file_id}/content"),
            ("POST", "/v1/files/file-1/content", "/v1/files/{file_id}/content"),
            ("POST", "/v1/images/generations", "/v1/images/generations"),
            ("POST", "/v1/images/edits", "/v1/images/edits"),
            ("POST", "/v1/images/variations", "/v1/images/variations"),
            ("POST", "/v1/audio/speech", "/v1/audio/speech"),
            ("POST", "/v1/audio/transcriptions", "/v1/audio/transcriptions"),
            ("POST", "/v1/audio/translations", "/v1/audio/translations"),
            ("POST", "/v1/assistants/a/files", "/v1/assistants/{assistant_id}/files"),
            ("DELETE", "/v1/assistants/a/files/f", "/v1/assistants/{assistant_id}/files/{file_id}"),
            ("POST", "/v1/threads/runs", "/v1/threads/runs"),
            (
                "GET",
                "/v1/threads/t/messages/m/files/f",
                "/v1/threads/{thread_id}/messages/{message_id}/files/{file_id}",
            ),
            ("GET", "/v1/threads/runs", "/v1/threads/runs"),
            ("GET", "/v1/threads/t/runs", "/v1/threads/{thread_id}/runs"),
            (
                "POST",
                "/v1/threads/t/runs/r/submit_tool_outputs",
                "/v1/threads/{thread_id}/runs/{run_id}/submit_tool_outputs",
            ),
            ("GET", "/v1/threads/t/runs/r/steps/s", "/v1/threads/{thread_id}/runs/{run_id}/steps/{step_id}"),
            ("POST", "/v1/batches/b/cancel", "/v1/batches/{batch_id}/cancel"),
            (
                "GET",
                "/v1/vector_stores/v/file_batches/b/files",
                "/v1/vector_stores/{vector_store_id}/file_batches/{batch_id}/files",
            ),
            ("GET", "/v1/responses/resp_1", "/v1/responses/{response_id}"),
            ("POST", "/v1/responses/input_tokens", "/v1/responses/input_tokens"),
            ("POST", "/v1/brand/new", "/v1/*"),
            ("GET", "/v1/models/a%20b", "/v1/models/{model}"),
        ] {
            let method: Method = method.parse().expect(method);
            let found = find(&method, path).unwrap_or_else(|| panic!("{path}"));
            assert_eq!((found.template, &*found.path, found.method), (template, path, method));
        }
    }

    #[test]
    fn metered_work_needs_json() {
        for (path, kind, json, metered) in [
            ("/v1/chat/completions", Kind::Chat, true, true),
            ("/v1/completions", Kind::Completions, true, true),
            ("/v1/responses", Kind::Responses, true, true),
            ("/v1/responses/compact", Kind::Responses, true, true),
            ("/v1/embeddings", Kind::Embeddings, true, true),
            ("/v1/moderations", Kind::Moderations, true, false),
            ("/v1/images/generations", Kind::Images, true, true),
            ("/v1/images/edits", Kind::ImageEdits, false, true),
            ("/v1/audio/speech", Kind::Speech, true, true),
            ("/v1/audio/transcriptions", Kind::Transcriptions, false, true),
            ("/v1/threads/t/runs", Kind::Runs, true, true),
            ("/v1/threads/t/runs/r/submit_tool_outputs", Kind::Runs, true, true),
            ("/v1/threads/t/runs/r/cancel", Kind::Other, false, false),
            ("/v1/files", Kind::Other, false, false),
            ("/v1/uploads", Kind::Other, false, false),
            ("/v1/brand/new", Kind::Other, false, false),
        ] {
            let found = post(path).expect(path);
            assert_eq!(
                (Kind::of(&found), found.json_body, found.billing == Billing::Usage),
                (kind, json, metered),
                "{path}"
            );
        }
        assert_eq!(get("/v1/chat/completions").map(|e| (Kind::of(&e), e.json_body)), Some((Kind::Other, false)));
    }

    #[test]
    fn aliases_reach_the_real_operation() {
        let found = post("/v1/audios/translations").expect("alias");
        assert_eq!((found.template, &*found.path), ("/v1/audio/translations", "/v1/audio/translations"));
        assert_eq!(post("/v1/files/file-1").map(|e| e.method), Some(Method::DELETE));
        assert_eq!(post("/v1/files").map(|e| e.method), Some(Method::POST));
    }

    #[test]
    fn no_spelling_of_a_metered_path_goes_unmetered() {
        for path in ["/v1/chat/completions/", "/v1/Chat/Completions", "/v1/%63hat/completions"] {
            assert!(post(path).is_none_or(|e| e.billing == Billing::Usage), "{path}");
        }
        for path in [
            "/v1//chat/completions",
            "/v1/./chat/completions",
            "/v1/models/../chat/completions",
            "/v1/models/%2e%2e/chat/completions",
            "/v1/chat%2Fcompletions",
            "/v1/x\\y",
            "/v1/%zz",
            "/v1/a%00",
            "/v1/%252e",
        ] {
            assert_eq!(post(path), None, "{path}");
        }
    }

    #[test]
    fn ways_around_the_gateway_are_closed() {
        for path in [
            "/v1/organization/admin_api_keys",
            "/v1/projects",
            "/v1/Realtime",
            "/v1/realtime/client_secrets",
            "/v1/realtime/sessions",
            "/v1/realtime/calls",
            "/v1/realtime/translations/client_secrets",
            "/v1/live/sessions",
            "/v1/chatkit/sessions",
            "/v1/vaults/x",
            "/v1/agents",
            "/v1/safety",
            "/v1/Organization/users",
            "/v1/%6frganization/users",
            "/v2/chat/completions",
            "/chat/completions",
            "/v1",
            "/v1/",
            "/",
            "",
        ] {
            assert_eq!(post(path), None, "{path}");
            assert_eq!(get(path), None, "{path}");
        }
    }
}
