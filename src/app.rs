//! Builds everything once and joins ports to adapters; the only file that knows all concrete types.

mod check;
mod counting;
mod engine;
mod import;
mod newcomers;
mod patience;
mod ready;
mod succession;
mod waiting;

pub use check::{Found, check, in_one_line};
pub use import::{ImportWish, import};

use crate::admin::{self, AdminState};
use crate::auth::shared::SharedSecrets;
use crate::cache::CacheLimits;
use crate::clock::SystemClock;
use crate::config::{Config, Durability, Unpriced, UnsupportedParams};
use crate::counters::MemoryCounters;
use crate::credentials::HostCredentials;
use crate::domain::time::Clock;
use crate::domain::{InstanceId, Key, KeyId, Role, Setting, UnixMillis, Window};
use crate::gateway::{self, FetchRules, Gateway, GatewaySettings, KeyExpiry, Ports, RouteRules};
use crate::journal::{DrainSettings, Drainer, FileJournal, Former, JournalSettings, Standing};
use crate::limits::Counters as _;
use crate::metering::Pricing;
use crate::metering::count::Encoding;
use crate::providers;
use crate::routing::{Health, HealthRules};
use crate::server::{self, Faces, Predecessor, ServerSettings};
use crate::snapshot::Snapshot;
use crate::store::loader::Loader;
use crate::store::postgres;
use crate::store::retention;
use crate::store::seal::{MasterKey, Sealer};
use crate::store::sqlite::SqliteStore;
use crate::store::{EventStore, KeyStore, Peers, Point, Store, StoreError};
use crate::telemetry::log::{self, LogSettings};
use crate::telemetry::{LogLevel, Metrics, RequestLog};
use anyhow::{Context, anyhow};
use async_trait::async_trait;
use counting::{Answers, Counting};
use engine::Engine;
use newcomers::Newcomers;
use parking_lot::Mutex;
use patience::Patience;
use pingora_core::connectors::ConnectorOptions;
use ready::Ready;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use succession::{Before, Books, Last};
use tokio::runtime::{Builder, Runtime};

/// How long a start may get no further with what a former process left, while the store is there.
const CATCH_UP: Duration = Duration::from_secs(600);
/// How often counters forget what is over.
const SWEEP: Duration = Duration::from_secs(60);

