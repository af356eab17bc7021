//! A new month, by the clock that only tests may set.

use super::money::{call, spend, spender};
use super::{House, question, setup};
use serde_json::json;

/// Far enough to be in a later month, whatever day it is.
const LATER: &str = "2764800";

async fn exhausted() -> (House, super::User) {
    let house = House::with(setup().env("TOLLGATE_DEBUG_TEST_HOOKS", "true")).await;
    spender(&house).await;
    let user = house.user(json!({"month_quota": 1})).await;
    spend(&house, &user, 1000).await;
    let mine = house.spent(&user, "1.0000000000").await;
    assert_eq!(mine["month_fee"], "1.0000000000");
    house.chat(&user, &question("claude-3-sonnet")).await.refused(402, "insufficient_quota");
    (house, user)
}

async fn next_month(house: &mut House) {
    assert_eq!(house.gateway.stop().await, Some(0));
    house.gateway.set_env("TOLLGATE_TEST_CLOCK_OFFSET", LATER);
    house.restart().await;
}

#[tokio::test]
async fn c86_c90_a_month_begins_with_the_first_call() {
    let (mut house, user) = exhausted().await;
    next_month(&mut house).await;
    let mine = house.mine(&user).await;
    assert_eq!((&mine["month_fee"], &mine["total_fee"]), (&json!("0.0000000000"), &json!("1.0000000000")), "shown so");
    assert_eq!(call(&house, &user).await.status, 200);
    let mine = house.spent(&user, "1.0045000000").await;
    assert_eq!((&mine["month_fee"], &mine["balance"]), (&json!("0.0045000000"), &json!("0.0000000000")));
}

#[tokio::test]
async fn c91_an_edit_at_the_start_of_a_month_changes_nothing_of_that() {
    let (mut house, user) = exhausted().await;
    next_month(&mut house).await;
    house.manage("/admin/api-key/update", json!({"id": user.id, "name": "other", "month_quota": 1})).await;
    assert_eq!(call(&house, &user).await.status, 200);
    let mine = house.spent(&user, "1.0045000000").await;
    assert_eq!(mine["month_fee"], "0.0045000000");
    spend(&house, &user, 1000).await;
    house.spent(&user, "2.0045000000").await;
    house.chat(&user, &question("claude-3-sonnet")).await.refused(402, "insufficient_quota");
}
