//! How long the server itself has worked, all of its processes together: on a busy machine that says more than how long
//! an answer took.

use std::fs::read_to_string;
use tokio_postgres::Client;

/// Of the kernel's accounts, in each of which is a hundredth of a second.
const TICK_MS: u64 = 10;

/// The first process of a server on this machine.
#[derive(Clone, Copy)]
pub(super) struct Server(u32);

impl Server {
    pub(super) async fn of(client: &Client) -> Self {
        let own: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await.expect("a process").get(0);
        let parent = fields(u32::try_from(own).unwrap_or(0)).get(1).and_then(|field| field.parse().ok());
        Self(parent.unwrap_or(0))
    }

    /// Milliseconds since it was started, those of processes that have ended included; 0 when it is somewhere else.
    pub(super) fn worked(self) -> u64 {
        let sum = |pid: u32, columns: std::ops::Range<usize>| -> u64 {
            let fields = fields(pid);
            fields.get(columns).unwrap_or_default().iter().filter_map(|field| field.parse::<u64>().ok()).sum()
        };
        let children = read_to_string(format!("/proc/{0}/task/{0}/children", self.0)).unwrap_or_default();
        let running: u64 =
            children.split_whitespace().filter_map(|pid| pid.parse().ok()).map(|pid| sum(pid, 11..13)).sum();
        (running + sum(self.0, 13..15)) * TICK_MS
    }
}

/// Of the state of a process, from the third of them on: what is before may hold blanks.
fn fields(pid: u32) -> Vec<String> {
    let stat = read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let (_, rest) = stat.rsplit_once(") ").unwrap_or_default();
    rest.split_whitespace().map(str::to_owned).collect()
}
