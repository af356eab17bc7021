use super::*;
use crate::domain::{CustomProviderId, CustomRoute, Secret, SettingId, UnixMillis};
use std::collections::BTreeMap;

pub(super) fn row() -> CustomProvider {
    CustomProvider {
        id: CustomProviderId::parse("6f1fca9b-9b0a-4b3c-8f6e-0d9a3a3a3a3b").unwrap(),
        revision: 1,
        name: "acme".into(),
        created_at: UnixMillis(0),
        updated_at: UnixMillis(0),
        routes: vec![CustomRoute {
            path: "/v1/chat".into(),
            target_url: "https://api.acme.example:8443/base/chat?version=2".into(),
            model_location: "model".into(),
            request_prompt_location: "messages.#.content".into(),
            response_completion_location: "choices.#.message.content".into(),
            stream_location: "stream".into(),
            stream_end_word: "[END]".into(),
            stream_response_completion_location: "choices.#.delta.content".into(),
            stream_max_empty_messages: 2,
        }],
        authentication_param: "token".into(),
    }
}

fn setting(entry: &str) -> Setting {
    Setting {
        id: SettingId::parse("6f1fca9b-9b0a-4b3c-8f6e-0d9a3a3a3a3a").unwrap(),
        revision: 1,
        provider: "acme".into(),
        name: "s".into(),
        created_at: UnixMillis(0),
        updated_at: UnixMillis(0),
        allowed_models: Box::default(),
        parameters: BTreeMap::new(),
        secrets: [(entry.into(), Secret::new("secret"))].into(),
        cost_map: None,
    }
}

pub(super) fn endpoint(custom: &Custom) -> Endpoint {
    custom.endpoint(&Method::POST, "/v1/chat").unwrap()
}

fn prepared(custom: &Custom, setting: &Setting, query: Option<&str>) -> Result<Outbound, IncompleteSetting> {
    let endpoint = endpoint(custom);
    custom.prepare(&Prepare {
        endpoint: &endpoint,
        call: &Call::default(),
        setting,
        headers: &HeaderMap::new(),
        query,
        body: &Bytes::from_static(b"{ \"odd\" : 1e400 }"),
        ambient: None,
    })
}

#[test]
fn c129_only_posts_to_described_paths_are_served() {
    let custom = Custom::new(&row());
    for path in ["/v1/chat/", "/v1/Chat", "/v1", "/", "", "//v1/chat"] {
        assert_eq!(custom.endpoint(&Method::POST, path), None, "{path}");
    }
    assert_eq!(custom.endpoint(&Method::GET, "/v1/chat"), None);
    assert_eq!(split_path("/api/custom/providers/AcMe/v1/Chat"), Some(("acme".into(), "/v1/Chat")));
    assert_eq!(split_path("/api/custom/providers/acme"), None);
    assert_eq!((custom.name(), custom.label()), ("acme", "custom"));
}

#[test]
fn c127_c128_the_target_gets_the_named_entry_as_bearer() {
    let custom = Custom::new(&row());
    let sent = prepared(&custom, &setting("token"), Some("a=1")).unwrap();
    assert_eq!(sent.base_url.as_deref(), Some("https://api.acme.example:8443"));
    assert_eq!((sent.path.as_deref(), sent.query.as_deref()), (Some("/base/chat"), Some("version=2&a=1")));
    assert_eq!(&sent.body[..], b"{ \"odd\" : 1e400 }");
    let [(name, value)] = sent.headers.as_slice() else { panic!("one header") };
    assert_eq!((name, value.to_str().unwrap(), value.is_sensitive()), (&AUTHORIZATION, "Bearer secret", true));
    assert_eq!(prepared(&custom, &setting("token"), None).unwrap().query.as_deref(), Some("version=2"));
    assert!(prepared(&custom, &setting("apikey"), None).is_err(), "another entry is not sent");

    let mut open = row();
    open.authentication_param = "".into();
    open.routes[0].target_url = "http://h".into();
    let sent = prepared(&Custom::new(&open), &setting("token"), Some("a=1")).unwrap();
    assert!(sent.headers.is_empty());
    assert_eq!((sent.path.as_deref(), sent.query), (Some("/"), None), "the client's own query is sent");
}

