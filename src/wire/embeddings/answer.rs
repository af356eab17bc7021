//! Vectors out of an upstream's answers, and the list that a client of OpenAI's form gets.

use super::Format;
use crate::wire::chat::Unreadable;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize, Serializer};

#[derive(Deserialize)]
struct Titan {
    embedding: Vec<f32>,
}

#[derive(Deserialize)]
struct Listed {
    embeddings: Vectors,
}

/// A list, or one for each type of number that was asked for.
#[derive(Deserialize)]
#[serde(untagged)]
enum Vectors {
    Plain(Vec<Vec<f32>>),
    Typed { float: Vec<Vec<f32>> },
    Valued(Vec<Valued>),
}

#[derive(Deserialize)]
struct Valued {
    values: Vec<f32>,
}

/// The vectors of one call, in the order of its texts.
///
/// # Errors
/// It is no answer of this form, or some number is none.
pub fn read_vectors(format: Format, body: &[u8]) -> Result<Vec<Vec<f32>>, Unreadable> {
    let vectors = match format {
        Format::Titan => vec![serde_json::from_slice::<Titan>(body).map_err(|_| Unreadable)?.embedding],
        Format::Cohere | Format::Ollama | Format::Gemini => {
            match serde_json::from_slice::<Listed>(body).map_err(|_| Unreadable)?.embeddings {
                Vectors::Plain(vectors) | Vectors::Typed { float: vectors } => vectors,
                Vectors::Valued(vectors) => vectors.into_iter().map(|v| v.values).collect(),
            }
        }
    };
    let sound = |vector: &Vec<f32>| !vector.is_empty() && vector.iter().all(|number| number.is_finite());
    if vectors.iter().all(sound) { Ok(vectors) } else { Err(Unreadable) }
}

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Item<'a>>,
    model: &'a str,
    usage: Usage,
}

#[derive(Serialize)]
struct Item<'a> {
    object: &'static str,
    index: usize,
    embedding: Vector<'a>,
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: u64,
    total_tokens: u64,
}

struct Vector<'a> {
    numbers: &'a [f32],
    base64: bool,
}

impl Serialize for Vector<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if !self.base64 {
            return self.numbers.serialize(to);
        }
        let bytes: Vec<u8> = self.numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        to.serialize_str(&STANDARD.encode(bytes))
    }
}

/// The whole list as the client reads it. `model`: as the client named it.
pub fn write_answer(model: &str, vectors: &[Vec<f32>], prompt_tokens: u64, base64: bool) -> Vec<u8> {
    let numbered = vectors.iter().enumerate();
    let data = numbered
        .map(|(index, numbers)| Item { object: "embedding", index, embedding: Vector { numbers, base64 } })
        .collect();
    let usage = Usage { prompt_tokens, total_tokens: prompt_tokens };
    // Numbers and texts always become JSON.
    serde_json::to_vec(&List { object: "list", data, model, usage }).unwrap_or_default()
}
