//! Fees, quota and balance, to the last digit.

use super::{House, SONNET, User, fee, question, streamed, told, used};
use crate::upstream::{Act, Fault, Tokens};
use serde_json::{Value, json};

/// (month_fee, balance, total_fee) as the key's owner sees them.
fn books(mine: &Value) -> (String, String, String) {
    let text = |name: &str| mine[name].as_str().unwrap().to_owned();
    (text("month_fee"), text("balance"), text("total_fee"))
}

fn three(month: &str, balance: &str, total: &str) -> (String, String, String) {
    (month.into(), balance.into(), total.into())
}

/// A row whose input costs a thousandth of a dollar per token: round sums are easily spent.
pub async fn spender(house: &House) {
    let price = json!({"price_in": 1000, "price_out": 0});
    house.model_at("spender", "bedrock-converse", json!({"modelId": SONNET}), price).await;
}

pub async fn spend(house: &House, user: &User, input: u64) {
    house.upstream.script(used(input, 0));
    let answer = house.chat(user, &question("spender")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

/// A call of 1000 and 100 tokens: 0.0045 USD.
pub async fn call(house: &House, user: &User) -> super::Answer {
    house.upstream.script(used(1000, 100));
    house.chat(user, &question("claude-3-sonnet")).await
}

#[tokio::test]
async fn c85_c93_a_fee_is_exact_in_either_form() {
    let house = House::open().await;
    for (input, output) in [(1000, 100), (1, 0), (0, 1), (333_333, 7), (9_999_999, 999_999)] {
        let (whole, stream) =
            (house.user(json!({"month_quota": 900})).await, house.user(json!({"month_quota": 900})).await);
        house.upstream.script(used(input, output));
        let answer = house.chat(&whole, &question("claude-3-sonnet")).await;
        assert_eq!(answer.header("x-tollgate-cost-usd"), fee(input, output), "{}", answer.text);
        house.upstream.script(used(input, output));
        house.chat(&stream, &streamed(question("claude-3-sonnet"))).await.chunks();
        house.spent(&whole, &fee(input, output)).await;
        house.spent(&stream, &fee(input, output)).await;
    }
}

#[tokio::test]
async fn c86_the_worked_examples_of_one_month() {
    let house = House::open().await;
    spender(&house).await;
    let apply = |quota: &'static str, balance: &'static str| {
        let house = &house;
        async move { house.user(json!({"month_quota": quota, "balance": balance})).await }
    };
    let first = apply("20", "0").await;
    assert_eq!(call(&house, &first).await.status, 200);
    let after = house.spent(&first, "0.0045000000").await;
    assert_eq!(books(&after), three("0.0045000000", "0.0000000000", "0.0045000000"));

    let second = apply("1", "0.5").await;
    spend(&house, &second, 999).await;
    house.spent(&second, "0.9990000000").await;
    assert_eq!(call(&house, &second).await.status, 200);
    let after = house.spent(&second, "1.0035000000").await;
    assert_eq!(books(&after), three("1.0000000000", "0.4965000000", "1.0035000000"));

    let third = apply("1", "0.001").await;
    spend(&house, &third, 1000).await;
    let before = house.spent(&third, "1.0000000000").await;
    assert_eq!(books(&before), three("1.0000000000", "0.0010000000", "1.0000000000"));
    assert_eq!(call(&house, &third).await.status, 200);
    let after = house.spent(&third, "1.0045000000").await;
    assert_eq!(books(&after), three("1.0000000000", "-0.0035000000", "1.0045000000"));

    let fourth = apply("1", "0").await;
    spend(&house, &fourth, 1000).await;
    house.spent(&fourth, "1.0000000000").await;
    let asked = house.upstream.stats().requests;
    let text = house.chat(&fourth, &question("claude-3-sonnet")).await.refused(402, "insufficient_quota");
    assert_eq!((&*text, house.upstream.stats().requests), ("Please recharge.", asked));
    assert_eq!(books(&house.mine(&fourth).await), three("1.0000000000", "0.0000000000", "1.0000000000"));

    let sixth = apply("0", "2").await;
    assert_eq!(call(&house, &sixth).await.status, 200);
    let after = house.spent(&sixth, "0.0045000000").await;
    assert_eq!(books(&after), three("0.0000000000", "1.9955000000", "0.0045000000"));
    // What is overdrawn stays closed.
    house.chat(&third, &question("claude-3-sonnet")).await.refused(402, "insufficient_quota");
}

#[tokio::test]
async fn c87_nothing_left_nothing_asked() {
    let house = House::open().await;
    let user = house.user(json!({"month_quota": 0})).await;
    for path in ["/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/completions"] {
        for stream in [false, true] {
            let words = match path {
                "/v1/responses" => json!({"input": "x"}),
                "/v1/completions" => json!({"prompt": "x"}),
                _ => json!({"messages": [{"role": "user", "content": "x"}]}),
            };
            let mut ask = json!({"model": "claude-3-sonnet", "max_tokens": 9, "stream": stream});
            ask.as_object_mut().unwrap().extend(words.as_object().unwrap().clone());
            let answer = house.post(&user.key, path, &ask).await;
            assert_eq!(answer.status, 402, "{path}: {}", answer.text);
            assert!(answer.text.contains("Please recharge."), "{}", answer.text);
            assert!(answer.header("content-type").starts_with("application/json"), "{path}");
        }
    }
    assert_eq!(house.upstream.stats().requests, 0);
    // Who may not use the model learns that first.
    house.chat(&user, &question("nobody-knows")).await.refused(404, "model_not_found");
}

#[tokio::test]
async fn c88_the_quota_goes_first() {
    let house = House::open().await;
    let user = house.user(json!({"month_quota": "0.0045", "balance": "1"})).await;
    for (month, balance, total) in [
        ("0.0045000000", "1.0000000000", "0.0045000000"),
        ("0.0045000000", "0.9955000000", "0.0090000000"),
        ("0.0045000000", "0.9910000000", "0.0135000000"),
    ] {
        assert_eq!(call(&house, &user).await.status, 200);
        assert_eq!(books(&house.spent(&user, total).await), three(month, balance, total));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c89_a_hundred_at_once_cost_a_hundred_fees() {
    let house = House::open().await;
    let user = house.user(json!({"month_quota": 900})).await;
    let calls = (0..100).map(|n| {
        let ask = told("claude-3-sonnet", &json!({"tokens": {"input": 1000, "output": 100}}));
        let ask = if n % 2 == 0 { streamed(ask) } else { ask };
        let (house, user) = (&house, &user);
        async move { house.chat(user, &ask).await.status }
    });
    assert!(futures_util::future::join_all(calls).await.iter().all(|status| *status == 200));
    let after = house.spent(&user, "0.4500000000").await;
    assert_eq!(books(&after), three("0.4500000000", "0.0000000000", "0.4500000000"));
    assert_eq!(house.events().await.len(), 100);
}

#[tokio::test]
async fn c92_a_lower_quota_takes_nothing_back() {
    let house = House::open().await;
    let user = house.user(json!({"month_quota": 20, "balance": 1})).await;
    call(&house, &user).await;
    house.spent(&user, "0.0045000000").await;
    house.manage("/admin/api-key/update", json!({"id": user.id, "month_quota": "0.001"})).await;
    let after = house.mine(&user).await;
    assert_eq!(books(&after), three("0.0045000000", "1.0000000000", "0.0045000000"));
    call(&house, &user).await;
    let after = house.spent(&user, "0.0090000000").await;
    assert_eq!(books(&after), three("0.0045000000", "0.9955000000", "0.0090000000"));
    // Raised again, the difference is free at once.
    house.manage("/admin/api-key/update", json!({"id": user.id, "month_quota": 20})).await;
    call(&house, &user).await;
    let after = house.spent(&user, "0.0135000000").await;
    assert_eq!(books(&after), three("0.0090000000", "0.9955000000", "0.0135000000"));
}

#[tokio::test]
async fn c80_refused_or_failed_before_any_output_is_free() {
    let house = House::open().await;
    let user = house.user(json!({})).await;
    let fixed = json!({"modelId": SONNET, "maxRetries": 0});
    house.model("once", "bedrock-converse", fixed).await;
    for (status, expect, kind, code) in [
        (400, 400, "invalid_request_error", "upstream_validation"),
        (403, 502, "api_error", "upstream_auth"),
        (404, 502, "api_error", "upstream_not_found"),
        (408, 504, "api_error", "upstream_timeout"),
        (424, 502, "api_error", "upstream_model_error"),
        (429, 429, "rate_limit_error", "upstream_throttled"),
        (500, 502, "api_error", "upstream_error"),
        (503, 503, "api_error", "upstream_unavailable"),
    ] {
        for ask in [question("once"), streamed(question("once"))] {
            house.upstream.script(Act { status: Some(status), ..Act::default() });
            let answer = house.chat(&user, &ask).await;
            answer.refused(expect, code);
            assert_eq!(answer.json()["error"]["type"], kind, "{status}");
            if status == 429 {
                assert!(!answer.header("retry-after").is_empty(), "{:?}", answer.headers);
            }
            let event = house.event(&answer).await;
            assert_eq!((&event["cost_in_usd"], &event["status"]), (&json!(0.0), &json!(expect)), "{event}");
        }
    }
    // Twice: a kept connection that turns out to be closed is not the upstream's answer.
    house.upstream.script(Act { fault: Some(Fault::Close { after: None }), times: Some(2), ..Act::default() });
    let answer = house.chat(&user, &question("once")).await;
    answer.refused(502, "upstream_error");
    assert_eq!(house.event(&answer).await["cost_in_usd"], 0.0);
    assert_eq!(books(&house.mine(&user).await).2, "0.0000000000");
}

#[tokio::test]
async fn tokens_of_a_cache_cost_what_the_row_says() {
    let house = House::open().await;
    let user = house.user(json!({})).await;
    let config = json!({"modelId": SONNET, "price_cache_read": 0.3, "price_cache_write": 3.75});
    house.model("cached", "bedrock-converse", config).await;
    let tokens = Tokens { cached: 1000, cache_write: 2000, ..used(100, 10).tokens };
    house.upstream.script(Act { tokens: tokens.clone(), ..Act::default() });
    let answer = house.chat(&user, &question("cached")).await;
    let usage = answer.json()["usage"].clone();
    assert_eq!(
        (&usage["prompt_tokens"], &usage["prompt_tokens_details"]["cached_tokens"]),
        (&json!(3100), &json!(1000))
    );
    // 100 × 3 + 1000 × 0.3 + 2000 × 3.75 + 10 × 15, in millionths.
    assert_eq!(answer.header("x-tollgate-cost-usd"), "0.0082500000");
    house.upstream.script(Act { tokens, ..Act::default() });
    let answer = house.chat(&user, &question("claude-3-sonnet")).await;
    // Without a price of its own, a cached token costs as any other.
    assert_eq!(answer.header("x-tollgate-cost-usd"), fee(3100, 10));
}
