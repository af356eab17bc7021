//! Every key there is. A line here is all that a new setting needs; what its value may be is said by its type.

use super::base_url::BaseUrl;
use super::declare::{Key, Section, section};
use super::reader::Reader;
use super::value::{ByteSize, Durability, Region, Unpriced, UnsupportedParams, Value};
use super::{Config, Providers};
use crate::auth::origins::Origins;
use crate::counters::OnOutage;
use crate::domain::{BillingZone, BudgetMode, Network, Secret};
use crate::store::postgres::TlsMode;
use crate::telemetry::{LogFormat, LogLevel};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

section! {
    /// The listener that software calls in place of a provider.
    Proxy {
        /// Address and port. Port 0 takes a free one, which the log names.
        listen: SocketAddr = "0.0.0.0:8002";
        /// PEM file with the certificate chain. With `tls_key`: the listener speaks TLS.
        tls_cert: Option<PathBuf> = "";
        /// PEM file with the private key of `tls_cert`.
        tls_key: Option<PathBuf> = "";
        /// Worker threads; 0 = one per core.
        threads: usize = "0";
        /// From the head of a request to the end of its response, unless the request asks for another limit.
        request_timeout: Duration = "600s", also "PROXY_TIMEOUT";
        /// The longest limit that a request may ask for.
        max_request_timeout: Duration = "1h";
        /// Until a connection to an upstream stands, TLS included.
        connect_timeout: Duration = "5s";
        /// The longest silence of an upstream that is answering.
        idle_timeout: Duration = "600s";
        /// Largest body of a JSON request.
        body_limit: ByteSize = "32MiB", also "MAX_BODY_BYTES";
        /// Largest body of an upload (files, audio, images).
        upload_limit: ByteSize = "512MiB";
        /// All request bodies in memory together; beyond it new requests are answered 503.
        body_memory: ByteSize = "1GiB";
        /// Until the body of a request has arrived.
        body_timeout: Duration = "60s";
        /// How long an idle connection of a client is kept.
        keepalive_timeout: Duration = "75s";
        /// Requests served at one time; beyond it new ones are answered 503.
        max_requests: usize = "20000";
        /// Idle connections to upstreams that are kept for reuse.
        upstream_keepalive: usize = "256";
        /// How long a stop waits for requests in flight. 0 = not at all.
        drain_timeout: Duration = "60s";
        /// Socket file over which a process gives its listeners to the next (`serve --upgrade`, then SIGQUIT).
        /// Whoever can make files in its directory can take them. Empty = upgrade.sock in `ledger.journal_dir`.
        upgrade_sock: Option<PathBuf> = "";
        /// Answer browsers' cross-origin questions.
        cors: bool = "true";
        /// Do not send the caller's User-Agent upstream.
        remove_user_agent: bool = "false", also "REMOVE_USER_AGENT";
    }
}

section! {
    /// The listener of the configuration API and of the metrics.
    Admin {
        /// Address and port. Without this key it is 0.0.0.0:8001 as soon as `pass` or `api_key` is set.
        /// Without both of them only a loopback address is accepted, and no request of a web page.
        listen: SocketAddr = "127.0.0.1:8001";
        /// PEM file with the certificate chain. With `tls_key`: the listener speaks TLS.
        tls_cert: Option<PathBuf> = "";
        /// PEM file with the private key of `tls_cert`.
        tls_key: Option<PathBuf> = "";
        /// Secret that callers of the configuration API send as X-API-KEY. It also manages keys through the management
        /// API, and calls no model.
        pass: Secret = "", also "ADMIN_PASS";
        /// A second such secret.
        api_key: Secret = "", also "ADMIN_API_KEY";
        /// Most events in one answer.
        events_limit: u64 = "10000";
    }
}

section! {
    /// One listener for everything that people use: the proxy's paths and the management API beside them.
    Single {
        /// Address and port. Empty = none, or 0.0.0.0:8866 as soon as `admin.api_key` is set.
        listen: Option<SocketAddr> = "";
        /// PEM file with the certificate chain. With `tls_key`: the listener speaks TLS.
        tls_cert: Option<PathBuf> = "";
        /// PEM file with the private key of `tls_cert`.
        tls_key: Option<PathBuf> = "";
    }
}

