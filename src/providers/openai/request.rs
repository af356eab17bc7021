//! Reads what rules need of a request body, and prepares what goes upstream: the client's own bytes,
//! with one member spliced in where a stream would otherwise not say what it consumed.

use super::form::Form;
use super::{Kind, media};
use crate::domain::Setting;
use crate::providers::{BadCall, Call, IncompleteSetting, Outbound, UploadReader};
use crate::wire::{json_edit, json_walk};
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The members that matter, of any type. A repeated one is a mistake: we and the upstream could read different ones.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    model: Option<&'a RawValue>,
    #[serde(borrow, default)]
    stream: Option<&'a RawValue>,
    #[serde(borrow, default)]
    stream_options: Option<&'a RawValue>,
    #[serde(borrow, default)]
    user: Option<&'a RawValue>,
    #[serde(borrow, default)]
    safety_identifier: Option<&'a RawValue>,
    #[serde(borrow, default)]
    max_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    max_completion_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    max_output_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    n: Option<&'a RawValue>,
    #[serde(borrow, default)]
    best_of: Option<&'a RawValue>,
    #[serde(borrow, default)]
    background: Option<&'a RawValue>,
    #[serde(borrow, default)]
    stream_format: Option<&'a RawValue>,
}

/// Forms are read in pieces of this size: the reader's working memory.
const FORM_PIECE: usize = 64 * 1024;

pub(super) fn read(kind: Kind, json: bool, headers: &HeaderMap, body: &Bytes) -> Result<Call, BadCall> {
    if json {
        return read_json(kind, body);
    }
    // Pictures may come in JSON as well as in a form.
    if kind == Kind::ImageEdits && body.trim_ascii_start().starts_with(b"{") {
        return read_json(kind, body);
    }
    let form = if kind.is_form() { Form::new(kind, headers) } else { None };
    let Some(mut form) = form else { return Ok(Call { choices: 1, ..Call::default() }) };
    body.chunks(FORM_PIECE).for_each(|piece| form.push(piece));
    form.fault().map_or_else(|| Ok(form.call()), Err)
}

fn read_json(kind: Kind, bytes: &[u8]) -> Result<Call, BadCall> {
    // A derived reader would take an array as well, member by member.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(bad("The body must be a JSON object.", None));
    }
    let body: Body<'_> = serde_json::from_slice(bytes).map_err(|e| unreadable(&e))?;
    let is_true = |value: Option<&RawValue>| value.is_some_and(|v| v.get() == "true");
    let number = |value: Option<&RawValue>| value.and_then(|v| json_walk::whole_number(v.get().as_bytes()));
    let wanted = match kind {
        Kind::Chat => number(body.max_completion_tokens).max(number(body.max_tokens)),
        Kind::Completions => number(body.max_tokens),
        Kind::Responses => number(body.max_output_tokens),
        Kind::Runs => number(body.max_completion_tokens),
        _ => None,
    };
    let stream = match kind {
        Kind::Speech => body.stream_format.is_some_and(|format| format.get() == "\"sse\""),
        _ => is_true(body.stream),
    };
    let deferred = match kind {
        Kind::Responses => is_true(body.background) && !stream,
        // Without a stream the answer is the order, not the work.
        Kind::Runs => !stream,
        _ => false,
    };
    let choices = match kind {
        Kind::Chat | Kind::Images | Kind::ImageEdits => number(body.n),
        Kind::Completions => number(body.n).max(number(body.best_of)),
        _ => None,
    };
    Ok(Call {
        model: model(body.model)?,
        stream,
        user: plain(body.user).or_else(|| plain(body.safety_identifier)).unwrap_or_default(),
        max_output: wanted,
        choices: choices.unwrap_or(1).max(1),
        deferred,
        media: media::of_json(kind, bytes),
        wants_usage: body.stream_options.is_some_and(|options| {
            json_walk::member(options.get().as_bytes(), "include_usage").is_some_and(|m| m.value == b"true")
        }),
        ..Call::default()
    })
}

/// Text must be text: whether a model is allowed and what it costs hangs on it.
fn model(value: Option<&RawValue>) -> Result<Box<str>, BadCall> {
    let Some(value) = value else { return Ok(Box::default()) };
    serde_json::from_str(value.get()).map_err(|_| bad("The model must be a string.", Some("model")))
}

