//! The kinds of upstream that a model row may name in `provider`, and what their config means.

use super::config::{Config, Entries, Misconfigured};
use super::{Answerer, Backend, CachedRates, EmbeddingOptions, KnowledgeBase, ROUTE, UseCase};
use crate::domain::Model;
use crate::providers::compatible::Compatible;
use crate::providers::{Handle, by_name};
use crate::wire::chat::{CachePoints, DEFAULT_MAX_TOKENS, MaxTokens, Reasoning};
use std::sync::Arc;

type Build = fn(&Config) -> Result<Backend, Misconfigured>;

/// What `provider` may be.
const KINDS: &[(&str, Build)] = &[
    ("bedrock-converse", converse),
    ("bedrock-claude3", converse),
    ("bedrock-mistral", converse),
    ("bedrock-llama3", llama),
    ("bedrock-knowledge-base", knowledge_base),
    ("titan-embeddings", titan),
    ("openai-compatible", compatible),
    ("azure-openai", deployment),
    ("anthropic", anthropic),
    ("ollama", ollama),
    ("gemini-converse", gemini),
];

/// Every kind that may be named.
pub fn names() -> Vec<&'static str> {
    KINDS.iter().map(|(name, _)| *name).chain([ROUTE]).collect()
}

/// The path that a row for a route names.
pub(super) fn route(config: &str) -> Result<Box<str>, Misconfigured> {
    let config = Config::parse(config)?;
    let path = config.text("route").filter(|path| path.starts_with('/'));
    path.map(Into::into).ok_or(Misconfigured::Missing("route"))
}

pub(super) fn build(row: &Model) -> Result<Backend, Misconfigured> {
    of(&row.provider, row.config.expose())
}

pub(super) fn of(kind: &str, config: &str) -> Result<Backend, Misconfigured> {
    if kind == ROUTE {
        return Err(Misconfigured::Route);
    }
    let (_, build) = KINDS.iter().find(|(name, _)| *name == kind).ok_or(Misconfigured::Provider)?;
    build(&Config::parse(config)?)
}

/// Attempts after the first against a service that throttles.
const BEDROCK_RETRIES: u32 = 3;
const LEAST_BUDGET: u64 = 1024;
/// No model of this family writes more.
const LLAMA_MAX_TOKENS: u64 = 2048;
/// What stands behind a row for vectors that does not say.
const TITAN: &str = "amazon.titan-embed-text-v2:0";

fn provider(name: &str) -> Result<Handle, Misconfigured> {
    by_name(name).cloned().ok_or(Misconfigured::Provider)
}

fn plain(provider: Handle, model: &str, entries: Entries) -> Backend {
    let settings = vec![entries.setting(provider.name())];
    Backend {
        provider,
        model: model.into(),
        base_model: Box::default(),
        wildcard: false,
        settings,
        setting: None,
        max_retries: 0,
        max_tokens: MaxTokens::default(),
        reasoning: None,
        cache_points: CachePoints::default(),
        cached_rates: CachedRates::default(),
        use_case: UseCase::Chat,
        embedding: EmbeddingOptions::default(),
        knowledge: None,
    }
}

/// What every kind may say.
fn common(backend: Backend, config: &Config) -> Result<Backend, Misconfigured> {
    let retries = config.number("maxRetries").and_then(|n| u32::try_from(n).ok());
    let cap = config.number("maxTokens").filter(|n| *n > 0);
    let budget = config.number("thinkBudget").unwrap_or(LEAST_BUDGET).max(LEAST_BUDGET);
    let thinks = config.flag("thinking") == Some(true);
    Ok(Backend {
        setting: config.setting_id()?,
        base_model: config.text("baseModelId").unwrap_or_default().into(),
        max_retries: retries.unwrap_or(backend.max_retries).min(10),
        max_tokens: MaxTokens {
            default: cap.or(backend.max_tokens.default),
            cap: cap.or(backend.max_tokens.cap),
            ..backend.max_tokens
        },
        reasoning: thinks.then_some(Reasoning::Budget(budget)),
        cached_rates: CachedRates { read: config.rate("price_cache_read")?, write: config.rate("price_cache_write")? },
        ..backend
    })
}