section! {
    /// The unified API, `/v1`: model names in front of any provider.
    Unified {
        /// Region of models on AWS that name none.
        aws_region: Region = "us-east-1", also "AWS_DEFAULT_REGION";
        /// Parameters that a model's provider has no word for: drop them and name them in a header, or refuse with 400.
        unsupported_params: UnsupportedParams = "drop";
        /// Fetch images that clients name by URL, for models that take only the images themselves: from public
        /// addresses, at most 3.75 MB each and 20 MB a request. Otherwise such a request is refused with 400.
        fetch_remote_images: bool = "false";
        /// Fetch them also from URLs without TLS.
        fetch_http_images: bool = "false";
        /// After so long a silence of the model, a translated stream says that it lives.
        keep_alive: Duration = "15s";
    }
}

section! {
    /// Routes: what is the same for all of them.
    Routes {
        /// After so many requests in a row have failed with a credential, or at a model of the unified API, it is passed
        /// by for a while. 0 = never.
        breaker_failures: u32 = "5";
        /// For how long at first; then one request tries it, and the pause doubles each time that fails.
        breaker_pause: Duration = "30s";
        /// The longest such pause, also when the upstream asks for more.
        breaker_longest_pause: Duration = "5m";
        /// All kept answers together. 0 = none is kept, whatever routes say.
        cache_memory: ByteSize = "64MiB";
        /// Largest answer that is kept; at most half of `cache_memory`.
        cache_entry: ByteSize = "1MiB";
    }
}

section! {
    /// The management API.
    Management {
        /// Origins of web pages that may call it and the unified API, separated by commas. Keys are asked for in any case.
        cors_allow_origins: Origins = "*", also "CORS_ALLOW_ORIGINS";
    }
}

section! {
    /// Where keys, settings, events and spend are kept: a file of this gateway, or a database that any number of them
    /// share. `url` or `hosts` chooses the database.
    Store {
        /// SQLite file; its directory is made when it is missing. Not used with a database.
        path: PathBuf = "data/tollgate.db";
        /// Postgres: postgres://user:password@host:port,host:port/database?sslmode=verify-full&sslrootcert=FILE
        /// In place of the keys from `hosts` to `ssl_root_cert`.
        url: Secret = "";
        /// Servers of a Postgres cluster, separated by commas, each with a port of its own or without: the first that
        /// takes writes is used, again after a fail-over. A path is the directory of a Unix socket.
        hosts: Vec<String> = "", also "POSTGRESQL_HOSTS", also "PGSQL_HOST";
        /// Of hosts that name none.
        port: u16 = "5432", also "POSTGRESQL_PORT", also "PGSQL_PORT";
        /// Must exist; its tables are made at the first start. Empty = the name of the user.
        database: String = "", also "POSTGRESQL_DB_NAME", also "PGSQL_DATABASE";
        /// Empty = the user that runs this process.
        user: String = "", also "POSTGRESQL_USERNAME", also "PGSQL_USER";
        /// Of the user.
        password: Secret = "", also "POSTGRESQL_PASSWORD", also "PGSQL_PASSWORD";
        /// TLS as libpq means it: disable, allow, prefer, require, verify-ca or verify-full.
        ssl_mode: TlsMode = "prefer", also "POSTGRESQL_SSL_MODE";
        /// PEM file with the authorities that verify-ca and verify-full trust. Empty = those that this host trusts.
        ssl_root_cert: Option<PathBuf> = "";
        /// Connections of this process to the database, 5 at least; those that are not needed are closed.
        max_connections: usize = "16", also "PGSQL_MAX";
        /// Until a server of the list has answered, TLS and password included; of a URL, its connect_timeout.
        connect_timeout: Duration = "5s";
        /// After this a statement that reads is ended.
        read_timeout: Duration = "30s", also "POSTGRESQL_READ_TIME_OUT";
        /// After this a statement that writes is ended.
        write_timeout: Duration = "10s", also "POSTGRESQL_WRITE_TIME_OUT";
        /// How often changes made by other processes are looked for; a database tells of them at once.
        refresh_interval: Duration = "1s", also "IN_MEMORY_DB_UPDATE_INTERVAL";
    }
}

