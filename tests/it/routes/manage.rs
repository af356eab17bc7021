//! Routes as the configuration API takes them, and that calls follow at once.

use super::{CHEAP, DEAR, FIRST, HELLO, House, KEY, PATH, SECOND, and, openai, outcome, question, step, text};
use serde_json::{Value, json};

/// A refusal that names each of these fields.
async fn refused(house: &House, members: Value, fields: &[&str]) {
    let (status, answer) = house.make(members.clone()).await;
    assert_eq!((status, &answer["type"]), (400, &json!("/errors/validation")), "{members}: {answer}");
    for field in fields {
        assert!(answer.to_string().contains(field), "{field} of {members}: {answer}");
    }
    let (_, list) = house.gateway.admin("GET", "/api/routes", None).await;
    assert_eq!(list, json!([]), "nothing was made of {members}");
}

#[tokio::test]
async fn c134_what_was_made_is_shown_with_its_defaults() {
    let house = House::open().await;
    let made = house.route_with(json!({"steps": [openai(SECOND)], "cacheConfig": {"enabled": true}})).await;
    let id = made["id"].as_str().unwrap();
    assert_eq!((&made["steps"][0]["timeout"], &made["cacheConfig"]["ttl"]), (&json!("5m"), &json!("168h")), "{made}");
    assert!(made["createdAt"].is_i64() && made["createdAt"] == made["updatedAt"], "{made}");
    assert_eq!((&made["name"], &made["path"], &made["keyIds"]), (&json!("prod"), &json!(PATH), &json!([house.key])));
    let (status, shown) = house.gateway.admin("GET", &format!("/api/routes/{id}"), None).await;
    assert_eq!((status, &shown), (200, &made));
    let (status, list) = house.gateway.admin("GET", "/api/routes", None).await;
    assert_eq!((status, &list), (200, &json!([made])));
    let unknown = "/api/routes/00000000-0000-4000-8000-000000000000";
    let (status, answer) = house.gateway.admin("GET", unknown, None).await;
    assert_eq!((status, &answer["type"]), (404, &json!("/errors/route-not-found")), "{answer}");
    let (status, answer) = house.gateway.admin("DELETE", unknown, None).await;
    assert_eq!((status, &answer["type"]), (404, &json!("/errors/route-not-found")), "{answer}");
}

#[tokio::test]
async fn c135_what_is_missing_or_unknown_is_named() {
    let house = House::open().await;
    let steps = json!([openai(SECOND)]);
    for field in ["name", "path", "keyIds", "cacheConfig"] {
        refused(&house, json!({"steps": steps, field: null}), &[field]).await;
    }
    refused(&house, json!({}), &["steps"]).await;
    refused(&house, json!({"steps": [], "name": "", "path": "no-slash"}), &["steps", "name", "path"]).await;
    let nobody = json!(["00000000-0000-4000-8000-000000000000"]);
    refused(&house, json!({"steps": steps, "keyIds": nobody}), &["keyIds"]).await;
    house.route(steps.clone()).await;
    let (status, answer) = house.make(json!({"steps": steps, "name": "again"})).await;
    assert_eq!((status, answer.to_string().contains("path")), (400, true), "{answer}");
}

#[tokio::test]
async fn c136_a_step_that_cannot_be_made_is_named() {
    let house = House::open().await;
    let azure =
        |params: Value| json!({"steps": [openai(SECOND), and(step("azure", SECOND), json!({"params": params}))]});
    refused(&house, azure(json!({"deploymentId": "d"})), &["steps[1]", "apiVersion"]).await;
    refused(&house, azure(json!({"apiVersion": "2024-10-21"})), &["steps[1]", "deploymentId"]).await;
    refused(&house, json!({"steps": [step("nobody", "m")]}), &["steps[0].provider"]).await;
    refused(&house, json!({"steps": [openai(SECOND), openai("text-embedding-3-small")]}), &["steps"]).await;
    for bad in [
        json!({"retries": -1}),
        json!({"retries": 11}),
        json!({"timeout": "soon"}),
        json!({"retryInterval": "1m"}),
        json!({"params": {"nonsense": "x"}}),
        json!({"requestParams": {"temperature": "hot"}}),
        json!({"weight": -1}),
    ] {
        let field = bad.as_object().unwrap().keys().next().unwrap().clone();
        refused(&house, json!({"steps": [and(openai(SECOND), bad)]}), &[&format!("steps[0].{field}")]).await;
    }
}

