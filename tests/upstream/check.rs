//! What a request to the real upstream may not look like. Everything found is recorded and answered with 400, so that
//! a gateway that leaks a header fails its own test loudly.

use super::house::Options;
use super::request::{Body, Framing, Head};

/// Addressed to a gateway, never to a provider.
const GATEWAY_HEADERS: [&str; 6] =
    ["x-custom-event-id", "x-metadata", "x-request-timeout", "x-api-key", "api-key", "proxy-authorization"];

/// Those of one connection that a proxy must not pass on.
const HOP_HEADERS: [&str; 5] = ["keep-alive", "te", "trailer", "proxy-connection", "upgrade"];

#[derive(Debug, PartialEq, Eq)]
pub enum Auth {
    Good,
    Missing,
    Unknown,
}

pub fn auth(head: &Head, options: &Options) -> Auth {
    let Some(value) = head.header("authorization") else {
        return Auth::Missing;
    };
    // Verified where the body is known too.
    if value.starts_with("AWS4-HMAC-SHA256 ") && super::answer::is_bedrock(head) {
        return Auth::Good;
    }
    match value.strip_prefix("Bearer ") {
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
    if head.headers.iter().filter(|(name, _)| name == "authorization").count() > 1 {
        found.push("more than one authorization".to_owned());
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
        if GATEWAY_HEADERS.contains(&name.as_str()) || name.starts_with("x-tollgate-") {
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
