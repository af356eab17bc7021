//! Sums of events per hour and day, as SQL: one text adds new events to them and takes deleted ones away.

/// Who stands for all keys together in the sums.
pub(super) const ALL_KEYS: uuid::Uuid = uuid::Uuid::max();

/// Columns that [`fold`] reads of its source.
pub(super) const FOLDED: &str =
    "id, created_at, key_id, cost, latency_ms, prompt_tokens, completion_tokens, instance, status, admitted, model";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    Add,
    Take,
}

/// Expressions for a `WITH` that fold the rows of `source` into the sums. Rows are locked in the order of their keys,
/// so that two of these cannot wait for each other in a circle.
pub(super) fn fold(source: &str, way: Way) -> String {
    let sign = if way == Way::Add { "" } else { "-" };
    let hour = start("created_at", "3600000");
    let day = start("created_at", "86400000");
    let ended = start("created_at", "span");
    let admitted = start("made_at(id)", "span");
    format!(
        "usages AS (INSERT INTO usage_by_time AS old (key_id, span, start, model, instance, requests, successes, cost, \
             latency_ms, prompt_tokens, completion_tokens, admitted, ended_by) \
         SELECT key_id, span, start, model, instance, {sign}sum(requests), {sign}sum(successes), {sign}sum(cost), \
             {sign}sum(latency_ms), {sign}sum(prompt_tokens), {sign}sum(completion_tokens), {sign}sum(admitted), max(ended_by) \
         FROM (SELECT coalesce(key_id, '{nobody}') AS key_id, span, {ended} AS start, model, instance, 1 AS requests, \
                 CASE WHEN status = 200 THEN 1 ELSE 0 END AS successes, cost, latency_ms, prompt_tokens, \
                 completion_tokens, 0 AS admitted, 0 AS ended_by \
             FROM {source} CROSS JOIN (VALUES (3600000::bigint), (86400000)) AS spans (span) \
             UNION ALL SELECT key_id, span, {admitted}, model, instance, 0, 0, 0, 0, 0, 0, 1, created_at \
             FROM {source} CROSS JOIN (VALUES (3600000::bigint), (86400000)) AS spans (span) \
             WHERE admitted AND key_id IS NOT NULL \
             UNION ALL SELECT '{all}', span, {ended}, model, instance, 1, CASE WHEN status = 200 THEN 1 ELSE 0 END, cost, \
                 latency_ms, prompt_tokens, completion_tokens, 0, 0 \
             FROM {source} CROSS JOIN (VALUES (3600000::bigint), (86400000)) AS spans (span)) AS parts \
         GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5 \
         ON CONFLICT (key_id, span, start, model, instance) DO UPDATE SET \
             requests = old.requests + excluded.requests, successes = old.successes + excluded.successes, \
             cost = old.cost + excluded.cost, latency_ms = old.latency_ms + excluded.latency_ms, \
             prompt_tokens = old.prompt_tokens + excluded.prompt_tokens, \
             completion_tokens = old.completion_tokens + excluded.completion_tokens, \
             admitted = old.admitted + excluded.admitted, ended_by = greatest(old.ended_by, excluded.ended_by)), \
         latencies AS (INSERT INTO latency_by_time AS old (key_id, span, start, bucket, instance, events) \
         SELECT key_id, span, start, latency_bucket(latency_ms), instance, {sign}count(*) \
         FROM (SELECT '{all}'::uuid AS key_id, 3600000::bigint AS span, {hour} AS start, latency_ms, instance FROM {source} \
             UNION ALL SELECT '{all}', 86400000, {day}, latency_ms, instance FROM {source} \
             UNION ALL SELECT key_id, 86400000, {day}, latency_ms, instance FROM {source} WHERE key_id IS NOT NULL) AS parts \
         GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5 \
         ON CONFLICT (key_id, span, start, bucket, instance) DO UPDATE SET events = old.events + excluded.events)",
        nobody = uuid::Uuid::nil(),
        all = ALL_KEYS,
    )
}

/// The beginning of the span that holds a moment, also before 1970.
fn start(moment: &str, span: &str) -> String {
    format!("({moment} - (({moment} % {span}) + {span}) % {span})")
}

/// The latency that stands for a bucket: its middle, at most 1/128 from whatever is in it.
pub(super) fn latency_of(bucket: i16) -> u64 {
    let bucket = u64::try_from(bucket).unwrap_or(0);
    let shift = (bucket / 64).saturating_sub(1).min(56);
    let least = (bucket - 64 * shift) << shift;
    least + ((1u64 << shift) - 1) / 2
}
