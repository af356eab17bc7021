//! Quota and balance: one purse, however many gateways take from it.

use super::count;
use crate::support::{Fleet, Gateway, eventually};
use crate::unified::told;
use serde_json::{Value, json};

/// 10 and 100 tokens at 3 and 15 USD a million, in 1e-10 USD: no more than a call's text and bound let expect.
const FEE: i64 = 15_300_000;

/// A model that every user may use; costs [`FEE`] a call.
async fn model(gateway: &Gateway, upstream: &str) -> Value {
    let config = json!({"baseURL": format!("{upstream}/v1"), "apiKey": "sk-upstream", "model": "gpt-4o"});
    let row =
        json!({"name": "purse", "provider": "openai-compatible", "config": config, "price_in": 3, "price_out": 15});
    let id = gateway.manage("/admin/model/save", row).await["id"].clone();
    gateway.manage("/admin/group/bind-or-unbind-model", json!({"group_id": 1, "model_id": id})).await;
    told("purse", &json!({"tokens": {"input": 10, "output": 100}}))
}

async fn mine(gateway: &Gateway, key: &str) -> Value {
    let url = format!("{}/user/api-key/mine", gateway.admin);
    let answer = gateway.http.get(url).bearer_auth(key).send().await.unwrap();
    answer.json::<Value>().await.unwrap()["data"].clone()
}

fn money(value: &Value) -> i64 {
    (value.as_str().unwrap().parse::<f64>().unwrap() * 1e10).round() as i64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quota_first_then_balance_and_then_nothing_more() {
    let fleet = Fleet::start(3).await;
    let body = model(fleet.first(), &fleet.upstream.url()).await;
    // Ten calls of the quota, ten of the balance.
    let user = json!({"name": "u", "group_id": 1, "month_quota": "0.0153", "balance": "0.0153"});
    let made = fleet.first().manage("/admin/api-key/apply", user).await;
    let (id, key) = (made["id"].clone(), made["api_key"].as_str().unwrap().to_owned());
    let mut admitted = 0;
    let wave = async || {
        let calls = (0..90).map(|n| {
            let node = &fleet.nodes[n % fleet.nodes.len()];
            let url = format!("{}/v1/chat/completions", node.proxy);
            let (key, body) = (&key, &body);
            async move { node.told_at(&url, key, body).await }
        });
        let answers = futures_util::future::join_all(calls).await;
        assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 402)), "{answers:?}");
        count(&answers, 200)
    };
    loop {
        let now = wave().await;
        admitted += now;
        if now == 0 {
            break;
        }
        assert!(admitted <= 21, "{admitted}");
    }
    assert!((20..=21).contains(&admitted), "all of it, and one request more at most: {admitted}");
    let spent = i64::try_from(admitted).unwrap() * FEE;
    eventually("all is booked", || async { money(&mine(fleet.first(), &key).await["total_fee"]) == spent }).await;
    for node in &fleet.nodes {
        let books = mine(node, &key).await;
        assert_eq!(money(&books["month_fee"]), 10 * FEE, "{books}");
        assert_eq!(money(&books["balance"]), 20 * FEE - spent, "{books}");
    }
    // More quota, given through one, is there at all of them.
    fleet.nodes[1].manage("/admin/api-key/update", json!({"id": id, "month_quota": "1"})).await;
    for node in &fleet.nodes {
        let url = format!("{}/v1/chat/completions", node.proxy);
        let answer = node.told_at(&url, &key, &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}
