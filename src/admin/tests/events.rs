//! Events.

use super::support::*;
use crate::domain::{Event, EventFlag, EventId, KeyId, Money, RouteId, Routed, Try};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const PATH: &str = "/api/events";
const V2: &str = "/api/v2/events";

fn somebody() -> KeyId {
    KeyId::from_uuid(uuid::Uuid::new_v4())
}

fn raw(json: &str) -> Option<Box<RawValue>> {
    Some(RawValue::from_string(json.to_owned()).unwrap())
}

impl Desk {
    /// Three events of `key`, ten seconds apart, with custom ids e0, e1, e2.
    fn book_three(&self, key: KeyId) {
        for n in 0..3u8 {
            let mut one = event(key, NOW + i64::from(n) * 10);
            one.custom_id = format!("e{n}").into();
            one.user_id = if n == 0 { "ann" } else { "bob" }.into();
            one.cost = Money::from_units([20, 30, 10][usize::from(n)]);
            one.status = if n == 2 { 429 } else { 200 };
            self.book(one);
        }
    }
    async fn listed(&self, query: &str) -> Vec<String> {
        ids(&self.get(&format!("{PATH}?{query}")).await.good())
    }
    async fn searched(&self, fields: Value) -> (Vec<String>, u64) {
        let mut body = json!({"start": NOW, "end": NOW + 100});
        merge(&mut body, fields);
        let page = self.post(V2, body).await.good();
        (ids(&page["events"]), page["count"].as_u64().unwrap())
    }
}

