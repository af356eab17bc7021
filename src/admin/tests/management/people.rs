//! Lists of keys, and what a key sees of itself.

use super::*;
use crate::admin::tests::support::event;
use crate::auth::digest::hint;

async fn three(console: &Console) {
    for (name, email, role) in
        [("Anna 50%", "anna@a.example", "admin"), ("Bob_b", "bob@b.example", "user"), ("carl", "", "user")]
    {
        console.key(json!({"name": name, "email": email, "role": role, "month_quota": name.len()})).await;
    }
}

/// Spends out of the quota of the month that begins at `month`.
async fn spend(console: &Console, number: i64, usd: &str, month: UnixMillis) {
    let key = console.store.key_numbered(number).await.unwrap().unwrap();
    let quota = key.quota_rule(month);
    let cost = Money::parse_usd(usd).unwrap();
    console.store.insert_events(&[Event { cost, quota, ..event(key.id, month.seconds() + 60) }]).await.unwrap();
}

#[tokio::test]
async fn c37_q_is_a_part_of_name_or_email_and_no_pattern() {
    let console = Console::open();
    three(&console).await;
    for (q, names) in [
        ("bob", json!(["Bob_b"])),
        ("A.EXAMPLE", json!(["Anna 50%"])),
        ("%25", json!(["Anna 50%"])),
        ("_", json!(["Bob_b"])),
        ("b_b", json!(["Bob_b"])),
        ("nn%25", json!([])),
        ("'", json!([])),
        ("%27%20or%201=1--", json!([])),
        ("", json!(["carl", "Bob_b", "Anna 50%"])),
    ] {
        let (total, found) = console.list(&format!("/admin/api-key/list?q={q}"), "name").await;
        assert_eq!((json!(found), total), (names.clone(), names.as_array().unwrap().len().to_string()), "{q}");
    }
}