/// Runs the gateway until it is told to stop. `upgrade`: takes over from the process that runs, if one does.
pub fn serve(config: &Config, upgrade: bool) -> anyhow::Result<()> {
    let log_guard = log::init(LogSettings { level: config.telemetry.log_level, format: config.telemetry.log_format })?;
    // Hosts everything that outlives a request: store, drain, refresh. Lives as long as the process.
    let runtime: &'static Runtime = Box::leak(Box::new(
        Builder::new_multi_thread().worker_threads(2).thread_name("background").enable_all().build()?,
    ));
    let clock: Arc<dyn Clock> = Arc::new(clock_of(config));
    let (journal, former) = open_journal(config, upgrade)?;
    let Some((engine, interruptible, mut patience)) = Engine::open(config, runtime, journal.directory())? else {
        tracing::info!("stopped before there was a store");
        return Ok(());
    };
    let store = engine.store.clone();
    make_parent(&config.upgrade_sock()).context("proxy.upgrade_sock")?;
    let metrics = Arc::new(Metrics::new()?);
    let pricing = Arc::new(open_pricing(config)?);

    let events: Arc<dyn EventStore> = store.clone();
    let drainer = runtime.block_on(async { Drainer::start(journal.clone(), events, DrainSettings::default()) });
    let recovery = journal.recovery();
    if recovery.closed + recovery.aborted > 0 {
        tracing::info!(closed = recovery.closed, aborted = recovery.aborted, "booking what a former process left");
    }
    let caught_up = patience.until_done(&*store, || journal.stats().pending, drainer.caught_up(Duration::MAX));
    if runtime.block_on(caught_up).is_none() {
        return Err(anyhow!("ledger.journal_dir: the store does not take the events that a former process left"));
    }
    let keys_left = recovery.keys.clone();
    let (former, left) = runtime.block_on(book_if_ended(former, &engine, &mut patience))?;
    let first = admin::first_models(clock.now());
    let seeded = patience.until_answered(async || store.seed_models(&first).await);
    runtime.block_on(seeded).context("the store: the first models cannot be stored")?;
    let memory = Arc::new(MemoryCounters::new());
    let loader = Arc::new(Loader::new(store.clone()));
    let loaded = patience.until_answered(async || loader.refresh().await);
    runtime.block_on(loaded).context("the store: the configuration cannot be read")?;
    // Also with a former process, which seeds again: what cannot work must fail before that one leaves.
    let seeded = patience.until_answered(async || seed(&memory, &*store, &loader, clock.now()).await);
    runtime.block_on(seeded).context("the store: the ledger cannot be read")?;
    let counting = runtime.block_on(count(config, &engine, memory, &mut patience))?;
    counting.recovered(&keys_left, clock.now());
    let first_start = loader.current().keys() == 0;
    warn_of_boot_key(config, &loader.current());
    tracing::info!(keys = loader.current().keys(), prices = pricing.generated_at(), "loaded");

    // No request waits for a tokenizer to unpack its table.
    for encoding in [Encoding::O200k, Encoding::Cl100k] {
        runtime.spawn_blocking(move || encoding.warm());
    }
    let (expiry, expired) = KeyExpiry::channel();
    let keys: Arc<dyn KeyStore> = store.clone();
    runtime.spawn(gateway::expire_keys(expired, keys, loader.clone(), clock.clone()));
    let host = Arc::new(HostCredentials::new(config.host.clone(), clock.clone()));
    let wanted = Wanted {
        loader: loader.clone(),
        host: host.clone(),
        peers: engine.peers(),
        counting: counting.clone(),
        shown: Arc::default(),
    };
    let newcomers = Newcomers::new(store.clone(), counting.memory.clone(), clock.clone(), loader.current());
    runtime.block_on(wanted.look());
    runtime.spawn(poll(loader.clone(), (wanted.clone(), newcomers), config.store.refresh_interval, metrics.clone()));
    let limits = CacheLimits { memory: config.routes.cache_memory.bytes(), entry: config.routes.cache_entry.bytes() };
    let answers = match config.counters.redis() {
        Ok(Some(settings)) if !counting.is_alone() => runtime.block_on(async { Answers::shared(settings, limits) }),
        _ => Answers::here(limits),
    };
    runtime.spawn(sweep(counting.clone(), answers.clone(), clock.clone()));
    if config.events.retention > 0 {
        let events: Arc<dyn EventStore> = store.clone();
        runtime.spawn(retention::keep_for(config.events.retention, events, clock.clone()));
    }

    let readiness = Arc::new(Ready {
        store: store.clone(),
        journal: journal.clone(),
        counting: counting.clone(),
        peers: engine.peers(),
    });
    runtime.spawn(ready::watch(readiness.clone(), metrics.clone()));
    let request_log = open_request_log(config)?;
    let ports = Ports {
        snapshot: loader.cell(),
        counters: counting.port(),
        journal: journal.clone(),
        pricing: pricing.clone(),
        clock: clock.clone(),
        metrics: metrics.clone(),
        expiry,
        cache: answers.port(),
        objects: store.clone(),
        ambient: host,
        readiness: readiness.clone(),
        request_log: request_log.clone(),
    };
    let server_settings = server_settings(config);
    let conf = server::server_conf(&server_settings);
    let proxy = Gateway::new(ports, gateway_settings(config), ConnectorOptions::from_server_conf(&conf));
    let access = admin::Access::new(admin_secrets(config));
    let routes = (proxy.health(), answers);
    let (dropped_lines, requests) = (log_guard.dropped_lines(), request_log.clone());
    let dropped_lines = move || dropped_lines() + requests.as_ref().map_or(0, |log| log.dropped_lines());
    let scrape: Arc<dyn Fn() -> String + Send + Sync> =
        Arc::new(scrape(metrics, journal.clone(), counting.clone(), loader.clone(), routes, Box::new(dropped_lines)));
    let picture = loader.cell();
    let books = Books {
        engine: engine.clone(),
        loader,
        counting: counting.clone(),
        clock: clock.clone(),
        budget_mode: config.limits.budget_mode,
        zone: config.limits.billing_timezone.clone(),
        longest_hold: config.proxy.max_request_timeout + Duration::from_secs(60),
    };
    if let Some(left) = left {
        runtime.block_on(books.is_booked(&left.directory, left.instance, &left.keys));
    }
    let before = former.map(|former| Before { former: Mutex::new(Some(former)), books, runtime });
    let state = AdminState {
        store,
        snapshot: picture,
        refresh: Arc::new(RefreshNow(wanted)),
        counters: counting.port(),
        clock,
        zone: config.limits.billing_timezone.clone(),
        schemas: AdminState::built_in_schemas,
        access: Arc::new(access),
        cors: Arc::new(config.management.cors_allow_origins.clone()),
        model_providers: providers::backend::names,
        check_model: providers::backend::check,
        pricing,
        events_limit: config.admin.events_limit,
        metrics: scrape.clone(),
        readiness,
    };
    let (router, management) = (admin::router(state.clone()), admin::management(state));
    let open_metrics = axum::Router::new().route("/metrics", axum::routing::get(move || async move { scrape() }));
    if first_start {
        next_steps(config);
    }
    let last = Last {
        engine,
        drainer: Mutex::new(Some(drainer)),
        journal,
        counting,
        request_log,
        log: Mutex::new(Some(log_guard)),
        told: Mutex::default(),
    };
    let faces = Faces { gateway: proxy, admin: router, management, open_metrics };
    let before = before.as_ref().map(|before| before as &dyn Predecessor);
    interruptible.no_more();
    runtime.block_on(patience.end());
    Ok(server::run(&server_settings, conf, faces, Arc::new(last), before)?)
}

