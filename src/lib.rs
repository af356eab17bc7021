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
//! | 5 | `server` | listeners, drain, stop |
//! | 5 | `config` | defaults, file, environment; all mistakes at once |
//! | 4 | `gateway` | the walk of a request |
//! | 4 | `admin` | configuration API, metrics, OpenAPI |
//! | 3 | `store` | ports to the durable store, SQLite, sealing |
//! | 3 | `counters` | `limits::Counters` in memory |
//! | 3 | `journal` | `ledger::Journal` in files: append, drain, recover |
//! | 3 | `telemetry` | metrics and logs |
//! | 2 | `snapshot` | the immutable picture that requests read |
//! | 2 | `auth` | key from headers, its verdict |
//! | 2 | `limits` | rules and counts to a verdict |
//! | 2 | `ledger` | one event per admitted request |
//! | 2 | `providers` | one folder per provider |
//! | 2 | `metering` | tokens, prices, cost |
//! | 1 | `wire` | framing: server-sent events, JSON edits |
//! | 0 | `domain` | the words |

pub mod admin;
pub mod app;
pub mod auth;
pub mod cli;
pub mod config;
pub mod counters;
pub mod domain;
pub mod gateway;
pub mod journal;
pub mod ledger;
pub mod limits;
pub mod metering;
pub mod providers;
pub mod server;
pub mod snapshot;
pub mod store;
pub mod telemetry;
pub mod wire;