#[test]
fn bodies_are_read_at_their_locations() {
    let custom = Custom::new(&row());
    let read =
        |body: &str| custom.read(&endpoint(&custom), &HeaderMap::new(), &Bytes::copy_from_slice(body.as_bytes()));
    let call =
        read(r#"{"model":"m","stream":true,"max_tokens":10.0,"max_output_tokens":20,"n":2,"x":1e999,"y":"\ud83d"}"#);
    let expected = Call { model: "m".into(), stream: true, max_output: Some(20), choices: 2, ..Call::default() };
    assert_eq!(call, Ok(expected));
    let nothing = Call { choices: 1, ..Call::default() };
    for odd in [r#"{"model":7,"stream":"true","n":0}"#, "{}", "[]", "null"] {
        assert_eq!(read(odd), Ok(nothing.clone()), "{odd}");
    }
    for bad in ["", "{", "{} {}", r#"{"model":"a","model":"b"}"#, r#"{"stream":false,"stre\u0061m":true}"#] {
        assert!(read(bad).is_err(), "{bad}");
    }
}

#[test]
fn bounds_rest_on_limits_of_the_model() {
    let custom = Custom::new(&row());
    let body = br#"{"messages":[{"content":"The quick brown fox"},{"content":" jumps over the lazy dog."}]}"#;
    let worst = |limits, max_output| {
        let call = Call { max_output, choices: 2, ..Call::default() };
        custom.worst_case(&endpoint(&custom), &call, body, &limits).map(|u| (u.in_text, u.out_text))
    };
    let known = ModelLimits { input: Some(1000), output: Some(100) };
    assert_eq!(worst(known, Some(40)), Some((1000, 80)));
    assert_eq!(worst(known, None), Some((1000, 200)));
    assert_eq!(worst(ModelLimits { input: None, ..known }, Some(40)), None);
    assert_eq!(worst(ModelLimits { output: None, ..known }, None), None);
    let call = Call { max_output: Some(40), choices: 2, ..Call::default() };
    let probable = custom.estimate(&endpoint(&custom), &call, body, &ModelLimits::default());
    assert_eq!((probable.in_text, probable.out_text, probable.source), (10, 80, UsageSource::Estimated));
}

#[test]
fn built_in_names_are_reserved() {
    assert!(super::super::all().iter().all(|provider| is_reserved(provider.name())));
    assert!(is_reserved("bedrock") && !is_reserved("acme"));
}

#[test]
fn a_step_names_one_of_the_paths_and_its_model_goes_where_that_path_has_it() {
    let mut row = row();
    let nested = CustomRoute { path: "/deep".into(), model_location: "$.input.model".into(), ..row.routes[0].clone() };
    let hidden = CustomRoute { path: "/hidden".into(), model_location: "a.#.model".into(), ..row.routes[0].clone() };
    row.routes.extend([nested, hidden]);
    let custom = Custom::new(&row);
    let step = |path: &str, operation| {
        let params = BTreeMap::from([(Box::from("path"), Box::from(path))]);
        custom.step(&params, operation, "m", false)
    };
    for client in [Format::OpenAiChat, Format::Anthropic, Format::OpenAiResponses] {
        assert_eq!(step("/v1/chat", StepOperation::Chat(client)), Some(ChatRoute::new(client, "/v1/chat")));
    }
    assert_eq!(step("/deep", StepOperation::Embeddings), Some(ChatRoute::new(Format::OpenAiChat, "/deep")));
    assert_eq!(step("/v1", StepOperation::Embeddings), None);
    assert_eq!(custom.step(&BTreeMap::new(), StepOperation::Embeddings, "m", false), None);

    let named = |path: &str, body: &'static str| {
        let endpoint = custom.endpoint(&Method::POST, path).unwrap();
        let body = custom.with_model(&endpoint, &Bytes::from_static(body.as_bytes()), "m").unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    };
    assert_eq!(named("/v1/chat", r#"{"n":1e400,"model":"x"}"#), r#"{"n":1e400,"model":"m"}"#);
    assert_eq!(named("/deep", r#"{"model":"x"}"#), r#"{"model":"x","input":{"model":"m"}}"#);
    for as_it_is in [r#"{"a":[{"model":"x"}]}"#, "[1]"] {
        assert_eq!(named("/hidden", as_it_is), as_it_is);
    }
    assert_eq!(named("/v1/chat", "[1]"), "[1]");
    let endpoint = custom.endpoint(&Method::POST, "/hidden").unwrap();
    let call = custom.read(&endpoint, &HeaderMap::new(), &Bytes::from_static(b"{}")).unwrap();
    let call = call.of_step("m", &setting("token"));
    assert_eq!((&*call.model, &*call.alias), ("m", ""));
}
