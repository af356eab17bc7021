//! Calls on whatever connection there is now, and how the link stands.

use super::connection::Connection;
use super::error::{LinkError, is_refusal, unknown_script};
use super::keeper::Keeper;
use super::{LinkSettings, Script};
use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use redis::{Cmd, RedisResult, Value};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How a link stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum State {
    /// Calls fail at once.
    Down { why: Arc<str> },
    /// Calls are sent.
    Up {
        /// Grows, from 1, whenever something that this link has written may be lost: with each new connection, each
        /// outage of a node of a cluster, and when the server has forgotten its epoch.
        generation: u64,
        /// Whether the epoch is old enough for all gateways to have seen it, so that all of them know what is lost.
        settled: bool,
    },
}

/// Clones are the same link; the last one to be dropped ends it.
#[derive(Clone)]
pub struct Link {
    shared: Arc<Shared>,
    _task: Arc<Task>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("state", &*self.shared.state.borrow()).finish_non_exhaustive()
    }
}

struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Link {
    /// Connects in the background, again and again for ever; until then it is down.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn open(settings: LinkSettings) -> Self {
        let shared = Arc::new(Shared {
            settings,
            current: ArcSwapOption::empty(),
            state: watch::Sender::new(State::Down { why: "not connected yet".into() }),
            turn: Mutex::new(()),
            trouble: Notify::new(),
            unanswered: AtomicU32::new(0),
        });
        let task = tokio::spawn(Keeper::new(shared.clone()).run());
        Self { shared, _task: Arc::new(Task(task)) }
    }

    /// Runs a script as one step, usually in one round trip. There is at least one key; all of them share a hash tag.
    ///
    /// # Errors
    /// After [`LinkSettings::timeout`] at the latest, see [`LinkError`].
    pub async fn run(&self, script: &Script, keys: &[&[u8]], arguments: &[&[u8]]) -> Result<Value, LinkError> {
        let by_digest = script.by_digest(keys, arguments);
        let call = async |connection: &Connection| match connection.call(&by_digest).await {
            Err(error) if unknown_script(&error) => connection.call(&script.by_text(keys, arguments)).await,
            answer => answer,
        };
        self.shared.bounded(call).await
    }

    /// One command. In a cluster its first key decides who gets it.
    ///
    /// # Errors
    /// After [`LinkSettings::timeout`] at the latest, see [`LinkError`].
    pub async fn command(&self, command: &Cmd) -> Result<Value, LinkError> {
        self.shared.bounded(async |connection: &Connection| connection.call(command).await).await
    }

    /// Commands of which none needs another's answer, in one round trip; answers in their order. `Nil` stands for what
    /// the server refuses of one of them: the others are answered all the same.
    ///
    /// # Errors
    /// After [`LinkSettings::timeout`] at the latest, [`LinkError::Down`] or [`LinkError::Lost`].
    pub async fn commands(&self, commands: &[Cmd]) -> Result<Vec<Value>, LinkError> {
        let call = async |connection: &Connection| {
            let answers = connection.call_all(commands).await?.into_iter();
            answers
                .map(|answer| answer.or_else(|error| if is_refusal(&error) { Ok(Value::Nil) } else { Err(error) }))
                .collect()
        };
        self.shared.bounded(call).await
    }

    pub fn state(&self) -> watch::Receiver<State> {
        self.shared.state.subscribe()
    }

    pub fn prefix(&self) -> &str {
        &self.shared.settings.prefix
    }
}

/// What callers and the keeper share.
pub(super) struct Shared {
    pub(super) settings: LinkSettings,
    /// `None` while the link is down.
    current: ArcSwapOption<Connection>,
    state: watch::Sender<State>,
    /// `current` and `state` change together.
    turn: Mutex<()>,
    /// A call has failed: the keeper looks at once.
    pub(super) trouble: Notify,
    /// Calls without an answer since one had an answer.
    pub(super) unanswered: AtomicU32,
}

impl Shared {
    async fn bounded<T>(&self, call: impl AsyncFnOnce(&Connection) -> RedisResult<T>) -> Result<T, LinkError> {
        let Some(connection) = self.current.load_full() else {
            let why = match &*self.state.borrow() {
                State::Down { why } => why.clone(),
                State::Up { .. } => Arc::from("it has just come back"),
            };
            return Err(LinkError::Down { why });
        };
        let error = match timeout(self.settings.timeout, call(&connection)).await {
            Ok(Ok(value)) => {
                if self.unanswered.load(Ordering::Relaxed) != 0 {
                    self.unanswered.store(0, Ordering::Relaxed);
                }
                return Ok(value);
            }
            Ok(Err(error)) => LinkError::from(error),
            Err(_) => {
                self.unanswered.fetch_add(1, Ordering::Relaxed);
                LinkError::lost(format!("no answer within {:?}", self.settings.timeout))
            }
        };
        if let LinkError::Down { why } | LinkError::Lost { why } = &error {
            self.failed(&connection, why);
        }
        Err(error)
    }

    /// A call on this connection has failed. Says nothing when another one, or another look at it, has taken its place.
    fn failed(&self, connection: &Arc<Connection>, why: &Arc<str>) {
        let _turn = self.turn.lock();
        let is_current = self.current.load().as_ref().is_some_and(|current| Arc::ptr_eq(current, connection));
        if is_current {
            self.set_down(why.clone());
            self.trouble.notify_one();
        }
    }

    pub(super) fn down(&self, why: Arc<str>) {
        let _turn = self.turn.lock();
        self.set_down(why);
    }

    fn set_down(&self, why: Arc<str>) {
        self.current.store(None);
        let down = State::Down { why };
        self.state.send_if_modified(|state| {
            if *state == down {
                return false;
            }
            match (&*state, &down) {
                (State::Up { .. }, State::Down { why }) => tracing::warn!(%why, "Redis is not available"),
                (_, State::Down { why }) => tracing::debug!(%why, "Redis is still not available"),
                _ => {}
            }
            *state = down;
            true
        });
    }

    pub(super) fn up(&self, connection: &Connection, generation: u64, settled: bool) {
        let _turn = self.turn.lock();
        if self.current.load().is_none() {
            self.current.store(Some(Arc::new(connection.clone())));
        }
        let up = State::Up { generation, settled };
        self.state.send_if_modified(|state| {
            if *state == up {
                return false;
            }
            if matches!(state, State::Down { .. }) {
                tracing::info!(generation, "Redis is available");
            }
            *state = up;
            true
        });
    }

    pub(super) fn is_down(&self) -> bool {
        self.current.load().is_none()
    }
}
