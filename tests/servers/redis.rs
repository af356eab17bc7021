//! Redis: a server of one's own, with or without its data after a restart; secured, a replica, or many as a cluster.

use super::directory::Directory;
use super::process::{Process, free_port, program};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A server, running until it is dropped.
pub struct Redis {
    pub port: u16,
    /// Beside those that every server has.
    options: Vec<String>,
    /// Of the client.
    access: Vec<String>,
    // Before the directory: what it writes goes after it.
    process: Option<Process>,
    directory: Directory,
}

impl Redis {
    /// The user of [`Self::secured`], who may use keys that begin with `tollgate`.
    pub const USER: &str = "gateway";
    pub const PASSWORD: &str = "test-password";

    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// With these options of the command line.
    pub fn start_with(options: &[&str]) -> Self {
        let mut server = Self::new();
        server.options = options.iter().map(|option| (*option).to_owned()).collect();
        server.launch();
        server
    }

    /// Speaks TLS only, with a certificate for 127.0.0.1 of [`Self::authority`], and knows one user.
    pub fn secured() -> Self {
        let mut server = Self::new();
        server.certify();
        let file = |name: &str| server.directory.path().join(name).display().to_string();
        let (tls_port, cert, key, ca) = (server.port.to_string(), file("cert.pem"), file("key.pem"), file("ca.pem"));
        let listener: &[&str] = &["--tls-port", &tls_port, "--port", "0", "--tls-auth-clients", "no"];
        let files: &[&str] = &["--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-ca-cert-file", &ca];
        let (secret, keys) = (format!(">{}", Self::PASSWORD), "~tollgate*");
        let user: &[&str] =
            &["--user", Self::USER, "on", &secret, keys, "&*", "+@all", "-@admin", "-@dangerous", "+info"];
        let nobody_else: &[&str] = &["--user", "default", "off"];
        let options = [listener, files, user, nobody_else].concat().into_iter().map(str::to_owned).collect();
        server.access =
            ["--tls", "--cacert", &ca, "--user", Self::USER, "--pass", Self::PASSWORD].map(str::to_owned).to_vec();
        server.options = options;
        server.launch();
        server
    }

    /// Of another server; returns when it has what that one has.
    pub fn replica_of(master: &Self) -> Self {
        let replica = Self::start_with(&["--replicaof", &format!("127.0.0.1 {}", master.port)]);
        replica.await_info("replication", "master_link_status:up");
        replica
    }

