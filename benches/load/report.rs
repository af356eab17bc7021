//! The numbers of one run as JSON, times in microseconds.

use serde_json::json;

use super::client::Tally;

#[expect(clippy::print_stdout, reason = "the result of the program")]
pub(crate) fn print(mut tally: Tally, seconds: f64) {
    tally.latencies.sort_unstable();
    tally.first_bytes.sort_unstable();
    let requests = tally.latencies.len();
    let errors: u64 = tally.errors.values().sum();
    #[expect(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "a rate for people to read")]
    let per_second = requests as f64 / seconds;
    let report = json!({
        "requests": requests, "complete": tally.complete, "seconds": seconds, "per_second": per_second,
        "latency_us": percentiles(&tally.latencies), "first_byte_us": percentiles(&tally.first_bytes),
        "errors": errors, "errors_by_kind": tally.errors, "body_bytes": tally.bytes, "chunks": tally.chunks,
    });
    println!("{report}");
}

fn percentiles(sorted: &[u64]) -> serde_json::Value {
    let at = |percent: usize| {
        let index = sorted.len().saturating_mul(percent).div_ceil(100).saturating_sub(1);
        #[expect(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "microseconds for people to read")]
        let micros = sorted.get(index).copied().unwrap_or_default() as f64 / 1_000.0;
        micros
    };
    json!({"p50": at(50), "p90": at(90), "p99": at(99), "max": at(100)})
}
