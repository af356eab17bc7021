//! One step of a route: what was sent becomes a step, and every mistake in it is told under its place.

use super::rules;
use super::upstreams::{Named, Upstream, Upstreams};
use crate::admin::fields::Invalid;
use crate::domain::{Model, RequestParam, Step};
use crate::providers::backend::{self, Backend, UseCase};
use crate::providers::purpose;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Steps of one route.
pub(super) const MOST: usize = 50;
/// Of a model's name and of a parameter, bytes.
const LONGEST: usize = 2048;
const MOST_RETRIES: i64 = 10;
const HEAVIEST: i64 = 1_000_000;

/// A step as somebody wants it.
#[derive(Default)]
pub(super) struct StepDraft {
    /// In lower case.
    pub(super) provider: String,
    pub(super) model: String,
    pub(super) retries: i64,
    pub(super) params: BTreeMap<String, String>,
    pub(super) timeout: Option<String>,
    pub(super) first_byte_timeout: Option<String>,
    pub(super) retry_interval: Option<String>,
    pub(super) request_params: Map<String, Value>,
    pub(super) weight: Option<i64>,
}

impl<'a> From<&'a StepDraft> for Named<'a> {
    fn from(step: &'a StepDraft) -> Self {
        let setting = step.params.get(Step::SETTING).map(String::as_str);
        Self { provider: &step.provider, model: &step.model, setting }
    }
}

pub(super) fn checked(drafts: &[StepDraft], upstreams: &Upstreams, invalid: &mut Invalid) -> Vec<Step> {
    if drafts.is_empty() || drafts.len() > MOST {
        invalid.add("steps", format!("must be at least 1 and at most {MOST}"));
    }
    let each = drafts.iter().take(MOST).enumerate();
    let steps: Vec<Step> = each.map(|(n, draft)| step(&format!("steps[{n}]"), draft, upstreams, invalid)).collect();
    weights(&steps, invalid);
    steps
}

fn step(at: &str, draft: &StepDraft, upstreams: &Upstreams, invalid: &mut Invalid) -> Step {
    if !(0..=MOST_RETRIES).contains(&draft.retries) {
        invalid.add(&format!("{at}.retries"), format!("must be at least 0 and at most {MOST_RETRIES}"));
    }
    if draft.weight.is_some_and(|weight| !(0..=HEAVIEST).contains(&weight)) {
        invalid.add(&format!("{at}.weight"), format!("must be at least 0 and at most {HEAVIEST}"));
    }
    upstream(at, draft, upstreams, invalid);
    let (whole, first) = (draft.timeout.as_deref(), draft.first_byte_timeout.as_deref());
    let (timeout, first_byte_timeout) = rules::timeouts(at, whole, first, invalid);
    let interval = draft.retry_interval.as_deref();
    let params = draft.params.iter().filter(|(_, value)| !value.is_empty());
    Step {
        provider: draft.provider.as_str().into(),
        model: draft.model.as_str().into(),
        retries: u32::try_from(draft.retries).unwrap_or_default(),
        retry_interval: rules::interval(&format!("{at}.retryInterval"), interval, invalid),
        timeout,
        first_byte_timeout,
        params: params.map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect(),
        request_params: request_params(&format!("{at}.requestParams"), &draft.request_params, invalid),
        weight: draft.weight.and_then(|weight| u32::try_from(weight).ok()),
    }
}

/// That there is somebody who may answer, and that everything is said that has to be.
fn upstream(at: &str, draft: &StepDraft, upstreams: &Upstreams, invalid: &mut Invalid) {
    let (provider, model) = (format!("{at}.provider"), format!("{at}.model"));
    if draft.model.is_empty() {
        invalid.add(&model, "must not be empty");
    } else if draft.model.len() > LONGEST || draft.model.chars().any(char::is_control) {
        invalid.add(&model, format!("must be one line of at most {LONGEST} bytes"));
    }
    match upstreams.get(&draft.provider, &draft.model) {
        Some(Upstream::Provider { handle, .. }) => {
            if !draft.model.is_empty() && !purpose::fits(handle.as_ref(), &draft.model) {
                invalid.add(&model, "is no name that a model of this provider can have");
            }
            let objection = |name: &str, value: &str| handle.step_objection(name, value);
            params(at, draft, handle.step_params(), objection, invalid);
            setting(at, draft, upstreams, invalid);
        }
        Some(Upstream::Row(row)) => {
            self::row(&model, row, invalid);
            row_params(at, draft, invalid);
        }
        None if draft.provider.is_empty() => invalid.add(&provider, "must not be empty"),
        None if draft.provider == Step::MODEL => {
            if !draft.model.is_empty() {
                invalid.add(&model, "is not the name of a model");
            }
            row_params(at, draft, invalid);
        }
        None => invalid.add(&provider, "is not a supported provider"),
    }
}

