//! Opens what an import writes to: the store that the gateway itself would open.

use super::{clock_of, make_parent, open_pricing, open_sealer};
use crate::config::Config;
use crate::domain::UnixMillis;
use crate::domain::time::Clock as _;
use crate::import::{self, Options, Product, Report};
use crate::store::ImportStore;
use crate::store::postgres::{self, PostgresSettings, PostgresStore};
use crate::store::seal::{MasterKey, Sealer};
use crate::store::sqlite::SqliteStore;
use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::runtime::Builder;

/// What the command line says.
#[derive(Clone, Debug)]
pub struct ImportWish {
    pub product: Product,
    /// May hold a password.
    pub url: String,
    pub dry_run: bool,
    pub overwrite: bool,
    pub history_since: Option<UnixMillis>,
}

/// Takes over another product's data.
pub fn import(config: &Config, wish: &ImportWish) -> anyhow::Result<Report> {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let now = clock_of(config).now();
    // What the gateway would delete at once is not brought.
    let kept = i64::from(config.events.retention).saturating_mul(DAY);
    let oldest = if kept > 0 { UnixMillis(now.0.saturating_sub(kept)) } else { UnixMillis(0) };
    let options = Options {
        dry_run: wish.dry_run,
        overwrite: wish.overwrite,
        history_since: wish.history_since.unwrap_or_default().max(oldest),
        zone: config.limits.billing_timezone.clone(),
        now,
    };
    let pricing = open_pricing(config)?;
    let (store, scratch) = match config.store.postgres().context("store.url")? {
        Some(settings) => runtime.block_on(shared(config, settings, wish.dry_run))?,
        None => open(config, wish.dry_run)?,
    };
    let done = runtime.block_on(import::run(wish.product, &wish.url, store, &pricing, &options));
    if let Some(scratch) = scratch {
        // Nothing but an empty store: whatever is left of it says nothing.
        let _ = std::fs::remove_dir_all(scratch);
    }
    done
}

const DAY: i64 = 86_400_000;

/// The store, and a folder to be removed afterwards.
type Opened = (Arc<dyn ImportStore>, Option<PathBuf>);

/// In place of a store that is not there, which a dry run does not make.
fn empty() -> anyhow::Result<Opened> {
    let mut random = [0; 32];
    SystemRandom::new().fill(&mut random).map_err(|_| anyhow::anyhow!("the system gave no random numbers"))?;
    let sealer = Sealer::new(vec![MasterKey::parse_base64(&STANDARD.encode(random))?])?;
    let folder = std::env::temp_dir().join(format!("tollgate-import-{}", uuid::Uuid::new_v4()));
    let store = SqliteStore::open(folder.join("empty.db"), sealer).context("the temporary folder")?;
    Ok((Arc::new(store), Some(folder)))
}

async fn shared(config: &Config, settings: PostgresSettings, dry_run: bool) -> anyhow::Result<Opened> {
    if dry_run && postgres::probe(settings.clone()).await?.schema.is_none() {
        return empty();
    }
    Ok((Arc::new(PostgresStore::open(settings, open_sealer(config)?).await?), None))
}

fn open(config: &Config, dry_run: bool) -> anyhow::Result<Opened> {
    if dry_run && !config.store.path.exists() {
        return empty();
    }
    let sealer = open_sealer(config)?;
    make_parent(&config.store.path).context("store.path")?;
    Ok((Arc::new(SqliteStore::open(&config.store.path, sealer).context("store.path")?), None))
}
