//! The script that starts the whole topology from an empty directory: two gateways over one Postgres and one Redis.

use crate::servers::free_port;
use crate::support::{PATIENCE, eventually};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// The script; ended with all that it has started when it is dropped.
struct Topology(Child);

impl Drop for Topology {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        let _ = self.0.wait();
    }
}

/// The first of a hundred ports that are free now.
fn hundred() -> u16 {
    free_port() / 100 * 100 + 100
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_an_empty_directory_to_two_gateways_that_are_one_and_back() {
    let root = env!("CARGO_MANIFEST_DIR");
    let directory = tempfile::tempdir().unwrap();
    let ports = hundred();
    let upstream = std::path::Path::new(env!("CARGO_BIN_EXE_tollgate")).with_file_name("examples").join("upstream");
    let mut child = Command::new("bash")
        .arg(format!("{root}/tests/topology.sh"))
        .arg(directory.path().join("cluster"))
        .env("TOLLGATE", env!("CARGO_BIN_EXE_tollgate"))
        .env("UPSTREAM", upstream)
        .env("PORTS", ports.to_string())
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (told, lines) = std::sync::mpsc::channel();
    let output = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| told.send(line)));
    let mut topology = Topology(child);
    let mut said = Vec::new();
    let deadline = Instant::now() + 3 * PATIENCE;
    tokio::task::block_in_place(|| {
        while !said.last().is_some_and(|line: &String| line.starts_with("running")) {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => said.push(line),
                Err(_) => panic!("it does not start:\n{}", said.join("\n")),
            }
        }
    });
    let said = said.join("\n");
    let http = reqwest::Client::new();
    let [admin, other] = [1, 11].map(|offset| format!("http://127.0.0.1:{}", ports + offset));
    let put = async |base: &str, path: &str, body: Value| {
        let answer = http.put(format!("{base}{path}")).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{said}");
        answer.json::<Value>().await.unwrap()
    };
    let setting = json!({"provider": "openai", "setting": {"apikey": "sk-upstream"}});
    let setting = put(&admin, "/api/provider-settings", setting).await["id"].clone();
    let key =
        json!({"name": "try", "key": "gw-try", "settingIds": [setting], "rateLimitOverTime": 5, "rateLimitUnit": "d"});
    put(&other, "/api/key-management/keys", key).await;
    // By way of the balancer, if there is one, and directly.
    let balancer = if said.contains(&format!("http://127.0.0.1:{ports}\n")) { ports } else { ports + 2 };
    let mut statuses = Vec::new();
    for port in [balancer, ports + 2, ports + 12, balancer, ports + 12, balancer, ports + 2, ports + 12] {
        let url = format!("http://127.0.0.1:{port}/api/providers/openai/v1/chat/completions");
        let request = http.post(url).bearer_auth("gw-try").json(&super::question());
        statuses.push(request.send().await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429, 429, 429]);
    // As a ctrl-C does it; that signal itself may be ignored by whoever runs the tests, and then by all below.
    assert!(Command::new("kill").args(["-TERM", &topology.0.id().to_string()]).status().unwrap().success());
    let ended = tokio::task::block_in_place(|| topology.0.wait().unwrap());
    assert!(ended.success(), "{ended}");
    eventually("everything has ended", || async {
        [0, 1, 2, 11, 12, 32, 79]
            .iter()
            .all(|offset| std::net::TcpStream::connect(("127.0.0.1", ports + offset)).is_err())
    })
    .await;
}
