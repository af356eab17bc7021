//! What a response says it consumed, into disjoint buckets. Every number may be absent, null or nonsense:
//! then it is nothing, and no subtraction goes below zero. Reported totals include cached tokens here.

use super::Kind;
use crate::domain::{Usage, UsageSource};
use crate::wire::json_walk::{elements, member, members, millis, string, unescape, whole_number};

/// Draws where a tool was offered without a model.
const USUAL_PAINTER: &str = "gpt-image-1";

/// What matters of a complete answer.
#[derive(Debug, Default)]
pub(super) struct Answer<'a> {
    pub(super) usage: Option<Usage>,
    pub(super) model: Option<&'a [u8]>,
    pub(super) service_tier: Option<&'a [u8]>,
    /// Pictures that a tool drew: by which model, and what that took.
    pub(super) drawn: Option<(Box<str>, Usage)>,
    /// It holds an `error` and no result.
    pub(super) failed: bool,
    /// It has the member that results stand in.
    pub(super) has_result: bool,
    /// The text was a whole object.
    pub(super) whole: bool,
}

/// Reads the top level of an answer. Its strings are left as they are.
pub(super) fn answer(kind: Kind, text: &[u8]) -> Answer<'_> {
    let mut answer = Answer::default();
    let mut tools: &[u8] = b"null";
    let mut output: &[u8] = b"null";
    let mut offered: &[u8] = b"null";
    let mut walk = members(text);
    for m in walk.by_ref() {
        match m.key {
            b"usage" => answer.usage = read(m.value).or(answer.usage),
            b"model" => answer.model = string(m.value).filter(|s| !s.is_empty()).or(answer.model),
            b"service_tier" => answer.service_tier = string(m.value).or(answer.service_tier),
            b"error" => answer.failed = m.value != b"null",
            b"choices" | b"data" | b"results" => answer.has_result = true,
            b"output" => {
                answer.has_result = true;
                output = m.value;
            }
            b"tool_usage" => tools = m.value,
            b"tools" => offered = m.value,
            _ => {}
        }
    }
    answer.whole = walk.is_whole();
    if let (Kind::Responses, Some(usage)) = (kind, &mut answer.usage) {
        count_tools(usage, tools, output);
        answer.drawn = drawn(tools, offered);
    }
    answer
}

/// The model that draws is named only where the tool was offered.
// LIMIT: an older answer that lists its drawings without their usage is billed without them.
fn drawn(tools: &[u8], offered: &[u8]) -> Option<(Box<str>, Usage)> {
    let usage = member(tools, "image_gen").and_then(|m| picture(m.value))?;
    if usage.prompt_tokens() == 0 && usage.completion_tokens() == 0 {
        return None;
    }
    let is_drawing = |tool: &&[u8]| member(tool, "type").is_some_and(|t| t.value == b"\"image_generation\"");
    let model = elements(offered).find(is_drawing).and_then(|tool| member(tool, "model")).and_then(|m| string(m.value));
    let model = model.map_or_else(|| USUAL_PAINTER.into(), |model| unescape(model).into());
    Some((model, Usage { source: UsageSource::Upstream, ..usage }))
}

/// A `usage` of pictures. Unless it is said otherwise, what comes out is picture.
pub(super) fn picture(value: &[u8]) -> Option<Usage> {
    let usage = read(value)?;
    let is_split = has_details(value, ["output_tokens_details", "output_token_details"]);
    Some(if is_split { usage } else { Usage { out_image: usage.out_text + usage.out_image, out_text: 0, ..usage } })
}

/// A `usage` of listening: tokens or seconds. Unless it is said otherwise, what goes in is sound.
pub(super) fn listening(value: &[u8]) -> Option<Usage> {
    if let Some(seconds) = member(value, "seconds") {
        return millis(seconds.value).map(|audio_millis| Usage { audio_millis, ..Usage::default() });
    }
    let usage = read(value)?;
    let is_split = has_details(value, ["input_token_details", "input_tokens_details"]);
    Some(if is_split { usage } else { Usage { in_audio: usage.in_text + usage.in_audio, in_text: 0, ..usage } })
}

/// A `usage` of speech: what comes out is sound.
pub(super) fn speech(value: &[u8]) -> Option<Usage> {
    read(value).map(|usage| Usage { out_audio: usage.out_audio + usage.out_text, out_text: 0, ..usage })
}

fn has_details(value: &[u8], names: [&str; 2]) -> bool {
    members(value).any(|m| names.iter().any(|name| m.is(name)) && m.value.starts_with(b"{"))
}

