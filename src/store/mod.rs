//! Ports to the durable store, one per aggregate. SQLite fills them for one gateway, Postgres for many; `suite` says what
//! any engine must do. What a row holds is said once, in `rows` and `sealed`, and read by position through `columns`;
//! engines say what they store it as.
//!
//! Writes of configuration are visible to [`ChangeFeed::changes_since`] when they return.

mod columns;
mod imports;
pub mod loader;
mod names;
mod percentile;
pub mod postgres;
pub mod retention;
mod rows;
pub mod seal;
mod sealed;
pub mod sqlite;
#[cfg(test)]
pub(crate) mod suite;
mod tally;
mod text;

pub use crate::snapshot::{Change, Changes, Commit, Point};
pub use imports::{ImportNote, ImportStore, Numbered};

use crate::domain::{
    Account, CustomProvider, CustomProviderId, Event, EventFlag, GrantId, Group, GroupId, Key, KeyDigest, KeyId, Model,
    ModelId, Money, Role, Route, RouteId, Setting, SettingId, StoredObject, UnixMillis,
};
use async_trait::async_trait;
use std::sync::Arc;

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another key has the same digest.
    #[error("a key with this value exists already")]
    DuplicateKey,
    /// Another row of its kind (custom provider, model, group) has the same name; of a route, the same path.
    #[error("one with this name exists already")]
    DuplicateName,
    #[error("no such row")]
    NotFound,
    /// The row changed since it was read: read again and retry.
    #[error("the row was changed by somebody else")]
    Conflict,
    /// A sealed value was made with a master key that is not configured, or was tampered with.
    #[error("a sealed value cannot be opened with the configured master keys")]
    Unsealable,
    /// A report would have more points than memory should hold.
    #[error("the answer would be too large; ask for a shorter range, longer buckets or fewer groups")]
    TooLarge,
    /// What was read before is not what the store has: it fell back, as after a fail-over to a server that was behind.
    #[error("the store does not know the changes that were read before")]
    OtherHistory,
    /// It cannot be reached, or not do anything now, whatever was asked of it.
    #[error("the store failed: {0}")]
    Away(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the store failed: {0}")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
}

pub type Result<T> = std::result::Result<T, StoreError>;

fn engine(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Engine(Box::new(error))
}

/// Which part of a list, and how many there are in all when asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Paging {
    /// 0 = all.
    pub limit: u64,
    pub offset: u64,
    pub count: bool,
}

#[derive(Clone, Debug)]
pub struct Page<T> {
    pub rows: Vec<T>,
    /// Rows that match without paging; 0 unless [`Paging::count`].
    pub count: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Order {
    #[default]
    Descending,
    Ascending,
}

/// All filters that are present must match; none = all keys.
#[derive(Clone, Debug, Default)]
pub struct KeyFilter {
    /// The key has all of these.
    pub tags: Vec<String>,
    /// The key is one of these.
    pub ids: Option<Vec<KeyId>>,
    /// The key has a setting of this provider.
    pub provider: Option<String>,
    /// Case-insensitive part of the name, taken literally.
    pub name: Option<String>,
    pub revoked: Option<bool>,
    /// Case-insensitive part of the name or the email, taken literally.
    pub text: Option<String>,
    /// The whole name, as it is written.
    pub exact_name: Option<String>,
    /// The key belongs to this group; `Some(None)` = to none.
    pub group: Option<Option<GroupId>>,
    pub role: Option<Role>,
    pub sort: KeySort,
    pub order: Order,
    pub paging: Paging,
}

/// By what keys are listed; ties are broken by number, those of the creation by id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum KeySort {
    #[default]
    Created,
    Number,
    Name,
    /// All-time spend.
    Total,
    /// Used of the quota in the month that begins then.
    Month(UnixMillis),
    /// No quota is less than any.
    Quota,
    Balance,
    Updated,
}

