//! Routes. What a step says beyond what can be served here leaves the whole route out: half a route is none.

use super::{is_provider, table};
use crate::domain::{
    CustomProvider, KeyId, RequestFormat, RequestParam, RetryStrategy, Route, RouteCache, RouteId, Step, UnixMillis,
    duration,
};
use crate::import::record::{Read, Record, fault};
use crate::import::source::View;
use crate::import::writer::{Row, Writer};
use crate::metering::Pricing;
use crate::providers::{self, purpose};
use crate::store::{ImportStore, StoreError};
use serde::Deserialize;
use serde_json::value::to_raw_value;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;

/// Forces a route for texts that become vectors; everything else that is said forces one for conversations.
const EMBEDDINGS: &str = "openai_embeddings";
const USUAL_TIMEOUT: Duration = Duration::from_secs(300);
const USUAL_TTL: Duration = Duration::from_secs(168 * 3600);
/// A negative number meant tries without end.
const MOST_RETRIES: u32 = 10;

/// As stored, in the names of the API.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct StoredStep {
    provider: String,
    model: String,
    retries: i64,
    params: BTreeMap<Box<str>, Box<str>>,
    timeout: String,
    retry_interval: String,
    request_params: Map<String, Value>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct StoredCache {
    enabled: bool,
    ttl: String,
}

impl Row for Route {
    const KIND: &'static str = "routes";

    fn target(&self) -> String {
        self.id.to_string()
    }
    fn revision(&self) -> i64 {
        self.revision
    }
    fn same(&self, here: &Self) -> bool {
        let (id, revision, created_at, updated_at) = (here.id, here.revision, here.created_at, here.updated_at);
        Self { id, revision, created_at, updated_at, ..self.clone() } == *here
    }
    async fn find(&self, store: &dyn ImportStore, _: Option<&str>) -> Result<Option<Self>, StoreError> {
        match store.route(self.id).await? {
            None => Ok(store.list_routes().await?.into_iter().find(|route| route.path == self.path)),
            found => Ok(found),
        }
    }
    async fn insert(&self, store: &dyn ImportStore) -> Result<String, StoreError> {
        store.insert_route(self).await?;
        Ok(self.target())
    }
    async fn update(&self, store: &dyn ImportStore, here: &Self) -> Result<(), StoreError> {
        let (id, revision) = (here.id, here.revision);
        store.update_route(&Self { id, revision, ..self.clone() }).await
    }
}

pub(super) async fn import(
    view: &View<'_>,
    writer: &mut Writer,
    custom: &[CustomProvider],
    pricing: &Pricing,
    now: UnixMillis,
) -> anyhow::Result<()> {
    writer.report.mention(Route::KIND);
    let Some(rows) = view.rows(table("routes")).await? else { return Ok(()) };
    loop {
        let page = view.next(&rows).await?;
        if page.is_empty() {
            return Ok(());
        }
        for record in page {
            let mut remarks = Vec::new();
            match read(&record, custom, pricing, now, &mut remarks) {
                Ok(wanted) => {
                    writer.put(&record.id, &wanted).await?;
                }
                Err(why) => writer.report.broken(Route::KIND, &record.id, why),
            }
            for remark in remarks {
                writer.report.remark(Route::KIND, &record.id, remark);
            }
        }
    }
}

fn read(
    record: &Record,
    custom: &[CustomProvider],
    pricing: &Pricing,
    now: UnixMillis,
    remarks: &mut Vec<String>,
) -> Read<Route> {
    let id = record.uuid("id")?.ok_or_else(|| fault("id", "is empty"))?;
    let stored: Vec<StoredStep> = record.json_as("steps")?;
    if stored.is_empty() {
        return Err(fault("steps", "is empty"));
    }
    let steps = stored.iter().map(|stored| step(stored, custom, remarks)).collect::<Read<Vec<_>>>()?;
    let retry_strategy = match &*record.text("retry_strategy")? {
        "" => RetryStrategy::Unset,
        "constant" => RetryStrategy::Constant,
        "exponential" => RetryStrategy::Exponential,
        _ => return Err(fault("retry_strategy", "is no strategy that is known")),
    };
    Ok(Route {
        id: RouteId::from_uuid(id),
        revision: 0,
        name: record.text("name")?,
        path: path(record)?,
        created_at: record.seconds("created_at")?,
        updated_at: record.seconds("updated_at")?,
        key_ids: key_ids(record)?,
        request_format: format(record, &steps, pricing, now)?,
        steps,
        cache: cache(record)?,
        retry_strategy,
    })
}

