//! A client's request in Bedrock's form.

use super::field::{Field, Foreign};
use super::read_blocks;
use crate::wire::chat::BadRequest;
use crate::wire::chat::request::{Effort, Message, OutputFormat, Reasoning, Request, Role, Text, Tool, ToolChoice};
use serde_json::value::RawValue;

/// The name of a schema that has none.
const UNNAMED: &str = "response";

pub(in crate::wire::chat) fn read_request(body: &[u8]) -> Result<Request, BadRequest> {
    // Streams of this form always end with the usage.
    let mut reading = Reading { request: Request { wants_usage: true, ..Request::default() }, ..Reading::default() };
    let mut members = Field::root(body)?.members()?;
    // Instructions among the messages come after those before them, wherever the client wrote these.
    members.sort_by_key(|(name, _)| name != "system");
    for (name, value) in members {
        match name.as_str() {
            "messages" => reading.messages(&value)?,
            "system" => reading.system(&value)?,
            "inferenceConfig" => reading.inference(&value)?,
            "toolConfig" => reading.tools(&value)?,
            "additionalModelRequestFields" => reading.additional(&value)?,
            "outputConfig" => reading.output(&value)?,
            "serviceTier" => reading.service_tier(&value)?,
            "performanceConfig" => reading.performance(&value)?,
            _ => reading.foreign.note(&value),
        }
    }
    reading.finish()
}

#[derive(Default)]
struct Reading {
    request: Request,
    foreign: Foreign,
    /// Told beside `thinking`.
    effort: Option<Effort>,
}

impl Reading {
    fn finish(self) -> Result<Request, BadRequest> {
        let Self { mut request, foreign, effort } = self;
        if request.messages.is_empty() {
            return Err(BadRequest::of("messages", "messages must not be empty."));
        }
        request.reasoning = match (request.reasoning, effort) {
            (Some(Reasoning::Adaptive(_)), Some(effort)) => Some(Reasoning::Adaptive(Some(effort))),
            (None, Some(effort)) => Some(Reasoning::Effort(effort)),
            (reasoning, _) => reasoning,
        };
        request.foreign = foreign.0;
        Ok(request)
    }

    fn messages(&mut self, value: &Field<'_>) -> Result<(), BadRequest> {
        self.request.messages.clear();
        for message in value.list()? {
            let role = message.needed("role")?;
            let content = message.needed("content")?;
            let role = match role.text()?.as_str() {
                "user" => Role::User,
                "assistant" => Role::Assistant,
                "system" => {
                    self.system(&content)?;
                    continue;
                }
                _ => return Err(role.wrong("must be user or assistant.")),
            };
            self.request.messages.push(Message { role, parts: read_blocks::parts(&content, &mut self.foreign)? });
        }
        Ok(())
    }

    fn system(&mut self, value: &Field<'_>) -> Result<(), BadRequest> {
        for block in value.list()? {
            let (kind, inner) = block.only_member()?;
            let text = match kind.as_str() {
                "text" => inner.text()?,
                "guardContent" => inner.needed("text")?.needed("text")?.text()?,
                "cachePoint" => {
                    if let Some(last) = self.request.system.last_mut() {
                        last.cache = Some(read_blocks::cache_mark(&inner)?);
                    }
                    continue;
                }
                _ => return Err(inner.unsupported()),
            };
            if !text.is_empty() {
                self.request.system.push(Text { text, cache: None });
            }
        }
        Ok(())
    }

    fn inference(&mut self, value: &Field<'_>) -> Result<(), BadRequest> {
        for (name, value) in value.members()? {
            match name.as_str() {
                "maxTokens" => self.request.max_tokens = Some(value.count()?),
                "temperature" => self.request.temperature = Some(value.number()?),
                "topP" => self.request.top_p = Some(value.number()?),
                "stopSequences" => {
                    self.request.stop = value.list()?.iter().map(Field::text).collect::<Result<_, _>>()?;
                }
                _ => self.foreign.note(&value),
            }
        }
        Ok(())
    }

    fn tools(&mut self, value: &Field<'_>) -> Result<(), BadRequest> {
        for (name, value) in value.members()? {
            match name.as_str() {
                "tools" => {
                    for tool in value.list()? {
                        self.tool(&tool)?;
                    }
                }
                "toolChoice" => {
                    let (kind, choice) = value.only_member()?;
                    self.request.tool_choice = Some(match kind.as_str() {
                        "auto" => ToolChoice::Auto,
                        "any" => ToolChoice::Required,
                        "tool" => ToolChoice::Tool(choice.needed("name")?.text()?),
                        _ => return Err(choice.unsupported()),
                    });
                }
                _ => self.foreign.note(&value),
            }
        }
        Ok(())
    }

