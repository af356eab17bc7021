//! Which URLs a setting or custom provider may name. Pure text: names are resolved by whoever connects.
//!
//! Private and loopback hosts are fine, operators own them; link-local and cloud metadata addresses are not.

use crate::domain::address;
use http::Uri;
use std::net::IpAddr;

/// What is wrong with a base URL, as the end of a sentence about its field.
pub(super) fn objection(url: &str) -> Option<&'static str> {
    let Ok(uri) = url.parse::<Uri>() else { return Some("must be an absolute http or https URL") };
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Some("must be an absolute http or https URL");
    }
    let Some(authority) = uri.authority().filter(|a| !a.host().is_empty()) else {
        return Some("must name a host");
    };
    if authority.as_str().contains('@') {
        return Some("must not contain credentials");
    }
    if uri.query().is_some() || url.contains('#') {
        return Some("must not have a query or fragment");
    }
    if authority.as_str().len() > authority.host().len() && authority.port_u16().is_none() {
        return Some("must have a valid port");
    }
    host_objection(authority.host())
}

fn host_objection(host: &str) -> Option<&'static str> {
    const FORBIDDEN: &str = "must not point to a link-local or metadata address";
    if let Some(v6) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        return match v6.parse() {
            Ok(ip) if address::is_metadata(IpAddr::V6(ip)) => Some(FORBIDDEN),
            Ok(_) => None,
            Err(_) => Some("must name a valid host"),
        };
    }
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    if address::is_metadata_name(&name) {
        return Some(FORBIDDEN);
    }
    match name.parse() {
        Ok(ip) if address::is_metadata(IpAddr::V4(ip)) => Some(FORBIDDEN),
        Ok(_) => None,
        // Resolvers read `2852039166` and `0xa9fea9fe` as addresses: only the plain form is accepted.
        Err(_) if looks_numeric(&name) => Some("must have an address in the form 10.0.0.1"),
        Err(_) => None,
    }
}

/// No domain name ends in a number.
fn looks_numeric(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    digits(last) || last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|c| c.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_may_use_their_own_networks() {
        for url in [
            "https://api.openai.com",
            "http://127.0.0.1:8080/v1",
            "http://localhost:9000",
            "http://10.1.2.3",
            "http://[::1]:80/base",
            "http://[fd12::1]",
            "https://gateway.internal./v1/",
        ] {
            assert_eq!(objection(url), None, "{url}");
        }
    }

    #[test]
    fn metadata_and_link_local_are_refused() {
        for host in [
            "169.254.169.254",
            "169.254.1.1:80",
            "100.100.100.200",
            "0.0.0.0",
            "metadata.google.internal",
            "METADATA.google.internal.",
            "[fe80::1]",
            "[fd00:ec2::254]",
            "[::ffff:169.254.169.254]",
            "[64:ff9b::a9fe:a9fe]",
            "2852039166",
            "0xa9fea9fe",
            "169.254.43518",
        ] {
            assert!(objection(&format!("http://{host}/latest")).is_some(), "{host}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for url in [
            "",
            "api.openai.com",
            "/v1",
            "ftp://x",
            "file:///etc/passwd",
            "http://",
            "http://u:p@host",
            "https://host/?a=b",
            "https://host/#x",
            "http://host:99999",
            "http://ho st",
        ] {
            assert!(objection(url).is_some(), "{url}");
        }
    }
}
