//! Puts rows into the store: what is not there is inserted, what nobody has changed here since the last import follows
//! the source, everything else stays. Each row is written whole or not at all, and a run that was cut short can be run
//! again: a row that is here as the source has it needs nothing.

use super::report::{Fate, Report};
use crate::domain::Key;
use crate::store::{ImportNote, ImportStore, StoreError};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Notes that wait to be written together.
const NOTES: usize = 200;

/// A kind of row that both sides have.
pub(super) trait Row: Clone {
    const KIND: &'static str;
    /// As the store names it.
    fn target(&self) -> String;
    fn revision(&self) -> i64;
    /// Whether `here` says what this says; ids, numbers, times and revisions aside.
    fn same(&self, here: &Self) -> bool;
    /// The row that this one is about: the one it became, or one that takes its place. `became`: its target.
    async fn find(&self, store: &dyn ImportStore, became: Option<&str>) -> Result<Option<Self>, StoreError>;
    /// Returns the target.
    async fn insert(&self, store: &dyn ImportStore) -> Result<String, StoreError>;
    /// Writes this over `here`, which was read.
    async fn update(&self, store: &dyn ImportStore, here: &Self) -> Result<(), StoreError>;
}

pub(super) struct Writer {
    pub(super) store: Arc<dyn ImportStore>,
    /// Product and database, as notes name them.
    pub(super) source: String,
    /// Nothing is written.
    pub(super) dry: bool,
    pub(super) overwrite: bool,
    pub(super) report: Report,
    /// By kind.
    notes: BTreeMap<&'static str, Vec<ImportNote>>,
}

/// What stands in the store afterwards; in a dry run, what would.
pub(super) struct Placed<R> {
    pub(super) row: R,
    pub(super) fate: Fate,
}

impl Writer {
    pub(super) fn new(store: Arc<dyn ImportStore>, dry: bool, overwrite: bool) -> Self {
        Self { store, source: String::new(), dry, overwrite, report: Report::default(), notes: BTreeMap::new() }
    }

    /// `None` = it was left out.
    pub(super) async fn put<R: Row>(&mut self, id: &str, wanted: &R) -> Result<Option<Placed<R>>, StoreError> {
        let note = self.store.import_note(&self.source, R::KIND, id).await?;
        let here = wanted.find(&*self.store, note.as_ref().map(|note| &*note.target)).await?;
        match here {
            Some(here) if wanted.same(&here) => {
                if note.is_none_or(|note| note.revision != here.revision()) {
                    self.note::<R>(id, &here).await?;
                }
                self.report.count(R::KIND, Fate::Equal, 1);
                Ok(Some(Placed { row: here, fate: Fate::Equal }))
            }
            Some(here) => self.over(id, wanted, here, note.as_ref()).await.map(Some),
            None if note.is_some() && !self.overwrite => {
                self.report.leave(R::KIND, id, Fate::Different, "was deleted here since the last import");
                Ok(None)
            }
            None => self.insert(id, wanted).await,
        }
    }

    async fn insert<R: Row>(&mut self, id: &str, wanted: &R) -> Result<Option<Placed<R>>, StoreError> {
        if self.dry {
            self.report.count(R::KIND, Fate::New, 1);
            return Ok(Some(Placed { row: wanted.clone(), fate: Fate::New }));
        }
        let target = match wanted.insert(&*self.store).await {
            Ok(target) => target,
            Err(error) => {
                let why = refused(error)?;
                self.report.leave(R::KIND, id, Fate::LeftOut, why);
                return Ok(None);
            }
        };
        self.report.count(R::KIND, Fate::New, 1);
        self.placed(id, wanted, &target, Fate::New).await
    }

    async fn over<R: Row>(
        &mut self,
        id: &str,
        wanted: &R,
        here: R,
        note: Option<&ImportNote>,
    ) -> Result<Placed<R>, StoreError> {
        let ours = note.is_some_and(|note| note.revision == here.revision());
        if !ours && !self.overwrite {
            let why = match note {
                Some(_) => "was changed here since the last import",
                None => "another one is here in its place",
            };
            self.report.leave(R::KIND, id, Fate::Different, why);
            return Ok(Placed { row: here, fate: Fate::Different });
        }
        if self.dry {
            self.report.count(R::KIND, Fate::Updated, 1);
            return Ok(Placed { row: here, fate: Fate::Updated });
        }
        if let Err(error) = wanted.update(&*self.store, &here).await {
            let why = refused(error)?;
            self.report.leave(R::KIND, id, Fate::Different, why);
            return Ok(Placed { row: here, fate: Fate::Different });
        }
        self.report.count(R::KIND, Fate::Updated, 1);
        let target = here.target();
        let placed = self.placed(id, wanted, &target, Fate::Updated).await?;
        Ok(placed.unwrap_or(Placed { row: here, fate: Fate::Updated }))
    }

    async fn placed<R: Row>(
        &mut self,
        id: &str,
        wanted: &R,
        target: &str,
        fate: Fate,
    ) -> Result<Option<Placed<R>>, StoreError> {
        let Some(row) = wanted.find(&*self.store, Some(target)).await? else { return Ok(None) };
        self.note::<R>(id, &row).await?;
        Ok(Some(Placed { row, fate }))
    }

    async fn note<R: Row>(&mut self, id: &str, row: &R) -> Result<(), StoreError> {
        self.write_note(R::KIND, id, &row.target(), row.revision()).await
    }

    pub(super) async fn write_note(
        &mut self,
        kind: &'static str,
        id: &str,
        target: &str,
        revision: i64,
    ) -> Result<(), StoreError> {
        if self.dry {
            return Ok(());
        }
        let notes = self.notes.entry(kind).or_default();
        notes.push(ImportNote { source_id: id.into(), target: target.into(), revision });
        if notes.len() >= NOTES { self.flush().await } else { Ok(()) }
    }

    /// Writes the notes that wait. A note that is lost is made again when its row is found equal.
    pub(super) async fn flush(&mut self) -> Result<(), StoreError> {
        for (kind, notes) in std::mem::take(&mut self.notes) {
            self.store.write_import_notes(&self.source, kind, &notes).await?;
        }
        Ok(())
    }
}

/// Writes `key` over `here`, its secret too.
pub(super) async fn write_key_over(store: &dyn ImportStore, here: &Key, key: &Key) -> Result<(), StoreError> {
    let mut key = key.clone();
    if key.digest != here.digest {
        store.replace_digest(here.id, here.revision, key.digest, &key.hint, key.updated_at).await?;
        key.revision += 1;
    }
    store.update_key(&key).await
}

/// Why the store does not take this one row; `Err` when it would take none.
fn refused(error: StoreError) -> Result<&'static str, StoreError> {
    match error {
        StoreError::DuplicateKey => Ok("another key with the same value is here"),
        StoreError::DuplicateName => Ok("another one with its name is here"),
        StoreError::NotFound => Ok("names a group or model that is not here"),
        StoreError::Conflict => Ok("somebody else changed it meanwhile; run the import again"),
        fatal => Err(fatal),
    }
}
