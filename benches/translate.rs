//! What a translation costs per request and per piece of a stream: `cargo bench --bench translate`.

#![expect(clippy::expect_used, reason = "a bench that cannot set itself up has to stop")]

use bytes::Bytes;
use divan::{Bencher, black_box};
use tollgate::wire::chat::{
    Asked, Event, Format, Target, read_answer, read_request, stream_reader, stream_writer, write_answer, write_request,
};

const PIECE: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\
    \"delta\":{\"type\":\"text_delta\",\"text\":\" a few words\"}}\n\n";
const START: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\
    \"model\":\"claude\",\"usage\":{\"input_tokens\":20,\"output_tokens\":1}}}\n\n";
const ANSWER: &str = "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude\",\
    \"content\":[{\"type\":\"text\",\"text\":\"Paris is the capital of France.\"}],\"stop_reason\":\"end_turn\",\
    \"usage\":{\"input_tokens\":20,\"output_tokens\":9}}";
/// Pieces of one answer.
const PIECES: usize = 200;

fn main() {
    divan::main();
}

fn request(bytes: usize) -> Vec<u8> {
    let text = "word ".repeat(bytes / 5);
    serde_json::json!({
        "model": "m", "stream": true, "max_tokens": 100,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}],
    })
    .to_string()
    .into_bytes()
}

#[divan::bench(args = [1_000, 100_000])]
fn request_to_anthropic(bencher: Bencher<'_, '_>, bytes: usize) {
    written(bencher, Format::Anthropic, bytes);
}

#[divan::bench(args = [1_000, 100_000])]
fn request_to_converse(bencher: Bencher<'_, '_>, bytes: usize) {
    written(bencher, Format::Converse, bytes);
}

fn written(bencher: Bencher<'_, '_>, format: Format, bytes: usize) {
    let body = request(bytes);
    let target = Target { model: "m".into(), ..Target::default() };
    bencher.bench_local(|| {
        let request = read_request(Format::OpenAiChat, black_box(&body)).expect("readable");
        write_request(format, &request, &target).expect("writable")
    });
}

/// From an upstream of one form to a client of another, piece by piece.
#[divan::bench(args = ["chat", "responses"])]
fn stream_of_pieces(bencher: Bencher<'_, '_>, client: &str) {
    let client = if client == "chat" { Format::OpenAiChat } else { Format::OpenAiResponses };
    let (start, piece) = (Bytes::from_static(START.as_bytes()), Bytes::from_static(PIECE.as_bytes()));
    let (mut events, mut out): (Vec<Event>, Vec<u8>) = (Vec::new(), Vec::new());
    bencher.counter(divan::counter::ItemsCount::new(PIECES)).bench_local(|| {
        let (mut reader, mut writer) = (stream_reader(Format::Anthropic), stream_writer(client, Asked::default()));
        reader.push(&start, &mut events);
        for _ in 0..PIECES {
            out.clear();
            reader.push(black_box(&piece), &mut events);
            events.drain(..).for_each(|event| writer.write(event, &mut out));
        }
        black_box(&out);
    });
}

#[divan::bench]
fn whole_answer(bencher: Bencher<'_, '_>) {
    let asked = Asked::default();
    bencher.bench_local(|| {
        let answer = read_answer(Format::Anthropic, black_box(ANSWER.as_bytes())).expect("readable");
        write_answer(Format::OpenAiChat, &answer, &asked)
    });
}