/// Text, or a number as its text; clients name end users in both ways.
fn plain(value: Option<&RawValue>) -> Option<Box<str>> {
    let raw = value?.get();
    match json_walk::string(raw.as_bytes()) {
        Some(inner) => Some(json_walk::unescape(inner).into()),
        None => raw.starts_with(|c: char| c == '-' || c.is_ascii_digit()).then(|| raw.into()),
    }
}

fn unreadable(error: &serde_json::Error) -> BadCall {
    let repeated = [
        "model",
        "stream",
        "stream_options",
        "user",
        "safety_identifier",
        "max_tokens",
        "max_completion_tokens",
        "max_output_tokens",
        "n",
        "best_of",
        "background",
        "stream_format",
    ];
    let text = error.to_string();
    match repeated.into_iter().find(|name| text.starts_with(&format!("duplicate field `{name}`"))) {
        Some(name) => bad(&format!("The body has more than one {name}."), Some(name)),
        None => bad(&format!("The body is not valid JSON (line {}, column {}).", error.line(), error.column()), None),
    }
}

fn bad(message: &str, param: Option<&'static str>) -> BadCall {
    BadCall { message: message.to_owned(), param }
}

/// The stream has to be asked for its usage: without it only an estimate could be billed.
pub(super) fn asks_for_usage(kind: Kind, call: &Call) -> bool {
    call.stream && !call.wants_usage && matches!(kind, Kind::Chat | Kind::Completions)
}

/// The body with that question in it.
pub(super) fn asking_for_usage(kind: Kind, call: &Call, body: &Bytes) -> Bytes {
    let asked = asks_for_usage(kind, call)
        .then(|| json_edit::set_within(body, "stream_options", "include_usage", b"true"))
        .flatten();
    // Where nothing could be spliced in, `stream_options` is no object, and the upstream is the one to say so.
    asked.map_or_else(|| body.clone(), Bytes::from)
}

pub(super) fn prepare(kind: Kind, call: &Call, setting: &Setting, body: &Bytes) -> Result<Outbound, IncompleteSetting> {
    let incomplete = IncompleteSetting { entry: "apikey" };
    let key = setting.api_key().filter(|key| !key.is_empty()).ok_or_else(|| incomplete.clone())?;
    let mut bearer = HeaderValue::try_from(format!("Bearer {}", key.expose())).map_err(|_| incomplete)?;
    bearer.set_sensitive(true);
    Ok(Outbound {
        body: asking_for_usage(kind, call, body),
        headers: vec![(AUTHORIZATION, bearer)],
        base_url: setting.base_url().map(|url| base_url(url).into()),
        ..Outbound::default()
    })
}

/// What some paths answer to only with a header that not every client sends.
pub(super) fn beta(template: &str, client: &HeaderMap) -> Option<(HeaderName, HeaderValue)> {
    const NAME: HeaderName = HeaderName::from_static("openai-beta");
    let wanted = ["/v1/assistants", "/v1/threads", "/v1/vector_stores"];
    let is_there = client.contains_key(NAME);
    let needed = !is_there && wanted.iter().any(|family| template.starts_with(family));
    needed.then(|| (NAME, HeaderValue::from_static("assistants=v2")))
}

