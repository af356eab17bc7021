//! What a model is for, conversations or vectors, as far as prices and names tell, and whether its provider serves that.
//! A model that nobody has heard of is not judged: new ones need no new build.

use super::{Provider, price};
use crate::domain::{RequestFormat, Secret, Setting, SettingId, UnixMillis};
use crate::metering::Pricing;
use crate::wire::chat::Format;
use http::Method;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Parts of the names under which models for vectors are known, in lower case.
const VECTORS: &[&str] = &[
    "embed",
    "bge-",
    "/e5-",
    "multilingual-e5",
    "/gte-",
    "all-minilm",
    "all-mpnet",
    "paraphrase-minilm",
    "sentence-transformers/",
    "text2vec",
];

/// Where a provider that speaks OpenAI's form takes texts for vectors.
const EMBEDDINGS: [&str; 2] = ["/v1/embeddings", "/openai/deployments/any/embeddings"];

/// By the price table. `None` = it does not know the model, or its price tells nothing.
pub fn listed(pricing: &Pricing, provider: &dyn Provider, model: &str, at: UnixMillis) -> Option<RequestFormat> {
    let writes = price(pricing, provider, &unset(provider.name()), None, model, at)?.writes()?;
    Some(if writes { RequestFormat::Chat } else { RequestFormat::Embeddings })
}

/// By its name alone: less certain than [`listed`], and a name never tells of conversations.
pub fn guessed(model: &str) -> Option<RequestFormat> {
    let model = model.to_lowercase();
    VECTORS.iter().any(|part| model.contains(part)).then_some(RequestFormat::Embeddings)
}

/// Whether the provider can be asked for this. `known`: another name that tells more of the model, or the same.
pub fn serves(provider: &dyn Provider, format: RequestFormat, model: &str, known: &str) -> bool {
    match format {
        RequestFormat::Chat => provider.chat(Format::OpenAiChat, model, false).is_some(),
        RequestFormat::Embeddings => {
            let chat = provider.chat(Format::OpenAiChat, model, false);
            let has = |path: &&str| provider.endpoint(&Method::POST, path).is_some();
            // Under these names, others have something else or nothing.
            let as_openai = chat.is_some_and(|route| route.format == Format::OpenAiChat) && EMBEDDINGS.iter().any(has);
            as_openai || provider.embeddings(model, known).is_some()
        }
    }
}

/// Whether the model's name can be put where the provider wants it for a conversation. What a step of a route says
/// beside the model is put there instead.
pub fn fits(provider: &dyn Provider, model: &str) -> bool {
    let Some(route) = provider.chat(Format::OpenAiChat, model, false) else { return true };
    !provider.step_params().is_empty() || provider.endpoint(&Method::POST, &route.path).is_some()
}

/// Prices may hang on what a setting says; this one says nothing.
fn unset(provider: &str) -> Setting {
    Setting {
        id: SettingId::from_uuid(Uuid::nil()),
        revision: 0,
        provider: provider.into(),
        name: "".into(),
        created_at: UnixMillis(0),
        updated_at: UnixMillis(0),
        allowed_models: Box::default(),
        parameters: BTreeMap::new(),
        secrets: BTreeMap::<_, Secret>::new(),
        cost_map: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::{all, by_name};

    /// 2026-11-21T00:00:00Z
    const NOW: UnixMillis = UnixMillis::from_seconds(1_795_219_200);

    #[test]
    fn prices_tell_what_a_model_is_for() {
        use RequestFormat::{Chat, Embeddings};
        let table = Pricing::shipped();
        for (provider, model, expect) in [
            ("openai", "gpt-4o-mini", Some(Chat)),
            ("openai", "gpt-3.5-turbo-0125", Some(Chat)),
            ("openai", "text-embedding-3-large", Some(Embeddings)),
            ("openai", "text-embedding-ada-002", Some(Embeddings)),
            ("azure", "dall-e-3", None),
            ("openai", "whisper-1", None),
            ("openai", "gpt-9-of-tomorrow", None),
            ("azure", "ada", Some(Embeddings)),
            ("azure", "gpt-4o", Some(Chat)),
            ("bedrock", "us.anthropic.claude-3-5-haiku-20241022-v1:0", Some(Chat)),
            ("bedrock", "amazon.titan-embed-text-v2:0", Some(Embeddings)),
            ("gemini", "gemini-embedding-001", Some(Embeddings)),
            ("vllm", "gpt-4o", None),
        ] {
            let provider = by_name(provider).unwrap();
            assert_eq!(listed(&table, provider.as_ref(), model, NOW), expect, "{} {model}", provider.name());
        }
        let own = r#"{"schema_version":1,"entries":[{"provider":"vllm","id":"mine","rates":{"input":"0.1"}}]}"#;
        let table = table.with_overrides(own).unwrap();
        assert_eq!(listed(&table, by_name("vllm").unwrap().as_ref(), "mine", NOW), Some(Embeddings));
    }

    #[test]
    fn names_tell_of_vectors_only() {
        for model in ["nomic-embed-text", "BAAI/bge-m3", "intfloat/e5-large-v2", "thenlper/gte-large", "all-minilm:l6"]
        {
            assert_eq!(guessed(model), Some(RequestFormat::Embeddings), "{model}");
        }
        for model in ["gpt-4o", "llama3.1", "claude-fable-5", "qwen3:8b", ""] {
            assert_eq!(guessed(model), None, "{model}");
        }
    }

    #[test]
    fn who_serves_what() {
        let none = |format, model: &str| -> Vec<&str> {
            let all = all().iter().filter(|provider| !serves(provider.as_ref(), format, model, model));
            all.map(|provider| provider.name()).collect()
        };
        assert_eq!(none(RequestFormat::Chat, "m"), [""; 0]);
        assert_eq!(none(RequestFormat::Embeddings, "m"), ["anthropic", "bedrock"]);
        assert_eq!(none(RequestFormat::Embeddings, "cohere.embed-v4:0"), ["anthropic"]);
    }

    #[test]
    fn a_name_that_leads_elsewhere_does_not_fit() {
        for (provider, model, expect) in [
            ("gemini", "gemini-2.5-pro", true),
            ("gemini", "a/../b", false),
            ("bedrock", "arn:aws:bedrock:us-east-1:1:application-inference-profile/x", true),
            ("deepinfra", "meta-llama/Llama-3", true),
            ("azure", "a/b", true),
        ] {
            assert_eq!(fits(by_name(provider).unwrap().as_ref(), model), expect, "{provider} {model}");
        }
    }
}
