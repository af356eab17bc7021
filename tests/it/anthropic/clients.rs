//! The official SDKs from the registries, unmodified. `make sdk-tools` installs them; a missing one is a failure.

use super::{BASE_URL, house, key, post};
use crate::clients::{aimock, check, node, project, tool};
use crate::support::Setup;
use serde_json::json;
use tokio::process::Command;

/// An interpreter and its check.
async fn works(mut command: Command) {
    let (upstream, gateway) = house().await;
    key(&gateway).await;
    command.args(["--base-url", &format!("{}/api/providers/anthropic", gateway.proxy), "--key", "gw-key"]);
    check(command.args(["--upstream", &upstream.url()])).await;
    assert_eq!(upstream.stats().violations, 0);
}

async fn python(version: &str) {
    let mut command = Command::new(tool(&format!("anthropic-{version}/bin/python")));
    command.arg(project("tests/sdk/python/anthropic_check.py"));
    works(command).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_anthropic_sdk_for_python_works_with_only_base_url_and_key_changed() {
    python("2").await;
}

/// It sends its key in another header, an elder version of the API, and still knows text completions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_major_of_the_anthropic_sdk_for_python_works_too() {
    python("0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_anthropic_sdk_for_node_works_with_only_base_url_and_key_changed() {
    let mut command = Command::new(node());
    command.arg(project("tests/sdk/node/anthropic.mjs")).arg("--modules").arg(tool("node"));
    works(command).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_nobody_here_wrote_is_served_and_billed() {
    let (_aimock, upstream) = aimock().await;
    let gateway = Setup::default().env(BASE_URL, &upstream).start_at(&upstream).await;
    let id = key(&gateway).await;
    let mut body =
        json!({"model": "claude-opus-5-5", "max_tokens": 100, "messages": [{"role": "user", "content": "hello"}]});
    for stream in [false, true] {
        body["stream"] = json!(stream);
        let answer = post(&gateway, "/v1/messages", &body).await;
        assert_eq!(answer.status(), 200);
        assert!(answer.text().await.unwrap().contains("Hello there, world!"));
    }
    for event in gateway.events_settled(&id, 2).await {
        // 20 x 4 + 7 x 20, in millionths.
        assert_eq!(event["cost_in_usd"], 0.000_22, "{event}");
        assert_eq!(event["flags"], json!([]), "{event}");
    }
}
