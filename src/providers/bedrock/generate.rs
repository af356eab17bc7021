//! Answers from a knowledge base or from documents: the service looks passages up and has a model write an answer
//! from them. It reports no usage: question, distinct passages and answer are counted, and its own prompt is assumed.

use super::family::Family;
use super::prompt;
use super::request::number_in;
use crate::wire::json_walk::{elements, member, string, unescape, whole_number};
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// The default prompt around question and passages, in tokens.
const TEMPLATE: u64 = 300;
/// A passage as the service cuts documents by default, in tokens, and how many it looks up.
const PASSAGE: u64 = 300;
const PASSAGES: u64 = 5;
/// More passages than any answer cites.
const MOST_PASSAGES: usize = 10_000;

/// What the model is told to do, whichever kind of source it has.
fn configuration(body: &[u8]) -> Option<&[u8]> {
    let configuration = member(body, "retrieveAndGenerateConfiguration")?.value;
    ["knowledgeBaseConfiguration", "externalSourcesConfiguration"]
        .into_iter()
        .find_map(|name| member(configuration, name))
        .map(|m| m.value)
}

/// The model's ARN or id, and the id alone.
pub(super) fn model(body: &[u8]) -> (Box<str>, Box<str>) {
    let named = configuration(body).and_then(|c| member(c, "modelArn")).and_then(|m| string(m.value));
    let arn = named.map(unescape).unwrap_or_default();
    let id = arn.rsplit('/').next().unwrap_or_default();
    (arn.as_ref().into(), id.into())
}

/// The request's own maximum of output tokens.
pub(super) fn max_output(body: &[u8]) -> Option<u64> {
    let generation = member(configuration(body)?, "generationConfiguration")?.value;
    let inference = member(generation, "inferenceConfig")?.value;
    number_in(member(inference, "textInferenceConfig")?.value, &["maxTokens"])
}

/// Question and template.
pub(super) fn asked(family: Family, model: &str, body: &[u8]) -> u64 {
    let question = member(body, "input").and_then(|input| member(input.value, "text")).and_then(|m| string(m.value));
    question.map_or(0, |raw| prompt::written(family, model, raw)).saturating_add(TEMPLATE)
}

/// Passages that will probably be looked up.
pub(super) fn expected(body: &[u8]) -> u64 {
    let search = configuration(body)
        .and_then(|c| member(c, "retrievalConfiguration"))
        .and_then(|c| member(c.value, "vectorSearchConfiguration"));
    let results = search.and_then(|s| member(s.value, "numberOfResults")).and_then(|m| whole_number(m.value));
    results.unwrap_or(PASSAGES).min(100).saturating_mul(PASSAGE)
}

/// Passages that an answer cites, each once.
#[derive(Debug, Default)]
pub(super) struct Passages {
    seen: HashSet<u64>,
    pub(super) tokens: u64,
}

impl Passages {
    /// Takes a whole answer, or one citation of a stream.
    pub(super) fn take(&mut self, family: Family, model: &str, json: &[u8]) {
        let citations = member(json, "citations").map(|m| m.value).unwrap_or_default();
        let nested = member(json, "citation").map(|m| m.value);
        for citation in elements(citations).chain(nested).chain([json]) {
            let found = member(citation, "retrievedReferences").map(|m| m.value).unwrap_or_default();
            for passage in elements(found) {
                let content = member(passage, "content").and_then(|c| member(c.value, "text"));
                let Some(raw) = content.and_then(|m| string(m.value)) else { continue };
                let mut hasher = DefaultHasher::new();
                raw.hash(&mut hasher);
                if self.seen.len() < MOST_PASSAGES && self.seen.insert(hasher.finish()) {
                    self.tokens = self.tokens.saturating_add(prompt::written(family, model, raw));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"input":{"text":"Hello, world!"},"retrieveAndGenerateConfiguration":{"type":"KNOWLEDGE_BASE",
        "knowledgeBaseConfiguration":{"knowledgeBaseId":"KB","modelArn":"arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0",
        "retrievalConfiguration":{"vectorSearchConfiguration":{"numberOfResults":3}},
        "generationConfiguration":{"inferenceConfig":{"textInferenceConfig":{"maxTokens":77}}}}}}"#;

    #[test]
    fn a_request_tells_model_bound_and_question() {
        let (arn, id) = model(BODY);
        assert!(arn.starts_with("arn:aws:bedrock:"), "{arn}");
        assert_eq!((&*id, max_output(BODY), expected(BODY)), ("anthropic.claude-3-haiku-20240307-v1:0", Some(77), 900));
        // 4 tokens of ours are 5 of this family.
        assert_eq!(asked(Family::Claude, &id, BODY), 305);
        assert_eq!((model(b"{}").0.len(), max_output(b"{}"), expected(b"{}")), (0, None, 1500));
    }

    #[test]
    fn a_passage_counts_once_however_often_it_is_cited() {
        let cited = r#"{"retrievedReferences":[{"content":{"text":"Hello, world!"}},{"content":{"text":"Hello, moon!"}},{"location":{}}]}"#;
        let answer = format!(r#"{{"output":{{"text":"x"}},"citations":[{cited},{cited}]}}"#);
        let mut passages = Passages::default();
        passages.take(Family::Plain, "mistral.x", answer.as_bytes());
        let once = passages.tokens;
        assert!(once >= 8, "{once}");
        passages.take(Family::Plain, "mistral.x", cited.as_bytes());
        passages.take(Family::Plain, "mistral.x", format!(r#"{{"citation":{cited}}}"#).as_bytes());
        assert_eq!(passages.tokens, once);
    }
}
