//! What OpenAI keeps for its callers: which ids a request names, which it makes, and which work an answer tells the
//! consumption of. Batches, assistants' runs and background responses are charged by the id of their object.

use super::{Kind, usage};
use crate::domain::{MadeObject, Usage, UsageSource};
use crate::providers::path::segments;
use crate::providers::{Charge, Endpoint};
use crate::wire::json_walk::{elements, member, members, string, unescape};
use http::Method;
use memchr::memmem;
use std::borrow::Cow;

/// What the ids of objects begin with.
const PREFIXES: &[&str] = &[
    "file-", "file_", "batch_", "resp_", "conv_", "thread_", "asst_", "vs_", "upload_", "ftjob-", "cntr_", "eval_",
    "video_", "skill_",
];
/// Ids deeper than this in a body are nobody's reference.
const DEPTH: usize = 24;
const LONGEST_ID: usize = 128;
/// A name may be spelt with escapes; the upstream reads it all the same.
const ESCAPED: &[u8] = b"\\u00";
/// More than any request names.
const MOST_REFERENCES: usize = 1000;

/// Lists of everything the credential can see.
const LISTS: &[&str] = &[
    "/v1/assistants",
    "/v1/batches",
    "/v1/chat/completions",
    "/v1/containers",
    "/v1/evals",
    "/v1/files",
    "/v1/fine_tuning/jobs",
    "/v1/skills",
    "/v1/vector_stores",
    "/v1/videos",
];

pub(super) fn is_list(endpoint: &Endpoint) -> bool {
    endpoint.method == Method::GET && LISTS.contains(&endpoint.template)
}

/// The path's own object, then those that the body names.
pub(super) fn references(endpoint: &Endpoint, body: &[u8]) -> Vec<Box<str>> {
    let mut found: Vec<Box<str>> = path_object(endpoint).into_iter().map(Into::into).collect();
    // Most bodies name none, and a search is cheaper than a walk. Prompts are long: one search for those that can name
    // a file only, none for those that can name nothing.
    let may_name: &[&[u8]] = match Kind::of(endpoint) {
        Kind::Chat => &[b"\"file_id\"", ESCAPED],
        Kind::Completions | Kind::Embeddings | Kind::Moderations => &[],
        _ => &[b"_id", b"\"conversation\"", b"_file\"", b"\"container\"", b"\"file\"", ESCAPED],
    };
    if may_name.iter().any(|word| memmem::find(body, word).is_some()) && body.trim_ascii_start().starts_with(b"{") {
        named(body, b"", 0, &mut found);
    }
    found
}

/// The first parameter of the path: what follows is inside of it. Models are nobody's.
fn path_object(endpoint: &Endpoint) -> Option<String> {
    let at = endpoint.template.split('/').skip(1).position(|part| part.starts_with('{'))?;
    let parameter = endpoint.template.split('/').nth(at + 1)?;
    if matches!(parameter, "{model}" | "{checkpoint}") {
        return None;
    }
    segments(&endpoint.path)?.get(at).map(|id| id.clone().into_owned())
}

/// Strings that are ids by their form, under a key that is for ids.
fn named(value: &[u8], key: &[u8], depth: usize, found: &mut Vec<Box<str>>) {
    if depth > DEPTH || found.len() >= MOST_REFERENCES {
        return;
    }
    match value.first() {
        Some(b'{') => members(value).for_each(|m| named(m.value, m.key, depth + 1, found)),
        Some(b'[') => elements(value).for_each(|element| named(element, key, depth + 1, found)),
        Some(b'"') if is_for_ids(unescape(key).as_bytes()) => {
            if let Some(id) = string(value).map(unescape).filter(|id| is_id(id))
                && !found.iter().any(|known| **known == *id)
            {
                found.push(id.into());
            }
        }
        _ => {}
    }
}

fn is_for_ids(key: &[u8]) -> bool {
    key.ends_with(b"_id")
        || key.ends_with(b"_ids")
        || matches!(key, b"id" | b"conversation" | b"container" | b"training_file" | b"validation_file" | b"file")
}

fn is_id(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    text.len() <= LONGEST_ID && PREFIXES.iter().any(|prefix| text.starts_with(prefix)) && text.bytes().all(plain)
}

