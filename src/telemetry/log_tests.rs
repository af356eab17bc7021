use super::*;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::time::{Duration, Instant};

const SETTINGS: LogSettings = LogSettings { level: LogLevel::Info, format: LogFormat::Text };

/// An output that can be read back.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn written(settings: LogSettings, act: impl FnOnce()) -> String {
    let paper = Paper::default();
    let writer = paper.clone();
    tracing::subscriber::with_default(subscriber(settings, move || writer.clone(), false), act);
    let bytes = paper.0.lock().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn other_crates_are_heard_from_warn_up_only() {
    let text = written(LogSettings { level: LogLevel::Trace, ..SETTINGS }, || {
        tracing::info!(target: "pingora_core::server", "chatter");
        tracing::warn!(target: "pingora_core::server", "trouble");
        tracing::trace!("ours in detail");
    });
    assert!(text.contains("trouble") && text.contains("ours in detail") && !text.contains("chatter"), "{text}");
}

/// An output that takes nothing until it is opened.
#[derive(Clone, Default)]
struct Blocked(Arc<(Mutex<bool>, Condvar)>);

impl Write for Blocked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut open = self.0.0.lock();
        while !*open {
            self.0.1.wait(&mut open);
        }
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_blocked_output_drops_lines_and_stalls_nobody() {
    let output = Blocked::default();
    let (writer, guard) = queue(output.clone());
    let dropped = guard.dropped_lines();
    let began = Instant::now();
    tracing::subscriber::with_default(subscriber(SETTINGS, writer, false), || {
        for _ in 0..MAX_WAITING_LINES + 500 {
            tracing::info!("a line");
        }
    });
    // The writer thread may hold one line besides those in the queue.
    assert!((499..=500).contains(&dropped()), "{} dropped", dropped());
    assert!(began.elapsed() < Duration::from_secs(20), "the caller was stalled");
    *output.0.0.lock() = true;
    output.0.1.notify_all();
    drop(guard);
}

#[test]
fn warnings_of_pingora_reach_the_log_and_its_chatter_does_not() {
    use pingora_core::server::Server;
    use pingora_core::server::configuration::{Opt, ServerConf};
    let paper = Paper::default();
    let writer = paper.clone();
    let current = subscriber(SETTINGS, move || writer.clone(), false).set_default();
    // Warns that the file is ignored.
    let options = Opt { conf: Some("ignored.yaml".to_owned()), ..Opt::default() };
    let _server = Server::new_with_opt_and_conf(Some(options), ServerConf::default());
    drop(current);
    let text = String::from_utf8(paper.0.lock().clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains("WARN pingora_core::server: ") && text.contains("ignored.yaml"), "{text}");
}
