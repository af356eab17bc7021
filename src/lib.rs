//! Tollgate: a reverse proxy between software and LLM providers.
//!
//! # Map, in floor order
//!
//! A file may use its own floor's later entries in this list and every lower floor, never a higher one.
//!
//! | Floor | Folder | What it is |
//! |---|---|---|
//! | 5 | `cli` | one file per command |
//! | 5 | `app` | builds everything once, joins ports to adapters |
//! | 5 | `server` | listeners, drain, stop, hand-over to the next process |
//! | 5 | `import` | takes over what another product has in its database |
//! | 5 | `config` | defaults, file, environment; all mistakes at once |
//! | 4 | `gateway` | the walk of a request |
//! | 4 | `admin` | configuration API, management API, metrics, OpenAPI |
//! | 3 | `counters` | `limits::Counters` in memory, and in Redis for many gateways |
//! | 3 | `cache` | `routing::ResponseCache` in memory and in Redis |
//! | 3 | `redis` | the link to Redis that counters and cache share |
//! | 3 | `journal` | `ledger::Journal` in files: append, drain, recover |
//! | 3 | `store` | ports to the durable store, SQLite for one gateway, Postgres for many, sealing |
//! | 3 | `clock` | the wall clock |
//! | 3 | `credentials` | what the host itself is given: environment, profile, container, instance |
//! | 3 | `telemetry` | metrics and logs |
//! | 2 | `snapshot` | the immutable picture that requests read |
//! | 2 | `routing` | which try is next, which upstreams are set aside, which answers are kept |
//! | 2 | `auth` | key from headers, its verdict |
//! | 2 | `limits` | rules and counts to a verdict |
//! | 2 | `ledger` | one event per admitted request |
//! | 2 | `providers` | one folder per provider |
//! | 2 | `metering` | tokens, prices, cost |
//! | 1 | `wire` | framing: server-sent events, JSON edits; in `chat` the forms of conversations |
//! | 0 | `domain` | the words |
//!
//! # The walk of a request
//!
//! `gateway::walk`: arrive, identify, read, admit, forward, relay, settle; a file for each step, listed in `gateway`.
//! The unified API walks the same way; what it adds (model rows, translation, other attempts) is `gateway::unified`.
//! A route (`gateway::route`) asks one upstream after the other; what is done after a failed try is `routing::next`.
//! A new form of conversations is a codec in `wire::chat`; a new kind of model row is a line in `providers::backend`.
//! An admin change: `admin::<resource>::configuration` or `management` (JSON), its `service` (rules), `store` (one transaction),
//! `store::loader` (the new snapshot, before the answer is sent).
//!
//! # Invariants
//!
//! - After the first byte of an answer no other try is made; before it, a failed one costs nothing.
//! - Every admitted request ends in exactly one event, journalled before the last byte of its response leaves.
//!   A [`ledger::Booking`] that is dropped books itself; one that was killed is booked at the next start, or at once by
//!   the process that has taken over from the killed one.
//! - What was refused costs nothing: no rate, no budget, no journal write.
//! - Two processes may run on the same files while one takes over from the other; at most one of them admits requests.
//! - Money is an integer from price to row. Floats appear where an API demands them, nowhere else.
//! - Floors 0 to 2 know no clock, socket, task or environment. The request path makes no store query, unless counts that
//!   are shared have to be made again.
//! - What a gateway tells others of its own doing are positions that only grow: told twice or late they change nothing.
//! - A secret has no `Display`, and a `Debug` that hides it. Only `config` reads the environment.
//! - Every queue, buffer, body and wait has a bound. No lock is held across an await, but for the loader's turn
//!   and that of a key whose shared counts are made.
//! - Only `gateway::refuse`, with `gateway::unified::error` for its own API, `admin::http` and `admin::management::answer`
//!   write error answers. No file outside `providers` names a provider.

pub mod admin;
pub mod app;
pub mod auth;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod config;
pub mod counters;
pub mod credentials;
pub mod domain;
pub mod gateway;
pub mod import;
pub mod journal;
pub mod ledger;
pub mod limits;
pub mod metering;
pub mod providers;
pub mod redis;
pub mod routing;
pub mod server;
pub mod snapshot;
pub mod store;
pub mod telemetry;
pub mod wire;

#[cfg(test)]
#[path = "../tests/servers/mod.rs"]
mod servers;
