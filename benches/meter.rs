//! What metering costs per response and per chunk: `cargo bench --bench meter`.

#![expect(clippy::expect_used, reason = "a bench that cannot set itself up has to stop")]

use bytes::Bytes;
use divan::{Bencher, black_box};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};
use tollgate::domain::{UnixMillis, Usage};
use tollgate::metering::Pricing;
use tollgate::metering::count::Encoding;
use tollgate::providers::openai::OpenAi;
use tollgate::providers::{Call, Ending, Endpoint, Provider, ResponseMeter};
use tollgate::wire::sse::Framer;

const CHAT: &[u8] = include_bytes!("../src/providers/openai/fixtures/chat.json");
const STREAM: &str = include_str!("../src/providers/openai/fixtures/chat.sse");
const REQUEST: &[u8] = br#"{"model":"gpt-4o","stream":true,"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"What is the capital of France?"}],"temperature":0.2}"#;
const NOW: UnixMillis = UnixMillis::from_seconds(1_795_219_200);
/// Chunks of one answer.
const CHUNKS: usize = 200;

fn main() {
    Encoding::O200k.warm();
    divan::main();
}

fn endpoint() -> Endpoint {
    OpenAi.endpoint(&Method::POST, "/v1/chat/completions").expect("chat")
}

/// Makes meters for the same exchange again and again.
fn meters(stream: bool, wants_usage: bool) -> impl Fn() -> Box<dyn ResponseMeter> {
    let call = Call { model: "gpt-4o".into(), stream, choices: 1, wants_usage, ..Call::default() };
    let mut headers = HeaderMap::new();
    let media = if stream { "text/event-stream" } else { "application/json" };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    let (endpoint, request) = (endpoint(), Bytes::from_static(REQUEST));
    move || OpenAi.meter(&endpoint, &call, 200, &headers, &request)
}

/// One text chunk of about 300 bytes, as its own piece.
fn chunk() -> Bytes {
    Bytes::from(STREAM.split_inclusive("\n\n").nth(1).expect("second chunk").to_owned())
}

#[divan::bench]
fn frame_one_chunk(bencher: Bencher<'_, '_>) {
    let chunk = chunk();
    let mut framer = Framer::default();
    bencher.bench_local(|| framer.push(black_box(&chunk), |frame| drop(black_box(frame))));
}

/// Per answer of [`CHUNKS`] chunks; the client asked for the usage itself.
#[divan::bench]
fn stream_unchanged(bencher: Bencher<'_, '_>) {
    stream(bencher, true);
}

/// As above, and every chunk loses its `usage`.
#[divan::bench]
fn stream_with_usage_hidden(bencher: Bencher<'_, '_>) {
    stream(bencher, false);
}

fn stream(bencher: Bencher<'_, '_>, wants_usage: bool) {
    let chunk = chunk();
    let meter = meters(true, wants_usage);
    let mut out = Vec::with_capacity(4);
    bencher.counter(divan::counter::ItemsCount::new(CHUNKS)).bench_local(|| {
        let mut meter = meter();
        for _ in 0..CHUNKS {
            out.clear();
            meter.push(black_box(chunk.clone()), &mut out);
        }
        black_box(&out);
    });
}

#[divan::bench]
fn make_a_meter(bencher: Bencher<'_, '_>) {
    bencher.bench_local(meters(false, false));
}

/// The whole of it for an answer of 730 bytes.
#[divan::bench]
fn unary_answer(bencher: Bencher<'_, '_>) {
    let body = Bytes::from_static(CHAT);
    let meter = meters(false, false);
    let mut out = Vec::with_capacity(1);
    bencher.bench_local(|| {
        out.clear();
        let mut meter = meter();
        meter.push(black_box(body.clone()), &mut out);
        meter.reading(Ending::Complete)
    });
}

#[divan::bench]
fn read_request(bencher: Bencher<'_, '_>) {
    let (endpoint, body, headers) = (endpoint(), Bytes::from_static(REQUEST), HeaderMap::new());
    bencher.bench_local(|| OpenAi.read(&endpoint, &headers, black_box(&body)));
}

#[divan::bench]
fn find_endpoint(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| OpenAi.endpoint(&Method::POST, black_box("/v1/chat/completions")));
}

#[divan::bench]
fn worst_case(bencher: Bencher<'_, '_>) {
    let (endpoint, call) = (endpoint(), Call { choices: 1, ..Call::default() });
    let limits = Pricing::shipped().price("openai", "gpt-4o", NOW, None).expect("priced").limits();
    bencher.bench_local(|| OpenAi.worst_case(&endpoint, &call, black_box(REQUEST), &limits));
}

#[divan::bench]
fn estimate(bencher: Bencher<'_, '_>) {
    let (endpoint, call) = (endpoint(), Call { model: "gpt-4o".into(), choices: 1, ..Call::default() });
    let limits = Pricing::shipped().price("openai", "gpt-4o", NOW, None).expect("priced").limits();
    bencher.bench_local(|| OpenAi.estimate(&endpoint, &call, black_box(REQUEST), &limits));
}

#[divan::bench(args = ["gpt-4o", "gpt-4o-2031-01-01", "ft:gpt-4o-mini-2024-07-18:a:b:c", "unknown"])]
fn find_price(bencher: Bencher<'_, '_>, model: &str) {
    let table = Pricing::shipped();
    bencher.bench_local(|| table.price("openai", black_box(model), NOW, None));
}

#[divan::bench]
fn cost(bencher: Bencher<'_, '_>) {
    let price = Pricing::shipped().price("openai", "gpt-5.4", NOW, None).expect("priced");
    let usage = Usage { in_text: 1000, cache_read_text: 5000, out_text: 700, ..Usage::default() };
    bencher.bench_local(|| price.cost(black_box(&usage)));
}
