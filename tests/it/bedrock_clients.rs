//! Real AWS clients from the registries against the running program. `make sdk-tools` installs them.

use crate::bedrock::{KEY, entries, house};
use crate::clients::{check, node, project, tool};
use crate::support::{Gateway, Setup};
use crate::upstream::Upstream;
use serde_json::json;
use tokio::process::Command;

fn arguments(command: &mut Command, gateway: &Gateway, upstream: &Upstream) {
    let base = format!("{}/api/providers/bedrock", gateway.proxy);
    command.args(["--base-url", &base, "--key", KEY, "--upstream", &upstream.url()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn boto3_and_the_anthropic_bedrock_client_work_with_only_endpoint_and_key_changed() {
    let (upstream, gateway, _) = house(Setup::default(), entries(), json!({})).await;
    let mut command = Command::new(tool("bedrock/bin/python"));
    command.arg(project("tests/sdk/python/bedrock.py"));
    arguments(&mut command, &gateway, &upstream);
    check(&mut command).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_aws_sdk_for_node_works_with_only_endpoint_and_key_changed() {
    let (upstream, gateway, _) = house(Setup::default(), entries(), json!({})).await;
    let mut command = Command::new(node());
    command.arg(project("tests/sdk/node-bedrock/check.mjs")).arg("--modules").arg(tool("node-bedrock"));
    arguments(&mut command, &gateway, &upstream);
    check(&mut command).await;
}
