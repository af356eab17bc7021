use super::*;
use crate::auth::origins::Origins;
use crate::domain::{BudgetMode, Network};
use crate::telemetry::{LogFormat, LogLevel};
use std::time::Duration;

type Variables<'a> = &'a [(&'a str, &'a str)];

/// A working directory with the given files; the environment is passed in.
struct Place(tempfile::TempDir);

impl Place {
    fn new(file: &str, dotenv: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        if !file.is_empty() {
            std::fs::create_dir(directory.path().join("conf")).unwrap();
            std::fs::write(directory.path().join(DEFAULT_FILE), file).unwrap();
        }
        if !dotenv.is_empty() {
            std::fs::write(directory.path().join(DOTENV_FILE), dotenv).unwrap();
        }
        Self(directory)
    }
    fn load(&self, environment: Variables<'_>) -> Result<Loaded, Mistakes> {
        load(&Sources {
            file: None,
            directory: self.0.path().to_path_buf(),
            environment: environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        })
    }
}

fn from_file(file: &str) -> Result<Loaded, Mistakes> {
    Place::new(file, "").load(&[])
}

fn from_environment(environment: Variables<'_>) -> Result<Loaded, Mistakes> {
    Place::new("", "").load(environment)
}

fn lines(result: Result<Loaded, Mistakes>) -> Vec<String> {
    result.expect_err("mistakes were due").iter().map(ToString::to_string).collect()
}

/// The one mistake that was made.
fn only(result: Result<Loaded, Mistakes>) -> String {
    let lines = lines(result);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    lines.into_iter().next().unwrap()
}

const MASTER: (&str, &str) = ("TOLLGATE_MASTER_KEY", KEY);
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

#[test]
fn nothing_at_all_gives_the_defaults() {
    let loaded = from_environment(&[]).unwrap();
    let config = &loaded.config;
    assert_eq!(config.proxy.listen.to_string(), "0.0.0.0:8002");
    assert_eq!(config.admin.listen.to_string(), "127.0.0.1:8001");
    assert_eq!(config.proxy.request_timeout, Duration::from_secs(600));
    assert_eq!(config.proxy.max_request_timeout, Duration::from_secs(3600));
    assert_eq!(config.proxy.body_limit.bytes(), 32 * 1024 * 1024);
    assert_eq!(config.proxy.upload_limit.bytes(), 512 * 1024 * 1024);
    assert_eq!((config.proxy.threads, config.proxy.max_requests), (0, 20_000));
    assert_eq!((config.proxy.cors, config.proxy.remove_user_agent), (true, false));
    assert_eq!((config.proxy.tls_cert.as_ref(), config.telemetry.metrics_listen), (None, None));
    assert_eq!(config.store.path, PathBuf::from("data/tollgate.db"));
    assert_eq!(config.store.refresh_interval, Duration::from_secs(1));
    assert!(config.security.master_key.is_empty() && config.security.master_keys_old.is_empty());
    assert_eq!(config.limits.budget_mode, BudgetMode::Reserve);
    assert_eq!(config.ledger.durability, Durability::Os);
    assert_eq!(config.ledger.sync_interval, Duration::from_millis(50));
    assert_eq!(config.pricing.unpriced, Unpriced::Refuse);
    assert_eq!(config.events.refusals_per_key_per_minute, 60);
    assert_eq!((config.telemetry.log_level, config.telemetry.log_format), (LogLevel::Info, LogFormat::Text));
    assert_eq!(config.providers.base_url("openai"), None);
    assert!(loaded.settings.iter().all(|setting| setting.origin == "default"));
}

#[test]
fn the_file_in_the_repository_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DEFAULT_FILE);
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == example(), "make it anew: cargo run -- check --example > {DEFAULT_FILE}");
}

#[test]
fn the_way_of_an_upgrade_is_beside_the_journal_unless_it_is_said() {
    let beside = from_file("[ledger]\njournal_dir = '/j'").unwrap().config;
    assert_eq!(beside.upgrade_sock().to_str(), Some("/j/upgrade.sock"));
    let said = from_file("[proxy]\nupgrade_sock = 'run/up.sock'").unwrap().config;
    assert_eq!(said.upgrade_sock().to_str(), Some("run/up.sock"));
    let long = only(from_file(&format!("[ledger]\njournal_dir = '/{}'", "j".repeat(95))));
    assert!(long.starts_with("ledger.journal_dir: ") && long.contains("too long for a socket"), "{long}");
}

