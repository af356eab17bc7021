//! Postgres: one server for all tests of a process, a database for each of them; or a server of one's own.

use super::directory::Directory;
use super::process::{Process, free_port, program};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

pub(super) const PASSWORD: &str = "test-password";

/// A server, running until it is dropped.
pub struct Postgres {
    pub port: u16,
    // Before the directory: what it writes goes after it.
    process: Option<Process>,
    directory: Directory,
    options: Vec<String>,
}

/// A database of the server that tests share; dropped with it.
pub struct Database {
    url: String,
}

impl Database {
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// A new, empty database.
pub fn database() -> Database {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let server = SERVER.get_or_init(Postgres::start);
    let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
    server.sql(&format!("CREATE DATABASE {name}"));
    Database { url: server.url(&name) }
}

impl Postgres {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// With these settings (`name=value`).
    pub fn start_with(options: &[&str]) -> Self {
        let mut server = Self::prepare(options);
        server.launch();
        server
    }

    fn prepare(options: &[&str]) -> Self {
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let server = Self { directory: Directory::new(), port: free_port(), process: None, options };
        // Copied, which takes a twentieth of the time of making them.
        let status = Command::new("cp").args(["-a", text(pristine())]).arg(server.data()).status();
        assert!(status.expect("cp runs").success());
        server.directory.give_to_server();
        server
    }

