//! The change feed, read in pages: which rows changed, then those rows, all on one consistent view.
//!
//! A kind that this version does not know is a later version's, which shares the database during an upgrade: it is
//! passed over, and what is known is told all the same.

use super::page::view;
use super::row::all;
use super::{PostgresStore, Result, commits, custom_providers, groups, models, routes, settings, twice};
use crate::domain::{CustomProviderId, GroupId, Key, KeyDigest, KeyId, ModelId, RouteId, SettingId};
use crate::store::columns::Columns;
use crate::store::names::Kind;
use crate::store::rows::KEY;
use crate::store::seal::Sealer;
use crate::store::{Change, ChangeFeed, Changes, Point};
use async_trait::async_trait;
use deadpool_postgres::Transaction;
use futures_util::future::try_join_all;
use std::collections::HashMap;
use uuid::Uuid;

/// Rows per answer: bounds memory while a million keys are loaded.
const PAGE: i64 = 10_000;
/// Questions on their way at one time. Of anything but keys there are few.
const AT_ONCE: usize = 64;

/// A row of the feed.
struct Noted {
    kind: Kind,
    row: Vec<u8>,
    gone: Option<Vec<u8>>,
}

#[async_trait]
impl ChangeFeed for PostgresStore {
    async fn changes_since(&self, point: Point) -> Result<Changes> {
        twice(|| async {
            let mut connection = self.connection().await?;
            let tx = view(&mut connection).await?;
            // On one connection these go out together: one round trip.
            let (commit, (position, noted)) = tokio::try_join!(commits::newest(&tx, point), page(&tx, point.position))?;
            let mut keys = keys_of(&tx, &noted).await?;
            let mut changes = Vec::with_capacity(noted.len());
            for some in noted.chunks(AT_ONCE) {
                let rows = some.iter().filter(|noted| noted.kind != Kind::Key);
                let mut rows = try_join_all(rows.map(|noted| read(&tx, &self.sealer, noted))).await?.into_iter();
                for noted in some {
                    changes.extend(match noted.kind {
                        Kind::Key => key_change(noted, &mut keys),
                        _ => rows.next().flatten(),
                    });
                }
            }
            tx.commit().await?;
            Ok(Changes { point: Point { position, commit }, changes })
        })
        .await
    }
}

async fn page(tx: &Transaction<'_>, after: i64) -> Result<(i64, Vec<Noted>)> {
    let statement = tx
        .prepare_cached(
            "SELECT position, kind, row_id, gone FROM changes WHERE position > $1 AND kind = ANY($2) \
             ORDER BY position LIMIT $3",
        )
        .await?;
    let known = Kind::ALL.map(Kind::name);
    let mut position = after;
    let mut noted = Vec::new();
    for row in tx.query(&statement, &[&after, &known.as_slice(), &PAGE]).await? {
        let mut columns = Columns::new(&row);
        position = columns.take()?;
        let kind = columns.take()?;
        noted.push(Noted { kind, row: columns.take()?, gone: columns.take()? });
    }
    Ok((position, noted))
}

/// The page's keys in one question: a start reads them all. By their ids, never by a join, which could come to read
/// every key for each page.
async fn keys_of(tx: &Transaction<'_>, noted: &[Noted]) -> Result<HashMap<KeyId, Key>> {
    let living = noted.iter().filter(|noted| noted.kind == Kind::Key && noted.gone.is_none());
    let ids: Vec<Uuid> = living.filter_map(|noted| id(&noted.row)).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let keys: Vec<Key> = all(tx, &format!("SELECT number, {KEY} FROM keys WHERE id = ANY($1)"), &[&ids]).await?;
    Ok(keys.into_iter().map(|key| (key.id, key)).collect())
}

/// Living rows are read on the same view, so they are there, unless an operator's SQL took them.
fn key_change(noted: &Noted, keys: &mut HashMap<KeyId, Key>) -> Option<Change> {
    let id = KeyId::from_uuid(id(&noted.row)?);
    match &noted.gone {
        Some(gone) => Some(Change::KeyGone { id, digest: digest(gone)? }),
        None => keys.remove(&id).map(|key| Change::Key(Box::new(key))),
    }
}

async fn read(tx: &Transaction<'_>, sealer: &Sealer, noted: &Noted) -> Result<Option<Change>> {
    let (row, uuid, number) = (&noted.row, id(&noted.row), number(&noted.row));
    Ok(match (noted.kind, uuid, number) {
        (Kind::OldDigest, ..) => {
            let id = row.first_chunk().map(|id| KeyId::from_uuid(Uuid::from_bytes(*id)));
            let digest = noted.gone.as_deref().and_then(digest);
            id.zip(digest).map(|(id, digest)| Change::KeyGone { id, digest })
        }
        (Kind::Setting, Some(id), _) => {
            let found = settings::find(tx, sealer, SettingId::from_uuid(id)).await?;
            found.map(|setting| Change::Setting(Box::new(setting)))
        }
        (Kind::CustomProvider, Some(id), _) => {
            let found = custom_providers::find(tx, CustomProviderId::from_uuid(id)).await?;
            found.map(|provider| Change::CustomProvider(Box::new(provider)))
        }
        (Kind::Model, _, Some(id)) => {
            let found = models::find(tx, sealer, ModelId(id)).await?;
            Some(found.map_or(Change::ModelGone(ModelId(id)), |model| Change::Model(Box::new(model))))
        }
        (Kind::Group, _, Some(id)) => {
            let found = groups::find(tx, GroupId(id)).await?;
            Some(found.map_or(Change::GroupGone(GroupId(id)), |group| Change::Group(Box::new(group))))
        }
        (Kind::Standing, Some(id), _) => Some(Change::Standing(KeyId::from_uuid(id))),
        (Kind::Route, Some(id), _) => {
            let id = RouteId::from_uuid(id);
            let found = routes::find(tx, id).await?;
            Some(found.map_or(Change::RouteGone(id), |route| Change::Route(Box::new(route))))
        }
        _ => None,
    })
}

fn id(row: &[u8]) -> Option<Uuid> {
    Uuid::from_slice(row).ok()
}

fn number(row: &[u8]) -> Option<i64> {
    row.try_into().ok().map(i64::from_be_bytes)
}

fn digest(bytes: &[u8]) -> Option<KeyDigest> {
    bytes.try_into().ok().map(KeyDigest::from_bytes)
}