/// Whether a model row can answer a step.
fn row(field: &str, row: &Model, invalid: &mut Invalid) {
    if *row.provider == *backend::ROUTE {
        invalid.add(field, "answers through a route, which cannot be a step of one");
        return;
    }
    match Backend::of(row) {
        Err(_) => invalid.add(field, "is a model whose config is not complete"),
        Ok(backend) if backend.use_case == UseCase::KnowledgeBase => {
            invalid.add(field, "is a knowledge base, which cannot be a step");
        }
        Ok(backend) if backend.model.is_empty() => {
            invalid.add(field, "is a model whose config does not say which model it is");
        }
        Ok(_) => {}
    }
}

/// A row has its own credentials and everything else.
fn row_params(at: &str, draft: &StepDraft, invalid: &mut Invalid) {
    for name in draft.params.keys() {
        invalid.add(&format!("{at}.params.{name}"), "is not known: a model has no parameters");
    }
}

fn params(
    at: &str,
    draft: &StepDraft,
    required: &'static [&'static str],
    objection: impl Fn(&str, &str) -> Option<&'static str>,
    invalid: &mut Invalid,
) {
    for name in required {
        let field = format!("{at}.params.{name}");
        match draft.params.get(*name).filter(|value| !value.is_empty()) {
            None => invalid.add(&field, "must not be empty"),
            Some(value) if value.len() > LONGEST => invalid.add(&field, format!("must be at most {LONGEST} bytes")),
            Some(value) => {
                if let Some(why) = objection(name, value) {
                    invalid.add(&field, why);
                }
            }
        }
    }
    let known = |name: &str| name == Step::SETTING || required.contains(&name);
    for name in draft.params.keys().filter(|name| !known(name)) {
        let all: Vec<_> = required.iter().copied().chain([Step::SETTING]).collect();
        invalid.add(&format!("{at}.params.{name}"), format!("is not known, only {} are", all.join(", ")));
    }
}

/// The setting whose credential the step uses, when it names one.
fn setting(at: &str, draft: &StepDraft, upstreams: &Upstreams, invalid: &mut Invalid) {
    let Some(id) = draft.params.get(Step::SETTING).filter(|id| !id.is_empty()) else { return };
    let field = format!("{at}.params.{}", Step::SETTING);
    match upstreams.setting(id) {
        None => invalid.add(&field, "is not the id of a provider setting"),
        Some(setting) if *setting.provider != *draft.provider => {
            invalid.add(&field, "is a setting of another provider");
        }
        Some(_) => {}
    }
}

/// Of neighbours that are drawn from, one at least must be drawn.
fn weights(steps: &[Step], invalid: &mut Invalid) {
    let mut at = 0;
    for run in steps.chunk_by(|a, b| a.weight.is_some() && b.weight.is_some()) {
        if run.iter().all(|step| step.weight == Some(0)) {
            invalid.add(&format!("steps[{at}].weight"), "must not be 0 here and in all weighted steps beside it");
        }
        at += run.len();
    }
}

/// What a value of the request's body must be.
enum Rule {
    Number,
    /// A whole number that is at least this.
    Whole(i64),
    Flag,
    Texts,
    Numbers,
}

const REQUEST_PARAMS: &[(&str, Rule)] = &[
    ("frequency_penalty", Rule::Number),
    ("logit_bias", Rule::Numbers),
    ("logprobs", Rule::Flag),
    ("max_tokens", Rule::Whole(1)),
    ("n", Rule::Whole(1)),
    ("presence_penalty", Rule::Number),
    ("seed", Rule::Whole(i64::MIN)),
    ("stop", Rule::Texts),
    ("temperature", Rule::Number),
    ("top_logprobs", Rule::Whole(0)),
    ("top_p", Rule::Number),
];

