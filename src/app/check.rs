//! What `tollgate check` tells of the things that the gateway depends on.

use super::{migrate, open_pricing};
use crate::config::Config;
use crate::redis;
use crate::store::postgres::{self, PostgresSettings};
use anyhow::{Context, anyhow};
use tokio::runtime::Builder;

/// What there is of a dependency that can be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    pub answer: String,
    /// What the operator should change all the same.
    pub advice: Option<String>,
}

impl From<String> for Found {
    fn from(answer: String) -> Self {
        Self { answer, advice: None }
    }
}

/// The chain of causes, without those that the text before them tells already.
pub fn in_one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string).filter(|cause| !cause.is_empty()) {
        if !line.contains(&cause) {
            line = if line.is_empty() { cause } else { format!("{line}: {cause}") };
        }
    }
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Each thing the gateway depends on, and whether it answers: what is there, or what is wrong. One line each.
pub fn check(config: &Config) -> Vec<(String, Result<Found, String>)> {
    let told = |result: anyhow::Result<Found>| result.map_err(|error| in_one_line(&error));
    vec![
        ("prices".to_owned(), told(open_pricing(config).map(|p| format!("table of {}", p.generated_at()).into()))),
        ("store".to_owned(), told(check_store(config))),
        ("counters".to_owned(), told(check_counters(config))),
        ("journal".to_owned(), told(check_journal(config))),
    ]
}

/// Looks without making anything: a check must not create files.
fn check_store(config: &Config) -> anyhow::Result<Found> {
    if let Some(settings) = config.store.postgres().context("store.url")? {
        return check_database(settings);
    }
    if !config.store.path.exists() {
        return Ok(format!("{} will be made at the first start", config.store.path.display()).into());
    }
    Ok(format!("schema version {}", migrate(config)?).into())
}

fn check_database(settings: PostgresSettings) -> anyhow::Result<Found> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let probe = runtime.block_on(postgres::probe(settings))?;
    let postgres::Probe { server, version, tls, takes_writes, schema, is_current, no_tables, latency } = probe;
    if !takes_writes {
        return Err(anyhow!("Postgres {version} at {server} takes no writes"));
    }
    if let Some(missing) = no_tables.as_ref().filter(|_| !is_current) {
        return Err(anyhow!("Postgres {version} at {server}: the tables cannot be made: {missing}"));
    }
    let tls = if tls { "with TLS" } else { "without TLS" };
    let schema = match schema {
        None => "no schema yet: the first start makes it".to_owned(),
        Some(version) if is_current => format!("schema version {version}"),
        Some(version) => format!("schema version {version}, which the next start brings up to date"),
    };
    let answer = format!("Postgres {version} at {server} {tls}, takes writes, answers in {latency:.1?}, {schema}");
    let advice = no_tables.map(|missing| format!("events of coming months share one table: {missing}"));
    Ok(Found { answer, advice })
}

fn check_journal(config: &Config) -> anyhow::Result<Found> {
    let directory = &config.ledger.journal_dir;
    if !directory.exists() {
        return Ok(format!("{} will be made at the first start", directory.display()).into());
    }
    let files = std::fs::read_dir(directory).context("ledger.journal_dir")?.count();
    Ok(format!("{files} files").into())
}

fn check_counters(config: &Config) -> anyhow::Result<Found> {
    let Some(settings) = config.counters.redis().map_err(|error| anyhow!("counters.url: {error}"))? else {
        return Ok("in the memory of each gateway".to_owned().into());
    };
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let redis::Checked { answer, advice } =
        runtime.block_on(redis::check(&settings)).map_err(|error| anyhow!(error))?;
    Ok(Found { answer, advice })
}
