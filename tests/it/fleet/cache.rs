//! Answers that routes keep are kept for all gateways.

use crate::support::{Fleet, Node, Told, eventually};
use serde_json::{Value, json};

async fn house() -> (Fleet, String) {
    let fleet = Fleet::start(3).await;
    let id = fleet.first().key("k", json!({})).await;
    let route = json!({"name": "kept", "path": "/chat/kept", "keyIds": [id],
                       "steps": [{"provider": "openai", "model": "gpt-4o"}], "cacheConfig": {"enabled": true}});
    let (status, answer) = fleet.first().admin("POST", "/api/routes", Some(route)).await;
    assert_eq!(status, 200, "{answer}");
    (fleet, id)
}

async fn ask(node: &Node, subject: &str, stream: bool) -> Told {
    let body = json!({"messages": [{"role": "user", "content": subject}], "max_tokens": 20, "stream": stream});
    let answer = node.told_at(&format!("{}/api/routes/chat/kept", node.proxy), "k", &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_has_asked_all_can_answer() {
    let (fleet, id) = house().await;
    for (n, stream) in [false, true].into_iter().enumerate() {
        // The form is no part of a question.
        let subject = if stream { "streamed" } else { "whole" };
        let first = ask(&fleet.nodes[0], subject, stream).await;
        assert_eq!(first.header("x-cache"), "miss");
        // It is kept beside the answer, not before it: a second question may come too early, and its answer is kept then.
        let kept = || async { ask(&fleet.nodes[0], subject, stream).await.header("x-cache") == "hit" };
        eventually("it is kept", kept).await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let first = ask(&fleet.nodes[0], subject, stream).await;
        for node in &fleet.nodes {
            let again = ask(node, subject, stream).await;
            assert_eq!((again.header("x-cache"), &again.text), ("hit", &first.text));
            assert!(again.header("age").parse::<u64>().is_ok_and(|age| age < 30), "{again:?}");
        }
        assert!(fleet.upstream.stats().requests <= 2 * (n as u64 + 1), "{}", fleet.upstream.stats().requests);
    }
    let costly: Vec<Value> = fleet.first().admitted(&id).await;
    assert!(costly.iter().filter(|event| event["cost_in_usd"] != json!(0.0)).count() <= 4, "{costly:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_nothing_is_kept_and_everything_is_answered() {
    let (mut fleet, _) = house().await;
    fleet.redis.kill();
    for node in &fleet.nodes {
        assert_ne!(ask(node, "alone", false).await.header("x-cache"), "hit");
    }
    fleet.redis.restart();
    super::redis_down::all_ready(&fleet).await;
    eventually("answers are kept again", || async {
        ask(&fleet.nodes[0], "again", false).await;
        ask(&fleet.nodes[1], "again", false).await.header("x-cache") == "hit"
    })
    .await;
}