    /// Speaks TLS, for the name `localhost`. The certificate of the authority is at [`Self::authority`].
    pub fn start_with_tls() -> Self {
        let mut server = Self::prepare(&["ssl=on"]);
        let script =
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=authority \
                -keyout authority.key -out authority.crt
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=server \
                -keyout data/server.key -out server.csr
            printf 'subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n' > extensions
            openssl x509 -req -in server.csr -CA authority.crt -CAkey authority.key -CAcreateserial -days 2 \
                -extfile extensions -out data/server.crt
            chmod 600 data/server.key
            chown \"$(stat -c %u data)\" data/server.key data/server.crt";
        let output = Command::new("bash").args(["-ec", script]).current_dir(server.directory.path()).output();
        let output = output.expect("bash runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        server.launch();
        server
    }

    pub fn authority(&self) -> PathBuf {
        self.directory.path().join("authority.crt")
    }

    /// A second server that follows this one, and every commit of this one waits for it.
    pub fn standby(&self) -> Self {
        let mut server = Self { directory: Directory::new(), port: free_port(), process: None, options: Vec::new() };
        let data = server.data();
        let source = self.url("postgres");
        run(&tool("pg_basebackup"), &["-D", text(&data), "-d", &source, "-R", "-X", "stream", "-c", "fast"]);
        server.directory.give_to_server();
        server.launch();
        self.sql("ALTER SYSTEM SET synchronous_standby_names = '*'");
        self.sql("SELECT pg_reload_conf()");
        server
    }

    /// From now on a standby of this one hears of no commit, and none waits for it.
    pub fn leave_behind(&self, standby: &Self) {
        standby.sql("ALTER SYSTEM SET primary_conninfo = ''");
        self.sql("ALTER SYSTEM RESET synchronous_standby_names");
        for server in [standby, self] {
            server.sql("SELECT pg_reload_conf()");
        }
        for _ in 0..500 {
            if self.sql("SELECT count(*) FROM pg_stat_replication") == "0"
                && standby.sql("SHOW primary_conninfo").is_empty()
            {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("the standby still follows");
    }

    /// Makes a standby a server of its own.
    pub fn promote(&self) {
        assert_eq!(self.sql("SELECT pg_promote()"), "t", "the standby takes over");
    }

    pub fn url(&self, database: &str) -> String {
        self.url_at(self.port, database)
    }

    /// By way of another port, where a proxy stands.
    pub fn url_at(&self, port: u16, database: &str) -> String {
        format!("postgres://postgres:{PASSWORD}@127.0.0.1:{port}/{database}")
    }

    /// Runs it as the superuser.
    pub fn sql(&self, sql: &str) -> String {
        self.sql_in("postgres", sql)
    }

    pub fn sql_in(&self, database: &str, sql: &str) -> String {
        run(&tool("psql"), &["-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-c", sql, &self.url(database)])
    }

    /// Ends every session of the database.
    pub fn cut(database: &Database) {
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        let output = Command::new(tool("psql")).args(["-X", "-q", "-c", sql, database.url()]).output();
        assert!(output.expect("psql runs").status.success());
    }

    /// Refuses whoever comes over the network without TLS.
    pub fn only_with_tls(&self) {
        let rules = "local all all trust\nhostssl all all all scram-sha-256\n";
        std::fs::write(self.data().join("pg_hba.conf"), rules).expect("a file");
        self.sql("SELECT pg_reload_conf()");
        // The server reads it a moment later.
        let url = format!("{}?sslmode=disable", self.url("postgres"));
        for _ in 0..500 {
            let output = Command::new(tool("psql")).args(["-X", "-q", "-c", "SELECT 1", &url]).output();
            if !output.expect("psql runs").status.success() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("the server still takes sessions without TLS");
    }

    /// Without warning, as a power cut.
    pub fn kill(&mut self) {
        // Immediate shutdown: nothing is flushed, the next start recovers from the log.
        self.process.take().expect("running").kill();
    }

    /// On the same port, with the same data.
    pub fn restart(&mut self) {
        self.launch();
    }

    /// Stops it in the middle of whatever it does, until [`Self::thaw`]: connections stand, nothing answers.
    pub fn freeze(&self) {
        self.signal_all("-STOP");
    }

    pub fn thaw(&self) {
        self.signal_all("-CONT");
    }

    /// The server is a process for each connection beside the first.
    fn signal_all(&self, signal: &str) {
        self.process.as_ref().expect("running").signal_family(signal);
    }

    #[cfg(test)]
    pub fn directory(&self) -> PathBuf {
        self.directory.path().to_owned()
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn launch(&mut self) {
        let (data, port) = (self.data(), self.port.to_string());
        let arguments = [
            ["-D", text(&data)],
            ["-p", &port],
            ["-c", "unix_socket_directories="],
            ["-c", "listen_addresses=127.0.0.1"],
            // A test's machine that crashes has no use for the data.
            ["-c", "fsync=off"],
            ["-c", "max_connections=300"],
        ];
        let more = self.options.iter().flat_map(|option| ["-c", option.as_str()]);
        let command = unprivileged(tool("postgres"), arguments.into_iter().flatten().chain(more));
        let log = self.directory.path().join("log");
        let process = Process::start_ending("QUIT", &command, self.directory.path(), &log);
        // It accepts connections before it serves them.
        process.await_answer("Postgres", &log, || self.answers_at(self.port));
        self.process = Some(process);
    }

    /// Whether it is this server that answers behind a port.
    pub(super) fn answers_at(&self, port: u16) -> bool {
        let mut psql = Command::new(tool("psql"));
        psql.args(["-X", "-q", "-At", "-c", "SHOW data_directory", &self.url_at(port, "postgres")]);
        let output = psql.output().ok().filter(|output| output.status.success());
        output.is_some_and(|output| output.stdout.trim_ascii() == text(&self.data()).as_bytes())
    }
}

impl Directory {
    /// The server refuses to run as root, so that it is given to the user that runs it then.
    pub(super) fn give_to_server(&self) {
        if is_root() {
            run("chown", &["-R", "postgres", self.text()]);
        }
    }
}

/// The data of a server that nobody has used yet.
fn pristine() -> &'static Path {
    static MADE: OnceLock<(Directory, PathBuf)> = OnceLock::new();
    let (_, data) = MADE.get_or_init(|| {
        let directory = Directory::new();
        let secret = directory.path().join("password");
        std::fs::write(&secret, PASSWORD).expect("a file");
        directory.give_to_server();
        let data = directory.path().join("data");
        let arguments = ["-D", text(&data), "-U", "postgres", "-A", "scram-sha-256", "--pwfile", text(&secret), "-N"];
        let more = ["-E", "UTF8", "--locale=C.UTF-8"];
        let command = unprivileged(tool("initdb"), arguments.into_iter().chain(more));
        let (program, rest) = command.split_first().expect("a program");
        run(program, &rest.iter().map(String::as_str).collect::<Vec<_>>());
        (directory, data)
    });
    data
}

/// What it prints; its complaint is the test's failure.
fn run(program: &str, arguments: &[&str]) -> String {
    // From a directory that every user may stand in.
    let output = Command::new(program).args(arguments).current_dir("/").output();
    let output = output.unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

fn tool(name: &str) -> String {
    static KNOWN: parking_lot::Mutex<Vec<(String, String)>> = parking_lot::Mutex::new(Vec::new());
    let mut known = KNOWN.lock();
    if let Some((_, path)) = known.iter().find(|(n, _)| n == name) {
        return path.clone();
    }
    let path = program(name, &format!("/usr/lib/postgresql/*/bin/{name}"));
    known.push((name.to_owned(), path.clone()));
    path
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().expect("id runs");
    output.stdout.trim_ascii() == b"0"
}

/// The command line that runs it as a user that Postgres accepts.
pub(super) fn unprivileged<'a>(program: String, arguments: impl Iterator<Item = &'a str>) -> Vec<String> {
    let prefix: &[&str] =
        if is_root() { &["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] } else { &[] };
    let arguments = arguments.map(str::to_owned);
    prefix.iter().map(|part| (*part).to_owned()).chain([program]).chain(arguments).collect()
}

pub(super) fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}
