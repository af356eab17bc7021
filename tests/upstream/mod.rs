//! A local upstream that behaves as OpenAI does (or as another API, when told to), and misbehaves on command.
//! Raw sockets, so that a test decides about every byte. Used inside Rust tests through [`Upstream`] and as the program
//! `upstream` (see `main.rs`) by the SDK tests and the benches. It never reaches another machine.
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "one set of modules for two users: the tests and the program"
)]

mod act;
mod answer;
mod check;
mod connection;
#[cfg(test)]
mod dialect_tests;
mod gzip;
mod house;
mod play;
mod reply;
mod request;
mod scenario;
mod sigv4;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

pub use act::{Act, Call, Early, Fault, Tokens};
pub use answer::binary as answer_binary;
pub use house::{Api, House, Options, Seen, Stats};

/// A running upstream. Dropping it closes its listener and all its connections at once.
#[derive(Debug)]
pub struct Upstream {
    house: Arc<House>,
    addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Upstream {
    /// Listens on a free loopback port.
    pub async fn start(options: Options) -> io::Result<Upstream> {
        Upstream::listen("127.0.0.1:0", options).await
    }

    pub async fn listen(addr: &str, options: Options) -> io::Result<Upstream> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let house = Arc::new(House::new(options));
        let task = tokio::spawn(accept(listener, Arc::clone(&house)));
        Ok(Upstream { house, addr, task })
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Without `/v1`: what `providers.openai.base_url` takes.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Queues a behaviour; the next request that fits takes it.
    pub fn script(&self, act: Act) {
        self.house.script(act);
    }

    /// From now on this model answers so, whoever asks; `None` = as ever. Queued behaviours go first.
    pub fn teach(&self, model: &str, act: impl Into<Option<Act>>) {
        self.house.teach(model, act.into());
    }

    /// Requests for this model, by the body or the path, whatever became of them.
    pub fn asked(&self, model: &str) -> u64 {
        self.house.asked(model)
    }

    /// Lets `n` waiting pieces of `hold` answers leave.
    pub fn release(&self, n: usize) {
        self.house.release(n);
    }

    /// The latest requests, oldest first (bounded by [`Options::record`]).
    pub fn seen(&self) -> Vec<Seen> {
        self.house.seen()
    }

    /// Forgets recorded requests and queued behaviours; counters go on.
    pub fn forget(&self) {
        self.house.forget();
    }

    pub fn stats(&self) -> Stats {
        self.house.stats()
    }

    /// Waits until `holds` is true of the counters; `None` when `limit` passes first.
    pub async fn wait(&self, limit: Duration, holds: impl Fn(&Stats) -> bool) -> Option<Stats> {
        tokio::time::timeout(limit, self.house.until(holds)).await.ok()
    }

    /// Serves until the task ends, which it does only when the handle is dropped.
    pub async fn join(mut self) {
        // A join error can only say that the task was aborted or panicked: it is over either way.
        let _ended = (&mut self.task).await;
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, house: Arc<House>) {
    // Owned by this task, so that aborting it ends every connection too.
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    open.spawn(connection::serve(stream, Arc::clone(&house)));
                }
                // Out of file descriptors, or the peer left before accept: neither ends the listener.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = open.join_next() => {}
        }
    }
}
