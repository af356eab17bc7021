//! The kinds of upstream that a model of the unified API may have, and what its config must hold for each.

use serde_json::Value;

/// Answers out of a knowledge base.
pub const KNOWLEDGE_BASE: &str = "bedrock-knowledge-base";
/// Where a knowledge base is when its model does not say.
pub const KNOWLEDGE_BASE_REGION: &str = "us-east-1";

/// Each kind with what it needs; of the members in one entry, one is enough.
const KINDS: &[(&str, &[&[&str]])] = &[
    ("bedrock-converse", &[&["modelId", "model_id"]]),
    ("bedrock-claude3", &[&["modelId", "model_id"]]),
    ("bedrock-mistral", &[&["modelId", "model_id"]]),
    ("bedrock-llama3", &[&["modelId", "model_id"]]),
    ("openai-compatible", &[&["baseURL"], &["apiKey"]]),
    ("azure-openai", &[&["baseURL"], &["apiKey"], &["apiVersion"]]),
    ("ollama", &[&["host"], &["model"]]),
    (KNOWLEDGE_BASE, &[&["region"], &["knowledgeBaseId"], &["bedrockModelArn", "summaryModel"]]),
    ("gemini-converse", &[&["apiKey"]]),
    ("titan-embeddings", &[&["modelId"]]),
];

/// Their names, as models have them.
pub fn all() -> Vec<&'static str> {
    KINDS.iter().map(|(kind, _)| *kind).collect()
}

/// Whether a model of this kind can be called with this config.
///
/// # Errors
/// What is missing, as a sentence without values.
pub fn check(kind: &str, config: &Value) -> Result<(), String> {
    let Some((_, needs)) = KINDS.iter().find(|(name, _)| *name == kind) else {
        return Err("the provider is not known".to_owned());
    };
    let is_set = |name: &&str| config.get(name).and_then(Value::as_str).is_some_and(|value| !value.is_empty());
    match needs.iter().find(|names| !names.iter().any(is_set)) {
        Some(names) => Err(format!("config.{} is missing", names.join(" or config."))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_missing_is_told() {
        assert_eq!(check("bedrock-converse", &json!({"model_id": "m"})), Ok(()));
        let missing = check("bedrock-converse", &json!({"modelId": ""})).unwrap_err();
        assert_eq!(missing, "config.modelId or config.model_id is missing");
        assert_eq!(check("ollama", &json!({"host": "h"})).unwrap_err(), "config.model is missing");
        assert!(check("shell", &json!({})).is_err());
    }
}
