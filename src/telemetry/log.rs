//! Where log lines go: a bounded queue and one writer thread, so that a slow or blocked output never stalls a request.
//! Lines that do not fit are dropped and counted. Lines of other crates appear from `warn` up.

use std::io::{self, IsTerminal, Write};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, Registry, fmt};

/// Lines waiting for the output; one is about half a kilobyte.
const MAX_WAITING_LINES: usize = 16_384;

/// The least severe lines that are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogLevel {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object per line.
    Json,
}

#[derive(Clone, Copy, Debug)]
pub struct LogSettings {
    pub level: LogLevel,
    pub format: LogFormat,
}

/// Something else in this process writes the log already.
#[derive(Debug, thiserror::Error)]
#[error("the log cannot be opened: {0}")]
pub struct LogError(#[from] TryInitError);

/// Keeps the log open; waiting lines are written when it is dropped (for at most about a second).
#[must_use = "the log closes when this is dropped"]
#[derive(Debug)]
pub struct LogGuard {
    dropped: ErrorCounter,
    _worker: WorkerGuard,
}

impl LogGuard {
    /// A counter that outlives moves of the guard: lines dropped since the log was opened.
    pub fn dropped_lines(&self) -> impl Fn() -> u64 + Send + Sync + 'static {
        let dropped = self.dropped.clone();
        move || u64::try_from(dropped.dropped_lines()).unwrap_or(u64::MAX)
    }
}

/// Opens the log of this process on standard output, for `tracing` and for crates that use `log`. Once per process.
pub fn init(settings: LogSettings) -> Result<LogGuard, LogError> {
    let colored = io::stdout().is_terminal();
    let (writer, guard) = queue(io::stdout());
    subscriber(settings, writer, colored).try_init()?;
    Ok(guard)
}

fn queue(output: impl Write + Send + 'static) -> (tracing_appender::non_blocking::NonBlocking, LogGuard) {
    let (writer, worker) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(MAX_WAITING_LINES)
        .thread_name("log")
        .finish(output);
    let dropped = writer.error_counter();
    (writer, LogGuard { dropped, _worker: worker })
}

pub(super) fn subscriber<W>(
    settings: LogSettings,
    writer: W,
    colored: bool,
) -> impl tracing::Subscriber + Send + Sync + 'static
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    Registry::default().with(lines(settings.format, writer, colored)).with(filter(settings))
}

fn lines<W>(format: LogFormat, writer: W, colored: bool) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = fmt::layer().with_writer(writer).with_ansi(colored);
    match format {
        LogFormat::Text => layer.boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
    }
}

fn filter(settings: LogSettings) -> Targets {
    let ours = match settings.level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    Targets::new()
        // Pingora tells of every broken connection at `info` and prints whole requests at `debug`.
        .with_default(ours.min(LevelFilter::WARN))
        // Each wait for the other process of an upgrade is an error to it; what comes of them is told elsewhere.
        .with_target("pingora_core::server::transfer_fd", LevelFilter::OFF)
        .with_target("tollgate", ours)
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
