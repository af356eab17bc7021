//! Where upstreams are: base URLs parsed once, host names resolved off the request path, peers ready to connect to.

use crate::domain::{Network, address};
use arc_swap::ArcSwap;
use http::HeaderValue;
use parking_lot::RwLock;
use pingora::upstreams::peer::HttpPeer;
use pingora_core::upstreams::peer::ALPN;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long a resolved address is used before it is looked up again in the background.
const FRESH: Duration = Duration::from_secs(30);
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// More base URLs than any installation has; a bound, not a tuning knob.
const MOST_UPSTREAMS: usize = 10_000;

/// A parsed base URL: `scheme://host[:port][/prefix]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct BaseUrl {
    tls: bool,
    host: Box<str>,
    port: u16,
    host_header: HeaderValue,
    prefix: Box<str>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum UpstreamError {
    #[error("the base URL is not a plain http or https URL")]
    BadUrl,
    #[error("the host name could not be resolved")]
    Unresolved,
    #[error("the address is link-local, a metadata service or in security.deny_targets")]
    Forbidden,
    #[error("too many different base URLs")]
    TooMany,
}

impl BaseUrl {
    pub(super) fn parse(url: &str) -> Result<Self, UpstreamError> {
        let uri: http::Uri = url.parse().map_err(|_| UpstreamError::BadUrl)?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(UpstreamError::BadUrl),
        };
        let authority = uri.authority().ok_or(UpstreamError::BadUrl)?;
        if uri.query().is_some() || authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(UpstreamError::BadUrl);
        }
        Ok(Self {
            tls,
            host: authority.host().trim_start_matches('[').trim_end_matches(']').into(),
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            host_header: HeaderValue::from_str(authority.as_str()).map_err(|_| UpstreamError::BadUrl)?,
            prefix: uri.path().trim_end_matches('/').into(),
        })
    }

    pub(super) fn host_header(&self) -> &HeaderValue {
        &self.host_header
    }

    /// Path and query to send.
    pub(super) fn target(&self, path: &str, query: Option<&str>) -> String {
        let prefix = &self.prefix;
        match query {
            Some(query) => format!("{prefix}{path}?{query}"),
            None => format!("{prefix}{path}"),
        }
    }
}

/// One upstream: its base URL and the peers behind its name.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) base: BaseUrl,
    resolved: ArcSwap<Resolved>,
    refreshing: AtomicBool,
    next: AtomicUsize,
}

#[derive(Debug)]
struct Resolved {
    peers: Vec<Arc<HttpPeer>>,
    at: Instant,
}

impl Upstream {
    /// The next peer in turn.
    pub(super) fn peer(&self) -> Option<Arc<HttpPeer>> {
        let resolved = self.resolved.load();
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        resolved.peers.get(turn.checked_rem(resolved.peers.len())?).cloned()
    }
}

/// Connection timing of every peer.
#[derive(Clone, Copy, Debug)]
pub struct PeerTimeouts {
    pub connect: Duration,
    /// How long an unused connection is kept.
    pub keepalive: Duration,
}

/// All upstreams in use, by base URL.
#[derive(Debug)]
pub(super) struct Upstreams {
    by_url: RwLock<HashMap<Box<str>, Arc<Upstream>>>,
    timeouts: PeerTimeouts,
    /// Networks that are refused besides those that always are.
    deny: Arc<[Network]>,
}

impl Upstreams {
    pub(super) fn new(timeouts: PeerTimeouts, deny: &[Network]) -> Self {
        Self { by_url: RwLock::default(), timeouts, deny: deny.into() }
    }

    /// The upstream for a base URL. Resolves only the first time; later look-ups happen in the background,
    /// and a failed one keeps the addresses that worked.
    pub(super) async fn find(&self, url: &str) -> Result<Arc<Upstream>, UpstreamError> {
        let known = self.by_url.read().get(url).cloned();
        if let Some(upstream) = known {
            self.refresh_when_stale(&upstream);
            return Ok(upstream);
        }
        let base = BaseUrl::parse(url)?;
        let resolved = resolve(&base, self.timeouts, &self.deny).await?;
        let upstream = Arc::new(Upstream {
            base,
            resolved: ArcSwap::from_pointee(resolved),
            refreshing: AtomicBool::new(false),
            next: AtomicUsize::new(0),
        });
        let mut map = self.by_url.write();
        if map.len() >= MOST_UPSTREAMS {
            return Err(UpstreamError::TooMany);
        }
        Ok(map.entry(url.into()).or_insert(upstream).clone())
    }

    fn refresh_when_stale(&self, upstream: &Arc<Upstream>) {
        if upstream.resolved.load().at.elapsed() < FRESH || upstream.refreshing.swap(true, Ordering::AcqRel) {
            return;
        }
        let (upstream, timeouts, deny) = (upstream.clone(), self.timeouts, self.deny.clone());
        tokio::spawn(async move {
            match resolve(&upstream.base, timeouts, &deny).await {
                Ok(resolved) => upstream.resolved.store(Arc::new(resolved)),
                Err(error) => {
                    tracing::warn!(host = %upstream.base.host, %error, "keeping the last known addresses of an upstream");
                    let last = upstream.resolved.load_full();
                    upstream.resolved.store(Arc::new(Resolved { peers: last.peers.clone(), at: Instant::now() }));
                }
            }
            upstream.refreshing.store(false, Ordering::Release);
        });
    }
}

