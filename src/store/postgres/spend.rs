//! The port to the ledger, and what it says was spent and admitted: per key, in all, in a range, since a moment.

use super::brief::whole_texts;
use super::cover::{Cover, Finest, HOUR};
use super::events::Ending;
use super::row::one;
use super::sums::{Asked, cost_by_key, saturated, since};
use super::{PostgresStore, Result, twice};
use crate::domain::{Event, KeyId, Money, UnixMillis};
use crate::store::columns::read;
use crate::store::tally::{self, first_id};
use crate::store::text::folded;
use crate::store::{EventFilter, EventStore, KeySpend, Page, Report, ReportFilter, TopKeysFilter};
use async_trait::async_trait;
use deadpool_postgres::{GenericClient, Transaction};
use uuid::Uuid;

#[async_trait]
impl EventStore for PostgresStore {
    async fn insert_events(&self, events: &[Event]) -> Result<usize> {
        if events.is_empty() { Ok(0) } else { self.book(events, Ending::Kept).await }
    }

    async fn rehearse_events(&self, events: &[Event]) -> Result<usize> {
        self.book(events, Ending::TakenBack).await
    }

    async fn list_events(&self, filter: &EventFilter) -> Result<Page<Event>> {
        self.find_events(filter).await
    }

    async fn report(&self, filter: &ReportFilter) -> Result<Report> {
        self.make_report(filter).await
    }

    async fn top_keys(&self, filter: &TopKeysFilter) -> Result<Vec<KeySpend>> {
        twice(|| async {
            let mut connection = self.scan_connection().await?;
            let tx = super::view(&mut connection).await?;
            top_keys(&tx, filter).await
        })
        .await
    }

    async fn custom_ids(&self, key: KeyId) -> Result<Vec<String>> {
        twice(|| async { distinct(&self.scan_connection().await?, "custom_id", key).await }).await
    }

    async fn user_ids(&self, key: KeyId) -> Result<Vec<String>> {
        twice(|| async { distinct(&self.scan_connection().await?, "user_id", key).await }).await
    }

    async fn delete_events_before(&self, before: UnixMillis, limit: u64) -> Result<u64> {
        self.delete_before(before, limit).await
    }

    async fn drop_events_before(&self, before: UnixMillis) -> Result<u64> {
        self.drop_months_before(before).await
    }

    async fn spend_of(&self, key: KeyId) -> Result<Option<Money>> {
        let sql = format!("SELECT {}, count(*) FROM key_spend WHERE key_id = $1", saturated("sum(total)"));
        let found: Option<(Money, u64)> =
            twice(|| async { one(&self.connection().await?, &sql, &[key.as_uuid()]).await }).await?;
        Ok(found.filter(|(_, rows)| *rows > 0).map(|(total, _)| total))
    }

    async fn spends(&self) -> Result<Vec<KeySpend>> {
        let sql = format!("SELECT key_id, {} FROM key_spend GROUP BY 1 ORDER BY 1", saturated("sum(total)"));
        let rows = twice(|| async { Ok(self.scan_connection().await?.query(&sql, &[]).await?) }).await?;
        rows.iter().map(read).collect()
    }

    async fn spends_since(&self, moment: UnixMillis) -> Result<Vec<KeySpend>> {
        let asked = since(moment.0);
        let costs = twice(|| async { cost_by_key(&self.scan_connection().await?, &Asked::new(&asked)).await }).await?;
        Ok(tally::by_key(costs))
    }

    async fn admissions_since(&self, key: KeyId, since: UnixMillis) -> Result<u64> {
        let found = twice(|| async { super::standing::admitted(&self.connection().await?, key, since).await }).await?;
        Ok(found.into_iter().map(|(_, count)| count).fold(0, u64::saturating_add))
    }

