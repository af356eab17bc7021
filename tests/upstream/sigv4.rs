//! Verifies AWS signatures on its own, from the bytes that arrived: nothing of the product's signer is used, so that a
//! mistake in it cannot hide here too.

use ring::hmac::{HMAC_SHA256, Key, sign};

use super::house::Options;
use super::request::{Body, Head};

/// What is wrong with the signature of a request; `None` when it is right.
pub fn fault(head: &Head, body: &Body, options: &Options) -> Option<&'static str> {
    let value = head.header("authorization")?.strip_prefix("AWS4-HMAC-SHA256 ")?;
    let field = |name: &str| value.split(", ").find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
    let (Some(credential), Some(names), Some(signature)) =
        (field("Credential"), field("SignedHeaders"), field("Signature"))
    else {
        return Some("a field is missing");
    };
    let parts: Vec<&str> = credential.split('/').collect();
    let [id, date, region, service, "aws4_request"] = *parts else { return Some("not a scope") };
    let Some((_, secret)) = options.aws_keys.iter().find(|(have, _)| have == id) else {
        return Some("unknown access key id");
    };
    if service != "bedrock" {
        return Some("another service");
    }
    let Some(at) = head.header("x-amz-date").filter(|at| at.starts_with(date)) else {
        return Some("no date, or not that of the scope");
    };
    let signed: Vec<&str> = names.split(';').collect();
    let must = ["host", "x-amz-date", "content-type", "x-amz-security-token"];
    if must.iter().any(|name| head.header(name).is_some() && !signed.contains(name)) || !signed.is_sorted() {
        return Some("a header is not signed");
    }
    let (path, query) = head.target.split_once('?').unwrap_or((&head.target, ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<String> =
        pairs.map(|pair| if pair.contains('=') { pair.to_owned() } else { format!("{pair}=") }).collect();
    pairs.sort();
    let mut canonical = format!("{}\n{}\n{}\n", head.method, encoded(path), pairs.join("&"));
    for name in &signed {
        let Some(value) = head.header(name) else { return Some("a signed header is not there") };
        canonical.push_str(&format!("{name}:{}\n", value.split_whitespace().collect::<Vec<_>>().join(" ")));
    }
    canonical.push_str(&format!("\n{names}\n{}", body.sha256));
    let digest = hex::encode(ring::digest::digest(&ring::digest::SHA256, canonical.as_bytes()));
    let text = format!("AWS4-HMAC-SHA256\n{at}\n{date}/{region}/{service}/aws4_request\n{digest}");
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in [date, region, service, "aws4_request", &text] {
        key = sign(&Key::new(HMAC_SHA256, &key), part.as_bytes()).as_ref().to_vec();
    }
    (hex::encode(key) != signature).then_some("the signature does not match")
}

/// The path as it arrived, encoded once more.
fn encoded(path: &str) -> String {
    let mut out = String::new();
    for byte in path.bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
