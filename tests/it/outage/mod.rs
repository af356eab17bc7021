//! Kills and outages: what a client received is what the ledger says.

mod kill;
mod upgrade;
