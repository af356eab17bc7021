//! What a Claude model can, by its name: versions differ in what they take and refuse.

use crate::wire::chat::{Family, ReasoningStyle, Sampling, Target};

/// Fills in what is known of a Claude model; `None` when the name is not one's.
pub(super) fn target(model: &str) -> Option<Target> {
    let version = version(model)?;
    let reasoning = match version {
        (..=3, ..=6) => ReasoningStyle::None,
        (3, _) | (4, ..=5) => ReasoningStyle::Budget,
        _ => ReasoningStyle::Adaptive,
    };
    let sampling = match version {
        (..=3, _) | (4, 0) => Sampling::Free,
        (4, _) => Sampling::OneOf,
        _ => Sampling::Fixed,
    };
    Some(Target {
        model: model.into(),
        family: Family::Claude,
        reasoning,
        sampling,
        structured_output: version >= (4, 5),
        prefill: version < (4, 6),
        top_k: sampling != Sampling::Fixed,
        ..Target::default()
    })
}

/// Major and minor of `claude-3-5-sonnet-20240620`, `claude-opus-4-1`, `claude-sonnet-5`, `claude-v2:1`, with whatever a
/// host puts before and behind.
fn version(model: &str) -> Option<(u32, u32)> {
    let (_, rest) = model.split_once("claude")?;
    let mut numbers = Vec::new();
    for word in rest.split(['-', '.', ':', '@', '/']) {
        let word = word.strip_prefix('v').unwrap_or(word);
        match word.parse::<u32>().ok().filter(|_| word.len() <= 2) {
            Some(number) => numbers.push(number),
            // Only the first run of numbers is the version; dates and what a host adds come after it.
            None if !numbers.is_empty() => break,
            None => {}
        }
    }
    Some(match numbers.as_slice() {
        [] => (1, 0),
        [major] => (*major, 0),
        [major, minor, ..] => (*major, *minor),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_out_of_names() {
        for (model, expect) in [
            ("anthropic.claude-3-sonnet-20240229-v1:0", Some((3, 0))),
            ("us.anthropic.claude-3-5-haiku-20241022-v1:0", Some((3, 5))),
            ("claude-opus-4-1", Some((4, 1))),
            ("claude-opus-4-20250514", Some((4, 0))),
            ("anthropic.claude-sonnet-4-5-20250929-v1:0", Some((4, 5))),
            ("claude-sonnet-5", Some((5, 0))),
            ("anthropic.claude-opus-4-6-v1", Some((4, 6))),
            ("anthropic.claude-v2:1", Some((2, 1))),
            ("claude-instant-v1", Some((1, 0))),
            ("amazon.nova-pro-v1:0", None),
        ] {
            assert_eq!(version(model), expect, "{model}");
        }
    }

    #[test]
    fn abilities_follow_the_version() {
        let of = |model| target(model).map(|t| (t.reasoning, t.sampling, t.structured_output, t.prefill));
        assert_eq!(of("claude-3-5-sonnet"), Some((ReasoningStyle::None, Sampling::Free, false, true)));
        assert_eq!(of("claude-3-7-sonnet-latest"), Some((ReasoningStyle::Budget, Sampling::Free, false, true)));
        assert_eq!(of("claude-sonnet-4-5"), Some((ReasoningStyle::Budget, Sampling::OneOf, true, true)));
        assert_eq!(of("claude-sonnet-5"), Some((ReasoningStyle::Adaptive, Sampling::Fixed, true, false)));
        assert_eq!(of("gpt-4o"), None);
    }
}
