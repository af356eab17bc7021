//! Rules among keys and rules a single type cannot say. Each names the keys it looks at, so that a key that could not
//! be read is not blamed twice.

use super::reader::Reader;
use super::{Config, counters, database};
use crate::domain::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Below this a journal could not hold the requests of one busy second.
const LEAST_JOURNAL_BYTES: u64 = 1 << 20;
/// `sun_path` of Linux, without its end.
const LONGEST_SOCKET_PATH: usize = 107;
/// The longest month, and a day for clocks that disagree.
const LEAST_RETENTION_DAYS: u32 = 32;
const SINGLE_PORT: u16 = 8866;
const MASTER_KEY_BYTES: usize = 32;

pub(super) fn apply(config: &mut Config, reader: &mut Reader<'_>, warnings: &mut Vec<String>) {
    place_admin(config, reader, warnings);
    place_single(config, reader);
    listeners_differ(config, reader);
    tls("single", &config.single.tls_cert, &config.single.tls_key, reader);
    tls("proxy", &config.proxy.tls_cert, &config.proxy.tls_key, reader);
    tls("admin", &config.admin.tls_cert, &config.admin.tls_key, reader);
    spans(config, reader);
    sizes(config, reader);
    retention(config, reader);
    database::apply(config, reader, warnings);
    counters::apply(config, reader);
    master_keys(config, reader);
    upgrade_sock(config, reader);
    if let Some(file) = &config.pricing.file {
        must_be_file("pricing.file", file, reader);
    }
    if !config.debug.test_hooks && config.debug.test_clock_offset != 0 {
        config.debug.test_clock_offset = 0;
        warnings.push("debug.test_clock_offset has no effect without debug.test_hooks".to_owned());
    }
    if !config.debug.test_hooks && !config.debug.fetch_networks.is_empty() {
        config.debug.fetch_networks.clear();
        warnings.push("debug.fetch_networks has no effect without debug.test_hooks".to_owned());
    }
}

/// Without a secret anybody who reaches the admin listener owns the gateway, so it stays on loopback.
fn place_admin(config: &mut Config, reader: &mut Reader<'_>, warnings: &mut Vec<String>) {
    let admin = &mut config.admin;
    let guarded = !admin.pass.is_empty() || !admin.api_key.is_empty();
    if guarded && reader.is_default("admin.listen") {
        admin.listen = SocketAddr::from((Ipv4Addr::UNSPECIFIED, admin.listen.port()));
        reader.replace_default("admin.listen", &admin.listen.to_string(), "because a secret is set");
    }
    if !guarded && !admin.listen.ip().to_canonical().is_loopback() {
        let what = format!(
            "{} can be reached from other machines, but neither admin.pass nor admin.api_key is set",
            admin.listen
        );
        reader.refuse(&["admin.listen", "admin.pass", "admin.api_key"], what);
    }
    if !guarded {
        warnings.push(format!(
            "neither admin.pass nor admin.api_key is set: every program on this machine can manage keys at {}",
            admin.listen
        ));
    }
}

/// Whoever sets the key that makes the first key wants to use it where that API has always been.
fn place_single(config: &mut Config, reader: &mut Reader<'_>) {
    if config.single.listen.is_none() && !config.admin.api_key.is_empty() && reader.is_default("single.listen") {
        let listen = SocketAddr::from((Ipv4Addr::UNSPECIFIED, SINGLE_PORT));
        config.single.listen = Some(listen);
        reader.replace_default("single.listen", &listen.to_string(), "because admin.api_key is set");
    }
    if config.single.listen.is_some() && config.admin.api_key.is_empty() && config.admin.pass.is_empty() {
        reader.refuse(&["single.listen", "admin.api_key"], "nobody could make a key: set admin.api_key");
    }
}

fn listeners_differ(config: &Config, reader: &mut Reader<'_>) {
    let listeners = [
        ("admin.listen", Some(config.admin.listen)),
        ("telemetry.metrics_listen", config.telemetry.metrics_listen),
        ("single.listen", config.single.listen),
        ("proxy.listen", Some(config.proxy.listen)),
    ];
    for (n, (key, address)) in listeners.iter().enumerate() {
        for (other_key, other) in listeners.iter().skip(n + 1) {
            let Some((address, other)) = address.zip(*other) else { continue };
            let clash = address.ip() == other.ip() || address.ip().is_unspecified() || other.ip().is_unspecified();
            if address.port() != 0 && address.port() == other.port() && clash {
                reader.refuse(&[key, other_key], format!("{key} and {other_key} are both at port {}", other.port()));
            }
        }
    }
}

