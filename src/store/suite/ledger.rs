//! Promises about events: each once, filters, and sums that agree with them.

use super::routes::route_id;
use super::samples::{ODD_TEXTS, event, event_id, key, key_id, seconds};
use crate::domain::{Event, EventFlag, EventId, KeyId, Money, Routed, Try, UnixMillis, Usage, UsageSource};
use crate::store::{EventFilter, EventOrder, KeySpend, Paging, SharedStore};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;

const T: i64 = 1_700_000_000;

fn json(text: &str) -> Option<Box<RawValue>> {
    Some(RawValue::from_string(text.to_owned()).unwrap())
}

/// Events compared by what they say, JSON included.
fn said(event: &Event) -> serde_json::Value {
    serde_json::to_value(event).unwrap()
}

async fn ids(store: &SharedStore, filter: EventFilter) -> Vec<EventId> {
    store.list_events(&filter).await.unwrap().rows.iter().map(|e| e.id).collect()
}

fn costs(spends: Vec<KeySpend>) -> BTreeMap<KeyId, i64> {
    spends.into_iter().map(|s| (s.key_id, s.total.units())).collect()
}

pub(crate) async fn an_event_comes_back_as_it_was_stored(store: SharedStore) {
    let rich = event(1, UnixMillis(T * 1000 + 123), |e| {
        e.usage = Usage {
            in_text: 1,
            in_audio: 2,
            in_image: 3,
            cache_read_text: 4,
            cache_read_audio: 5,
            cache_read_image: 6,
            cache_write_5m: 7,
            cache_write_1h: 8,
            cache_write_30m: 9,
            cache_write_12h: 10,
            out_text: 11,
            out_audio: 12,
            out_image: 13,
            out_reasoning: 14,
            web_search: 15,
            file_search: 16,
            code_sessions: 17,
            images: 18,
            audio_millis: 19,
            characters: 20,
            service_tier: Some("flex".into()),
            speed: Some("fast".into()),
            inference_geo: Some("us".into()),
            image_size: Some("1024x1024".into()),
            image_quality: Some("hd".into()),
            batch: true,
            many: true,
            source: UsageSource::Partial,
        };
        e.flags = vec![EventFlag::Estimated, EventFlag::Aborted];
        e.custom_id = "my \"id\"".into();
        e.user_id = "user".into();
        e.upstream_request_id = "up".into();
        e.metadata = json(r#"{"a":[1,2.50,"x"]}"#);
        e.request = json(r#"{"model":"gpt-4","b":1e3}"#);
        e.response = json(r#"{"data":"AAEC"}"#);
        let fallen = |step, status, failure: &str| Try {
            step,
            provider: "azure".into(),
            model: "it's, a \"model\"\n".into(),
            status,
            failure: failure.into(),
            latency_ms: u64::MAX,
        };
        let tries = vec![fallen(1, 0, "timeout"), fallen(1, 529, "server_error")];
        e.route = Some(Box::new(Routed { route: route_id(1), step: u16::MAX, tries }));
    });
    let bare = event(2, seconds(T + 1), |e| {
        e.key_id = None;
        e.setting_id = None;
        e.tags.clear();
        e.usage = Usage::default();
        e.cost = Money::ZERO;
        e.request_id = "".into();
        e.model = "".into();
        e.status = 404;
    });
    let half = event(3, seconds(T + 2), |e| {
        e.response = json("[]");
        e.route = Some(Box::new(Routed { route: route_id(2), step: 0, tries: Vec::new() }));
    });
    let all = [rich, bare, half];
    assert_eq!(store.insert_events(&all).await.unwrap(), 3);
    let found = store.list_events(&EventFilter::default()).await.unwrap();
    assert_eq!(found.rows.iter().map(said).collect::<Vec<_>>(), all.iter().map(said).collect::<Vec<_>>());
    assert_eq!(found.rows[0].metadata.as_deref().map(RawValue::get), Some(r#"{"a":[1,2.50,"x"]}"#));
}

pub(crate) async fn an_event_counts_once_however_often_it_is_written(store: SharedStore) {
    let one = event(1, seconds(T), |e| e.request = json("{}"));
    let two = event(2, seconds(T), |_| {});
    assert_eq!(store.insert_events(&[]).await.unwrap(), 0);
    assert_eq!(store.insert_events(std::slice::from_ref(&one)).await.unwrap(), 1);
    assert_eq!(store.insert_events(&[one.clone(), two.clone()]).await.unwrap(), 1);
    assert_eq!(store.insert_events(&[one, two]).await.unwrap(), 0);
    assert_eq!(store.spend_of(key_id(1)).await.unwrap(), Some(Money::from_units(18_600_000)));
    assert_eq!(ids(&store, EventFilter::default()).await.len(), 2);
}

pub(crate) async fn a_rehearsal_says_how_many_and_leaves_nothing(store: SharedStore) {
    let one = event(1, seconds(T), |e| {
        e.request = json("{}");
        e.model = "m".repeat(2_000).into();
    });
    let two = event(2, seconds(T), |_| {});
    assert_eq!(store.insert_events(std::slice::from_ref(&two)).await.unwrap(), 1);
    for _ in 0..2 {
        assert_eq!(store.rehearse_events(&[one.clone(), two.clone()]).await.unwrap(), 1);
    }
    assert_eq!(ids(&store, EventFilter::default()).await.len(), 1);
    assert_eq!(store.spend_of(key_id(1)).await.unwrap(), Some(Money::from_units(9_300_000)));
    assert_eq!(store.insert_events(&[one, two]).await.unwrap(), 1, "and is in nobody's way");
    assert_eq!(store.spend_of(key_id(1)).await.unwrap(), Some(Money::from_units(18_600_000)));
}

pub(crate) async fn a_batch_that_names_an_event_twice_counts_it_once(store: SharedStore) {
    let one = event(1, seconds(T), |_| {});
    assert_eq!(store.insert_events(&[one.clone(), one]).await.unwrap(), 1);
    assert_eq!(store.spend_of(key_id(1)).await.unwrap(), Some(Money::from_units(9_300_000)));
}

pub(crate) async fn the_rollup_equals_the_events(store: SharedStore) {
    let events: Vec<_> = (0..300u64)
        .map(|n| {
            event(n, seconds(T + i64::try_from(n % 50).unwrap()), |e| {
                e.key_id = (n % 7 != 0).then(|| key_id(n % 5));
                e.cost = Money::from_units(i64::try_from(n * n * 31).unwrap());
            })
        })
        .collect();
    // Batches that overlap, as after a crash of the drain.
    for batch in events.windows(40).step_by(13) {
        store.insert_events(batch).await.unwrap();
    }
    store.insert_events(&events).await.unwrap();
    let mut expect: BTreeMap<KeyId, i64> = BTreeMap::new();
    for event in &events {
        if let Some(key) = event.key_id {
            *expect.entry(key).or_default() += event.cost.units();
        }
    }
    assert_eq!(costs(store.spends().await.unwrap()), expect);
    assert_eq!(costs(store.spends_since(UnixMillis(0)).await.unwrap()), expect);
    for (key, total) in expect {
        assert_eq!(store.spend_of(key).await.unwrap(), Some(Money::from_units(total)));
    }
    assert_eq!(store.spend_of(key_id(99)).await.unwrap(), None);
}

pub(crate) async fn racing_writers_count_every_event_once(store: SharedStore) {
    // Every event is written by two of the eight writers.
    let writers = (0..8u64).map(|writer| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut new = 0;
            for batch in 0..10 {
                let first = (writer / 2) * 1000 + batch * 10;
                let events: Vec<_> = (first..first + 10).map(|n| event(n, seconds(T), |_| {})).collect();
                new += store.insert_events(&events).await.unwrap();
            }
            new
        })
    });
    let mut new = 0;
    for writer in writers.collect::<Vec<_>>() {
        new += writer.await.unwrap();
    }
    assert_eq!(new, 400);
    assert_eq!(store.spend_of(key_id(1)).await.unwrap(), Some(Money::from_units(400 * 9_300_000)));
}

pub(crate) async fn event_filters_combine(store: SharedStore) {
    let events = [
        event(1, seconds(T), |e| e.custom_id = "c1".into()),
        event(2, seconds(T + 1), |e| {
            e.key_id = Some(key_id(2));
            e.user_id = "u1".into();
            e.custom_id = "c1".into();
        }),
        event(3, seconds(T + 2), |e| {
            e.key_id = None;
            e.status = 429;
            e.tags = vec!["prod".into()];
        }),
    ];
    store.insert_events(&events).await.unwrap();
    let [one, two, three] = events.map(|e| e.id);
    let all = EventFilter::default;
    assert_eq!(ids(&store, EventFilter { custom_ids: vec!["c1".into(), "zz".into()], ..all() }).await, [one, two]);
    assert_eq!(ids(&store, EventFilter { user_ids: vec!["u1".into()], ..all() }).await, [two]);
    assert_eq!(ids(&store, EventFilter { key_ids: vec![key_id(1), key_id(9)], ..all() }).await, [one]);
    assert_eq!(ids(&store, EventFilter { status: Some(429), ..all() }).await, [three]);
    assert_eq!(ids(&store, EventFilter { tags: vec!["prod".into()], ..all() }).await, [one, two, three]);
    assert_eq!(ids(&store, EventFilter { tags: vec!["prod".into(), "team-a".into()], ..all() }).await, [one, two]);
    assert_eq!(ids(&store, EventFilter { custom_ids: vec![String::new()], ..all() }).await, [three]);
    let both = EventFilter { custom_ids: vec!["c1".into()], key_ids: vec![key_id(2)], ..all() };
    assert_eq!(ids(&store, both.clone()).await, [two]);
    assert_eq!(ids(&store, EventFilter { status: Some(500), ..both }).await, []);
}

pub(crate) async fn event_times_are_inclusive_seconds(store: SharedStore) {
    let at = |n, millis| event(n, UnixMillis(millis), |_| {});
    let events = [at(1, T * 1000 - 1), at(2, T * 1000), at(3, T * 1000 + 1999), at(4, T * 1000 + 2000)];
    store.insert_events(&events).await.unwrap();
    let [one, two, three, four] = events.map(|e| e.id);
    let range = |start, end| EventFilter { start, end, ..EventFilter::default() };
    assert_eq!(ids(&store, range(Some(T), Some(T + 1))).await, [two, three]);
    assert_eq!(ids(&store, range(Some(T), None)).await, [two, three, four]);
    assert_eq!(ids(&store, range(None, Some(T - 1))).await, [one]);
    assert_eq!(ids(&store, range(Some(i64::MIN), Some(i64::MAX))).await, [one, two, three, four]);
}

pub(crate) async fn events_are_ordered_and_paged(store: SharedStore) {
    let events = [(1, 2, 30), (2, 1, 10), (3, 3, 20), (4, 1, 10)]
        .map(|(n, at, cost)| event(n, seconds(T + at), |e| e.cost = Money::from_units(cost)));
    store.insert_events(&events).await.unwrap();
    let [one, two, three, four] = events.map(|e| e.id);
    let by = |order, limit, offset| EventFilter {
        order,
        paging: Paging { limit, offset, count: true },
        ..EventFilter::default()
    };
    assert_eq!(ids(&store, by(EventOrder::OldestFirst, 0, 0)).await, [two, four, one, three]);
    assert_eq!(ids(&store, by(EventOrder::NewestFirst, 0, 0)).await, [three, one, four, two]);
    assert_eq!(ids(&store, by(EventOrder::CheapestFirst, 0, 0)).await, [two, four, three, one]);
    assert_eq!(ids(&store, by(EventOrder::DearestFirst, 0, 0)).await, [one, three, four, two]);
    assert_eq!(ids(&store, by(EventOrder::OldestFirst, 2, 1)).await, [four, one]);
    assert_eq!(ids(&store, by(EventOrder::OldestFirst, 0, 3)).await, [three]);
    assert_eq!(store.list_events(&by(EventOrder::NewestFirst, 1, 9)).await.unwrap().count, 4);
    assert_eq!(store.list_events(&EventFilter::default()).await.unwrap().count, 0);
}

pub(crate) async fn event_texts_are_filtered_literally(store: SharedStore) {
    let events: Vec<_> = (1..)
        .zip(ODD_TEXTS)
        .map(|(n, text)| {
            event(n, seconds(T), |e| {
                e.custom_id = text.into();
                e.user_id = text.into();
                e.tags = vec![text.into(), "all".into()];
            })
        })
        .collect();
    store.insert_events(&events).await.unwrap();
    for (event, text) in events.iter().zip(ODD_TEXTS) {
        let texts = || vec![text.to_owned()];
        for filter in [
            EventFilter { custom_ids: texts(), ..EventFilter::default() },
            EventFilter { user_ids: texts(), ..EventFilter::default() },
            EventFilter { tags: texts(), ..EventFilter::default() },
        ] {
            assert_eq!(ids(&store, filter).await, [event.id], "{text}");
        }
    }
    for nothing in ["a", "b", "%", "under%", "json", "all,a,b"] {
        let filter = EventFilter { tags: vec![nothing.into()], ..EventFilter::default() };
        assert_eq!(ids(&store, filter).await, [], "{nothing}");
    }
}

pub(crate) async fn spend_since_counts_from_the_moment_on(store: SharedStore) {
    let cost = |n, millis, cost| event(n, UnixMillis(millis), |e| e.cost = Money::from_units(cost));
    store.insert_events(&[cost(1, T * 1000 - 1, 1), cost(2, T * 1000, 10), cost(3, T * 1000 + 1, 100)]).await.unwrap();
    store.insert_events(&[event(4, seconds(T), |e| e.key_id = None)]).await.unwrap();
    store.insert_events(&[event(5, seconds(T - 9), |e| e.key_id = Some(key_id(2)))]).await.unwrap();
    assert_eq!(costs(store.spends_since(seconds(T)).await.unwrap()), [(key_id(1), 110)].into());
}

pub(crate) async fn admissions_count_what_was_let_in(store: SharedStore) {
    // Admission is in the id: admitted before the window and ended in it does not count.
    let admitted = |n, millis: i64| event(n, seconds(T + 30), |e| e.id = event_id(n, UnixMillis(millis)));
    let events = [
        admitted(1, T * 1000 - 1),
        admitted(2, T * 1000),
        admitted(3, T * 1000 + 1),
        Event { flags: vec![EventFlag::Refused], ..admitted(4, T * 1000 + 2) },
        Event { flags: vec![EventFlag::Aborted, EventFlag::Estimated], ..admitted(5, T * 1000 + 3) },
        Event { key_id: Some(key_id(2)), ..admitted(6, T * 1000 + 4) },
        Event { key_id: None, ..admitted(7, T * 1000 + 5) },
    ];
    store.insert_events(&events).await.unwrap();
    assert_eq!(store.admissions_since(key_id(1), seconds(T)).await.unwrap(), 3);
    assert_eq!(store.admissions_since(key_id(1), UnixMillis(0)).await.unwrap(), 4);
    assert_eq!(store.admissions_since(key_id(3), seconds(T)).await.unwrap(), 0);
    let mut by_key = store.admissions_by_key_since(seconds(T)).await.unwrap();
    by_key.sort_unstable();
    assert_eq!(by_key, [(key_id(1), 3), (key_id(2), 1)]);
    assert!(events.iter().filter(|e| crate::store::counts_as_admission(e)).count() == 6);
}

pub(crate) async fn ids_of_users_and_callers_are_distinct_and_sorted(store: SharedStore) {
    let texts = |n, custom: &str, user: &str| {
        event(n, seconds(T), |e| {
            e.custom_id = custom.into();
            e.user_id = user.into();
        })
    };
    let other = Event { key_id: Some(key_id(2)), ..texts(5, "other", "other") };
    store
        .insert_events(&[texts(1, "b", ""), texts(2, "a", "z"), texts(3, "b", "y"), texts(4, "", "z"), other])
        .await
        .unwrap();
    assert_eq!(store.custom_ids(key_id(1)).await.unwrap(), ["a", "b"]);
    assert_eq!(store.user_ids(key_id(1)).await.unwrap(), ["y", "z"]);
    assert_eq!(store.custom_ids(key_id(9)).await.unwrap(), [""; 0]);
}

pub(crate) async fn spend_outlives_the_key(store: SharedStore) {
    store.insert_key(&key(1, |_| {})).await.unwrap();
    store.insert_events(&[event(1, seconds(T), |_| {})]).await.unwrap();
    store.delete_key(key_id(1)).await.unwrap();
    assert_eq!(costs(store.spends().await.unwrap()), [(key_id(1), 9_300_000)].into());
    store.insert_events(&[event(2, seconds(T), |_| {})]).await.unwrap();
    assert_eq!(store.spend_of(key_id(1)).await.unwrap(), Some(Money::from_units(18_600_000)));
}

pub(crate) async fn old_events_are_deleted_oldest_first_and_their_cost_stays(store: SharedStore) {
    // Written in another order than that of their time.
    let events = [(1, 4), (2, 1), (3, 3), (4, 2), (5, 5)].map(|(n, at)| {
        event(n, seconds(T + at), |e| {
            e.cost = Money::from_units(1 << n);
            e.key_id = Some(key_id(n % 2));
            e.request = json("{}");
            e.custom_id = format!("c{n}").into();
        })
    });
    store.insert_events(&events).await.unwrap();
    let [one, two, three, four, five] = events.each_ref().map(|e| e.id);
    let spends = costs(store.spends().await.unwrap());
    let all = || async { ids(&store, EventFilter::default()).await };
    assert_eq!(store.delete_events_before(seconds(T + 1), 10).await.unwrap(), 0, "the moment itself is kept");
    assert_eq!(store.delete_events_before(seconds(T + 5), 0).await.unwrap(), 0);
    assert_eq!(store.delete_events_before(seconds(T + 5), 2).await.unwrap(), 2);
    assert_eq!(all().await, [three, one, five]);
    assert_eq!(store.delete_events_before(seconds(T + 4), 10).await.unwrap(), 1);
    assert_eq!(all().await, [one, five]);
    assert_eq!(costs(store.spends().await.unwrap()), spends);
    assert_eq!(store.spend_of(key_id(0)).await.unwrap(), Some(Money::from_units(4 + 16)));
    // The rest is answered from what is left.
    assert_eq!(costs(store.spends_since(seconds(0)).await.unwrap()), [(key_id(1), 2 + 32)].into());
    assert_eq!(store.custom_ids(key_id(0)).await.unwrap(), [""; 0]);
    // Nothing of a deleted event is in the way of a new one with its id.
    for gone in [two, four] {
        let again = events.iter().find(|e| e.id == gone).unwrap();
        assert_eq!(store.insert_events(std::slice::from_ref(again)).await.unwrap(), 1);
    }
    assert_eq!(all().await, [two, four, one, five]);
}

pub(crate) async fn huge_numbers_are_kept_or_saturate(store: SharedStore) {
    let huge = |n| {
        event(n, seconds(T), |e| {
            e.cost = Money::MAX;
            e.latency_ms = u64::MAX;
            e.usage = Usage { in_text: u64::MAX, out_text: u64::MAX, ..Usage::default() };
        })
    };
    assert_eq!(store.insert_events(&[huge(1), huge(2)]).await.unwrap(), 2);
    store.insert_events(&[huge(3)]).await.unwrap();
    assert_eq!(store.spend_of(key_id(1)).await.unwrap(), Some(Money::MAX));
    assert_eq!(costs(store.spends_since(seconds(0)).await.unwrap()), [(key_id(1), i64::MAX)].into());
    let back = store.list_events(&EventFilter::default()).await.unwrap().rows;
    assert_eq!(back[0].usage.in_text, u64::MAX);
    assert_eq!(back[0].latency_ms, i64::MAX.unsigned_abs());
}
