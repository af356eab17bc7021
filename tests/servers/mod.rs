//! Real Postgres, PgBouncer and Redis servers for tests: each in a directory of its own, both gone with the process that started
//! them, however that ends. A server that is missing or does not start fails the test; nothing is ever skipped.
//!
//! [`Proxy`] stands between a server and who uses it: it delays, stalls, cuts, counts, and tells what was asked.

#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    missing_debug_implementations,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "one set of modules for two users, the library's own tests and those of the program; a test that cannot go \
              on fails"
)]

mod directory;
mod pgbouncer;
mod port;
mod postgres;
mod process;
mod proxy;
mod redis;
mod resp;
#[cfg(test)]
mod tests;

pub use pgbouncer::PgBouncer;
pub use port::free_port;
pub use postgres::{Database, Postgres, database};
pub use proxy::Proxy;
pub use redis::{Redis, RedisCluster};
pub use resp::{Frame, Said};
