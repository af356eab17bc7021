//! Reports.

use super::support::*;
use crate::domain::{KeyId, Money};
use serde_json::{Value, json};

const PATH: &str = "/api/reporting/events";
const DAYS: &str = "/api/reporting/events-by-day";
const TOP: &str = "/api/reporting/top-keys";
const BAD: &str = "/errors/invalid-reporting-request";

fn somebody() -> KeyId {
    KeyId::from_uuid(uuid::Uuid::new_v4())
}

impl Desk {
    async fn report(&self, fields: Value) -> Value {
        let mut body = json!({"start": NOW, "end": NOW + 60, "increment": 60});
        merge(&mut body, fields);
        self.post(PATH, body).await.good()
    }
}

fn column(report: &Value, field: &str) -> Vec<Value> {
    report["dataPoints"].as_array().unwrap().iter().map(|point| point[field].clone()).collect()
}

#[tokio::test]
async fn c112_ten_seconds_by_twenty_are_one_point() {
    let desk = Desk::open();
    let key = somebody();
    desk.book(event(key, NOW));
    desk.book(event(key, NOW + 9));
    let report = desk.report(json!({"end": NOW + 10, "increment": 20})).await;
    assert_eq!(column(&report, "numberOfRequests"), [json!(2)]);
}

#[tokio::test]
async fn c113_empty_buckets_are_zeros() {
    let desk = Desk::open();
    desk.book(event(somebody(), NOW + 30));
    let report = desk.report(json!({"increment": 30, "filters": ["model"]})).await;
    let zero = json!({
        "timeStamp": NOW, "numberOfRequests": 0, "costInUsd": 0.0, "latencyInMs": 0, "promptTokenCount": 0,
        "completionTokenCount": 0, "successCount": 0, "model": "", "keyId": "", "customId": "", "userId": "",
    });
    assert_eq!(report["dataPoints"][0], zero);
    assert_eq!(column(&report, "timeStamp"), [json!(NOW), json!(NOW + 30), json!(NOW + 60)]);
    assert_eq!(column(&report, "numberOfRequests"), [json!(0), json!(1), json!(0)]);
    let empty = desk.report(json!({"customIds": ["nobody"]})).await;
    assert_eq!((&empty["latencyInMsMedian"], &empty["latencyInMs99th"]), (&json!(0.0), &json!(0.0)));
}

#[tokio::test]
async fn a5_the_documented_exchange() {
    let desk = Desk::open();
    let key = somebody();
    for latency in [408, 412] {
        let mut one = event(key, NOW + 5);
        one.latency_ms = latency;
        desk.book(one);
    }
    let report = desk.report(json!({"keyIds": [key], "tags": [], "customIds": [], "filters": ["model"]})).await;
    let first = json!({
        "timeStamp": NOW, "numberOfRequests": 2, "costInUsd": 0.00186, "latencyInMs": 820, "promptTokenCount": 18,
        "completionTokenCount": 22, "successCount": 2, "model": "gpt-4", "keyId": "", "customId": "", "userId": "",
    });
    assert_eq!(report["dataPoints"][0], first);
    assert_eq!(report["dataPoints"].as_array().unwrap().len(), 2);
    assert_eq!((&report["latencyInMsMedian"], &report["latencyInMs99th"]), (&json!(410.0), &json!(411.96)));
}

#[tokio::test]
async fn c114_groups_have_one_point_per_combination() {
    let desk = Desk::open();
    let keys = [somebody(), somebody()];
    for (n, key) in [0usize, 0, 1].into_iter().enumerate() {
        for model in ["gpt-4", "gpt-4o"] {
            let mut one = event(keys[key], NOW + i64::try_from(n).unwrap());
            one.model = model.into();
            one.user_id = "ann".into();
            desk.book(one);
        }
    }
    let report = desk.report(json!({"end": NOW + 59, "filters": ["model", "keyId", "nonsense"]})).await;
    let mut groups: Vec<_> = report["dataPoints"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| {
            assert_eq!((&p["customId"], &p["userId"]), (&json!(""), &json!("")));
            (
                p["keyId"].as_str().unwrap().to_owned(),
                p["model"].as_str().unwrap().to_owned(),
                p["numberOfRequests"].as_u64().unwrap(),
            )
        })
        .collect();
    groups.sort();
    let mut want = Vec::new();
    for (key, count) in [(keys[0], 2), (keys[1], 1)] {
        for model in ["gpt-4", "gpt-4o"] {
            want.push((key.to_string(), model.to_owned(), count));
        }
    }
    want.sort();
    assert_eq!(groups, want);
    let by_user = desk.report(json!({"end": NOW + 59, "filters": ["userId"]})).await;
    assert_eq!(
        (column(&by_user, "userId"), column(&by_user, "numberOfRequests")),
        (vec![json!("ann")], vec![json!(6)])
    );
}

