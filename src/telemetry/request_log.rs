//! Where request lines wait for the output: one buffer that a thread empties many times a second, in one write.
//! A request appends and goes on: it wakes nobody, and what does not fit is dropped and counted.

use super::log::LogFormat;
use super::request_line::{self, RequestLine};
use crate::domain::UnixMillis;
use parking_lot::{Condvar, Mutex};
use std::fmt;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Bytes that may wait: some ten thousand lines.
const MOST_WAITING: usize = 4 << 20;
/// How long a line waits for others.
const GATHER: Duration = Duration::from_millis(20);

/// The log of requests. Cheap to share; dropping the last handle writes what waits.
pub struct RequestLog {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

struct Shared {
    format: LogFormat,
    waiting: Mutex<Waiting>,
    ended: Condvar,
    rounds: Condvar,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    lines: String,
    over: bool,
    /// Rounds of the writer that are done.
    written: u64,
}

impl fmt::Debug for RequestLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestLog").field("dropped", &self.dropped_lines()).finish_non_exhaustive()
    }
}

impl RequestLog {
    /// # Errors
    /// No thread could be started.
    pub fn new(format: LogFormat, output: impl Write + Send + 'static) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            format,
            waiting: Mutex::default(),
            ended: Condvar::new(),
            rounds: Condvar::new(),
            dropped: AtomicU64::new(0),
        });
        let theirs = shared.clone();
        let writer =
            std::thread::Builder::new().name("request-log".into()).spawn(move || write_out(&theirs, output))?;
        Ok(Self { shared, writer: Some(writer) })
    }

    /// Appends one line; about a microsecond.
    pub fn write(&self, line: &RequestLine<'_>, at: UnixMillis) {
        // Formatted outside of the lock, so that requests do not wait for each other's formatting.
        let mut text = String::with_capacity(512);
        request_line::append(line, at, self.shared.format, &mut text);
        let mut waiting = self.shared.waiting.lock();
        if waiting.lines.len() + text.len() > MOST_WAITING {
            drop(waiting);
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.lines.push_str(&text);
    }

    /// Waits (for a second at most) until what was appended before is written.
    pub fn flush(&self) {
        let deadline = Instant::now() + Duration::from_secs(1);
        let mut waiting = self.shared.waiting.lock();
        let goal = waiting.written + 2;
        while waiting.written < goal && !self.shared.rounds.wait_until(&mut waiting, deadline).timed_out() {}
    }

    pub fn dropped_lines(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for RequestLog {
    fn drop(&mut self) {
        self.shared.waiting.lock().over = true;
        self.shared.ended.notify_all();
        if let Some(writer) = self.writer.take() {
            // It ends by itself; a panic in it has nothing left to tell.
            let _ = writer.join().is_ok();
        }
    }
}

fn write_out(shared: &Shared, mut output: impl Write) {
    let mut lines = String::new();
    loop {
        let over = {
            let mut waiting = shared.waiting.lock();
            if !waiting.over {
                shared.ended.wait_for(&mut waiting, GATHER);
            }
            std::mem::swap(&mut waiting.lines, &mut lines);
            waiting.over
        };
        // An output that is gone takes its lines with it; serving goes on.
        let _ = output.write_all(lines.as_bytes()).and_then(|()| output.flush()).is_ok();
        lines.clear();
        shared.waiting.lock().written += 1;
        shared.rounds.notify_all();
        if over {
            return;
        }
    }
}

#[cfg(test)]
#[path = "request_log_tests.rs"]
mod tests;
