//! Connections by what they are for, so that no kind of work waits for another: point reads and the change feed, lists
//! and reports, changes of configuration, the drain of the journal.

use super::connect::{Connector, Purpose, is_broken};
use super::lent::Lent;
use super::refusal::told;
use super::{Result, engine};
use crate::store::StoreError;
use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime};
use deadpool_postgres::{QueueMode, Timeouts};
use std::error::Error as _;
use std::time::Duration;
use tokio_postgres::error::SqlState;

/// Waiting longer than this for a connection is an error: something holds them all.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A connection that was not used for so long is asked whether it still is one. Reads on one that broke are repeated.
const FAMILIAR: Duration = Duration::from_secs(5);
/// How long it may take to say so.
const ANSWER: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub(super) struct Lanes {
    pub(super) lookups: Pool,
    pub(super) scans: Pool,
    pub(super) writes: Pool,
    pub(super) drain: Pool,
}

impl Lanes {
    pub(super) fn new(connector: &Connector) -> Result<Self> {
        let settings = connector.settings();
        let all = settings.max_connections;
        // One listens.
        let (scans, writes, drain) = ((all / 4).max(1), (all / 6).max(1), (all / 6).max(1));
        let lookups = all.saturating_sub(scans + writes + drain + 1).max(1);
        let (read, write) = (settings.read_timeout, settings.write_timeout);
        Ok(Self {
            lookups: lane(connector, lookups, read, FAMILIAR)?,
            scans: lane(connector, scans, read, FAMILIAR)?,
            // A change that fails is not repeated: whoever made it would be told of an outage that is over.
            writes: lane(connector, writes, write, Duration::ZERO)?,
            drain: lane(connector, drain, write, FAMILIAR)?,
        })
    }
}

/// `familiar`: a connection that was used less long ago is taken as it is.
fn lane(connector: &Connector, size: usize, statement_timeout: Duration, familiar: Duration) -> Result<Pool> {
    let purpose = Purpose::statements(statement_timeout);
    let lent = Lent { connector: connector.clone(), purpose, runtime: tokio::runtime::Handle::current() };
    let settings = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = Manager::from_connect(tokio_postgres::Config::new(), lent, settings);
    let timeouts =
        Timeouts { wait: Some(LONGEST_WAIT), create: Some(connector.patience()), recycle: Some(LONGEST_WAIT) };
    let ask = Hook::async_fn(move |client: &mut deadpool_postgres::ClientWrapper, metrics| {
        Box::pin(async move {
            if client.is_closed() {
                // Said here, where it is no news: an idle connection closes by itself.
                return Err(HookError::message("the connection is closed"));
            }
            if metrics.last_used() < familiar {
                return Ok(());
            }
            match tokio::time::timeout(ANSWER, client.simple_query("")).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(HookError::Backend(error)),
                Err(_) => Err(HookError::message("the connection does not answer")),
            }
        })
    });
    // The last one that was used comes first: those that are not needed close by themselves.
    Pool::builder(manager)
        .max_size(size)
        .timeouts(timeouts)
        .queue_mode(QueueMode::Lifo)
        .runtime(Runtime::Tokio1)
        .pre_recycle(ask)
        .build()
        .map_err(engine)
}

/// One of the lane's connections, within bounded time.
pub(super) async fn lend(lane: &Pool) -> Result<Object> {
    lane.get().await.map_err(|error| match error {
        PoolError::Backend(error) => StoreError::from(error),
        other => StoreError::Away(Box::new(other)),
    })
}

/// What the client says, with its causes: its own text is the kind only.
#[derive(Debug)]
pub(super) struct Failure(tokio_postgres::Error);

impl Failure {
    pub(super) const fn client_error(&self) -> &tokio_postgres::Error {
        &self.0
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&told(&self.0))
    }
}
impl std::error::Error for Failure {}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self(error)
    }
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        if is_outage(&error) { StoreError::Away(Box::new(Failure(error))) } else { engine(Failure(error)) }
    }
}

/// Whether it says nothing about what was asked. Classes of SQLSTATE: Postgres documentation, appendix A.
fn is_outage(error: &tokio_postgres::Error) -> bool {
    // Connection, unknown prepared statement (a session that is not ours, behind a pooler), transaction rollback
    // (deadlock), insufficient resources, operator intervention, system error.
    const CLASSES: [&str; 6] = ["08", "26", "40", "53", "57", "58"];
    match error.code() {
        Some(code) if *code == SqlState::DUPLICATE_PSTATEMENT => true,
        Some(code) => is_broken(error) || CLASSES.iter().any(|class| code.code().starts_with(class)),
        None => error.is_closed() || error.source().is_some_and(|cause| cause.is::<std::io::Error>()),
    }
}
