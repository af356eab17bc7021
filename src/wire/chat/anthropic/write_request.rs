//! Writes a request of the messages API.

use super::super::{BadRequest, OutputFormat, Request, Target, Written};
use super::write_content::{self, Block, Mark, Turn};
use super::write_options::{self, Dropped, Options, Thinking};
use super::write_tools::{self, Choice, ToolOut};
use serde::Serialize;
use serde_json::value::RawValue;

/// Breakpoints that the API takes in one request.
const MARKS_LIMIT: usize = 4;
/// For models that cannot be bound to JSON.
const ONLY_JSON: &str = "Answer with exactly one JSON object and nothing else: no text around it, no code fence.";

#[derive(Serialize)]
struct Body<'a> {
    /// Not where the address names the model.
    #[serde(skip_serializing_if = "str::is_empty")]
    model: &'a str,
    max_tokens: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Block<'a>>,
    messages: Vec<Turn<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<ToolOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Choice<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop_sequences: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Thinking>,
    #[serde(skip_serializing_if = "OutputConfig::is_empty")]
    output_config: OutputConfig<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
}

#[derive(Serialize)]
struct OutputConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<AnswerFormat<'a>>,
}

impl OutputConfig<'_> {
    fn is_empty(&self) -> bool {
        self.effort.is_none() && self.format.is_none()
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum AnswerFormat<'a> {
    JsonSchema { schema: &'a RawValue },
}

#[derive(Serialize)]
struct Metadata<'a> {
    user_id: &'a str,
}

pub(in super::super) fn write_request(request: &Request, target: &Target) -> Result<Written, BadRequest> {
    let mut dropped = Dropped::default();
    let mut messages = write_content::turns(request, target)?;
    let answer = write_tools::answer_tool(request, target);
    let may_think = answer.is_none() && !write_content::tool_loop_without_thinking(&messages, target);
    let options = Options::of(request, target, may_think, &mut dropped);
    write_content::finish(&mut messages, target.prefill && !options.thinks())?;
    let (mut tools, tool_choice) = write_tools::tools(request, answer.as_ref(), options.thinks(), &mut dropped);
    let mut system = write_content::system(request);
    let format = match &request.output {
        Some(OutputFormat::Json) => {
            dropped.add("response_format");
            system.push(Block::text(ONLY_JSON));
            None
        }
        Some(OutputFormat::Schema { schema, .. }) if target.structured_output => {
            Some(AnswerFormat::JsonSchema { schema })
        }
        _ => None,
    };
    mark_cache_points(target, &mut tools, &mut system, &mut messages);
    let body = Body {
        model: &target.model,
        max_tokens: options.max_tokens,
        system,
        messages,
        tools,
        tool_choice,
        stop_sequences: write_options::stop(request, &mut dropped),
        temperature: options.temperature,
        top_p: options.top_p,
        top_k: options.top_k,
        thinking: options.thinking,
        output_config: OutputConfig { effort: options.effort, format },
        metadata: request.user.as_deref().map(|user_id| Metadata { user_id }),
        service_tier: write_options::service_tier(request, &mut dropped),
        stream: request.stream,
    };
    let body = serde_json::to_vec(&body).map_err(|_| BadRequest {
        message: "The request cannot be written for this model.".into(),
        param: None,
        code: None,
    })?;
    Ok(Written { body, dropped: dropped.into_names(), answer_tool: answer.map(|tool| tool.name) })
}

/// Marks what the target wants cached, as far as the client's own marks leave room.
fn mark_cache_points(target: &Target, tools: &mut [ToolOut<'_>], system: &mut [Block<'_>], turns: &mut [Turn<'_>]) {
    let points = &target.cache_points;
    let set = tools.iter().filter(|tool| tool.cache_control.is_some()).count()
        + system.iter().map(Block::marks).sum::<usize>()
        + turns.iter().flat_map(Turn::blocks).map(Block::marks).sum::<usize>();
    let mut room = MARKS_LIMIT.saturating_sub(set);
    let mut set = |place: Option<&mut Option<Mark<'_>>>| {
        if let Some(free @ None) = place
            && room > 0
        {
            *free = Some(Mark::default());
            room -= 1;
        }
    };
    if points.tools {
        set(tools.last_mut().map(|tool| &mut tool.cache_control));
    }
    if points.system {
        set(system.last_mut().and_then(Block::mark));
    }
    for position in &points.messages {
        let at = usize::try_from(position.unsigned_abs()).unwrap_or(usize::MAX);
        let at = if *position < 0 { turns.len().checked_sub(at) } else { Some(at) };
        set(at.and_then(|at| turns.get_mut(at)).and_then(Turn::mark));
    }
}
