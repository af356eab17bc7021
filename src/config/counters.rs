//! Where Redis is: one text of URLs, or hosts and what belongs to them. Messages repeat nothing of a URL, which holds a
//! password.

use super::Config;
use super::reader::Reader;
use super::rules::must_be_file;
use super::sections::Counters;
use crate::domain::Secret;
use crate::redis::{LinkSettings, Node, TlsSettings};
use redis::{ConnectionAddr, IntoConnectionInfo as _};
use std::time::Duration;

/// Keys that a URL says in their place.
const IN_URL: [&str; 6] =
    ["counters.hosts", "counters.port", "counters.user", "counters.password", "counters.database", "counters.tls"];
/// Longest prefix of keys, in bytes.
const LONGEST_PREFIX: usize = 64;

/// What a list of URLs says.
struct Place {
    nodes: Vec<Node>,
    user: Option<Box<str>>,
    password: Option<Secret>,
    database: i64,
    tls: bool,
}

impl Counters {
    /// What a link to Redis takes; `None` when there is none.
    ///
    /// # Errors
    /// A part that is wrong, without repeating it; never after this configuration was checked.
    pub fn redis(&self) -> Result<Option<LinkSettings>, String> {
        let place = if !self.url.is_empty() {
            urls(self.url.expose())?
        } else if !self.hosts.is_empty() {
            let nodes = self.hosts.iter().map(|host| node(host, self.port)).collect::<Option<_>>();
            Place {
                nodes: nodes.ok_or("a host is neither a name nor an address")?,
                user: Some(self.user.as_str()).filter(|user| !user.is_empty()).map(Into::into),
                password: Some(self.password.clone()).filter(|password| !password.is_empty()),
                database: i64::from(self.database),
                tls: self.tls,
            }
        } else {
            return Ok(None);
        };
        if place.user.is_some() && place.password.is_none() {
            return Err("there is a user and no password".to_owned());
        }
        Ok(Some(LinkSettings {
            nodes: place.nodes,
            user: place.user,
            password: place.password,
            database: place.database,
            tls: place.tls.then(|| TlsSettings { ca: self.tls_ca.clone() }),
            timeout: self.timeout,
            connect_timeout: self.connect_timeout,
            prefix: self.prefix.as_str().into(),
        }))
    }
}

pub(super) fn apply(config: &Config, reader: &mut Reader<'_>) {
    let counters = &config.counters;
    for (key, span) in [("counters.timeout", counters.timeout), ("counters.connect_timeout", counters.connect_timeout)]
    {
        if span < Duration::from_millis(1) {
            reader.refuse(&[key], "must be at least 1ms");
        }
    }
    // Braces would decide which node of a cluster has all keys.
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    if counters.prefix.is_empty() || counters.prefix.len() > LONGEST_PREFIX || !counters.prefix.bytes().all(sound) {
        reader.refuse(&["counters.prefix"], "is not 1 to 64 letters, digits, dashes, dots, colons or underscores");
    }
    if let Some(file) = &counters.tls_ca {
        must_be_file("counters.tls_ca", file, reader);
    }
    if !counters.url.is_empty() {
        for key in IN_URL {
            if !reader.is_default(key) {
                reader.refuse(&[key], "counters.url says where Redis is: unset one of them");
            }
        }
    }
    let chosen = if counters.url.is_empty() { "counters.hosts" } else { "counters.url" };
    match counters.redis() {
        Err(what) => reader.refuse(&[chosen], what),
        Ok(Some(settings)) => {
            if settings.tls.is_none() && counters.tls_ca.is_some() {
                reader.refuse(&["counters.tls_ca", chosen], "Redis is not asked to speak TLS");
            }
            if config.store.url.is_empty() && reader.is_default("store.hosts") {
                let what = "gateways that share Redis must share a database, too, from which lost counts come back: \
                            set store.hosts or store.url, or unset this";
                reader.refuse(&[chosen], what);
            }
        }
        Ok(None) if !counters.password.is_empty() || !counters.user.is_empty() => {
            let keys = ["counters.password", "counters.user"];
            let given = if counters.password.is_empty() { &keys[1..] } else { &keys[..1] };
            reader.refuse(given, "counters.hosts is missing: where is Redis?");
        }
        Ok(None) => {}
    }
}

fn urls(text: &str) -> Result<Place, String> {
    let mut all: Option<Place> = None;
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let next = url(part)?;
        match &mut all {
            None => all = Some(next),
            Some(all) => {
                let same_user = next.password.is_none() && next.user.is_none()
                    || (&next.user, &next.password) == (&all.user, &all.password);
                if !same_user || next.database != all.database || next.tls != all.tls {
                    return Err("the URLs differ in user, password, database or TLS".to_owned());
                }
                all.nodes.extend(next.nodes);
            }
        }
    }
    all.ok_or_else(|| "has no URL".to_owned())
}

