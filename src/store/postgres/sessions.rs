//! Whether each connection is a session of its own: notifications, prepared statements and settings belong to one.

use super::connect::{Connector, Purpose};
use super::{Result, engine};
use std::time::Duration;
use tokio_postgres::{Client, SimpleQueryMessage};

/// A pooler may happen to have a free server process for each of two connections. Of so many rounds the first tells, as
/// a rule.
const ROUNDS: usize = 4;
/// Of one statement.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
#[error(
    "a pooler shares sessions of Postgres between its clients by transaction: let it give each client a session of its \
     own (PgBouncer: pool_mode = session), or connect to the server itself"
)]
struct Shared;

/// # Errors
/// Two connections were served by one process of the server, or one by several. Or there was no second connection.
pub(super) async fn are_own(connector: &Connector, one: &Client) -> Result<()> {
    let (other, _driver, _) = connector.open(&Purpose::statements(PATIENCE)).await.map_err(engine)?;
    let first = process(one).await?;
    for _ in 0..ROUNDS {
        if process(&other).await? == first || process(one).await? != first {
            return Err(engine(Shared));
        }
    }
    Ok(())
}

/// Who answers.
async fn process(client: &Client) -> Result<String> {
    // Not prepared: that is what may not work.
    let answers = client.simple_query("SELECT pg_backend_pid()").await?;
    let row = answers.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    Ok(row.unwrap_or_default().to_owned())
}
