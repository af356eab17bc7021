//! Kills and outages: what a client received is what the ledger says.

mod durability;
mod kill;
mod upgrade;