fn url(text: &str) -> Result<Place, String> {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref() {
        Some("redis" | "rediss" | "valkey" | "valkeys") => {}
        Some("unix" | "redis+unix" | "valkey+unix" | "redis+socket" | "redis-socket") => {
            return Err("a socket file cannot be shared with other machines: use redis://host:port".to_owned());
        }
        Some(scheme) if scheme.contains("sentinel") => {
            return Err("Sentinel is not asked: list all servers, the one that is no replica is used".to_owned());
        }
        _ => return Err("does not begin with redis:// or rediss://".to_owned()),
    }
    if text.contains(['?', '#']) {
        return Err("takes nothing after ? or #: percent-encode them in a password".to_owned());
    }
    let good = "is not a URL such as rediss://user:password@host:6379/0, several with commas between them";
    // Its own error would repeat parts.
    let info = text.into_connection_info().map_err(|_| good.to_owned())?;
    let (host, port, tls) = match info.addr() {
        ConnectionAddr::Tcp(host, port) => (host, *port, false),
        ConnectionAddr::TcpTls { host, port, .. } => (host, *port, true),
        _ => return Err(good.to_owned()),
    };
    let access = info.redis_settings();
    if access.db() < 0 || host.is_empty() {
        return Err(good.to_owned());
    }
    Ok(Place {
        nodes: vec![Node { host: host.as_str().into(), port }],
        user: access.username().filter(|user| !user.is_empty()).map(Into::into),
        password: access.password().filter(|password| !password.is_empty()).map(Secret::new),
        database: access.db(),
        tls,
    })
}

/// A name or an address, with or without a port; one of IPv6 with a port is in brackets.
fn node(text: &str, port: u16) -> Option<Node> {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, port),
        Some((host, rest)) => (host, rest.strip_prefix(':')?.parse().ok()?),
        None if text.matches(':').count() > 1 => (text, port),
        None => match text.split_once(':') {
            Some((host, port)) => (host, port.parse().ok()?),
            None => (text, port),
        },
    };
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:%".contains(&byte);
    let is_good = !host.is_empty() && host.bytes().all(sound) && port != 0;
    is_good.then(|| Node { host: host.into(), port })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::OnOutage;

    fn counters(url: &str) -> Counters {
        Counters {
            url: Secret::new(url),
            hosts: Vec::new(),
            port: 6379,
            user: String::new(),
            password: Secret::default(),
            database: 0,
            tls: false,
            tls_ca: None,
            timeout: Duration::from_millis(250),
            connect_timeout: Duration::from_secs(2),
            prefix: "tollgate".to_owned(),
            on_outage: OnOutage::Local,
        }
    }

    fn nodes(settings: &LinkSettings) -> Vec<String> {
        settings.nodes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_url_says_all() {
        let found = counters("rediss://us%65r:p%40ss%2C@cache.example:7000/3").redis().unwrap().unwrap();
        assert_eq!(nodes(&found), ["cache.example:7000"]);
        assert_eq!(found.user.as_deref(), Some("user"));
        assert_eq!(found.password.as_ref().map(Secret::expose), Some("p@ss,"));
        assert_eq!((found.database, found.tls), (3, Some(TlsSettings { ca: None })));
        let found = counters("redis://h").redis().unwrap().unwrap();
        assert_eq!(
            (nodes(&found), found.user, found.password.is_none(), found.tls),
            (vec!["h:6379".into()], None, true, None)
        );
    }

    #[test]
    fn several_urls_are_nodes_of_one_redis() {
        let found = counters("redis://:p@a:1, redis://b:2,redis://:p@[::1]:3,").redis().unwrap().unwrap();
        assert_eq!(nodes(&found), ["a:1", "b:2", "[::1]:3"]);
        for different in ["redis://:p@a,redis://:q@b", "redis://a,rediss://b", "redis://a/1,redis://b/2"] {
            assert!(counters(different).redis().unwrap_err().contains("differ"), "{different}");
        }
    }

    #[test]
    fn what_is_no_url_of_redis_is_refused_without_repeating_it() {
        for (url, part) in [
            ("https://u:hunter2@h", "does not begin with redis://"),
            ("hunter2", "does not begin with redis://"),
            ("unix:///hunter2", "a socket file"),
            ("redis+sentinel://hunter2@h/main", "Sentinel is not asked"),
            ("redis://h?protocol=hunter2", "after ? or #"),
            ("rediss://hunter2@h/#insecure", "after ? or #"),
            ("redis://:hunter2@h:port", "is not a URL"),
            ("redis://:hunter2@h/zero", "is not a URL"),
            ("redis://:hunter2@h/-1", "is not a URL"),
            ("redis://:hunter2@", "is not a URL"),
            ("redis://hunter2@h", "a user and no password"),
            (" , ", "has no URL"),
        ] {
            let found = counters(url).redis().unwrap_err();
            assert!(found.contains(part) && !found.contains("hunter2"), "{url}: {found}");
        }
    }

    #[test]
    fn hosts_are_names_or_addresses_with_or_without_a_port() {
        let hosts = |text: &str| Counters { hosts: text.split(',').map(str::to_owned).collect(), ..counters("") };
        let found = hosts("a,b.example:7,127.0.0.1,::1,[::2],[::3]:9").redis().unwrap().unwrap();
        let expected = ["a:6379", "b.example:7", "127.0.0.1:6379", "[::1]:6379", "[::2]:6379", "[::3]:9"];
        assert_eq!(nodes(&found), expected);
        for wrong in ["a b", "a:x", "a:0", "a/0", "[::1", "[::1]9", "u@h", ""] {
            assert!(hosts(wrong).redis().is_err(), "{wrong}");
        }
        assert!(counters("").redis().unwrap().is_none());
    }
}
