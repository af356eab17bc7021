//! Every test that needs more than one part of the house: the real program, a local upstream, real clients.

#![expect(unreachable_pub, reason = "a test binary exports nothing")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::float_arithmetic,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    reason = "a test that cannot go on fails; that is its answer"
)]

mod anthropic;
mod architecture;
mod bedrock;
mod bedrock_clients;
mod clients;
mod dialects;
mod fleet;
mod import;
mod management;
mod media;
mod outage;
mod routes;
mod rows;
#[path = "../servers/mod.rs"]
mod servers;
mod support;
mod unified;
mod unified_clients;
#[path = "../upstream/mod.rs"]
mod upstream;
mod walk;