section! {
    /// Redis, in which gateways that share a database count together what keys use, and keep answers of routes. `url`
    /// or `hosts` chooses it; without it counts and answers are in memory.
    Counters {
        /// redis://user:password@host:6379/0, or rediss:// with TLS. Several, with commas between them: some nodes of a
        /// cluster, or a server and its replicas. In place of the keys from `hosts` to `tls`.
        url: Secret = "";
        /// Names or addresses, separated by commas, each with a port of its own or without.
        hosts: Vec<String> = "", also "REDIS_HOSTS";
        /// Of hosts that name none.
        port: u16 = "6379", also "REDIS_PORT";
        /// Empty = the default user.
        user: String = "", also "REDIS_USERNAME";
        /// Of the user.
        password: Secret = "", also "REDIS_PASSWORD";
        /// Number of the database; a cluster has only 0.
        database: u32 = "0", also "REDIS_DB_START_INDEX";
        /// Speak TLS.
        tls: bool = "false";
        /// PEM file with the authorities that Redis' certificate may be of. Empty = those that this host trusts.
        tls_ca: Option<PathBuf> = "";
        /// Longest wait of a request for Redis; then it counts as away until it answers promptly again.
        timeout: Duration = "1s", also "REDIS_READ_TIME_OUT";
        /// Until a connection is ready.
        connect_timeout: Duration = "2s";
        /// Of every key in Redis: gateways with the same one count together.
        prefix: String = "tollgate";
        /// While Redis is away. local: each gateway enforces limits by its own counts, on top of the last known ones.
        /// deny: requests of keys with limits are answered 503.
        on_outage: OnOutage = "local";
    }
}

section! {
    /// Provider credentials are stored sealed; upstream connections keep away from what an operator names.
    Security {
        /// Seals and opens credentials: 32 bytes as base64, e.g. of `openssl rand -base64 32`.
        /// Empty = the content of `master_key_file`.
        master_key: Secret = "", also "TOLLGATE_MASTER_KEY";
        /// Earlier keys: they only open.
        master_keys_old: Vec<Secret> = "";
        /// Made at the first start, readable by its owner only, when `master_key` is empty. Keep a copy of it.
        master_key_file: PathBuf = "data/master.key";
        /// Networks that no upstream connection goes to, whatever a name resolves to: "10.0.0.0/8", "fd00::/8".
        /// Link-local networks and cloud metadata addresses are refused in any case.
        deny_targets: Vec<Network> = "";
    }
}

section! {
    /// Rules for keys that do not say otherwise.
    Limits {
        /// observe: admit while less than the budget is spent.
        /// reserve: also count what requests in flight are expected to cost.
        /// strict: admit only what cannot overspend.
        budget_mode: BudgetMode = "reserve";
        /// Time zone (IANA name) whose months month quotas are counted in.
        billing_timezone: BillingZone = "UTC", also "BILLING_TIMEZONE";
    }
}

section! {
    /// The local journal that carries every event through a crash.
    Ledger {
        /// Directory, on a local disk, of this process only, or of two while one takes over from the other.
        journal_dir: PathBuf = "data/journal";
        /// Events that wait for the store; when full, new requests are answered 503.
        journal_max_bytes: ByteSize = "1GiB";
        /// Longest time between an event and its being on disk.
        sync_interval: Duration = "50ms";
        /// os: an event survives any death of the process, and of the machine after `sync_interval`.
        /// disk: it is on disk before the last byte of its response leaves.
        durability: Durability = "os";
    }
}

section! {
    /// What is recorded besides the bill.
    Events {
        /// Refusals of one key that become events, per minute. 0 = none.
        refusals_per_key_per_minute: u32 = "60";
        /// Refusals of unknown callers that become events, per minute, all together. 0 = none.
        anonymous_refusals_per_minute: u32 = "60";
        /// Largest request or response that is kept in an event of a key that asks for it.
        log_body_limit: ByteSize = "64KiB";
        /// Days that events are kept, 32 or more; 0 = for ever. What a key has spent in all outlives its events;
        /// lists and reports know only what is kept.
        retention: u32 = "0";
    }
}

section! {
    /// What things cost.
    Pricing {
        /// A model without a price, called with a key that has a budget: refuse it, or allow it at cost 0.
        unpriced: Unpriced = "refuse";
        /// JSON file with prices that go before the built-in ones.
        file: Option<PathBuf> = "";
    }
}

section! {
    /// In place of the provider's public base URL; a provider setting's own goes before it.
    Provider {
        /// Scheme, host, port and fixed prefix. Empty = the public one.
        base_url: Option<BaseUrl> = "";
    }
}

section! {
    /// What the gateway tells about itself.
    Telemetry {
        /// off, error, warn, info, debug or trace.
        log_level: LogLevel = "info";
        /// text or json.
        log_format: LogFormat = "text";
        /// One line per request, at info.
        request_log: bool = "true";
        /// Address of a listener with nothing but open metrics, e.g. 0.0.0.0:2112. Empty = none;
        /// the admin listener has them in any case.
        metrics_listen: Option<SocketAddr> = "";
    }
}

