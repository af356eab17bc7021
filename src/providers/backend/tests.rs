use super::*;
use crate::domain::{ModelId, Money, Secret, UnixMillis};

fn row(provider: &str, config: &str) -> Model {
    Model {
        id: ModelId(1),
        revision: 1,
        name: "m".into(),
        provider: provider.into(),
        multiple: false,
        price_in: Money::ZERO,
        price_out: Money::ZERO,
        config: Secret::new(config),
        created_at: UnixMillis(0),
        updated_at: UnixMillis(0),
    }
}

fn missing(provider: &str, config: &str) -> Option<Misconfigured> {
    Backend::of(&row(provider, config)).err()
}

#[test]
fn each_kind_says_what_it_lacks() {
    for (provider, config, expect) in [
        ("bedrock-converse", "{}", Some(Misconfigured::Missing("modelId"))),
        ("bedrock-converse", r#"{"modelId":" "}"#, Some(Misconfigured::Missing("modelId"))),
        ("bedrock-converse", r#"{"model_id":"m"}"#, None),
        (
            "bedrock-mistral",
            r#"{"modelId":"m","credentials":[{"accessKeyId":"a"}]}"#,
            Some(Misconfigured::Missing("credentials")),
        ),
        ("openai-compatible", r#"{"apiKey":"k"}"#, Some(Misconfigured::Missing("baseURL"))),
        ("openai-compatible", r#"{"baseURL":"http://h/v1"}"#, None),
        ("azure-openai", r#"{"baseURL":"http://h","apiKey":"k"}"#, Some(Misconfigured::Missing("apiVersion"))),
        ("bedrock-knowledge-base", r#"{"knowledgeBaseId":"k"}"#, Some(Misconfigured::Missing("bedrockModelArn"))),
        ("nobody", "{}", Some(Misconfigured::Provider)),
        ("bedrock-converse", "[]", Some(Misconfigured::Provider)),
    ] {
        assert_eq!(missing(provider, config), expect, "{provider} {config}");
    }
}

#[test]
fn every_credential_goes_with_every_region() {
    let config = r#"{"modelId":"m","regions":"us-east-1, eu-west-1",
        "credentials":[{"accessKeyId":"A","secretAccessKey":"s"},{"accessKeyId":"B","secretAccessKey":"t"}]}"#;
    let backend = Backend::of(&row("bedrock-converse", config)).unwrap();
    let pairs: Vec<_> = (0..5)
        .map(|turn| {
            let setting = backend.attempt(turn, "x").unwrap();
            format!("{} {}", setting.parameters["awsAccessKeyId"], setting.parameters["awsRegion"])
        })
        .collect();
    assert_eq!(pairs, ["A us-east-1", "A eu-west-1", "B us-east-1", "B eu-west-1", "A us-east-1"]);
    assert_eq!(backend.max_retries, 3);
    let host = Backend::of(&row("bedrock-converse", r#"{"modelId":"m"}"#)).unwrap();
    assert_eq!(&*host.attempt(0, "ap-south-1").unwrap().parameters["awsRegion"], "ap-south-1");
    assert!(host.provider.is_ambient(&host.attempt(0, "ap-south-1").unwrap()));
}

#[test]
fn limits_and_habits_of_a_row() {
    let config = r#"{"modelId":"m","maxTokens":"1000","thinking":true,"thinkBudget":100,
        "promptCache":{"fields":["system"],"messagePositions":[-1]}}"#;
    let backend = Backend::of(&row("bedrock-converse", config)).unwrap();
    let target = backend.target("anthropic.claude-3-7-sonnet-20250219-v1:0");
    assert_eq!((target.max_tokens.of(None), target.max_tokens.of(Some(9999))), (Some(1000), Some(1000)));
    assert_eq!(backend.reasoning, Some(Reasoning::Budget(1024)));
    assert!(target.cache_points.system && target.cache_points.messages.is_empty());
    let llama = Backend::of(&row("bedrock-llama3", r#"{"modelId":"m"}"#)).unwrap();
    assert_eq!(llama.target("m").max_tokens.of(Some(9999)), Some(2048));
}

#[test]
fn secrets_are_not_shown() {
    let config = r#"{"modelId":"m","credentials":[{"accessKeyId":"A","secretAccessKey":"hush"}],"bearerToken":"hush"}"#;
    let backend = Backend::of(&row("bedrock-converse", config)).unwrap();
    assert!(!format!("{backend:?}").contains("hush"));
}