/// What somebody who has just started it for the first time does now.
fn next_steps(config: &Config) {
    let admin = config.admin.listen;
    tracing::info!("there is no key yet. 1. Store a provider's credential: PUT http://{admin}/api/provider-settings");
    tracing::info!("2. Make a key with the id it returns: PUT http://{admin}/api/key-management/keys");
    let proxy = config.proxy.listen;
    tracing::info!("3. Point an SDK's base URL at http://{proxy}/api/providers/openai/v1. README.md has the commands");
}

/// The boot key is there to make the first admin; afterwards it is one more secret that can get lost.
fn warn_of_boot_key(config: &Config, picture: &Snapshot) {
    let admin = |key: &Arc<Key>| key.role() == Role::Admin && !key.revoked;
    if !config.admin.api_key.is_empty() && picture.iter_keys().any(admin) {
        tracing::warn!("admin.api_key is still set although there are keys with the role admin: consider to unset it");
    }
}

/// Brings the store's schema up to date; returns its version.
pub fn migrate(config: &Config) -> anyhow::Result<i64> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    if let Some(settings) = config.store.postgres().context("store.url")? {
        return Ok(runtime.block_on(postgres::migrate(settings))?);
    }
    make_parent(&config.store.path).context("store.path")?;
    let store = SqliteStore::open(&config.store.path, open_sealer(config)?).context("store.path")?;
    Ok(runtime.block_on(store.schema_version())?)
}

fn clock_of(config: &Config) -> SystemClock {
    let hooks = config.debug.test_hooks;
    SystemClock::with_offset(if hooks { config.debug.test_clock_offset } else { 0 })
}

fn open_sealer(config: &Config) -> anyhow::Result<Sealer> {
    let security = &config.security;
    let mut keys = Vec::new();
    if security.master_key.is_empty() {
        make_parent(&security.master_key_file).context("security.master_key_file")?;
        keys.push(MasterKey::load_or_create(&security.master_key_file).context("security.master_key_file")?);
    } else {
        keys.push(MasterKey::parse_base64(security.master_key.expose()).context("security.master_key")?);
    }
    for old in &security.master_keys_old {
        keys.push(MasterKey::parse_base64(old.expose()).context("security.master_keys_old")?);
    }
    Ok(Sealer::new(keys)?)
}

fn make_parent(path: &Path) -> std::io::Result<()> {
    match path.parent().filter(|p| !p.as_os_str().is_empty()) {
        Some(parent) => std::fs::create_dir_all(parent),
        None => Ok(()),
    }
}

