//! Answers of pictures, sound and runs: every byte passes at once, and the bill is the same however they are cut.

use super::super::{OpenAi, endpoints};
use super::*;
use crate::domain::{Usage, UsageSource};
use crate::providers::{Ending, Media, Progress, Provider, Reading};
use http::{HeaderValue, Method};
use proptest::prelude::*;

const IMAGES: &str = "/v1/images/generations";
const SPEECH: &str = "/v1/audio/speech";
const HEARING: &str = "/v1/audio/transcriptions";
const RUNS: &str = "/v1/threads/thread_1/runs";

const IMAGE: &str = include_str!("../fixtures/image.json");
const IMAGE_STREAM: &str = include_str!("../fixtures/image.sse");
const SPEECH_STREAM: &str = include_str!("../fixtures/speech.sse");
const TRANSCRIPT: &str = include_str!("../fixtures/transcript.json");
const TRANSCRIPT_STREAM: &str = include_str!("../fixtures/transcript.sse");
const RUN: &str = include_str!("../fixtures/run.sse");

const EVENTS: &str = "text/event-stream; charset=utf-8";
const JSON: &str = "application/json";

const ALL: [(&str, &str, &str); 6] = [
    (IMAGES, JSON, IMAGE),
    (IMAGES, EVENTS, IMAGE_STREAM),
    (SPEECH, EVENTS, SPEECH_STREAM),
    (HEARING, JSON, TRANSCRIPT),
    (HEARING, EVENTS, TRANSCRIPT_STREAM),
    (RUNS, EVENTS, RUN),
];

struct Outcome {
    put_out: Vec<u8>,
    completed_at: Option<usize>,
    reading: Reading,
    also: Vec<(Box<str>, Usage)>,
    tail: Option<Bytes>,
}

fn call(path: &str, model: &str) -> Call {
    let media = Media {
        audio_millis: 75_400,
        characters: 30,
        prompt_bytes: 40,
        size: "1024x1024".into(),
        quality: "high".into(),
        ..Media::default()
    };
    let media = (path != RUNS).then(|| Box::new(media));
    Call { model: model.into(), choices: 1, media, ..Call::default() }
}