async fn resolve(base: &BaseUrl, timeouts: PeerTimeouts, deny: &[Network]) -> Result<Resolved, UpstreamError> {
    let addresses: Vec<SocketAddr> = if let Ok(ip) = base.host.parse::<IpAddr>() {
        vec![SocketAddr::new(ip, base.port)]
    } else {
        let lookup = tokio::net::lookup_host((&*base.host, base.port));
        let found = tokio::time::timeout(LOOKUP_TIMEOUT, lookup).await;
        found.map_err(|_| UpstreamError::Unresolved)?.map_err(|_| UpstreamError::Unresolved)?.collect()
    };
    // One forbidden address among good ones is a trick, or a mistake that would show at random: all are refused.
    let forbidden = |ip| address::is_metadata(ip) || deny.iter().any(|network| network.contains(ip));
    if addresses.iter().any(|a| forbidden(a.ip())) {
        return Err(UpstreamError::Forbidden);
    }
    // Where a host has both families, the older one connects everywhere.
    let mut addresses = addresses;
    addresses.sort_by_key(|a| a.is_ipv6());
    let ipv4 = addresses.iter().filter(|a| a.is_ipv4()).count();
    if ipv4 > 0 {
        addresses.truncate(ipv4);
    }
    if addresses.is_empty() {
        return Err(UpstreamError::Unresolved);
    }
    let peers = addresses.into_iter().map(|a| Arc::new(peer(base, a, timeouts))).collect();
    Ok(Resolved { peers, at: Instant::now() })
}

fn peer(base: &BaseUrl, address: SocketAddr, timeouts: PeerTimeouts) -> HttpPeer {
    // The host name as SNI, always: an empty one would switch verification off.
    let mut peer = HttpPeer::new(address, base.tls, base.host.to_string());
    peer.options.connection_timeout = Some(timeouts.connect);
    peer.options.total_connection_timeout = Some(timeouts.connect * 2);
    peer.options.idle_timeout = Some(timeouts.keepalive);
    if base.tls {
        peer.options.alpn = ALPN::H2H1;
        peer.options.max_h2_streams = 100;
    }
    peer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_stays_before_the_path() {
        let target = |base: &str, path: &str, query| BaseUrl::parse(base).unwrap().target(path, query);
        assert_eq!(target("http://a", "/v1/models", None), "/v1/models");
        assert_eq!(target("http://a:8/proxy/", "/v1/models", Some("limit=1")), "/proxy/v1/models?limit=1");
    }

    #[test]
    fn only_plain_urls_are_bases() {
        for bad in ["", "ftp://a", "http://", "http://user:pw@a", "http://a/?x=1", "api.openai.com", "http://a b"] {
            assert!(BaseUrl::parse(bad).is_err(), "{bad}");
        }
        let v6 = BaseUrl::parse("http://[::1]:81").unwrap();
        assert_eq!((&*v6.host, v6.port, v6.host_header.as_bytes()), ("::1", 81, &b"[::1]:81"[..]));
        assert_eq!(BaseUrl::parse("https://a").unwrap().port, 443);
    }

    const TIMEOUTS: PeerTimeouts = PeerTimeouts { connect: Duration::from_secs(1), keepalive: Duration::from_secs(1) };

    #[tokio::test]
    async fn metadata_services_are_never_upstreams() {
        let upstreams = Upstreams::new(TIMEOUTS, &[]);
        // The last two are names to us, and addresses to a resolver.
        for bad in ["169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]", "0.0.0.0", "2852039166", "0xa9fea9fe"] {
            let found = upstreams.find(&format!("http://{bad}/latest")).await;
            assert!(matches!(found, Err(UpstreamError::Forbidden)), "{bad}: {found:?}");
        }
        for good in ["127.0.0.1", "10.0.0.1", "8.8.8.8", "[::1]", "localhost"] {
            assert!(upstreams.find(&format!("http://{good}")).await.is_ok(), "{good}");
        }
    }

    #[tokio::test]
    async fn denied_networks_are_no_upstreams_whatever_they_are_called() {
        let upstreams = Upstreams::new(TIMEOUTS, &["127.0.0.0/8", "::1"].map(|n| Network::parse(n).unwrap()));
        for bad in ["127.0.0.1:80", "127.9.9.9", "[::1]", "[::ffff:127.0.0.1]", "localhost", "2130706433"] {
            let found = upstreams.find(&format!("http://{bad}")).await;
            assert!(matches!(found, Err(UpstreamError::Forbidden)), "{bad}: {found:?}");
        }
        assert!(upstreams.find("http://10.0.0.1").await.is_ok());
    }
}
