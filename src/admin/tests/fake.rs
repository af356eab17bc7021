//! The ports of the admin listener in memory: small, but keeps what the port's documentation promises.

use crate::domain::time::Clock;
use crate::domain::*;
use crate::limits::{Ask, Counters, CountersUnavailable, Settlement, Verdict};
use crate::store::*;
use async_trait::async_trait;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

#[derive(Default)]
pub(super) struct FakeStore {
    pub(super) keys: Mutex<Vec<Key>>,
    pub(super) settings: Mutex<Vec<Setting>>,
    pub(super) custom: Mutex<Vec<CustomProvider>>,
    pub(super) routes: Mutex<Vec<Route>>,
    pub(super) models: Mutex<Vec<Model>>,
    pub(super) events: Mutex<Vec<Event>>,
    /// Every call fails as an engine would.
    pub(super) broken: AtomicBool,
    /// So many updates still meet somebody else's.
    pub(super) conflicts: AtomicU64,
}

impl FakeStore {
    fn up(&self) -> Result<()> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(StoreError::Engine("SELECT secret FROM keys: disk I/O error".into()));
        }
        Ok(())
    }
    fn contested(&self) -> bool {
        self.conflicts.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok()
    }
}

fn carries(have: &[Box<str>], wanted: &[String]) -> bool {
    wanted.iter().all(|tag| have.iter().any(|t| **t == **tag))
}

fn has_part(name: &str, part: Option<&String>) -> bool {
    part.is_none_or(|part| name.to_lowercase().contains(&part.to_lowercase()))
}

fn paged<T>(rows: Vec<T>, paging: Paging) -> Page<T> {
    let count = if paging.count { rows.len() as u64 } else { 0 };
    let limit = if paging.limit == 0 { usize::MAX } else { usize::try_from(paging.limit).unwrap() };
    Page { rows: rows.into_iter().skip(usize::try_from(paging.offset).unwrap()).take(limit).collect(), count }
}

#[async_trait]
impl KeyStore for FakeStore {
    async fn insert_keys(&self, keys: &[Key]) -> Result<()> {
        self.up()?;
        let mut stored = self.keys.lock();
        let mut digests: BTreeSet<_> = stored.iter().map(|k| k.digest).collect();
        if !keys.iter().all(|key| digests.insert(key.digest)) {
            return Err(StoreError::DuplicateKey);
        }
        stored.extend(keys.iter().map(|key| Key { revision: 1, ..key.clone() }));
        Ok(())
    }
    async fn update_key(&self, key: &Key) -> Result<()> {
        self.up()?;
        let mut keys = self.keys.lock();
        let row = keys.iter_mut().find(|k| k.id == key.id).ok_or(StoreError::NotFound)?;
        if self.contested() {
            row.revision += 1;
        }
        if row.revision != key.revision {
            return Err(StoreError::Conflict);
        }
        let (digest, created_at) = (row.digest, row.created_at);
        *row = Key { revision: key.revision + 1, digest, created_at, ..key.clone() };
        Ok(())
    }
    async fn delete_key(&self, id: KeyId) -> Result<()> {
        self.up()?;
        let mut keys = self.keys.lock();
        let at = keys.iter().position(|k| k.id == id).ok_or(StoreError::NotFound)?;
        keys.remove(at);
        Ok(())
    }
    async fn key(&self, id: KeyId) -> Result<Option<Key>> {
        self.up()?;
        Ok(self.keys.lock().iter().find(|k| k.id == id).cloned())
    }
    async fn list_keys(&self, filter: &KeyFilter) -> Result<Page<Key>> {
        self.up()?;
        let settings = self.settings.lock();
        let of_provider = |key: &Key, provider: &String| {
            settings.iter().any(|s| *s.provider == **provider && key.setting_ids.contains(&s.id))
        };
        let mut rows: Vec<Key> = self
            .keys
            .lock()
            .iter()
            .filter(|k| carries(&k.tags, &filter.tags))
            .filter(|k| filter.ids.as_ref().is_none_or(|ids| ids.contains(&k.id)))
            .filter(|k| filter.provider.as_ref().is_none_or(|p| of_provider(k, p)))
            .filter(|k| has_part(&k.name, filter.name.as_ref()))
            .filter(|k| filter.revoked.is_none_or(|r| r == k.revoked))
            .cloned()
            .collect();
        rows.sort_by_key(|k| (k.created_at, k.id));
        if filter.order == Order::Descending {
            rows.reverse();
        }
        Ok(paged(rows, filter.paging))
    }
    async fn key_numbered(&self, number: i64) -> Result<Option<Key>> {
        Ok(self.keys.lock().iter().find(|k| k.number == number).cloned())
    }
    async fn key_with_digest(&self, digest: &KeyDigest) -> Result<Option<Key>> {
        Ok(self.keys.lock().iter().find(|k| k.digest == *digest).cloned())
    }
    async fn replace_digest(&self, _: KeyId, _: i64, _: KeyDigest, _: &str, _: UnixMillis) -> Result<()> {
        Err(StoreError::NotFound)
    }
    async fn credit(&self, _: KeyId, _: Money) -> Result<Account> {
        Err(StoreError::NotFound)
    }
    async fn books(&self, _: &[KeyId]) -> Result<Vec<(KeyId, Books)>> {
        Ok(Vec::new())
    }
    async fn accounts(&self) -> Result<Vec<(KeyId, Account)>> {
        Ok(Vec::new())
    }
}

