//! A request for Bedrock: what of the conversation goes where, and what has no place.

use super::block::Block;
use super::write_cache::Cache;
use super::write_fields::{self, Effects};
use super::write_tools::{self, ToolConfig};
use super::write_turns::{self, Turn};
use crate::wire::chat::request::{OutputFormat, Request};
use crate::wire::chat::target::{Family, Sampling, Target, Written};
use crate::wire::chat::{BadRequest, ToolChoice};
use serde::Serialize;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Asks for JSON where a request has no member for it.
const JSON_ONLY: &str = "Answer with one JSON object and nothing else.";

const STOP_SEQUENCE: &str = "/stop_sequence";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    messages: Vec<Turn<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Block<'a>>,
    #[serde(skip_serializing_if = "InferenceConfig::is_empty")]
    inference_config: InferenceConfig<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig<'a>>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    additional_model_request_fields: Map<String, Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    additional_model_response_field_paths: Vec<&'static str>,
    #[serde(skip_serializing_if = "OutputConfig::is_empty")]
    output_config: OutputConfig<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<ServiceTier<'a>>,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct InferenceConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop_sequences: Vec<&'a str>,
}

impl InferenceConfig<'_> {
    fn is_empty(&self) -> bool {
        self.max_tokens.is_none()
            && self.temperature.is_none()
            && self.top_p.is_none()
            && self.stop_sequences.is_empty()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OutputConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text_format: Option<TextFormat<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'static str>,
}

impl OutputConfig<'_> {
    const fn is_empty(&self) -> bool {
        self.text_format.is_none() && self.effort.is_none()
    }
}

#[derive(Serialize)]
struct TextFormat<'a> {
    r#type: &'static str,
    structure: Structure<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Structure<'a> {
    json_schema: JsonSchema<'a>,
}

#[derive(Serialize)]
struct JsonSchema<'a> {
    /// JSON text in a string.
    schema: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
}

#[derive(Serialize)]
struct ServiceTier<'a> {
    r#type: &'a str,
}

/// What was asked for and has no place, each name once.
#[derive(Debug, Default)]
pub(super) struct Dropped(Vec<String>);

impl Dropped {
    pub(super) fn name(&mut self, name: &str) {
        if !self.0.iter().any(|known| known == name) {
            self.0.push(name.to_owned());
        }
    }
    fn name_if(&mut self, lost: bool, name: &str) {
        if lost {
            self.name(name);
        }
    }
}

pub(in crate::wire::chat) fn write_request(request: &Request, target: &Target) -> Result<Written, BadRequest> {
    let mut dropped = Dropped::default();
    let mut cache = Cache::of(request, target);
    let answer_tool = write_tools::answer_tool(request, target);
    let thinking = write_fields::thinking(request, target, answer_tool.as_ref(), &mut dropped);
    let tool_choice = write_tools::choice(request, answer_tool.as_ref(), thinking.is_on(), &mut dropped);
    let tool_config =
        write_tools::config(request, target, answer_tool.as_ref(), tool_choice.as_ref(), &mut cache, &mut dropped)?;
    let system = system(request, target, &mut cache, &mut dropped);
    let messages = write_turns::messages(request, target, thinking.is_on(), &mut cache)?;
    let Effects { fields: mut additional, effort, max_tokens } = write_fields::effects(request, target, thinking);
    let inference_config = inference(request, target, thinking.is_on(), max_tokens, &mut additional, &mut dropped);
    one_call_at_a_time(request, target, tool_config.is_some(), tool_choice.as_ref(), &mut additional, &mut dropped);
    let text_format = text_format(request, target);
    let service_tier = service_tier(request, &mut dropped);
    dropped.name_if(request.frequency_penalty.is_some_and(|x| x != 0.0), "frequency_penalty");
    dropped.name_if(request.presence_penalty.is_some_and(|x| x != 0.0), "presence_penalty");
    dropped.name_if(request.seed.is_some(), "seed");
    dropped.name_if(request.user.is_some(), "user");
    dropped.name_if(cache.lost(), "cache_control");
    // Which of its sequences ended an answer is told by Claude alone, and only when asked.
    let tells_stop = target.family == Family::Claude && !inference_config.stop_sequences.is_empty();
    let body = Body {
        messages,
        system,
        inference_config,
        tool_config,
        additional_model_request_fields: additional,
        additional_model_response_field_paths: if tells_stop { vec![STOP_SEQUENCE] } else { Vec::new() },
        output_config: OutputConfig { text_format, effort },
        service_tier,
    };
    let body = serde_json::to_vec(&body).map_err(|_| BadRequest {
        message: "The request cannot be written.".into(),
        param: None,
        code: None,
    })?;
    Ok(Written { body, dropped: dropped.0, answer_tool: answer_tool.map(|tool| tool.name) })
}

