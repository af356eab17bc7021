//! What a request to the real upstream may not look like. Everything found is recorded and answered with 400, so that
//! a gateway that leaks a header fails its own test loudly.

use super::house::{Api, Options};
use super::request::{Body, Framing, Head};

/// Addressed to a gateway, never to a provider.
const GATEWAY_HEADERS: [&str; 4] = ["x-custom-event-id", "x-metadata", "x-request-timeout", "proxy-authorization"];

/// Where credentials are found; one of them is the API's own.
const CREDENTIALS: [&str; 4] = ["authorization", "x-api-key", "api-key", "x-goog-api-key"];

fn credential(api: Api, head: &Head) -> &'static str {
    match api {
        Api::Azure if head.header("api-key").is_some() => "api-key",
        Api::OpenAi | Api::Azure | Api::Vllm | Api::DeepInfra | Api::Ollama => "authorization",
        Api::Anthropic => "x-api-key",
        Api::Gemini => "x-goog-api-key",
    }
}

/// Those of one connection that a proxy must not pass on.
const HOP_HEADERS: [&str; 5] = ["keep-alive", "te", "trailer", "proxy-connection", "upgrade"];

#[derive(Debug, PartialEq, Eq)]
pub enum Auth {
    Good,
    Missing,
    Unknown,
}

pub fn auth(head: &Head, options: &Options) -> Auth {
    let own = credential(options.api, head);
    let Some(value) = head.header(own) else {
        let is_open = matches!(options.api, Api::Vllm | Api::Ollama) && options.keys.is_empty();
        return if is_open { Auth::Good } else { Auth::Missing };
    };
    // Verified where the body is known too.
    if value.starts_with("AWS4-HMAC-SHA256 ") && super::answer::is_bedrock(head) {
        return Auth::Good;
    }
    let key = if own == "authorization" { value.strip_prefix("Bearer ") } else { Some(value) };
    match key {
        Some(key) if !key.is_empty() && (options.keys.is_empty() || options.keys.iter().any(|have| have == key)) => {
            Auth::Good
        }
        _ => Auth::Unknown,
    }
}

pub fn head(head: &Head, options: &Options) -> Vec<String> {
    let mut found = Vec::new();
    if head.header("host").is_none_or(str::is_empty) {
        found.push("no host".to_owned());
    }
    let own = credential(options.api, head);
    if head.headers.iter().filter(|(name, _)| name == own).count() > 1 {
        found.push(format!("more than one {own}"));
    }
    if head.ambiguous {
        found.push("two framings".to_owned());
    }
    if head.method == "POST" && head.framing == Framing::None && head.header("content-length").is_none() {
        found.push("neither content-length nor chunked".to_owned());
    }
    if super::answer::is_bedrock(head) && head.method == "POST" && head.header("content-type").is_none() {
        found.push("no content-type".to_owned());
    }
    for (name, value) in &head.headers {
        let foreign = CREDENTIALS.contains(&name.as_str()) && name != own;
        if foreign || GATEWAY_HEADERS.contains(&name.as_str()) || name.starts_with("x-tollgate-") {
            found.push(format!("header {name}"));
        }
        if options.strict && HOP_HEADERS.contains(&name.as_str()) {
            found.push(format!("hop-by-hop header {name}"));
        }
        if options.strict && name == "accept-encoding" && value != "identity" {
            found.push("accept-encoding other than identity".to_owned());
        }
        if options.forbidden.iter().any(|text| value.contains(text.as_str())) {
            found.push(format!("forbidden text in header {name}"));
        }
    }
    if options.forbidden.iter().any(|text| head.target.contains(text.as_str())) {
        found.push("forbidden text in target".to_owned());
    }
    found
}

pub fn body(head: &Head, body: &Body, options: &Options) -> Option<String> {
    let forbidden = options.forbidden.iter().any(|text| memchr::memmem::find(&body.kept, text.as_bytes()).is_some());
    if forbidden {
        return Some("forbidden text in body".to_owned());
    }
    match head.framing {
        Framing::Length(length) if length != body.length => Some("body shorter than its length".to_owned()),
        _ => None,
    }
}
