//! A session on a database that is not the store: another product's, which an import reads. Hosts, TLS and waiting are
//! those of the store's own addresses.

use super::connect::{Connector, Purpose};
use super::{PostgresSettings, Result, engine};
use std::time::Duration;
use tokio_postgres::Client;

/// A day: reading and sorting a large history takes its time.
const PATIENCE: Duration = Duration::from_secs(86_400);

/// Any server will do, whether or not it takes writes. No error repeats the password.
///
/// # Errors
/// The address is none, or nobody answers there.
pub async fn session(url: &str) -> Result<Client> {
    let mut settings = PostgresSettings::from_url(url).map_err(engine)?;
    settings.writable = false;
    settings.holds_store = false;
    let connector = Connector::new(settings).map_err(engine)?;
    let (client, _driver, _reached) = connector.open(&Purpose::statements(PATIENCE)).await.map_err(engine)?;
    // The store is written between two pages.
    client.batch_execute("SET idle_in_transaction_session_timeout = 0").await?;
    Ok(client)
}