/// A key's account and all-time spend, as the ledger has them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Books {
    pub account: Account,
    pub total: Money,
}

#[async_trait]
pub trait KeyStore: Send + Sync {
    /// Stores all of them in one transaction, or none: [`StoreError::DuplicateKey`] when one has the digest of a
    /// stored key or of another of them, [`StoreError::NotFound`] when one names a group or model that does not exist.
    /// Stored revisions are 1 and numbers are chosen here, whatever the keys say. Other writes wait meanwhile, so a
    /// caller with many sends some thousands at a time.
    async fn insert_keys(&self, keys: &[Key]) -> Result<()>;
    async fn insert_key(&self, key: &Key) -> Result<()> {
        self.insert_keys(std::slice::from_ref(key)).await
    }
    /// Replaces everything but digest, number, creation time and grants. `key.revision` is the one that was read;
    /// a different one in the store is [`StoreError::Conflict`]. The stored revision is then one more.
    /// [`StoreError::NotFound`] when there is no such key, or not the group that it names.
    async fn update_key(&self, key: &Key) -> Result<()>;
    /// With its grants and its account; its events and all-time spend stay.
    async fn delete_key(&self, id: KeyId) -> Result<()>;
    async fn key(&self, id: KeyId) -> Result<Option<Key>>;
    async fn list_keys(&self, filter: &KeyFilter) -> Result<Page<Key>>;
    /// As [`Self::key`], by [`Key::number`].
    async fn key_numbered(&self, number: i64) -> Result<Option<Key>>;
    /// As [`Self::key`], by digest.
    async fn key_with_digest(&self, digest: &KeyDigest) -> Result<Option<Key>>;
    /// Gives the key another secret: from now on only the new one is known. `revision` as in [`Self::update_key`]. The
    /// digest of another key is [`StoreError::DuplicateKey`].
    async fn replace_digest(
        &self,
        id: KeyId,
        revision: i64,
        digest: KeyDigest,
        hint: &str,
        at: UnixMillis,
    ) -> Result<()>;
    /// Adds to the balance (a negative amount adds nothing) and returns the account after it.
    async fn credit(&self, id: KeyId, amount: Money) -> Result<Account>;
    /// Of each of these keys that has ever spent or been credited.
    async fn books(&self, ids: &[KeyId]) -> Result<Vec<(KeyId, Books)>>;
    /// All accounts, from which counters are rebuilt.
    async fn accounts(&self) -> Result<Vec<(KeyId, Account)>>;
}

/// All filters that are present must match; none = all.
#[derive(Clone, Debug, Default)]
pub struct ModelFilter {
    /// Case-insensitive part of the name, taken literally.
    pub name: Option<String>,
    pub provider: Option<String>,
    /// By id.
    pub order: Order,
    pub paging: Paging,
}

/// Who is granted a model.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Grantee {
    Key(KeyId),
    Group(GroupId),
}

/// What is to be done about a grant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GrantAction {
    /// Grant what is not, revoke what is.
    Toggle,
    Bind,
    Unbind,
}

/// How it is afterwards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Granted {
    /// It is there, whoever made it.
    Yes,
    No,
}

/// One grant with what lists show of both sides.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    pub id: GrantId,
    /// Number of the key or id of the group.
    pub grantee: i64,
    pub grantee_name: Box<str>,
    pub created_at: UnixMillis,
    pub model: Model,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GranteeKind {
    Key,
    Group,
}

/// All filters that are present must match.
#[derive(Clone, Debug)]
pub struct GrantFilter {
    pub kind: GranteeKind,
    /// Number of the key or id of the group.
    pub grantee: Option<i64>,
    pub model: Option<ModelId>,
    /// Case-insensitive part of the grantee's or the model's name, taken literally.
    pub text: Option<String>,
    pub paging: Paging,
}

/// What a store gets that has never been used.
#[derive(Clone, Debug)]
pub struct FirstModels {
    pub group: Group,
    /// All granted to the group.
    pub models: Vec<Model>,
}

