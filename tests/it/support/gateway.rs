//! The real program in a directory of its own, on ports of its own, with its log kept for inspection.

use super::PATIENCE;
use crate::upstream::Upstream;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

/// How to start a gateway; everything else is its default.
#[derive(Clone, Default)]
pub struct Setup {
    env: Vec<(String, String)>,
}

impl Setup {
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    pub async fn start(self, upstream: &Upstream) -> Gateway {
        self.start_at(&upstream.url()).await
    }

    pub async fn start_at(self, upstream_url: &str) -> Gateway {
        let base_url = |provider| format!("TOLLGATE_PROVIDERS_{provider}_BASE_URL");
        let providers = ["OPENAI", "BEDROCK"];
        providers
            .iter()
            .fold(self, |setup, provider| setup.env(&base_url(provider), upstream_url))
            .start_as_it_is()
            .await
    }

    /// With no upstream but what the environment says.
    pub async fn start_as_it_is(self) -> Gateway {
        let setup = self;
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut gateway = Gateway {
            dir: Arc::new(dir),
            setup,
            child: None,
            proxy: String::new(),
            admin: String::new(),
            log: Arc::default(),
            http: client(),
        };
        gateway.launch().await;
        gateway
    }

    /// As it is, at once: whoever asks it must wait for it. Its ports must be fixed.
    pub fn start_unwatched(self) -> Gateway {
        let address = |name: &str| format!("http://{}", self.value(name).expect("fixed ports"));
        let (proxy, admin) = (address("TOLLGATE_PROXY_LISTEN"), address("TOLLGATE_ADMIN_LISTEN"));
        let dir = Arc::new(tempfile::tempdir().expect("a temporary directory"));
        let mut gateway = Gateway { dir, setup: self, child: None, proxy, admin, log: Arc::default(), http: client() };
        drop(gateway.spawn(&["serve"]));
        gateway
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.env.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// On ports of its own that stay the same, as an upgrade needs them.
    pub fn fixed_ports(self) -> Self {
        let [proxy, admin] = [(); 2].map(|()| format!("127.0.0.1:{}", crate::servers::free_port()));
        self.env("TOLLGATE_PROXY_LISTEN", &proxy).env("TOLLGATE_ADMIN_LISTEN", &admin)
    }
}

/// An HTTP/1.1 client that never follows redirects and never waits forever.
fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PATIENCE)
        .build()
        .expect("an HTTP client")
}

pub struct Gateway {
    dir: Arc<tempfile::TempDir>,
    setup: Setup,
    child: Option<Child>,
    /// `http://host:port` of the proxy.
    pub proxy: String,
    pub admin: String,
    log: Arc<Mutex<Vec<String>>>,
    pub http: reqwest::Client,
}

impl Gateway {
    pub async fn start(upstream: &Upstream) -> Self {
        Setup::default().start(upstream).await
    }

    async fn launch(&mut self) {
        let addresses = self.spawn(&["serve"]);
        self.serving(addresses).await;
    }

