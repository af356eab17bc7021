//! Models that a gateway offers before anybody has set one up: names that clients know, with prices of their time.

/// One of them; prices per token in 1e-10 USD, which is 1e-4 USD per million tokens.
#[derive(Debug)]
pub struct First {
    pub name: &'static str,
    pub kind: &'static str,
    pub model_id: &'static str,
    /// Takes pictures.
    pub multiple: bool,
    pub price_in: i64,
    pub price_out: i64,
}

const CONVERSE: &str = "bedrock-converse";

const fn converse(name: &'static str, model_id: &'static str, multiple: bool, price_in: i64, price_out: i64) -> First {
    First { name, kind: CONVERSE, model_id, multiple, price_in, price_out }
}

/// `cr-`: the same model reached through the cross-region profile of the United States.
pub const FIRST: &[First] = &[
    converse("claude-3-5-sonnet", "anthropic.claude-3-5-sonnet-20240620-v1:0", true, 30_000, 150_000),
    converse("claude-3-sonnet", "anthropic.claude-3-sonnet-20240229-v1:0", true, 30_000, 150_000),
    converse("claude-3-haiku", "anthropic.claude-3-haiku-20240307-v1:0", true, 2_500, 12_500),
    converse("claude-3-opus", "anthropic.claude-3-opus-20240229-v1:0", true, 150_000, 750_000),
    converse("mistral-7b", "mistral.mistral-7b-instruct-v0:2", false, 1_500, 2_000),
    converse("mistral-8x7b", "mistral.mixtral-8x7b-instruct-v0:1", false, 4_500, 7_000),
    converse("mistral-large", "mistral.mistral-large-2402-v1:0", false, 80_000, 240_000),
    converse("mistral-small", "mistral.mistral-small-2402-v1:0", false, 10_000, 30_000),
    converse("llama3-8b", "meta.llama3-8b-instruct-v1:0", false, 4_000, 6_000),
    converse("llama3-70b", "meta.llama3-70b-instruct-v1:0", false, 26_500, 35_000),
    converse("amazon-nova-pro", "amazon.nova-pro-v1:0", true, 8_000, 32_000),
    converse("amazon-nova-lite", "amazon.nova-lite-v1:0", true, 600, 2_400),
    converse("amazon-nova-micro", "amazon.nova-micro-v1:0", false, 350, 1_400),
    converse("claude-3-5-sonnet-v2", "anthropic.claude-3-5-sonnet-20241022-v2:0", true, 30_000, 150_000),
    converse("claude-3-5-haiku", "anthropic.claude-3-5-haiku-20241022-v1:0", true, 8_000, 40_000),
    converse("claude-3-7-sonnet", "anthropic.claude-3-7-sonnet-20250219-v1:0", true, 30_000, 150_000),
    converse("cr-amazon-nova-pro", "us.amazon.nova-pro-v1:0", true, 8_000, 32_000),
    converse("cr-amazon-nova-lite", "us.amazon.nova-lite-v1:0", true, 600, 2_400),
    converse("cr-amazon-nova-micro", "us.amazon.nova-micro-v1:0", false, 350, 1_400),
    converse("cr-claude-3-5-sonnet-v2", "us.anthropic.claude-3-5-sonnet-20241022-v2:0", true, 30_000, 150_000),
    converse("cr-claude-3-5-haiku", "us.anthropic.claude-3-5-haiku-20241022-v1:0", true, 8_000, 40_000),
    converse("cr-claude-3-7-sonnet", "us.anthropic.claude-3-7-sonnet-20250219-v1:0", true, 30_000, 150_000),
];