/// What an answer says of objects.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) made: Vec<MadeObject>,
    pub(super) charges: Vec<Charge>,
    /// The run that is under way.
    pub(super) run: Box<str>,
}

/// Reads one object of an answer. `made_here`: the request was there to make it.
pub(super) fn told_by(object: &[u8], made_here: bool, told: &mut Told) {
    let kind = text_of(object, "object");
    if kind == "list" {
        let data = member(object, "data").map(|m| m.value).unwrap_or_default();
        elements(data).for_each(|element| told_by(element, false, told));
        return;
    }
    let id = text_of(object, "id");
    if id.is_empty() || id.len() > LONGEST_ID {
        return;
    }
    if kind == "thread.run" {
        told.run = (*id).into();
    }
    if made_here {
        told.made.push(made(&id, &kind, None));
        // What came into being on the way.
        for (outer, inner) in [("file", "id"), ("conversation", "id")] {
            let nested = member(object, outer).map(|m| text_of(m.value, inner)).unwrap_or_default();
            if is_id(&nested) {
                told.made.push(made(&nested, outer, None));
            }
        }
        let thread = text_of(object, "thread_id");
        if kind == "thread.run" && is_id(&thread) {
            told.made.push(made(&thread, "thread", None));
        }
    }
    if kind == "batch" {
        for name in ["output_file_id", "error_file_id"] {
            let file = text_of(object, name);
            if is_id(&file) {
                told.made.push(made(&file, "file", Some(&id)));
            }
        }
    }
    told.charges.extend(charge(object, &kind, &id));
}

fn made(id: &str, kind: &str, charged_as: Option<&str>) -> MadeObject {
    MadeObject { id: id.into(), kind: kind.into(), charged_as: charged_as.map(Into::into) }
}

/// The consumption of work that is over and was only acknowledged when it was asked for.
fn charge(object: &[u8], kind: &str, id: &str) -> Option<Charge> {
    let status = text_of(object, "status");
    let is_over = matches!(&*status, "completed" | "incomplete" | "failed" | "expired" | "cancelled");
    let is_deferred = match kind {
        "batch" | "thread.run" => true,
        "response" => member(object, "background").is_some_and(|m| m.value == b"true"),
        _ => false,
    };
    if !is_over || !is_deferred {
        return None;
    }
    let usage = match kind {
        // With the fees of its tools.
        "response" => usage::answer(Kind::Responses, object).usage?,
        _ => usage::read(member(object, "usage")?.value)?,
    };
    let service_tier = Some(text_of(object, "service_tier")).filter(|tier| !tier.is_empty());
    let usage = Usage {
        batch: kind == "batch",
        // The totals of a run are over all of its turns.
        many: kind != "response",
        service_tier: service_tier.map(Into::into),
        source: UsageSource::Upstream,
        ..usage
    };
    Some(Charge { id: id.into(), model: text_of(object, "model").into(), usage, more: Vec::new() })
}

/// One line of a batch's output: `{"custom_id":..,"response":{"status_code":200,"body":{..}}}`.
pub(super) fn batch_line(line: &[u8]) -> Option<(Box<str>, Usage)> {
    let body = member(member(line, "response")?.value, "body")?.value;
    let usage = usage::read(member(body, "usage")?.value)?;
    Some((text_of(body, "model").into(), Usage { batch: true, source: UsageSource::Upstream, ..usage }))
}