#[test]
fn the_billing_month_has_a_zone_or_a_clear_mistake() {
    let zone = |environment| Ok::<_, Mistakes>(from_environment(environment)?.config.limits.billing_timezone);
    assert_eq!(zone(&[]).unwrap().name(), "UTC");
    assert_eq!(zone(&[("BILLING_TIMEZONE", " asia/shanghai ")]).unwrap().name(), "Asia/Shanghai");
    let both: Variables<'_> = &[("BILLING_TIMEZONE", "UTC"), ("TOLLGATE_LIMITS_BILLING_TIMEZONE", "America/New_York")];
    assert_eq!(zone(both).unwrap().name(), "America/New_York");
    let found = only(from_environment(&[("BILLING_TIMEZONE", "Mars/Olympus")]));
    assert!(found.starts_with("limits.billing_timezone: ") && found.ends_with("(set by BILLING_TIMEZONE)"), "{found}");
    assert!(found.contains("is not a time zone") && found.contains("Asia/Shanghai"), "{found}");
}

#[test]
fn origins_of_pages_are_all_or_a_list() {
    let cors = |environment| Ok::<_, Mistakes>(from_environment(environment)?.config.management.cors_allow_origins);
    assert_eq!(cors(&[]).unwrap(), Origins::Any);
    let listed = Origins::parse("https://a.example,http://localhost:3000");
    assert_eq!(cors(&[("CORS_ALLOW_ORIGINS", "https://a.example, http://localhost:3000/")]).ok(), listed);
    let found = only(from_environment(&[("CORS_ALLOW_ORIGINS", "a.example")]));
    assert!(found.starts_with("management.cors_allow_origins: ") && found.contains("is neither"), "{found}");
}

