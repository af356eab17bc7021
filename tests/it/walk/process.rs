//! The process: ports, health, configuration mistakes, stop.

use crate::support::{Gateway, Setup, chat};
use crate::upstream::{Options, Upstream};
use serde_json::json;
use std::process::Command;

#[tokio::test]
async fn c2_health_is_open_on_both_listeners() {
    let upstream = Upstream::start(Options::default()).await.unwrap();
    let gateway = Setup::default().env("ADMIN_PASS", "secret").start(&upstream).await;
    for base in [&gateway.proxy, &gateway.admin] {
        for path in ["/api/health", "/healthz", "/readyz"] {
            assert_eq!(gateway.http.get(format!("{base}{path}")).send().await.unwrap().status(), 200, "{base}{path}");
        }
    }
}

#[tokio::test]
async fn c3_c4_the_admin_password_guards_the_admin_api_and_metrics() {
    let upstream = Upstream::start(Options::default()).await.unwrap();
    let gateway = Setup::default().env("ADMIN_PASS", "secret").start(&upstream).await;
    let put = |pass: Option<&str>| {
        let mut request = gateway.http.put(format!("{}/api/provider-settings", gateway.admin));
        if let Some(pass) = pass {
            request = request.header("x-api-key", pass);
        }
        request.json(&json!({"provider": "openai", "setting": {"apikey": "x"}})).send()
    };
    assert_eq!(put(None).await.unwrap().status(), 401);
    assert_eq!(put(Some("wrong")).await.unwrap().status(), 401);
    assert_eq!(put(Some("secret")).await.unwrap().status(), 200);
    let metrics = format!("{}/metrics", gateway.admin);
    assert_eq!(gateway.http.get(&metrics).send().await.unwrap().status(), 401);
    assert_eq!(gateway.http.get(&metrics).bearer_auth("secret").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn c9_configuration_survives_a_restart() {
    let upstream = Upstream::start(Options::default()).await.unwrap();
    let mut gateway = Gateway::start(&upstream).await;
    gateway.key("k", json!({})).await;
    assert_eq!(gateway.stop().await, Some(0));
    gateway.restart().await;
    assert_eq!(chat(&gateway, "k").await.status(), 200);
}

#[tokio::test]
async fn two_processes_never_share_a_journal() {
    let upstream = Upstream::start(Options::default()).await.unwrap();
    let gateway = Gateway::start(&upstream).await;
    let second = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .arg("serve")
        .current_dir(gateway.dir())
        .env("TOLLGATE_PROXY_LISTEN", "127.0.0.1:0")
        .env("TOLLGATE_ADMIN_LISTEN", "127.0.0.1:0")
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    assert!(String::from_utf8_lossy(&second.stderr).contains("journal"), "{second:?}");
}

#[test]
fn mistakes_are_all_told_at_once_with_exit_code_2() {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .current_dir(dir.path())
        .env("TOLLGATE_PROXY_LISTEN", "nowhere")
        .env("TOLLGATE_LIMITS_BUDGET_MODE", "loose")
        .env("TOLLGATE_PROXY_REQUEST_TIMEOUT", "soon")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr);
    for key in ["proxy.listen", "limits.budget_mode", "proxy.request_timeout"] {
        assert!(told.contains(key), "{key} in {told}");
    }
}

#[test]
fn check_prints_what_would_be_used_and_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .arg("check")
        .current_dir(dir.path())
        .env("ADMIN_PASS", "very-secret")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{told} {}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("listen = \"0.0.0.0:8002\""), "{told}");
    assert!(!told.contains("very-secret"), "{told}");
}

#[test]
fn version_and_migrate_work_alone() {
    let dir = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_tollgate")).args(args).current_dir(dir.path()).output().unwrap()
    };
    let version = run(&["--version"]);
    assert!(String::from_utf8_lossy(&version.stdout).contains(env!("CARGO_PKG_VERSION")));
    let migrated = run(&["migrate"]);
    assert_eq!(migrated.status.code(), Some(0), "{migrated:?}");
    assert!(dir.path().join("data/tollgate.db").exists());
    assert_eq!(run(&["sevre"]).status.code(), Some(2));
}
