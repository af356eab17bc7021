//! The cost vectors of pictures and sound, end to end: what was reported, else what was counted, to the last digit.

use super::{events, form, post, post_form, wav};
use crate::support::{Gateway, Setup};
use crate::upstream::{Act, Fault, Options, Upstream};
use serde_json::value::RawValue;
use serde_json::{Value, json};

const IMAGES: &str = "/v1/images/generations";
const EDITS: &str = "/v1/images/edits";
const SPEECH: &str = "/v1/audio/speech";
const HEARING: &str = "/v1/audio/transcriptions";

/// An operator's prices: those per picture are gone from the public lists.
const PER_PICTURE: &str = r#"{"schema_version":1,"entries":[{"provider":"openai","id":"dall-e-3","units":{"image":[
    {"size":"1024x1024","quality":"standard","usd":"0.04"},{"size":"1024x1792","quality":"hd","usd":"0.08"}]}}]}"#;

async fn house() -> (Upstream, Gateway) {
    let upstream = Upstream::start(Options { strict: true, ..Options::default() }).await.unwrap();
    let gateway = Gateway::start(&upstream).await;
    (upstream, gateway)
}

fn usage(value: &Value) -> Act {
    Act { usage: Some(RawValue::from_string(value.to_string()).unwrap()), ..Act::default() }
}

#[tokio::test]
async fn c12_to_c17_cost_vectors_hold_end_to_end() {
    let (upstream, gateway) = house().await;
    let id = gateway.key("k", json!({})).await;
    let mut expected = Vec::new();
    let picture = json!({"model": "gpt-image-1", "prompt": "a cat"});
    let streamed = json!({"model": "gpt-image-1", "prompt": "a cat", "stream": true, "partial_images": 2});
    for body in [&picture, &streamed] {
        let answer = post(&gateway, IMAGES, body).await;
        assert_eq!(answer.status(), 200);
        if body["stream"].is_null() {
            assert_eq!(answer.headers()["x-tollgate-cost-usd"], "0.1698800000");
        }
        let text = answer.text().await.unwrap();
        assert_eq!(text.contains("image_generation.completed"), body["stream"] == true, "{text}");
        expected.push(("C12", "gpt-image-1", 0.16988, json!([])));
    }
    let edit = form(&[("model", "gpt-image-1"), ("prompt", "a hat")], "image", b"png");
    assert_eq!(post_form(&gateway, EDITS, edit).await.status(), 200);
    assert_eq!(post(&gateway, EDITS, &picture).await.status(), 200, "edits come in JSON as well");
    expected.extend([("C12 edit", "gpt-image-1", 0.16988, json!([])), ("C12 edit", "gpt-image-1", 0.16988, json!([]))]);

    let spoken = json!({"model": "tts-1", "voice": "alloy", "input": "é".repeat(1234)});
    assert_eq!(post(&gateway, SPEECH, &spoken).await.bytes().await.unwrap().len(), 8192);
    expected.push(("C14", "tts-1", 0.018_51, json!(["estimated"])));
    let spoken = json!({"model": "gpt-4o-mini-tts", "voice": "alloy", "input": "hi", "stream_format": "sse"});
    assert!(post(&gateway, SPEECH, &spoken).await.text().await.unwrap().contains("speech.audio.done"));
    expected.push(("C15", "gpt-4o-mini-tts", 0.001_220_4, json!([])));

    upstream.script(usage(&json!({"type": "duration", "seconds": 75.4})));
    let answer = post_form(&gateway, HEARING, form(&[("model", "whisper-1")], "file", &wav(100))).await;
    assert_eq!(answer.headers()["x-tollgate-cost-usd"], "0.0075400000");
    assert_eq!(answer.headers()["x-tollgate-model"], "whisper-1");
    expected.push(("C16", "whisper-1", 0.007_54, json!([])));
    for stream in ["false", "true"] {
        let body = form(&[("model", "gpt-4o-transcribe"), ("stream", stream)], "file", &wav(100));
        let text = post_form(&gateway, HEARING, body).await.text().await.unwrap();
        assert_eq!(text.contains("transcript.text.done"), stream == "true", "{text}");
        expected.push(("C17", "gpt-4o-transcribe", 0.001_05, json!([])));
    }
    // Without a usage: what the answer says of its length, else what the file does.
    for path in ["/v1/audio/translations", "/v1/audios/translations"] {
        let body = form(&[("model", "whisper-1"), ("response_format", "verbose_json")], "file", &wav(100));
        assert_eq!(post_form(&gateway, path, body).await.status(), 200);
        assert_eq!(upstream.seen().pop().unwrap().target, "/v1/audio/translations");
        expected.push(("C16 translated", "whisper-1", 0.007_54, json!([])));
    }
    for format in ["text", "srt", "vtt"] {
        let body = form(&[("model", "whisper-1"), ("response_format", format)], "file", &wav(1540));
        let text = post_form(&gateway, HEARING, body).await.text().await.unwrap();
        assert!(text.contains("Hello there.") && !text.starts_with('{'), "{text}");
        expected.push((format, "whisper-1", 0.000_154, json!(["estimated"])));
    }
    let found = events(&gateway, &id, expected.len()).await;
    for ((name, model, usd, flags), event) in expected.iter().zip(&found) {
        assert_eq!(event["cost_in_usd"].as_f64().unwrap(), *usd, "{name}: {event}");
        assert_eq!((&event["flags"], event["model"].as_str()), (flags, Some(*model)), "{name}: {event}");
    }
    assert!(upstream.seen().iter().all(|seen| seen.violations.is_empty()));
}

