use super::*;
use crate::wire::chat::Unsupported;
use base64::Engine as _;
use proptest::prelude::*;
use serde_json::{Value, json};

fn target(sizes: bool) -> Target {
    Target { model: "m".into(), sizes, dimensions: None, normalize: None, unsupported: Unsupported::Drop }
}

fn read(body: &Value) -> Request {
    read_request(body.to_string().as_bytes()).unwrap()
}

fn written(format: Format, body: &Value, target: &Target) -> (Vec<Value>, Vec<String>) {
    let written = write_request(format, &read(body), target).unwrap();
    (written.bodies.iter().map(|body| serde_json::from_slice(body).unwrap()).collect(), written.dropped)
}

#[test]
fn what_cannot_be_embedded_is_named() {
    for (body, param) in [
        (json!({"model": "m"}), "input"),
        (json!({"model": "m", "input": null}), "input"),
        (json!({"model": "m", "input": []}), "input"),
        (json!({"model": "m", "input": ""}), "input"),
        (json!({"model": "m", "input": ["a", ""]}), "input"),
        (json!({"model": "m", "input": [1, 2]}), "input"),
        (json!({"model": "m", "input": [[1, 2]]}), "input"),
        (json!({"model": "m", "input": ["a", [1]]}), "input"),
        (json!({"model": "m", "input": vec!["a"; MOST_INPUTS + 1]}), "input"),
        (json!({"model": "m", "input": "a", "dimensions": 0}), "dimensions"),
        (json!({"model": "m", "input": "a", "dimensions": "8"}), "dimensions"),
        (json!({"model": "m", "input": "a", "encoding_format": "int8"}), "encoding_format"),
    ] {
        let error = read_request(body.to_string().as_bytes()).unwrap_err();
        assert_eq!(error.param.as_deref(), Some(param), "{error}");
    }
    assert!(read_request(br#"{"model":"m","input":"a","input":"b"}"#).is_err(), "no two readings");
}

#[test]
fn each_upstream_is_asked_in_its_own_words() {
    let ask = json!({"model": "m", "input": ["a", "b\n"], "dimensions": 256, "user": "u"});
    for (format, sizes, bodies, dropped) in [
        (
            Format::Titan,
            true,
            vec![
                json!({"inputText": "a", "dimensions": 256, "normalize": true}),
                json!({"inputText": "b\n", "dimensions": 256, "normalize": true}),
            ],
            vec![],
        ),
        (Format::Titan, false, vec![json!({"inputText": "a"}), json!({"inputText": "b\n"})], vec!["dimensions"]),
        (
            Format::Cohere,
            false,
            vec![json!({"texts": ["a", "b\n"], "input_type": "search_document", "embedding_types": ["float"]})],
            vec!["dimensions"],
        ),
        (Format::Ollama, true, vec![json!({"model": "m", "input": ["a", "b\n"], "dimensions": 256})], vec![]),
        (
            Format::Gemini,
            true,
            vec![json!({"requests": [
                {"model": "models/m", "content": {"parts": [{"text": "a"}]}, "outputDimensionality": 256},
                {"model": "models/m", "content": {"parts": [{"text": "b\n"}]}, "outputDimensionality": 256},
            ]})],
            vec![],
        ),
    ] {
        assert_eq!(
            written(format, &ask, &target(sizes)),
            (bodies, dropped.into_iter().map(str::to_owned).collect()),
            "{format:?}"
        );
    }
}

#[test]
fn the_row_decides_where_the_client_does_not() {
    let own = Target { dimensions: Some(512), normalize: Some(false), ..target(true) };
    let (bodies, _) = written(Format::Titan, &json!({"model": "m", "input": "a"}), &own);
    assert_eq!(bodies, [json!({"inputText": "a", "dimensions": 512, "normalize": false})]);
    let (bodies, _) = written(Format::Titan, &json!({"model": "m", "input": "a"}), &target(true));
    assert_eq!(bodies, [json!({"inputText": "a", "dimensions": 1024, "normalize": true})]);
    let query = json!({"model": "m", "input": "a", "input_type": "search_query"});
    assert_eq!(written(Format::Cohere, &query, &target(true)).0[0]["input_type"], "search_query");
    assert_eq!(written(Format::Ollama, &query, &target(true)).1, ["input_type"]);
    let strict = Target { unsupported: Unsupported::Refuse, ..target(true) };
    let error = write_request(Format::Ollama, &read(&query), &strict).unwrap_err();
    assert_eq!((error.code, error.param.as_deref()), (Some("unsupported_parameter"), Some("input_type")));
}

#[test]
fn vectors_are_read_in_every_form() {
    let two = vec![vec![0.5, -0.25], vec![1.0, 2.0]];
    for (format, body, expect) in [
        (Format::Titan, r#"{"embedding":[0.5,-0.25],"inputTextTokenCount":1}"#, Some(two[..1].to_vec())),
        (Format::Cohere, r#"{"embeddings":[[0.5,-0.25],[1,2]],"id":"x"}"#, Some(two.clone())),
        (Format::Cohere, r#"{"embeddings":{"float":[[0.5,-0.25],[1,2]]}}"#, Some(two.clone())),
        (Format::Ollama, r#"{"model":"m","embeddings":[[0.5,-0.25],[1,2]]}"#, Some(two.clone())),
        (Format::Gemini, r#"{"embeddings":[{"values":[0.5,-0.25]},{"values":[1,2]}]}"#, Some(two.clone())),
        (Format::Titan, r#"{"embedding":[]}"#, None),
        (Format::Titan, r#"{"embedding":[1e99]}"#, None),
        (Format::Titan, r#"{"embedding":["0.5"]}"#, None),
        (Format::Ollama, r#"{"error":"no"}"#, None),
        (Format::Ollama, "<html>", None),
    ] {
        assert_eq!(read_vectors(format, body.as_bytes()).ok(), expect, "{format:?} {body}");
    }
}

#[test]
fn the_client_gets_one_list() {
    let vectors = [vec![0.5, -0.25], vec![1.0, 0.1]];
    let list: Value = serde_json::from_slice(&write_answer("mine", &vectors, 7, false)).unwrap();
    assert_eq!(
        list,
        json!({"object": "list", "model": "mine", "usage": {"prompt_tokens": 7, "total_tokens": 7}, "data": [
            {"object": "embedding", "index": 0, "embedding": [0.5, -0.25]},
            {"object": "embedding", "index": 1, "embedding": [1.0, 0.1]},
        ]})
    );
    let list: Value = serde_json::from_slice(&write_answer("mine", &vectors, 7, true)).unwrap();
    assert_eq!(list["data"][0]["embedding"], "AAAAPwAAgL4=");
}

proptest! {
    #[test]
    fn every_text_is_sent_once_and_in_order(texts in prop::collection::vec("\\PC{1,20}", 1..400)) {
        for format in [Format::Titan, Format::Cohere, Format::Ollama, Format::Gemini] {
            let request = Request { model: "m".into(), inputs: texts.clone(), ..Request::default() };
            let written = write_request(format, &request, &target(true)).unwrap();
            let mut sent: Vec<String> = Vec::new();
            for body in &written.bodies {
                let body: Value = serde_json::from_slice(body).unwrap();
                let here: Vec<&Value> = match format {
                    Format::Titan => vec![&body["inputText"]],
                    Format::Cohere => body["texts"].as_array().unwrap().iter().collect(),
                    Format::Ollama => body["input"].as_array().unwrap().iter().collect(),
                    Format::Gemini => {
                        body["requests"].as_array().unwrap().iter().map(|r| &r["content"]["parts"][0]["text"]).collect()
                    }
                };
                prop_assert!(format == Format::Ollama || here.len() <= 100);
                sent.extend(here.iter().map(|text| text.as_str().unwrap().to_owned()));
            }
            prop_assert_eq!(&sent, &texts);
            prop_assert!(written.whole.len() >= texts.iter().map(String::len).sum());
        }
    }

    #[test]
    fn base64_loses_nothing(numbers in prop::collection::vec(any::<f32>(), 1..50)) {
        let list: Value = serde_json::from_slice(&write_answer("m", std::slice::from_ref(&numbers), 1, true)).unwrap();
        let bytes = base64::engine::general_purpose::STANDARD.decode(list["data"][0]["embedding"].as_str().unwrap());
        let back: Vec<u32> = bytes.unwrap().chunks(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect();
        prop_assert_eq!(back, numbers.iter().map(|n| n.to_bits()).collect::<Vec<_>>());
    }

    #[test]
    fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_request(&body);
        for format in [Format::Titan, Format::Cohere, Format::Ollama, Format::Gemini] {
            let _ = read_vectors(format, &body);
        }
    }
}
