//! What shared counters ask of the ledger: one key as it stands, read from one view of the database.

use super::cover::HOUR;
use super::row::{all, one};
use super::spend::ragged_ids;
use super::sums::{saturated, since};
use super::{PostgresStore, Result, twice};
use crate::domain::{InstanceId, KeyId, Money, UnixMillis};
use crate::limits::{CountersUnavailable, SharedLedger, Since, Standing};
use crate::store::columns::read;
use crate::store::rows::ACCOUNT;
use crate::store::tally::earliest_end;
use async_trait::async_trait;
use deadpool_postgres::GenericClient;

#[async_trait]
impl SharedLedger for PostgresStore {
    async fn standing(&self, key: KeyId, since: Since) -> std::result::Result<Standing, CountersUnavailable> {
        twice(|| self.stand(key, since)).await.map_err(|error| unavailable(&error))
    }

    async fn spent_by(&self, instance: InstanceId) -> std::result::Result<Vec<(KeyId, Money)>, CountersUnavailable> {
        twice(|| self.booked_by(instance)).await.map_err(|error| unavailable(&error))
    }
}

/// Counters tell their caller no more than that they cannot answer, so it is said here why.
fn unavailable(error: &super::StoreError) -> CountersUnavailable {
    tracing::warn!(%error, "the ledger cannot be asked what was spent");
    CountersUnavailable
}

impl PostgresStore {
    async fn stand(&self, key: KeyId, since: Since) -> Result<Standing> {
        let mut connection = self.connection().await?;
        let tx = super::view(&mut connection).await?;
        // On one connection these go out together: one round trip.
        let (spent, window_spent, admitted, (account, credited)) = tokio::try_join!(
            spent(&tx, key),
            async {
                if let Some(moment) = since.window { spent_since(&tx, key, moment).await } else { Ok(Money::ZERO) }
            },
            async { if let Some(moment) = since.rate { admitted(&tx, key, moment).await } else { Ok(Vec::new()) } },
            books(&tx, key),
        )?;
        tx.commit().await?;
        Ok(Standing { spent, window_spent, admitted, account, credited })
    }

    async fn booked_by(&self, instance: InstanceId) -> Result<Vec<(KeyId, Money)>> {
        let sql = "SELECT key_id, total FROM key_spend WHERE instance = $1 ORDER BY key_id";
        self.connection().await?.query(sql, &[&instance.0]).await?.iter().map(read).collect()
    }
}

async fn spent(client: &impl GenericClient, key: KeyId) -> Result<Vec<(InstanceId, Money)>> {
    let sql = "SELECT instance, total FROM key_spend WHERE key_id = $1 ORDER BY instance";
    all(client, sql, &[key.as_uuid()]).await
}

/// Cost of the events that ended at or after a moment.
async fn spent_since(client: &impl GenericClient, key: KeyId, moment: UnixMillis) -> Result<Money> {
    let cover = since(moment.0);
    let [spans, from, to] = cover.sums();
    let (start, end) = cover.events.first().copied().unwrap_or_default();
    let sql = format!(
        "SELECT {} FROM (SELECT cost FROM unnest($2::bigint[], $3::bigint[], $4::bigint[]) AS piece (of, since, till) \
             JOIN usage_by_time ON key_id = $1 AND span = of AND start >= since AND start < till \
         UNION ALL SELECT cost FROM events WHERE key_id = $1 AND created_at >= $5 AND created_at < $6) AS parts",
        saturated("sum(cost)")
    );
    Ok(one(client, &sql, &[key.as_uuid(), &spans, &from, &to, &start, &end]).await?.unwrap_or_default())
}

/// Requests that were admitted at or after a moment, by who booked them. In the hour of that moment they are looked for
/// by when they ended: the sums of the hour say when the last one did.
pub(super) async fn admitted(
    client: &impl GenericClient,
    key: KeyId,
    moment: UnixMillis,
) -> Result<Vec<(InstanceId, u64)>> {
    let [spans, from, to] = since(moment.0).sums();
    let [first, last] = ragged_ids(moment);
    let hour = moment.0.div_euclid(HOUR).saturating_mul(HOUR);
    let sql = "SELECT instance, sum(admitted)::bigint FROM (\
             SELECT instance, admitted FROM unnest($2::bigint[], $3::bigint[], $4::bigint[]) AS piece (of, since, till) \
             JOIN usage_by_time ON key_id = $1 AND span = of AND start >= since AND start < till \
             UNION ALL SELECT instance, 1 FROM events WHERE key_id = $1 AND created_at >= $5 AND created_at <= \
                 (SELECT max(ended_by) FROM usage_by_time WHERE key_id = $1 AND span = $6 AND start = $7) \
                 AND id >= $8 AND id < $9 AND admitted\
         ) AS parts GROUP BY 1 HAVING sum(admitted) > 0 ORDER BY 1";
    all(client, sql, &[key.as_uuid(), &spans, &from, &to, &earliest_end(moment), &HOUR, &hour, &first, &last]).await
}

async fn books(client: &impl GenericClient, key: KeyId) -> Result<(crate::domain::Account, Money)> {
    let sql = format!("SELECT {ACCOUNT}, credited FROM accounts WHERE key_id = $1");
    Ok(one(client, &sql, &[key.as_uuid()]).await?.unwrap_or_default())
}