#[tokio::test]
async fn c13_pictures_are_priced_by_size_quality_and_number() {
    let upstream = Upstream::start(Options::default()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("prices.json");
    std::fs::write(&file, PER_PICTURE).unwrap();
    let gateway = Setup::default().env("TOLLGATE_PRICING_FILE", file.to_str().unwrap()).start(&upstream).await;
    let id = gateway.key("k", json!({"costLimitInUsd": 0.21, "budgetMode": "strict"})).await;
    let large = json!({"model": "dall-e-3", "prompt": "a", "n": 2, "size": "1024x1792", "quality": "hd"});
    let answer = post(&gateway, IMAGES, &large).await;
    assert_eq!(answer.headers()["x-tollgate-cost-usd"], "0.1600000000");
    assert_eq!(post(&gateway, IMAGES, &large).await.status(), 429, "a strict budget knows the price before");
    let small = json!({"model": "dall-e-3", "prompt": "a"});
    assert_eq!(post(&gateway, IMAGES, &small).await.headers()["x-tollgate-cost-usd"], "0.0400000000");
    let served: Vec<_> = gateway.events(&id).await.into_iter().filter(|e| e["status"] == 200).collect();
    assert!(served.iter().all(|e| e["flags"] == json!([])), "{served:?}");
}

#[tokio::test]
async fn failures_and_broken_streams_are_billed_for_what_they_took() {
    let (upstream, gateway) = house().await;
    let id = gateway.key("k", json!({})).await;
    let gone = post_form(&gateway, "/v1/images/variations", form(&[("model", "dall-e-2")], "image", b"png")).await;
    assert_eq!(gone.status(), 404);
    assert!(gone.text().await.unwrap().contains("Invalid URL"), "the provider's own words");
    upstream.script(Act { status: Some(400), ..Act::default() });
    assert_eq!(post(&gateway, IMAGES, &json!({"model": "gpt-image-1", "prompt": "a"})).await.status(), 400);
    upstream.script(Act { fault: Some(Fault::Close { after: Some(1) }), ..Act::default() });
    let body = json!({"model": "gpt-image-1", "prompt": "a cat", "stream": true, "partial_images": 3, "quality": "low", "size": "1024x1024"});
    let text = post(&gateway, IMAGES, &body).await.text().await.unwrap();
    assert!(text.contains("partial_image") && text.contains("upstream_disconnected"), "{text}");
    let found = events(&gateway, &id, 3).await;
    assert_eq!((&found[0]["cost_in_usd"], &found[0]["status"]), (&json!(0.0), &json!(404)), "{}", found[0]);
    assert_eq!((&found[1]["cost_in_usd"], &found[1]["status"]), (&json!(0.0), &json!(400)), "{}", found[1]);
    // 7 bytes of a quoted prompt are 2 tokens; 272 for the picture and 300 for its drafts.
    assert_eq!(found[2]["cost_in_usd"].as_f64().unwrap(), 0.022_89, "{}", found[2]);
    assert_eq!(found[2]["flags"], json!(["estimated", "aborted"]));
}

#[tokio::test]
async fn a_strict_budget_lets_no_speech_past_it() {
    let (_upstream, gateway) = house().await;
    // 1000 characters cost 0.015.
    gateway.key("k", json!({"costLimitInUsd": 0.02, "budgetMode": "strict"})).await;
    let speech = |n: usize| json!({"model": "tts-1", "voice": "alloy", "input": "a".repeat(n)});
    assert_eq!(post(&gateway, SPEECH, &speech(1000)).await.status(), 200);
    let refused = post(&gateway, SPEECH, &speech(334)).await;
    assert_eq!(refused.status(), 429, "{}", refused.text().await.unwrap());
    assert_eq!(post(&gateway, SPEECH, &speech(333)).await.status(), 200);
    let unbounded = json!({"model": "gpt-4o-mini-tts", "voice": "alloy", "input": "hi"});
    assert!(matches!(post(&gateway, SPEECH, &unbounded).await.status().as_u16(), 401 | 403 | 429));
}

#[tokio::test]
async fn c34_moderations_are_free_for_everybody() {
    let (_upstream, gateway) = house().await;
    let id = gateway.key("k", json!({"costLimitInUsd": 0.01, "budgetMode": "strict"})).await;
    for body in [
        json!({"input": "a", "model": "omni-moderation-latest"}),
        json!({"input": "a", "model": "text-moderation-stable"}),
    ] {
        assert_eq!(post(&gateway, "/v1/moderations", &body).await.status(), 200);
    }
    for event in events(&gateway, &id, 2).await {
        assert_eq!((&event["cost_in_usd"], &event["flags"]), (&json!(0.0), &json!([])), "{event}");
    }
}

#[tokio::test]
async fn c19_searches_and_drawings_of_a_response_are_on_its_bill() {
    let (upstream, gateway) = house().await;
    let id = gateway.key("k", json!({})).await;
    let response = |tools: &str| {
        format!(
            r#"{{"id":"resp_1","object":"response","status":"completed","model":"gpt-5","output":[],"tools":[{{"type":"image_generation","model":"gpt-image-1"}}],
            "usage":{{"input_tokens":5000,"output_tokens":700,"total_tokens":5700}},"tool_usage":{{{tools}}}}}"#
        )
    };
    let drawn = r#""image_gen":{"input_tokens":50,"input_tokens_details":{"text_tokens":50,"image_tokens":0},"output_tokens":4160}"#;
    for tools in [r#""web_search":{"num_requests":3}"#, drawn] {
        upstream.script(Act { body: Some(response(tools)), ..Act::default() });
        let answer = post(&gateway, "/v1/responses", &json!({"model": "gpt-5", "input": "hi"})).await;
        assert_eq!(answer.text().await.unwrap(), response(tools));
    }
    let found = events(&gateway, &id, 2).await;
    assert_eq!(found[0]["cost_in_usd"].as_f64().unwrap(), 0.043_25, "{}", found[0]);
    // 0.01325 of its own, 50 x 5/M + 4160 x 40/M for the picture.
    assert_eq!(found[1]["cost_in_usd"].as_f64().unwrap(), 0.179_9, "{}", found[1]);
}