fn tls(section: &str, cert: &Option<PathBuf>, key: &Option<PathBuf>, reader: &mut Reader<'_>) {
    let (cert_name, key_name) = (format!("{section}.tls_cert"), format!("{section}.tls_key"));
    match (cert, key) {
        (Some(cert), Some(key)) => {
            must_be_file(&cert_name, cert, reader);
            must_be_file(&key_name, key, reader);
        }
        (Some(_), None) => reader.refuse(&[&cert_name, &key_name], format!("{key_name} is missing")),
        (None, Some(_)) => reader.refuse(&[&key_name, &cert_name], format!("{cert_name} is missing")),
        (None, None) => {}
    }
}

pub(super) fn must_be_file(key: &str, path: &std::path::Path, reader: &mut Reader<'_>) {
    if let Err(error) = std::fs::File::open(path) {
        reader.refuse(&[key], format!("{} cannot be read: {error}", path.display()));
    } else if path.is_dir() {
        reader.refuse(&[key], format!("{} is a directory", path.display()));
    }
}

fn spans(config: &Config, reader: &mut Reader<'_>) {
    let proxy = &config.proxy;
    for (key, span) in [
        ("proxy.request_timeout", proxy.request_timeout),
        ("proxy.max_request_timeout", proxy.max_request_timeout),
        ("proxy.connect_timeout", proxy.connect_timeout),
        ("proxy.idle_timeout", proxy.idle_timeout),
        ("proxy.body_timeout", proxy.body_timeout),
        ("proxy.keepalive_timeout", proxy.keepalive_timeout),
        ("unified.keep_alive", config.unified.keep_alive),
        ("routes.breaker_pause", config.routes.breaker_pause),
        ("store.refresh_interval", config.store.refresh_interval),
        ("ledger.sync_interval", config.ledger.sync_interval),
    ] {
        // Timers count in milliseconds.
        if span < Duration::from_millis(1) {
            reader.refuse(&[key], "must be at least 1ms");
        }
    }
    if proxy.request_timeout > proxy.max_request_timeout {
        reader.refuse(
            &["proxy.request_timeout", "proxy.max_request_timeout"],
            "proxy.request_timeout is longer than proxy.max_request_timeout",
        );
    }
    if config.routes.breaker_pause > config.routes.breaker_longest_pause {
        reader.refuse(
            &["routes.breaker_pause", "routes.breaker_longest_pause"],
            "routes.breaker_pause is longer than routes.breaker_longest_pause",
        );
    }
}

fn upgrade_sock(config: &Config, reader: &mut Reader<'_>) {
    let path = config.upgrade_sock();
    if path.as_os_str().len() > LONGEST_SOCKET_PATH {
        let what = format!("{} is longer than {LONGEST_SOCKET_PATH} bytes, too long for a socket", path.display());
        reader.refuse(&["proxy.upgrade_sock", "ledger.journal_dir"], what);
    }
}

fn sizes(config: &Config, reader: &mut Reader<'_>) {
    let proxy = &config.proxy;
    for (key, zero) in [
        ("proxy.body_limit", proxy.body_limit.bytes() == 0),
        ("proxy.upload_limit", proxy.upload_limit.bytes() == 0),
        ("proxy.max_requests", proxy.max_requests == 0),
        ("admin.events_limit", config.admin.events_limit == 0),
    ] {
        if zero {
            reader.refuse(&[key], "must not be 0");
        }
    }
    if proxy.body_limit > proxy.body_memory {
        reader
            .refuse(&["proxy.body_limit", "proxy.body_memory"], "proxy.body_limit does not fit into proxy.body_memory");
    }
    if config.ledger.journal_max_bytes.bytes() < LEAST_JOURNAL_BYTES {
        reader.refuse(&["ledger.journal_max_bytes"], "must be at least 1MiB");
    }
}

/// Windows up to a month are rebuilt from events at every start.
fn retention(config: &Config, reader: &mut Reader<'_>) {
    if (1..LEAST_RETENTION_DAYS).contains(&config.events.retention) {
        reader.refuse(
            &["events.retention"],
            "must be 0 or at least 32 days: monthly budgets count the events of a month",
        );
    }
}

fn master_keys(config: &Config, reader: &mut Reader<'_>) {
    let good = |key: &Secret| STANDARD.decode(key.expose()).is_ok_and(|bytes| bytes.len() == MASTER_KEY_BYTES);
    let security = &config.security;
    if !security.master_key.is_empty() && !good(&security.master_key) {
        reader.refuse(&["security.master_key"], "the value is not 32 bytes in base64");
    }
    if !security.master_keys_old.iter().all(good) {
        reader.refuse(&["security.master_keys_old"], "one of the values is not 32 bytes in base64");
    }
}