fn system<'a>(request: &'a Request, target: &Target, cache: &mut Cache, dropped: &mut Dropped) -> Vec<Block<'a>> {
    let mut blocks = Vec::new();
    // The model refuses blank texts.
    for text in request.system.iter().filter(|text| !text.text.trim().is_empty()) {
        blocks.push(Block::Text(Cow::Borrowed(&text.text)));
        blocks.extend(cache.mark(text.cache.as_ref()).map(Block::CachePoint));
    }
    if matches!(request.output, Some(OutputFormat::Json)) {
        blocks.push(Block::Text(Cow::Borrowed(JSON_ONLY)));
        dropped.name("response_format");
    }
    if target.cache_points.system {
        cache.close(&mut blocks);
    }
    blocks
}

/// `thinking`: the model thinks, and takes no sampling then.
fn inference<'a>(
    request: &'a Request,
    target: &Target,
    thinking: bool,
    max_tokens: Option<u64>,
    additional: &mut Map<String, Value>,
    dropped: &mut Dropped,
) -> InferenceConfig<'a> {
    let fixed = thinking || target.sampling == Sampling::Fixed;
    // 1 is what a model does on its own: nothing is lost with it.
    let telling = |x: Option<f64>| x.is_some_and(|x| x < 1.0);
    let mut config = InferenceConfig { max_tokens, ..InferenceConfig::default() };
    if fixed {
        dropped.name_if(request.temperature.is_some_and(|x| x != 1.0), "temperature");
        dropped.name_if(telling(request.top_p), "top_p");
    } else {
        config.temperature = request.temperature.map(|x| x.min(1.0));
        let only_one = target.sampling == Sampling::OneOf && config.temperature.is_some();
        dropped.name_if(only_one && telling(request.top_p), "top_p");
        config.top_p = request.top_p.filter(|_| !only_one).map(|x| x.min(1.0));
    }
    if let Some(top_k) = request.top_k {
        match target.family {
            _ if fixed => dropped.name("top_k"),
            Family::Nova => {
                additional.insert("inferenceConfig".into(), serde_json::json!({ "topK": top_k }));
            }
            Family::Claude => {
                additional.insert("top_k".into(), top_k.into());
            }
            Family::GptOss | Family::Other if target.top_k => {
                additional.insert("top_k".into(), top_k.into());
            }
            Family::GptOss | Family::Other => dropped.name("top_k"),
        }
    }
    // Claude refuses sequences that are only white space.
    let usable = |stop: &&str| !(stop.is_empty() || target.family == Family::Claude && stop.trim().is_empty());
    config.stop_sequences = request.stop.iter().map(String::as_str).filter(usable).collect();
    dropped.name_if(config.stop_sequences.len() < request.stop.len(), "stop");
    config
}

/// `parallel_tool_calls: false`, which only Claude has a member for.
fn one_call_at_a_time(
    request: &Request,
    target: &Target,
    tools: bool,
    choice: Option<&ToolChoice>,
    additional: &mut Map<String, Value>,
    dropped: &mut Dropped,
) {
    if !tools || request.tools.is_empty() || request.parallel_tool_calls != Some(false) {
        return;
    }
    if target.family != Family::Claude {
        return dropped.name("parallel_tool_calls");
    }
    let mut member = Map::new();
    let (kind, name) = match choice {
        Some(ToolChoice::Required) => ("any", None),
        Some(ToolChoice::Tool(name)) => ("tool", Some(name)),
        Some(ToolChoice::Auto | ToolChoice::None) | None => ("auto", None),
    };
    member.insert("type".into(), kind.into());
    if let Some(name) = name {
        member.insert("name".into(), name.as_str().into());
    }
    member.insert("disable_parallel_tool_use".into(), true.into());
    additional.insert("tool_choice".into(), member.into());
}

fn text_format<'a>(request: &'a Request, target: &Target) -> Option<TextFormat<'a>> {
    let Some(OutputFormat::Schema { name, description, schema, .. }) = &request.output else { return None };
    target.structured_output.then(|| TextFormat {
        r#type: "json_schema",
        structure: Structure {
            json_schema: JsonSchema { schema: schema.get(), name, description: description.as_deref() },
        },
    })
}

fn service_tier<'a>(request: &'a Request, dropped: &mut Dropped) -> Option<ServiceTier<'a>> {
    match request.service_tier.as_deref()? {
        tier @ ("default" | "flex" | "priority") => Some(ServiceTier { r#type: tier }),
        "auto" => None,
        _ => {
            dropped.name("service_tier");
            None
        }
    }
}
