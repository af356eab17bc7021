//! Brings the database to the newest schema, one gateway at a time.
//!
//! Migrations only add: gateways of the former version go on reading and writing meanwhile, and may start again.

use super::rights::no_tables;
use super::{Result, engine};
use tokio_postgres::Client;

/// Beside the lock of changes: a migration must not wait for them.
const MIGRATION_LOCK: i64 = super::CONFIGURATION_LOCK + 1;

#[allow(unreachable_pub, reason = "written by the macro")]
mod embedded {
    refinery::embed_migrations!("migrations/postgres");
}

/// Does nothing, and needs no right to, when all is done: an operator may have done it as somebody else.
pub(super) async fn migrate(client: &mut Client) -> Result<()> {
    if is_complete(client).await? {
        return Ok(());
    }
    if let Some(missing) = no_tables(client).await? {
        return Err(engine(missing));
    }
    client.execute("SELECT pg_advisory_lock($1)", &[&MIGRATION_LOCK]).await?;
    let runner = embedded::migrations::runner().set_abort_missing(false);
    let done = runner.run_async(client).await.map_err(engine);
    client.execute("SELECT pg_advisory_unlock($1)", &[&MIGRATION_LOCK]).await?;
    done.map(drop)
}

/// Nothing is left to migrate.
pub(super) async fn is_complete(client: &Client) -> Result<bool> {
    let newest = embedded::migrations::runner().get_migrations().iter().map(|m| i64::from(m.version())).max();
    Ok(find_version(client).await? >= newest)
}

/// The newest migration that was applied.
pub(super) async fn version(client: &Client) -> Result<i64> {
    Ok(find_version(client).await?.unwrap_or(0))
}

/// `None`: nothing was ever done in this database.
pub(super) async fn find_version(client: &Client) -> Result<Option<i64>> {
    let row = client.query_one("SELECT to_regclass('refinery_schema_history') IS NOT NULL", &[]).await?;
    if !row.try_get::<_, bool>(0)? {
        return Ok(None);
    }
    let row = client.query_one("SELECT max(version)::bigint FROM refinery_schema_history", &[]).await?;
    Ok(row.try_get(0)?)
}
