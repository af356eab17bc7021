//! What is known of servers of open models beyond OpenAI's rules: a prompt is put together by a template that the
//! request does not show.

use super::openai::Kind;
use crate::domain::Usage;
use crate::metering::ModelLimits;
use crate::wire::chat::{Family, ReasoningStyle, Target};
use crate::wire::json_walk::members;
use memchr::memmem;

/// More than the fixed text of any known template, in tokens.
const TEMPLATE: u64 = 2048;
/// Tokens to a byte of JSON at most where a template writes it anew, indented and with every letter escaped.
const REWRITTEN: u64 = 4;

/// What an open model takes: tuned freely, with its own `top_k`, thinking that it shows and takes back as plain text.
pub(super) fn target(model: &str) -> Target {
    let gpt_oss = model.contains("gpt-oss");
    Target {
        model: model.into(),
        family: if gpt_oss { Family::GptOss } else { Family::Other },
        reasoning: if gpt_oss { ReasoningStyle::Effort } else { ReasoningStyle::None },
        plain_reasoning: true,
        top_k: true,
        ..Target::default()
    }
}

/// Widens OpenAI's bound of a call by what a template can add. `None` when the request brings a template of its own,
/// and the model's limit is not known.
pub(super) fn with_template(kind: Kind, bound: Usage, body: &[u8], limits: &ModelLimits) -> Option<Usage> {
    if !matches!(kind, Kind::Chat | Kind::Completions | Kind::Responses | Kind::Embeddings) {
        return Some(bound);
    }
    let free = members(body).any(|m| (m.is("chat_template") || m.is("chat_template_kwargs")) && m.value != b"null");
    let has = |word: &[u8]| memmem::find(body, word).is_some();
    let written = if has(b"tool") || has(b"function") || has(b"documents") || has(b"\\u") {
        bound.in_text.saturating_mul(REWRITTEN)
    } else {
        bound.in_text
    };
    let widened = if free { u64::MAX } else { written.saturating_add(TEMPLATE) };
    // Several texts of one embedding have the limit for themselves each.
    let in_text = match limits.input.filter(|_| kind != Kind::Embeddings) {
        Some(limit) => widened.min(limit.max(bound.in_text)),
        None if free => return None,
        None => widened,
    };
    Some(Usage { in_text, ..bound })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(kind: Kind, body: &str, limit: Option<u64>) -> Option<u64> {
        let bytes = Usage { in_text: body.len() as u64, ..Usage::default() };
        let limits = ModelLimits { input: limit, output: None };
        with_template(kind, bytes, body.as_bytes(), &limits).map(|usage| usage.in_text)
    }

    #[test]
    fn templates_widen_the_bound() {
        let plain = r#"{"messages":[]}"#;
        assert_eq!(bound(Kind::Chat, plain, None), Some(15 + 2048));
        assert_eq!(bound(Kind::Chat, plain, Some(1000)), Some(1000));
        let tools = r#"{"messages":[],"tools":[]}"#;
        assert_eq!(bound(Kind::Chat, tools, None), Some(4 * 26 + 2048));
        let own = r#"{"chat_template":"{% for i in range(99999) %}x{% endfor %}"}"#;
        assert_eq!(bound(Kind::Chat, own, None), None);
        assert_eq!(bound(Kind::Chat, own, Some(32_000)), Some(32_000));
        assert_eq!(bound(Kind::Other, own, None), Some(own.len() as u64));
    }
}
