//! What a message says it consumed, into disjoint buckets. Cached tokens stand beside the input here, not in it.
//! Every number may be absent, null or nonsense: then it is nothing.

use crate::domain::{Usage, UsageSource};
use crate::wire::json_walk::{elements, member, members, string, unescape, whole_number};

/// Usage as reported so far. A later report replaces what it names and leaves the rest: totals are cumulative, and
/// some of it is told at the beginning only.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Tally {
    input: Option<u64>,
    output: Option<u64>,
    thinking: Option<u64>,
    cache_read: Option<u64>,
    /// All cache writes.
    written: Option<u64>,
    written_5m: Option<u64>,
    written_1h: Option<u64>,
    web_search: Option<u64>,
    service_tier: Option<Box<str>>,
    speed: Option<Box<str>>,
    inference_geo: Option<Box<str>>,
    /// Model calls that the totals do not contain; `None` = of the model that answers.
    also: Vec<(Option<Box<str>>, Usage)>,
}

impl Tally {
    /// Takes a `usage` object over what is known.
    pub(super) fn overwrite(&mut self, text: &[u8]) {
        for m in members(text).filter(|m| m.value != b"null") {
            let number = || whole_number(m.value);
            let word = || string(m.value).map(|w| Box::from(&*unescape(w)));
            match m.key {
                b"input_tokens" => self.input = number().or(self.input),
                b"output_tokens" => self.output = number().or(self.output),
                b"output_tokens_details" => {
                    self.thinking = number_in(m.value, "thinking_tokens").or(self.thinking);
                }
                b"cache_read_input_tokens" => self.cache_read = number().or(self.cache_read),
                b"cache_creation_input_tokens" => self.written = number().or(self.written),
                b"cache_creation" => {
                    self.written_5m = number_in(m.value, "ephemeral_5m_input_tokens").or(self.written_5m);
                    self.written_1h = number_in(m.value, "ephemeral_1h_input_tokens").or(self.written_1h);
                }
                // LIMIT: the hours of a code container are billed, but no answer reports them.
                b"server_tool_use" => {
                    self.web_search = number_in(m.value, "web_search_requests").or(self.web_search);
                }
                b"service_tier" => self.service_tier = word().or(self.service_tier.take()),
                b"speed" => self.speed = word().or(self.speed.take()),
                b"inference_geo" => self.inference_geo = word().or(self.inference_geo.take()),
                b"iterations" => self.also = elements(m.value).filter_map(iteration).collect(),
                _ => {}
            }
        }
    }

    /// Nothing that tells tokens was reported.
    pub(super) fn is_empty(&self) -> bool {
        self.input.or(self.output).or(self.cache_read).or(self.written).or(self.written_5m).is_none()
    }

    pub(super) fn output(&self) -> u64 {
        self.output.unwrap_or(0)
    }

    pub(super) fn usage(&self, source: UsageSource) -> Usage {
        let output = self.output();
        let written_1h = self.written_1h.unwrap_or(0);
        // What the split does not explain was written for the usual five minutes.
        let rest = self.written.unwrap_or(0).saturating_sub(written_1h);
        Usage {
            in_text: self.input.unwrap_or(0),
            cache_read_text: self.cache_read.unwrap_or(0),
            cache_write_5m: rest.max(self.written_5m.unwrap_or(0)),
            cache_write_1h: written_1h,
            out_text: output,
            out_reasoning: self.thinking.unwrap_or(0).min(output),
            web_search: self.web_search.unwrap_or(0),
            service_tier: self.service_tier.clone(),
            speed: self.speed.clone(),
            inference_geo: self.inference_geo.clone(),
            source,
            ..Usage::default()
        }
    }

    /// Model calls in the course of this one that its totals do not contain; `answering` made those without a name.
    /// Where they ran and in which tier is told for the whole; speed is a property of the model that answered.
    pub(super) fn also(&self, answering: &str) -> Vec<(Box<str>, Usage)> {
        let selected = |(model, usage): &(Option<Box<str>>, Usage)| {
            let usage = Usage {
                service_tier: self.service_tier.clone(),
                speed: self.speed.clone().filter(|_| model.is_none()),
                inference_geo: self.inference_geo.clone(),
                ..usage.clone()
            };
            (model.clone().unwrap_or_else(|| answering.into()), usage)
        };
        self.also.iter().map(selected).collect()
    }
}

/// An entry of `iterations`, if it comes on top of the totals: the making of a summary, the word of an advisor.
/// The turns of the answer itself, and of the model that it fell back to, are in them.
fn iteration(text: &[u8]) -> Option<(Option<Box<str>>, Usage)> {
    let model = match member(text, "type").and_then(|m| string(m.value))? {
        b"compaction" => None,
        b"advisor_message" => {
            let name = member(text, "model").and_then(|m| string(m.value))?;
            Some(Box::from(&*unescape(name)))
        }
        _ => return None,
    };
    let mut tally = Tally::default();
    tally.overwrite(text);
    Some((model, tally.usage(UsageSource::Upstream)))
}

fn number_in(text: &[u8], name: &str) -> Option<u64> {
    member(text, name).and_then(|m| whole_number(m.value))
}

/// What matters of a complete answer.
#[derive(Debug, Default)]
pub(super) struct Answer<'a> {
    pub(super) tally: Tally,
    pub(super) model: Option<&'a [u8]>,
    /// The blocks of a message.
    pub(super) content: &'a [u8],
    /// It is an error object.
    pub(super) failed: bool,
    /// It has the member that results stand in.
    pub(super) has_result: bool,
    /// The text was a whole object.
    pub(super) whole: bool,
}