#[async_trait]
pub trait ModelStore: Send + Sync {
    /// Once in the life of a store: writes them unless that was done before, whatever has become of them since. The
    /// group gets id 1. A store that has had models or groups counts as done. Whether it was done now.
    async fn seed_models(&self, first: &FirstModels) -> Result<bool>;
    /// Chooses the id. A name that exists is [`StoreError::DuplicateName`].
    async fn insert_model(&self, model: &Model) -> Result<ModelId>;
    /// Replaces everything but id and creation time; otherwise as [`KeyStore::update_key`].
    async fn update_model(&self, model: &Model) -> Result<()>;
    /// With all its grants.
    async fn delete_model(&self, id: ModelId) -> Result<()>;
    async fn model(&self, id: ModelId) -> Result<Option<Model>>;
    async fn model_named(&self, name: &str) -> Result<Option<Model>>;
    async fn list_models(&self, filter: &ModelFilter) -> Result<Page<Model>>;
    /// As [`Self::insert_model`]; without grants.
    async fn insert_group(&self, group: &Group) -> Result<GroupId>;
    /// Name and code; otherwise as [`KeyStore::update_key`]. Grants stay.
    async fn update_group(&self, group: &Group) -> Result<()>;
    /// With its grants; its keys belong to no group then.
    async fn delete_group(&self, id: GroupId) -> Result<()>;
    async fn group(&self, id: GroupId) -> Result<Option<Group>>;
    /// `name`: case-insensitive part of it. By id, ascending.
    async fn list_groups(&self, name: Option<&str>, paging: Paging) -> Result<Page<Group>>;
    /// [`StoreError::NotFound`] when either side is unknown. Two callers at once end as if one came after the other.
    async fn grant(&self, grantee: Grantee, model: ModelId, action: GrantAction, at: UnixMillis) -> Result<Granted>;
    /// By id, ascending.
    async fn list_grants(&self, filter: &GrantFilter) -> Result<Page<Grant>>;
}

#[async_trait]
pub trait SettingStore: Send + Sync {
    /// As [`KeyStore::insert_key`]; an id that exists is [`StoreError::Conflict`].
    async fn insert_setting(&self, setting: &Setting) -> Result<()>;
    /// As [`KeyStore::update_key`].
    async fn update_setting(&self, setting: &Setting) -> Result<()>;
    async fn setting(&self, id: SettingId) -> Result<Option<Setting>>;
    /// All, or those of `ids` that exist; oldest first.
    async fn list_settings(&self, ids: Option<&[SettingId]>) -> Result<Vec<Setting>>;
}

#[async_trait]
pub trait CustomProviderStore: Send + Sync {
    /// As [`KeyStore::insert_key`]; a name that exists is [`StoreError::DuplicateName`].
    async fn insert_custom_provider(&self, provider: &CustomProvider) -> Result<()>;
    /// As [`KeyStore::update_key`]; name and creation time stay.
    async fn update_custom_provider(&self, provider: &CustomProvider) -> Result<()>;
    async fn custom_provider(&self, id: CustomProviderId) -> Result<Option<CustomProvider>>;
    /// `name` in lower case.
    async fn custom_provider_named(&self, name: &str) -> Result<Option<CustomProvider>>;
    /// All, oldest first.
    async fn list_custom_providers(&self) -> Result<Vec<CustomProvider>>;
}

#[async_trait]
pub trait RouteStore: Send + Sync {
    /// As [`KeyStore::insert_key`]; a path that exists is [`StoreError::DuplicateName`].
    async fn insert_route(&self, route: &Route) -> Result<()>;
    /// As [`KeyStore::update_key`]; creation time stays. Another route's path is [`StoreError::DuplicateName`].
    async fn update_route(&self, route: &Route) -> Result<()>;
    /// [`StoreError::NotFound`] when there is none.
    async fn delete_route(&self, id: RouteId) -> Result<()>;
    async fn route(&self, id: RouteId) -> Result<Option<Route>>;
    /// All, oldest first.
    async fn list_routes(&self) -> Result<Vec<Route>>;
}