fn ids(events: &Value) -> Vec<String> {
    events.as_array().unwrap().iter().map(|e| e["custom_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn c107_filters_and_their_times_are_required() {
    let desk = Desk::open();
    let key = somebody();
    for (query, kind) in [
        (String::new(), "/errors/no-filters-empty"),
        ("?start=1&end=2".into(), "/errors/no-filters-empty"),
        ("?customId=".into(), "/errors/no-filters-empty"),
        (format!("?keyIds={key}&end=2"), "/errors/query-param-start-missing"),
        (format!("?keyIds={key}&start=1"), "/errors/query-param-end-missing"),
        (format!("?keyIds={key}&start=soon&end=2"), "/errors/bad-start-query-param"),
        (format!("?keyIds={key}&start=1&end=2.5"), "/errors/bad-end-query-param"),
        (format!("?keyIds={key}&start=9223372036854775808&end=2"), "/errors/bad-start-query-param"),
        ("?customId=a&end=x".into(), "/errors/bad-end-query-param"),
    ] {
        desk.get(&format!("{PATH}{query}")).await.problem(400, kind, PATH);
    }
}

#[tokio::test]
async fn c108_an_event_has_exactly_its_keys_in_order() {
    let desk = Desk::open();
    let key = somebody();
    let mut one = event(key, NOW);
    one.tags = vec!["ci".into()];
    one.custom_id = "run-7".into();
    one.user_id = "ann".into();
    one.latency_ms = 412;
    desk.book(one.clone());
    let answer = desk.get("/api/events?customId=run-7").await;
    let want = json!([{
        "id": one.id.to_string(), "created_at": NOW, "tags": ["ci"], "key_id": key.to_string(), "cost_in_usd": 0.00093,
        "provider": "openai", "model": "gpt-4", "status": 200, "prompt_token_count": 9, "completion_token_count": 11,
        "latency_in_ms": 412, "path": "/api/providers/openai/v1/chat/completions", "method": "POST",
        "custom_id": "run-7", "request": "e30=", "response": "e30=", "userId": "ann", "action": "", "policyId": "",
        "routeId": "", "correlationId": "req-1", "metadata": "e30=", "flags": [],
    }]);
    assert_eq!(answer.json(), want);
    let order = ["\"id\"", "\"key_id\"", "\"custom_id\"", "\"userId\"", "\"metadata\"", "\"flags\""];
    let places: Vec<_> = order.iter().map(|name| answer.text.find(name).unwrap()).collect();
    assert!(places.is_sorted(), "{}", answer.text);
}

#[tokio::test]
async fn c109_kept_bodies_and_metadata_are_base64_of_the_exact_text() {
    let desk = Desk::open();
    let mut one = event(somebody(), NOW);
    one.custom_id = "x".into();
    one.request = raw(r#"{"a" : 1e400}"#);
    one.response = raw(r#"{"b":"\ud800"}"#);
    one.metadata = raw("[1]");
    one.flags = vec![EventFlag::Estimated, EventFlag::Aborted];
    desk.book(one);
    let shown = &desk.get("/api/events?customId=x").await.good()[0];
    assert_eq!(shown["request"], "eyJhIiA6IDFlNDAwfQ==");
    assert_eq!(shown["response"], "eyJiIjoiXHVkODAwIn0=");
    assert_eq!(shown["metadata"], "WzFd");
    assert_eq!(shown["flags"], json!(["estimated", "aborted"]));
}

#[tokio::test]
async fn nobodys_event_has_an_empty_key() {
    let desk = Desk::open();
    let mut one = event(somebody(), NOW);
    one.key_id = None;
    one.custom_id = "x".into();
    desk.book(one);
    assert_eq!(desk.get("/api/events?customId=x").await.good()[0]["key_id"], "");
}

#[tokio::test]
async fn filters_combine_and_the_range_is_inclusive() {
    let desk = Desk::open();
    let (key, other) = (somebody(), somebody());
    desk.book_three(key);
    desk.book_three(other);
    let range = |from: i64, to: i64| format!("keyIds={key}&start={}&end={}", NOW + from, NOW + to);
    assert_eq!(desk.listed(&range(0, 20)).await, ["e0", "e1", "e2"]);
    assert_eq!(desk.listed(&range(10, 10)).await, ["e1"]);
    assert_eq!(desk.listed(&range(11, 19)).await, Vec::<String>::new());
    assert_eq!(desk.listed(&format!("{}&customId=e2", range(0, 20))).await, ["e2"]);
    assert_eq!(desk.listed(&format!("{}&userId=bob", range(0, 20))).await, ["e1", "e2"]);
    assert_eq!(desk.listed("userId=ann").await, ["e0", "e0"]);
    assert_eq!(desk.listed(&format!("customId=e1&start={}", NOW + 11)).await, Vec::<String>::new());
    assert_eq!(desk.listed("keyIds=nonsense&start=0&end=9223372036854775807").await, Vec::<String>::new());
    let for_ever = format!("keyIds={key},{other}&start=-9223372036854775808&end=9223372036854775807");
    assert_eq!(desk.listed(&for_ever).await.len(), 6);
}

#[tokio::test]
async fn the_cap_is_kept_and_told() {
    let desk = Desk::with(&[], 2);
    desk.book_three(somebody());
    let answer = desk.get(&format!("{PATH}?userId=bob")).await;
    assert!(!answer.headers.contains_key("x-tollgate-truncated"), "exactly as many as the cap");
    desk.book_three(somebody());
    let answer = desk.get(&format!("{PATH}?userId=bob")).await;
    assert_eq!(answer.headers["x-tollgate-truncated"], "true");
    assert_eq!(answer.json().as_array().unwrap().len(), 2);
    assert_eq!(desk.searched(json!({"limit": 5, "returnCount": true})).await, (vec!["e0".into(), "e0".into()], 6));
    assert_eq!(desk.searched(json!({"limit": 1})).await.0.len(), 1);
}

#[tokio::test]
async fn v2_orders_pages_and_ends_before_its_end() {
    let desk = Desk::open();
    desk.book_three(somebody());
    assert_eq!(desk.searched(json!({})).await, (vec!["e0".into(), "e1".into(), "e2".into()], 0));
    assert_eq!(desk.searched(json!({"end": NOW + 20})).await.0, ["e0", "e1"]);
    assert_eq!(desk.searched(json!({"costOrder": "ASC"})).await.0, ["e2", "e0", "e1"]);
    assert_eq!(desk.searched(json!({"costOrder": "desc", "dateOrder": ""})).await.0, ["e1", "e0", "e2"]);
    assert_eq!(desk.searched(json!({"dateOrder": "Desc"})).await.0, ["e2", "e1", "e0"]);
    let page = json!({"limit": 1, "offset": 1, "returnCount": true});
    assert_eq!(desk.searched(page).await, (vec!["e1".into()], 3));
    assert_eq!(desk.searched(json!({"status": 429})).await.0, ["e2"]);
    assert_eq!(desk.searched(json!({"userIds": ["ann"], "customIds": ["e0", "e1"]})).await.0, ["e0"]);
    assert_eq!(desk.searched(json!({"policyIds": ["p"]})).await.0, Vec::<String>::new());
    assert_eq!(desk.searched(json!({"actions": ["blocked"]})).await.0, Vec::<String>::new());
}

#[tokio::test]
async fn v2_names_all_mistakes_at_once() {
    let desk = Desk::open();
    let body = json!({
        "start": 5, "end": 5, "userIds": [""], "customIds": ["a", ""], "tags": [""], "keyIds": [""], "policyIds": [""],
        "actions": ["deleted"], "status": 70000, "costOrder": "up", "dateOrder": "asc", "limit": -1, "offset": -1,
    });
    let detail = desk.post(V2, body).await.problem(400, "/errors/validation", V2);
    for field in [
        "start",
        "userIds[0]",
        "customIds[1]",
        "tags[0]",
        "keyIds[0]",
        "policyIds[0]",
        "actions[0]",
        "status",
        "costOrder",
        "limit",
        "offset",
    ] {
        assert!(detail.contains(field), "{field}: {detail}");
    }
    let both = json!({"start": 1, "end": 2, "costOrder": "asc", "dateOrder": "asc"});
    assert!(desk.post(V2, both).await.problem(400, "/errors/validation", V2).contains("dateOrder"));
    let none = desk.post(V2, json!({})).await.problem(400, "/errors/validation", V2);
    assert!(none.contains("start") && none.contains("end"), "{none}");
}

#[tokio::test]
async fn c117_ids_and_tags_are_literal() {
    let desk = Desk::open();
    let odd = "a,b%' OR 1=1 {}";
    let mut one = event(somebody(), NOW);
    one.custom_id = odd.into();
    one.tags = vec![odd.into()];
    desk.book(one);
    assert_eq!(desk.listed("customId=a%2Cb%25%27%20OR%201%3D1%20%7B%7D").await, [odd]);
    assert_eq!(desk.listed("customId=a").await, Vec::<String>::new());
    assert_eq!(desk.searched(json!({"tags": [odd], "customIds": [odd]})).await.0, [odd]);
}

/// Answered by the second step, after two failures of the first.
fn routed(custom_id: &str, at: i64) -> Event {
    let failed = |status, failure: &str, latency_ms| Try {
        step: 1,
        provider: "azure".into(),
        model: "gpt-4o-mini".into(),
        status,
        failure: failure.into(),
        latency_ms,
    };
    let mut one = event(somebody(), at);
    one.custom_id = custom_id.into();
    one.tags = vec!["ci".into()];
    one.user_id = "ann".into();
    one.path = "/api/routes/chat".into();
    one.flags = vec![EventFlag::Estimated];
    one.metadata = raw("[1]");
    one.request = raw(r#"{"a":1}"#);
    one.response = raw(r#"{"b":2}"#);
    one.route = Some(Box::new(Routed {
        route: RouteId::from_uuid(uuid::Uuid::from_u128(7)),
        step: 2,
        tries: vec![failed(0, "timeout", 30), failed(503, "server_error", 40)],
    }));
    one
}

#[tokio::test]
async fn an_event_of_a_route_tells_how_it_came_about() {
    let desk = Desk::open();
    let one = routed("x", NOW);
    desk.book(one.clone());
    let answer = desk.get(&format!("{PATH}?customId=x")).await;
    let shown = &answer.json()[0];
    assert_eq!(shown["routeId"], "00000000-0000-0000-0000-000000000007");
    assert_eq!((&shown["correlationId"], &shown["routeStep"]), (&json!("req-1"), &json!(2)));
    let failed = |status: u16, failure: &str, latency: u64| {
        json!({"step": 1, "provider": "azure", "model": "gpt-4o-mini", "status": status, "failure": failure,
            "latencyMs": latency})
    };
    assert_eq!(shown["tries"], json!([failed(0, "timeout", 30), failed(503, "server_error", 40)]));
    let order = ["\"id\"", "\"routeId\"", "\"flags\"", "\"routeStep\"", "\"tries\""];
    let places: Vec<_> = order.iter().map(|name| answer.text.find(name).unwrap()).collect();
    assert!(places.is_sorted() && answer.text.ends_with("}]}]"), "{}", answer.text);
    assert_eq!(shown.as_object().unwrap().len(), 23 + 2, "no failure of its own");

    // A route's event is never without a correlation; what it answered at once has no failed tries.
    let mut bare = routed("y", NOW);
    bare.request_id = "".into();
    bare.route.as_mut().unwrap().tries.clear();
    desk.book(bare.clone());
    let shown = &desk.get(&format!("{PATH}?customId=y")).await.good()[0];
    assert_eq!((&shown["correlationId"], &shown["tries"]), (&json!(bare.id.to_string()), &json!([])));
    let mut other = event(somebody(), NOW);
    (other.request_id, other.custom_id) = ("".into(), "z".into());
    desk.book(other);
    assert_eq!(desk.get(&format!("{PATH}?customId=z")).await.good()[0]["correlationId"], "");
}

#[tokio::test]
async fn c150_failed_tries_are_events_that_share_the_correlation_when_asked_for() {
    let desk = Desk::open();
    let one = routed("x", NOW);
    desk.book(one.clone());
    desk.book(event(one.key_id.unwrap(), NOW + 1));
    let path = format!("{PATH}?keyIds={}&start={NOW}&end={}", one.key_id.unwrap(), NOW + 10);
    for query in ["", "&attempts=false", "&attempts="] {
        assert_eq!(desk.get(&format!("{path}{query}")).await.good().as_array().unwrap().len(), 2, "{query}");
    }
    let plain = desk.get(&path).await.good();
    let spread = desk.get(&format!("{path}&attempts=true")).await.good();
    let [first, second, whole, other] = &spread.as_array().unwrap()[..] else { panic!("{spread}") };
    assert_eq!((whole, other), (&plain[0], &plain[1]), "requests are shown as without");
    for (shown, status, failure, latency) in [(first, 0, "timeout", 30), (second, 503, "server_error", 40)] {
        let want = json!({
            "id": shown["id"], "created_at": NOW, "tags": ["ci"], "key_id": one.key_id.unwrap().to_string(),
            "cost_in_usd": 0.0, "provider": "azure", "model": "gpt-4o-mini", "status": status,
            "prompt_token_count": 0, "completion_token_count": 0, "latency_in_ms": latency,
            "path": "/api/routes/chat", "method": "POST", "custom_id": "x", "request": "e30=", "response": "e30=",
            "userId": "ann", "action": "", "policyId": "", "routeId": whole["routeId"], "correlationId": "req-1",
            "metadata": "WzFd", "flags": [], "routeStep": 1, "tries": [], "failure": failure,
        });
        assert_eq!(*shown, want);
    }
    let ids: BTreeSet<_> = [first, second, whole, other].map(|e| e["id"].as_str().unwrap()).into();
    assert!(ids.len() == 4 && ids.iter().all(|id| EventId::parse(id).is_some()), "{ids:?}");
    assert_eq!(desk.get(&format!("{path}&attempts=true")).await.good(), spread, "the same ids each time");
    desk.get(&format!("{path}&attempts=1")).await.problem(400, "/errors/validation", PATH);

    // Without the caller's id they share that of the request.
    let mut bare = routed("y", NOW);
    bare.request_id = "".into();
    desk.book(bare.clone());
    let spread = desk.get(&format!("{PATH}?customId=y&attempts=true")).await.good();
    let shared: Vec<_> = spread.as_array().unwrap().iter().map(|e| e["correlationId"].as_str().unwrap()).collect();
    assert_eq!(shared, [&bare.id.to_string(); 3]);
}

#[tokio::test]
async fn failed_tries_follow_the_page_of_their_requests() {
    let desk = Desk::with(&[], 5);
    for (custom_id, at) in [("a", NOW), ("b", NOW + 1), ("c", NOW + 2)] {
        desk.book(routed(custom_id, at));
    }
    let page = |fields: Value| {
        let mut body = json!({"attempts": true, "returnCount": true, "dateOrder": "desc"});
        merge(&mut body, fields);
        desk.searched(body)
    };
    assert_eq!(page(json!({"limit": 1, "offset": 1})).await, (["b"; 3].map(String::from).into(), 3));
    // Filters are those of requests: no try with that status is found.
    assert_eq!(page(json!({"status": 503})).await, (vec![], 0));
    // The cap is one of entries, and no request is torn.
    assert_eq!(page(json!({})).await, (["c"; 3].map(String::from).into(), 3));
    let answer = desk.get(&format!("{PATH}?userId=ann&attempts=true")).await;
    assert_eq!(
        (ids(&answer.json()), &answer.headers["x-tollgate-truncated"]),
        (vec!["a".into(); 3], &"true".parse().unwrap())
    );
    let answer = desk.get(&format!("{PATH}?customId=a&attempts=true")).await;
    assert!(!answer.headers.contains_key("x-tollgate-truncated"));
}
