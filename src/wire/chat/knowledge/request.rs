//! A question to the service that looks up and answers.

use super::super::{BadRequest, Part, Request, Role, Target, Written};
use serde::Serialize;

/// The most that the service looks up for an answer.
const RESULTS: u32 = 20;

/// Whom a question goes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Knowledge {
    pub id: Box<str>,
    /// The model that answers.
    pub model_arn: Box<str>,
    /// A conversation that the service already has.
    pub session: Option<Box<str>>,
}

/// Whether a text can be the id of a session.
pub fn is_session(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-');
    (2..=100).contains(&text.len()) && text.bytes().all(fits)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    input: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<&'a str>,
    retrieve_and_generate_configuration: Configuration<'a>,
}

#[derive(Serialize)]
struct Text<'a> {
    text: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Configuration<'a> {
    r#type: &'static str,
    knowledge_base_configuration: Base<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Base<'a> {
    knowledge_base_id: &'a str,
    model_arn: &'a str,
    retrieval_configuration: Retrieval,
    generation_configuration: Generation<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Retrieval {
    vector_search_configuration: Search,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Search {
    number_of_results: u32,
    override_search_type: &'static str,
}

impl Retrieval {
    /// By meaning and by words.
    pub(super) const fn hybrid(number_of_results: u32) -> Self {
        Self { vector_search_configuration: Search { number_of_results, override_search_type: "HYBRID" } }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Generation<'a> {
    inference_config: Inference<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_template: Option<Template>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Inference<'a> {
    text_inference_config: TextInference<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TextInference<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Template {
    text_prompt_template: String,
}

/// The last thing that the user said.
///
/// # Errors
/// There is nothing, or something that is no text.
pub fn question(request: &Request) -> Result<String, BadRequest> {
    let last = request.messages.iter().rev().find(|message| message.role == Role::User);
    let mut texts = Vec::new();
    for part in last.into_iter().flat_map(|message| &message.parts) {
        match part {
            Part::Text { text, .. } => texts.push(text.as_str()),
            _ => return Err(BadRequest::unsupported("messages", "A knowledge base is asked in words only.")),
        }
    }
    let question = texts.join("\n");
    if question.trim().is_empty() {
        return Err(BadRequest::of("messages", "There must be a message of the user with text."));
    }
    Ok(question)
}

pub(in crate::wire::chat) fn write_request(request: &Request, target: &Target) -> Result<Written, BadRequest> {
    let Some(knowledge) = &target.knowledge else {
        return Err(BadRequest::unsupported("model", "The model behind this name is no knowledge base."));
    };
    let question = question(request)?;
    let body = Body {
        input: Text { text: &question },
        session_id: knowledge.session.as_deref(),
        retrieve_and_generate_configuration: Configuration {
            r#type: "KNOWLEDGE_BASE",
            knowledge_base_configuration: Base {
                knowledge_base_id: &knowledge.id,
                model_arn: &knowledge.model_arn,
                retrieval_configuration: Retrieval::hybrid(RESULTS),
                generation_configuration: Generation {
                    inference_config: Inference {
                        text_inference_config: TextInference {
                            max_tokens: target.max_tokens.of(request.max_tokens),
                            temperature: request.temperature,
                            top_p: request.top_p,
                            stop_sequences: &request.stop,
                        },
                    },
                    prompt_template: template(request),
                },
            },
        },
    };
    // Texts and numbers always become JSON.
    let body = serde_json::to_vec(&body).map_err(|_| BadRequest::of("messages", "The question cannot be asked."))?;
    Ok(Written { body, dropped: dropped(request), answer_tool: None })
}

/// Instructions go where the service has its own.
fn template(request: &Request) -> Option<Template> {
    let texts: Vec<&str> = request.system.iter().map(|text| text.text.as_str()).collect();
    (!texts.is_empty()).then(|| Template {
        text_prompt_template: format!(
            "{}\n\nSearch results:\n$search_results$\n\n$output_format_instructions$",
            texts.join("\n\n")
        ),
    })
}

/// What the service has no word for.
fn dropped(request: &Request) -> Vec<String> {
    let named = [
        ("tools", !request.tools.is_empty()),
        ("tool_choice", request.tool_choice.is_some()),
        ("parallel_tool_calls", request.parallel_tool_calls.is_some()),
        ("top_k", request.top_k.is_some()),
        ("frequency_penalty", request.frequency_penalty.is_some()),
        ("presence_penalty", request.presence_penalty.is_some()),
        ("seed", request.seed.is_some()),
        ("reasoning_effort", request.reasoning.is_some()),
        ("response_format", request.output.is_some()),
    ];
    named.into_iter().filter(|(_, is_there)| *is_there).map(|(name, _)| name.to_owned()).collect()
}
