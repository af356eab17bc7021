//! Keys with their rules. Their digests stay, so whoever has the raw key goes on using it.

use crate::auth::digest::{digest, hint};
use crate::domain::{AllowedPath, Key, KeyDigest, KeyId, Money, RateLimit, SettingId, SpendLimit, Window, duration};
use crate::import::record::{Read, Record, fault};
use crate::import::source::{Table, View};
use crate::import::writer::{Row, Writer, write_key_over};
use crate::store::{ImportStore, StoreError};
use std::collections::HashSet;

const TABLE: Table = Table { name: "keys", id: "key_id", order: "created_at, key_id" };
const RATE_UNITS: [Window; 4] = [Window::Second, Window::Minute, Window::Hour, Window::Day];
const COST_UNITS: [Window; 4] = [Window::Minute, Window::Hour, Window::Day, Window::Month];

/// A key as far as this product knows it: what the key is in the unified API is not its business.
#[derive(Clone)]
struct ProxyKey(Key);

impl ProxyKey {
    /// `here` with what this key says.
    fn over(&self, here: &Key) -> Key {
        let Key { revision, number, membership, budget_mode, .. } = here.clone();
        Key { id: here.id, created_at: here.created_at, revision, number, membership, budget_mode, ..self.0.clone() }
    }
}

impl Row for ProxyKey {
    const KIND: &'static str = "keys";

    fn target(&self) -> String {
        self.0.id.to_string()
    }
    fn revision(&self) -> i64 {
        self.0.revision
    }
    fn same(&self, here: &Self) -> bool {
        let updated_at = here.0.updated_at;
        Key { updated_at, ..self.over(&here.0) } == here.0
    }
    async fn find(&self, store: &dyn ImportStore, became: Option<&str>) -> Result<Option<Self>, StoreError> {
        let id = became.and_then(KeyId::parse).unwrap_or(self.0.id);
        Ok(match store.key(id).await? {
            None => store.key_with_digest(&self.0.digest).await?,
            found => found,
        }
        .map(Self))
    }
    async fn insert(&self, store: &dyn ImportStore) -> Result<String, StoreError> {
        store.insert_key(&self.0).await?;
        Ok(self.target())
    }
    async fn update(&self, store: &dyn ImportStore, here: &Self) -> Result<(), StoreError> {
        write_key_over(store, &here.0, &self.over(&here.0)).await
    }
}

pub(super) async fn import(view: &View<'_>, writer: &mut Writer, settings: &HashSet<SettingId>) -> anyhow::Result<()> {
    writer.report.mention(ProxyKey::KIND);
    let Some(rows) = view.rows(TABLE).await? else { return Ok(()) };
    loop {
        let page = view.next(&rows).await?;
        if page.is_empty() {
            return Ok(());
        }
        for record in page {
            let mut remarks = Vec::new();
            match read(&record, settings, &mut remarks) {
                Ok(key) => {
                    writer.put(&record.id, &ProxyKey(key)).await?;
                }
                Err(why) => writer.report.broken(ProxyKey::KIND, &record.id, why),
            }
            for remark in remarks {
                writer.report.remark(ProxyKey::KIND, &record.id, remark);
            }
        }
    }
}

fn read(record: &Record, known: &HashSet<SettingId>, remarks: &mut Vec<String>) -> Read<Key> {
    let id = record.uuid("key_id")?.ok_or_else(|| fault("key_id", "is empty"))?;
    let is_key_not_hashed = record.flag("is_key_not_hashed")?;
    let (digest, hint) = secret(&record.text("key")?, is_key_not_hashed)?;
    let (single_setting, setting_ids) = setting_ids(record, known, remarks)?;
    let allowed_paths: Vec<AllowedPath> = record.json_as("allowed_paths")?;
    let ttl = record.text("ttl")?;
    if !ttl.is_empty() && duration::parse(&ttl).is_none() {
        return Err(fault("ttl", "is not a duration"));
    }
    if !record.text("policy_id")?.is_empty() {
        remarks.push("names a policy, which nobody enforces here".into());
    }
    Ok(Key {
        id: KeyId::from_uuid(id),
        number: 0,
        revision: 0,
        digest,
        hint,
        name: record.text("name")?,
        tags: record.texts("tags")?.into_iter().map(Into::into).collect(),
        created_at: record.seconds("created_at")?,
        updated_at: record.seconds("updated_at")?,
        revoked: record.flag("revoked")?,
        revoked_reason: record.text("revoked_reason")?,
        single_setting,
        setting_ids,
        rotation: record.flag("rotation_enabled")?,
        allowed_paths: allowed_paths.into(),
        ttl,
        rate: rate(record)?,
        total_budget: Some(usd(record, "cost_limit_in_usd")?).filter(|limit| !limit.is_zero()),
        window_budget: window_budget(record)?,
        budget_mode: None,
        log_request: record.flag("should_log_request")?,
        log_response: record.flag("should_log_response")?,
        // A key must not name a policy that nobody enforces.
        policy_id: Box::default(),
        is_key_not_hashed,
        membership: None,
    })
}

