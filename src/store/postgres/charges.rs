//! What an event costs whom: work is charged once, and quota and balance of a key are taken from in the order of events.
//!
//! Sums are made outside of SQL, where they saturate as [`Money`] does instead of failing.

use super::Result;
use super::brief::brief;
use super::row::all;
use crate::domain::{Account, Event, EventId, KeyId, Money};
use crate::store::rows::ACCOUNT;
use deadpool_postgres::Transaction;
use std::collections::{BTreeMap, HashMap, HashSet};
use uuid::Uuid;

/// Provider and object, as they are stored.
type Work = (String, String);

fn work_of<'e>(event: &'e Event) -> impl Iterator<Item = Work> + use<'e> {
    let charged = event.objects.as_deref().map_or(&[][..], |objects| &objects.charged);
    charged.iter().map(|id| (brief(&event.provider).into_owned(), brief(id).into_owned()))
}

/// Notes who bears what these events are charged for; those are returned that are charged for what another one bears.
/// Two gateways that do so at once wait for each other here.
pub(super) async fn bear(tx: &Transaction<'_>, events: &[&Event]) -> Result<HashSet<EventId>> {
    let mut asked: BTreeMap<Work, Option<EventId>> = BTreeMap::new();
    for event in events {
        for work in work_of(event) {
            let bearer = asked.entry(work).or_default();
            // Nobody's event bears nothing.
            *bearer = bearer.or(event.key_id.map(|_| event.id));
        }
    }
    if asked.is_empty() {
        return Ok(HashSet::new());
    }
    let (mut providers, mut objects, mut bearers): (Vec<&str>, Vec<&str>, Vec<Uuid>) = Default::default();
    for ((provider, object), bearer) in &asked {
        if let Some(bearer) = bearer {
            providers.push(provider);
            objects.push(object);
            bearers.push(*bearer.as_uuid());
        }
    }
    let sql = "INSERT INTO charges (provider, object_id, event_id) SELECT * FROM unnest($1::text[], $2::text[], $3::uuid[]) \
               ON CONFLICT (provider, object_id) DO NOTHING";
    tx.execute(&tx.prepare_cached(sql).await?, &[&providers, &objects, &bearers]).await?;
    let (providers, objects): (Vec<&str>, Vec<&str>) = asked.keys().map(|(p, o)| (p.as_str(), o.as_str())).unzip();
    let sql = "SELECT provider, object_id, event_id FROM charges \
               JOIN unnest($1::text[], $2::text[]) AS asked (provider, object_id) USING (provider, object_id)";
    let bearers: HashMap<Work, EventId> = all(tx, sql, &[&providers, &objects]).await?.into_iter().collect();
    let elsewhere =
        |event: &&&Event| work_of(event).any(|work| bearers.get(&work).is_some_and(|bearer| *bearer != event.id));
    Ok(events.iter().filter(elsewhere).map(|event| event.id).collect())
}

/// Takes costs from accounts of keys that exist, in the order of the events of a key. A cost of zero changes nothing.
pub(super) async fn take_from_accounts(tx: &Transaction<'_>, events: &[(&Event, Money)]) -> Result<()> {
    let charged: Vec<_> = events
        .iter()
        .filter(|(_, cost)| !cost.is_zero())
        .filter_map(|(event, cost)| Some((event.key_id?, event.quota?, *cost)))
        .collect();
    if charged.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = charged.iter().map(|(key, ..)| *key.as_uuid()).collect();
    let make = "INSERT INTO accounts (key_id, month, month_fee, balance, credited) \
                SELECT id, 0, 0, 0, 0 FROM keys WHERE id = ANY($1) ORDER BY id ON CONFLICT (key_id) DO NOTHING";
    tx.execute(&tx.prepare_cached(make).await?, &[&ids]).await?;
    let lock = format!("SELECT key_id, {ACCOUNT} FROM accounts WHERE key_id = ANY($1) ORDER BY key_id FOR UPDATE");
    let mut accounts: BTreeMap<KeyId, Account> = all(tx, &lock, &[&ids]).await?.into_iter().collect();
    for (key, rule, cost) in charged {
        if let Some(account) = accounts.get_mut(&key) {
            account.charge(cost, rule);
        }
    }
    let ids: Vec<Uuid> = accounts.keys().map(|key| *key.as_uuid()).collect();
    let months: Vec<i64> = accounts.values().map(|account| account.month.0).collect();
    let fees: Vec<i64> = accounts.values().map(|account| account.month_fee.units()).collect();
    let balances: Vec<i64> = accounts.values().map(|account| account.balance.units()).collect();
    let write = "UPDATE accounts SET month = new.month, month_fee = new.month_fee, balance = new.balance \
                 FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[]) AS new (id, month, month_fee, balance) \
                 WHERE key_id = new.id";
    tx.execute(&tx.prepare_cached(write).await?, &[&ids, &months, &fees, &balances]).await?;
    Ok(())
}