/// A `usage` object of any endpoint; `None` when it holds no total.
pub(in crate::providers) fn read(text: &[u8]) -> Option<Usage> {
    let mut prompt = None;
    let mut completion = None;
    let mut total = None;
    let mut input = Details::default();
    let mut output = Details::default();
    for m in members(text) {
        match m.key {
            b"prompt_tokens" | b"input_tokens" => prompt = whole_number(m.value),
            b"completion_tokens" | b"output_tokens" => completion = whole_number(m.value),
            b"total_tokens" => total = whole_number(m.value),
            b"prompt_tokens_details" | b"input_tokens_details" | b"input_token_details" => input = details(m.value),
            b"completion_tokens_details" | b"output_tokens_details" | b"output_token_details" => {
                output = details(m.value);
            }
            _ => {}
        }
    }
    if prompt.is_none() && completion.is_none() && total.is_none() {
        return None;
    }
    let out = completion.unwrap_or(0);
    let mut rest = prompt.unwrap_or_else(|| total.unwrap_or(0).saturating_sub(out));
    let mut part = |of: u64| {
        let taken = of.min(rest);
        rest -= taken;
        taken
    };
    let cache_read_text = part(input.cached);
    let written = part(input.written);
    let cache_write_12h = input.written_12h.min(written);
    let in_audio = part(input.audio);
    let in_image = part(input.image);
    let out_audio = output.audio.min(out);
    let out_image = output.image.min(out - out_audio);
    let out_text = out - out_audio - out_image;
    Some(Usage {
        in_text: rest,
        in_audio,
        in_image,
        cache_read_text,
        cache_write_30m: written - cache_write_12h,
        cache_write_12h,
        out_text,
        out_audio,
        out_image,
        out_reasoning: output.reasoning.min(out_text),
        ..Usage::default()
    })
}

#[derive(Default)]
struct Details {
    cached: u64,
    written: u64,
    written_12h: u64,
    audio: u64,
    image: u64,
    reasoning: u64,
}

fn details(text: &[u8]) -> Details {
    let mut details = Details::default();
    for m in members(text) {
        let number = || whole_number(m.value).unwrap_or(0);
        match m.key {
            b"cached_tokens" => details.cached = number(),
            b"cache_write_tokens" => details.written = number(),
            b"audio_tokens" => details.audio = number(),
            b"image_tokens" => details.image = number(),
            b"reasoning_tokens" => details.reasoning = number(),
            b"cache_write_tokens_details" => {
                let long = member(m.value, "ttl_12h_tokens").and_then(|d| whole_number(d.value));
                details.written_12h = long.unwrap_or(0);
            }
            _ => {}
        }
    }
    details
}

/// A member that is a whole number, else 0.
pub(super) fn whole_or_zero(object: &[u8], name: &str) -> u64 {
    member(object, name).and_then(|m| whole_number(m.value)).unwrap_or(0)
}