impl Rule {
    /// What is wrong with the value, as the end of a sentence.
    fn objection(&self, value: &Value) -> Option<String> {
        let (fine, wanted) = match self {
            Self::Number => (value.is_number(), "must be a number"),
            Self::Whole(i64::MIN) => (value.is_i64(), "must be an integer"),
            Self::Whole(least) => {
                let fine = value.as_i64().is_some_and(|number| number >= *least);
                return (!fine).then(|| format!("must be an integer of at least {least}"));
            }
            Self::Flag => (value.is_boolean(), "must be true or false"),
            Self::Texts => {
                let texts = value.as_array().filter(|texts| !texts.is_empty());
                (texts.is_some_and(|texts| texts.iter().all(Value::is_string)), "must be an array of at least one text")
            }
            Self::Numbers => {
                let numbers = value.as_object().filter(|numbers| !numbers.is_empty());
                let fine = numbers.is_some_and(|numbers| numbers.values().all(Value::is_number));
                (fine, "must be an object of at least one number")
            }
        };
        (!fine).then(|| wanted.to_owned())
    }
}

/// Null = not said.
fn request_params(at: &str, given: &Map<String, Value>, invalid: &mut Invalid) -> Vec<RequestParam> {
    let mut params = Vec::new();
    for (name, value) in given.iter().filter(|(_, value)| !value.is_null()) {
        let field = format!("{at}.{name}");
        let Some((_, rule)) = REQUEST_PARAMS.iter().find(|(known, _)| known == name) else {
            let known: Vec<_> = REQUEST_PARAMS.iter().map(|(name, _)| *name).collect();
            invalid.add(&field, format!("is not known, only {} are", known.join(", ")));
            continue;
        };
        match (rule.objection(value), serde_json::value::to_raw_value(value)) {
            (None, Ok(value)) => params.push(RequestParam { name: name.as_str().into(), value }),
            (Some(why), _) => invalid.add(&field, why),
            (None, Err(_)) => invalid.add(&field, "cannot be kept"),
        }
    }
    params
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_set_over_a_body_has_the_type_that_upstreams_take() {
        for (name, fine, wrong) in [
            ("frequency_penalty", json!([0, -1.5]), json!(["1", true, []])),
            ("presence_penalty", json!([0.5]), json!(["x"])),
            ("temperature", json!([0, 1, 0.7]), json!(["0.7", {}])),
            ("top_p", json!([1]), json!([false])),
            ("max_tokens", json!([1, 4096]), json!([0, -1, 1.5, "1"])),
            ("n", json!([1]), json!([0, 2.5])),
            ("seed", json!([-7, 0, 7]), json!([1.5, "7"])),
            ("top_logprobs", json!([0, 5]), json!([-1])),
            ("stop", json!([["a"], ["a", "b"]]), json!([[], "a", [1], ["a", null]])),
            ("logit_bias", json!([{"50256": -100}]), json!([{}, [], {"1": "x"}])),
            ("logprobs", json!([true, false]), json!([1, "true"])),
            ("model", json!([]), json!(["other"])),
        ] {
            let told = |value: &Value| {
                let mut invalid = Invalid::default();
                let given = Map::from_iter([(name.to_owned(), value.clone())]);
                let params = request_params("p", &given, &mut invalid);
                assert_eq!(params.len(), usize::from(invalid.to_string().is_empty()));
                invalid.to_string()
            };
            for value in fine.as_array().unwrap() {
                assert_eq!(told(value), "", "{name} {value}");
            }
            for value in wrong.as_array().unwrap() {
                assert!(told(value).starts_with(&format!("p.{name} ")), "{name} {value}");
            }
        }
    }

    #[test]
    fn somebody_among_weighted_neighbours_must_be_drawn() {
        let first_mistake = |weights: &[Option<u32>]| {
            let upstreams = Upstreams::default();
            let step = |weight: &Option<u32>| Step {
                weight: *weight,
                ..step("s", &StepDraft::default(), &upstreams, &mut Invalid::default())
            };
            let mut invalid = Invalid::default();
            self::weights(&weights.iter().map(step).collect::<Vec<_>>(), &mut invalid);
            invalid.to_string().split(' ').next().unwrap().to_owned()
        };
        for (weights, expect) in [
            (&[None, None] as &[_], ""),
            (&[Some(1), Some(0)], ""),
            (&[Some(0), Some(1), None, Some(3)], ""),
            (&[Some(0)], "steps[0].weight"),
            (&[Some(5), None, Some(0), Some(0)], "steps[2].weight"),
            (&[None, Some(0), None, Some(1)], "steps[1].weight"),
        ] {
            assert_eq!(first_mistake(weights), expect, "{weights:?}");
        }
    }
}