    async fn admissions_by_key_since(&self, moment: UnixMillis) -> Result<Vec<(KeyId, u64)>> {
        let connection = self.scan_connection().await?;
        let cover = since(moment.0);
        let [spans, from, to] = cover.sums();
        let [first, last] = ragged_ids(moment);
        let sql = "SELECT key_id, sum(admitted)::bigint FROM (\
                 SELECT key_id, admitted FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS piece (of, since, till) \
                 JOIN usage_by_time ON span = of AND start >= since AND start < till AND admitted <> 0 \
                 UNION ALL SELECT key_id, 1 FROM events WHERE id >= $4 AND id < $5 AND key_id IS NOT NULL AND admitted\
             ) AS parts GROUP BY 1 HAVING sum(admitted) > 0";
        let rows = connection.query(sql, &[&spans, &from, &to, &first, &last]).await?;
        rows.iter().map(read).collect()
    }
}

/// Ids made from a moment to the end of its hour: none when it begins one. What sums answer for begins after it.
pub(super) fn ragged_ids(since: UnixMillis) -> [Uuid; 2] {
    let end = since.0.saturating_add(HOUR - 1).div_euclid(HOUR).saturating_mul(HOUR);
    [first_id(since.0), first_id(end)]
}

/// Distinct texts in `column` of a key's events, sorted. Walks the index in steps of a thousand entries and leaps over
/// the rest of the last text of each: a key with few of them is answered at once however many events it has, one with
/// as many as events as fast as they can be read.
async fn distinct(client: &impl GenericClient, column: &'static str, key: KeyId) -> Result<Vec<String>> {
    let page = |after: &str| {
        format!(
            "(SELECT array_agg(DISTINCT {column} ORDER BY {column}) FROM (SELECT {column} FROM events \
             WHERE key_id = $1 AND {column} {after} ORDER BY {column} LIMIT 1000) AS page)"
        )
    };
    let sql = format!(
        "WITH RECURSIVE found (texts) AS (SELECT {} UNION ALL SELECT {} FROM found WHERE texts IS NOT NULL) \
         SELECT unnest(texts) FROM found",
        page("IS NOT NULL"),
        page("> texts[cardinality(texts)]"),
    );
    let rows = client.query(&sql, &[key.as_uuid()]).await?;
    let mut texts: Vec<String> = rows.iter().map(read).collect::<Result<_>>()?;
    let whole = whole_texts(client, texts.iter().map(String::as_str).collect()).await?;
    texts.iter_mut().for_each(|text| whole.restore_string(text));
    texts.sort_unstable();
    Ok(texts)
}

async fn top_keys(tx: &Transaction<'_>, filter: &TopKeysFilter) -> Result<Vec<KeySpend>> {
    let range = (filter.start.saturating_mul(1000), filter.end.saturating_mul(1000));
    let cover = if filter.tags.is_empty() { Cover::of(range, Finest::Hour) } else { Cover::of_events(range) };
    let mut asked = Asked::new(&cover);
    asked.of_keys(&filter.key_ids);
    asked.of_texts(&[], &[], &filter.tags);
    if let Some(name) = &filter.name {
        let part = asked.bind(super::row::storable(&folded(name)).into_owned());
        asked.both(&format!("key_id IN (SELECT id FROM keys WHERE strpos(name_folded, {part}) > 0)"));
    }
    if let Some(revoked) = filter.revoked {
        let revoked = asked.bind(revoked);
        asked.both(&format!("key_id IN (SELECT id FROM keys WHERE revoked = {revoked})"));
    }
    let mut sums = cost_by_key(tx, &asked).await?;

    let mut of_keys = super::filter::Conditions::default();
    of_keys.within("created_at", filter.start, filter.end);
    of_keys.has_all("tags", &filter.tags);
    if !filter.key_ids.is_empty() {
        of_keys.id_in("id", filter.key_ids.iter().map(|key| *key.as_uuid()));
    }
    if let Some(name) = &filter.name {
        of_keys.contains("name_folded", name);
    }
    if let Some(revoked) = filter.revoked {
        of_keys.and("revoked = ?", revoked);
    }
    for row in tx.query(&format!("SELECT id FROM keys{}", of_keys.sql()), &of_keys.parameters()).await? {
        sums.entry(read(&row)?).or_default();
    }
    Ok(tally::top(sums, filter))
}