    /// PEM file of who has signed the certificate of [`Self::secured`].
    pub fn authority(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// What the server answers to a command of its own client.
    pub fn cli(&self, arguments: &[&str]) -> String {
        let output = Command::new(program("redis-cli", "/nowhere"))
            .args(["-p", &self.port.to_string()])
            .args(&self.access)
            .args(arguments)
            .output()
            .expect("redis-cli runs");
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }

    /// Until this part of what it tells about itself contains that.
    pub fn await_info(&self, section: &str, wanted: &str) {
        self.await_answer(&["INFO", section], wanted);
    }

    fn await_answer(&self, question: &[&str], wanted: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let told = self.cli(question);
            if told.contains(wanted) {
                return;
            }
            assert!(Instant::now() < deadline, "no {wanted} in:\n{told}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Without warning; nothing is kept.
    pub fn kill(&mut self) {
        self.process.take().expect("running").kill();
    }

    /// On the same port.
    pub fn restart(&mut self) {
        self.launch();
    }

    /// Connections stand, nothing answers.
    pub fn freeze(&self) {
        self.process.as_ref().expect("running").signal("-STOP");
    }

    pub fn thaw(&self) {
        self.process.as_ref().expect("running").signal("-CONT");
    }

    fn new() -> Self {
        let (port, directory) = (free_port(), Directory::new());
        Self { port, options: Vec::new(), access: Vec::new(), process: None, directory }
    }

    fn launch(&mut self) {
        let port = self.port.to_string();
        let directory = self.directory.text();
        let mut command = vec![program("redis-server", "/nowhere")];
        for (name, value) in [
            ("--port", port.as_str()),
            ("--bind", "127.0.0.1"),
            ("--save", ""),
            ("--appendonly", "no"),
            ("--dir", directory),
            // Replicas need not wait for others to ask, too.
            ("--repl-diskless-sync-delay", "0"),
        ] {
            command.extend([name.to_owned(), value.to_owned()]);
        }
        command.extend(self.options.iter().cloned());
        let log = self.directory.path().join("log");
        let process = Process::start(&command, self.directory.path(), &log);
        let own = format!("process_id:{}", process.pid());
        process.await_answer("Redis", &log, || {
            let told = self.cli(&["INFO", "server"]);
            // A password that the client does not know is an answer, too.
            told.lines().any(|line| line == own) || told.starts_with("NOAUTH")
        });
        self.process = Some(process);
    }

    /// An authority, and what it has signed for this server.
    fn certify(&self) {
        let directory = self.directory.path();
        std::fs::write(directory.join("names"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n").expect("a file");
        let new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let authority = ["-x509", "-days", "2", "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem"];
        openssl(directory, &[&["req"], &new[..], &authority].concat());
        openssl(
            directory,
            &[&["req"], &new[..], &["-subj", "/CN=redis", "-keyout", "key.pem", "-out", "request"]].concat(),
        );
        let signs = ["x509", "-req", "-days", "2", "-in", "request", "-CA", "ca.pem", "-CAkey", "ca.key"];
        openssl(directory, &[&signs[..], &["-CAcreateserial", "-extfile", "names", "-out", "cert.pem"]].concat());
    }
}

fn openssl(directory: &Path, arguments: &[&str]) {
    let output = Command::new(program("openssl", "/nowhere"))
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("openssl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Masters that share the keys, each with a third or so; replicas after them.
pub struct RedisCluster {
    pub nodes: Vec<Redis>,
}

/// Of all clusters.
const SLOTS: usize = 16_384;

impl RedisCluster {
    /// Returns when it serves every key. `replicas` are of the first masters, one each.
    pub fn start(masters: usize, replicas: usize) -> Self {
        let nodes: Vec<_> = (0..masters + replicas).map(|_| Self::node()).collect();
        let cluster = Self { nodes };
        for (n, node) in cluster.nodes.iter().enumerate() {
            // Otherwise two that meet may claim the same one, and take seconds to agree.
            node.cli(&["CLUSTER", "SET-CONFIG-EPOCH", &(n + 1).to_string()]);
            if n < masters {
                let (first, last) = (n * SLOTS / masters, (n + 1) * SLOTS / masters - 1);
                node.cli(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]);
            }
        }
        let bus =
            |node: &Redis| node.cli(&["CONFIG", "GET", "cluster-port"]).lines().last().expect("a port").to_owned();
        let (port, first_bus) = (cluster.nodes[0].port.to_string(), bus(&cluster.nodes[0]));
        for node in &cluster.nodes[1..] {
            node.cli(&["CLUSTER", "MEET", "127.0.0.1", &port, &first_bus]);
        }
        for node in &cluster.nodes {
            node.await_info("cluster", "cluster_enabled:1");
            let known = format!("cluster_known_nodes:{}", cluster.nodes.len());
            node.await_answer(&["CLUSTER", "INFO"], &known);
        }
        for n in 0..replicas {
            let id = cluster.nodes[n].cli(&["CLUSTER", "MYID"]);
            let replica = &cluster.nodes[masters + n];
            replica.await_answer(&["CLUSTER", "REPLICATE", &id], "OK");
            replica.await_info("replication", "master_link_status:up");
        }
        for node in &cluster.nodes {
            node.await_answer(&["CLUSTER", "INFO"], "cluster_state:ok");
        }
        cluster
    }

    fn node() -> Redis {
        // The usual port of nodes among themselves, 10000 above, may not exist.
        let bus = free_port().to_string();
        Redis::start_with(&["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-node-timeout", "1000"])
    }

    pub fn url(&self) -> String {
        self.nodes.iter().map(Redis::url).collect::<Vec<_>>().join(",")
    }
}
