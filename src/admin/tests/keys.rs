//! Gateway keys.

use super::support::*;
use crate::domain::{BudgetMode, KeyId, Money, RateLimit, SpendLimit, Window};
use axum::body::Body;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

const PATH: &str = "/api/key-management/keys";
const ONE: &str = "/api/key-management/keys/{keyId}";
const V2: &str = "/api/v2/key-management/keys";
const INVALID: &str = "/errors/validation";

impl Desk {
    /// The detail of the 400 that a new key with these fields meets.
    async fn refused(&self, fields: Value) -> String {
        let setting = self.setting("openai").await;
        let mut body = json!({"name": "a key", "key": RAW_KEY, "settingIds": [setting]});
        merge(&mut body, fields);
        let detail = self.put(PATH, body).await.problem(400, INVALID, PATH);
        assert!(self.store.keys.lock().is_empty());
        detail
    }
    async fn names(&self, query: &str) -> Vec<String> {
        names(&self.get(&format!("{PATH}?{query}")).await.good())
    }
    async fn found(&self, body: Value) -> (Vec<String>, u64) {
        let page = self.post(V2, body).await.good();
        (names(&page["keys"]), page["count"].as_u64().unwrap())
    }
    /// Three keys, a second apart: `ka` [a], `kab` [a b], `KB` [b].
    async fn three(&self) -> Vec<Value> {
        let mut made = Vec::new();
        for (n, (name, tags)) in
            [("ka", json!(["a"])), ("kab", json!(["a", "b"])), ("KB", json!(["b"]))].into_iter().enumerate()
        {
            self.at(NOW + i64::try_from(n).unwrap());
            made.push(self.key(json!({"name": name, "key": format!("{RAW_KEY}{n}"), "tags": tags})).await);
        }
        made
    }
}

