//! Fetches a picture that a client has named: from the public Internet and from nowhere else, without a credential or a
//! cookie, and within bounds. A name is resolved once, every address behind it is looked at, and one that was looked at
//! is connected to, so that no second answer of a name server can lead elsewhere.

use super::Gateway;
use crate::domain::{Network, address};
use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, HOST, LOCATION, USER_AGENT};
use pingora::http::RequestHeader;
use pingora::upstreams::peer::HttpPeer;
use pingora_core::upstreams::peer::ALPN;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const CONNECT: Duration = Duration::from_secs(5);
/// Of one picture, bytes.
pub(super) const LARGEST: usize = 3_750_000;
const MOST_REDIRECTS: usize = 2;

/// Whether and from where pictures are fetched.
#[derive(Clone, Debug, Default)]
pub struct FetchRules {
    pub images: bool,
    /// Also without TLS.
    pub http: bool,
    /// Of tests: fetched from although they are not public, on any port.
    pub test_networks: Vec<Network>,
}

/// Where a URL leads.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Place {
    tls: bool,
    /// With a port, where the URL has one.
    authority: Box<str>,
    host: Box<str>,
    port: u16,
    /// Path and query.
    target: Box<str>,
}

impl Place {
    fn parse(url: &str) -> Option<Self> {
        let url = url.split('#').next().unwrap_or_default();
        let uri: http::Uri = url.parse().ok()?;
        let tls = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = uri.authority()?;
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return None;
        }
        Some(Self {
            tls,
            authority: authority.as_str().into(),
            host: authority.host().trim_start_matches('[').trim_end_matches(']').into(),
            port: match authority.port() {
                Some(port) => port.as_u16(),
                None if tls => 443,
                None => 80,
            },
            target: uri.path_and_query().map_or("/", |target| target.as_str()).into(),
        })
    }

    /// The URL that a redirect from here names.
    fn onwards(&self, location: &str) -> String {
        let Self { tls, authority, target, .. } = self;
        let scheme = if *tls { "https" } else { "http" };
        if location.contains("://") {
            location.to_owned()
        } else if location.starts_with("//") {
            format!("{scheme}:{location}")
        } else if location.starts_with('/') {
            format!("{scheme}://{authority}{location}")
        } else {
            let path = target.split('?').next().unwrap_or_default();
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{scheme}://{authority}{folder}/{location}")
        }
    }
}

/// The bytes behind a URL. `None`: there are none that may be had; why is nobody's business but the log's.
pub(super) async fn fetch(g: &Gateway, url: &str) -> Option<Bytes> {
    let mut place = Place::parse(url)?;
    for _ in 0..=MOST_REDIRECTS {
        match visit(g, &place).await? {
            Visit::Body(body) => return Some(body),
            Visit::Elsewhere(location) => place = Place::parse(&place.onwards(&location))?,
        }
    }
    None
}

enum Visit {
    Body(Bytes),
    Elsewhere(String),
}

async fn visit(g: &Gateway, place: &Place) -> Option<Visit> {
    let rules = &g.settings.fetch;
    if !place.tls && !rules.http {
        return None;
    }
    let address = resolve(g, place).await?;
    let mut peer = HttpPeer::new(address, place.tls, place.host.to_string());
    peer.options.connection_timeout = Some(CONNECT);
    peer.options.total_connection_timeout = Some(CONNECT);
    peer.options.alpn = ALPN::H1;
    let mut head = RequestHeader::build("GET", place.target.as_bytes(), Some(4)).ok()?;
    head.insert_header(HOST, &*place.authority).ok()?;
    head.insert_header(USER_AGENT, "tollgate").ok()?;
    head.insert_header(ACCEPT, "image/*").ok()?;
    head.insert_header(ACCEPT_ENCODING, "identity").ok()?;
    let (mut session, _) = Box::pin(g.connector.get_http_session(&peer)).await.ok()?;
    session.write_request_header(Box::new(head)).await.ok()?;
    session.finish_request_body().await.ok()?;
    session.read_response_header().await.ok()?;
    let answer = session.response_header()?;
    match answer.status.as_u16() {
        200 => {}
        301 | 302 | 303 | 307 | 308 => {
            let location = answer.headers.get(LOCATION)?.to_str().ok()?;
            return Some(Visit::Elsewhere(location.to_owned()));
        }
        _ => return None,
    }
    // The connection is never used again: nothing of one fetch is there for the next.
    let mut body = Vec::new();
    while let Some(piece) = session.read_response_body().await.ok()? {
        body.extend_from_slice(&piece);
        if body.len() > LARGEST {
            return None;
        }
    }
    Some(Visit::Body(body.into()))
}