    fn tool(&mut self, tool: &Field<'_>) -> Result<(), BadRequest> {
        let (kind, spec) = tool.only_member()?;
        match kind.as_str() {
            "toolSpec" => {
                let schema = spec.member("inputSchema")?.map(|schema| schema.member("json")).transpose()?.flatten();
                self.request.tools.push(Tool {
                    name: spec.needed("name")?.text()?,
                    description: spec.member("description")?.map(|text| text.text()).transpose()?,
                    schema: schema.map(|json| json.raw().to_owned()),
                    strict: spec.member("strict")?.map(|strict| strict.flag()).transpose()?,
                    free_text: false,
                    cache: None,
                });
            }
            "cachePoint" => {
                if let Some(last) = self.request.tools.last_mut() {
                    last.cache = Some(read_blocks::cache_mark(&spec)?);
                }
            }
            _ => return Err(spec.unsupported()),
        }
        Ok(())
    }

    /// Members of the model's own; those are understood that more than one maker has a word for.
    fn additional(&mut self, value: &Field<'_>) -> Result<(), BadRequest> {
        for (name, value) in value.members()? {
            match name.as_str() {
                "thinking" => self.thinking(&value)?,
                "top_k" => self.request.top_k = Some(value.count()?),
                "inferenceConfig" => {
                    for (name, value) in value.members()? {
                        match name.as_str() {
                            "topK" => self.request.top_k = Some(value.count()?),
                            _ => self.foreign.note(&value),
                        }
                    }
                }
                "reasoning_effort" => self.effort = Some(effort(&value)?),
                "reasoningConfig" => self.reasoning_config(&value)?,
                "output_config" => {
                    for (name, value) in value.members()? {
                        match name.as_str() {
                            "effort" => self.effort = Some(effort(&value)?),
                            _ => self.foreign.note(&value),
                        }
                    }
                }
                // Beside it, the choice itself stands in `toolConfig`.
                "tool_choice" => {
                    let alone = value.member("disable_parallel_tool_use")?.map(|flag| flag.flag()).transpose()?;
                    self.request.parallel_tool_calls = alone.filter(|alone| *alone).map(|alone| !alone);
                }
                _ => self.foreign.note(&value),
            }
        }
        Ok(())
    }

    fn thinking(&mut self, value: &Field<'_>) -> Result<(), BadRequest> {
        let kind = value.needed("type")?;
        self.request.reasoning = Some(match kind.text()?.as_str() {
            "disabled" => Reasoning::Off,
            "enabled" => Reasoning::Budget(value.needed("budget_tokens")?.count()?),
            "adaptive" => Reasoning::Adaptive(None),
            // Ways to think that only some models of one maker know.
            _ => {
                self.foreign.note(value);
                return Ok(());
            }
        });
        for (name, value) in value.members()? {
            if !matches!(name.as_str(), "type" | "budget_tokens") {
                self.foreign.note(&value);
            }
        }
        Ok(())
    }

    fn reasoning_config(&mut self, value: &Field<'_>) -> Result<(), BadRequest> {
        let kind = value.member("type")?.map(|kind| kind.text()).transpose()?;
        if kind.as_deref() == Some("disabled") {
            self.request.reasoning = Some(Reasoning::Off);
        } else {
            let told = value.member("maxReasoningEffort")?.map(|word| effort(&word)).transpose()?;
            self.effort = Some(told.unwrap_or(Effort::Medium));
        }
        Ok(())
    }

    fn output(&mut self, value: &Field<'_>) -> Result<(), BadRequest> {
        for (name, value) in value.members()? {
            match name.as_str() {
                "textFormat" => self.request.output = Some(text_format(&value)?),
                "effort" => self.effort = Some(effort(&value)?),
                _ => self.foreign.note(&value),
            }
        }
        Ok(())
    }

    fn service_tier(&mut self, value: &Field<'_>) -> Result<(), BadRequest> {
        let tier = value.needed("type")?.text()?;
        match tier.as_str() {
            "default" | "flex" | "priority" => self.request.service_tier = Some(tier),
            _ => self.foreign.note(value),
        }
        Ok(())
    }

    fn performance(&mut self, value: &Field<'_>) -> Result<(), BadRequest> {
        let latency = value.member("latency")?.map(|latency| latency.text()).transpose()?;
        if latency.is_some_and(|latency| latency != "standard") {
            self.foreign.note(value);
        }
        Ok(())
    }
}

fn effort(value: &Field<'_>) -> Result<Effort, BadRequest> {
    Effort::parse(&value.text()?).ok_or_else(|| value.wrong("must be low, medium, high, xhigh or max."))
}

fn text_format(value: &Field<'_>) -> Result<OutputFormat, BadRequest> {
    let kind = value.needed("type")?;
    if kind.text()? != "json_schema" {
        return Err(kind.wrong("must be json_schema."));
    }
    let format = value.needed("structure")?.needed("jsonSchema")?;
    let text = format.needed("schema")?;
    let schema = RawValue::from_string(text.text()?).map_err(|_| text.wrong("must be JSON in a string."))?;
    Ok(OutputFormat::Schema {
        name: format.member("name")?.map(|name| name.text()).transpose()?.unwrap_or_else(|| UNNAMED.to_owned()),
        description: format.member("description")?.map(|text| text.text()).transpose()?,
        schema,
        strict: None,
    })
}
