//! How servers of open models differ: vLLM reports the usage so far with every chunk when it is asked to, DeepInfra with
//! the last words when it is not; both name fewer members than OpenAI.

use super::super::act::Fault;
use super::super::house::Api;
use super::super::reply::{Pieces, Reply};
use super::{Ask, CREATED, quote, text};

pub fn answer(ask: &Ask<'_>, tail: &str) -> Option<Reply> {
    let family = match (ask.head.method.as_str(), tail) {
        ("POST", "chat/completions") => Family::Chat,
        ("POST", "completions") => Family::Text,
        _ => return None,
    };
    let chunks =
        Chunks { ask, family, input: ask.act.tokens.input.unwrap_or(19), output: ask.act.tokens.output.unwrap_or(10) };
    Some(if ask.call.streams() { Reply::events(chunks.stream()) } else { Reply::json(200, chunks.unary()) })
}

/// vLLM's, whose code is a number.
pub fn error(status: u16, message: &str) -> Reply {
    let kind = if status == 404 { "NotFoundError" } else { "BadRequestError" };
    let error = serde_json::json!({"error": {"message": message, "type": kind, "param": null, "code": status}});
    Reply::json(status, error.to_string())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Chat,
    Text,
}

struct Chunks<'a> {
    ask: &'a Ask<'a>,
    family: Family,
    input: u64,
    output: u64,
}

impl Chunks<'_> {
    fn usage(&self, output: u64) -> String {
        if let Some(usage) = &self.ask.act.usage {
            return usage.get().to_owned();
        }
        let (input, total) = (self.input, self.input.saturating_add(output));
        let estimate = match self.ask.api {
            Api::DeepInfra => r#","estimated_cost":1.25e-06"#,
            _ => "",
        };
        format!(r#"{{"prompt_tokens":{input},"total_tokens":{total},"completion_tokens":{output}{estimate}}}"#)
    }

    fn opening(&self, object: &str) -> String {
        let (number, model) = (self.ask.number, self.ask.model_json());
        format!(
            r#"{{"id":"chatcmpl-{number:032x}","object":"{object}","created":{CREATED},"model":{model},"choices":["#
        )
    }

    fn finish(&self) -> &str {
        let usual = if self.ask.act.calls.is_empty() { "stop" } else { "tool_calls" };
        self.ask.act.finish_reason.as_deref().unwrap_or(usual)
    }

    fn calls(&self) -> String {
        let one = |(at, call): (usize, &super::super::act::Call)| {
            let (name, arguments) = (quote(&call.name), quote(&call.arguments));
            format!(
                r#"{{"index":{at},"id":"chatcmpl-tool-{at:032x}","type":"function","function":{{"name":{name},"arguments":{arguments}}}}}"#
            )
        };
        let calls: Vec<String> = self.ask.act.calls.iter().enumerate().map(one).collect();
        format!(r#""tool_calls":[{}]"#, calls.join(","))
    }

    fn unary(&self) -> String {
        let words = quote(&text::whole(self.ask.act));
        let (object, said) = match self.family {
            Family::Text => ("text_completion", format!(r#""text":{words}"#)),
            Family::Chat if self.ask.act.calls.is_empty() => {
                ("chat.completion", format!(r#""message":{{"role":"assistant","content":{words},"tool_calls":[]}}"#))
            }
            Family::Chat => {
                ("chat.completion", format!(r#""message":{{"role":"assistant","content":null,{}}}"#, self.calls()))
            }
        };
        let finish = quote(self.finish());
        let usage = if self.ask.act.no_usage { "null".to_owned() } else { self.usage(self.output) };
        format!(
            r#"{}{{"index":0,{said},"logprobs":null,"finish_reason":{finish},"stop_reason":null}}],"usage":{usage},"prompt_logprobs":null}}"#,
            self.opening(object)
        )
    }

    fn stream(&self) -> Pieces {
        let mut pieces = Pieces::default();
        let (asked, continuous) = (self.ask.call.wants_usage(), self.continuous());
        let object = if self.family == Family::Chat { "chat.completion.chunk" } else { "text_completion" };
        let opening = self.opening(object);
        let mut chunk = |said: &str, finish: &str, usage: Option<u64>| {
            let usage = usage.map(|output| format!(r#","usage":{}"#, self.usage(output))).unwrap_or_default();
            let one = format!(r#"{opening}{{"index":0,{said},"logprobs":null,"finish_reason":{finish}}}]{usage}}}"#);
            pieces.data(&one);
        };
        let so_far = |output: u64| continuous.then_some(output.min(self.output));
        let mut output = 0;
        if self.family == Family::Chat {
            chunk(r#""delta":{"role":"assistant","content":""}"#, "null", so_far(0));
        }
        if self.ask.act.calls.is_empty() {
            for piece in text::pieces(self.ask.act) {
                output += 1;
                let words = quote(&piece);
                let said = match self.family {
                    Family::Chat => format!(r#""delta":{{"content":{words}}}"#),
                    Family::Text => format!(r#""text":{words}"#),
                };
                chunk(&said, "null", so_far(output));
            }
        } else {
            chunk(&format!(r#""delta":{{{}}}"#, self.calls()), "null", so_far(1));
        }
        if matches!(self.ask.act.fault, Some(Fault::NoTerminator)) {
            return pieces;
        }
        let unasked = self.ask.api == Api::DeepInfra && !asked && !self.ask.act.no_usage;
        let said = if self.family == Family::Chat { r#""delta":{}"# } else { r#""text":"""# };
        chunk(said, &quote(self.finish()), so_far(self.output).or(unasked.then_some(self.output)));
        if asked && !self.ask.act.no_usage {
            pieces.data(&format!(r#"{opening}],"usage":{}}}"#, self.usage(self.output)));
        }
        pieces.data("[DONE]");
        pieces
    }

    /// Usage with every chunk: asked for beside the usage at the end, by vLLM's own member.
    fn continuous(&self) -> bool {
        let options = self.ask.call.stream_options.map(|raw| serde_json::from_str::<serde_json::Value>(raw.get()));
        let each = options
            .and_then(Result::ok)
            .is_some_and(|options| options.get("continuous_usage_stats") == Some(&true.into()));
        self.ask.api == Api::Vllm && self.ask.call.wants_usage() && each && !self.ask.act.no_usage
    }
}
