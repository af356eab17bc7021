//! What a client asks for, written for an upstream that speaks this form.

use super::super::{
    BadRequest, Effort, MaxTokensMember, OutputFormat, Reasoning, ReasoningStyle, Request, Sampling, Target, Tool,
    ToolChoice, Written,
};
use super::write_messages::{self, Sent};
use serde::Serialize;
use serde_json::value::RawValue;

/// Most stop sequences that are taken.
const MOST_STOPS: usize = 4;
/// The least that models with a budget think with.
const LEAST_BUDGET: u64 = 1024;

#[derive(Serialize, Debug)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Sent<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u64>,
    #[serde(flatten)]
    sampling: Sampled,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    #[serde(flatten)]
    reasoning: Thought,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Format<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Offered<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Choice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    safety_identifier: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
}

#[derive(Serialize, Debug, Default)]
struct Sampled {
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
}

#[derive(Serialize, Debug, Default)]
struct Thought {
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Thinking>,
}

#[derive(Serialize, Debug)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Thinking {
    Enabled { budget_tokens: u64 },
    Adaptive,
    Disabled,
}

#[derive(Serialize, Debug)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Format<'a> {
    JsonObject,
    JsonSchema { json_schema: Schema<'a> },
}

#[derive(Serialize, Debug)]
struct Schema<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    schema: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

#[derive(Serialize, Debug)]
struct Offered<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'a>,
}

#[derive(Serialize, Debug)]
struct Function<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    parameters: Parameters<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

#[derive(Serialize, Debug)]
#[serde(untagged)]
enum Parameters<'a> {
    Given(&'a RawValue),
    Made(serde_json::Value),
}

#[derive(Serialize, Debug)]
#[serde(untagged)]
enum Choice<'a> {
    Word(&'static str),
    Tool {
        #[serde(rename = "type")]
        kind: &'static str,
        function: Named<'a>,
    },
}

#[derive(Serialize, Debug)]
struct Named<'a> {
    name: &'a str,
}

#[derive(Serialize, Debug)]
struct StreamOptions {
    include_usage: bool,
}

pub(in super::super) fn write_request(request: &Request, target: &Target) -> Result<Written, BadRequest> {
    let mut dropped = Dropped::default();
    let reasoning = reasoning(request, target, &mut dropped);
    let max = max_tokens(request, target, &reasoning);
    let is_openai = target.max_tokens.member == MaxTokensMember::MaxCompletionTokens;
    let user = request.user.as_deref();
    let mut body = Body {
        model: &target.model,
        messages: write_messages::write(request, target)?,
        max_tokens: max.filter(|_| !is_openai),
        max_completion_tokens: max.filter(|_| is_openai),
        sampling: sampling(request, target, &mut dropped),
        stop: stop(request, target, &mut dropped),
        reasoning,
        response_format: None,
        tools: request.tools.iter().map(offered).collect(),
        tool_choice: None,
        parallel_tool_calls: None,
        user: user.filter(|_| !is_openai),
        safety_identifier: user.filter(|_| is_openai),
        service_tier: request.service_tier.as_deref(),
        stream: request.stream.then_some(true),
        // Without it nobody knows what the answer costs.
        stream_options: request.stream.then_some(StreamOptions { include_usage: true }),
    };
    if !body.tools.is_empty() {
        body.tool_choice = request.tool_choice.as_ref().map(choice);
        body.parallel_tool_calls = request.parallel_tool_calls;
    }
    let answer_tool = form(request, target, &mut body, &mut dropped);
    let body = serde_json::to_vec(&body).map_err(|_| BadRequest {
        message: "The request cannot be written.".into(),
        param: None,
        code: None,
    })?;
    Ok(Written { body, dropped: dropped.0, answer_tool })
}

/// Names of what is left out, as clients know it.
#[derive(Default)]
struct Dropped(Vec<String>);

impl Dropped {
    fn add(&mut self, name: &str) {
        self.0.push(name.to_owned());
    }
    /// `value` if it may be sent; otherwise nothing, and its name is kept.
    fn unless<T>(&mut self, allowed: bool, name: &str, value: Option<T>) -> Option<T> {
        if !allowed && value.is_some() {
            self.add(name);
        }
        value.filter(|_| allowed)
    }
}

/// Models that reason before they answer let nobody touch how they choose their words, nor cut them short.
fn is_reasoner(target: &Target) -> bool {
    target.sampling == Sampling::Fixed && target.reasoning == ReasoningStyle::Effort
}

fn sampling(request: &Request, target: &Target, dropped: &mut Dropped) -> Sampled {
    let is_free = target.sampling != Sampling::Fixed;
    // Where nothing but 1 is taken, leaving 1 out says the same.
    let asked = |value: Option<f64>| value.filter(|value| is_free || *value != 1.0);
    let temperature = dropped.unless(is_free, "temperature", asked(request.temperature));
    let both = target.sampling == Sampling::Free || temperature.is_none();
    let top_p = dropped.unless(is_free && both, "top_p", asked(request.top_p));
    let top_k = dropped.unless(is_free && target.top_k, "top_k", request.top_k);
    let open = !is_reasoner(target);
    Sampled {
        temperature,
        top_p,
        top_k,
        frequency_penalty: dropped.unless(open, "frequency_penalty", request.frequency_penalty),
        presence_penalty: dropped.unless(open, "presence_penalty", request.presence_penalty),
        seed: request.seed,
    }
}

