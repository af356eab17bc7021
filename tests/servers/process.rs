//! A server as a child that cannot outlive its test.

pub use super::port::free_port;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to answer, or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tells the server's process id, and ends the server when its own standard input ends, which it does when the test's
/// process is gone. A server that was frozen is thawed, so that it can clean up (shared memory outlives a kill -9), and
/// killed with all that it has started when it does not end.
const LEASH: &str = r#"log=$1 end=$2; shift 2
"$@" </dev/null >>"$log" 2>&1 & child=$!
echo $child
read -r _
family="$child $(cat /proc/$child/task/$child/children)"
kill -CONT $family
kill -$end $child
for _ in {1..100}; do kill -0 $child || break; sleep 0.05; done
kill -KILL $family
wait $child"#;

pub struct Process {
    shell: Child,
    leash: Option<ChildStdin>,
    /// Of the server itself.
    pid: u32,
}

impl Process {
    /// Starts `command` (program, then arguments) in `directory`, its output in `log`. Its end is a kill -9.
    pub fn start(command: &[String], directory: &Path, log: &Path) -> Self {
        Self::start_ending("KILL", command, directory, log)
    }

    /// As [`Self::start`], for a server whose end is another signal.
    pub fn start_ending(end: &str, command: &[String], directory: &Path, log: &Path) -> Self {
        let mut shell = apart("bash")
            .args(["-c", LEASH, "leash"])
            .args([log.as_os_str(), end.as_ref()])
            .args(command)
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("bash starts");
        let mut pid = String::new();
        BufReader::new(shell.stdout.take().expect("piped")).read_line(&mut pid).expect("its process id");
        let pid = pid.trim().parse().unwrap_or_else(|_| panic!("{command:?} does not start"));
        let leash = shell.stdin.take();
        Self { shell, leash, pid }
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    pub fn runs(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
    }

    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.pid.to_string()]).status().expect("kill");
        assert!(status.success(), "kill {signal} {}", self.pid);
    }

    /// To it and all that it has started.
    pub fn signal_family(&self, signal: &str) {
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.pid)).unwrap_or_default();
        let mut kill = Command::new("kill");
        kill.arg(signal).arg(self.pid.to_string()).args(children.split_whitespace()).stderr(Stdio::null());
        // One of them may have ended by itself meanwhile.
        let _ = kill.status().expect("kill");
    }

    /// By the signal that it was started with; returns when it is gone.
    pub fn kill(&mut self) {
        if let Some(mut leash) = self.leash.take() {
            let _ = leash.write_all(b"\n");
        }
        let _ = self.shell.wait();
    }

    /// As a service manager stops it; returns when it is gone.
    pub fn stop(&mut self, signal: &str) {
        self.signal(signal);
        let deadline = Instant::now() + PATIENCE;
        while self.runs() {
            assert!(Instant::now() < deadline, "the server does not stop");
            std::thread::sleep(Duration::from_millis(10));
        }
        self.kill();
    }

    /// Waits until `answers` is true; panics with the log when the server ends instead, or takes too long.
    pub fn await_answer(&self, name: &str, log: &Path, answers: impl Fn() -> bool) {
        if let Err(why) = self.answer(log, answers) {
            panic!("{name} does not start: {why}");
        }
    }

    /// As [`Self::await_answer`], for who has a second try.
    pub fn answer(&self, log: &Path, answers: impl Fn() -> bool) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        let told = || std::fs::read_to_string(log).unwrap_or_default();
        loop {
            // In this order: whoever answers while it has ended is somebody else.
            let answered = answers();
            if !self.runs() {
                return Err(format!("it ended and says:\n{}", told()));
            }
            if answered {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("it does not answer within {PATIENCE:?} and says:\n{}", told()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[cfg(test)]
impl Process {
    /// As if the test's process had ended: nothing is waited for.
    pub fn let_go(mut self) {
        self.leash = None;
        // Reaped by nobody else while this process lives.
        let mut shell = std::mem::replace(&mut self.shell, apart("true").spawn().expect("true starts"));
        std::thread::spawn(move || shell.wait());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A command that no signal to the test's group reaches: who cleans up must survive a ctrl-C.
pub fn apart(program: &str) -> Command {
    let mut command = Command::new(program);
    command.process_group(0);
    command
}

/// Where other versions of the servers are, to be tried in place of the installed ones: one directory of programs.
const OTHERS: &str = "TEST_SERVERS";

/// The first of these programs that is there.
pub fn program(name: &str, elsewhere: &str) -> String {
    let other = std::env::var_os(OTHERS).map(|directory| Path::new(&directory).join(name));
    if let Some(other) = other.filter(|other| other.is_file()) {
        return other.to_str().expect("a path in UTF-8").to_owned();
    }
    // The wrappers that Debian puts into the path take longer than the programs.
    let script = format!("ls {elsewhere} | sort -V | tail -1 | grep . || command -v {name}");
    let found = Command::new("bash").args(["-c", &script]).stderr(Stdio::null()).output();
    let path = String::from_utf8(found.expect("bash").stdout).expect("a path").trim().to_owned();
    assert!(!path.is_empty(), "{name} is not installed: run tests/tools.sh servers");
    path
}
