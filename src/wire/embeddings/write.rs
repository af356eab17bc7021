//! The same request in the words of an upstream: one body for each call that it takes.

use super::{Format, Request};
use crate::wire::chat::{BadRequest, Unsupported};
use bytes::Bytes;
use serde::Serialize;

/// Texts in one call.
const COHERE_TEXTS: usize = 96;
const GEMINI_TEXTS: usize = 100;

/// The model that a request is written for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// As its provider names it.
    pub model: Box<str>,
    /// The length of its vectors can be chosen.
    pub sizes: bool,
    /// When the client does not say.
    pub dimensions: Option<u64>,
    /// Vectors of length one; `None` = the form's own default.
    pub normalize: Option<bool>,
    pub unsupported: Unsupported,
}

/// A request in the words of an upstream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Written {
    /// One call each, in the order of the texts.
    pub bodies: Vec<Bytes>,
    /// All texts in one body that is never sent: what is asked for has no more tokens than this has bytes.
    pub whole: Bytes,
    /// What was asked for and is not in it, as the client named it.
    pub dropped: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Titan<'a> {
    input_text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    normalize: Option<bool>,
}

#[derive(Serialize)]
struct Cohere<'a> {
    texts: &'a [String],
    input_type: &'a str,
    embedding_types: [&'static str; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dimension: Option<u64>,
}

#[derive(Serialize)]
struct Ollama<'a> {
    model: &'a str,
    input: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<u64>,
}

#[derive(Serialize)]
struct Gemini<'a> {
    requests: Vec<GeminiText<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GeminiText<'a> {
    model: &'a str,
    content: Content<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dimensionality: Option<u64>,
}

#[derive(Serialize)]
struct Content<'a> {
    parts: [Text<'a>; 1],
}

#[derive(Serialize)]
struct Text<'a> {
    text: &'a str,
}

/// # Errors
/// The target's policy refuses what it has no word for.
pub fn write_request(format: Format, request: &Request, target: &Target) -> Result<Written, BadRequest> {
    let mut dropped = request.foreign.clone();
    if request.dimensions.is_some() && !target.sizes {
        dropped.push("dimensions".to_owned());
    }
    if request.input_type.is_some() && format != Format::Cohere {
        dropped.push("input_type".to_owned());
    }
    if let Some(name) = dropped.first().filter(|_| target.unsupported == Unsupported::Refuse) {
        let message = format!("The model behind this name does not support {name}.");
        return Err(BadRequest::unsupported(name.clone(), message));
    }
    let dimensions = request.dimensions.or(target.dimensions).filter(|_| target.sizes);
    let texts = &request.inputs;
    let (bodies, whole) = match format {
        Format::Titan => {
            let (dimensions, normalize) = if target.sizes {
                (Some(dimensions.unwrap_or(1024)), Some(target.normalize.unwrap_or(true)))
            } else {
                (None, None)
            };
            let one = |text: &String| body(&Titan { input_text: text, dimensions, normalize });
            // The form knows no list; that of its neighbour does.
            (texts.iter().map(one).collect::<Option<Vec<_>>>(), body(&cohere(texts, request, dimensions)))
        }
        Format::Cohere => {
            let some = |texts: &[String]| body(&cohere(texts, request, dimensions));
            (texts.chunks(COHERE_TEXTS).map(some).collect(), some(texts))
        }
        Format::Ollama => {
            let all = body(&Ollama { model: &target.model, input: texts, dimensions });
            (all.clone().map(|body| vec![body]), all)
        }
        Format::Gemini => {
            let name = format!("models/{}", target.model);
            let some = |texts: &[String]| body(&gemini(texts, &name, dimensions));
            (texts.chunks(GEMINI_TEXTS).map(some).collect(), some(texts))
        }
    };
    // Texts and numbers always become JSON.
    let (Some(bodies), Some(whole)) = (bodies, whole) else {
        return Err(BadRequest::of("input", "input cannot be said to this model."));
    };
    Ok(Written { bodies, whole, dropped })
}

fn cohere<'a>(texts: &'a [String], request: &'a Request, output_dimension: Option<u64>) -> Cohere<'a> {
    let input_type = request.input_type.as_deref().unwrap_or("search_document");
    Cohere { texts, input_type, embedding_types: ["float"], output_dimension }
}

fn gemini<'a>(texts: &'a [String], model: &'a str, output_dimensionality: Option<u64>) -> Gemini<'a> {
    let one =
        |text: &'a String| GeminiText { model, content: Content { parts: [Text { text }] }, output_dimensionality };
    Gemini { requests: texts.iter().map(one).collect() }
}

fn body(value: &impl Serialize) -> Option<Bytes> {
    serde_json::to_vec(value).ok().map(Bytes::from)
}