#[tokio::test]
async fn c137_a_key_without_a_setting_of_a_step_is_named() {
    let house = House::open().await;
    let poor = house.gateway.key("gw-poor-key", json!({})).await;
    let steps = json!([openai(SECOND), step("anthropic", super::CLAUDE)]);
    refused(&house, json!({"steps": steps, "keyIds": [house.key, poor]}), &["keyIds", "anthropic"]).await;
    // A step with a credential of its own asks nothing of the key.
    let setting = json!({"provider": "anthropic", "setting": {"apikey": "sk-upstream"}});
    let setting = house.gateway.setting(setting).await;
    let own = and(step("anthropic", super::CLAUDE), json!({"params": {"settingId": setting}}));
    house.route_with(json!({"steps": [own], "keyIds": [poor]})).await;
    let answer = house.gateway.http.post(house.url(PATH)).bearer_auth("gw-poor-key").json(&question());
    assert_eq!(answer.send().await.unwrap().status(), 200);
    assert_eq!(house.claude.asked(super::CLAUDE), 1);
}

#[tokio::test]
async fn c138_both_paths_serve_and_the_steps_model_is_asked_for() {
    let house = House::open().await;
    house.route(json!([openai(SECOND)])).await;
    for base in ["route", "routes"] {
        let url = format!("{}/api/{base}{PATH}", house.gateway.proxy);
        let request = house.gateway.http.post(url).bearer_auth(KEY).json(&question());
        let answer = crate::unified::Answer::of(request).await;
        assert_eq!((text(&answer), house.sent()["model"].as_str()), (HELLO.to_owned(), Some(SECOND)));
        let told = (answer.header("x-tollgate-model"), answer.header("x-tollgate-provider"));
        assert_eq!((told, answer.header("x-tollgate-cost-usd")), ((SECOND, "openai"), "0.0035000000"));
        let event = house.event(&answer).await;
        assert_eq!(outcome(&event), (1, DEAR, 200, json!([])), "{event}");
        assert_eq!(event["path"], format!("/api/{base}{PATH}"), "{event}");
    }
    // No `model` at all is no mistake: it would be ignored.
    let mut body = question();
    body.as_object_mut().unwrap().remove("model");
    assert_eq!(text(&house.ask(&body).await), HELLO);
    assert_eq!(house.sent()["model"], SECOND);
}

#[tokio::test]
async fn c139_only_those_who_are_listed_and_only_what_there_is() {
    let house = House::open().await;
    let other = house.another_key("gw-other-key", json!({})).await;
    let made = house.route(json!([openai(SECOND)])).await;
    let as_other = || async {
        let request = house.gateway.http.post(house.url(PATH)).bearer_auth("gw-other-key").json(&question());
        crate::unified::Answer::of(request).await
    };
    let answer = as_other().await;
    assert_eq!((answer.status, answer.json()["error"]["type"].is_string()), (401, true), "{}", answer.text);
    for path in ["/chat/none", "/chat", "/chat/prod/x", "/chat/prod/", "/", "/chat/prod/v1", "/CHAT/prod"] {
        let answer = house.ask_at(path, &question()).await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.text);
        assert_eq!(answer.json()["error"]["type"], "gateway_not_found", "{path}: {}", answer.text);
    }
    let nobody = house.gateway.http.post(house.url(PATH)).bearer_auth("gw-nobody").json(&question());
    assert_eq!(nobody.send().await.unwrap().status(), 401);
    let get = house.gateway.http.get(house.url(PATH)).bearer_auth(KEY).send().await.unwrap();
    assert!(matches!(get.status().as_u16(), 404 | 405), "{}", get.status());
    assert_eq!(house.upstream.stats().requests, 0);
    // The list may grow, and a key may lose its right.
    let at = format!("/api/routes/{}", made["id"].as_str().unwrap());
    let (status, answer) = house.gateway.admin("PATCH", &at, Some(json!({"keyIds": [house.key, other]}))).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(as_other().await.status, 200);
    house.gateway.patch_key(&other, json!({"revoked": true})).await;
    assert_eq!(as_other().await.status, 401);
    assert_eq!(house.ask(&question()).await.status, 200, "the others go on");
}