#[tokio::test]
async fn c115_latency_is_a_sum_and_percentiles_follow_the_filter() {
    let desk = Desk::open();
    let key = somebody();
    for (latency, custom) in [(100, "a"), (200, "a"), (300, "a"), (9_000, "b")] {
        let mut one = event(key, NOW);
        (one.latency_ms, one.custom_id) = (latency, custom.into());
        desk.book(one);
    }
    let mut outside = event(key, NOW + 60);
    outside.custom_id = "a".into();
    desk.book(outside);
    let report = desk.report(json!({"end": NOW + 60, "increment": 61, "customIds": ["a"]})).await;
    assert_eq!(column(&report, "latencyInMs"), [json!(600)]);
    assert_eq!((&report["latencyInMsMedian"], &report["latencyInMs99th"]), (&json!(200.0), &json!(298.0)));
}

#[tokio::test]
async fn c116_impossible_ranges_are_400() {
    let desk = Desk::open();
    for (start, end, increment, field) in [
        (json!(NOW), json!(NOW), json!(1), "start"),
        (json!(NOW + 1), json!(NOW), json!(1), "start"),
        (json!(0), json!(NOW), json!(1), "start"),
        (json!(-5), json!(NOW), json!(1), "start"),
        (json!(NOW), json!(0), json!(1), "end"),
        (json!(NOW), json!(NOW + 1), json!(0), "increment"),
        (json!(NOW), json!(NOW + 1), json!(-1), "increment"),
        (json!(NOW), json!(NOW + 1), json!(null), "increment"),
        (json!(1), json!(100_001), json!(1), "increment"),
        (json!(1), json!(i64::MAX), json!(1), "increment"),
    ] {
        let body = json!({"start": start, "end": end, "increment": increment});
        let detail = desk.post(PATH, body).await.problem(400, BAD, PATH);
        assert!(detail.contains(field), "{field}: {detail}");
    }
    desk.post(PATH, json!({"start": 1, "end": 100_000, "increment": 1})).await.good();
    let all = desk.post(PATH, json!({"keyIds": [""]})).await.problem(400, BAD, PATH);
    for field in ["keyIds[0]", "start", "end", "increment"] {
        assert!(all.contains(field), "{all}");
    }
}

#[tokio::test]
async fn c117_filters_of_a_report_are_literal() {
    let desk = Desk::open();
    let mut one = event(somebody(), NOW);
    one.tags = vec!["50% {a,b}".into()];
    desk.book(one);
    for (tag, count) in [("50% {a,b}", 1), ("50%", 0), ("a", 0)] {
        let report = desk.report(json!({"end": NOW + 59, "tags": [tag]})).await;
        assert_eq!(column(&report, "numberOfRequests"), [json!(count)], "{tag}");
    }
}

#[tokio::test]
async fn ids_that_cannot_exist_report_nothing() {
    let desk = Desk::open();
    desk.book(event(somebody(), NOW));
    let report = desk.report(json!({"keyIds": ["nonsense"], "end": NOW + 59})).await;
    assert_eq!(column(&report, "numberOfRequests"), [json!(0)]);
}

#[tokio::test]
async fn days_are_utc_days_and_cut_by_the_range() {
    const DAY: i64 = 86_400;
    let midnight = NOW / DAY * DAY;
    let desk = Desk::open();
    let (key, other) = (somebody(), somebody());
    for at in [midnight + 1, midnight + 100, midnight + DAY - 1, midnight + 2 * DAY, midnight + 2 * DAY + 50] {
        desk.book(event(key, at));
        desk.book(event(other, at));
    }
    let body = json!({"start": midnight + 50, "end": midnight + 2 * DAY + 50, "keyIds": [key]});
    let report = desk.post(DAYS, body).await.good();
    assert_eq!(column(&report, "timeStamp"), [json!(midnight), json!(midnight + DAY), json!(midnight + 2 * DAY)]);
    assert_eq!(column(&report, "numberOfRequests"), [json!(2), json!(0), json!(1)]);
    assert_eq!(report["latencyInMsMedian"], json!(0.0));
    let whole = json!({"start": midnight, "end": midnight + DAY});
    assert_eq!(column(&desk.post(DAYS, whole).await.good(), "numberOfRequests"), [json!(6)]);
    desk.post(DAYS, json!({"start": 5, "end": 5})).await.problem(400, BAD, DAYS);
    desk.post(DAYS, json!({"start": 5, "end": i64::MAX})).await.problem(400, BAD, DAYS);
}