/// This process's journal, and the former process when something of it is there.
fn open_journal(config: &Config, upgrade: bool) -> anyhow::Result<(Arc<FileJournal>, Option<Former>)> {
    let settings = JournalSettings {
        max_bytes: config.ledger.journal_max_bytes.bytes(),
        sync_interval: config.ledger.sync_interval,
        ..JournalSettings::new(&config.ledger.journal_dir)
    };
    let (journal, former) =
        FileJournal::open_beside(&settings, upgrade).context("ledger.journal_dir: the journal cannot be opened")?;
    Ok((Arc::new(journal), former))
}

/// What a process left that has ended, and that is in the store now.
struct Left {
    directory: PathBuf,
    instance: InstanceId,
    keys: Vec<KeyId>,
}

/// With all gateways over one Redis, where there is one.
async fn count(
    config: &Config,
    engine: &Engine,
    memory: Arc<MemoryCounters>,
    patience: &mut Patience<'_>,
) -> anyhow::Result<Counting> {
    let redis = config.counters.redis().map_err(|error| anyhow!("counters.url: {error}"))?;
    let Some((ledger, instance)) = engine.shared_ledger() else { return Ok(Counting::alone(memory)) };
    let Some(settings) = redis else {
        tracing::warn!("each gateway counts limits by itself: set counters.url to share the counts");
        return Ok(Counting::alone(memory));
    };
    let on_outage = config.counters.on_outage;
    let together = async || {
        let counting = Counting::together(memory.clone(), settings.clone(), on_outage, ledger.clone(), instance);
        // It fails for no other reason than the ledger.
        counting.await.map_err(|error| StoreError::Engine(error.into()))
    };
    patience.until_answered(together).await.context("store.url")
}

/// Books what a process left that has ended; one that still runs comes back.
async fn book_if_ended(
    former: Option<Former>,
    engine: &Engine,
    patience: &mut Patience<'_>,
) -> anyhow::Result<(Option<Former>, Option<Left>)> {
    let Some(former) = former else { return Ok((None, None)) };
    if former.standing().context("ledger.journal_dir")? != Standing::Ended {
        return Ok((Some(former), None));
    }
    let directory = former.directory().to_owned();
    let theirs = patience.until_answered(async || engine.events_of(&directory).await).await;
    let (events, instance) = theirs.context("the store: a former process is not known")?;
    let booked = patience.until_done(&*engine.store, || 0, former.book(events, Duration::MAX)).await;
    match booked.transpose().context("ledger.journal_dir")?.flatten() {
        Some(recovery) => Ok((None, Some(Left { directory, instance, keys: recovery.keys }))),
        None => Err(anyhow!("ledger.journal_dir: the store does not take the events that a former process left")),
    }
}

fn open_request_log(config: &Config) -> anyhow::Result<Option<Arc<RequestLog>>> {
    let telemetry = &config.telemetry;
    let wanted =
        telemetry.request_log && !matches!(telemetry.log_level, LogLevel::Off | LogLevel::Error | LogLevel::Warn);
    let open = || RequestLog::new(telemetry.log_format, std::io::stdout()).map(Arc::new);
    Ok(wanted.then(open).transpose()?)
}

fn open_pricing(config: &Config) -> anyhow::Result<Pricing> {
    let shipped = Pricing::shipped();
    let Some(path) = &config.pricing.file else { return Ok(shipped) };
    let text = std::fs::read_to_string(path).context("pricing.file")?;
    shipped.with_overrides(&text).context("pricing.file")
}