#[async_trait]
pub trait ChangeFeed: Send + Sync {
    /// Changes after `point`, oldest first; the default one is the beginning. At most the last state of each row,
    /// deletions included. One answer may be a page only: ask again with its point until there are no changes.
    /// [`StoreError::OtherHistory`] when the store does not know the commit of `point`: what was read may be gone, and
    /// its positions may stand for other changes now.
    async fn changes_since(&self, point: Point) -> Result<Changes>;
}

/// What the ledger says a key has spent: the source from which counters are rebuilt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeySpend {
    pub key_id: KeyId,
    pub total: Money,
}

/// All filters that are present must match.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    pub custom_ids: Vec<String>,
    pub key_ids: Vec<KeyId>,
    pub user_ids: Vec<String>,
    /// The event carries all of these.
    pub tags: Vec<String>,
    /// Inclusive, whole seconds.
    pub start: Option<i64>,
    /// Inclusive, whole seconds.
    pub end: Option<i64>,
    pub status: Option<u16>,
    pub order: EventOrder,
    pub paging: Paging,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum EventOrder {
    #[default]
    OldestFirst,
    NewestFirst,
    CheapestFirst,
    DearestFirst,
}

/// A report over `[start, end)` in buckets of `increment` seconds.
#[derive(Clone, Debug, Default)]
pub struct ReportFilter {
    pub start: i64,
    pub end: i64,
    /// Seconds, at least 1.
    pub increment: i64,
    pub key_ids: Vec<KeyId>,
    /// The event carries all of these.
    pub tags: Vec<String>,
    pub custom_ids: Vec<String>,
    pub user_ids: Vec<String>,
    pub group_by: GroupBy,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GroupBy {
    pub model: bool,
    pub key: bool,
    pub custom_id: bool,
    pub user_id: bool,
}

/// One point; group fields that were not asked for are empty. Empty buckets have no point here: the caller fills them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ReportPoint {
    /// Start of the bucket: `start + n * increment`.
    pub at: i64,
    pub requests: u64,
    pub cost: Money,
    /// Sum, milliseconds.
    pub latency_ms: u64,
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    /// Events with status 200.
    pub successes: u64,
    pub model: String,
    pub key_id: String,
    pub custom_id: String,
    pub user_id: String,
}

/// Points in time order, and continuous percentiles (PostgreSQL's `percentile_cont`) of latency in milliseconds over the same events.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Report {
    pub points: Vec<ReportPoint>,
    pub latency_median_ms: f64,
    pub latency_p99_ms: f64,
}

/// Spend per key in `[start, end)`, plus keys created in it that spent nothing.
#[derive(Clone, Debug, Default)]
pub struct TopKeysFilter {
    pub start: i64,
    pub end: i64,
    /// Spend of events that carry all of these; unspent keys that have all of these.
    pub tags: Vec<String>,
    pub key_ids: Vec<KeyId>,
    /// As [`KeyFilter::name`]; with this or `revoked`, spend of deleted keys is left out.
    pub name: Option<String>,
    pub revoked: Option<bool>,
    pub order: Order,
    pub paging: Paging,
}

