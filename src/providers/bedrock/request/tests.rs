use super::*;
use crate::domain::{Setting, UnixMillis};
use crate::providers::bedrock::Bedrock;
use crate::providers::bedrock::tests::{keys, setting};
use crate::providers::{Provider, Unsigned};
use http::Method;

fn read_at(path: &str, body: &str) -> Result<Call, BadCall> {
    let endpoint = Bedrock.endpoint(&Method::POST, path).expect(path);
    Bedrock.read(&endpoint, &HeaderMap::new(), &Bytes::copy_from_slice(body.as_bytes()))
}

fn prepared(path: &str, body: &str, headers: &HeaderMap, setting: &Setting) -> Outbound {
    let endpoint = Bedrock.endpoint(&Method::POST, path).expect(path);
    let body = Bytes::copy_from_slice(body.as_bytes());
    let call = Bedrock.read(&endpoint, headers, &body).expect(path);
    let request = Prepare {
        endpoint: &endpoint,
        call: &call,
        setting,
        headers,
        query: Some("beta=true"),
        body: &body,
        ambient: None,
    };
    Bedrock.prepare(&request).expect("prepared")
}

#[test]
fn each_family_names_its_maximum() {
    for (path, body, max_output) in [
        ("/model/anthropic.claude-x/invoke", r#"{"max_tokens":64,"max_gen_len":9}"#, Some(64)),
        ("/model/anthropic.claude-v2/invoke", r#"{"max_tokens_to_sample":64}"#, Some(64)),
        ("/model/meta.llama3/invoke", r#"{"max_gen_len":64,"max_tokens":1}"#, Some(64)),
        ("/model/meta.llama3/invoke", r#"{"max_tokens":1}"#, None),
        ("/model/us.amazon.nova-lite/invoke", r#"{"inferenceConfig":{"maxTokens":64,"max_new_tokens":5}}"#, Some(64)),
        ("/model/amazon.titan-text-x/invoke", r#"{"textGenerationConfig":{"maxTokenCount":64}}"#, Some(64)),
        ("/model/mistral.x/invoke", r#"{"max_tokens":64}"#, Some(64)),
        ("/model/meta.llama3/converse", r#"{"inferenceConfig":{"maxTokens":64}}"#, Some(64)),
        (
            "/model/meta.llama3/converse",
            r#"{"inferenceConfig":{"maxTokens":64},"additionalModelRequestFields":{"max_gen_len":9000}}"#,
            None,
        ),
        (
            "/model/anthropic.x/converse",
            r#"{"inferenceConfig":{"maxTokens":64},"additionalModelRequestFields":{"top_k":9}}"#,
            Some(64),
        ),
        ("/model/arn:aws:bedrock:r:1:application-inference-profile%2Fx/invoke", r#"{"max_tokens":64}"#, None),
    ] {
        assert_eq!(read_at(path, body).expect(path).max_output, max_output, "{path} {body}");
    }
}

#[test]
fn path_and_body_say_model_stream_and_user() {
    let call = read_at("/model/us.x.y-v1%3A0/converse-stream", r#"{"messages":[],"stream":false}"#).expect("valid");
    assert_eq!((&*call.model, call.stream, call.choices), ("us.x.y-v1:0", true, 1));
    let body = r#"{"model":"us.anthropic.claude-x-v1:0","stream":true,"max_tokens":5,"metadata":{"user_id":"u-1"}}"#;
    let call = read_at("/anthropic/v1/messages", body).expect("valid");
    assert_eq!((&*call.model, call.stream, &*call.user), ("us.anthropic.claude-x-v1:0", true, "u-1"));
    let call = read_at("/model/m/converse", r#"{"serviceTier":{"type":"priority"}}"#).expect("valid");
    assert_eq!(&*call.tier, "priority");
}

#[test]
fn bad_bodies_are_refused() {
    for (path, body, param) in [
        ("/model/m/invoke", "", None),
        ("/model/m/converse", "[]", None),
        ("/model/m/converse", r#"{"messages":["#, None),
        (
            "/model/m/converse",
            r#"{"inferenceConfig":{},"inf\u0065renceConfig":{"maxTokens":1}}"#,
            Some("inferenceConfig"),
        ),
        ("/anthropic/v1/messages", r#"{"max_tokens":5}"#, Some("model")),
        ("/anthropic/v1/messages", r#"{"model":7}"#, Some("model")),
        ("/anthropic/v1/messages", r#"{"model":"../../x"}"#, Some("model")),
        ("/anthropic/v1/messages", r#"{"model":"a%2Fb"}"#, Some("model")),
        ("/anthropic/v1/messages", r#"{"model":"a?b"}"#, Some("model")),
        ("/anthropic/v1/messages", r#"{"model":"a","model":"b"}"#, Some("model")),
    ] {
        let error = read_at(path, body).expect_err(body);
        assert_eq!(error.param, param, "{body}: {error}");
    }
}

#[test]
fn native_bodies_are_not_even_copied() {
    let body = Bytes::from_static(br#"{ "x":1e400, "y":"\ud83d" }"#);
    let endpoint = Bedrock.endpoint(&Method::POST, "/model/m/converse").expect("converse");
    let call = Bedrock.read(&endpoint, &HeaderMap::new(), &body).expect("valid");
    let none = HeaderMap::new();
    let setting = keys();
    let request = Prepare {
        endpoint: &endpoint,
        call: &call,
        setting: &setting,
        headers: &none,
        query: None,
        body: &body,
        ambient: None,
    };
    let out = Bedrock.prepare(&request).expect("prepared");
    assert_eq!((out.body.as_ptr(), out.body.len()), (body.as_ptr(), body.len()));
    assert!(out.headers.contains(&(CONTENT_TYPE, JSON)), "a type is added where the client named none");
    assert_eq!(out.public_url.as_deref(), Some("https://bedrock-runtime.us-east-1.amazonaws.com"));
    assert!(out.signer.is_some() && out.base_url.is_none());
}

#[test]
fn a_message_becomes_an_invocation() {
    let model = r#""model":"us.anthropic.claude-x-v1:0""#;
    let mut beta = HeaderMap::new();
    beta.append("anthropic-beta", HeaderValue::from_static("a-1, b-2"));
    for (path, body, headers, sent) in [
        (
            "messages",
            format!(r#"{{{model},"max_tokens":1e1, "stream" : true,"system":"s","tools":[],"unknown":{{"a":1.0}}}}"#),
            HeaderMap::new(),
            r#"{"max_tokens":1e1, "system":"s","tools":[],"unknown":{"a":1.0},"anthropic_version":"bedrock-2023-05-31"}"#,
        ),
        (
            "messages",
            format!(r#"{{"anthropic_version":"mine",{model}}}"#),
            beta.clone(),
            r#"{"anthropic_version":"mine","anthropic_beta":["a-1","b-2"]}"#,
        ),
        (
            "messages",
            format!(r#"{{"anthropic_version":"mine","anthropic_beta":[],{model},"stream":false}}"#),
            beta,
            r#"{"anthropic_version":"mine","anthropic_beta":[]}"#,
        ),
        ("complete", format!(r#"{{{model},"prompt":"p"}}"#), HeaderMap::new(), r#"{"prompt":"p"}"#),
    ] {
        let out = prepared(&format!("/anthropic/v1/{path}"), &body, &headers, &keys());
        assert_eq!(std::str::from_utf8(&out.body), Ok(sent));
        let operation = if body.contains("true") { "invoke-with-response-stream" } else { "invoke" };
        assert_eq!(out.path.as_deref(), Some(&*format!("/model/us.anthropic.claude-x-v1%3A0/{operation}")));
        assert_eq!(out.query.as_deref(), Some(""), "the client's query belongs to another API");
    }
}

#[test]
fn settings_decide_where_and_how() {
    let region = ("awsRegion", "eu-west-1");
    let bearer = setting(&[region, ("bearerToken", "abc"), ("baseUrl", "https://proxy.example/x/")]);
    let out = prepared("/model/m/converse", "{}", &HeaderMap::new(), &bearer);
    assert_eq!((out.base_url.as_deref(), out.signer.is_none()), (Some("https://proxy.example/x"), true));
    let (_, value) = out.headers.iter().find(|(name, _)| name == AUTHORIZATION).expect("a credential");
    assert!(value == "Bearer abc" && value.is_sensitive());
    let out = prepared("/retrieveAndGenerate", "{}", &HeaderMap::new(), &keys());
    assert_eq!(out.public_url.as_deref(), Some("https://bedrock-agent-runtime.us-east-1.amazonaws.com"));
    let signer = out.signer.expect("a signer");
    let signed = signer.sign(&Unsigned {
        method: &Method::POST,
        host: "h",
        target: "/retrieveAndGenerate",
        headers: &HeaderMap::new(),
        body: b"{}",
        at: UnixMillis(0),
    });
    assert!(signed.expect("signed").iter().any(|(name, _)| name == AUTHORIZATION));
}
