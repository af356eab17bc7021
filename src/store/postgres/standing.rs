//! What shared counters ask of the ledger: one key as it stands, read from one view of the database.

use super::charges::account;
use super::cover::HOUR;
use super::row::Columns;
use super::spend::ragged_ids;
use super::sums::{saturated, since};
use super::{PostgresStore, Result, twice};
use crate::domain::{InstanceId, KeyId, Money, UnixMillis};
use crate::limits::{CountersUnavailable, SharedLedger, Since, Standing};
use async_trait::async_trait;
use deadpool_postgres::GenericClient;

/// An event ends after it was admitted. A clock that was set back between the two by more than this could hide one.
const CLOCK_SLACK_MS: i64 = 60_000;

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
        let connection = self.connection().await?;
        let rows = connection
            .query("SELECT key_id, total FROM key_spend WHERE instance = $1 ORDER BY key_id", &[&instance.0])
            .await?;
        let read = |row: &tokio_postgres::Row| {
            let mut columns = Columns::new(row);
            Ok((KeyId::from_uuid(columns.uuid()?), Money::from_units(columns.take()?)))
        };
        rows.iter().map(read).collect()
    }
}

async fn spent(client: &impl GenericClient, key: KeyId) -> Result<Vec<(InstanceId, Money)>> {
    let sql = "SELECT instance, total FROM key_spend WHERE key_id = $1 ORDER BY instance";
    let rows = client.query(&client.prepare_cached(sql).await?, &[key.as_uuid()]).await?;
    rows.iter().map(|row| Ok((InstanceId(row.try_get(0)?), Money::from_units(row.try_get(1)?)))).collect()
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
    let statement = client.prepare_cached(&sql).await?;
    let row = client.query_one(&statement, &[key.as_uuid(), &spans, &from, &to, &start, &end]).await?;
    Ok(Money::from_units(row.try_get(0)?))
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
    let earliest_end = moment.0.saturating_sub(CLOCK_SLACK_MS);
    let sql = "SELECT instance, sum(admitted)::bigint FROM (\
             SELECT instance, admitted FROM unnest($2::bigint[], $3::bigint[], $4::bigint[]) AS piece (of, since, till) \
             JOIN usage_by_time ON key_id = $1 AND span = of AND start >= since AND start < till \
             UNION ALL SELECT instance, 1 FROM events WHERE key_id = $1 AND created_at >= $5 AND created_at <= \
                 (SELECT max(ended_by) FROM usage_by_time WHERE key_id = $1 AND span = $6 AND start = $7) \
                 AND id >= $8 AND id < $9 AND admitted\
         ) AS parts GROUP BY 1 HAVING sum(admitted) > 0 ORDER BY 1";
    let statement = client.prepare_cached(sql).await?;
    let rows = client
        .query(&statement, &[key.as_uuid(), &spans, &from, &to, &earliest_end, &HOUR, &hour, &first, &last])
        .await?;
    let read = |row: &tokio_postgres::Row| {
        let mut columns = Columns::new(row);
        Ok((InstanceId(columns.take()?), columns.count()?))
    };
    rows.iter().map(read).collect()
}

async fn books(client: &impl GenericClient, key: KeyId) -> Result<(crate::domain::Account, Money)> {
    let sql = "SELECT month, month_fee, balance, credited FROM accounts WHERE key_id = $1";
    let row = client.query_opt(&client.prepare_cached(sql).await?, &[key.as_uuid()]).await?;
    let Some(row) = row else { return Ok(Default::default()) };
    let mut columns = Columns::new(&row);
    Ok((account(&mut columns)?, Money::from_units(columns.take()?)))
}