#[test]
fn the_example_with_every_key_set_means_the_defaults() {
    let set: String = example()
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(key) if key.starts_with(|c: char| c.is_ascii_lowercase()) => format!("{key}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let (all, defaults) = (from_file(&set).unwrap(), from_file("").unwrap());
    assert_eq!(format!("{:?}", all.config), format!("{:?}", defaults.config));
    for (one, other) in all.settings.iter().zip(&defaults.settings) {
        assert_eq!((&one.key, &one.value), (&other.key, &other.value));
        assert!(one.origin.starts_with("conf/tollgate.toml:"), "{} is not in the example", one.key);
    }
}

#[test]
fn every_key_has_a_variable_of_its_own() {
    let keys: usize = sections::all().iter().map(|section| section.keys.len()).sum();
    // Two aliases have our prefix: TOLLGATE_MASTER_KEY and TOLLGATE_TEST_CLOCK_OFFSET.
    assert_eq!(environment::variables().len(), keys + 2);
    assert_eq!(from_environment(&[]).unwrap().settings.len(), keys);
}

#[test]
fn later_sources_go_before_earlier_ones() {
    // Each step adds one source for the same key.
    let steps: [(&str, &str, Variables<'_>, u64, &str); 6] = [
        ("", "", &[], 600, "default"),
        ("[proxy]\n\nrequest_timeout = '1s'", "", &[], 1, "conf/tollgate.toml:3"),
        ("[proxy]\nrequest_timeout = '1s'", "PROXY_TIMEOUT=2s", &[], 2, "PROXY_TIMEOUT in .env"),
        (
            "[proxy]\nrequest_timeout = '1s'",
            "PROXY_TIMEOUT=2s\nexport TOLLGATE_PROXY_REQUEST_TIMEOUT=\"3s\" # ours",
            &[],
            3,
            "TOLLGATE_PROXY_REQUEST_TIMEOUT in .env",
        ),
        ("", "TOLLGATE_PROXY_REQUEST_TIMEOUT=3s", &[("PROXY_TIMEOUT", "4s")], 4, "PROXY_TIMEOUT"),
        (
            "",
            "TOLLGATE_PROXY_REQUEST_TIMEOUT=3s",
            &[("PROXY_TIMEOUT", "4s"), ("TOLLGATE_PROXY_REQUEST_TIMEOUT", "5s")],
            5,
            "TOLLGATE_PROXY_REQUEST_TIMEOUT",
        ),
    ];
    for (file, dotenv, environment, seconds, origin) in steps {
        let loaded = Place::new(file, dotenv).load(environment).unwrap();
        assert_eq!(loaded.config.proxy.request_timeout, Duration::from_secs(seconds), "{origin}");
        let setting = loaded.settings.iter().find(|s| s.key == "proxy.request_timeout").unwrap();
        assert_eq!(setting.origin, origin);
    }
}

#[test]
fn the_dotenv_file_is_read_but_never_put_into_the_environment() {
    let name = "TOLLGATE_EVENTS_LOG_BODY_LIMIT";
    let loaded = Place::new("", &format!("{name}=1KiB\nUNRELATED=x")).load(&[]).unwrap();
    assert_eq!(loaded.config.events.log_body_limit.bytes(), 1024);
    assert!(std::env::var_os(name).is_none() && std::env::var_os("UNRELATED").is_none());
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let loaded = Place::new("[admin]\npass = 'from-file'", "")
        .load(&[
            ("ADMIN_PASS", ""),
            ("TOLLGATE_ADMIN_PASS", ""),
            ("POSTGRESQL_HOSTS", ""),
            ("TOLLGATE_PROXY_LISTEN", ""),
        ])
        .unwrap();
    assert_eq!(loaded.config.admin.pass.expose(), "from-file");
}

#[test]
fn all_mistakes_of_all_sources_come_at_once() {
    let file = "\
[proxy]
listen = 'here'
tls_cert = 'cert.pem'
body_limit = '32 megs'
[proxi]
cors = true
[limits]
budget_mode = 'rezerve'
[telemetry]
log_levle = 'debug'
limits = = 3
";
    let found = lines(Place::new(file, "no equals sign\nTOLLGATE_PROXY_THREADS=-1").load(&[
        ("TOLLGATE_LEDGER_SYNC_INTERVAL", "0s"),
        ("TOLLGATE_STORE_PATHS", "x"),
        ("ADMIN_PASS", "s3cret"),
        ("TOLLGATE_MASTER_KEY", "c2hvcnQ="),
        ("REDIS_HOSTS", "cache"),
        ("POSTGRESQL_PASSWORD", "s3cret"),
    ]));
    let expected = [
        "conf/tollgate.toml:11: is not valid TOML: ",
        ".env:1: is not of the form NAME=value",
        "proxy.listen: \"here\" is not an address with a port such as \"127.0.0.1:8001\" or \"[::]:8001\" (set by conf/tollgate.toml:2)",
        "proxy.tls_cert: proxy.tls_key is missing (set by conf/tollgate.toml:3)",
        "proxy.body_limit: \"32 megs\" is not a size such as 1048576, \"64KiB\" or \"32MiB\" (set by conf/tollgate.toml:4)",
        "proxi: is not a known section, did you mean proxy? (set by conf/tollgate.toml:5)",
        "limits.budget_mode: \"rezerve\" is not one of observe, reserve, strict (set by conf/tollgate.toml:8)",
        "telemetry.log_levle: is not a known key, did you mean telemetry.log_level? (set by conf/tollgate.toml:10)",
        "proxy.threads: \"-1\" is not a whole number from 0 to ",
        "ledger.sync_interval: must be at least 1ms (set by TOLLGATE_LEDGER_SYNC_INTERVAL)",
        "TOLLGATE_STORE_PATHS: is not a known variable, did you mean TOLLGATE_STORE_PATH?",
        "security.master_key: the value is not 32 bytes in base64 (set by TOLLGATE_MASTER_KEY)",
        "counters.hosts: gateways that share Redis must share a database, too, from which lost counts come back: ",
        "store.password: store.hosts is missing: which server has the database? (set by POSTGRESQL_PASSWORD)",
    ];
    for line in expected {
        assert!(found.iter().any(|f| f.starts_with(line)), "{line}\nis missing in {found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    assert!(found.iter().all(|line| !line.contains('\n') && !line.contains("s3cret") && !line.contains("c2hvcnQ")));
}

#[test]
fn unknown_names_are_refused_with_the_nearest_known_one() {
    for (file, line) in [
        ("[proxy]\nlisten_address = ':8002'", "proxy.listen_address: is not a known key (set by conf/tollgate.toml:2)"),
        (
            "[proxy]\nlog_level = 'info'",
            "proxy.log_level: is not a known key, did you mean telemetry.log_level? (set by conf/tollgate.toml:2)",
        ),
        (
            "[providers.opnai]",
            "providers.opnai: is not a known section, did you mean providers.openai? (set by conf/tollgate.toml:1)",
        ),
        ("proxy = 8002", "proxy: is a section: write [proxy] and its keys below (set by conf/tollgate.toml:1)"),
        (
            "providers = 'x'",
            "providers: is a section: write [providers] and its keys below (set by conf/tollgate.toml:1)",
        ),
        ("[proxy.cors]\non = true", "proxy.cors: the table is not true or false (set by conf/tollgate.toml:1)"),
        ("wholly = 'unlike'", "wholly: is not a known key (set by conf/tollgate.toml:1)"),
    ] {
        assert_eq!(only(from_file(file)), line);
    }
    let found = only(from_environment(&[("TOLLGATE_PROXY_LISTN", "x")]));
    assert_eq!(found, "TOLLGATE_PROXY_LISTN: is not a known variable, did you mean TOLLGATE_PROXY_LISTEN?");
    let found = only(Place::new("", "TOLLGATE_WHATEVER=1").load(&[]));
    assert_eq!(found, "TOLLGATE_WHATEVER in .env: is not a known variable");
}

#[test]
fn variables_that_container_platforms_add_for_a_service_are_no_mistakes() {
    let environment = [
        ("TOLLGATE_SERVICE_HOST", "10.0.0.7"),
        ("TOLLGATE_SERVICE_PORT", "8002"),
        ("TOLLGATE_SERVICE_PORT_PROXY", "8002"),
        ("TOLLGATE_PORT", "tcp://10.0.0.7:8002"),
        ("TOLLGATE_PORT_8002_TCP", "tcp://10.0.0.7:8002"),
        ("TOLLGATE_ADMIN_PORT_8001_TCP_ADDR", "10.0.0.7"),
        ("REDIS_PORT", "tcp://10.0.0.8:6379"),
    ];
    assert!(from_environment(&environment).is_ok());
    // What a person writes still is one.
    assert_eq!(lines(from_environment(&[("TOLLGATE_PORT", "8002"), ("TOLLGATE_PORT_X", "1")])).len(), 2);
}

#[test]
fn secrets_are_masked_wherever_a_configuration_is_shown() {
    let old = KEY.replace('A', "B");
    let loaded =
        Place::new(&format!("[security]\nmaster_keys_old = ['{old}', '{KEY}']"), "ADMIN_API_KEY=second-secret")
            .load(&[("ADMIN_PASS", "first-secret"), ("TOLLGATE_MASTER_KEY", KEY)])
            .unwrap();
    assert_eq!(loaded.config.security.master_keys_old.len(), 2);
    assert_eq!(loaded.config.security.master_key.expose(), KEY);
    let shown = format!("{loaded:?}");
    for secret in [KEY, &old, "first-secret", "second-secret"] {
        assert!(!shown.contains(secret), "{secret} is shown");
    }
    let value = |key: &str| loaded.settings.iter().find(|s| s.key == key).unwrap().value.clone();
    assert_eq!(value("admin.pass"), "\"********\"");
    assert_eq!(value("security.master_keys_old"), "[\"********\"]");
    assert_eq!(value("store.url"), "\"\"", "an empty secret is shown as such");
    let environment: Environment = [("ADMIN_PASS".to_owned(), "first-secret".to_owned())].into_iter().collect();
    assert_eq!(format!("{environment:?}"), "{\"ADMIN_PASS\"}");
}

#[test]
fn a_syntax_error_does_not_repeat_the_line() {
    let found = lines(from_file("[admin]\npass = hunter2-hunter2\n"));
    assert!(!found.is_empty() && found.iter().all(|line| !line.contains("hunter2")), "{found:?}");
    let found = lines(Place::new("", "A=1\nhunter2 hunter2\n").load(&[]));
    assert_eq!(found, [".env:2: is not of the form NAME=value"]);
}

#[test]
fn the_admin_listener_opens_only_behind_a_secret() {
    let listen = |environment: Variables<'_>| from_environment(environment).map(|l| l.config.admin.listen.to_string());
    assert_eq!(listen(&[]).unwrap(), "127.0.0.1:8001");
    assert_eq!(listen(&[("ADMIN_PASS", "x")]).unwrap(), "0.0.0.0:8001");
    assert_eq!(listen(&[("ADMIN_API_KEY", "x")]).unwrap(), "0.0.0.0:8001");
    assert_eq!(listen(&[("ADMIN_PASS", "x"), ("TOLLGATE_ADMIN_LISTEN", "127.0.0.1:0")]).unwrap(), "127.0.0.1:0");
    assert_eq!(listen(&[("TOLLGATE_ADMIN_LISTEN", "[::1]:9000")]).unwrap(), "[::1]:9000");
    assert_eq!(
        only(from_environment(&[("TOLLGATE_ADMIN_LISTEN", "0.0.0.0:8001")])),
        "admin.listen: 0.0.0.0:8001 can be reached from other machines, but neither admin.pass nor admin.api_key is set \
         (set by TOLLGATE_ADMIN_LISTEN)"
    );
    let warned = |environment: Variables<'_>| from_environment(environment).unwrap().warnings.len();
    assert_eq!((warned(&[]), warned(&[("ADMIN_PASS", "x")])), (1, 0));
}

#[test]
fn listeners_must_not_share_an_address() {
    let found = only(from_environment(&[("TOLLGATE_PROXY_LISTEN", "0.0.0.0:8001")]));
    assert_eq!(
        found,
        "proxy.listen: admin.listen and proxy.listen are both at port 8001 (set by TOLLGATE_PROXY_LISTEN)"
    );
    let fine: [Variables<'_>; 2] = [
        &[("TOLLGATE_PROXY_LISTEN", "127.0.0.1:0"), ("TOLLGATE_ADMIN_LISTEN", "127.0.0.1:0")],
        &[("TOLLGATE_PROXY_LISTEN", "127.0.0.2:8001")],
    ];
    for environment in fine {
        assert!(from_environment(environment).is_ok(), "{environment:?}");
    }
}

#[test]
fn base_urls_are_checked_and_never_repeated_when_wrong() {
    let load = |url: &str| from_environment(&[("TOLLGATE_PROVIDERS_OPENAI_BASE_URL", url)]);
    for (url, kept) in [
        ("http://127.0.0.1:9000/", "http://127.0.0.1:9000"),
        ("https://api.eu.example.com/v1", "https://api.eu.example.com/v1"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ] {
        assert_eq!(load(url).unwrap().config.providers.base_url("openai").unwrap().as_str(), kept);
    }
    for (url, fault) in [
        ("ftp://host", "does not begin with http:// or https://"),
        ("host:80", "does not begin with http:// or https://"),
        ("/path", "is not a URL"),
        ("https://user:hunter2@host", "has credentials in it"),
        ("https://host/?key=hunter2", "has a query or fragment"),
        ("https://host/#hunter2", "has a query or fragment"),
        ("http://169.254.169.254/latest", "is a link-local or cloud metadata address"),
        ("http://[fe80::1]/", "is a link-local or cloud metadata address"),
        ("http://[::ffff:169.254.169.254]/", "is a link-local or cloud metadata address"),
        ("http://metadata.google.internal./", "is a link-local or cloud metadata address"),
    ] {
        let found = only(load(url));
        assert!(found.starts_with(&format!("providers.openai.base_url: the value {fault}")), "{url}: {found}");
        assert!(!found.contains("hunter2"), "{found}");
    }
    let loaded = from_environment(&[("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "http://localhost:1")]).unwrap();
    assert_eq!(loaded.config.providers.base_url("bedrock").unwrap().as_str(), "http://localhost:1");
    assert_eq!(loaded.config.providers.base_url("azure"), None);
}

#[test]
fn file_and_environment_are_read_alike() {
    let file = "\
[proxy]
max_requests = 7
upstream_keepalive = '8'
body_limit = 1024
upload_limit = '1 GB'
cors = 'off'
remove_user_agent = true
drain_timeout = '0s'
";
    let proxy = from_file(file).unwrap().config.proxy;
    assert_eq!((proxy.max_requests, proxy.upstream_keepalive), (7, 8));
    assert_eq!((proxy.body_limit.bytes(), proxy.upload_limit.bytes()), (1024, 1_000_000_000));
    assert_eq!((proxy.cors, proxy.remove_user_agent, proxy.drain_timeout), (false, true, Duration::ZERO));
    let proxy = from_environment(&[("REMOVE_USER_AGENT", "TRUE"), ("TOLLGATE_PROXY_BODY_LIMIT", "2KiB")]).unwrap();
    assert!(proxy.config.proxy.remove_user_agent);
    assert_eq!(proxy.config.proxy.body_limit.bytes(), 2048);
    let keys = format!("{KEY}, {KEY}");
    let loaded = from_environment(&[("TOLLGATE_SECURITY_MASTER_KEYS_OLD", keys.as_str())]).unwrap();
    assert_eq!(loaded.config.security.master_keys_old.len(), 2);
}

#[test]
fn denied_networks_come_as_a_list_or_with_commas_and_are_shown() {
    let networks = ["10.0.0.0/8", "fd00::/8"].map(|text| Network::parse(text).unwrap());
    for loaded in [
        from_file("[security]\ndeny_targets = ['10.0.0.0/8', 'fd00::/8']"),
        from_environment(&[("TOLLGATE_SECURITY_DENY_TARGETS", " 10.0.0.0/8,fd00::/8")]),
    ] {
        let loaded = loaded.unwrap();
        assert_eq!(loaded.config.security.deny_targets, networks);
        let shown = loaded.settings.iter().find(|s| s.key == "security.deny_targets").unwrap();
        assert_eq!(shown.value, "[\"10.0.0.0/8\", \"fd00::/8\"]");
    }
    assert_eq!(from_file("").unwrap().config.security.deny_targets, []);
}

#[test]
fn values_of_the_wrong_kind_are_named() {
    for (file, line) in [
        ("[proxy]\ncors = 3", "proxy.cors: 3 is not true or false"),
        ("[proxy]\nlisten = ['a']", "proxy.listen: the list is not an address"),
        ("[proxy]\nidle_timeout = 30", "proxy.idle_timeout: 30 is not a duration"),
        ("[proxy]\nbody_limit = -1", "proxy.body_limit: -1 is not a size"),
        ("[proxy]\nbody_limit = '99999999TiB'", "proxy.body_limit: \"99999999TiB\" is not a size"),
        ("[proxy]\nthreads = 1.5", "proxy.threads: the float is not a whole number"),
        ("[security]\nmaster_keys_old = [1]", "security.master_keys_old: the value is not a list of texts"),
        ("[security]\ndeny_targets = ['10.0.0.1/8']", "security.deny_targets: the list is not a list of networks"),
        ("[admin]\npass = 12345", "admin.pass: the value is not text"),
        ("[telemetry]\nlog_level = true", "telemetry.log_level: true is not one of off, error,"),
    ] {
        let found = only(from_file(file));
        assert!(found.starts_with(line), "{found}");
    }
}

#[test]
fn rules_among_keys_hold() {
    let missing = "/nonexistent/file.pem";
    for (environment, line) in [
        (
            &[("TOLLGATE_PROXY_MAX_REQUEST_TIMEOUT", "10s")][..],
            "proxy.max_request_timeout: proxy.request_timeout is longer",
        ),
        (&[("TOLLGATE_PROXY_BODY_MEMORY", "1MiB")], "proxy.body_memory: proxy.body_limit does not fit"),
        (&[("TOLLGATE_PROXY_CONNECT_TIMEOUT", "0")], "proxy.connect_timeout: must be at least 1ms"),
        (&[("TOLLGATE_ROUTES_BREAKER_PAUSE", "0")], "routes.breaker_pause: must be at least 1ms"),
        (&[("TOLLGATE_ROUTES_BREAKER_PAUSE", "6m")], "routes.breaker_pause: routes.breaker_pause is longer"),
        (&[("TOLLGATE_PROXY_MAX_REQUESTS", "0")], "proxy.max_requests: must not be 0"),
        (&[("TOLLGATE_EVENTS_RETENTION", "31")], "events.retention: must be 0 or at least 32 days"),
        (&[("TOLLGATE_EVENTS_RETENTION", "1")], "events.retention: must be 0 or at least 32 days"),
        (&[("TOLLGATE_LEDGER_JOURNAL_MAX_BYTES", "1KiB")], "ledger.journal_max_bytes: must be at least 1MiB"),
        (&[("TOLLGATE_ADMIN_TLS_KEY", missing)], "admin.tls_key: admin.tls_cert is missing"),
        (&[("TOLLGATE_PRICING_FILE", missing)], "pricing.file: /nonexistent/file.pem cannot be read: "),
        (&[("TOLLGATE_PRICING_FILE", "/")], "pricing.file: / is a directory"),
        (&[("TOLLGATE_COUNTERS_URL", "redis://:hunter2@h")], "counters.url: gateways that share Redis must share"),
        (&[("TOLLGATE_COUNTERS_URL", "https://:hunter2@h")], "counters.url: does not begin with redis://"),
        (&[("REDIS_HOSTS", "a:b")], "counters.hosts: a host is neither a name nor an address (set by REDIS_HOSTS)"),
        (&[("REDIS_PASSWORD", "hunter2")], "counters.password: counters.hosts is missing"),
        (&[("REDIS_USERNAME", "u")], "counters.user: counters.hosts is missing"),
        (&[("REDIS_READ_TIME_OUT", "0")], "counters.timeout: must be at least 1ms (set by REDIS_READ_TIME_OUT)"),
        (&[("TOLLGATE_COUNTERS_PREFIX", "{x}")], "counters.prefix: is not 1 to 64 letters"),
        (&[("TOLLGATE_COUNTERS_TLS_CA", missing)], "counters.tls_ca: /nonexistent/file.pem cannot be read"),
        (&[("TOLLGATE_COUNTERS_ON_OUTAGE", "allow")], "counters.on_outage: \"allow\" is not one of local, deny"),
        (&[("TOLLGATE_STORE_URL", "postgres://u:hunter2@h/d")], "security.master_key: gateways that share a database"),
        (&[("TOLLGATE_STORE_URL", "mysql://u:hunter2@h/d"), MASTER], "store.url: does not begin with postgres://"),
        (&[("TOLLGATE_STORE_URL", "postgres://u:hunter2@h:x/d"), MASTER], "store.url: is not a URL such as"),
        (
            &[("TOLLGATE_STORE_URL", "postgres://u:hunter2@h/d?target_session_attrs=read-only"), MASTER],
            "store.url: target_session_attrs must be read-write",
        ),
        (
            &[("TOLLGATE_STORE_URL", "postgres://u:hunter2@h/d"), ("POSTGRESQL_HOSTS", "db"), MASTER],
            "store.hosts: store.url says where the database is",
        ),
        (&[("POSTGRESQL_HOSTS", "db:port"), MASTER], "store.hosts: a host is neither a name nor an address"),
        (&[("PGSQL_HOST", "db"), ("PGSQL_MAX", "4"), MASTER], "store.max_connections: must be at least 5"),
        (
            &[("PGSQL_HOST", "db"), ("POSTGRESQL_READ_TIME_OUT", "0"), MASTER],
            "store.read_timeout: must be at least 1ms",
        ),
        (
            &[("PGSQL_HOST", "db"), ("POSTGRESQL_SSL_MODE", "verify"), MASTER],
            "store.ssl_mode: \"verify\" is not one of",
        ),
        (&[("PGSQL_USER", "u")], "store.user: store.hosts is missing"),
        (
            &[("IN_MEMORY_DB_UPDATE_INTERVAL", "1us")],
            "store.refresh_interval: must be at least 1ms (set by IN_MEMORY_DB",
        ),
    ] {
        let found = only(from_environment(environment));
        assert!(found.starts_with(line) && !found.contains("hunter2"), "{found}");
    }
}

#[test]
fn a_key_that_cannot_be_read_is_not_blamed_twice() {
    let found = only(from_environment(&[
        ("TOLLGATE_PROXY_REQUEST_TIMEOUT", "soon"),
        ("TOLLGATE_PROXY_MAX_REQUEST_TIMEOUT", "10s"),
    ]));
    assert!(found.starts_with("proxy.request_timeout: \"soon\" is not a duration"), "{found}");
}

#[test]
fn the_clock_is_shifted_for_tests_only() {
    let offset = |environment: Variables<'_>| {
        let loaded = from_environment(environment).unwrap();
        (loaded.config.debug.test_clock_offset, loaded.warnings.iter().any(|w| w.contains("test_clock_offset")))
    };
    let shift = ("TOLLGATE_TEST_CLOCK_OFFSET", "-86400");
    assert_eq!(offset(&[shift, ("TOLLGATE_DEBUG_TEST_HOOKS", "true")]), (-86_400, false));
    assert_eq!(offset(&[shift]), (0, true));
}

#[test]
fn variables_without_effect_are_told() {
    let loaded = Place::new("", "AUDIENCE=x").load(&[("STATS_PROVIDER", "datadog"), ("ADMIN_PASS", "x")]).unwrap();
    assert_eq!(loaded.warnings.len(), 2, "{:?}", loaded.warnings);
    assert!(loaded.warnings.iter().any(|w| w.starts_with("STATS_PROVIDER has no effect: ")));
    assert!(loaded.warnings.iter().any(|w| w.starts_with("AUDIENCE in .env has no effect: ")));
    let loaded = Place::new("", "").load(&[("POSTGRESQL_SSL_ENABLED", "true"), ("REDIS_TLS", "1")]).unwrap();
    assert!(loaded.warnings.iter().any(|w| w.contains("POSTGRESQL_SSL_ENABLED") && w.contains("POSTGRESQL_SSL_MODE")));
    assert!(loaded.warnings.iter().any(|w| w.contains("REDIS_TLS") && w.contains("TOLLGATE_COUNTERS_TLS")));
}

#[test]
fn a_variable_that_is_not_text_is_named_by_its_key() {
    use std::os::unix::ffi::OsStringExt;
    let broken = std::ffi::OsString::from_vec(vec![0xff, 0xfe]);
    let environment = Environment::of([("ADMIN_PASS".into(), broken.clone()), ("OTHER".into(), broken)]);
    let directory = tempfile::tempdir().unwrap();
    let found = only(load(&Sources { file: None, directory: directory.path().to_path_buf(), environment }));
    assert_eq!(found, "admin.pass: the value is not UTF-8 (set by ADMIN_PASS)");
}

#[test]
fn a_directory_in_place_of_the_file_is_a_mistake() {
    let place = Place::new("", "");
    std::fs::create_dir_all(place.0.path().join(DEFAULT_FILE)).unwrap();
    assert!(only(place.load(&[])).starts_with("conf/tollgate.toml: cannot be read: "));
}

#[test]
fn variables_of_the_originals_name_the_database() {
    use crate::store::postgres::TlsMode;
    for variables in [
        &[
            ("POSTGRESQL_HOSTS", "one, two:6000"),
            ("POSTGRESQL_PORT", "5433"),
            ("POSTGRESQL_DB_NAME", "bricks"),
            ("POSTGRESQL_USERNAME", "u"),
            ("POSTGRESQL_PASSWORD", "s3cret"),
            ("POSTGRESQL_SSL_MODE", "verify-full"),
            ("POSTGRESQL_READ_TIME_OUT", "10m"),
            ("POSTGRESQL_WRITE_TIME_OUT", "5s"),
        ][..],
        &[
            ("PGSQL_HOST", "one,two:6000"),
            ("PGSQL_PORT", "5433"),
            ("PGSQL_DATABASE", "bricks"),
            ("PGSQL_USER", "u"),
            ("PGSQL_PASSWORD", "s3cret"),
            ("PGSQL_MAX", "80"),
            ("PGSQL_DEBUG_MODE", "ok"),
            ("TOLLGATE_STORE_SSL_MODE", "verify-full"),
        ],
    ] {
        let loaded = from_environment(&[variables, &[MASTER]].concat()).unwrap();
        let settings = loaded.config.store.postgres().unwrap().unwrap();
        assert_eq!((settings.hosts().as_str(), settings.tls), ("one:5433, two:6000", TlsMode::VerifyFull));
        assert!(!format!("{settings:?} {:?}", loaded.config).contains("s3cret"));
        assert!(!loaded.settings.iter().any(|setting| setting.value.contains("s3cret")));
        let debug = loaded.warnings.iter().any(|warning| warning.starts_with("PGSQL_DEBUG_MODE has no effect"));
        assert_eq!(debug, variables[0].0 == "PGSQL_HOST");
    }
}

#[test]
fn a_url_says_all_that_libpq_takes() {
    let url = "postgres://u:p%40ss@one:5433,two/bricks?sslmode=require&connect_timeout=3&sslrootcert=%2Ftmp%2Froot.pem";
    let loaded = from_environment(&[("TOLLGATE_STORE_URL", url), MASTER]).unwrap();
    let settings = loaded.config.store.postgres().unwrap().unwrap();
    assert_eq!(settings.connect_timeout, Duration::from_secs(3));
    assert_eq!(settings.root_certificates.as_deref(), Some(Path::new("/tmp/root.pem")));
    assert_eq!(settings.max_connections, 16);
}

#[test]
fn without_a_database_there_is_none_and_its_master_key_may_be_a_file() {
    assert!(from_environment(&[]).unwrap().config.store.postgres().unwrap().is_none());
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let variables = [("PGSQL_HOST", "db"), ("TOLLGATE_SECURITY_MASTER_KEY_FILE", path)];
    assert!(from_environment(&variables).is_ok());
    let found = only(from_environment(&[("PGSQL_HOST", "db"), ("TOLLGATE_SECURITY_MASTER_KEY_FILE", "/nonexistent")]));
    assert!(found.contains("openssl rand -base64 32"), "{found}");
}
