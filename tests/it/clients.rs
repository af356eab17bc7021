//! Real clients from the registries against the running program, and an upstream that nobody here wrote behind it.
//! `make sdk-tools` installs them; a missing one is a failure.

use crate::support::{Gateway, Setup, eventually};
use crate::upstream::{Options, Upstream};
use serde_json::json;
use std::path::PathBuf;
use std::process::Stdio;
use tokio::process::{Child, Command};

pub fn project(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A file that `make sdk-tools` installs.
pub fn tool(path: &str) -> PathBuf {
    let file = project(".tools").join(path);
    assert!(file.exists(), "{} is missing: run `make sdk-tools`", file.display());
    file
}

/// The Node.js that is used for everything: the one in the tools when the machine's own is too old.
pub fn node() -> PathBuf {
    let own = project(".tools/nodejs/bin/node");
    if own.exists() { own } else { PathBuf::from("node") }
}

/// Runs a check to its end; it prints a line for each case and says how many passed.
pub async fn check(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().await.expect("the check starts");
    let told = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}");
    assert!(told.contains(" passed, 0 failed") && !told.contains("\n0 passed"), "{told}");
}

async fn python(version: &str) {
    let upstream =
        Upstream::start(Options { strict: true, forbidden: vec!["gw-sdk-key".into()], ..Options::default() })
            .await
            .unwrap();
    let gateway = Gateway::start(&upstream).await;
    gateway.key("gw-sdk-key", json!({})).await;
    let mut command = Command::new(tool(&format!("openai-{version}/bin/python")));
    command
        .arg(project("tests/sdk/python/check.py"))
        .args(["--base-url", &gateway.url("/v1"), "--key", "gw-sdk-key", "--upstream", &upstream.url()])
        .args(["--admin", &gateway.admin, "--event-prefix", &format!("py{version}")]);
    check(&mut command).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c101_the_openai_sdk_for_python_works_with_only_base_url_and_key_changed() {
    python("3").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c101_an_old_major_of_the_openai_sdk_for_python_works_too() {
    python("1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c101_the_openai_sdk_for_node_works_with_only_base_url_and_key_changed() {
    let upstream =
        Upstream::start(Options { strict: true, forbidden: vec!["gw-sdk-key".into()], ..Options::default() })
            .await
            .unwrap();
    let gateway = Gateway::start(&upstream).await;
    gateway.key("gw-sdk-key", json!({})).await;
    let mut command = Command::new(node());
    command.arg(project("tests/sdk/node/check.mjs")).arg("--modules").arg(tool("node")).args([
        "--base-url",
        &gateway.url("/v1"),
        "--key",
        "gw-sdk-key",
        "--upstream",
        &upstream.url(),
    ]);
    check(&mut command).await;
}

/// The independent mock upstream, on a free port.
pub async fn aimock() -> (Child, String) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new(node());
    command
        .arg(tool("aimock/node_modules/.bin/llmock"))
        .args(["-p", &port.to_string(), "-f"])
        .arg(project("tests/sdk/aimock/fixtures.json"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let child = command.spawn().expect("aimock starts");
    let url = format!("http://127.0.0.1:{port}");
    eventually("aimock listens", || async { tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() }).await;
    (child, url)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_nobody_here_wrote_is_served_and_billed() {
    let (_aimock, url) = aimock().await;
    let gateway = Setup::default().start_at(&url).await;
    let id = gateway.key("gw-sdk-key", json!({})).await;
    for version in ["1", "3"] {
        let mut command = Command::new(tool(&format!("openai-{version}/bin/python")));
        command.arg(project("tests/sdk/python/aimock.py")).args([
            "--base-url",
            &gateway.url("/v1"),
            "--key",
            "gw-sdk-key",
        ]);
        check(&mut command).await;
    }
    eventually("its answers are billed", || async {
        let events = gateway.events(&id).await;
        let hello = |e: &&serde_json::Value| e["prompt_token_count"] == 120 && e["completion_token_count"] == 7;
        events.iter().filter(hello).count() >= 2
    })
    .await;
}
