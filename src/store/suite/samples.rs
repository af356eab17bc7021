//! Keys, settings and events to test with; a closure changes what a test is about.

use crate::domain::{
    AllowedPath, BudgetMode, CostMap, CustomProvider, CustomProviderId, CustomRoute, Event, EventId, Key, KeyDigest,
    KeyId, Money, RateLimit, Secret, Setting, SettingId, SpendLimit, UnixMillis, Usage, UsageSource, Window,
};
use uuid::{NoContext, Timestamp, Uuid};

pub(crate) fn key_id(n: u64) -> KeyId {
    KeyId::from_uuid(Uuid::from_u64_pair(n, 0x8000_0000_0000_0001))
}

pub(crate) fn setting_id(n: u64) -> SettingId {
    SettingId::from_uuid(Uuid::from_u64_pair(n, 0x8000_0000_0000_0002))
}

/// An id as made at that moment; the same arguments give the same id.
pub(crate) fn event_id(n: u64, at: UnixMillis) -> EventId {
    let millis = u64::try_from(at.0).unwrap();
    let nanos = u32::try_from(millis % 1000).unwrap() * 1_000_000;
    let random = Uuid::new_v7(Timestamp::from_unix(NoContext, millis / 1000, nanos)).into_bytes();
    let mut bytes = random;
    bytes[8..].copy_from_slice(&(n | 1 << 63).to_be_bytes());
    bytes[6] = 0x70;
    bytes[7] = 0;
    EventId::from_uuid(Uuid::from_bytes(bytes))
}

pub(crate) fn digest(n: u64) -> KeyDigest {
    let mut bytes = [0xd1; 32];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    KeyDigest::from_bytes(bytes)
}

/// A key with something in every field but the membership; its number is right when keys are stored from 1 on.
pub(crate) fn key(n: u64, change: impl FnOnce(&mut Key)) -> Key {
    let mut key = Key {
        id: key_id(n),
        number: i64::try_from(n).unwrap(),
        revision: 1,
        digest: digest(n),
        hint: "sk-ab...xyz".into(),
        name: format!("key {n}").into(),
        tags: ["team-a".into(), "prod".into()].into(),
        created_at: UnixMillis(1_700_000_000_000 + i64::try_from(n).unwrap()),
        updated_at: UnixMillis(1_700_000_000_500),
        revoked: false,
        revoked_reason: "".into(),
        single_setting: false,
        setting_ids: [setting_id(1), setting_id(2)].into(),
        rotation: true,
        allowed_paths: [AllowedPath {
            path: "/api/providers/openai/v1/chat/completions".into(),
            method: "POST".into(),
        }]
        .into(),
        ttl: "1h30m".into(),
        rate: Some(RateLimit { limit: 10, window: Window::Minute }),
        total_budget: Some(Money::from_units(123_456_789_012)),
        window_budget: Some(SpendLimit { limit: Money::from_units(5), window: Window::Month }),
        budget_mode: Some(BudgetMode::Strict),
        log_request: true,
        log_response: false,
        policy_id: "p1".into(),
        is_key_not_hashed: true,
        membership: None,
    };
    change(&mut key);
    key
}

/// A key with nothing that may be absent.
pub(crate) fn plain_key(n: u64, change: impl FnOnce(&mut Key)) -> Key {
    key(n, |key| {
        key.tags = Box::default();
        key.setting_ids = Box::default();
        key.allowed_paths = Box::default();
        key.ttl = "".into();
        key.rate = None;
        key.total_budget = None;
        key.window_budget = None;
        key.budget_mode = None;
        key.policy_id = "".into();
        key.is_key_not_hashed = false;
        change(key);
    })
}

pub(crate) fn setting(n: u64, change: impl FnOnce(&mut Setting)) -> Setting {
    let mut setting = Setting {
        id: setting_id(n),
        revision: 1,
        provider: "openai".into(),
        name: format!("setting {n}").into(),
        created_at: UnixMillis(1_700_000_000_000 + i64::try_from(n).unwrap()),
        updated_at: UnixMillis(1_700_000_000_500),
        allowed_models: ["gpt-4o".into(), "it's, a \"model\"".into()].into(),
        parameters: [("baseUrl".into(), "https://example.test/v1".into())].into(),
        secrets: [
            ("apikey".into(), Secret::new("sk-upstream-credential-1")),
            ("awsSecretAccessKey".into(), Secret::new("")),
        ]
        .into(),
        cost_map: Some(CostMap { prompt_cost_per_model: [("gpt-4o".to_owned(), 0.25)].into(), ..CostMap::default() }),
    };
    change(&mut setting);
    setting
}

/// A custom provider with something in every field.
pub(crate) fn custom_provider(n: u64, change: impl FnOnce(&mut CustomProvider)) -> CustomProvider {
    let route = |path: &str| CustomRoute {
        path: path.into(),
        target_url: "https://api.acme.example/v1/chat?x=1".into(),
        model_location: "model".into(),
        request_prompt_location: "messages.#.content".into(),
        response_completion_location: "$.choices[*].message.content".into(),
        stream_location: "stream".into(),
        stream_end_word: "[\"DONE\"]".into(),
        stream_response_completion_location: r"a\.b".into(),
        stream_max_empty_messages: 5,
    };
    let mut provider = CustomProvider {
        id: CustomProviderId::from_uuid(Uuid::from_u64_pair(n, 0x8000_0000_0000_0003)),
        revision: 1,
        name: format!("acme-{n}").into(),
        created_at: UnixMillis(1_700_000_000_000 + i64::try_from(n).unwrap()),
        updated_at: UnixMillis(1_700_000_000_500),
        routes: vec![route("/b"), CustomRoute { path: "/a".into(), ..CustomRoute::default() }],
        authentication_param: "token".into(),
    };
    change(&mut provider);
    provider
}

/// An event of key 1 that was admitted half a second before `at` and took 410 ms.
pub(crate) fn event(n: u64, at: UnixMillis, change: impl FnOnce(&mut Event)) -> Event {
    let mut event = Event {
        id: event_id(n, UnixMillis(at.0 - 500)),
        created_at: at,
        key_id: Some(key_id(1)),
        setting_id: Some(setting_id(1)),
        tags: vec!["team-a".into(), "prod".into()],
        provider: "openai".into(),
        model: "gpt-4".into(),
        status: 200,
        method: "POST".into(),
        path: "/api/providers/openai/v1/chat/completions".into(),
        latency_ms: 410,
        cost: Money::from_units(9_300_000),
        usage: Usage { in_text: 9, out_text: 11, source: UsageSource::Upstream, ..Usage::default() },
        flags: Vec::new(),
        custom_id: "".into(),
        user_id: "".into(),
        request_id: format!("req-{n}").into(),
        upstream_request_id: "".into(),
        metadata: None,
        request: None,
        response: None,
        objects: None,
        quota: None,
        route: None,
    };
    change(&mut event);
    event
}

pub(crate) const fn seconds(s: i64) -> UnixMillis {
    UnixMillis::from_seconds(s)
}

/// What C117 asks to be taken literally.
pub(crate) const ODD_TEXTS: [&str; 12] = [
    "a,b",
    "it's",
    "say \"hi\"",
    "{a,b}",
    "100%",
    "under_score",
    "back\\slash",
    "'; DROP TABLE keys; --",
    "[\"json\"]",
    "$.tags[0]",
    "ünï çødé 🦀",
    "new\nline",
];
