//! What a model is told beside the common form: how to think, and the room that takes.

use super::write_request::Dropped;
use super::write_tools::AnswerTool;
use super::write_turns;
use crate::wire::chat::request::{Effort, Part, Reasoning, Request, Role};
use crate::wire::chat::target::{DEFAULT_MAX_TOKENS, Family, MaxTokens, ReasoningStyle, Target};
use serde_json::{Map, Value, json};

/// The least that a model with a budget takes.
const LEAST_BUDGET: u64 = 1024;

/// How the model is told to think.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Thinking {
    /// Nothing is said.
    Unsaid,
    Disabled,
    Budget {
        tokens: u64,
        /// Of the whole answer.
        max_tokens: u64,
    },
    Adaptive(Option<Effort>),
    Effort(Effort),
}

impl Thinking {
    /// A model that thinks takes no sampling, no forced tool and no beginning of its answer.
    pub(super) const fn is_on(self) -> bool {
        matches!(self, Self::Budget { .. } | Self::Adaptive(_))
    }
}

#[derive(Debug)]
pub(super) struct Effects {
    /// Of `additionalModelRequestFields`.
    pub(super) fields: Map<String, Value>,
    /// Of `outputConfig`.
    pub(super) effort: Option<&'static str>,
    pub(super) max_tokens: Option<u64>,
}

/// What becomes of the client's wish.
pub(super) fn thinking(
    request: &Request,
    target: &Target,
    answer_tool: Option<&AnswerTool>,
    dropped: &mut Dropped,
) -> Thinking {
    let Some(reasoning) = request.reasoning else { return Thinking::Unsaid };
    let name = if matches!(reasoning, Reasoning::Effort(_) | Reasoning::Off) { "reasoning_effort" } else { "thinking" };
    if reasoning == Reasoning::Off {
        return match (target.reasoning, target.family) {
            (ReasoningStyle::Adaptive, _) => Thinking::Disabled,
            (ReasoningStyle::Effort, Family::GptOss) => {
                dropped.name(name);
                Thinking::Unsaid
            }
            _ => Thinking::Unsaid,
        };
    }
    let wanted = match target.reasoning {
        ReasoningStyle::None => None,
        ReasoningStyle::Budget if loses_its_thread(request) => None,
        ReasoningStyle::Budget => fit(budget(reasoning), request.max_tokens, target.max_tokens),
        ReasoningStyle::Adaptive => Some(Thinking::Adaptive(word(reasoning))),
        ReasoningStyle::Effort => Some(Thinking::Effort(word(reasoning).unwrap_or(Effort::Medium))),
    };
    // A forced tool and thinking exclude each other; without the tool the answer would not have its form.
    match wanted.filter(|thinking| !(thinking.is_on() && answer_tool.is_some())) {
        Some(thinking) => thinking,
        None => {
            dropped.name(name);
            Thinking::Unsaid
        }
    }
}

/// The turn that is continued called tools without showing how it came to that. A model with a budget then refuses to
/// think on: clients of forms that carry no signed thinking could not use tools at all.
fn loses_its_thread(request: &Request) -> bool {
    let turns = write_turns::joined(request);
    let asks = |role: Role, parts: &[&Part]| {
        role == Role::User && !parts.iter().any(|part| matches!(part, Part::ToolResult { .. }))
    };
    let begin = turns.iter().rposition(|(role, parts)| asks(*role, parts)).map_or(0, |at| at.saturating_add(1));
    let own = || turns.iter().skip(begin).filter(|(role, _)| *role == Role::Assistant).flat_map(|(_, parts)| parts);
    let written = |part: &&&Part| !matches!(part, Part::Thinking { signature: None, .. });
    let shown =
        own().find(written).is_some_and(|part| matches!(part, Part::Thinking { .. } | Part::RedactedThinking(_)));
    !shown && own().any(|part| matches!(part, Part::ToolCall(_)))
}

const fn budget(reasoning: Reasoning) -> u64 {
    let tokens = match reasoning {
        Reasoning::Budget(tokens) => tokens,
        Reasoning::Effort(effort) | Reasoning::Adaptive(Some(effort)) => effort.budget(),
        Reasoning::Off | Reasoning::Adaptive(None) => Effort::Medium.budget(),
    };
    if tokens < LEAST_BUDGET { LEAST_BUDGET } else { tokens }
}

/// The budget is part of the answer's maximum: that is raised, up to what the target allows, and the budget is
/// lowered if that is not enough. `None`: there is no room for the least budget.
fn fit(tokens: u64, asked: Option<u64>, limits: MaxTokens) -> Option<Thinking> {
    let wanted = limits.always(asked);
    let room = asked.or(limits.default).unwrap_or(DEFAULT_MAX_TOKENS).max(1);
    let raised = if wanted > tokens { wanted } else { tokens.saturating_add(room) };
    let max_tokens = limits.cap.map_or(raised, |cap| raised.min(cap));
    let tokens = tokens.min(max_tokens.saturating_sub(1));
    (tokens >= LEAST_BUDGET).then_some(Thinking::Budget { tokens, max_tokens })
}

const fn word(reasoning: Reasoning) -> Option<Effort> {
    match reasoning {
        Reasoning::Effort(effort) => Some(effort),
        Reasoning::Budget(tokens) => Some(Effort::of_budget(tokens)),
        Reasoning::Adaptive(effort) => effort,
        Reasoning::Off => None,
    }
}

/// Members for it, and the maximum that goes with them.
pub(super) fn effects(request: &Request, target: &Target, thinking: Thinking) -> Effects {
    let mut fields = Map::new();
    let mut effort = None;
    let mut max_tokens = target.max_tokens.of(request.max_tokens);
    match thinking {
        Thinking::Unsaid => {}
        Thinking::Disabled => {
            fields.insert("thinking".into(), json!({ "type": "disabled" }));
        }
        Thinking::Budget { tokens, max_tokens: whole } => {
            fields.insert("thinking".into(), json!({ "type": "enabled", "budget_tokens": tokens }));
            max_tokens = Some(whole);
        }
        Thinking::Adaptive(wanted) => {
            fields.insert("thinking".into(), json!({ "type": "adaptive" }));
            effort = wanted.map(from_low);
        }
        Thinking::Effort(wanted) => match target.family {
            Family::Claude => effort = Some(from_low(wanted)),
            Family::Nova => {
                let config = json!({ "type": "enabled", "maxReasoningEffort": low_to_high(wanted) });
                fields.insert("reasoningConfig".into(), config);
            }
            Family::GptOss | Family::Other => {
                fields.insert("reasoning_effort".into(), low_to_high(wanted).into());
            }
        },
    }
    Effects { fields, effort, max_tokens }
}

/// For models that know no `minimal`.
const fn from_low(effort: Effort) -> &'static str {
    match effort {
        Effort::Minimal => Effort::Low.name(),
        _ => effort.name(),
    }
}

/// For models that know three words.
const fn low_to_high(effort: Effort) -> &'static str {
    match effort {
        Effort::Minimal | Effort::Low => Effort::Low.name(),
        Effort::Medium => Effort::Medium.name(),
        Effort::High | Effort::XHigh | Effort::Max => Effort::High.name(),
    }
}