/// Of the unified API, this store is asked for models by name only.
#[async_trait]
impl ModelStore for FakeStore {
    async fn seed_models(&self, _: &FirstModels) -> Result<bool> {
        Err(StoreError::NotFound)
    }
    async fn insert_model(&self, _: &Model) -> Result<ModelId> {
        Err(StoreError::NotFound)
    }
    async fn update_model(&self, _: &Model) -> Result<()> {
        Err(StoreError::NotFound)
    }
    async fn delete_model(&self, _: ModelId) -> Result<()> {
        Err(StoreError::NotFound)
    }
    async fn model(&self, _: ModelId) -> Result<Option<Model>> {
        Err(StoreError::NotFound)
    }
    async fn model_named(&self, name: &str) -> Result<Option<Model>> {
        self.up()?;
        Ok(self.models.lock().iter().find(|row| *row.name == *name).cloned())
    }
    async fn list_models(&self, _: &ModelFilter) -> Result<Page<Model>> {
        Err(StoreError::NotFound)
    }
    async fn insert_group(&self, _: &Group) -> Result<GroupId> {
        Err(StoreError::NotFound)
    }
    async fn update_group(&self, _: &Group) -> Result<()> {
        Err(StoreError::NotFound)
    }
    async fn delete_group(&self, _: GroupId) -> Result<()> {
        Err(StoreError::NotFound)
    }
    async fn group(&self, _: GroupId) -> Result<Option<Group>> {
        Err(StoreError::NotFound)
    }
    async fn list_groups(&self, _: Option<&str>, _: Paging) -> Result<Page<Group>> {
        Err(StoreError::NotFound)
    }
    async fn grant(&self, _: Grantee, _: ModelId, _: GrantAction, _: UnixMillis) -> Result<Granted> {
        Err(StoreError::NotFound)
    }
    async fn list_grants(&self, _: &GrantFilter) -> Result<Page<Grant>> {
        Err(StoreError::NotFound)
    }
}

#[async_trait]
impl SettingStore for FakeStore {
    async fn insert_setting(&self, setting: &Setting) -> Result<()> {
        self.up()?;
        self.settings.lock().push(Setting { revision: 1, ..setting.clone() });
        Ok(())
    }
    async fn update_setting(&self, setting: &Setting) -> Result<()> {
        self.up()?;
        let mut settings = self.settings.lock();
        let row = settings.iter_mut().find(|s| s.id == setting.id).ok_or(StoreError::NotFound)?;
        if self.contested() {
            row.revision += 1;
        }
        if row.revision != setting.revision {
            return Err(StoreError::Conflict);
        }
        *row = Setting { revision: setting.revision + 1, created_at: row.created_at, ..setting.clone() };
        Ok(())
    }
    async fn setting(&self, id: SettingId) -> Result<Option<Setting>> {
        self.up()?;
        Ok(self.settings.lock().iter().find(|s| s.id == id).cloned())
    }
    async fn list_settings(&self, ids: Option<&[SettingId]>) -> Result<Vec<Setting>> {
        self.up()?;
        let settings = self.settings.lock();
        Ok(settings.iter().filter(|s| ids.is_none_or(|ids| ids.contains(&s.id))).cloned().collect())
    }
}

