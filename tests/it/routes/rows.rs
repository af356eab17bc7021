//! Model rows of the unified API: as steps of a route, and a row that is a route itself.

use super::{FIRST, HELLO, PATH, SECOND, and, openai_at, status, step, used};
use crate::unified::{Answer, House, data, fee, question, streamed};
use crate::upstream::{Act, Fault};
use serde_json::{Value, json};

/// A house of the unified API, a key of the configuration API, and a setting for OpenAI.
struct Routed {
    house: House,
    key: String,
    setting: String,
}

async fn open() -> Routed {
    let house = House::with(crate::unified::setup().env("TOLLGATE_ROUTES_BREAKER_FAILURES", "0")).await;
    let setting = house.gateway.setting(json!({})).await;
    let key = house.gateway.key(super::KEY, json!({"settingIds": [setting]})).await;
    Routed { house, key, setting }
}

impl Routed {
    async fn route(&self, path: &str, steps: Value) -> Value {
        let body =
            json!({"name": "r", "path": path, "keyIds": [self.key], "cacheConfig": {"enabled": false}, "steps": steps});
        let (status, made) = self.house.gateway.admin("POST", "/api/routes", Some(body)).await;
        assert_eq!(status, 200, "{made}");
        made
    }

    async fn ask(&self, body: &Value) -> Answer {
        let url = format!("{}/api/routes{PATH}", self.house.gateway.proxy);
        Answer::of(self.house.gateway.http.post(url).bearer_auth(super::KEY).json(body)).await
    }
}

#[tokio::test]
async fn a_model_row_is_a_step() {
    let routed = open().await;
    let house = &routed.house;
    house.compatible("open", "gpt-oss-120b").await;
    house.upstream.teach(FIRST, status(500));
    house.upstream.teach("gpt-oss-120b", used(1000, 100));
    let steps = json!([openai_at(FIRST, &routed.setting), step("model", "open")]);
    routed.route(PATH, steps).await;
    for body in [question("m"), streamed(question("m"))] {
        let answer = routed.ask(&body).await;
        assert_eq!(super::text(&answer), HELLO);
        let event = house.event(&answer).await;
        assert_eq!((&event["routeStep"], &event["cost_in_usd"]), (&json!(2), &json!(0.0045)), "{event}");
        assert_eq!(super::tries(&event), [(1, "server_error", 500)], "{event}");
    }
    // A row that fails leads on as any other step does.
    house.upstream.teach("gpt-oss-120b", Act { fault: Some(Fault::Close { after: Some(1) }), ..Act::default() });
    house.upstream.teach(SECOND, used(1000, 100));
    routed.route("/row-first", json!([step("model", "open"), openai_at(SECOND, &routed.setting)])).await;
    let url = format!("{}/api/routes/row-first", house.gateway.proxy);
    let request = house.gateway.http.post(url).bearer_auth(super::KEY).json(&streamed(question("m")));
    assert_eq!(super::text(&Answer::of(request).await), HELLO);
}

#[tokio::test]
async fn a_route_is_a_model_of_the_unified_api() {
    let routed = open().await;
    let house = &routed.house;
    house.upstream.teach(FIRST, status(503));
    let made = routed.route(PATH, json!([openai_at(FIRST, &routed.setting), step("model", "claude-3-sonnet")])).await;
    house.model("prod", "route", json!({"route": PATH})).await;
    let user = house.user(json!({})).await;
    let mut calls = 0;
    for (path, body) in [
        ("/v1/chat/completions", question("prod")),
        ("/v1/messages", question("prod")),
        ("/v1/responses", json!({"model": "prod", "input": "hello"})),
    ] {
        for stream in [false, true] {
            let body = if stream { streamed(body.clone()) } else { body.clone() };
            house.upstream.script(Act { path: Some("/model/".into()), ..used(1000, 100) });
            let answer = house.post(&user.key, path, &body).await;
            assert_eq!(answer.status, 200, "{path} {stream}: {}", answer.text);
            let end = [("chat", "[DONE]"), ("messages", "message_stop"), ("responses", "response.completed")];
            let (_, end) = end.iter().find(|(name, _)| path.contains(name)).unwrap();
            if stream {
                assert!(data(&answer.text).last().unwrap().contains(end), "{path}: {}", answer.text);
            } else {
                assert!(answer.text.contains(HELLO), "{path}: {}", answer.text);
            }
            let event = house.event(&answer).await;
            assert_eq!((&event["routeId"], &event["routeStep"]), (&made["id"], &json!(2)), "{event}");
            assert_eq!(super::tries(&event), [(1, "server_error", 503)], "{event}");
            assert_eq!((&event["cost_in_usd"], &event["flags"]), (&json!(0.0045), &json!([])), "{event}");
            calls += 1;
            house.spent(&user, &fee(1000 * calls, 100 * calls)).await;
        }
    }
    assert_eq!(house.events().await.len() as u64, calls);
    // The row is what is listed and granted; without it nothing is.
    let listed = house.get(&user.key, "/v1/models").await.text;
    assert!(listed.contains("\"prod\""), "{listed}");
    let stranger = house.user(json!({"group_id": 0})).await;
    assert_eq!(house.chat(&stranger, &question("prod")).await.status, 403);
}

