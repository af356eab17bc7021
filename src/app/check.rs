//! What `tollgate check` tells of the things that the gateway depends on.

use super::{migrate, open_pricing};
use crate::config::Config;
use crate::redis;
use crate::store::postgres::{self, PostgresSettings};
use anyhow::{Context, anyhow};
use tokio::runtime::Builder;

/// Each thing the gateway depends on, and whether it answers: what is there, or what is wrong.
pub fn check(config: &Config) -> Vec<(String, Result<String, String>)> {
    let told = |result: anyhow::Result<String>| result.map_err(|e| format!("{e:#}"));
    vec![
        ("prices".to_owned(), told(open_pricing(config).map(|p| format!("table of {}", p.generated_at())))),
        ("store".to_owned(), told(check_store(config))),
        ("counters".to_owned(), told(check_counters(config))),
        ("journal".to_owned(), told(check_journal(config))),
    ]
}

/// Looks without making anything: a check must not create files.
fn check_store(config: &Config) -> anyhow::Result<String> {
    if let Some(settings) = config.store.postgres().context("store.url")? {
        return check_database(settings);
    }
    if !config.store.path.exists() {
        return Ok(format!("{} will be made at the first start", config.store.path.display()));
    }
    Ok(format!("schema version {}", migrate(config)?))
}

fn check_database(settings: PostgresSettings) -> anyhow::Result<String> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let probe = runtime.block_on(postgres::probe(settings))?;
    let postgres::Probe { server, version, tls, takes_writes, schema, latency } = probe;
    if !takes_writes {
        return Err(anyhow!("Postgres {version} at {server} takes no writes"));
    }
    let tls = if tls { "with TLS" } else { "without TLS" };
    let schema = schema.map_or("no schema yet: the first start makes it".to_owned(), |n| format!("schema version {n}"));
    Ok(format!("Postgres {version} at {server} {tls}, takes writes, answers in {latency:.1?}, {schema}"))
}

fn check_journal(config: &Config) -> anyhow::Result<String> {
    let directory = &config.ledger.journal_dir;
    if !directory.exists() {
        return Ok(format!("{} will be made at the first start", directory.display()));
    }
    let files = std::fs::read_dir(directory).context("ledger.journal_dir")?.count();
    Ok(format!("{files} files"))
}

fn check_counters(config: &Config) -> anyhow::Result<String> {
    let Some(settings) = config.counters.redis().map_err(|error| anyhow!("counters.url: {error}"))? else {
        return Ok("in the memory of each gateway".to_owned());
    };
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(redis::check(&settings)).map_err(|error| anyhow!(error))
}
