//! What a model of OpenAI takes, by its name.

use crate::wire::chat::{Family, MaxTokens, MaxTokensMember, ReasoningStyle, Sampling, Target};

/// Models that think refuse to be tuned otherwise.
pub(super) fn target(model: &str) -> Target {
    let thinks = thinks(model);
    let gpt_oss = model.contains("gpt-oss");
    Target {
        model: model.into(),
        family: if gpt_oss { Family::GptOss } else { Family::Other },
        max_tokens: MaxTokens { member: member(model, thinks), ..MaxTokens::default() },
        reasoning: if thinks || gpt_oss { ReasoningStyle::Effort } else { ReasoningStyle::None },
        sampling: if thinks { Sampling::Fixed } else { Sampling::Free },
        ..Target::default()
    }
}

/// OpenAI's own models know the newer name; whoever copied the API knows the older.
fn member(model: &str, thinks: bool) -> MaxTokensMember {
    let own = thinks || model.starts_with("gpt-4") || model.starts_with("gpt-3.5") || model.starts_with("chatgpt");
    if own { MaxTokensMember::MaxCompletionTokens } else { MaxTokensMember::MaxTokens }
}

/// `o1`, `o3-mini`, `gpt-5`, `gpt-6.1-sol`; not the chat models among them.
fn thinks(model: &str) -> bool {
    let number = |rest: &str| rest.bytes().take_while(u8::is_ascii_digit).count() > 0;
    let o_series = model.strip_prefix('o').is_some_and(number);
    let gpt = model.strip_prefix("gpt-").and_then(|rest| rest.split(['.', '-']).next()?.parse::<u32>().ok());
    (o_series || gpt.is_some_and(|major| major >= 5)) && !model.contains("-chat")
}

/// Models from before there were conversations.
pub(super) fn completes_only(model: &str) -> bool {
    model.contains("-instruct") || model.starts_with("davinci") || model.starts_with("babbage")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_that_think_are_told_apart() {
        for (model, expect) in [
            ("o1", true),
            ("o3-mini", true),
            ("gpt-5.4", true),
            ("gpt-6.1-sol", true),
            ("gpt-5-chat-latest", false),
            ("gpt-4o", false),
            ("omni-moderation-latest", false),
            ("gpt-oss-120b", false),
            ("qwen3-32b", false),
        ] {
            assert_eq!(thinks(model), expect, "{model}");
        }
    }

    #[test]
    fn the_bound_has_the_name_that_the_model_knows() {
        for (model, member) in [
            ("gpt-4o", MaxTokensMember::MaxCompletionTokens),
            ("o3", MaxTokensMember::MaxCompletionTokens),
            ("deepseek-chat", MaxTokensMember::MaxTokens),
        ] {
            assert_eq!(target(model).max_tokens.member, member, "{model}");
        }
    }
}