/// One setting for each pair of a credential and a region.
fn aws(config: &Config) -> Result<Vec<Entries>, Misconfigured> {
    let mut regions: Vec<Option<&str>> = config.list("regions").into_iter().map(Some).collect();
    if regions.is_empty() {
        regions.push(config.text("region"));
    }
    let mut credentials: Vec<Vec<(&'static str, String, bool)>> = Vec::new();
    if let Some(token) = config.text("bearerToken") {
        credentials.push(vec![("bearerToken", token.to_owned(), true)]);
    }
    let own = Config::objects(config, "credentials");
    for pair in own.iter().chain(std::iter::once(config)) {
        let (Some(id), Some(secret)) = (pair.text("accessKeyId"), pair.text("secretAccessKey")) else { continue };
        let mut entries =
            vec![("awsAccessKeyId", id.to_owned(), false), ("awsSecretAccessKey", secret.to_owned(), true)];
        entries.extend(pair.text("sessionToken").map(|token| ("awsSessionToken", token.to_owned(), true)));
        credentials.push(entries);
    }
    // A pair that is half there is a mistake, not a wish for the host's own credentials.
    if credentials.is_empty() && !own.is_empty() {
        return Err(Misconfigured::Missing("credentials"));
    }
    if credentials.is_empty() {
        credentials.push(Vec::new());
    }
    let endpoint = config.text("endpoint");
    let mut all = Vec::with_capacity(regions.len() * credentials.len());
    for credential in &credentials {
        for region in &regions {
            let mut entries = Entries::default();
            for (name, value, secret) in credential {
                let into = if *secret { &mut entries.secrets } else { &mut entries.parameters };
                into.push((name, value.clone()));
            }
            entries.parameters.extend(region.map(|region| ("awsRegion", region.to_owned())));
            entries.parameters.extend(endpoint.map(|url| ("baseUrl", url.to_owned())));
            all.push(entries);
        }
    }
    Ok(all)
}

fn bedrock(config: &Config, model: &str) -> Result<Backend, Misconfigured> {
    let provider = provider("bedrock")?;
    let settings = aws(config)?.into_iter().map(|entries| entries.setting(provider.name())).collect();
    let cache = config.object("promptCache");
    let fields = cache.as_ref().map(|cache| cache.list("fields")).unwrap_or_default();
    let messages = cache.as_ref().map(|cache| cache.positions("messagePositions")).unwrap_or_default();
    let backend = Backend {
        settings,
        wildcard: true,
        max_retries: BEDROCK_RETRIES,
        max_tokens: MaxTokens { default: Some(DEFAULT_MAX_TOKENS), ..MaxTokens::default() },
        cache_points: CachePoints {
            system: fields.contains(&"system"),
            tools: fields.contains(&"tools"),
            messages: if fields.contains(&"messages") || fields.is_empty() { messages } else { Vec::new() },
        },
        ..plain(provider, model, Entries::default())
    };
    common(backend, config)
}

fn model_id(config: &Config) -> Result<&str, Misconfigured> {
    config.text("modelId").or_else(|| config.text("model_id")).ok_or(Misconfigured::Missing("modelId"))
}

fn converse(config: &Config) -> Result<Backend, Misconfigured> {
    bedrock(config, model_id(config)?)
}

fn llama(config: &Config) -> Result<Backend, Misconfigured> {
    let mut backend = converse(config)?;
    let cap = backend.max_tokens.cap.unwrap_or(LLAMA_MAX_TOKENS).min(LLAMA_MAX_TOKENS);
    backend.max_tokens = MaxTokens { default: Some(cap), cap: Some(cap), ..backend.max_tokens };
    Ok(backend)
}

fn knowledge_base(config: &Config) -> Result<Backend, Misconfigured> {
    let id = config.required("knowledgeBaseId")?.into();
    let answerer = match (config.text("bedrockModelArn"), config.text("summaryModel")) {
        (Some(arn), _) => Answerer::Arn(arn.into()),
        (None, Some(name)) => Answerer::Model(name.into()),
        (None, None) => return Err(Misconfigured::Missing("bedrockModelArn")),
    };
    let model: Box<str> = match &answerer {
        Answerer::Arn(arn) => arn.clone(),
        Answerer::Model(_) => Box::default(),
    };
    let backend = bedrock(config, &model)?;
    Ok(Backend {
        wildcard: false,
        use_case: UseCase::KnowledgeBase,
        knowledge: Some(KnowledgeBase { id, answerer }),
        ..backend
    })
}

fn titan(config: &Config) -> Result<Backend, Misconfigured> {
    let backend = bedrock(config, model_id(config)?)?;
    let embedding = EmbeddingOptions { dimensions: config.number("dimensions"), normalize: config.flag("normalize") };
    // The id of a profile tells nothing of the model.
    let tells = [&backend.model, &backend.base_model].iter().any(|name| name.contains("embed"));
    let base_model = if tells { backend.base_model.clone() } else { TITAN.into() };
    Ok(Backend { wildcard: false, use_case: UseCase::Embeddings, embedding, base_model, ..backend })
}

fn base_url(config: &Config) -> Result<(&'static str, String), Misconfigured> {
    Ok(("baseUrl", config.required("baseURL")?.to_owned()))
}

fn compatible(config: &Config) -> Result<Backend, Misconfigured> {
    let entries = Entries {
        parameters: vec![base_url(config)?],
        secrets: config.text("apiKey").map(|key| ("apikey", key.to_owned())).into_iter().collect(),
    };
    let backend = plain(Arc::new(Compatible::Open), config.text("model").unwrap_or_default(), entries);
    common(Backend { wildcard: true, ..backend }, config)
}

fn deployment(config: &Config) -> Result<Backend, Misconfigured> {
    let base = base_url(config)?;
    let entries = Entries {
        parameters: vec![("apiVersion", config.required("apiVersion")?.to_owned()), base.clone()],
        secrets: vec![("apikey", config.required("apiKey")?.to_owned())],
    };
    // The deployment is the model, unless the row tells more.
    let deployment = base.1.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    common(plain(Arc::new(Compatible::Deployment), config.text("model").unwrap_or(deployment), entries), config)
}

fn anthropic(config: &Config) -> Result<Backend, Misconfigured> {
    let entries = Entries {
        parameters: config.text("baseURL").map(|url| ("baseUrl", url.to_owned())).into_iter().collect(),
        secrets: config.text("apiKey").map(|key| ("apikey", key.to_owned())).into_iter().collect(),
    };
    if entries.secrets.is_empty() && config.setting_id()?.is_none() {
        return Err(Misconfigured::Missing("apiKey"));
    }
    let model = config.text("model").or_else(|| config.text("modelId")).unwrap_or_default();
    common(Backend { wildcard: true, ..plain(provider("anthropic")?, model, entries) }, config)
}

fn ollama(config: &Config) -> Result<Backend, Misconfigured> {
    let entries = Entries {
        parameters: vec![("url", config.required("host")?.to_owned())],
        secrets: config.text("apiKey").map(|key| ("apikey", key.to_owned())).into_iter().collect(),
    };
    common(plain(provider("ollama")?, config.required("model")?, entries), config)
}

fn gemini(config: &Config) -> Result<Backend, Misconfigured> {
    let entries = Entries {
        parameters: config.text("baseURL").map(|url| ("baseUrl", url.to_owned())).into_iter().collect(),
        secrets: vec![("apikey", config.required("apiKey")?.to_owned())],
    };
    common(plain(provider("gemini")?, config.text("model").unwrap_or("gemini-pro"), entries), config)
}