fn path(record: &Record) -> Read<Box<str>> {
    let path = record.text("path")?;
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&b);
    let mut segments = path.split('/').skip(1);
    if !path.starts_with('/') || segments.any(|part| matches!(part, "" | "." | "..") || !part.bytes().all(fits)) {
        return Err(fault("path", "is no path of a URL as clients send it"));
    }
    Ok(path)
}

fn key_ids(record: &Record) -> Read<Vec<KeyId>> {
    let parsed = |text: &String| KeyId::parse(text).ok_or_else(|| fault("key_ids", "has an id that is not a UUID"));
    record.texts("key_ids")?.iter().map(parsed).collect()
}

fn span(column: &'static str, text: &str) -> Read<Option<Duration>> {
    if text.is_empty() {
        return Ok(None);
    }
    duration::parse(text).map(Some).ok_or_else(|| fault(column, "has a text that is not a duration"))
}

fn cache(record: &Record) -> Read<RouteCache> {
    let stored: StoredCache = record.json_as("cache_config")?;
    let usual = if stored.enabled { USUAL_TTL } else { Duration::ZERO };
    let ttl = span("cache_config", &stored.ttl)?.unwrap_or(usual);
    Ok(RouteCache { enabled: stored.enabled, ttl, shared: false })
}

fn step(stored: &StoredStep, custom: &[CustomProvider], remarks: &mut Vec<String>) -> Read<Step> {
    if !is_provider(&stored.provider, custom) {
        return Err(fault("steps", "has a step of a provider that is not known here"));
    }
    if stored.model.is_empty() {
        return Err(fault("steps", "has a step without a model"));
    }
    let retries = u32::try_from(stored.retries).unwrap_or(MOST_RETRIES).min(MOST_RETRIES);
    if i64::from(retries) != stored.retries {
        remarks.push(format!("a step had {} retries and has {retries} here", stored.retries));
    }
    let mut request_params = Vec::new();
    for (name, value) in stored.request_params.iter().filter(|(_, value)| !value.is_null()) {
        let value = to_raw_value(value).map_err(|_| fault("steps", "has a request parameter that cannot be kept"))?;
        request_params.push(RequestParam { name: name.as_str().into(), value });
    }
    Ok(Step {
        provider: stored.provider.as_str().into(),
        model: stored.model.as_str().into(),
        retries,
        retry_interval: span("steps", &stored.retry_interval)?,
        timeout: span("steps", &stored.timeout)?.filter(|timeout| !timeout.is_zero()).unwrap_or(USUAL_TIMEOUT),
        first_byte_timeout: None,
        params: stored
            .params
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect(),
        request_params,
        weight: None,
    })
}

/// As it is said, or else by what the models are for.
fn format(record: &Record, steps: &[Step], pricing: &Pricing, now: UnixMillis) -> Read<RequestFormat> {
    match &*record.text("request_format")? {
        "" => {}
        EMBEDDINGS => return Ok(RequestFormat::Embeddings),
        _ => return Ok(RequestFormat::Chat),
    }
    let known = steps.iter().find_map(|step| {
        let provider = providers::by_name(&step.provider)?;
        purpose::listed(pricing, provider.as_ref(), &step.model, now).or_else(|| purpose::guessed(&step.model))
    });
    Ok(known.unwrap_or_default())
}
