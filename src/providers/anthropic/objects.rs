//! What Anthropic keeps for its callers: batches, files, skills. Which ids a request names, which an answer brings into
//! being. A batch is charged by the id of its object, when its results are fetched.
// LIMIT: containers and the files in them are not owned: who knows the id of another's container can go on in it.

use crate::domain::MadeObject;
use crate::providers::Endpoint;
use crate::providers::path::segments;
use crate::wire::json_walk::{elements, member, string, strings, unescape};
use http::Method;
use memchr::memmem;

/// What the ids of objects begin with.
const PREFIXES: [&str; 3] = ["msgbatch_", "file_", "skill_"];
const LONGEST_ID: usize = 128;
/// More than any request names.
const MOST_REFERENCES: usize = 1000;

/// Lists of everything the credential can see.
const LISTS: &[&str] = &["/v1/messages/batches", "/v1/files", "/v1/skills"];

pub(super) fn is_list(endpoint: &Endpoint) -> bool {
    endpoint.method == Method::GET && LISTS.contains(&endpoint.template)
}

/// The path's own object, then those that the body names.
pub(super) fn references(endpoint: &Endpoint, body: &[u8]) -> Vec<Box<str>> {
    let mut found: Vec<Box<str>> = path_object(endpoint).into_iter().collect();
    // Most bodies name none, and a search is cheaper than a walk. A name spelt with escapes has a backslash in it.
    let may_name = [&b"file_id"[..], b"skill_id", b"\\u"].iter().any(|word| memmem::find(body, word).is_some());
    if endpoint.json_body && may_name {
        for (key, id) in strings(body) {
            if found.len() < MOST_REFERENCES && matches!(&*unescape(key), "file_id" | "skill_id") {
                let id = unescape(id);
                // Skills of the provider's own have plain names.
                if is_id(&id) && !found.iter().any(|known| **known == *id) {
                    found.push(id.into());
                }
            }
        }
    }
    found
}

/// The batch that a path is about.
pub(super) fn batch(endpoint: &Endpoint) -> Option<Box<str>> {
    path_object(endpoint).filter(|id| id.starts_with("msgbatch_"))
}

/// The first parameter of the path. Models are nobody's, and neither are the provider's own skills.
fn path_object(endpoint: &Endpoint) -> Option<Box<str>> {
    let at = endpoint.template.split('/').skip(1).position(|part| part.starts_with('{'))?;
    let parameter = endpoint.template.split('/').nth(at + 1)?;
    let id = segments(&endpoint.path)?.get(at)?.clone();
    match parameter {
        "{message_batch_id}" | "{file_id}" => Some(id.into()),
        "{skill_id}" => is_id(&id).then(|| id.into()),
        _ => None,
    }
}

fn is_id(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    text.len() <= LONGEST_ID && PREFIXES.iter().any(|prefix| text.starts_with(prefix)) && text.bytes().all(plain)
}

/// The object that an answer consists of.
pub(super) fn made(answer: &[u8]) -> Option<MadeObject> {
    let text = |name: &str| member(answer, name).and_then(|m| string(m.value)).map(unescape);
    let id = text("id").filter(|id| is_id(id))?;
    Some(object(&id, &text("type").unwrap_or_default()))
}

/// Files that the provider's own tools wrote, out of the content of a message. What the model itself writes names
/// whatever it was told to.
pub(super) fn written(content: &[u8]) -> Vec<MadeObject> {
    if memmem::find(content, b"\"file_id\"").is_none() {
        return Vec::new();
    }
    elements(content).flat_map(written_by).collect()
}

/// The same out of one block.
pub(super) fn written_by(block: &[u8]) -> Vec<MadeObject> {
    let kind = member(block, "type").and_then(|m| string(m.value)).unwrap_or_default();
    if !kind.ends_with(b"_tool_result") {
        return Vec::new();
    }
    let named = strings(block).filter(|(key, _)| *key == b"file_id").map(|(_, id)| unescape(id));
    named.filter(|id| is_id(id)).map(|id| object(&id, "file")).collect()
}

fn object(id: &str, kind: &str) -> MadeObject {
    MadeObject { id: id.into(), kind: kind.into(), charged_as: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::anthropic::endpoints;

    fn named(method: &Method, path: &str, body: &str) -> Vec<String> {
        let endpoint = endpoints::find(method, path).expect(path);
        references(&endpoint, body.as_bytes()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_request_names_objects_in_path_and_body() {
        for (method, path, id) in [
            (Method::GET, "/v1/messages/batches/msgbatch_1/results", Some("msgbatch_1")),
            (Method::DELETE, "/v1/messages/batches/anything", Some("anything")),
            (Method::GET, "/v1/files/file%5F1/content", Some("file_1")),
            (Method::GET, "/v1/skills/skill_1/versions", Some("skill_1")),
            (Method::GET, "/v1/skills/pptx", None),
            (Method::GET, "/v1/models/claude-opus-5-5", None),
            (Method::GET, "/v1/files", None),
        ] {
            assert_eq!(named(&method, path, ""), id.into_iter().collect::<Vec<_>>(), "{path}");
        }
        let body = r#"{"messages":[{"content":[{"type":"document","source":{"type":"file","file_id":"file_1"}},
            {"type":"image","source":{"f\u0069le_id":"file_\u0032"}},{"source":{"file_id":"file_1"}},{"text":"file_id"}]}],
            "container":{"skills":[{"type":"custom","skill_id":"skill_3"},{"type":"anthropic","skill_id":"pptx"}]}}"#;
        assert_eq!(named(&Method::POST, "/v1/messages", body), ["file_1", "file_2", "skill_3"]);
        assert_eq!(named(&Method::POST, "/v1/messages/batches", body), ["file_1", "file_2", "skill_3"]);
        assert!(named(&Method::POST, "/v1/messages", r#"{"metadata":{"user_id":"file_1"}}"#).is_empty());
    }

    #[test]
    fn only_tools_of_the_provider_write_files() {
        let content = br#"[{"type":"bash_code_execution_tool_result","content":{"content":[{"file_id":"file_1"},{"file_id":"x"}]}},
            {"type":"tool_use","input":{"file_id":"file_2"}},{"type":"text","text":"\"file_id\":\"file_3\""}]"#;
        assert_eq!(written(content), [object("file_1", "file")]);
        assert!(written(b"[]").is_empty() && written(b"\"file_id\"").is_empty());
        assert_eq!(made(br#"{"id":"msgbatch_1","type":"message_batch"}"#), Some(object("msgbatch_1", "message_batch")));
        assert_eq!(made(br#"{"type":"error","error":{"id":"file_1"}}"#), None);
    }

    #[test]
    fn lists_are_known() {
        let is_list = |method: &Method, path: &str| is_list(&endpoints::find(method, path).expect(path));
        for path in ["/v1/files", "/v1/messages/batches", "/v1/skills"] {
            assert!(is_list(&Method::GET, path) && !is_list(&Method::POST, path), "{path}");
        }
        assert!(!is_list(&Method::GET, "/v1/models") && !is_list(&Method::GET, "/v1/files/file_1"));
    }
}
