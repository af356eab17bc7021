//! What a model id tells about the form of a request. An id that tells nothing (an ARN of a profile of one's own)
//! bounds nothing.

use super::request::number_in;
use crate::providers::claude;
use crate::wire::chat::{self as wire, ReasoningStyle, Sampling, Target};
use crate::wire::embeddings::Format;

/// Who made the model, as far as the form of its requests depends on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Family {
    Claude,
    Llama,
    Nova,
    Titan,
    /// `max_tokens`, as most others name it.
    Plain,
    Embedding,
    Unknown,
}

impl Family {
    pub(super) fn of(model: &str) -> Self {
        let id = match model.strip_prefix("arn:") {
            Some(arn) if arn.contains(":foundation-model/") || arn.contains(":inference-profile/") => {
                arn.rsplit('/').next().unwrap_or_default()
            }
            Some(_) => return Self::Unknown,
            None => model,
        };
        // `us.anthropic.claude-...`: the maker stands before the last dot that is not part of a version.
        let mut parts = id.split('.');
        let first = parts.next().unwrap_or_default();
        let geography = matches!(first, "us" | "eu" | "apac" | "jp" | "au" | "in" | "us-gov" | "global");
        let maker = if geography { parts.next().unwrap_or_default() } else { first };
        let has = |word: &str| id.contains(word);
        match maker {
            _ if has("embed") => Self::Embedding,
            "anthropic" => Self::Claude,
            "meta" => Self::Llama,
            "amazon" if has("nova") => Self::Nova,
            "amazon" if has("titan-text") => Self::Titan,
            "mistral" | "cohere" | "ai21" | "deepseek" | "openai" | "qwen" | "google" | "minimax" | "moonshot"
            | "moonshotai" | "nvidia" | "writer" | "xai" | "zai" => Self::Plain,
            _ => Self::Unknown,
        }
    }

    /// The request's own maximum of output tokens, from the members that this family reads.
    pub(super) fn max_output<'a>(self, value: &dyn Fn(&str) -> Option<&'a [u8]>) -> Option<u64> {
        let number = |name: &str| value(name).and_then(crate::wire::json_walk::whole_number);
        match self {
            Self::Claude => number("max_tokens").max(number("max_tokens_to_sample")),
            Self::Llama => number("max_gen_len"),
            Self::Nova => value("inferenceConfig").and_then(|c| number_in(c, &["maxTokens", "max_new_tokens"])),
            Self::Titan => value("textGenerationConfig").and_then(|config| number_in(config, &["maxTokenCount"])),
            Self::Plain => number("max_tokens").max(number("max_completion_tokens")),
            Self::Embedding | Self::Unknown => None,
        }
    }

    /// Tokens of this family for each hundred by our tokenizer.
    pub(super) fn per_hundred(self, model: &str) -> u64 {
        // Up to 4.6 an older tokenizer, which makes fewer.
        const OLDER: [&str; 6] = ["claude-3", "claude-v", "claude-instant", "-4-20", "-4-5", "-4-6"];
        match self {
            Self::Claude if OLDER.iter().any(|older| model.contains(older)) => 115,
            Self::Claude => 135,
            Self::Embedding => 100,
            _ => 110,
        }
    }
}

/// The form in which a model takes texts for vectors, and whether their length can be chosen.
pub(super) fn embeddings(model: &str) -> Option<(Format, bool)> {
    let has = |word: &str| model.contains(word);
    match Family::of(model) {
        Family::Embedding if has("titan-embed") => Some((Format::Titan, has("text-v2"))),
        Family::Embedding if has("cohere.embed") => Some((Format::Cohere, has("embed-v4"))),
        _ => None,
    }
}

/// What a model can in a conversation, by its id.
pub(super) fn target(model: &str) -> Target {
    if let Some(claude) = claude::target(model) {
        // Opus of this generation refuses to be tuned here.
        let opus_4 = model.contains("claude-opus-4");
        let sampling = if opus_4 { Sampling::Fixed } else { claude.sampling };
        return Target { sampling, ..claude };
    }
    let plain = Target { model: model.into(), structured_output: false, prefill: false, ..Target::default() };
    match Family::of(model) {
        Family::Nova => {
            let reasoning = if model.contains("nova-2") { ReasoningStyle::Effort } else { ReasoningStyle::None };
            Target { family: wire::Family::Nova, reasoning, top_k: true, ..plain }
        }
        Family::Plain if model.contains("gpt-oss") => {
            Target { family: wire::Family::GptOss, reasoning: ReasoningStyle::Effort, ..plain }
        }
        _ => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_have_the_form_of_their_maker() {
        for (model, form) in [
            ("amazon.titan-embed-text-v2:0", Some((Format::Titan, true))),
            ("amazon.titan-embed-text-v1", Some((Format::Titan, false))),
            ("amazon.titan-embed-g1-text-02", Some((Format::Titan, false))),
            ("us.cohere.embed-v4:0", Some((Format::Cohere, true))),
            ("cohere.embed-multilingual-v3", Some((Format::Cohere, false))),
            ("arn:aws:bedrock:us-east-1::foundation-model/cohere.embed-english-v3", Some((Format::Cohere, false))),
            ("twelvelabs.marengo-embed-2-7-v1:0", None),
            ("amazon.nova-lite-v1:0", None),
        ] {
            assert_eq!(embeddings(model), form, "{model}");
        }
    }

    #[test]
    fn ids_tell_their_family() {
        for (model, family) in [
            ("anthropic.claude-sonnet-4-5-20250929-v1:0", Family::Claude),
            ("us-gov.anthropic.claude-opus-5-5", Family::Claude),
            ("arn:aws:bedrock:us-east-1:1:inference-profile/us.meta.llama3-1-8b-instruct-v1:0", Family::Llama),
            ("eu.amazon.nova-lite-v1:0", Family::Nova),
            ("amazon.titan-text-express-v1", Family::Titan),
            ("amazon.titan-embed-text-v2:0", Family::Embedding),
            ("cohere.embed-english-v3", Family::Embedding),
            ("mistral.mistral-7b-instruct-v0:2", Family::Plain),
            ("arn:aws:bedrock:us-east-1:1:application-inference-profile/anthropic.x", Family::Unknown),
            ("", Family::Unknown),
        ] {
            assert_eq!(Family::of(model), family, "{model}");
        }
    }
}
