use super::*;
use crate::domain::{KeyId, Money, RateLimit, RequestFormat, RetryStrategy, RouteId, SettingId, SpendLimit, Window};
use crate::store::{EventFilter, KeyFilter, Point};
use std::time::Duration;

const KEY: &str = "00000000-0000-4000-8000-0000000000c1";

fn key_id() -> KeyId {
    KeyId::parse(KEY).unwrap()
}

fn setting_id(tail: &str) -> SettingId {
    SettingId::parse(&format!("00000000-0000-4000-8000-0000000000{tail}")).unwrap()
}

fn usd(text: &str) -> Money {
    Money::parse_usd(text).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_tells_what_an_import_does_and_writes_nothing() {
    let mut it = Move::of(Product::BricksLlm).await;
    let dry = it.run_with(|options| options.dry_run = true).await;
    assert!(it.store.list_keys(&KeyFilter::default()).await.unwrap().rows.is_empty());
    assert!(it.store.list_settings(None).await.unwrap().is_empty());
    assert!(it.store.list_routes().await.unwrap().is_empty());
    assert!(it.store.list_events(&EventFilter::default()).await.unwrap().rows.is_empty());
    assert_eq!(it.store.spends().await.unwrap(), []);
    assert_eq!(it.store.changes_since(Point::default()).await.unwrap().point.position, 0);
    assert_eq!(it.run().await.to_string(), dry.to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_is_here_as_it_was() {
    let it = Move::of(Product::BricksLlm).await;
    let report = it.run().await;
    assert_eq!(counts(&report, "keys"), [5, 3, 0, 0, 0, 2]);
    assert_eq!(counts(&report, "provider settings"), [4, 2, 0, 0, 0, 2]);
    assert_eq!(counts(&report, "custom providers"), [2, 1, 0, 0, 0, 1]);
    assert_eq!(counts(&report, "routes"), [2, 1, 0, 0, 0, 1]);
    assert_eq!(counts(&report, "events"), [5, 4, 0, 0, 0, 1]);
    assert_eq!(counts(&report, "policies"), [2, 0, 0, 0, 0, 2]);
    assert_eq!(report.broken_rows(), 7);

    let key = it.key("raw-key-one").await.unwrap();
    assert_eq!(
        (key.id, &*key.name, key.created_at, key.updated_at),
        (key_id(), "钥匙", UnixMillis(200_000), UnixMillis(201_000))
    );
    assert_eq!((key.rate, key.total_budget), (Some(RateLimit { limit: 3, window: Window::Minute }), Some(usd("10.5"))));
    assert_eq!(key.window_budget, Some(SpendLimit { limit: usd("0.3"), window: Window::Month }));
    assert_eq!(&*key.setting_ids, [setting_id("a1"), setting_id("ff")]);
    assert_eq!(
        (key.allowed_paths.len(), &*key.ttl, key.rotation, key.log_request, key.log_response),
        (1, "24h", true, true, false)
    );
    let raw = it.key("raw-key-two").await.unwrap();
    assert_eq!(
        (raw.revoked, &*raw.revoked_reason, raw.single_setting, raw.is_key_not_hashed),
        (true, "expired", true, true)
    );
    assert_eq!((&*raw.policy_id, &*raw.setting_ids), ("", &[setting_id("a1")][..]));
    assert!(it.key("plain by accident").await.is_some_and(|key| key.name.is_empty() && !key.revoked));
    assert!(it.key("raw-key-four").await.is_none() && it.key("raw-key-five").await.is_none());

    let setting = it.store.setting(setting_id("a1")).await.unwrap().unwrap();
    assert_eq!(
        (setting.api_key().unwrap().expose(), &*setting.name, setting.allowed_models.len()),
        ("sk-up-1", "主要", 2)
    );
    assert!(setting.cost_map.as_ref().unwrap().knows("m") && setting.parameters.is_empty());
    let own = it.store.setting(setting_id("a2")).await.unwrap().unwrap();
    assert_eq!((&*own.provider, own.secrets["token"].expose()), ("own", "sk-up-2"));
    let custom = it.store.custom_provider_named("own").await.unwrap().unwrap();
    assert_eq!((&*custom.authentication_param, custom.routes[0].path.as_str()), ("token", "/chat"));
    let route = RouteId::parse("00000000-0000-4000-8000-0000000000d1").unwrap();
    let route = it.store.route(route).await.unwrap().unwrap();
    assert_eq!(
        (&*route.path, route.request_format, route.retry_strategy),
        ("/production/chat", RequestFormat::Chat, RetryStrategy::Exponential)
    );
    assert_eq!((route.cache.enabled, route.cache.ttl), (true, Duration::from_secs(168 * 3600)));
    assert_eq!((route.steps[0].retries, route.steps[0].timeout), (10, Duration::from_secs(300)));
    assert_eq!((route.steps[1].retry_interval, route.steps[1].params.len()), (Some(Duration::from_millis(500)), 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_out_is_told_by_row_and_column_and_never_by_value() {
    let it = Move::of(Product::BricksLlm).await;
    let report = it.run().await;
    for line in [
        "keys 00000000-0000-4000-8000-0000000000c4: ttl is not a duration",
        "keys 00000000-0000-4000-8000-0000000000c5: cost_limit_in_usd is not a finite number",
        "keys 00000000-0000-4000-8000-0000000000c2: names a policy, which nobody enforces here",
        "provider settings 00000000-0000-4000-8000-0000000000a3: provider is no provider that is known here",
        "provider settings 00000000-0000-4000-8000-0000000000a4: setting has an entry that is not text",
        "provider settings 00000000-0000-4000-8000-0000000000a1: the entry organization is not known here and left out",
        "custom providers 00000000-0000-4000-8000-0000000000b2: provider is the name of a built-in provider",
        "routes 00000000-0000-4000-8000-0000000000d2: path is no path of a URL as clients send it",
        "events not a uuid: event_id is not a UUID",
        "policies (all): policies have no counterpart here",
    ] {
        tells(&report, line);
    }
    let text = report.to_string();
    assert!(!text.contains("sk-up") && !text.contains("raw-key"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_is_here_and_totals_are_those_of_all_events() {
    let mut it = Move::of(Product::BricksLlm).await;
    let since = |options: &mut Options| options.history_since = UnixMillis::from_seconds(1_700_000_001);
    let report = it.run_with(since).await;
    assert_eq!(counts(&report, "events"), [4, 3, 0, 0, 0, 1]);
    // 0.1 + 0.2 to the nearest unit, one unit, and the one whose id is none.
    assert_eq!(it.store.spend_of(key_id()).await.unwrap(), Some(usd("1.3000000001")));
    // The rest of history does not count again.
    let report = it.run().await;
    assert_eq!(counts(&report, "events"), [5, 1, 0, 3, 0, 1]);
    assert_eq!(it.store.spend_of(key_id()).await.unwrap(), Some(usd("1.3000000001")));

    let filter = EventFilter { key_ids: vec![key_id()], ..EventFilter::default() };
    let events = it.store.list_events(&filter).await.unwrap().rows;
    let first = &events[0];
    assert_eq!(first.id.to_string(), "00000000-0000-4000-8000-0000000000e1");
    assert_eq!((first.cost, first.created_at, first.latency_ms), (usd("0.3"), UnixMillis(1_700_000_000_000), 1234));
    assert_eq!((first.usage.prompt_tokens(), first.usage.completion_tokens(), first.status), (10, 5, 200));
    assert_eq!((&*first.custom_id, &*first.user_id, &*first.request_id), ("cid", "u", "corr"));
    assert_eq!((first.request.as_ref().unwrap().get(), first.response.is_none()), ("{\"q\": \"你好\"}", true));
    assert_eq!(events.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_run_changes_nothing_and_a_later_one_follows_the_source() {
    let it = Move::of(Product::BricksLlm).await;
    it.run().await;
    let position = it.store.changes_since(Point::default()).await.unwrap().point.position;
    let second = it.run().await;
    assert_eq!((second.changes(), counts(&second, "keys")), (0, [5, 0, 0, 3, 0, 2]));
    assert_eq!(it.store.changes_since(Point::default()).await.unwrap().point.position, position);

    it.sql(
        "UPDATE keys SET name = 'renamed', key = encode(sha256('raw-key-new'), 'hex') WHERE key_id LIKE '%c1'; \
         UPDATE provider_settings SET setting = '{\"apikey\":\"sk-new\"}' WHERE id LIKE '%a1'; \
         INSERT INTO events (event_id, created_at, key_id, cost_in_usd, status_code) \
         VALUES ('00000000-0000-4000-8000-0000000000e9', 1700000009, '00000000-0000-4000-8000-0000000000c1', 1, 200);",
    )
    .await;
    let third = it.run().await;
    assert_eq!((counts(&third, "keys"), counts(&third, "provider settings")), ([5, 0, 1, 2, 0, 2], [4, 0, 1, 1, 0, 2]));
    assert_eq!(it.key("raw-key-new").await.map(|key| (key.id, key.name)), Some((key_id(), "renamed".into())));
    assert!(it.key("raw-key-one").await.is_none());
    let setting = it.store.setting(setting_id("a1")).await.unwrap().unwrap();
    assert_eq!(setting.api_key().unwrap().expose(), "sk-new");
    assert_eq!(it.store.spend_of(key_id()).await.unwrap(), Some(usd("2.3000000001")));
    assert_eq!(it.run().await.changes(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_changed_or_deleted_here_stays_unless_told_otherwise() {
    let mut it = Move::of(Product::BricksLlm).await;
    it.run().await;
    let mut key = it.key("raw-key-one").await.unwrap();
    key.name = "ours".into();
    it.store.update_key(&key).await.unwrap();
    let raw = it.key("raw-key-two").await.unwrap();
    it.store.delete_key(raw.id).await.unwrap();
    it.sql("UPDATE keys SET tags = '{theirs}'").await;

    let report = it.run().await;
    assert_eq!(counts(&report, "keys"), [5, 0, 1, 0, 2, 2]);
    tells(&report, &format!("keys {KEY}: was changed here since the last import"));
    tells(&report, &format!("keys {}: was deleted here since the last import", raw.id));
    let key = it.key("raw-key-one").await.unwrap();
    assert_eq!((&*key.name, key.tags.len()), ("ours", 2));
    assert!(it.key("raw-key-two").await.is_none());

    it.run_with(|options| options.overwrite = true).await;
    let key = it.key("raw-key-one").await.unwrap();
    assert_eq!((&*key.name, &*key.tags), ("钥匙", &["theirs".into()][..]));
    assert!(it.key("raw-key-two").await.is_some());
    assert_eq!(it.run().await.changes(), 0);
}

/// An older database has fewer tables and columns.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_of_later_versions_may_be_missing() {
    let it = Move::of(Product::BricksLlm).await;
    it.sql(
        "DELETE FROM keys WHERE is_key_not_hashed; DROP TABLE routes, policies, custom_providers; \
         ALTER TABLE keys DROP COLUMN is_key_not_hashed, DROP COLUMN policy_id, DROP COLUMN rotation_enabled; \
         ALTER TABLE events DROP COLUMN metadata, DROP COLUMN route_id;",
    )
    .await;
    let report = it.run().await;
    assert_eq!((counts(&report, "keys"), counts(&report, "events")), ([2, 2, 0, 0, 0, 0], [5, 4, 0, 0, 0, 1]));
}