#[tokio::test]
async fn allowed_paths_hold_for_routes_too() {
    let house = House::open().await;
    house.route(json!([openai(SECOND)])).await;
    house.route_with(json!({"steps": [openai(SECOND)], "path": "/chat/test"})).await;
    let paths = json!([{"path": "/api/routes/chat/prod", "method": "POST"}]);
    house.gateway.patch_key(&house.key, json!({"allowedPaths": paths})).await;
    assert_eq!(house.ask(&question()).await.status, 200);
    let answer = house.ask_at("/chat/test", &question()).await;
    assert_eq!((answer.status, &answer.json()["error"]["type"]), (403, &json!("gateway_path_not_allowed")));
    let answer = house.ask_at("/chat/prod/v1/chat/completions", &question()).await;
    assert_eq!(answer.status, 403, "{}", answer.text);
}

#[tokio::test]
async fn c149_what_is_deleted_or_changed_is_so_for_the_next_call() {
    let house = House::open().await;
    let made = house.route(json!([openai(FIRST)])).await;
    let at = format!("/api/routes/{}", made["id"].as_str().unwrap());
    let cost = || async { house.event(&house.ask(&question()).await).await["cost_in_usd"].as_f64().unwrap() };
    assert_eq!(cost().await, CHEAP);
    let (status, patched) = house.gateway.admin("PATCH", &at, Some(json!({"steps": [openai(SECOND)]}))).await;
    assert_eq!(
        (status, &patched["path"], &patched["createdAt"]),
        (200, &made["path"], &made["createdAt"]),
        "{patched}"
    );
    assert_eq!(cost().await, DEAR);
    let whole = json!({"name": "moved", "path": "/moved", "keyIds": [house.key], "steps": [openai(FIRST)], "cacheConfig": {"enabled": false}});
    let (status, put) = house.gateway.admin("PUT", &at, Some(whole)).await;
    assert_eq!((status, &put["path"], &put["id"]), (200, &json!("/moved"), &made["id"]), "{put}");
    assert_eq!(house.ask(&question()).await.status, 404, "its old path is free");
    assert_eq!(text(&house.ask_at("/moved", &question()).await), HELLO);
    assert_eq!(house.gateway.admin("DELETE", &at, None).await.0, 200);
    assert_eq!(house.ask_at("/moved", &question()).await.status, 404);
    assert_eq!(house.gateway.admin("GET", &at, None).await.0, 404);
    assert_eq!(house.gateway.admin("DELETE", &at, None).await.0, 404);
    house.route_with(json!({"steps": [openai(SECOND)], "path": "/moved"})).await;
    assert_eq!(text(&house.ask_at("/moved", &question()).await), HELLO, "the path may be taken again");
}

#[tokio::test]
async fn routes_outlive_a_restart() {
    let mut house = House::open().await;
    let made = house.route(json!([openai(SECOND)])).await;
    house.gateway.kill();
    house.gateway.restart().await;
    assert_eq!(text(&house.ask(&question()).await), HELLO);
    let (_, list) = house.gateway.admin("GET", "/api/routes", None).await;
    assert_eq!(list, json!([made]));
}

#[tokio::test]
async fn what_a_route_names_may_vanish() {
    let house = House::open().await;
    let other = house.another_key("gw-other-key", json!({})).await;
    let setting = house.elsewhere(&house.upstream.url()).await;
    let steps = json!([super::openai_at(FIRST, &setting), openai(SECOND)]);
    house.route_with(json!({"steps": steps, "keyIds": [house.key, other]})).await;
    assert_eq!(house.gateway.admin("DELETE", &format!("/api/key-management/keys/{other}"), None).await.0, 200);
    assert_eq!(text(&house.ask(&question()).await), HELLO);
    // A key that has lost its settings: what can still be asked is asked.
    house.gateway.patch_key(&house.key, json!({"settingIds": [house.nowhere().await]})).await;
    let answer = house.ask(&question()).await;
    assert_eq!((text(&answer), answer.header("x-tollgate-model")), (HELLO.to_owned(), FIRST));
}

#[tokio::test]
async fn a_thousand_keys_share_a_route() {
    let house = House::open().await;
    let setting = house.gateway.setting(json!({})).await;
    let mut ids = vec![house.key.clone()];
    for n in 1..1000 {
        ids.push(house.gateway.key(&format!("gw-many-{n}"), json!({"settingIds": [setting]})).await);
    }
    let made = house.route_with(json!({"steps": [openai(SECOND)], "keyIds": ids})).await;
    assert_eq!(made["keyIds"].as_array().unwrap().len(), 1000);
    for key in [KEY, "gw-many-1", "gw-many-500", "gw-many-999"] {
        let request = house.gateway.http.post(house.url(PATH)).bearer_auth(key).json(&question());
        assert_eq!(request.send().await.unwrap().status(), 200, "{key}");
    }
}