    /// Starts the program; the addresses that it listens on come as it names them.
    fn spawn(&mut self, arguments: &[&str]) -> Receiver<(String, String)> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
        command
            .args(arguments)
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("TOLLGATE_PROXY_LISTEN", "127.0.0.1:0")
            .env("TOLLGATE_ADMIN_LISTEN", "127.0.0.1:0")
            .env("TOLLGATE_TELEMETRY_LOG_FORMAT", "json")
            // It opens by itself on a port that only one test can have.
            .envs(self.setup.value("ADMIN_API_KEY").map(|_| ("TOLLGATE_SINGLE_LISTEN", "127.0.0.1:0")))
            .envs(self.setup.env.iter().map(|(k, v)| (k, v)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let (found, addresses) = std::sync::mpsc::channel();
        let readers: [Box<dyn std::io::Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for reader in readers {
            let (log, found) = (self.log.clone(), found.clone());
            std::thread::spawn(move || {
                for line in BufReader::new(reader).lines().map_while(Result::ok) {
                    if let Some(address) = listening(&line) {
                        let _ = found.send(address);
                    }
                    log.lock().push(line);
                }
            });
        }
        self.child = Some(child);
        addresses
    }

    async fn serving(&mut self, addresses: Receiver<(String, String)>) {
        let log = self.log.clone();
        let both = tokio::task::spawn_blocking(move || {
            let (mut proxy, mut admin) = (None, None);
            let deadline = Instant::now() + PATIENCE;
            while proxy.is_none() || admin.is_none() {
                match addresses.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                    Ok((listener, address)) if listener == "proxy" => proxy = Some(address),
                    Ok((listener, address)) if listener == "admin" => admin = Some(address),
                    Ok(_) => {}
                    Err(_) => panic!("the gateway did not start:\n{}", log.lock().join("\n")),
                }
            }
            (proxy.unwrap(), admin.unwrap())
        });
        let (proxy, admin) = both.await.expect("the gateway starts");
        self.proxy = format!("http://{proxy}");
        self.admin = format!("http://{admin}");
        // A listener with a certificate of its own has no words for this client.
        let has_tls = |listener: &str| {
            let name = format!("TOLLGATE_{listener}_TLS_CERT");
            self.setup.env.iter().any(|(known, _)| *known == name)
        };
        for (listener, base) in [("PROXY", &self.proxy), ("ADMIN", &self.admin)] {
            if has_tls(listener) {
                continue;
            }
            let (http, ready) = (&self.http, &format!("{base}/readyz"));
            super::eventually("the gateway is ready", || async {
                http.get(ready).send().await.is_ok_and(|r| r.status() == 200)
            })
            .await;
        }
    }

    /// A second process in the same directory that is ready to take over and waits.
    pub async fn heir(&self) -> Heir {
        let heir = self.spawn_heir();
        let log = heir.next.log.clone();
        super::eventually("the heir waits", || async { log.lock().iter().any(|l| l.contains("ready to take over")) })
            .await;
        heir
    }

    /// A process that would take over, but finds nobody.
    pub async fn heirless(&self) -> Self {
        self.spawn_heir().served().await
    }

    fn spawn_heir(&self) -> Heir {
        let mut next = Self {
            dir: self.dir.clone(),
            setup: self.setup.clone(),
            child: None,
            proxy: self.proxy.clone(),
            admin: self.admin.clone(),
            log: Arc::default(),
            http: client(),
        };
        let addresses = next.spawn(&["serve", "--upgrade"]);
        Heir { next, addresses }
    }

    /// The whole way; returns the process that leaves, which may still have requests to finish.
    pub async fn upgrade(&mut self) -> Self {
        let heir = self.heir().await;
        self.quit();
        let next = heir.served().await;
        std::mem::replace(self, next)
    }

    /// Makes it hand over.
    pub fn quit(&self) {
        self.signal("-QUIT");
    }

    /// Address of a listener, by the name it has in the log.
    pub async fn listener(&self, name: &str) -> String {
        // The latest: a restart moves it.
        let find =
            || self.log.lock().iter().rev().filter_map(|l| listening(l)).find(|(n, _)| n == name).map(|(_, a)| a);
        super::eventually("the listener is in the log", || async { find().is_some() }).await;
        find().expect("in the log")
    }

    /// What it was started with.
    pub fn env(&self, name: &str) -> Option<&str> {
        self.setup.value(name)
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("running").id()
    }

    /// Everything the program wrote so far.
    pub fn log(&self) -> String {
        self.log.lock().join("\n")
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.pid().to_string()]).status().expect("kill");
        assert!(status.success());
    }

    /// Kills without warning and waits until it is gone.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("running");
        child.kill().expect("kill -9");
        child.wait().expect("gone");
    }

    /// Stops it in the middle of whatever it does, until [`Self::thaw`]: connections stand, nothing answers.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    /// Asks it to stop and returns its exit code.
    pub async fn stop(&mut self) -> Option<i32> {
        self.signal("-TERM");
        self.ended().await
    }

    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    pub async fn ended(&mut self) -> Option<i32> {
        let mut child = self.child.take().expect("running");
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait().expect("a status") {
                return status.code();
            }
            assert!(Instant::now() < deadline, "the gateway does not stop");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// For the next start.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.setup.env.retain(|(known, _)| known != name);
        self.setup.env.push((name.into(), value.into()));
    }

    /// Starts again in the same directory, on new ports.
    pub async fn restart(&mut self) {
        self.launch().await;
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}/api/providers/openai{path}", self.proxy)
    }

    pub async fn admin(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.http.request(method, format!("{}{path}", self.admin));
        if let Some(secret) = self.setup.value("ADMIN_API_KEY") {
            request = request.header("x-api-key", secret);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.expect("the admin API answers");
        let status = response.status().as_u16();
        let text = response.text().await.expect("a body");
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// A provider setting for the local upstream; returns its id.
    pub async fn setting(&self, extra: Value) -> String {
        let mut body = json!({"provider": "openai", "setting": {"apikey": "sk-upstream"}});
        merge(&mut body, extra);
        let (status, answer) = self.admin("PUT", "/api/provider-settings", Some(body)).await;
        assert_eq!(status, 200, "{answer}");
        answer["id"].as_str().expect("an id").to_owned()
    }

    /// A key with a fresh setting unless `extra` names some; returns its id.
    pub async fn key(&self, raw: &str, extra: Value) -> String {
        let mut body = json!({"name": raw, "key": raw});
        if extra.get("settingIds").is_none() {
            body["settingIds"] = json!([self.setting(json!({})).await]);
        }
        merge(&mut body, extra);
        let (status, answer) = self.admin("PUT", "/api/key-management/keys", Some(body)).await;
        assert_eq!(status, 200, "{answer}");
        answer["keyId"].as_str().expect("a keyId").to_owned()
    }

    pub async fn patch_key(&self, id: &str, patch: Value) -> Value {
        let (status, answer) = self.admin("PATCH", &format!("/api/key-management/keys/{id}"), Some(patch)).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// The key as the admin API shows it.
    pub async fn show_key(&self, id: &str) -> Value {
        let (status, answer) = self.admin("GET", &format!("/api/key-management/keys?keyIds={id}"), None).await;
        assert_eq!(status, 200, "{answer}");
        answer[0].clone()
    }

    /// All events of a key, oldest first.
    pub async fn events(&self, key_id: &str) -> Vec<Value> {
        let path = format!("/api/events?keyIds={key_id}&start=0&end=99999999999");
        let (status, answer) = self.admin("GET", &path, None).await;
        assert_eq!(status, 200, "{answer}");
        answer.as_array().expect("events").clone()
    }

    /// Waits until a key has exactly `count` events.
    pub async fn events_settled(&self, key_id: &str, count: usize) -> Vec<Value> {
        super::eventually("the events are in the store", || async { self.events(key_id).await.len() >= count }).await;
        let events = self.events(key_id).await;
        assert_eq!(events.len(), count, "{events:#?}");
        events
    }

    /// Makes it load what it loads once (tokenizers), so that memory can be compared from then on. Needs a key.
    pub async fn settled_memory(&self, key: &str) -> usize {
        for model in ["gpt-4o", "gpt-4"] {
            let act = json!({"no_usage": true}).to_string();
            let body = json!({"model": model, "messages": [{"role": "user", "content": "hello"}], "user": act});
            let request = self.http.post(self.url("/v1/chat/completions")).bearer_auth(key).json(&body);
            assert_eq!(request.send().await.expect("an answer").status(), 200);
        }
        self.peak_memory()
    }

    /// The most memory that the program ever had resident, bytes.
    pub fn peak_memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("its status");
        let line = status.lines().find(|l| l.starts_with("VmHWM")).expect("a peak");
        line.split_whitespace().nth(1).expect("a number").parse::<usize>().expect("a number") * 1024
    }

    /// Waits until no request is in flight. A client has its answer a moment before the gateway has counted it.
    pub async fn idle(&self) {
        super::eventually("it is idle", || async { self.metric("tollgate_in_flight_requests").await == 0.0 }).await;
    }

    /// All metrics as Prometheus reads them.
    pub async fn metrics(&self) -> String {
        let (status, text) = self.admin("GET", "/metrics", None).await;
        assert_eq!(status, 200, "{text}");
        text.as_str().expect("text").to_owned()
    }

    /// The value of a metric line that begins with `name`, summed over its labels.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = self.metrics().await;
        text.lines()
            .filter(|l| l.starts_with(name) && l[name.len()..].starts_with(['{', ' ']))
            .filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }
}

/// A gateway that does not serve yet.
pub struct Heir {
    next: Gateway,
    addresses: Receiver<(String, String)>,
}

impl Heir {
    /// Once it serves.
    pub async fn served(mut self) -> Gateway {
        self.next.serving(self.addresses).await;
        self.next
    }

    pub fn kill(mut self) {
        self.next.kill();
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Listener and address of a start-up line.
fn listening(line: &str) -> Option<(String, String)> {
    let value: Value = serde_json::from_str(line).ok()?;
    let fields = value.get("fields").unwrap_or(&value);
    let message = fields.get("message").or_else(|| value.get("message"))?;
    if message != "listening" {
        return None;
    }
    Some((fields.get("listener")?.as_str()?.to_owned(), fields.get("address")?.as_str()?.to_owned()))
}

fn merge(into: &mut Value, extra: Value) {
    if let (Value::Object(into), Value::Object(extra)) = (into, extra) {
        into.extend(extra);
    }
}