#[tokio::test]
async fn c38_pages_and_the_count_of_all() {
    let console = Console::open();
    for _ in 0..25 {
        console.key(json!({})).await;
    }
    for (query, ids) in [
        ("", (6..=25).rev().collect::<Vec<i64>>()),
        ("limit=2", vec![25, 24]),
        ("limit=2&offset=3", vec![22, 21]),
        ("limit=&offset=&q=&key_id=", (6..=25).rev().collect()),
        ("limit=-1&offset=x", (6..=25).rev().collect()),
        ("offset=25", vec![]),
        ("limit=1000&offset=24", vec![1]),
    ] {
        let (total, found) = console.list(&format!("/admin/api-key/list?{query}"), "id").await;
        assert_eq!((json!(found), total.as_str()), (json!(ids), "25"), "{query}");
    }
    let page = console.get("/admin/api-key/list?limit=5000&offset=24").await;
    assert!(
        page.text.starts_with(r#"{"success":true,"data":{"items":[{"id":1,"group_id":0,"api_key":"br-"#),
        "{}",
        page.text
    );
    assert!(page.text.ends_with(r#""group_name":null}],"total":"25","limit":1000,"offset":24}}"#), "{}", page.text);
}

#[tokio::test]
async fn c39_filters_are_exact() {
    let console = Console::seeded().await;
    three(&console).await;
    console.post("/admin/api-key/update", json!({"id": 3, "group_id": 1})).await.data();
    for (query, ids) in [
        ("name=carl", vec![3]),
        ("name=car", vec![]),
        ("name=Carl", vec![]),
        ("group_id=1", vec![3]),
        ("group_id=0", vec![2, 1]),
        ("group_id=9", vec![]),
        ("group_id=x", vec![]),
        ("role=admin", vec![1]),
        ("role=user", vec![3, 2]),
        ("role=root", vec![]),
        ("role=user&group_id=1&q=CAR", vec![3]),
        ("orderBy=nothing-0", vec![3, 2, 1]),
    ] {
        let (total, found) = console.list(&format!("/admin/api-key/list?{query}"), "id").await;
        assert_eq!((json!(found), total), (json!(ids), ids.len().to_string()), "{query}");
    }
    let (_, groups) = console.list("/admin/api-key/list", "group_name").await;
    assert_eq!(json!(groups), json!(["group 1", null, null]));
}

#[tokio::test]
async fn keys_are_sorted_by_each_column_that_may_be_named() {
    let console = Console::open();
    three(&console).await;
    let month = Window::Month.bounds(UnixMillis::from_seconds(NOW)).0;
    let last = Window::Month.bounds(UnixMillis(month.0 - 1)).0;
    // All-time 3 > 2 > 1; this month 2 > 1 > 3, where the 3 are of the month before.
    for (number, usd, month) in [(3, "3", last), (2, "2", month), (1, "1", month)] {
        spend(&console, number, usd, month).await;
    }
    console.at(NOW + 1);
    console.post("/admin/api-key/update", json!({"id": 2, "email": "z"})).await.data();
    for (order, ids) in [
        ("id-0", [1, 2, 3]),
        ("id-1", [3, 2, 1]),
        ("name-0", [1, 2, 3]),
        ("total-1", [3, 2, 1]),
        ("month-1", [2, 1, 3]),
        ("quota-1", [1, 2, 3]),
        ("quota-0", [3, 2, 1]),
    ] {
        let (_, found) = console.list(&format!("/admin/api-key/list?orderBy={order}"), "id").await;
        assert_eq!(json!(found), json!(ids), "{order}");
    }
    let (_, found) = console.list("/admin/api-key/list?orderBy=update-1", "id").await;
    assert_eq!(found[0], json!(2));
}

#[tokio::test]
async fn c40_an_order_that_is_sql_does_nothing() {
    let console = Console::seeded().await;
    three(&console).await;
    let lists = [
        "/admin/api-key/list",
        "/admin/api-key/list-model",
        "/admin/model/list",
        "/admin/group/list",
        "/admin/group/list-model",
    ];
    for list in lists {
        let before = console.get(list).await.data();
        for order in ["id;drop%20table%20keys", "id%20desc;drop%20table%20models-0", "id-0;--", "name)-1", "'-0"] {
            for path in [format!("{list}?orderBy={order}"), format!("{list}?orderBy={order}&limit=20&offset=0")] {
                assert_eq!(console.get(&path).await.data(), before, "{path}");
            }
        }
        for name in ["key_id", "model_id", "group_id", "role", "provider", "name", "limit", "offset", "q"] {
            let answer = console.get(&format!("{list}?{name}=1;drop%20table%20keys--%27%22)")).await;
            assert_eq!(answer.status, 200, "{list} {name}: {}", answer.text);
        }
        assert_eq!(console.get(list).await.data(), before, "{list}");
    }
}

#[tokio::test]
async fn c41_detail_is_the_whole_key() {
    let console = Console::seeded().await;
    let (id, secret) = console.key(json!({"email": "e", "group_id": 1, "month_quota": 2})).await;
    let hint = hint(&secret);
    let expect = format!(
        r#"{{"success":true,"data":{{"id":{id},"group_id":1,"api_key":"{hint}","name":"somebody","email":"e","role":"user","total_fee":"0.0000000000","balance":"0.0000000000","month_fee":"0.0000000000","month_quota":"2.0000000000","created_at":"2023-11-14T22:13:20.000Z","updated_at":"2023-11-14T22:13:20.000Z"}}}}"#
    );
    for path in [format!("/admin/api-key/detail/{id}"), format!("/admin/api-key/detail?id={id}")] {
        assert_eq!(console.get(&path).await.text, expect, "{path}");
    }
    for id in ["99", "0", "-1", "x", "1;drop", "99999999999999999999"] {
        for path in [format!("/admin/api-key/detail/{id}"), format!("/admin/api-key/detail?id={id}")] {
            assert_eq!(console.get(&path).await.not_found(), "api_key or id is invalid", "{path}");
        }
    }
    assert_eq!(console.get("/admin/api-key/detail").await.invalid(), "id is required");
    assert_eq!(console.get("/admin/api-key/detail?id=").await.invalid(), "id is required");
}

#[tokio::test]
async fn c42_mine_is_my_own_row_with_what_counts_this_month() {
    let console = Console::open();
    console.key(json!({"month_quota": 9})).await;
    let (id, secret) = console.key(json!({"month_quota": 2, "balance": 5})).await;
    let month = Window::Month.bounds(UnixMillis::from_seconds(NOW)).0;
    spend(&console, id, "3", month).await;
    let shown = |mine: Value| ["id", "total_fee", "month_fee", "balance", "month_quota"].map(|name| mine[name].clone());
    let mine = shown(console.get_as(&secret, "/user/api-key/mine?id=1").await.data());
    let expect =
        [json!(id), json!("3.0000000000"), json!("2.0000000000"), json!("4.0000000000"), json!("2.0000000000")];
    assert_eq!(mine, expect);
    // A month later nothing of the quota is used, whatever is stored.
    console.at(Window::Month.bounds(UnixMillis::from_seconds(NOW)).1.seconds());
    for path in ["/user/api-key/mine", &format!("/admin/api-key/detail/{id}")] {
        let caller = if path.starts_with("/user") { &secret } else { BOOT };
        let later = shown(console.get_as(caller, path).await.data());
        let expect =
            [json!(id), json!("3.0000000000"), json!("0.0000000000"), json!("4.0000000000"), json!("2.0000000000")];
        assert_eq!(later, expect, "{path}");
    }
    let (_, fees) = console.list("/admin/api-key/list", "month_fee").await;
    assert_eq!(json!(fees), json!(["0.0000000000", "0.0000000000"]));
}