/// The base of all paths, which begin with `/v1` themselves.
pub(super) fn base_url(configured: &str) -> &str {
    let url = configured.trim().trim_end_matches('/');
    url.strip_suffix("/v1").unwrap_or(url).trim_end_matches('/')
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::{Secret, SettingId, UnixMillis};

    fn call(kind: Kind, body: &str) -> Result<Call, BadCall> {
        read(kind, true, &HeaderMap::new(), &Bytes::copy_from_slice(body.as_bytes()))
    }

    pub(in crate::providers::openai) fn setting(key: Option<&str>, base: Option<&str>) -> Setting {
        Setting {
            id: SettingId::parse("6f1fca9b-9b0a-4b3c-8f6e-0d9a3a3a3a3a").expect("uuid"),
            revision: 1,
            provider: "openai".into(),
            name: "s".into(),
            created_at: UnixMillis(0),
            updated_at: UnixMillis(0),
            allowed_models: Box::default(),
            parameters: base.map(|b| ("baseUrl".into(), b.into())).into_iter().collect(),
            secrets: key.map(|k| ("apikey".into(), Secret::new(k))).into_iter().collect(),
            cost_map: None,
        }
    }

    #[test]
    fn odd_shapes_are_read() {
        let odd = r#" {"model":"gpt-4o","stop":"x","user":42,"max_tokens":100.0,"n":2,"temperature":1e400,
            "seed":"\ud83d","stream":"true","stream_options":null,"messages":[],"unknown":{"a":[{}]}} "#;
        let expected = Call {
            model: "gpt-4o".into(),
            stream: false,
            user: "42".into(),
            max_output: Some(100),
            choices: 2,
            ..Call::default()
        };
        assert_eq!(call(Kind::Chat, odd), Ok(expected));
        assert_eq!(call(Kind::Chat, "{}"), Ok(Call { choices: 1, ..Call::default() }));
        let nothing = r#"{"model":null,"user":{"id":1},"max_tokens":-5,"n":0,"stream":1,"stream_options":[true]}"#;
        assert_eq!(call(Kind::Chat, nothing), Ok(Call { choices: 1, ..Call::default() }));
    }

    #[test]
    fn each_kind_has_its_own_bound() {
        let body = r#"{"max_tokens":1,"max_completion_tokens":2,"max_output_tokens":3,"n":4,"best_of":5,"safety_identifier":"u"}"#;
        for (kind, max_output, choices) in [
            (Kind::Chat, Some(2), 4),
            (Kind::Completions, Some(1), 5),
            (Kind::Responses, Some(3), 1),
            (Kind::Embeddings, None, 1),
        ] {
            let read = call(kind, body).expect("valid");
            assert_eq!((read.max_output, read.choices, &*read.user), (max_output, choices, "u"), "{kind:?}");
        }
    }

    #[test]
    fn only_true_streams_and_only_true_asks() {
        for (body, stream, wants) in [
            (r#"{"stream":true}"#, true, false),
            (r#"{"stream": true ,"stream_options":{"include_usage":true}}"#, true, true),
            (r#"{"stream":true,"stream_options":{"include_usage":false}}"#, true, false),
            (r#"{"stream":1,"stream_options":{"include_usage":1}}"#, false, false),
            (r#"{"stream":false}"#, false, false),
        ] {
            let read = call(Kind::Chat, body).expect("valid");
            assert_eq!((read.stream, read.wants_usage), (stream, wants), "{body}");
        }
    }

    #[test]
    fn bad_bodies_are_refused() {
        for (body, param) in [
            ("", None),
            ("[]", None),
            ("[\"gpt-4o\",true]", None),
            ("\"text\"", None),
            ("{\"model\":\"a\"", None),
            ("{} {}", None),
            (r#"{"model":7}"#, Some("model")),
            (r#"{"model":"\ud83d"}"#, Some("model")),
            (r#"{"model":"a","mod\u0065l":"b"}"#, Some("model")),
            (r#"{"stream":false,"stream":true}"#, Some("stream")),
        ] {
            let error = call(Kind::Chat, body).expect_err(body);
            assert_eq!(error.param, param, "{body}: {error}");
            assert!(!error.message.contains("gpt"), "no text of the body: {error}");
        }
    }

    #[test]
    fn forms_name_their_model() {
        let part = "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n";
        let mut headers = HeaderMap::new();
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("multipart/form-data; boundary=b"));
        let read_form = |kind, body: String| read(kind, false, &headers, &Bytes::from(body)).map(|c| c.model);
        let form = format!("{part}whisper-1\r\n--b--\r\n");
        assert_eq!(read_form(Kind::Transcriptions, form.clone()), Ok("whisper-1".into()));
        assert_eq!(read_form(Kind::Other, form), Ok("".into()), "a file's name is nobody's model");
        assert_eq!(read_form(Kind::ImageEdits, "{\"model\":\"gpt-image-1\"}".into()), Ok("gpt-image-1".into()));
        assert_eq!(read_form(Kind::Translations, "\0".into()), Ok("".into()));
        let two = format!("{part}whisper-1\r\n{part}gpt-4o-transcribe\r\n--b--\r\n");
        assert_eq!(read_form(Kind::Transcriptions, two).map_err(|bad| bad.param), Err(Some("model")));
    }

    #[test]
    fn work_that_only_begins_is_deferred() {
        for (kind, body, stream, deferred) in [
            (Kind::Runs, r#"{"assistant_id":"a"}"#, false, true),
            (Kind::Runs, r#"{"assistant_id":"a","stream":true}"#, true, false),
            (Kind::Responses, r#"{"background":true}"#, false, true),
            (Kind::Responses, r#"{"background":true,"stream":true}"#, true, false),
            (Kind::Speech, r#"{"input":"a","stream_format":"sse"}"#, true, false),
            (Kind::Speech, r#"{"input":"a","stream_format":"audio","stream":true}"#, false, false),
        ] {
            let read = call(kind, body).expect("valid");
            assert_eq!((read.stream, read.deferred), (stream, deferred), "{body}");
        }
    }

    #[test]
    fn assistants_get_the_header_that_they_need() {
        let name = HeaderName::from_static("openai-beta");
        let none = HeaderMap::new();
        for path in ["/v1/assistants", "/v1/threads/{thread_id}/runs", "/v1/vector_stores/{vector_store_id}/search"] {
            assert_eq!(beta(path, &none).map(|(_, value)| value), Some(HeaderValue::from_static("assistants=v2")));
        }
        assert_eq!(beta("/v1/chat/completions", &none), None);
        let own = HeaderMap::from_iter([(name, HeaderValue::from_static("assistants=v1"))]);
        assert_eq!(beta("/v1/assistants", &own), None, "the client's own stays");
    }

    #[test]
    fn bytes_are_untouched_unless_usage_must_be_asked_for() {
        let odd = r#"{ "stream" : true, "x":1e400, "y":"\ud83d" }"#;
        for (kind, body, upstream) in [
            (Kind::Chat, r#"{"model":"m", "stream" : false }"#, None),
            (
                Kind::Chat,
                odd,
                Some(r#"{ "stream" : true, "x":1e400, "y":"\ud83d","stream_options":{"include_usage":true} }"#),
            ),
            (
                Kind::Completions,
                r#"{"stream":true,"stream_options":null}"#,
                Some(r#"{"stream":true,"stream_options":{"include_usage":true}}"#),
            ),
            (
                Kind::Chat,
                r#"{"stream":true,"stream_options":{"include_obfuscation":false,"include_usage":false}}"#,
                Some(r#"{"stream":true,"stream_options":{"include_obfuscation":false,"include_usage":true}}"#),
            ),
            (Kind::Chat, r#"{"stream":true,"stream_options":{"include_usage":true}}"#, None),
            (Kind::Chat, r#"{"stream":true,"stream_options":"yes"}"#, None),
            (Kind::Responses, r#"{"stream":true}"#, None),
        ] {
            let bytes = Bytes::copy_from_slice(body.as_bytes());
            let read = call(kind, body).expect(body);
            let out = prepare(kind, &read, &setting(Some("sk-1"), None), &bytes).expect(body);
            assert_eq!(out.body, upstream.unwrap_or(body).as_bytes());
            if upstream.is_none() {
                assert_eq!(out.body.as_ptr(), bytes.as_ptr(), "not even a copy");
            }
        }
    }

    #[test]
    fn credential_is_set_and_hidden() {
        let out =
            prepare(Kind::Other, &Call::default(), &setting(Some("sk-secret"), None), &Bytes::new()).expect("key");
        let (name, value) = &out.headers[0];
        assert_eq!((name, value.as_bytes()), (&AUTHORIZATION, &b"Bearer sk-secret"[..]));
        assert!(value.is_sensitive() && !format!("{out:?}").contains("sk-secret"));
        for key in [None, Some(""), Some("line\nbreak")] {
            let error = prepare(Kind::Other, &Call::default(), &setting(key, None), &Bytes::new()).expect_err("no key");
            assert_eq!(error.entry, "apikey");
        }
    }

    #[test]
    fn a_base_may_be_written_with_the_version() {
        for (written, base) in [
            ("https://eu.api.openai.com/v1/", "https://eu.api.openai.com"),
            ("http://127.0.0.1:9000/prefix", "http://127.0.0.1:9000/prefix"),
            ("https://host/v1", "https://host"),
        ] {
            let out = prepare(Kind::Other, &Call::default(), &setting(Some("k"), Some(written)), &Bytes::new());
            assert_eq!(out.map(|o| o.base_url), Ok(Some(base.into())));
        }
    }
}
