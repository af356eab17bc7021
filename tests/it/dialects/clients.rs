//! The OpenAI SDKs, unmodified, against the three: `AzureOpenAI` for Azure, `OpenAI` for all of them.

use super::{KEY, gateway, upstream};
use crate::clients::{check, node, project, tool};
use crate::support::Gateway;
use crate::upstream::{Api, Upstream};
use serde_json::json;
use tokio::process::Command;

/// One upstream and one key for each provider, on one gateway.
struct All {
    upstreams: [Upstream; 3],
    gateway: Gateway,
}

async fn all() -> All {
    let (azure, vllm, deepinfra) =
        (upstream(Api::Azure).await, upstream(Api::Vllm).await, upstream(Api::DeepInfra).await);
    let gateway = gateway(&azure, Some(("TOLLGATE_PROVIDERS_AZURE_BASE_URL", azure.url()))).await;
    let costs = json!({"promptCostPerModel": {"qwen3-32b": 0.001}, "completionCostPerModel": {"qwen3-32b": 0.002}});
    let settings = [
        json!({"provider": "azure", "setting": {"resourceName": "r", "apikey": "sk-upstream", "dataZone": "eu",
            "deployments": "my-dep=gpt-4o,emb=text-embedding-3-small"}}),
        json!({"provider": "vllm", "setting": {"url": vllm.url(), "apikey": "sk-upstream"}, "costMap": costs}),
    ];
    let mut ids = Vec::new();
    for setting in settings {
        ids.push(gateway.setting(setting).await);
    }
    let base = format!("{}/v1/openai", deepinfra.url());
    let last = json!({"provider": "deepinfra", "setting": {"apikey": "sk-upstream", "baseUrl": base}});
    ids.push(gateway.setting(last).await);
    gateway.key(KEY, json!({"settingIds": ids})).await;
    All { upstreams: [azure, vllm, deepinfra], gateway }
}

async fn run(mut command: Command, prefix: &str) {
    let All { upstreams, gateway } = all().await;
    let root = format!("{}/api/providers", gateway.proxy);
    command.args(["--base-url", &root, "--key", KEY, "--admin", &gateway.admin, "--event-prefix", prefix]);
    check(&mut command).await;
    for upstream in upstreams {
        assert_eq!(upstream.stats().violations, 0);
    }
}

async fn python(version: &str) {
    let mut command = Command::new(tool(&format!("openai-{version}/bin/python")));
    command.arg(project("tests/sdk/python/dialects.py"));
    run(command, &format!("py{version}")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c101_the_python_sdk_works_with_azure_vllm_and_deepinfra() {
    python("3").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c101_an_old_major_of_the_python_sdk_works_with_them_too() {
    python("1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c101_the_node_sdk_works_with_azure_vllm_and_deepinfra() {
    let mut command = Command::new(node());
    command.arg(project("tests/sdk/node/dialects.mjs")).arg("--modules").arg(tool("node"));
    run(command, "node").await;
}