async fn resolve(g: &Gateway, place: &Place) -> Option<SocketAddr> {
    let found: Vec<SocketAddr> = match place.host.parse::<IpAddr>() {
        Ok(ip) => vec![SocketAddr::new(ip, place.port)],
        Err(_) => {
            let lookup = tokio::net::lookup_host((&*place.host, place.port));
            tokio::time::timeout(CONNECT, lookup).await.ok()?.ok()?.collect()
        }
    };
    let rules = &g.settings.fetch;
    // One forbidden address among good ones is a trick.
    let good = found.iter().all(|a| may_fetch(a.ip(), place.port, rules, &g.settings.deny_targets));
    if !good {
        tracing::info!(host = &*place.host, "a picture was not fetched: its address is not a public one");
        return None;
    }
    found.iter().find(|a| a.is_ipv4()).or(found.first()).copied()
}

fn may_fetch(ip: IpAddr, port: u16, rules: &FetchRules, deny: &[Network]) -> bool {
    let within = |networks: &[Network]| networks.iter().any(|network| network.contains(ip));
    if within(&rules.test_networks) {
        return true;
    }
    matches!(port, 80 | 443) && address::is_public(ip) && !within(deny)
}

/// What a picture is by its first bytes, whatever its server calls it.
pub(super) fn media_type(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_urls_lead_somewhere() {
        for bad in [
            "",
            "ftp://a/b",
            "file:///etc/passwd",
            "/a",
            "a.example/b",
            "https://user:pw@a/b",
            "https://u@a/b",
            "https:///b",
            "http://a b/",
            "data:image/png;base64,AA",
        ] {
            assert_eq!(Place::parse(bad), None, "{bad}");
        }
        let place = Place::parse("https://a.example/b?c=d#e").unwrap();
        assert_eq!((&*place.host, place.port, &*place.target, place.tls), ("a.example", 443, "/b?c=d", true));
        let place = Place::parse("http://[::1]:81").unwrap();
        assert_eq!((&*place.host, place.port, &*place.target, &*place.authority), ("::1", 81, "/", "[::1]:81"));
    }

    #[test]
    fn redirects_lead_where_they_say() {
        let here = Place::parse("https://a.example:443/b/c?d").unwrap();
        for (location, expect) in [
            ("http://b/x", "http://b/x"),
            ("//b/x", "https://b/x"),
            ("/x?y", "https://a.example:443/x?y"),
            ("x", "https://a.example:443/b/x"),
        ] {
            assert_eq!(here.onwards(location), expect);
        }
    }

    #[test]
    fn only_public_addresses_on_usual_ports_and_those_of_a_test() {
        let rules = FetchRules::default();
        let deny = [Network::parse("8.8.8.0/24").unwrap()];
        for (ip, port, may) in [
            ("1.1.1.1", 443, true),
            ("1.1.1.1", 80, true),
            ("1.1.1.1", 8080, false),
            ("8.8.8.8", 443, false),
            ("127.0.0.1", 443, false),
            ("169.254.169.254", 80, false),
            ("::ffff:10.0.0.1", 443, false),
        ] {
            assert_eq!(may_fetch(ip.parse().unwrap(), port, &rules, &deny), may, "{ip}:{port}");
        }
        let test = FetchRules { test_networks: vec![Network::parse("127.0.0.1").unwrap()], ..rules };
        assert!(may_fetch("127.0.0.1".parse().unwrap(), 1234, &test, &[]));
        assert!(!may_fetch("127.0.0.2".parse().unwrap(), 1234, &test, &[]));
    }

    #[test]
    fn a_picture_is_known_by_its_first_bytes() {
        for (bytes, expect) in [
            (&b"\x89PNG\r\n\x1a\n"[..], Some("image/png")),
            (b"\xff\xd8\xff\xe0", Some("image/jpeg")),
            (b"GIF89a", Some("image/gif")),
            (b"RIFF\x01\x02\x03\x04WEBPVP8 ", Some("image/webp")),
            (b"<svg xmlns=", None),
            (b"<html>", None),
            (b"", None),
        ] {
            assert_eq!(media_type(bytes), expect);
        }
    }
}