/// Spend, accounts and rates as the ledger knows them, so that a restart forgives nothing.
async fn seed(
    counters: &MemoryCounters,
    store: &dyn Store,
    loader: &Loader,
    now: UnixMillis,
) -> Result<(), StoreError> {
    for spend in store.spends().await? {
        counters.seed_total(spend.key_id, spend.total);
    }
    for (key, account) in store.accounts().await? {
        counters.seed_account(key, account);
    }
    let keys: std::collections::HashMap<_, _> = loader.current().iter_keys().map(|key| (key.id, key.clone())).collect();
    for window in [Window::Second, Window::Minute, Window::Hour, Window::Day, Window::Month] {
        let (start, _) = window.bounds(now);
        for spend in store.spends_since(start).await? {
            let Some(key) = keys.get(&spend.key_id) else { continue };
            if key.window_budget.is_some_and(|budget| budget.window == window) {
                counters.seed_window(spend.key_id, window, start, spend.total);
            }
        }
        for (id, admitted) in store.admissions_by_key_since(start).await? {
            if keys.get(&id).and_then(|key| key.rate).is_some_and(|rate| rate.window == window) {
                counters.seed_rate(id, window, start, admitted);
            }
        }
    }
    Ok(())
}

/// Looks for configuration that somebody else changed.
async fn poll(
    loader: Arc<Loader>,
    (wanted, mut newcomers): (Wanted, Newcomers),
    every: Duration,
    metrics: Arc<Metrics>,
) {
    let mut ticks = tokio::time::interval(every.max(Duration::from_millis(50)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = wanted.woken() => {}
        }
        if let Err(error) = loader.refresh().await {
            metrics.store_failed();
            tracing::warn!(%error, "the configuration could not be refreshed; requests use the last one");
        }
        newcomers.look(loader.current()).await;
        let restated = loader.take_restated();
        if !restated.is_empty() {
            wanted.counting.restate(&restated).await;
        }
        newcomers.restate(restated).await;
        wanted.look().await;
        wanted.show().await;
    }
}

async fn sweep(counting: Counting, answers: Answers, clock: Arc<dyn Clock>) {
    let mut ticks = tokio::time::interval(SWEEP);
    loop {
        ticks.tick().await;
        counting.sweep(clock.now());
        answers.sweep(clock.now());
    }
}

/// The metrics text, with everything that is only known at the moment of asking.
fn scrape(
    metrics: Arc<Metrics>,
    journal: Arc<FileJournal>,
    counting: Counting,
    loader: Arc<Loader>,
    (health, answers): (Arc<Health>, Answers),
    dropped_lines: Box<dyn Fn() -> u64 + Send + Sync>,
) -> impl Fn() -> String + Send + Sync {
    move || {
        let stats = journal.stats();
        metrics.observe_journal(stats.pending, stats.rejected, stats.bytes);
        metrics.observe_dropped_notes(stats.dropped_notes);
        let (holds, held) = counting.memory.holds();
        metrics.observe_holds(holds, held);
        metrics.observe_snapshot(loader.current().keys() as u64, loader.age());
        metrics.observe_routes(health.set_aside(Instant::now()), answers.bytes());
        metrics.observe_dropped_log_lines(dropped_lines());
        metrics.render()
    }
}

fn server_settings(config: &Config) -> ServerSettings {
    let tls = |cert: &Option<std::path::PathBuf>, key: &Option<std::path::PathBuf>| {
        cert.as_ref().zip(key.as_ref()).map(|(c, k)| (c.display().to_string(), k.display().to_string()))
    };
    ServerSettings {
        proxy_listen: config.proxy.listen,
        admin_listen: config.admin.listen,
        proxy_tls: tls(&config.proxy.tls_cert, &config.proxy.tls_key),
        admin_tls: tls(&config.admin.tls_cert, &config.admin.tls_key),
        single_listen: config.single.listen,
        single_tls: tls(&config.single.tls_cert, &config.single.tls_key),
        metrics_listen: config.telemetry.metrics_listen,
        threads: config.proxy.threads,
        upstream_keepalive: config.proxy.upstream_keepalive,
        client_keepalive: config.proxy.keepalive_timeout,
        drain_timeout: config.proxy.drain_timeout,
        upgrade_sock: config.upgrade_sock(),
    }
}

/// Either opens the admin listener and makes the first key.
fn admin_secrets(config: &Config) -> SharedSecrets {
    SharedSecrets::new([config.admin.pass.clone(), config.admin.api_key.clone()])
}

