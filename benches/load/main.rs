//! A closed-loop load generator: so many connections, each sends its next request when the last answer is complete.
//! One thread, so that on a small machine it leaves the cores to what is measured. Prints one JSON object.

mod client;
mod report;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser;

use client::{Plan, Tally};

#[derive(Parser)]
struct Args {
    #[arg(long)]
    addr: SocketAddr,
    #[arg(long, default_value = "/v1/chat/completions")]
    path: String,
    #[arg(long)]
    key: String,
    /// The request body; without it a short chat request.
    #[arg(long)]
    body_file: Option<PathBuf>,
    #[arg(long)]
    body: Option<String>,
    /// The answer must be an event stream that ends with `[DONE]`.
    #[arg(long)]
    stream: bool,
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Length of the measurement; running requests are completed but not counted.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Before the measurement, not counted.
    #[arg(long, default_value_t = 1.0)]
    warmup: f64,
    /// Stop after this many counted requests.
    #[arg(long)]
    requests: Option<u64>,
}

/// Fails when no request was completed.
fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let body = match (&args.body_file, &args.body) {
        (Some(file), _) => std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?,
        (None, Some(body)) => body.clone().into_bytes(),
        (None, None) => br#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hello"}]}"#.to_vec(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (tally, seconds) = runtime.block_on(measure(&args, &body))?;
    let served = tally.complete > 0;
    report::print(tally, seconds);
    Ok(if served { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn measure(args: &Args, body: &[u8]) -> anyhow::Result<(Tally, f64)> {
    let start = Instant::now() + Duration::from_secs_f64(args.warmup);
    let plan = Arc::new(Plan {
        addr: args.addr,
        request: client::request(args.addr, &args.path, &args.key, body),
        stream: args.stream,
        start,
        end: start + Duration::from_secs_f64(args.seconds),
        limit: args.requests.map(|requests| requests.div_ceil(args.connections.max(1) as u64)),
    });
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..args.connections {
        running.spawn(client::run(Arc::clone(&plan)));
    }
    let mut total = Tally::default();
    while let Some(tally) = running.join_next().await {
        total.add(tally?);
    }
    let seconds = match args.requests {
        Some(_) => start.elapsed().as_secs_f64(),
        None => args.seconds,
    };
    Ok((total, seconds))
}