#[tokio::test]
async fn c119_spend_of_a_key_is_the_sum_of_its_events() {
    let desk = Desk::open();
    let key = desk.key(json!({})).await;
    let path = format!("/api/reporting/keys/{}", id_of(&key));
    assert_eq!(desk.get(&path).await.good(), json!({"id": key["keyId"], "costInMicroDollars": 0}));
    // 1000 calls of 0.0000004 USD: each alone would vanish in micro-dollars.
    for _ in 0..1000 {
        let mut one = event(id_of(&key), NOW);
        one.cost = Money::parse_usd("0.0000004").unwrap();
        desk.book(one);
    }
    assert_eq!(desk.get(&path).await.good(), json!({"id": key["keyId"], "costInMicroDollars": 400}));
    desk.raw(axum::http::Method::DELETE, &key_path(&key), axum::body::Body::empty()).await;
    assert_eq!(desk.get(&path).await.good()["costInMicroDollars"], 400, "a deleted key keeps its bill");
    for unknown in [somebody().to_string(), "nonsense".into()] {
        let answer = desk.get(&format!("/api/reporting/keys/{unknown}")).await;
        answer.problem(404, "/errors/key-not-found", "/api/reporting/keys/{keyId}");
    }
}

#[tokio::test]
async fn top_keys_rank_spend_and_include_the_new() {
    let desk = Desk::open();
    let mut keys = Vec::new();
    for name in ["idle", "little", "much"] {
        keys.push(desk.key(json!({"name": name, "key": format!("gw-{name}"), "tags": [name]})).await);
    }
    for (n, units) in [(1, 10_000_000_000), (2, 30_000_000_000)] {
        let mut one = event(id_of(&keys[n]), NOW + 1);
        one.cost = Money::from_units(units);
        desk.book(one);
    }
    let ask = async |fields: Value| {
        let mut body = json!({"start": NOW, "end": NOW + 60});
        merge(&mut body, fields);
        let points = desk.post(TOP, body).await.good()["dataPoints"].take();
        points.as_array().unwrap().iter().map(|p| p["costInUsd"].as_f64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(ask(json!({})).await, [3.0, 1.0, 0.0]);
    assert_eq!(ask(json!({"order": "asc"})).await, [0.0, 1.0, 3.0]);
    assert_eq!(ask(json!({"limit": 1, "offset": 1})).await, [1.0]);
    assert_eq!(ask(json!({"name": "MUC"})).await, [3.0]);
    assert_eq!(ask(json!({"tags": ["little"]})).await, [1.0]);
    assert_eq!(ask(json!({"revoked": true})).await, Vec::<f64>::new());
    assert_eq!(ask(json!({"keyIds": [id_of(&keys[0])]})).await, [0.0]);
    assert_eq!(ask(json!({"keyIds": ["nonsense"]})).await, Vec::<f64>::new());
    let bad = json!({"start": 2, "end": 1, "order": "up", "limit": -1});
    let detail = desk.post(TOP, bad).await.problem(400, BAD, TOP);
    assert!(["start", "order", "limit"].iter().all(|field| detail.contains(field)), "{detail}");
}

#[tokio::test]
async fn ids_seen_in_a_keys_events() {
    let desk = Desk::open();
    let key = somebody();
    for (custom, user) in [("b", "u"), ("a", ""), ("b", "v"), ("", "u")] {
        let mut one = event(key, NOW);
        (one.custom_id, one.user_id) = (custom.into(), user.into());
        desk.book(one);
    }
    for (path, want) in
        [("/api/reporting/custom-ids", json!(["a", "b"])), ("/api/reporting/user-ids", json!(["u", "v"]))]
    {
        assert_eq!(desk.get(&format!("{path}?keyId={key}")).await.good(), want);
        assert_eq!(desk.get(&format!("{path}?keyId={}", somebody())).await.good(), json!([]));
        assert_eq!(desk.get(&format!("{path}?keyId=nonsense")).await.good(), json!([]));
        desk.get(path).await.problem(400, "/errors/missing-key-id", path);
    }
}