fn gateway_settings(config: &Config) -> GatewaySettings {
    let proxy = &config.proxy;
    let base_urls = providers::all().iter().filter_map(|provider| {
        let url = config.providers.base_url(provider.name())?;
        Some((provider.name().to_owned(), url.as_str().to_owned()))
    });
    GatewaySettings {
        request_timeout: proxy.request_timeout,
        max_request_timeout: proxy.max_request_timeout,
        idle_timeout: proxy.idle_timeout,
        upstream_keepalive: Duration::from_secs(60),
        client_keepalive: proxy.keepalive_timeout,
        connect_timeout: proxy.connect_timeout,
        body_limit: proxy.body_limit.bytes(),
        upload_limit: proxy.upload_limit.bytes(),
        body_memory: proxy.body_memory.bytes(),
        body_timeout: proxy.body_timeout,
        log_body_limit: config.events.log_body_limit.as_usize(),
        max_in_flight: proxy.max_requests as u64,
        cors: proxy.cors,
        origins: config.management.cors_allow_origins.clone(),
        remove_user_agent: proxy.remove_user_agent,
        budget_mode: config.limits.budget_mode,
        billing_zone: config.limits.billing_timezone.clone(),
        allow_unpriced: config.pricing.unpriced == Unpriced::Allow,
        durable_to_disk: config.ledger.durability == Durability::Disk,
        refusals_per_key_per_minute: config.events.refusals_per_key_per_minute,
        anonymous_refusals_per_minute: config.events.anonymous_refusals_per_minute,
        base_urls: base_urls.collect(),
        deny_targets: config.security.deny_targets.clone(),
        boot_keys: admin_secrets(config),
        aws_region: config.unified.aws_region.as_str().to_owned(),
        keep_alive: config.unified.keep_alive,
        fetch: FetchRules {
            images: config.unified.fetch_remote_images,
            http: config.unified.fetch_http_images,
            test_networks: if config.debug.test_hooks { config.debug.fetch_networks.clone() } else { Vec::new() },
        },
        refuse_unsupported: config.unified.unsupported_params == UnsupportedParams::Refuse,
        routes: RouteRules {
            health: HealthRules {
                failures: config.routes.breaker_failures,
                pause: config.routes.breaker_pause,
                longest_pause: config.routes.breaker_longest_pause,
            },
            cache_entry: config.routes.cache_entry.as_usize(),
        },
    }
}

/// A change is visible to requests before it is answered, at every gateway.
struct RefreshNow(Wanted);

/// The host's credentials are fetched as soon as a setting has none of its own, and never before.
#[derive(Clone)]
struct Wanted {
    loader: Arc<Loader>,
    host: Arc<HostCredentials>,
    peers: Option<Arc<dyn Peers>>,
    counting: Counting,
    /// What others were told last.
    shown: Arc<Mutex<Point>>,
}

impl Wanted {
    /// Another gateway may have changed something.
    async fn woken(&self) {
        match &self.peers {
            Some(peers) => peers.changed().await,
            None => std::future::pending().await,
        }
    }

    /// Other gateways know what this one shows; the position.
    async fn show(&self) -> i64 {
        let point = self.loader.current().point();
        if let Some(peers) = &self.peers {
            let before = std::mem::replace(&mut *self.shown.lock(), point);
            if before != point {
                self.counting.catch_up().await;
            }
            peers.shows(point).await;
        }
        point.position
    }

    async fn look(&self) {
        let snapshot = self.loader.current();
        let ambient = |setting: &Arc<Setting>| {
            providers::by_name(&setting.provider).is_some_and(|provider| provider.is_ambient(setting))
        };
        let mut rows = snapshot.models().iter().filter_map(|served| served.backend.as_ref().ok());
        // A new store has models that nobody may use yet.
        let ambient_rows = snapshot.members() > 0 && rows.any(|backend| backend.settings.iter().any(ambient));
        if ambient_rows || snapshot.iter_settings().any(ambient) {
            self.host.start().await;
        }
    }
}

#[async_trait]
impl admin::Refresh for RefreshNow {
    async fn refresh(&self) {
        if let Err(error) = self.0.loader.refresh().await {
            tracing::warn!(%error, "a change is stored but not yet visible to requests");
        }
        self.0.look().await;
        let position = self.0.show().await;
        if let Some(peers) = &self.0.peers {
            peers.await_shown(position).await;
        }
    }
}
