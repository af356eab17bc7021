//! Events of the past, and what keys have spent in all. The two are apart: what a source says was spent counts, also
//! where its events are not brought, were deleted there, or have been deleted here since.

use super::report::Fate;
use super::writer::Writer;
use crate::domain::{Event, EventId, KeyId, Money};
use crate::store::StoreError;
use std::collections::{HashMap, HashSet};

/// Keys in one transaction.
const TOTALS: usize = 500;
const SPEND: &str = "all-time spend";

/// Writes what is not there yet. An event is never changed.
pub(super) async fn put(writer: &mut Writer, kind: &'static str, events: Vec<Event>) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    let ids: Vec<EventId> = events.iter().map(|event| event.id).collect();
    let known: HashSet<EventId> = writer.store.known_events(&ids).await?.into_iter().collect();
    let new: Vec<Event> = events.into_iter().filter(|event| !known.contains(&event.id)).collect();
    if !writer.dry && !new.is_empty() {
        writer.store.insert_history(&new).await?;
    }
    writer.report.count(kind, Fate::Equal, known.len() as u64);
    writer.report.count(kind, Fate::New, new.len() as u64);
    Ok(())
}

/// All-time spend of keys as the source has it. Memory: one entry per key.
pub(super) async fn put_totals(writer: &mut Writer, totals: HashMap<KeyId, Money>) -> Result<(), StoreError> {
    let known: HashMap<KeyId, Money> = writer.store.imported_spend(&writer.source).await?.into_iter().collect();
    let mut more = Vec::new();
    writer.report.mention(SPEND);
    for (key, total) in totals {
        let fate = match known.get(&key) {
            Some(told) if *told >= total => Fate::Equal,
            Some(_) => Fate::Updated,
            None => Fate::New,
        };
        writer.report.count(SPEND, fate, 1);
        if fate != Fate::Equal {
            more.push((key, total));
        }
    }
    more.sort_unstable_by_key(|(key, _)| *key);
    if !writer.dry {
        for batch in more.chunks(TOTALS) {
            writer.store.import_spend(&writer.source, batch).await?;
        }
        // Also without a change: history that came in may have to be put right.
        if more.is_empty() {
            writer.store.import_spend(&writer.source, &[]).await?;
        }
    }
    Ok(())
}