#[async_trait]
pub trait EventStore: Send + Sync {
    /// Writes what is not there yet (by event id), adds exactly that to each key's spend and takes it, when the event
    /// has a quota rule and the key still exists, from its account: in one transaction, a key's events in order.
    /// Objects that an event made or was charged for are written with it; an event that is charged for what another
    /// one bears already is stored at cost 0. Returns how many were new.
    async fn insert_events(&self, events: &[Event]) -> Result<usize>;
    /// [`EventStore::insert_events`] up to its end, and takes all of it back: whether these would be taken.
    async fn rehearse_events(&self, events: &[Event]) -> Result<usize>;
    async fn list_events(&self, filter: &EventFilter) -> Result<Page<Event>>;
    async fn report(&self, filter: &ReportFilter) -> Result<Report>;
    async fn top_keys(&self, filter: &TopKeysFilter) -> Result<Vec<KeySpend>>;
    /// Distinct non-empty `custom_id`s of a key's events, sorted.
    async fn custom_ids(&self, key: KeyId) -> Result<Vec<String>>;
    /// Distinct non-empty `user_id`s of a key's events, sorted.
    async fn user_ids(&self, key: KeyId) -> Result<Vec<String>>;
    /// Deletes at most `limit` of the events completed before `before`, the oldest first, with their bodies. Returns how
    /// many. All-time spend stays as it is; everything else is answered from the events that are left, and a deleted
    /// event that is written again is a new one.
    async fn delete_events_before(&self, before: UnixMillis, limit: u64) -> Result<u64>;
    /// As [`EventStore::delete_events_before`], whatever an engine can let go of at once; the rest is deleted by that one.
    async fn drop_events_before(&self, _before: UnixMillis) -> Result<u64> {
        Ok(0)
    }
    /// All-time spend of one key; `None` when the key never had an event.
    async fn spend_of(&self, key: KeyId) -> Result<Option<Money>>;
    /// All-time spend of every key that ever had an event.
    async fn spends(&self) -> Result<Vec<KeySpend>>;
    /// Cost per key of events completed at or after `since`.
    async fn spends_since(&self, since: UnixMillis) -> Result<Vec<KeySpend>>;
    /// Admitted (not refused) requests of `key` whose admission is at or after `since`.
    async fn admissions_since(&self, key: KeyId, since: UnixMillis) -> Result<u64>;
    /// [`EventStore::admissions_since`] of every key that has any. An engine does it in one pass.
    async fn admissions_by_key_since(&self, since: UnixMillis) -> Result<Vec<(KeyId, u64)>> {
        let mut found = Vec::new();
        for spend in self.spends_since(since).await? {
            let admissions = self.admissions_since(spend.key_id, since).await?;
            if admissions > 0 {
                found.push((spend.key_id, admissions));
            }
        }
        Ok(found)
    }
}

/// What providers keep for callers. Objects come in with the events that made them ([`Event::objects`]): the first
/// event that names an id as made decides whose it is, the first that names it as charged bears its cost.
#[async_trait]
pub trait ObjectStore: Send + Sync {
    /// Those of `ids` that are known, in no order.
    async fn objects(&self, provider: &str, ids: &[Box<str>]) -> Result<Vec<StoredObject>>;
    /// Those of `ids` that an event was charged for.
    async fn charged(&self, provider: &str, ids: &[Box<str>]) -> Result<Vec<Box<str>>>;
}

/// Everything a store is.
#[async_trait]
pub trait Store:
    KeyStore + SettingStore + CustomProviderStore + ModelStore + RouteStore + EventStore + ObjectStore + ChangeFeed
{
    /// Answers a trivial query; for readiness.
    async fn ping(&self) -> Result<()>;
    /// The schema's version after migrations.
    async fn schema_version(&self) -> Result<i64>;
}

pub type SharedStore = Arc<dyn Store>;

/// The other gateways on a shared store. A store of one gateway has none.
#[async_trait]
pub trait Peers: Send + Sync {
    /// Returns when one of them may have changed the configuration.
    async fn changed(&self);
    /// Tells them up to where of the change feed this one shows the configuration.
    async fn shows(&self, point: Point);
    /// Until each of them that lives shows `position`; a second at most.
    async fn await_shown(&self, position: i64);
    /// What is wrong with this gateway as one of them.
    fn fault(&self) -> Option<&'static str>;
}

/// Refused events do not count as admissions.
pub fn counts_as_admission(event: &Event) -> bool {
    !event.has(EventFlag::Refused)
}
