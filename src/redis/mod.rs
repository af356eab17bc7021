//! The link to Redis that counters and cache share: one server with its replicas, or a cluster.
//!
//! A [`Link`] keeps itself connected and always knows how it stands ([`State`]). Whoever calls gets an answer or an
//! error within [`LinkSettings::timeout`], and at once while the server is known to be away: nobody waits for a server
//! that others have found silent.
//!
//! Redis may forget: it restarts empty, evicts, fails over to a replica that is behind. An *epoch* beside the data, which
//! is lost with it, makes that visible as a new generation; see [`State::Up`].

mod check;
mod connect;
mod connection;
mod epoch;
mod error;
mod keeper;
mod link;
mod members;
mod script;
mod settings;
#[cfg(test)]
mod tests;

pub use check::{Checked, check};
pub use error::LinkError;
pub use link::{Link, State};
pub use script::Script;
pub use settings::{LinkSettings, Node, TlsSettings};