/// The column holds the digest in lower-case hex, or the raw key. A text that is no digest is a raw key too: it was
/// looked up by itself.
fn secret(stored: &str, is_raw: bool) -> Read<(KeyDigest, Box<str>)> {
    if stored.is_empty() {
        return Err(fault("key", "is empty"));
    }
    let is_hex = stored.len() == 64 && stored.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let mut bytes = [0; 32];
    if !is_raw && is_hex && hex::decode_to_slice(stored, &mut bytes).is_ok() {
        return Ok((KeyDigest::from_bytes(bytes), Box::default()));
    }
    Ok((digest(stored.as_bytes()), hint(stored).into()))
}

/// Whether it is the one id of long ago, and the ids in the order in which they are tried.
fn setting_ids(
    record: &Record,
    known: &HashSet<SettingId>,
    remarks: &mut Vec<String>,
) -> Read<(bool, Box<[SettingId]>)> {
    let single = record.uuid("setting_id")?;
    let mut ids: Vec<SettingId> = single.map(SettingId::from_uuid).into_iter().collect();
    let several = record.texts("setting_ids")?;
    for text in several.iter().filter(|text| !text.is_empty()) {
        let id = SettingId::parse(text).ok_or_else(|| fault("setting_ids", "has an id that is not a UUID"))?;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    for id in ids.iter().filter(|id| !known.contains(id)) {
        remarks.push(format!("names the provider setting {id}, which the source does not have"));
    }
    Ok((single.is_some() && several.is_empty(), ids.into()))
}

/// What is positive must not become zero, which means no limit.
fn usd(record: &Record, column: &str) -> Read<Money> {
    let amount = record.float_usd(column)?;
    if amount < Money::ZERO {
        return Err(fault(column, "is negative"));
    }
    let is_zero = record.json(column).is_none_or(|raw| raw.get().parse::<f64>().is_ok_and(|usd| usd == 0.0));
    if amount.is_zero() && !is_zero { Err(fault(column, "is less than 0.0000000001")) } else { Ok(amount) }
}

fn unit(record: &Record, column: &str, allowed: &[Window]) -> Read<Option<Window>> {
    let text = record.text(column)?;
    let window = Window::parse(&text).filter(|window| allowed.contains(window));
    if window.is_none() && !text.is_empty() { Err(fault(column, "is no unit that is known")) } else { Ok(window) }
}

fn window_budget(record: &Record) -> Read<Option<SpendLimit>> {
    let limit = usd(record, "cost_limit_in_usd_over_time")?;
    let window = unit(record, "cost_limit_in_usd_unit", &COST_UNITS)?;
    match (limit.is_zero(), window) {
        (true, _) => Ok(None),
        (false, Some(window)) => Ok(Some(SpendLimit { limit, window })),
        (false, None) => Err(fault("cost_limit_in_usd_unit", "is empty beside an amount")),
    }
}

fn rate(record: &Record) -> Read<Option<RateLimit>> {
    let limit = record.whole("rate_limit_over_time")?;
    let limit = u64::try_from(limit).map_err(|_| fault("rate_limit_over_time", "is negative"))?;
    let window = unit(record, "rate_limit_unit", &RATE_UNITS)?;
    match (limit, window) {
        (0, _) => Ok(None),
        (limit, Some(window)) => Ok(Some(RateLimit { limit, window })),
        (_, None) => Err(fault("rate_limit_unit", "is empty beside a number")),
    }
}
