//! Whether the server still has what it was told: a value that is lost with the rest.

use super::connection::Connection;
use super::error::unknown_script;
use super::script::Script;
use futures_util::future::join_all;
use redis::{RedisError, RedisResult};
use std::time::Duration;
use uuid::Uuid;

/// All gateways have noticed a new epoch when it is as old as this: each looks every [`super::keeper::PROBE_EVERY`].
const SETTLES_IN: Duration = Duration::from_secs(1);

/// In a cluster, one key in each 32nd part of the slots, so that each master has some.
// LIMIT: a master of fewer than 512 adjoining slots may have none, and lose its data unnoticed.
pub(super) const PARTS: [&str; 32] = [
    "10", "113", "21", "3", "61", "72", "50", "43", "11", "112", "20", "2", "60", "73", "51", "42", "12", "111", "23",
    "1", "63", "70", "52", "41", "13", "110", "22", "0", "62", "71", "53", "40",
];

/// Gives the epoch and its age in milliseconds. `SETRANGE` of nothing changes nothing, but only a server that would take
/// a write that needs memory allows it: replicas and full servers show themselves here.
const PROBE: &str = r"
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local epoch = redis.call('GET', KEYS[1])
local made = epoch and string.match(epoch, '^(%d+):')
if made then
    redis.call('SETRANGE', KEYS[1], 0, '')
else
    made = string.format('%.0f', now)
    epoch = made .. ':' .. ARGV[1]
    redis.call('SET', KEYS[1], epoch)
end
return {epoch, now - tonumber(made)}
";

/// What a probe found.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Epoch {
    /// Of all parts.
    pub(super) value: Vec<Vec<u8>>,
    pub(super) settled: bool,
}

pub(super) struct Probe {
    script: Script,
    one: Vec<u8>,
    parts: Vec<Vec<u8>>,
}

impl Probe {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            script: Script::new(PROBE),
            one: format!("{prefix}:epoch").into_bytes(),
            parts: PARTS.iter().map(|part| format!("{prefix}:epoch:{{{part}}}").into_bytes()).collect(),
        }
    }

    /// The server's epoch; begins one where there is none.
    pub(super) async fn run(&self, connection: &Connection) -> RedisResult<Epoch> {
        let keys = if connection.is_cluster() { &self.parts[..] } else { std::slice::from_ref(&self.one) };
        let mut epoch = Epoch { value: Vec::with_capacity(keys.len()), settled: true };
        for found in join_all(keys.iter().map(|key| self.part(connection, key))).await {
            let (value, settled) = found?;
            epoch.value.push(value);
            epoch.settled &= settled;
        }
        Ok(epoch)
    }

    async fn part(&self, connection: &Connection, key: &[u8]) -> RedisResult<(Vec<u8>, bool)> {
        let new = Uuid::new_v4().simple().to_string();
        let (keys, arguments) = ([key], [new.as_bytes()]);
        let answer = match connection.call(&self.script.by_digest(&keys, &arguments)).await {
            Err(error) if unknown_script(&error) => connection.call(&self.script.by_text(&keys, &arguments)).await,
            answer => answer,
        };
        let (value, age): (Vec<u8>, i64) = redis::from_redis_value(answer?).map_err(RedisError::from)?;
        // Below 0 when the server's clock was put back, or another server took over: nothing to wait for.
        Ok((value, !(0..millis(SETTLES_IN)).contains(&age)))
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
