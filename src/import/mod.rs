//! Takes over what another product has in its Postgres database: the source is only read, the store is written through
//! its ports, and a second run changes nothing.
//!
//! A folder per product, a file in it per kind of row. `source` reads, `record` is one row by its columns, `writer` puts
//! rows into the store, `history` events and what they add up to, `report` tells what became of everything.

mod brconnector;
mod bricksllm;
mod history;
mod record;
mod report;
mod source;
mod writer;

pub use report::Report;

use crate::domain::{BillingZone, UnixMillis};
use crate::metering::Pricing;
use crate::store::ImportStore;
use anyhow::Context;
use source::Source;
use std::sync::Arc;
use writer::Writer;

/// Whose database it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Product {
    BricksLlm,
    BrConnector,
}

/// How to import.
#[derive(Clone, Debug)]
pub struct Options {
    /// Reads and judges everything, writes nothing.
    pub dry_run: bool,
    /// The source wins over what was changed here.
    pub overwrite: bool,
    /// Events that ended before are not brought; all-time spend counts them all the same.
    pub history_since: UnixMillis,
    /// Whose months the source's month fees are of.
    pub zone: BillingZone,
    pub now: UnixMillis,
}

/// Runs on a runtime of its own, as it is the only thing that the process does.
///
/// # Errors
/// When the source or the store fails as a whole. What was written stays, and the next run goes on from there. A row
/// that cannot be taken over is no error: it is in the report.
pub async fn run(
    product: Product,
    url: &str,
    store: Arc<dyn ImportStore>,
    pricing: &Pricing,
    options: &Options,
) -> anyhow::Result<Report> {
    let mut source = Source::connect(url).await?;
    let view = source.view().await?;
    let mut writer = Writer::new(store, options.dry_run, options.overwrite);
    let done = match product {
        Product::BricksLlm => bricksllm::import(&view, &mut writer, pricing, options).await,
        Product::BrConnector => brconnector::import(&view, &mut writer, options).await,
    };
    // Also of what was done before a failure.
    let flushed = writer.flush().await;
    done?;
    flushed.context("the store failed")?;
    Ok(writer.report)
}

/// An id that is the same whenever it is made of the same parts.
fn derived(parts: &[&str]) -> [u8; 16] {
    // The length before each part, so that no two lists read alike.
    let text = parts.iter().fold(String::new(), |text, part| format!("{text}{}:{part}", part.len()));
    let digest = crate::auth::digest::digest(text.as_bytes());
    let mut id = [0; 16];
    for (to, from) in id.iter_mut().zip(digest.as_bytes()) {
        *to = *from;
    }
    id
}

#[cfg(test)]
mod tests;