#[async_trait]
impl CustomProviderStore for FakeStore {
    async fn insert_custom_provider(&self, provider: &CustomProvider) -> Result<()> {
        self.up()?;
        let mut rows = self.custom.lock();
        if rows.iter().any(|row| row.name == provider.name) {
            return Err(StoreError::DuplicateName);
        }
        rows.push(CustomProvider { revision: 1, ..provider.clone() });
        Ok(())
    }
    async fn update_custom_provider(&self, provider: &CustomProvider) -> Result<()> {
        self.up()?;
        let mut rows = self.custom.lock();
        let row = rows.iter_mut().find(|row| row.id == provider.id).ok_or(StoreError::NotFound)?;
        if self.contested() {
            row.revision += 1;
        }
        if row.revision != provider.revision {
            return Err(StoreError::Conflict);
        }
        *row = CustomProvider { revision: provider.revision + 1, ..provider.clone() };
        Ok(())
    }
    async fn custom_provider(&self, id: CustomProviderId) -> Result<Option<CustomProvider>> {
        self.up()?;
        Ok(self.custom.lock().iter().find(|row| row.id == id).cloned())
    }
    async fn custom_provider_named(&self, name: &str) -> Result<Option<CustomProvider>> {
        self.up()?;
        Ok(self.custom.lock().iter().find(|row| *row.name == *name).cloned())
    }
    async fn list_custom_providers(&self) -> Result<Vec<CustomProvider>> {
        self.up()?;
        Ok(self.custom.lock().clone())
    }
}

#[async_trait]
impl RouteStore for FakeStore {
    async fn insert_route(&self, route: &Route) -> Result<()> {
        self.up()?;
        let mut rows = self.routes.lock();
        if rows.iter().any(|row| row.path == route.path) {
            return Err(StoreError::DuplicateName);
        }
        rows.push(Route { revision: 1, ..route.clone() });
        Ok(())
    }
    async fn update_route(&self, route: &Route) -> Result<()> {
        self.up()?;
        let mut rows = self.routes.lock();
        let taken = rows.iter().any(|row| row.path == route.path && row.id != route.id);
        let row = rows.iter_mut().find(|row| row.id == route.id).ok_or(StoreError::NotFound)?;
        if self.contested() {
            row.revision += 1;
        }
        if row.revision != route.revision {
            return Err(StoreError::Conflict);
        }
        if taken {
            return Err(StoreError::DuplicateName);
        }
        *row = Route { revision: route.revision + 1, created_at: row.created_at, ..route.clone() };
        Ok(())
    }
    async fn delete_route(&self, id: RouteId) -> Result<()> {
        self.up()?;
        let mut rows = self.routes.lock();
        let before = rows.len();
        rows.retain(|row| row.id != id);
        if rows.len() == before { Err(StoreError::NotFound) } else { Ok(()) }
    }
    async fn route(&self, id: RouteId) -> Result<Option<Route>> {
        self.up()?;
        Ok(self.routes.lock().iter().find(|row| row.id == id).cloned())
    }
    async fn list_routes(&self) -> Result<Vec<Route>> {
        self.up()?;
        Ok(self.routes.lock().clone())
    }
}

#[async_trait]
impl ChangeFeed for FakeStore {
    async fn changes_since(&self, _point: Point) -> Result<Changes> {
        unreachable!("the admin listener does not read the feed")
    }
}

/// PostgreSQL's `percentile_cont`.
#[expect(clippy::float_arithmetic, clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a test")]
#[expect(clippy::cast_sign_loss, reason = "a test")]
fn percentile(sorted: &[u64], part: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let rank = part * last as f64;
    let (low, high) = (sorted[rank.floor() as usize] as f64, sorted[rank.ceil() as usize] as f64);
    low + (high - low) * rank.fract()
}

fn is_one_of(wanted: &[String], text: &str) -> bool {
    wanted.is_empty() || wanted.iter().any(|w| w == text)
}

fn is_key_of(wanted: &[KeyId], id: Option<KeyId>) -> bool {
    wanted.is_empty() || id.is_some_and(|id| wanted.contains(&id))
}

