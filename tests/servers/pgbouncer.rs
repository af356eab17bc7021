//! PgBouncer: a pooler before a Postgres.

use super::directory::Directory;
use super::postgres::{PASSWORD, Postgres, text, unprivileged};
use super::process::{Process, free_port, program};

/// Running until it is dropped.
pub struct PgBouncer {
    pub port: u16,
    // Before the directory: what it writes goes after it.
    _process: Process,
    _directory: Directory,
}

impl PgBouncer {
    /// `mode`: for how long a client keeps a session of the server, as `pool_mode` says it.
    pub fn start(server: &Postgres, mode: &str) -> Self {
        let (directory, port) = (Directory::new(), free_port());
        let users = directory.path().join("users");
        std::fs::write(&users, format!("\"postgres\" \"{PASSWORD}\"\n")).expect("a file");
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\npool_mode = {mode}\n",
            server.port,
            text(&users),
        );
        let file = directory.path().join("settings");
        std::fs::write(&file, settings).expect("a file");
        directory.give_to_server();
        let command = unprivileged(program("pgbouncer", "/usr/sbin/pgbouncer"), [text(&file)].into_iter());
        let log = directory.path().join("log");
        let process = Process::start(&command, directory.path(), &log);
        process.await_answer("PgBouncer", &log, || server.answers_at(port));
        Self { port, _process: process, _directory: directory }
    }
}