/// Fees for the provider's own tools. Searches are reported; older answers only list the calls.
fn count_tools(usage: &mut Usage, tools: &[u8], output: &[u8]) {
    let mut containers: Vec<&[u8]> = Vec::new();
    let mut searches = 0;
    for item in elements(output) {
        match member(item, "type").and_then(|t| string(t.value)) {
            Some(b"web_search_call") => {
                let action = member(item, "action").and_then(|a| member(a.value, "type")).and_then(|t| string(t.value));
                searches += u64::from(action == Some(b"search"));
            }
            Some(b"file_search_call") => usage.file_search += 1,
            Some(b"code_interpreter_call") => {
                if let Some(id) = member(item, "container_id").map(|c| c.value)
                    && !containers.contains(&id)
                {
                    containers.push(id);
                }
            }
            _ => {}
        }
    }
    let reported = member(tools, "web_search").and_then(|w| member(w.value, "num_requests"));
    usage.web_search = reported.and_then(|n| whole_number(n.value)).unwrap_or(searches);
    usage.code_sessions = containers.len() as u64;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_become_disjoint_buckets() {
        let usage = |u: Usage| Some(u);
        for (text, expected) in [
            (
                r#"{"prompt_tokens":1000,"completion_tokens":500,"total_tokens":1500}"#,
                usage(Usage { in_text: 1000, out_text: 500, ..Usage::default() }),
            ),
            (
                r#"{"prompt_tokens":1000,"completion_tokens":600,"prompt_tokens_details":{"cached_tokens":200,"audio_tokens":100,"cache_write_tokens":50,"image_tokens":25},"completion_tokens_details":{"reasoning_tokens":100,"audio_tokens":400}}"#,
                usage(Usage {
                    in_text: 625,
                    cache_read_text: 200,
                    cache_write_30m: 50,
                    in_audio: 100,
                    in_image: 25,
                    out_text: 200,
                    out_audio: 400,
                    out_reasoning: 100,
                    ..Usage::default()
                }),
            ),
            (
                r#"{"input_tokens":10000,"input_tokens_details":{"cached_tokens":6000,"cache_write_tokens":3000,"cache_write_tokens_details":{"ttl_30m_tokens":2000,"ttl_12h_tokens":1000}},"output_tokens":400,"output_tokens_details":{"reasoning_tokens":300}}"#,
                usage(Usage {
                    in_text: 1000,
                    cache_read_text: 6000,
                    cache_write_30m: 2000,
                    cache_write_12h: 1000,
                    out_text: 400,
                    out_reasoning: 300,
                    ..Usage::default()
                }),
            ),
            (r#"{"prompt_tokens":8,"total_tokens":8}"#, usage(Usage { in_text: 8, ..Usage::default() })),
            (r#"{"total_tokens":9}"#, usage(Usage { in_text: 9, ..Usage::default() })),
            (
                r#"{"prompt_tokens":100.0,"completion_tokens":1e1}"#,
                usage(Usage { in_text: 100, out_text: 10, ..Usage::default() }),
            ),
            ("null", None),
            ("{}", None),
            (r#"{"prompt_tokens":-5,"completion_tokens":1.5}"#, None),
            ("[1]", None),
        ] {
            assert_eq!(read(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn nothing_goes_below_zero() {
        let text = br#"{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":99,"audio_tokens":3},
            "completion_tokens_details":{"audio_tokens":99,"reasoning_tokens":99}}"#;
        let usage = read(text).expect("usage");
        assert_eq!((usage.in_text, usage.cache_read_text, usage.in_audio), (0, 10, 0));
        assert_eq!((usage.out_text, usage.out_audio, usage.out_reasoning), (0, 5, 0));
        assert_eq!((usage.prompt_tokens(), usage.completion_tokens()), (10, 5));
        let odd = br#"{"prompt_tokens":10,"prompt_tokens_details":null,"completion_tokens_details":{"audio_tokens":null,"reasoning_tokens":"x"}}"#;
        assert_eq!(read(odd), Some(Usage { in_text: 10, ..Usage::default() }));
    }

    #[test]
    fn tools_are_reported_or_listed() {
        let output = br#"[{"type":"web_search_call","action":{"type":"search"}},{"type":"web_search_call","action":{"type":"open_page"}},
            {"type":"file_search_call"},{"type":"code_interpreter_call","container_id":"c1"},
            {"type":"code_interpreter_call","container_id":"c1"},{"type":"message"}]"#;
        for (tools, searches) in [(&b"null"[..], 1), (br#"{"web_search":{"num_requests":3}}"#, 3), (b"{}", 1)] {
            let mut usage = Usage::default();
            count_tools(&mut usage, tools, output);
            assert_eq!((usage.web_search, usage.file_search, usage.code_sessions), (searches, 1, 1));
        }
    }

    #[test]
    fn pictures_and_sound_are_told_apart() {
        let whole = r#"{"input_tokens":373,"input_tokens_details":{"text_tokens":50,"image_tokens":323},"output_tokens":4160,"total_tokens":4533}"#;
        let usage = picture(whole.as_bytes()).expect("usage");
        assert_eq!((usage.in_text, usage.in_image, usage.out_image, usage.out_text), (50, 323, 4160, 0));
        let split =
            br#"{"input_tokens":5,"output_tokens":110,"output_tokens_details":{"text_tokens":10,"image_tokens":100}}"#;
        assert_eq!(picture(split).map(|u| (u.out_image, u.out_text)), Some((100, 10)));
        for (text, expected) in [
            (
                r#"{"type":"tokens","input_tokens":120,"input_token_details":{"text_tokens":20,"audio_tokens":100},"output_tokens":40}"#,
                Usage { in_text: 20, in_audio: 100, out_text: 40, ..Usage::default() },
            ),
            (r#"{"input_tokens":120,"output_tokens":40}"#, Usage { in_audio: 120, out_text: 40, ..Usage::default() }),
            (r#"{"type":"duration","seconds":75.4}"#, Usage { audio_millis: 75_400, ..Usage::default() }),
        ] {
            assert_eq!(listening(text.as_bytes()), Some(expected), "{text}");
        }
        assert_eq!(listening(br#"{"type":"duration","seconds":"x"}"#), None);
        let spoken = speech(br#"{"input_tokens":14,"output_tokens":101,"total_tokens":115}"#).expect("usage");
        assert_eq!((spoken.in_text, spoken.out_audio, spoken.out_text), (14, 101, 0));
    }

    #[test]
    fn drawings_of_a_tool_are_their_models() {
        let text = br#"{"model":"gpt-5","output":[],"usage":{"input_tokens":1,"output_tokens":1},
            "tools":[{"type":"function"},{"type":"image_generation","model":"gpt-image-1-mini"}],
            "tool_usage":{"image_gen":{"input_tokens":30,"output_tokens":272},"web_search":{"num_requests":0}}}"#;
        let (model, usage) = answer(Kind::Responses, text).drawn.expect("drawn");
        assert_eq!((&*model, usage.in_text, usage.out_image), ("gpt-image-1-mini", 30, 272));
        let none = br#"{"usage":{"input_tokens":1},"tool_usage":{"image_gen":{"input_tokens":0,"output_tokens":0}}}"#;
        assert_eq!(answer(Kind::Responses, none).drawn, None);
    }
}
