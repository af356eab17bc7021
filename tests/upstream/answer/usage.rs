//! Usage objects in the shapes of the chat family and of responses.

use super::super::act::{Act, Tokens};

/// What every answer reports unless it is told otherwise.
const INPUT: u64 = 19;
const OUTPUT: u64 = 10;

pub fn chat(act: &Act) -> Option<String> {
    told(act, |tokens| {
        let (input, output) = counts(tokens);
        format!(
            r#"{{"prompt_tokens":{input},"completion_tokens":{output},"total_tokens":{total},"prompt_tokens_details":{{"cached_tokens":{cached},"audio_tokens":{audio_in}{cache_write}}},"completion_tokens_details":{{"reasoning_tokens":{reasoning},"audio_tokens":{audio_out},"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}}"#,
            total = input.saturating_add(output),
            cached = tokens.cached,
            audio_in = tokens.audio_in,
            cache_write = cache_write(tokens),
            reasoning = tokens.reasoning,
            audio_out = tokens.audio_out,
        )
    })
}

pub fn responses(act: &Act) -> Option<String> {
    told(act, |tokens| {
        let (input, output) = counts(tokens);
        format!(
            r#"{{"input_tokens":{input},"input_tokens_details":{{"cached_tokens":{cached}{cache_write}}},"output_tokens":{output},"output_tokens_details":{{"reasoning_tokens":{reasoning}}},"total_tokens":{total}}}"#,
            cached = tokens.cached,
            cache_write = cache_write(tokens),
            reasoning = tokens.reasoning,
            total = input.saturating_add(output),
        )
    })
}

pub fn embeddings(act: &Act) -> Option<String> {
    told(act, |tokens| {
        let input = tokens.input.unwrap_or(8);
        format!(r#"{{"prompt_tokens":{input},"total_tokens":{input}}}"#)
    })
}

/// None, the one that the behaviour gives word for word, or one made of its tokens.
fn told(act: &Act, made: impl FnOnce(&Tokens) -> String) -> Option<String> {
    let given = || act.usage.as_ref().map(|usage| usage.get().to_owned());
    (!act.no_usage).then(|| given().unwrap_or_else(|| made(&act.tokens)))
}

fn counts(tokens: &Tokens) -> (u64, u64) {
    (tokens.input.unwrap_or(INPUT), tokens.output.unwrap_or(OUTPUT))
}

/// A member that is there only when something was written.
fn cache_write(tokens: &Tokens) -> String {
    match tokens.cache_write {
        0 => String::new(),
        count => format!(r#","cache_write_tokens":{count}"#),
    }
}