section! {
    /// For tests of the product, never for use.
    Debug {
        /// Honour what only tests need.
        test_hooks: bool = "false";
        /// Seconds that the clock is ahead; only with `test_hooks`.
        test_clock_offset: i64 = "0", also "TOLLGATE_TEST_CLOCK_OFFSET";
        /// Networks that images may be fetched from although they are not public; only with `test_hooks`.
        fetch_networks: Vec<Network> = "";
    }
}

/// Providers that have a section.
const PROVIDERS: &[(&str, &str)] = &[
    ("openai", "providers.openai"),
    ("anthropic", "providers.anthropic"),
    ("azure", "providers.azure"),
    ("deepinfra", "providers.deepinfra"),
    ("vllm", "providers.vllm"),
    ("bedrock", "providers.bedrock"),
    ("ollama", "providers.ollama"),
    ("gemini", "providers.gemini"),
];

/// Foreign variables for one key of a section that several providers share.
const SHARED_ALIASES: &[(&str, &str)] = &[("providers.bedrock.base_url", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME")];

pub(super) fn shared_aliases(key: &str) -> impl Iterator<Item = &'static str> {
    SHARED_ALIASES.iter().filter(move |(name, _)| *name == key).map(|(_, alias)| *alias)
}

/// All sections, in the order of the example file.
pub(super) fn all() -> Vec<Section> {
    let mut all = vec![
        Section { path: "proxy", about: Proxy::ABOUT, keys: Proxy::KEYS },
        Section { path: "admin", about: Admin::ABOUT, keys: Admin::KEYS },
        Section { path: "single", about: Single::ABOUT, keys: Single::KEYS },
        Section { path: "unified", about: Unified::ABOUT, keys: Unified::KEYS },
        Section { path: "routes", about: Routes::ABOUT, keys: Routes::KEYS },
        Section { path: "management", about: Management::ABOUT, keys: Management::KEYS },
        Section { path: "store", about: Store::ABOUT, keys: Store::KEYS },
        Section { path: "counters", about: Counters::ABOUT, keys: Counters::KEYS },
        Section { path: "security", about: Security::ABOUT, keys: Security::KEYS },
        Section { path: "limits", about: Limits::ABOUT, keys: Limits::KEYS },
        Section { path: "ledger", about: Ledger::ABOUT, keys: Ledger::KEYS },
        Section { path: "events", about: Events::ABOUT, keys: Events::KEYS },
        Section { path: "pricing", about: Pricing::ABOUT, keys: Pricing::KEYS },
    ];
    all.extend(PROVIDERS.iter().map(|(_, path)| Section { path, about: Provider::ABOUT, keys: Provider::KEYS }));
    all.push(Section { path: "telemetry", about: Telemetry::ABOUT, keys: Telemetry::KEYS });
    all.push(Section { path: "debug", about: Debug::ABOUT, keys: Debug::KEYS });
    all
}

/// Reads all sections before giving up on any, so that every mistake is found.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<Config> {
    let proxy = Proxy::read("proxy", reader);
    let admin = Admin::read("admin", reader);
    let single = Single::read("single", reader);
    let unified = Unified::read("unified", reader);
    let routes = Routes::read("routes", reader);
    let management = Management::read("management", reader);
    let store = Store::read("store", reader);
    let counters = Counters::read("counters", reader);
    let security = Security::read("security", reader);
    let limits = Limits::read("limits", reader);
    let ledger = Ledger::read("ledger", reader);
    let events = Events::read("events", reader);
    let pricing = Pricing::read("pricing", reader);
    let providers = PROVIDERS.iter().filter_map(|(name, path)| Some((*name, Provider::read(path, reader)?))).collect();
    let telemetry = Telemetry::read("telemetry", reader);
    let debug = Debug::read("debug", reader);
    Some(Config {
        proxy: proxy?,
        admin: admin?,
        single: single?,
        unified: unified?,
        routes: routes?,
        management: management?,
        store: store?,
        counters: counters?,
        security: security?,
        limits: limits?,
        ledger: ledger?,
        events: events?,
        pricing: pricing?,
        providers: Providers(providers),
        telemetry: telemetry?,
        debug: debug?,
        host: BTreeMap::new(),
    })
}
