//! A few connections and the right to use one: bounds how much work runs at once and how long it may wait.

use super::{Result, engine};
use parking_lot::Mutex;
use rusqlite::Connection;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Waiting longer than this for a connection is an error: something holds them all.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
enum LaneError {
    #[error("no connection became free in time")]
    Overloaded,
    #[error("the connection was lost")]
    Lost,
    #[error("the work was cut short")]
    CutShort(#[source] tokio::task::JoinError),
}

pub(super) struct Lane {
    idle: Arc<Mutex<Vec<Connection>>>,
    turns: Arc<Semaphore>,
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").field("free", &self.turns.available_permits()).finish_non_exhaustive()
    }
}

/// A connection on loan. Goes back before its permit does, also when the work panics.
struct Loan {
    connection: Option<Connection>,
    idle: Arc<Mutex<Vec<Connection>>>,
    _turn: OwnedSemaphorePermit,
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.idle.lock().extend(self.connection.take());
    }
}

impl Lane {
    pub(super) fn new(connections: Vec<Connection>) -> Self {
        let turns = Arc::new(Semaphore::new(connections.len()));
        Self { idle: Arc::new(Mutex::new(connections)), turns }
    }

    /// Runs `work` on a blocking thread. Once begun it runs to its end, also when the caller goes away.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T>
    where
        F: FnOnce(&mut Connection) -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let turn = Arc::clone(&self.turns).acquire_owned();
        let turn = tokio::time::timeout(LONGEST_WAIT, turn)
            .await
            .map_err(|_| engine(LaneError::Overloaded))?
            .map_err(|_| engine(LaneError::Lost))?;
        let idle = Arc::clone(&self.idle);
        tokio::task::spawn_blocking(move || {
            let connection = idle.lock().pop();
            let mut loan = Loan { connection, idle, _turn: turn };
            work(loan.connection.as_mut().ok_or_else(|| engine(LaneError::Lost))?)
        })
        .await
        .map_err(|error| engine(LaneError::CutShort(error)))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn lane(connections: usize) -> Arc<Lane> {
        Arc::new(Lane::new((0..connections).map(|_| Connection::open_in_memory().unwrap()).collect()))
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn never_more_at_once_than_connections() {
        let lane = lane(2);
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                let (lane, now, most) = (Arc::clone(&lane), Arc::clone(&now), Arc::clone(&most));
                tokio::spawn(async move {
                    lane.run(move |_| {
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::sleep(Duration::from_millis(2));
                        now.fetch_sub(1, Ordering::SeqCst);
                        Ok(())
                    })
                    .await
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        assert_eq!(most.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_panic_or_a_lost_caller_gives_the_connection_back() {
        let lane = lane(1);
        assert!(lane.run::<(), _>(|_| panic!("in the work")).await.is_err());
        let slow = lane.run(|_| {
            std::thread::sleep(Duration::from_millis(50));
            Ok(())
        });
        assert!(tokio::time::timeout(Duration::from_millis(5), slow).await.is_err());
        lane.run(|c| Ok(c.query_row("SELECT 1", [], |_| Ok(()))?)).await.unwrap();
    }
}
