//! The local upstream as a program:
//! `upstream [--listen ADDR] [--api API] [--key KEY]... [--record N] [--threads N] [--strict]`.
//! Prints one line of JSON with its address once it listens, then serves until it is killed.

#[path = "mod.rs"]
mod upstream;

use anyhow::Context as _;
use clap::Parser;
use upstream::{Api, Options, Upstream};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
struct Args {
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: String,
    #[arg(long, value_enum, default_value_t)]
    api: Api,
    /// Accepted credential; may be repeated. None = any.
    #[arg(long = "key")]
    keys: Vec<String>,
    /// Text that no request may contain; may be repeated.
    #[arg(long = "forbid")]
    forbidden: Vec<String>,
    /// How many requests to remember for `GET /_seen`.
    #[arg(long, default_value_t = 1_000)]
    record: usize,
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Refuse what a gateway should have removed.
    #[arg(long)]
    strict: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let options = Options {
        api: args.api,
        keys: args.keys,
        forbidden: args.forbidden,
        strict: args.strict,
        record: args.record,
        ..Options::default()
    };
    let runtime = match args.threads {
        1 => tokio::runtime::Builder::new_current_thread().enable_all().build(),
        threads => tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build(),
    }?;
    runtime.block_on(async {
        let upstream = Upstream::listen(&args.listen, options)
            .await
            .with_context(|| format!("cannot listen on {}", args.listen))?;
        announce(&upstream.url());
        upstream.join().await;
        Ok(())
    })
}

#[expect(clippy::print_stdout, reason = "whoever started the program reads its address here")]
fn announce(url: &str) {
    println!("{{\"url\":\"{url}\"}}");
}