#[tokio::test]
async fn vectors_of_a_route_by_the_unified_api() {
    let routed = open().await;
    let house = &routed.house;
    let (first, second) = ("text-embedding-ada-002", "text-embedding-3-small");
    house.upstream.teach(first, status(500));
    house.upstream.teach(second, used(1000, 0));
    routed.route("/vectors", json!([openai_at(first, &routed.setting), openai_at(second, &routed.setting)])).await;
    let prices = json!({"price_in": "0.02", "price_out": 0});
    house.model_at("vectors", "route", json!({"route": "/vectors"}), prices).await;
    let user = house.user(json!({})).await;
    let answer = house.post(&user.key, "/v1/embeddings", &json!({"model": "vectors", "input": ["a", "b"]})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json()["data"].as_array().unwrap().len(), 2);
    let event = house.event(&answer).await;
    assert_eq!((&event["routeStep"], &event["cost_in_usd"]), (&json!(2), &json!(0.000_02)), "{event}");
}

#[tokio::test]
async fn all_steps_failing_is_told_in_the_unified_apis_words() {
    let routed = open().await;
    let house = &routed.house;
    house.upstream.teach(FIRST, status(500));
    routed.route(PATH, json!([openai_at(FIRST, &routed.setting), step("model", "claude-3-sonnet")])).await;
    house.model("prod", "route", json!({"route": PATH})).await;
    let user = house.user(json!({})).await;
    for body in [question("prod"), streamed(question("prod"))] {
        // As often as the row tries by itself.
        house.upstream.script(Act { path: Some("/model/".into()), times: Some(9), ..status(429) });
        let answer = house.chat(&user, &body).await;
        house.upstream.forget();
        answer.refused(429, "upstream_throttled");
        let event = house.event(&answer).await;
        assert_eq!((&event["cost_in_usd"], &event["status"]), (&json!(0.0), &json!(429)), "{event}");
    }
}

#[tokio::test]
async fn rows_and_routes_make_no_loops_and_name_what_there_is() {
    let routed = open().await;
    let house = &routed.house;
    routed.route(PATH, json!([openai_at(FIRST, &routed.setting)])).await;
    let row = |name: &str, route: &str| {
        let row = json!({"name": name, "provider": "route", "config": {"route": route}, "price_in": 1, "price_out": 1});
        async move { house.post(crate::unified::BOOT, "/admin/model/save", &row).await }
    };
    assert_eq!(row("lost", "/nowhere").await.status, 400);
    assert_eq!(row("prod", PATH).await.status, 200);
    let steps = json!([and(step("model", "prod"), json!({}))]);
    let body = json!({"name": "loop", "path": "/loop", "keyIds": [routed.key], "cacheConfig": {"enabled": false}, "steps": steps});
    let (status, answer) = house.gateway.admin("POST", "/api/routes", Some(body)).await;
    assert_eq!(status, 400, "{answer}");
    // The route may vanish behind its row.
    let user = house.user(json!({})).await;
    let id = house.model_id("prod").await;
    house.manage("/admin/group/bind-or-unbind-model", json!({"group_id": 1, "model_id": id})).await;
    let (_, list) = house.gateway.admin("GET", "/api/routes", None).await;
    let at = format!("/api/routes/{}", list[0]["id"].as_str().unwrap());
    assert_eq!(house.gateway.admin("DELETE", &at, None).await.0, 200);
    let answer = house.chat(&user, &question("prod")).await;
    answer.refused(500, "provider_misconfigured");
}