/// Reads the top level of an answer. Its strings are left as they are.
pub(super) fn answer(text: &[u8]) -> Answer<'_> {
    let mut answer = Answer::default();
    let mut walk = members(text);
    for m in walk.by_ref() {
        match m.key {
            b"usage" => answer.tally.overwrite(m.value),
            b"model" => answer.model = string(m.value).filter(|s| !s.is_empty()).or(answer.model),
            b"error" => answer.failed = m.value != b"null",
            b"content" => {
                answer.has_result = true;
                answer.content = m.value;
            }
            b"completion" => answer.has_result = true,
            _ => {}
        }
    }
    answer.whole = walk.is_whole();
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(reports: &[&str]) -> Tally {
        let mut tally = Tally::default();
        reports.iter().for_each(|text| tally.overwrite(text.as_bytes()));
        tally
    }

    fn usage(reports: &[&str]) -> Usage {
        tally(reports).usage(UsageSource::Upstream)
    }

    #[test]
    fn totals_become_disjoint_buckets() {
        let full = r#"{"input_tokens":1000,"cache_creation_input_tokens":2000,"cache_read_input_tokens":30000,
            "cache_creation":{"ephemeral_5m_input_tokens":1500,"ephemeral_1h_input_tokens":500},"output_tokens":900,
            "output_tokens_details":{"thinking_tokens":300},"server_tool_use":{"web_search_requests":2,"web_fetch_requests":7},
            "service_tier":"standard","speed":"fast","inference_geo":"us"}"#;
        let expected = Usage {
            in_text: 1000,
            cache_read_text: 30_000,
            cache_write_5m: 1500,
            cache_write_1h: 500,
            out_text: 900,
            out_reasoning: 300,
            web_search: 2,
            service_tier: Some("standard".into()),
            speed: Some("fast".into()),
            inference_geo: Some("us".into()),
            source: UsageSource::Upstream,
            ..Usage::default()
        };
        assert_eq!(usage(&[full]), expected);
        assert_eq!(expected.prompt_tokens(), 33_000);
        for (text, in_text, five, hour, out) in [
            (r#"{"input_tokens":8,"output_tokens":1e1}"#, 8, 0, 0, 10),
            (
                r#"{"input_tokens":8,"cache_creation_input_tokens":40,"cache_creation":null,"output_tokens":null}"#,
                8,
                40,
                0,
                0,
            ),
            (r#"{"cache_creation_input_tokens":50,"cache_creation":{"ephemeral_1h_input_tokens":20}}"#, 0, 30, 20, 0),
            (r#"{"cache_creation":{"ephemeral_5m_input_tokens":5,"ephemeral_1h_input_tokens":6}}"#, 0, 5, 6, 0),
            (r#"{"cache_creation_input_tokens":1,"cache_creation":{"ephemeral_1h_input_tokens":6}}"#, 0, 0, 6, 0),
            (
                r#"{"input_tokens":-5,"output_tokens":1.5,"cache_read_input_tokens":"x","server_tool_use":[]}"#,
                0,
                0,
                0,
                0,
            ),
        ] {
            let usage = usage(&[text]);
            assert_eq!(
                (usage.in_text, usage.cache_write_5m, usage.cache_write_1h, usage.out_text),
                (in_text, five, hour, out),
                "{text}"
            );
        }
        assert!(tally(&["null", "{}", r#"{"input_tokens":-1}"#]).is_empty());
    }

    #[test]
    fn a_later_report_replaces_what_it_names() {
        let start = r#"{"input_tokens":20,"cache_creation_input_tokens":40,"cache_read_input_tokens":100,"cache_creation":
            {"ephemeral_5m_input_tokens":30,"ephemeral_1h_input_tokens":10},"output_tokens":1,"service_tier":"standard","speed":"fast"}"#;
        let end = r#"{"input_tokens":25,"cache_creation_input_tokens":60,"cache_read_input_tokens":null,"output_tokens":7,
            "server_tool_use":{"web_search_requests":1}}"#;
        let usage = usage(&[start, r#"{"output_tokens":3}"#, end]);
        assert_eq!((usage.in_text, usage.cache_read_text, usage.out_text, usage.web_search), (25, 100, 7, 1));
        assert_eq!((usage.cache_write_5m, usage.cache_write_1h), (50, 10), "the growth is of the short kind");
        assert_eq!((usage.service_tier.as_deref(), usage.speed.as_deref()), (Some("standard"), Some("fast")));
    }

    #[test]
    fn what_the_totals_leave_out_comes_on_top() {
        let text = r#"{"input_tokens":10,"output_tokens":5,"speed":"fast","inference_geo":"us","iterations":[
            {"type":"compaction","input_tokens":180000,"output_tokens":3500},
            {"type":"message","input_tokens":10,"output_tokens":5},
            {"type":"advisor_message","model":"claude-opus-5-5","input_tokens":700,"output_tokens":90,"cache_read_input_tokens":5},
            {"type":"fallback_message","model":"claude-haiku-5-5","input_tokens":9,"output_tokens":9},
            {"type":"advisor_message","input_tokens":9,"output_tokens":9},7]}"#;
        let tally = tally(&[text, r#"{"output_tokens":6}"#]);
        let also = tally.also("claude-opus-4-8");
        let shown: Vec<_> = also
            .iter()
            .map(|(model, u)| (&**model, u.in_text, u.cache_read_text, u.out_text, u.speed.is_some()))
            .collect();
        assert_eq!(shown, [("claude-opus-4-8", 180_000, 0, 3500, true), ("claude-opus-5-5", 700, 5, 90, false)]);
        assert!(also.iter().all(|(_, usage)| usage.inference_geo.as_deref() == Some("us")));
        assert_eq!(tally.usage(UsageSource::Upstream).out_text, 6);
    }
}
