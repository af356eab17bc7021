//! How much the model shall think and write, and how freely: the numbers of a request.

use super::super::{Effort, Reasoning, ReasoningStyle, Request, Sampling, Target};
use serde::Serialize;

/// The smallest budget for thinking that the API takes.
const LEAST_BUDGET: u64 = 1024;

/// What was asked for and is not sent; each name once.
#[derive(Debug, Default)]
pub(super) struct Dropped(Vec<String>);

impl Dropped {
    pub(super) fn add(&mut self, name: &str) {
        if !self.0.iter().any(|known| known == name) {
            self.0.push(name.to_owned());
        }
    }
    pub(super) fn into_names(self) -> Vec<String> {
        self.0
    }
}

#[derive(Serialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Thinking {
    Enabled { budget_tokens: u64 },
    Adaptive,
    Disabled,
}

#[derive(Debug)]
pub(super) struct Options {
    pub(super) max_tokens: u64,
    pub(super) thinking: Option<Thinking>,
    pub(super) effort: Option<&'static str>,
    pub(super) temperature: Option<f64>,
    pub(super) top_p: Option<f64>,
    pub(super) top_k: Option<u64>,
}

impl Options {
    /// `may_think`: nothing else in the request forbids it.
    pub(super) fn of(request: &Request, target: &Target, may_think: bool, dropped: &mut Dropped) -> Self {
        let mut options = Self {
            max_tokens: target.max_tokens.always(request.max_tokens),
            thinking: None,
            effort: None,
            temperature: None,
            top_p: None,
            top_k: None,
        };
        if let Some(wanted) = request.reasoning
            && !(options.reason(wanted, request, target, may_think))
        {
            dropped.add(match wanted {
                Reasoning::Effort(_) => "reasoning_effort",
                Reasoning::Off | Reasoning::Budget(_) | Reasoning::Adaptive(_) => "thinking",
            });
        }
        options.sample(request, target, dropped);
        // Zero is what they are without being asked for.
        let asked = |penalty: Option<f64>| penalty.is_some_and(|p| p != 0.0);
        for (name, asked) in [
            ("frequency_penalty", asked(request.frequency_penalty)),
            ("presence_penalty", asked(request.presence_penalty)),
            ("seed", request.seed.is_some()),
        ] {
            if asked {
                dropped.add(name);
            }
        }
        options
    }

    pub(super) fn thinks(&self) -> bool {
        matches!(self.thinking, Some(Thinking::Enabled { .. } | Thinking::Adaptive))
    }

    /// `false`: it cannot be said to this model.
    fn reason(&mut self, wanted: Reasoning, request: &Request, target: &Target, may_think: bool) -> bool {
        let effort = match wanted {
            Reasoning::Effort(effort) => Some(effort),
            Reasoning::Budget(tokens) => Some(Effort::of_budget(tokens)),
            Reasoning::Adaptive(effort) => effort,
            Reasoning::Off => None,
        };
        match (target.reasoning, wanted) {
            // They do not think anyway.
            (ReasoningStyle::None, Reasoning::Off) => {}
            (ReasoningStyle::None, _) | (ReasoningStyle::Effort, Reasoning::Off) => return false,
            (ReasoningStyle::Budget | ReasoningStyle::Adaptive, Reasoning::Off) => {
                self.thinking = Some(Thinking::Disabled);
            }
            (ReasoningStyle::Effort, _) => self.effort = effort.map(word),
            (ReasoningStyle::Budget | ReasoningStyle::Adaptive, _) if !may_think => return false,
            (ReasoningStyle::Adaptive, _) => {
                self.thinking = Some(Thinking::Adaptive);
                self.effort = effort.map(word);
            }
            (ReasoningStyle::Budget, _) => {
                let budget = match wanted {
                    Reasoning::Budget(tokens) => tokens,
                    _ => effort.unwrap_or(Effort::Medium).budget(),
                };
                return self.reserve(budget, request, target);
            }
        }
        true
    }

    /// The budget is part of the maximum, which is raised where it leaves no room for an answer.
    fn reserve(&mut self, budget: u64, request: &Request, target: &Target) -> bool {
        let budget = budget.max(LEAST_BUDGET);
        let limits = &target.max_tokens;
        let asked = request.max_tokens.or(limits.default).unwrap_or(self.max_tokens);
        let wanted = if budget < asked { asked } else { budget.saturating_add(asked) };
        let max_tokens = limits.cap.map_or(wanted, |cap| wanted.min(cap));
        let budget_tokens = budget.min(max_tokens.saturating_sub(1));
        if budget_tokens < LEAST_BUDGET {
            return false;
        }
        self.max_tokens = max_tokens;
        self.thinking = Some(Thinking::Enabled { budget_tokens });
        true
    }

    fn sample(&mut self, request: &Request, target: &Target, dropped: &mut Dropped) {
        // One is what both are without being asked for, so it is not missed.
        let mut miss = |name: &str, value: Option<f64>| {
            if value.is_some_and(|v| v != 1.0) {
                dropped.add(name);
            }
        };
        let top_p = request.top_p.map(|p| p.min(1.0));
        let temperature = request.temperature.map(|t| t.min(1.0));
        if target.sampling == Sampling::Fixed || self.thinks() {
            miss("temperature", temperature);
            miss("top_p", top_p);
            if request.top_k.is_some() {
                dropped.add("top_k");
            }
            return;
        }
        self.temperature = temperature;
        self.top_k = request.top_k;
        if target.sampling == Sampling::OneOf && temperature.is_some() {
            miss("top_p", top_p);
        } else {
            self.top_p = top_p;
        }
    }
}

/// This API knows no effort below `low`.
fn word(effort: Effort) -> &'static str {
    match effort {
        Effort::Minimal => Effort::Low.name(),
        known => known.name(),
    }
}

/// The API refuses sequences of nothing but white space.
pub(super) fn stop<'a>(request: &'a Request, dropped: &mut Dropped) -> Vec<&'a str> {
    let (kept, blank): (Vec<&str>, Vec<&str>) =
        request.stop.iter().map(String::as_str).partition(|sequence| !sequence.trim().is_empty());
    if !blank.is_empty() {
        dropped.add("stop");
    }
    kept
}

pub(super) fn service_tier(request: &Request, dropped: &mut Dropped) -> Option<&'static str> {
    match request.service_tier.as_deref()? {
        "auto" => Some("auto"),
        "default" => Some("standard_only"),
        _ => {
            dropped.add("service_tier");
            None
        }
    }
}