#[async_trait]
impl EventStore for FakeStore {
    async fn insert_events(&self, events: &[Event]) -> Result<usize> {
        self.up()?;
        let mut stored = self.events.lock();
        let before = stored.len();
        for event in events {
            if stored.iter().all(|e| e.id != event.id) {
                stored.push(event.clone());
            }
        }
        Ok(stored.len() - before)
    }
    async fn rehearse_events(&self, events: &[Event]) -> Result<usize> {
        self.up().map(|()| events.len())
    }
    async fn list_events(&self, filter: &EventFilter) -> Result<Page<Event>> {
        self.up()?;
        let mut rows: Vec<Event> = self
            .events
            .lock()
            .iter()
            .filter(|e| is_one_of(&filter.custom_ids, &e.custom_id) && is_one_of(&filter.user_ids, &e.user_id))
            .filter(|e| is_key_of(&filter.key_ids, e.key_id) && carries(&e.tags, &filter.tags))
            .filter(|e| filter.start.is_none_or(|start| e.created_at.seconds() >= start))
            .filter(|e| filter.end.is_none_or(|end| e.created_at.seconds() <= end))
            .filter(|e| filter.status.is_none_or(|status| e.status == status))
            .cloned()
            .collect();
        match filter.order {
            EventOrder::OldestFirst => rows.sort_by_key(|e| e.created_at),
            EventOrder::NewestFirst => rows.sort_by_key(|e| std::cmp::Reverse(e.created_at)),
            EventOrder::CheapestFirst => rows.sort_by_key(|e| e.cost),
            EventOrder::DearestFirst => rows.sort_by_key(|e| std::cmp::Reverse(e.cost)),
        }
        Ok(paged(rows, filter.paging))
    }
    async fn report(&self, filter: &ReportFilter) -> Result<Report> {
        self.up()?;
        let mut points: BTreeMap<(i64, [String; 4]), ReportPoint> = BTreeMap::new();
        let mut latencies = Vec::new();
        for event in self.events.lock().iter() {
            let seconds = event.created_at.seconds();
            let inside = (filter.start..filter.end).contains(&seconds)
                && is_key_of(&filter.key_ids, event.key_id)
                && carries(&event.tags, &filter.tags)
                && is_one_of(&filter.custom_ids, &event.custom_id)
                && is_one_of(&filter.user_ids, &event.user_id);
            if !inside {
                continue;
            }
            let by = filter.group_by;
            let group = |wanted: bool, text: &str| if wanted { text.to_owned() } else { String::new() };
            let groups = [
                group(by.model, &event.model),
                group(by.key, &event.key_id.map(|id| id.to_string()).unwrap_or_default()),
                group(by.custom_id, &event.custom_id),
                group(by.user_id, &event.user_id),
            ];
            let at = filter.start + (seconds - filter.start) / filter.increment * filter.increment;
            let [model, key_id, custom_id, user_id] = groups.clone();
            let empty = ReportPoint { at, model, key_id, custom_id, user_id, ..ReportPoint::default() };
            let point = points.entry((at, groups)).or_insert(empty);
            point.requests += 1;
            point.cost = point.cost.saturating_add(event.cost);
            point.latency_ms += event.latency_ms;
            point.prompt_tokens += event.usage.prompt_tokens();
            point.completion_tokens += event.usage.completion_tokens();
            point.successes += u64::from(event.status == 200);
            latencies.push(event.latency_ms);
        }
        latencies.sort_unstable();
        Ok(Report {
            points: points.into_values().collect(),
            latency_median_ms: percentile(&latencies, 0.5),
            latency_p99_ms: percentile(&latencies, 0.99),
        })
    }
    async fn top_keys(&self, filter: &TopKeysFilter) -> Result<Vec<KeySpend>> {
        self.up()?;
        let mut spends: BTreeMap<KeyId, Money> = BTreeMap::new();
        let range = filter.start..filter.end;
        for key in self.keys.lock().iter().filter(|k| range.contains(&k.created_at.seconds())) {
            spends.insert(key.id, Money::ZERO);
        }
        for event in self.events.lock().iter().filter(|e| range.contains(&e.created_at.seconds())) {
            let spent = spends.entry(event.key_id.unwrap()).or_default();
            *spent = spent.saturating_add(event.cost);
        }
        let keys = self.keys.lock();
        let passes = |id: &KeyId| {
            keys.iter().find(|k| k.id == *id).is_some_and(|k| {
                carries(&k.tags, &filter.tags)
                    && has_part(&k.name, filter.name.as_ref())
                    && filter.revoked.is_none_or(|r| r == k.revoked)
            })
        };
        let chosen = spends.into_iter().filter(|(id, _)| passes(id) && is_key_of(&filter.key_ids, Some(*id)));
        let mut rows: Vec<_> = chosen.map(|(key_id, total)| KeySpend { key_id, total }).collect();
        rows.sort_by_key(|row| row.total);
        if filter.order == Order::Descending {
            rows.reverse();
        }
        Ok(paged(rows, filter.paging).rows)
    }
    async fn custom_ids(&self, key: KeyId) -> Result<Vec<String>> {
        self.up()?;
        let events = self.events.lock();
        let ids: BTreeSet<_> =
            events.iter().filter(|e| e.key_id == Some(key)).map(|e| e.custom_id.to_string()).collect();
        Ok(ids.into_iter().filter(|id| !id.is_empty()).collect())
    }
    async fn user_ids(&self, key: KeyId) -> Result<Vec<String>> {
        self.up()?;
        let events = self.events.lock();
        let ids: BTreeSet<_> = events.iter().filter(|e| e.key_id == Some(key)).map(|e| e.user_id.to_string()).collect();
        Ok(ids.into_iter().filter(|id| !id.is_empty()).collect())
    }
    async fn spend_of(&self, key: KeyId) -> Result<Option<Money>> {
        self.up()?;
        let events = self.events.lock();
        let costs: Vec<_> = events.iter().filter(|e| e.key_id == Some(key)).map(|e| e.cost).collect();
        Ok((!costs.is_empty()).then(|| costs.into_iter().sum()))
    }
    async fn spends(&self) -> Result<Vec<KeySpend>> {
        unreachable!("the admin listener does not rebuild counters")
    }
    async fn spends_since(&self, _since: UnixMillis) -> Result<Vec<KeySpend>> {
        unreachable!("the admin listener does not rebuild counters")
    }
    async fn delete_events_before(&self, _before: UnixMillis, _limit: u64) -> Result<u64> {
        unreachable!("the admin listener deletes no events")
    }
    async fn admissions_since(&self, _key: KeyId, _since: UnixMillis) -> Result<u64> {
        unreachable!("the admin listener does not rebuild counters")
    }
}

