//! Usage objects in the shapes of the chat family and of responses.

use super::super::act::Act;

/// What every answer reports unless it is told otherwise.
const INPUT: u64 = 19;
const OUTPUT: u64 = 10;

pub fn chat(act: &Act) -> Option<String> {
    if act.no_usage {
        return None;
    }
    if let Some(usage) = &act.usage {
        return Some(usage.get().to_owned());
    }
    let (tokens, input, output) = (&act.tokens, input(act), output(act));
    let cache_write = match tokens.cache_write {
        0 => String::new(),
        count => format!(r#","cache_write_tokens":{count}"#),
    };
    Some(format!(
        r#"{{"prompt_tokens":{input},"completion_tokens":{output},"total_tokens":{total},"prompt_tokens_details":{{"cached_tokens":{cached},"audio_tokens":{audio_in}{cache_write}}},"completion_tokens_details":{{"reasoning_tokens":{reasoning},"audio_tokens":{audio_out},"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}}"#,
        total = input.saturating_add(output),
        cached = tokens.cached,
        audio_in = tokens.audio_in,
        reasoning = tokens.reasoning,
        audio_out = tokens.audio_out,
    ))
}

pub fn responses(act: &Act) -> Option<String> {
    if act.no_usage {
        return None;
    }
    if let Some(usage) = &act.usage {
        return Some(usage.get().to_owned());
    }
    let (tokens, input, output) = (&act.tokens, input(act), output(act));
    let cache_write = match tokens.cache_write {
        0 => String::new(),
        count => format!(r#","cache_write_tokens":{count}"#),
    };
    Some(format!(
        r#"{{"input_tokens":{input},"input_tokens_details":{{"cached_tokens":{cached}{cache_write}}},"output_tokens":{output},"output_tokens_details":{{"reasoning_tokens":{reasoning}}},"total_tokens":{total}}}"#,
        cached = tokens.cached,
        reasoning = tokens.reasoning,
        total = input.saturating_add(output),
    ))
}

pub fn embeddings(act: &Act) -> Option<String> {
    if act.no_usage {
        return None;
    }
    if let Some(usage) = &act.usage {
        return Some(usage.get().to_owned());
    }
    let input = act.tokens.input.unwrap_or(8);
    Some(format!(r#"{{"prompt_tokens":{input},"total_tokens":{input}}}"#))
}

fn input(act: &Act) -> u64 {
    act.tokens.input.unwrap_or(INPUT)
}

fn output(act: &Act) -> u64 {
    act.tokens.output.unwrap_or(OUTPUT)
}
