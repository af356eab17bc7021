//! Several gateways over one Postgres and one Redis behave as one: what is exact with one is exact with three, what is
//! changed through one holds at all, and nothing that fails between them loses or doubles a cent.

mod a_minute;
mod accounts;
mod budgets;
mod cache;
mod changes;
mod failover;
mod flapping;
mod frozen;
mod full;
mod kill;
mod load;
mod notification;
mod postgres_down;
mod rates;
mod ready;
mod redis_down;
mod rejected;
mod slow;
mod start;
mod topology;
mod upgrade;
mod wire;

use crate::support::{Told, chat_body};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What one plain gpt-4o answer of the local upstream costs, in 1e-10 USD.
const COST: i64 = 1_475_000;

/// A question that costs [`COST`] and says how much it may at most.
fn question() -> Value {
    let mut body = chat_body("gpt-4o", &json!({}));
    body["max_tokens"] = json!(10);
    body
}

fn count(answers: &[Told], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status == status).count()
}

/// Waits until a window of so many seconds has as many left, so that a test cannot straddle two of them.
async fn early(window: u64, left: u64) {
    loop {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        if window - now % window > left {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