fn stop<'a>(request: &'a Request, target: &Target, dropped: &mut Dropped) -> &'a [String] {
    let most = if is_reasoner(target) { 0 } else { MOST_STOPS };
    match request.stop.get(..most) {
        Some(first) if request.stop.len() > most => {
            dropped.add("stop");
            first
        }
        _ => &request.stop,
    }
}

fn reasoning(request: &Request, target: &Target, dropped: &mut Dropped) -> Thought {
    let Some(asked) = request.reasoning else { return Thought::default() };
    let effort = |effort: Effort| Thought { reasoning_effort: Some(word(effort)), thinking: None };
    let thinking = |thinking| Thought { reasoning_effort: None, thinking: Some(thinking) };
    match (target.reasoning, asked) {
        (ReasoningStyle::None, Reasoning::Off) => Thought::default(),
        (ReasoningStyle::None, _) => {
            dropped.add("reasoning_effort");
            Thought::default()
        }
        // Not every model that reasons takes `none`: those that do not would refuse the whole request.
        (ReasoningStyle::Effort, Reasoning::Off) => Thought::default(),
        (ReasoningStyle::Effort, Reasoning::Effort(word)) => effort(word),
        (ReasoningStyle::Effort, Reasoning::Budget(tokens)) => effort(Effort::of_budget(tokens)),
        (ReasoningStyle::Effort, Reasoning::Adaptive(word)) => effort(word.unwrap_or(Effort::Medium)),
        (ReasoningStyle::Budget | ReasoningStyle::Adaptive, Reasoning::Off) => thinking(Thinking::Disabled),
        (ReasoningStyle::Budget, Reasoning::Budget(tokens)) => {
            thinking(Thinking::Enabled { budget_tokens: tokens.max(LEAST_BUDGET) })
        }
        (ReasoningStyle::Budget, Reasoning::Effort(word) | Reasoning::Adaptive(Some(word))) => {
            thinking(Thinking::Enabled { budget_tokens: word.budget() })
        }
        (ReasoningStyle::Budget, Reasoning::Adaptive(None)) => {
            thinking(Thinking::Enabled { budget_tokens: Effort::Medium.budget() })
        }
        (ReasoningStyle::Adaptive, asked) => Thought {
            reasoning_effort: match asked {
                Reasoning::Effort(effort) | Reasoning::Adaptive(Some(effort)) => Some(word(effort)),
                Reasoning::Budget(tokens) => Some(word(Effort::of_budget(tokens))),
                Reasoning::Off | Reasoning::Adaptive(None) => None,
            },
            thinking: Some(Thinking::Adaptive),
        },
    }
}

/// This form has no word above `xhigh`.
const fn word(effort: Effort) -> &'static str {
    match effort {
        Effort::Max => Effort::XHigh.name(),
        other => other.name(),
    }
}

/// A budget for thinking comes on top of what is asked for, or nothing would be left for the answer.
fn max_tokens(request: &Request, target: &Target, reasoning: &Thought) -> Option<u64> {
    let max = target.max_tokens.of(request.max_tokens)?;
    match reasoning.thinking {
        Some(Thinking::Enabled { budget_tokens }) if max <= budget_tokens => {
            target.max_tokens.of(Some(max.saturating_add(budget_tokens)))
        }
        _ => Some(max),
    }
}

fn offered(tool: &Tool) -> Offered<'_> {
    let parameters = match &tool.schema {
        _ if tool.free_text => Parameters::Made(serde_json::json!({
            "type": "object",
            "properties": { "input": { "type": "string" } },
            "required": ["input"],
        })),
        Some(schema) => Parameters::Given(schema),
        None => Parameters::Made(serde_json::json!({ "type": "object", "properties": {} })),
    };
    let strict = tool.strict.filter(|_| !tool.free_text);
    let function = Function { name: &tool.name, description: tool.description.as_deref(), parameters, strict };
    Offered { kind: "function", function }
}

fn choice(choice: &ToolChoice) -> Choice<'_> {
    match choice {
        ToolChoice::Auto => Choice::Word("auto"),
        ToolChoice::None => Choice::Word("none"),
        ToolChoice::Required => Choice::Word("required"),
        ToolChoice::Tool(name) => forced(name),
    }
}

fn forced(name: &str) -> Choice<'_> {
    Choice::Tool { kind: "function", function: Named { name } }
}

/// The form of the answer. A model that takes no schema is made to call a tool that has it, unless the client has
/// tools of its own: the name of that tool.
fn form<'a>(request: &'a Request, target: &Target, body: &mut Body<'a>, dropped: &mut Dropped) -> Option<String> {
    match request.output.as_ref()? {
        OutputFormat::Json => body.response_format = Some(Format::JsonObject),
        OutputFormat::Schema { name, description, schema, strict } => {
            let description = description.as_deref();
            if target.structured_output {
                let json_schema = Schema { name, description, schema, strict: *strict };
                body.response_format = Some(Format::JsonSchema { json_schema });
            } else if body.tools.is_empty() {
                let function = Function { name, description, parameters: Parameters::Given(schema), strict: None };
                body.tools.push(Offered { kind: "function", function });
                body.tool_choice = Some(forced(name));
                return Some(name.clone());
            } else {
                dropped.add("response_format");
            }
        }
    }
    None
}