fn text_of<'a>(object: &'a [u8], name: &str) -> Cow<'a, str> {
    member(object, name).and_then(|m| string(m.value)).map(unescape).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::endpoints::find;
    use super::*;

    fn named_in(method: &Method, path: &str, body: &str) -> Vec<Box<str>> {
        references(&find(method, path).unwrap(), body.as_bytes())
    }

    #[test]
    fn objects_are_named_in_path_and_body() {
        let body = r#"{"model":"m","input":[{"role":"user","content":[{"type":"input_file","file_id":"file-abc"}]}],
            "previous_response_id":"resp_1","conversation":{"id":"conv_2"},
            "tools":[{"type":"file_search","vector_store_ids":["vs_1","vs_2"]},{"type":"code_interpreter","container":"cntr_3"}]}"#;
        let expected = ["file-abc", "resp_1", "conv_2", "vs_1", "vs_2", "cntr_3"].map(Box::from);
        assert_eq!(named_in(&Method::POST, "/v1/responses", body), expected);
        let run = r#"{"assistant_id":"asst_1"}"#;
        let expected = ["thread_9", "asst_1"].map(Box::from);
        assert_eq!(named_in(&Method::POST, "/v1/threads/thread_9/runs", run), expected);
        let batch = r#"{"input_file_id":"file-1","endpoint":"/v1/chat/completions"}"#;
        assert_eq!(named_in(&Method::POST, "/v1/batches", batch), [Box::from("file-1")]);
        assert_eq!(named_in(&Method::GET, "/v1/files/file%2D7/content", ""), [Box::from("file-7")]);
        let chat = r#"{"messages":[{"content":[{"type":"file","file":{"file\u005fid":"file\u002d8"}}]}]}"#;
        assert_eq!(named_in(&Method::POST, "/v1/chat/completions", chat), [Box::from("file-8")], "however it is spelt");
    }

    #[test]
    fn texts_models_and_calls_are_no_objects() {
        let body = r#"{"messages":[{"role":"user","content":"file-abc"},{"role":"tool","tool_call_id":"call_1"}],
            "metadata":{"customer_id":"42"},"user":"resp_1","file":{"name":"thread_1"}}"#;
        assert!(named_in(&Method::POST, "/v1/chat/completions", body).is_empty());
        assert!(named_in(&Method::GET, "/v1/models/gpt-4o", "").is_empty());
        let deep = "{\"a\":".repeat(200) + "{\"file_id\":\"file-1\"}" + &"}".repeat(200);
        assert!(named_in(&Method::POST, "/v1/responses", &deep).is_empty(), "and no stack is lost on it");
    }

    #[test]
    fn a_batch_is_charged_when_it_is_over() {
        let batch = r#"{"id":"batch_1","object":"batch","status":"completed","model":"gpt-4o-mini","output_file_id":"file-out",
            "error_file_id":null,"usage":{"input_tokens":100,"output_tokens":20,"total_tokens":120}}"#;
        let mut told = Told::default();
        told_by(batch.as_bytes(), false, &mut told);
        assert_eq!(told.made, [made("file-out", "file", Some("batch_1"))]);
        let [charge] = &*told.charges else { panic!("{told:?}") };
        assert_eq!(
            (&*charge.id, &*charge.model, charge.usage.in_text, charge.usage.batch),
            ("batch_1", "gpt-4o-mini", 100, true)
        );
        for status in ["validating", "in_progress", "finalizing"] {
            let mut told = Told::default();
            told_by(batch.replace("completed", status).as_bytes(), true, &mut told);
            assert!(told.charges.is_empty() && told.made.len() == 2);
        }
    }

    #[test]
    fn only_background_responses_are_charged_later() {
        let response = |background| {
            format!(
                r#"{{"id":"resp_1","object":"response","status":"completed","background":{background},"model":"gpt-5",
                "usage":{{"input_tokens":10,"output_tokens":2}}}}"#
            )
        };
        for (background, charges) in [(true, 1), (false, 0)] {
            let mut told = Told::default();
            told_by(response(background).as_bytes(), false, &mut told);
            assert_eq!(told.charges.len(), charges);
        }
        let list = format!(r#"{{"object":"list","data":[{},{}]}}"#, response(true), response(false));
        let mut told = Told::default();
        told_by(list.as_bytes(), true, &mut told);
        assert_eq!((told.charges.len(), told.made.len()), (1, 0), "a list makes nothing");
    }

    #[test]
    fn lines_of_a_batch_tell_model_and_usage() {
        let line = br#"{"id":"r1","custom_id":"a","response":{"status_code":200,"body":{"model":"gpt-4o","usage":{"prompt_tokens":7,"completion_tokens":3}}},"error":null}"#;
        let (model, usage) = batch_line(line).unwrap();
        assert_eq!((&*model, usage.in_text, usage.out_text, usage.batch), ("gpt-4o", 7, 3, true));
        assert!(batch_line(br#"{"custom_id":"a","response":null,"error":{"code":"x"}}"#).is_none());
        assert!(batch_line(b"garbage").is_none());
    }
}