fn run(path: &str, media_type: &str, call: &Call, pieces: &[&[u8]], ending: Ending) -> Outcome {
    let endpoint = endpoints::find(&Method::POST, path).expect(path);
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_str(media_type) {
        headers.insert(CONTENT_TYPE, value);
    }
    let sent = Bytes::from_static(br#"{"input":"Hello, world!","assistant_id":"asst_1"}"#);
    let mut meter = OpenAi.meter(&endpoint, call, 200, &headers, &sent);
    let (mut out, mut completed_at) = (Vec::new(), None);
    for piece in pieces {
        let before: usize = out.iter().map(Bytes::len).sum();
        let progress = meter.push(Bytes::copy_from_slice(piece), &mut out);
        let after: usize = out.iter().map(Bytes::len).sum();
        assert_eq!(after - before, piece.len(), "nothing is held back");
        if progress == Progress::Complete {
            assert!(completed_at.replace(after).is_none(), "complete only once");
        }
    }
    if ending == Ending::Complete {
        meter.end(&mut out);
    }
    let reading = meter.reading(ending);
    Outcome { put_out: out.concat(), completed_at, reading, also: meter.also(), tail: meter.broken_tail("lost") }
}

fn whole(path: &str, media_type: &str, model: &str, body: &[u8]) -> Outcome {
    run(path, media_type, &call(path, model), &[body], Ending::Complete)
}

#[test]
fn pictures_report_tokens_and_their_drawings_beside_them() {
    let outcome = whole(IMAGES, JSON, "gpt-image-1", IMAGE.as_bytes());
    let usage = outcome.reading.usage;
    assert_eq!((usage.in_text, usage.in_image, usage.out_image, usage.images), (50, 323, 4160, 0));
    assert_eq!((usage.source, outcome.reading.truncated), (UsageSource::Upstream, false));
    let (model, svg) = &outcome.also[0];
    assert_eq!((&**model, svg.in_text, svg.out_text), ("gpt-5", 100, 50));
    let streamed = whole(IMAGES, EVENTS, "gpt-image-1", IMAGE_STREAM.as_bytes());
    assert_eq!((streamed.reading.usage.in_text, streamed.reading.usage.out_image), (50, 4260));
    assert_eq!((streamed.completed_at, streamed.tail), (Some(IMAGE_STREAM.len()), None));
}

#[test]
fn pictures_of_megabytes_are_read_to_their_end() {
    let picture = "iVBOR".repeat(1 << 20);
    for (media_type, body) in [(JSON, IMAGE), (EVENTS, IMAGE_STREAM)] {
        let body = body.replace("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ", &picture);
        let pieces: Vec<&[u8]> = body.as_bytes().chunks(65_536).collect();
        let outcome = run(IMAGES, media_type, &call(IMAGES, "gpt-image-1"), &pieces, Ending::Complete);
        assert!(outcome.put_out == body.as_bytes());
        assert_eq!(outcome.reading.usage.source, UsageSource::Upstream, "{media_type}");
        assert!(outcome.reading.usage.out_image >= 4160);
    }
}

#[test]
fn pictures_without_usage_are_counted() {
    let body = br#"{"created":1,"data":[{"url":"https://a/1.png"},{"url":"https://a/2.png"}]}"#;
    let mut asked = call(IMAGES, "dall-e-3");
    asked.media = Some(Box::new(Media { size: "1024x1792".into(), quality: "hd".into(), ..Media::default() }));
    let usage = run(IMAGES, JSON, &asked, &[body], Ending::Complete).reading.usage;
    assert_eq!(
        (usage.images, usage.image_size.as_deref(), usage.image_quality.as_deref()),
        (2, Some("1024x1792"), Some("hd"))
    );
    assert_eq!(usage.source, UsageSource::Upstream);
    asked.media = Some(Box::default());
    let usage = run(IMAGES, JSON, &asked, &[body], Ending::Complete).reading.usage;
    assert_eq!((usage.image_size.as_deref(), usage.image_quality.as_deref()), (Some("1024x1024"), Some("standard")));
    // Made in another size than asked for, by a model that counts tokens.
    let made = br#"{"data":[{}],"size":"1536x1024","quality":"low"}"#;
    let usage = whole(IMAGES, JSON, "gpt-image-1", made).reading.usage;
    assert_eq!((usage.in_text, usage.out_image, usage.source), (10, 408, UsageSource::Estimated));
    for nothing in ["{}", r#"{"error":{"message":"no"}}"#] {
        assert_eq!(whole(IMAGES, JSON, "gpt-image-1", nothing.as_bytes()).reading, Reading::default());
    }
}

#[test]
fn several_pictures_in_one_stream_are_added_up() {
    let mut two = call(IMAGES, "gpt-image-1");
    two.choices = 2;
    let body = IMAGE_STREAM.repeat(2);
    let outcome = run(IMAGES, EVENTS, &two, &[body.as_bytes()], Ending::Complete);
    assert_eq!((outcome.reading.usage.in_text, outcome.reading.usage.out_image), (100, 8520));
    assert_eq!(outcome.completed_at, Some(body.len()));
}

#[test]
fn speech_is_tokens_where_they_are_reported_and_characters_elsewhere() {
    let reported = whole(SPEECH, EVENTS, "gpt-4o-mini-tts", SPEECH_STREAM.as_bytes()).reading.usage;
    assert_eq!((reported.in_text, reported.out_audio, reported.characters), (14, 101, 0));
    assert_eq!(reported.source, UsageSource::Upstream);
    let spoken = whole(SPEECH, "audio/mpeg", "tts-1", &[0xff; 5000]).reading.usage;
    assert_eq!(spoken, Usage { characters: 30, source: UsageSource::Estimated, ..Usage::default() });
    let mut frame = vec![0; 417];
    frame[..4].copy_from_slice(b"\xff\xfb\x90\x00");
    // 383 frames of 26.1 ms.
    let guess = whole(SPEECH, "audio/mpeg", "gpt-4o-mini-tts", &frame.repeat(383)).reading.usage;
    assert_eq!((guess.in_text, guess.out_audio), (4, 209));
    let mut pcm = call(SPEECH, "gpt-4o-mini-tts");
    pcm.media.as_mut().expect("media").format = "pcm".into();
    let guess = run(SPEECH, "audio/pcm", &pcm, &[&[0; 480_000]], Ending::Complete).reading.usage;
    assert_eq!(guess.out_audio, 208);
    let unknown = whole(SPEECH, "audio/mpeg", "gpt-4o-mini-tts", b"noise").reading.usage;
    assert_eq!(unknown.out_audio, 42, "two seconds by its characters");
}

#[test]
fn a_transcript_is_tokens_or_seconds_or_the_file_that_was_sent() {
    for (media_type, body) in [(JSON, TRANSCRIPT), (EVENTS, TRANSCRIPT_STREAM)] {
        let usage = whole(HEARING, media_type, "gpt-4o-transcribe", body.as_bytes()).reading.usage;
        assert_eq!((usage.in_text, usage.in_audio, usage.out_text, usage.audio_millis), (20, 100, 40, 0));
        assert_eq!(usage.source, UsageSource::Upstream);
    }
    for (media_type, body, millis, source) in [
        (
            JSON,
            r#"{"text":"a","usage":{"type":"duration","seconds":9.5},"duration":8.47}"#,
            9500,
            UsageSource::Upstream,
        ),
        (JSON, r#"{"task":"transcribe","duration":8.47,"text":"a"}"#, 8470, UsageSource::Upstream),
        (JSON, r#"{"duration":"8.470000267028809","text":"a"}"#, 8470, UsageSource::Upstream),
        (JSON, r#"{"text":"a"}"#, 75_400, UsageSource::Estimated),
        (JSON, r#"{"text":"a","usage":{"seconds":null}}"#, 75_400, UsageSource::Estimated),
        ("text/plain; charset=utf-8", "a\n", 75_400, UsageSource::Estimated),
        ("text/vtt", "WEBVTT\n{\"usage\":{\"seconds\":0}}", 75_400, UsageSource::Estimated),
        ("", "", 75_400, UsageSource::Estimated),
        (JSON, r#"{"error":{"message":"no"}}"#, 0, UsageSource::None),
    ] {
        let usage = whole(HEARING, media_type, "whisper-1", body.as_bytes()).reading.usage;
        assert_eq!((usage.audio_millis, usage.source), (millis, source), "{body}");
    }
}

#[test]
fn a_run_reports_when_it_is_over() {
    let outcome = whole(RUNS, EVENTS, "", RUN.as_bytes());
    assert_eq!(outcome.reading.usage, Usage::default(), "a run is charged by its id, whoever tells it first");
    let usage = &outcome.reading.charges[0].usage;
    assert_eq!((usage.in_text, usage.out_text, usage.file_search, usage.code_sessions), (1000, 50, 1, 1));
    assert_eq!((outcome.reading.model.as_deref(), outcome.reading.truncated), (Some("gpt-4o"), false));
    let waiting = "event: thread.run.created\ndata: {\"model\":\"gpt-4o\",\"usage\":null}\n\n\
        event: thread.run.requires_action\ndata: {\"model\":\"gpt-4o\",\"usage\":null}\n\nevent: done\ndata: [DONE]\n\n";
    let usage = whole(RUNS, EVENTS, "", waiting.as_bytes()).reading.usage;
    assert_eq!(usage, Usage::default(), "it is billed when its tools have answered");
    let cut = RUN.find("event: thread.run.step.completed\ndata: {\"id\":\"step_1").expect("cut");
    let broken = run(RUNS, EVENTS, &call(RUNS, ""), &[&RUN.as_bytes()[..cut]], Ending::Aborted);
    let seen = &broken.reading.charges[0].usage;
    assert_eq!((seen.out_text, seen.source), (4, UsageSource::Estimated));
    assert!(broken.reading.truncated && broken.tail.is_some());
}

#[test]
fn what_breaks_off_is_billed_for_what_it_took() {
    let half = |body: &'static str, mark: &str| &body.as_bytes()[..body.find(mark).expect("mark")];
    let aborted = |path, media_type, model, body: &[u8]| {
        run(path, media_type, &call(path, model), &[body], Ending::Aborted).reading
    };
    let picture = aborted(IMAGES, EVENTS, "gpt-image-1", half(IMAGE_STREAM, "event: image_generation.completed"));
    assert_eq!((picture.usage.in_text, picture.usage.out_image, picture.truncated), (10, 4160, true));
    let unseen = aborted(IMAGES, JSON, "gpt-image-1", b"");
    assert_eq!((unseen.usage.in_text, unseen.usage.out_image, unseen.usage.source), (10, 0, UsageSource::Estimated));
    let speech = aborted(SPEECH, "audio/mpeg", "tts-1", b"ID3");
    assert_eq!((speech.usage.characters, speech.truncated), (30, true));
    let transcript = aborted(
        HEARING,
        EVENTS,
        "gpt-4o-transcribe",
        half(TRANSCRIPT_STREAM, "data: {\"type\":\"transcript.text.done"),
    );
    assert_eq!((transcript.usage.in_audio, transcript.usage.out_text), (754, 4));
    let listened = aborted(HEARING, "", "whisper-1", b"");
    assert_eq!((listened.usage.audio_millis, listened.usage.source), (75_400, UsageSource::Estimated));
}

#[test]
fn failures_cost_nothing() {
    let endpoint = endpoints::find(&Method::POST, HEARING).expect("path");
    for status in [400, 404, 429, 500] {
        let mut meter = OpenAi.meter(&endpoint, &call(HEARING, "whisper-1"), status, &HeaderMap::new(), &Bytes::new());
        meter.push(Bytes::from_static(TRANSCRIPT.as_bytes()), &mut Vec::new());
        assert_eq!(meter.reading(Ending::Complete), Reading::default(), "{status}");
    }
    let error = "event: error\ndata: {\"type\":\"error\",\"error\":{\"message\":\"no\"}}\n\n";
    assert_eq!(whole(IMAGES, EVENTS, "gpt-image-1", error.as_bytes()).reading.usage, Usage::default());
}

proptest! {
    #[test]
    fn any_chunking_passes_the_same_bytes_and_bill(which in 0..ALL.len(), pieces in 1..900usize) {
        let (path, media_type, body) = ALL[which];
        let pieces: Vec<&[u8]> = body.as_bytes().chunks(pieces).collect();
        let outcome = run(path, media_type, &call(path, "gpt-image-1"), &pieces, Ending::Complete);
        let once = whole(path, media_type, "gpt-image-1", body.as_bytes());
        prop_assert_eq!(outcome.put_out, body.as_bytes());
        prop_assert_eq!((outcome.reading, outcome.also), (once.reading, once.also));
        prop_assert_eq!(outcome.completed_at.is_some(), media_type == EVENTS);
    }

    #[test]
    fn any_break_is_seen_and_survived(which in 0..ALL.len(), at in 0..2500usize) {
        let (path, media_type, body) = ALL[which];
        let body = &body.as_bytes()[..at.min(body.len())];
        let outcome = run(path, media_type, &call(path, "gpt-image-1"), &[body], Ending::Aborted);
        prop_assert_eq!(&outcome.put_out, body);
        prop_assert!(outcome.reading.truncated || outcome.completed_at.is_some());
        prop_assert_eq!(outcome.tail.is_some(), media_type == EVENTS && outcome.completed_at.is_none());
    }

    #[test]
    fn noise_passes_unchanged(
        noise in prop::collection::vec(any::<u8>(), 0..300),
        which in 0..ALL.len(),
        at in 0..1000usize,
        pieces in 1..40usize,
    ) {
        let (path, media_type, body) = ALL[which];
        let (before, after) = body.as_bytes().split_at(at.min(body.len()));
        let body = [before, &noise, after].concat();
        let pieces: Vec<&[u8]> = body.chunks(pieces).collect();
        prop_assert_eq!(run(path, media_type, &call(path, "m"), &pieces, Ending::Complete).put_out, body);
    }
}
