//! The SDKs of OpenAI, unmodified, through the gateway: pictures, sound, files, uploads, assistants.

use crate::clients::{check, node, project, tool};
use crate::support::Gateway;
use crate::upstream::{Options, Upstream};
use serde_json::json;
use tokio::process::Command;

async fn house() -> (Upstream, Gateway) {
    let options = Options { strict: true, forbidden: vec!["gw-sdk-key".into()], ..Options::default() };
    let upstream = Upstream::start(options).await.unwrap();
    let gateway = Gateway::start(&upstream).await;
    gateway.key("gw-sdk-key", json!({})).await;
    (upstream, gateway)
}

async fn python(version: &str) {
    let (upstream, gateway) = house().await;
    let mut command = Command::new(tool(&format!("openai-{version}/bin/python")));
    command
        .arg(project("tests/sdk/python/media.py"))
        .args(["--base-url", &gateway.url("/v1"), "--key", "gw-sdk-key", "--upstream", &upstream.url()])
        .args(["--admin", &gateway.admin, "--event-prefix", &format!("media{version}")]);
    check(&mut command).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_openai_sdk_for_python_draws_speaks_and_listens() {
    python("3").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_major_of_the_openai_sdk_for_python_does_too() {
    python("1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_openai_sdk_for_node_draws_speaks_and_listens() {
    let (_upstream, gateway) = house().await;
    let mut command = Command::new(node());
    command.arg(project("tests/sdk/node/media.mjs")).arg("--modules").arg(tool("node"));
    command.args(["--base-url", &gateway.url("/v1"), "--key", "gw-sdk-key"]);
    check(&mut command).await;
}