fn names(keys: &Value) -> Vec<String> {
    keys.as_array().unwrap().iter().map(|k| k["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn c27_put_creates_a_key() {
    let desk = Desk::open();
    let setting = desk.setting("openai").await;
    let body = json!({
        "name": "ci key", "key": RAW_KEY, "tags": ["ci"], "settingIds": [setting],
        "rateLimitOverTime": 2, "rateLimitUnit": "m", "costLimitInUsd": 0.25, "unknown": {"a": []},
    });
    let made = desk.put(PATH, body).await.good();
    assert!(uuid::Uuid::try_parse(made["keyId"].as_str().unwrap()).is_ok());
    let want = json!({
        "name": "ci key", "createdAt": NOW, "updatedAt": NOW, "tags": ["ci"], "keyId": made["keyId"],
        "revoked": false, "revokedReason": "", "costLimitInUsd": 0.25, "costLimitInUsdOverTime": 0.0,
        "costLimitInUsdUnit": "", "rateLimitOverTime": 2, "rateLimitUnit": "m", "ttl": "", "settingId": "",
        "settingIds": [setting], "allowedPaths": [], "shouldLogRequest": false, "shouldLogResponse": false,
        "rotationEnabled": false, "policyId": "", "isKeyNotHashed": false, "budgetMode": "",
    });
    assert_eq!(made, want);
    let stored = desk.store.keys.lock()[0].clone();
    assert_eq!(stored.digest, crate::auth::digest::digest(RAW_KEY.as_bytes()));
    assert_eq!(&*stored.hint, "gw-se...789");
    assert_eq!(stored.rate, Some(RateLimit { limit: 2, window: Window::Minute }));
    assert_eq!(stored.total_budget, Money::parse_usd("0.25"));
    assert_eq!(desk.refreshed(), 2, "requests see it before the answer");
}

#[tokio::test]
async fn c27_every_field_is_kept() {
    let fields = json!({
        "tags": [], "costLimitInUsdOverTime": 1.5, "costLimitInUsdUnit": "mo", "rateLimitOverTime": 7, "rateLimitUnit": "s",
        "ttl": "2d", "allowedPaths": [{"path": "/api/providers/openai/v1/chat/completions", "method": "POST"}],
        "shouldLogRequest": true, "shouldLogResponse": true, "rotationEnabled": true, "isKeyNotHashed": true,
        "budgetMode": "strict",
    });
    let desk = Desk::open();
    let made = desk.key(fields.clone()).await;
    for (field, value) in fields.as_object().unwrap() {
        assert_eq!(&made[field], value, "{field}");
    }
    let stored = desk.store.keys.lock()[0].clone();
    let spend = SpendLimit { limit: Money::parse_usd("1.5").unwrap(), window: Window::Month };
    assert_eq!((stored.window_budget, stored.budget_mode), (Some(spend), Some(BudgetMode::Strict)));
}

#[tokio::test]
async fn c28_the_deprecated_setting_id_works() {
    let desk = Desk::open();
    let setting = desk.setting("openai").await;
    let made = desk.put(PATH, json!({"name": "n", "key": RAW_KEY, "settingId": setting})).await.good();
    assert_eq!((&made["settingId"], &made["settingIds"]), (&json!(setting), &json!([])));
}

#[tokio::test]
async fn c29_neither_or_both_setting_forms_are_400() {
    let desk = Desk::open();
    let setting = desk.setting("openai").await;
    assert!(desk.refused(json!({"settingId": setting})).await.contains("settingId"));
    assert!(desk.refused(json!({"settingIds": []})).await.contains("settingIds"));
    assert!(desk.refused(json!({"settingIds": null, "settingId": ""})).await.contains("settingIds"));
}

#[tokio::test]
async fn c30_missing_name_and_key_are_named_together() {
    let desk = Desk::open();
    assert!(desk.refused(json!({"name": null})).await.starts_with("name "));
    assert!(desk.refused(json!({"key": ""})).await.starts_with("key "));
    let detail = desk.put(PATH, json!({})).await.problem(400, INVALID, PATH);
    for field in ["name", "key", "settingIds"] {
        assert!(detail.contains(field), "{detail}");
    }
}

#[tokio::test]
async fn c30_a_key_that_no_header_can_carry_is_400() {
    let desk = Desk::open();
    for key in [" gw", "gw ", "g\nw", "g\u{0}w", "\t"] {
        assert!(desk.refused(json!({"key": key})).await.starts_with("key "), "{key:?}");
    }
}

#[tokio::test]
async fn c31_unknown_settings_are_named_by_place() {
    let desk = Desk::open();
    let setting = desk.setting("openai").await;
    let unknown = uuid::Uuid::new_v4();
    assert!(desk.refused(json!({"settingIds": [setting, unknown]})).await.starts_with("settingIds[1] does not exist"));
    let detail = desk.refused(json!({"settingIds": ["", setting, "x", setting]})).await;
    for field in ["settingIds[0] must not be empty", "settingIds[2] is not", "settingIds[3] is given twice"] {
        assert!(detail.contains(field), "{detail}");
    }
    assert!(
        desk.refused(json!({"settingIds": [], "settingId": unknown})).await.starts_with("settingId does not exist")
    );
}

#[tokio::test]
async fn c32_a_second_key_with_the_same_value_is_400() {
    let desk = Desk::open();
    desk.key(json!({})).await;
    let setting = desk.setting("openai").await;
    let again = json!({"name": "other", "key": RAW_KEY, "settingIds": [setting]});
    let detail = desk.put(PATH, again).await.problem(400, INVALID, PATH);
    assert_eq!(detail, "key is in use already");
    assert_eq!(desk.store.keys.lock().len(), 1);
}

#[tokio::test]
async fn c33_amount_and_unit_belong_together() {
    let desk = Desk::open();
    for (amount, unit) in [("rateLimitOverTime", "rateLimitUnit"), ("costLimitInUsdOverTime", "costLimitInUsdUnit")] {
        assert!(desk.refused(json!({amount: 1})).await.starts_with(unit));
        assert!(desk.refused(json!({amount: 1, unit: ""})).await.starts_with(unit));
        assert!(desk.refused(json!({unit: "m"})).await.starts_with(amount));
        assert!(desk.refused(json!({unit: "m", amount: 0})).await.starts_with(amount));
    }
}

#[tokio::test]
async fn c34_units_are_those_of_their_limit() {
    let desk = Desk::open();
    for unit in ["mo", "M", "minute", " m"] {
        assert!(desk.refused(json!({"rateLimitOverTime": 1, "rateLimitUnit": unit})).await.contains("rateLimitUnit"));
    }
    for unit in ["s", "y"] {
        let fields = json!({"costLimitInUsdOverTime": 1, "costLimitInUsdUnit": unit});
        assert!(desk.refused(fields).await.contains("costLimitInUsdUnit"));
    }
}

#[tokio::test]
async fn c35_amounts_are_not_negative_nor_lost() {
    let desk = Desk::open();
    for (field, value) in [
        ("costLimitInUsd", json!(-0.01)),
        ("costLimitInUsd", json!(1e-12)),
        ("costLimitInUsd", json!(1e30)),
        ("costLimitInUsdOverTime", json!(-1)),
        ("rateLimitOverTime", json!(-1)),
    ] {
        assert!(desk.refused(json!({field: value})).await.starts_with(field), "{field} {value}");
    }
}

#[tokio::test]
async fn c36_ttl_is_a_duration() {
    for ttl in ["10s", "5m", "24h", "2d", "1h30m", "0s", ""] {
        assert_eq!(Desk::open().key(json!({"ttl": ttl})).await["ttl"], ttl);
    }
    let desk = Desk::open();
    for ttl in ["abc", "-5s", "10", "5 m"] {
        assert!(desk.refused(json!({"ttl": ttl})).await.starts_with("ttl "), "{ttl}");
    }
}

#[tokio::test]
async fn c37_paths_and_tags_are_complete() {
    let desk = Desk::open();
    let paths = json!([{"path": "/a", "method": "GET"}, {"path": "/b"}, {"method": "GET"}]);
    let detail = desk.refused(json!({"allowedPaths": paths, "tags": ["a", ""]})).await;
    assert_eq!(
        detail,
        "tags[1] must not be empty; allowedPaths.1.method must not be empty; allowedPaths.2.path must not be empty"
    );
}

#[tokio::test]
async fn policies_and_modes_must_exist() {
    let desk = Desk::open();
    assert!(desk.refused(json!({"policyId": uuid::Uuid::new_v4()})).await.starts_with("policyId "));
    assert!(desk.refused(json!({"budgetMode": "Strict"})).await.starts_with("budgetMode "));
}

#[tokio::test]
async fn c38_no_answer_contains_the_raw_key_or_its_hash() {
    // `Desk` itself fails on any answer that contains one of them.
    let desk = Desk::open();
    let key = desk.key(json!({"tags": ["a"], "isKeyNotHashed": true})).await;
    assert_eq!(key.get("key"), None);
    desk.get(&format!("{PATH}?tag=a")).await.good();
    desk.post(V2, json!({})).await.good();
    desk.patch(&key_path(&key), json!({"isKeyNotHashed": false, "key": "other"})).await.good();
    let setting = desk.setting("openai").await;
    let again = json!({"name": "n", "key": RAW_KEY, "settingIds": [setting]});
    assert_eq!(desk.put(PATH, again).await.status, StatusCode::BAD_REQUEST);
    let wrong = json!({"key": {"raw": RAW_KEY}, "name": [RAW_KEY]});
    assert_eq!(desk.put(PATH, wrong).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn c39_a_list_needs_a_filter() {
    let desk = Desk::open();
    for query in ["", "?", "?tags=", "?name=x"] {
        let answer = desk.get(&format!("{PATH}{query}")).await;
        answer.problem(400, "/errors/missing-filteres", PATH);
    }
}

#[tokio::test]
async fn c40_tags_filter_by_all_of_them() {
    let desk = Desk::open();
    desk.three().await;
    assert_eq!(desk.names("tag=a").await, ["kab", "ka"], "newest first");
    assert_eq!(desk.names("tags=a&tags=b").await, ["kab"]);
    assert_eq!(desk.names("tags=a&tag=b").await, ["kab"]);
    assert_eq!(desk.names("tags=a,b").await, Vec::<String>::new(), "tags may contain commas");
    assert_eq!(desk.names("tag=unknown").await, Vec::<String>::new());
}

#[tokio::test]
async fn c41_provider_and_ids_filter_and_combine() {
    let desk = Desk::open();
    let made = desk.three().await;
    let anthropic = desk.setting("anthropic").await;
    let other = json!({"name": "claude", "key": "gw-other", "settingId": anthropic, "tags": ["a"]});
    desk.put(PATH, other).await.good();
    assert_eq!(desk.names("provider=openai").await.len(), 3);
    assert_eq!(desk.names("provider=anthropic").await, ["claude"]);
    let (a, b) = (id_of(&made[0]), id_of(&made[2]));
    assert_eq!(desk.names(&format!("keyIds={a}&keyIds={b}")).await, ["KB", "ka"]);
    assert_eq!(desk.names(&format!("keyIds={a},{b}&tag=a")).await, ["ka"]);
    assert_eq!(desk.names("keyIds=nonsense").await, Vec::<String>::new());
}

#[tokio::test]
async fn c42_patch_changes_what_it_names_and_nothing_else() {
    let desk = Desk::open();
    let before = desk
        .key(json!({"ttl": "1h", "costLimitInUsd": 1, "rateLimitOverTime": 2, "rateLimitUnit": "m", "tags": ["a"]}))
        .await;
    desk.at(NOW + 5);
    let change = json!({
        "name": "new", "tags": ["x", "y"], "shouldLogRequest": true, "shouldLogResponse": true,
        "rotationEnabled": true, "budgetMode": "observe", "ttl": "9h", "key": "other",
    });
    let after = desk.patch(&key_path(&before), change).await.good();
    let mut want = before.clone();
    merge(
        &mut want,
        json!({
            "name": "new", "tags": ["x", "y"], "shouldLogRequest": true, "shouldLogResponse": true,
            "rotationEnabled": true, "budgetMode": "observe", "updatedAt": NOW + 5,
        }),
    );
    assert_eq!(after, want);
    assert_eq!(desk.get(&format!("{PATH}?tag=x")).await.good()[0], want, "stored as answered");
    assert_eq!(desk.store.keys.lock()[0].digest, crate::auth::digest::digest(RAW_KEY.as_bytes()));
    assert_eq!(desk.refreshed(), 3);
}

#[tokio::test]
async fn c42_absent_null_and_empty_are_three_things() {
    let desk = Desk::open();
    let before = desk.key(json!({"tags": ["a"], "budgetMode": "strict", "costLimitInUsd": 1})).await;
    let nulls = json!({"name": null, "tags": null, "costLimitInUsd": null, "budgetMode": null, "settingIds": null});
    assert_eq!(desk.patch(&key_path(&before), nulls).await.good(), before);
    let empties = json!({"name": "", "settingIds": [], "settingId": ""});
    assert_eq!(desk.patch(&key_path(&before), empties).await.good(), before, "cannot be empty: unchanged");
    let cleared = json!({"tags": [], "budgetMode": "", "costLimitInUsd": 0, "policyId": ""});
    let after = desk.patch(&key_path(&before), cleared).await.good();
    assert_eq!((&after["tags"], &after["budgetMode"]), (&json!([]), &json!("")));
    assert_eq!(after["costLimitInUsd"], json!(0.0));
    assert_eq!(desk.store.keys.lock()[0].total_budget, None);
}

#[tokio::test]
async fn c42_an_answer_can_be_sent_back_as_it_is() {
    let desk = Desk::open();
    for form in ["settingIds", "settingId"] {
        let setting = desk.setting("openai").await;
        let ids = if form == "settingId" { json!(setting) } else { json!([setting]) };
        let made = desk.put(PATH, json!({"name": "n", "key": format!("gw-{form}"), form: ids})).await.good();
        assert_eq!(desk.patch(&key_path(&made), made.clone()).await.good(), made);
    }
}

#[tokio::test]
async fn c42_settings_can_be_exchanged_in_either_form() {
    let desk = Desk::open();
    let key = desk.key(json!({})).await;
    let (one, two) = (desk.setting("openai").await, desk.setting("anthropic").await);
    let after = desk.patch(&key_path(&key), json!({"settingIds": [two, one]})).await.good();
    assert_eq!((&after["settingIds"], &after["settingId"]), (&json!([two, one]), &json!("")));
    let after = desk.patch(&key_path(&key), json!({"settingId": one})).await.good();
    assert_eq!((&after["settingIds"], &after["settingId"]), (&json!([]), &json!(one)));
    for bad in [json!({"settingId": one, "settingIds": [two]}), json!({"settingIds": [uuid::Uuid::new_v4()]})] {
        desk.patch(&key_path(&key), bad).await.problem(400, INVALID, ONE);
    }
}

#[tokio::test]
async fn c42_updated_at_moves_forward_only() {
    let desk = Desk::open();
    let key = desk.key(json!({})).await;
    for (now, updated) in [(NOW + 1, NOW + 1), (NOW - 500, NOW + 1)] {
        desk.at(now);
        let after = desk.patch(&key_path(&key), json!({})).await.good();
        assert_eq!((&after["updatedAt"], &after["createdAt"]), (&json!(updated), &json!(NOW)));
    }
}

#[tokio::test]
async fn c43_allowed_paths_can_be_cleared() {
    let desk = Desk::open();
    let key = desk.key(json!({"allowedPaths": [{"path": "/a", "method": "GET"}]})).await;
    let same = desk.patch(&key_path(&key), json!({"policyId": ""})).await.good();
    assert_eq!(same["allowedPaths"], json!([{"path": "/a", "method": "GET"}]));
    let both = desk.patch(&key_path(&key), json!({"allowedPaths": [], "policyId": ""})).await.good();
    assert_eq!(both["allowedPaths"], json!([]));
}

#[tokio::test]
async fn c44_revoking_keeps_a_reason_and_reviving_blanks_it() {
    let desk = Desk::open();
    let key = desk.key(json!({})).await;
    let path = key_path(&key);
    let only_reason = desk.patch(&path, json!({"revokedReason": "x"})).await.good();
    assert_eq!((&only_reason["revoked"], &only_reason["revokedReason"]), (&json!(false), &json!("")));
    let revoked = desk.patch(&path, json!({"revoked": true, "revokedReason": "leaked"})).await.good();
    assert_eq!((&revoked["revoked"], &revoked["revokedReason"]), (&json!(true), &json!("leaked")));
    let revived = desk.patch(&path, json!({"revoked": false, "revokedReason": "y"})).await.good();
    assert_eq!((&revived["revoked"], &revived["revokedReason"]), (&json!(false), &json!("")));
}

#[tokio::test]
async fn c45_limits_change_together_with_their_unit() {
    let desk = Desk::open();
    let limits = json!({
        "rateLimitOverTime": 2, "rateLimitUnit": "m", "costLimitInUsdOverTime": 1, "costLimitInUsdUnit": "d",
    });
    let key = desk.key(limits).await;
    let path = key_path(&key);
    for (amount, unit) in [("rateLimitOverTime", "rateLimitUnit"), ("costLimitInUsdOverTime", "costLimitInUsdUnit")] {
        let before = desk.patch(&path, json!({})).await.good();
        for bad in [
            json!({amount: 3}),
            json!({unit: "h"}),
            json!({amount: 0, unit: "h"}),
            json!({amount: 3, unit: ""}),
            json!({amount: -3, unit: "h"}),
        ] {
            desk.patch(&path, bad).await.problem(400, INVALID, ONE);
        }
        assert_eq!(desk.patch(&path, json!({})).await.good(), before, "nothing was changed");
        assert_ne!(before[unit], "");
        let changed = desk.patch(&path, json!({amount: 3, unit: "h"})).await.good();
        assert_eq!(changed[unit], json!("h"));
        let removed = desk.patch(&path, json!({amount: 0, unit: ""})).await.good();
        assert_eq!((removed[amount].as_f64(), &removed[unit]), (Some(0.0), &json!("")));
    }
    let stored = desk.store.keys.lock()[0].clone();
    assert_eq!((stored.rate, stored.window_budget), (None, None));
}

#[tokio::test]
async fn c46_unknown_key_is_404() {
    let desk = Desk::open();
    for id in [uuid::Uuid::new_v4().to_string(), "nonsense".into(), "%ff".into()] {
        let path = format!("{PATH}/{id}");
        desk.patch(&path, json!({"name": "x", "tags": [""]})).await.problem(404, "/errors/not-found", ONE);
        desk.raw(Method::DELETE, &path, Body::empty()).await.problem(404, "/errors/not-found", ONE);
    }
}

#[tokio::test]
async fn c47_delete_removes_before_it_answers() {
    let desk = Desk::open();
    let key = desk.key(json!({})).await;
    let answer = desk.raw(Method::DELETE, &key_path(&key), Body::empty()).await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, ""));
    assert!(desk.store.keys.lock().is_empty());
    assert_eq!(desk.refreshed(), 3);
    desk.raw(Method::DELETE, &key_path(&key), Body::empty()).await.problem(404, "/errors/not-found", ONE);
}

#[tokio::test]
async fn c48_v2_pages_orders_filters_and_counts_on_request() {
    let desk = Desk::open();
    let made = desk.three().await;
    assert_eq!(desk.found(json!({})).await, (vec!["KB".into(), "kab".into(), "ka".into()], 0));
    assert_eq!(desk.found(json!({"order": "asc", "limit": 1, "offset": 1})).await, (vec!["kab".into()], 0));
    assert_eq!(desk.found(json!({"limit": 1, "returnCount": true})).await, (vec!["KB".into()], 3));
    assert_eq!(desk.found(json!({"name": "kB", "order": "desc"})).await.0, ["KB"]);
    assert_eq!(desk.found(json!({"name": "KA", "tags": ["b"]})).await.0, ["kab"]);
    desk.patch(&key_path(&made[0]), json!({"revoked": true})).await.good();
    assert_eq!(desk.found(json!({"revoked": true, "name": "k"})).await.0, ["ka"]);
    assert_eq!(desk.found(json!({"revoked": false})).await.0.len(), 2);
    assert_eq!(desk.found(json!({"keyIds": [id_of(&made[1]), "nonsense"]})).await.0, ["kab"]);
    assert_eq!(desk.found(json!({"keyIds": ["nonsense"], "returnCount": true})).await, (vec![], 0));
    let bad = json!({"order": "up", "limit": -1, "offset": -1, "tags": [""]});
    let detail = desk.post(V2, bad).await.problem(400, INVALID, V2);
    for field in ["order", "limit", "offset", "tags[0]"] {
        assert!(detail.contains(field), "{detail}");
    }
}

#[tokio::test]
async fn c78_only_a_limit_that_changed_counts_anew() {
    let desk = Desk::open();
    let limits = json!({
        "rateLimitOverTime": 2, "rateLimitUnit": "m", "costLimitInUsdOverTime": 1, "costLimitInUsdUnit": "d",
    });
    let key = desk.key(limits.clone()).await;
    let (path, id) = (key_path(&key), id_of(&key));
    desk.patch(&path, limits).await.good();
    desk.patch(&path, json!({"costLimitInUsd": 5, "name": "n"})).await.good();
    let forgotten = || (desk.counters.rates.lock().clone(), desk.counters.budgets.lock().clone());
    let none: Vec<KeyId> = Vec::new();
    assert_eq!(forgotten(), (none.clone(), none.clone()));
    desk.patch(&path, json!({"rateLimitOverTime": 3, "rateLimitUnit": "m"})).await.good();
    assert_eq!(forgotten(), (vec![id], none));
    desk.patch(&path, json!({"costLimitInUsdOverTime": 1, "costLimitInUsdUnit": "h"})).await.good();
    assert_eq!(forgotten(), (vec![id], vec![id]));
    desk.patch(&path, json!({"rateLimitOverTime": 0, "rateLimitUnit": ""})).await.good();
    assert_eq!(forgotten(), (vec![id, id], vec![id]));
}

#[tokio::test]
async fn a_change_outlives_others_but_not_for_ever() {
    let desk = Desk::open();
    let key = desk.key(json!({})).await;
    desk.store.conflicts.store(4, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(desk.patch(&key_path(&key), json!({"name": "n"})).await.good()["name"], "n");
    desk.store.conflicts.store(5, std::sync::atomic::Ordering::Relaxed);
    let change = json!({"name": "m", "rateLimitOverTime": 1, "rateLimitUnit": "s"});
    desk.patch(&key_path(&key), change).await.problem(500, "/errors/key-manager", ONE);
    assert_eq!(&*desk.store.keys.lock()[0].name, "n");
    assert!(desk.counters.rates.lock().is_empty());
}

#[tokio::test]
async fn c117_odd_text_is_kept_and_found_literally() {
    let desk = Desk::open();
    let tag = "a,b'; DROP TABLE keys;-- {\"x\"} 100%";
    desk.key(json!({"name": tag, "tags": [tag]})).await;
    let query = "tag=a%2Cb%27%3B%20DROP%20TABLE%20keys%3B--%20%7B%22x%22%7D%20100%25";
    assert_eq!(desk.names(query).await, [tag]);
    assert_eq!(desk.found(json!({"tags": [tag], "name": "100%"})).await.0, [tag]);
}
