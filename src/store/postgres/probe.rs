//! Looks at the database without using it: for operators who ask whether it is all right, or migrate it by hand.

use super::connect::{Connector, Purpose};
use super::{MIGRATION, PostgresSettings, Result, engine, rights, schema, sessions};
use std::time::{Duration, Instant};
use tokio_postgres::SimpleQueryMessage;

/// What there is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Probe {
    /// The one of the list that would be used.
    pub server: String,
    pub version: String,
    pub tls: bool,
    pub takes_writes: bool,
    /// `None`: no gateway has ever used it.
    pub schema: Option<i64>,
    /// A start has nothing to migrate.
    pub is_current: bool,
    /// Why the user may not make tables, should that be so.
    pub no_tables: Option<String>,
    /// Of one question.
    pub latency: Duration,
}

/// Changes nothing.
///
/// # Errors
/// No server can be used.
pub async fn probe(settings: PostgresSettings) -> Result<Probe> {
    let timeout = settings.read_timeout;
    let connector = Connector::new(settings).map_err(engine)?;
    let (client, _driver, reached) = connector.open(&Purpose::statements(timeout)).await.map_err(engine)?;
    sessions::are_own(&connector, &client).await?;
    let begun = Instant::now();
    let answers = client.simple_query("SELECT current_setting('server_version'), pg_is_in_recovery()").await?;
    let latency = begun.elapsed();
    let row =
        answers.iter().find_map(|message| if let SimpleQueryMessage::Row(row) = message { Some(row) } else { None });
    Ok(Probe {
        server: reached.place,
        version: row.and_then(|row| row.get(0)).unwrap_or("unknown").to_owned(),
        tls: reached.tls,
        takes_writes: row.is_some_and(|row| row.get(1) == Some("f")),
        schema: schema::find_version(&client).await?,
        is_current: schema::is_complete(&client).await?,
        no_tables: rights::no_tables(&client).await?.map(|missing| missing.to_string()),
        latency,
    })
}

/// Brings the schema up to date; its version.
///
/// # Errors
/// No server can be used, or it refuses.
pub async fn migrate(settings: PostgresSettings) -> Result<i64> {
    let connector = Connector::new(settings).map_err(engine)?;
    let (mut client, _driver, _) = connector.open(&Purpose::statements(MIGRATION)).await.map_err(engine)?;
    sessions::are_own(&connector, &client).await?;
    schema::migrate(&mut client).await?;
    schema::version(&client).await
}