#[async_trait]
impl ObjectStore for FakeStore {
    async fn objects(&self, _: &str, _: &[Box<str>]) -> Result<Vec<StoredObject>> {
        Ok(Vec::new())
    }
    async fn charged(&self, _: &str, _: &[Box<str>]) -> Result<Vec<Box<str>>> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Store for FakeStore {
    async fn ping(&self) -> Result<()> {
        self.up()
    }
    async fn schema_version(&self) -> Result<i64> {
        Ok(1)
    }
}

/// Remembers which counts were forgotten.
#[derive(Default)]
pub(super) struct FakeCounters {
    pub(super) rates: Mutex<Vec<KeyId>>,
    pub(super) budgets: Mutex<Vec<KeyId>>,
}

#[async_trait]
impl Counters for FakeCounters {
    async fn admit(&self, _ask: &Ask) -> std::result::Result<Verdict, CountersUnavailable> {
        unreachable!("the admin listener admits nothing")
    }
    fn settle(&self, _settlement: Settlement) {}
    fn release(&self, _ask: &Ask) {}
    async fn spent(&self, _key: KeyId) -> std::result::Result<Money, CountersUnavailable> {
        Err(CountersUnavailable)
    }
    async fn account(&self, _key: KeyId) -> std::result::Result<Account, CountersUnavailable> {
        Err(CountersUnavailable)
    }
    async fn credit(&self, _key: KeyId, _amount: Money) {}
    async fn reset_rate(&self, key: KeyId) {
        self.rates.lock().push(key);
    }
    async fn reset_window_budget(&self, key: KeyId) {
        self.budgets.lock().push(key);
    }
    fn holds(&self) -> (u64, Money) {
        (0, Money::ZERO)
    }
}

/// Stands still until told, in seconds.
#[derive(Default)]
pub(super) struct FakeClock(pub(super) AtomicI64);

impl Clock for FakeClock {
    fn now(&self) -> UnixMillis {
        UnixMillis::from_seconds(self.0.load(Ordering::Relaxed))
    }
}
