//! What a client asks for, in OpenAI's form.

use crate::wire::chat::BadRequest;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Texts in one request.
pub const MOST_INPUTS: usize = 2048;

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Request {
    /// As the client named it.
    pub model: String,
    /// At least one, none of them empty.
    pub inputs: Vec<String>,
    pub dimensions: Option<u64>,
    /// Vectors are wanted as base64 of little-endian 32-bit floats, not as numbers.
    pub base64: bool,
    /// The end user, as the client names them.
    pub user: Option<String>,
    /// What the texts are, in Cohere's words: an extension that its models need.
    pub input_type: Option<String>,
    /// Members that no other API knows: dropped and named, or refused.
    pub foreign: Vec<String>,
}

#[derive(Deserialize)]
struct Body<'a> {
    model: String,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    dimensions: Option<&'a RawValue>,
    encoding_format: Option<String>,
    user: Option<String>,
    input_type: Option<String>,
    #[serde(flatten)]
    more: BTreeMap<String, serde_json::Value>,
}

/// Names that are told at most, and characters of one.
const MOST_FOREIGN: usize = 32;
const NAME: usize = 64;

/// # Errors
/// The body is no such request, or has tokens in place of texts.
pub fn read_request(body: &[u8]) -> Result<Request, BadRequest> {
    let unreadable = |_| BadRequest::of("input", "The body is not a request for embeddings.");
    let body: Body<'_> = serde_json::from_slice(body).map_err(unreadable)?;
    let base64 = match body.encoding_format.as_deref() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => return Err(BadRequest::of("encoding_format", "encoding_format must be float or base64.")),
    };
    let dimensions = match body.dimensions.map(|raw| raw.get()).filter(|raw| *raw != "null") {
        None => None,
        Some(raw) => match raw.parse().ok().filter(|n| (1..=65_536).contains(n)) {
            Some(n) => Some(n),
            None => return Err(BadRequest::of("dimensions", "dimensions must be a whole number above 0.")),
        },
    };
    let foreign = body.more.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, _)| name);
    Ok(Request {
        model: body.model,
        inputs: inputs(body.input)?,
        dimensions,
        base64,
        user: body.user,
        input_type: body.input_type,
        foreign: foreign.map(|name| name.chars().take(NAME).collect()).take(MOST_FOREIGN).collect(),
    })
}

fn inputs(input: Option<&RawValue>) -> Result<Vec<String>, BadRequest> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Input {
        One(String),
        Many(Vec<String>),
    }
    let bad = |message: &str| Err(BadRequest::of("input", message));
    let Some(input) = input else { return bad("input is missing.") };
    let texts = match serde_json::from_str(input.get()) {
        Ok(Input::One(text)) => vec![text],
        Ok(Input::Many(texts)) => texts,
        Err(_) => return bad("input must be a text or a list of texts; this model takes no token ids."),
    };
    if texts.is_empty() || texts.iter().any(String::is_empty) {
        return bad("input must not be empty, nor any text in it.");
    }
    if texts.len() > MOST_INPUTS {
        return bad("input must have at most 2048 texts.");
    }
    Ok(texts)
}
