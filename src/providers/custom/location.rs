//! Where in a JSON text something stands, in either of two syntaxes: dotted (`messages.#.content`) or, when the text
//! begins with `$`, JSONPath (RFC 9535).
//!
//! Dotted: names and array positions divided by dots; `#` stands for every element of an array, at the end for their
//! number; a backslash takes away the meaning of what follows it. Wildcards, conditions and modifiers are refused.

use crate::wire::json_edit;
use crate::wire::json_walk::{elements, member, members, string, unescape};
use jsonpath_rust::parser::model::{JpQuery, Segment, Selector};
use jsonpath_rust::parser::parse_json_path;
use jsonpath_rust::query::js_path_process;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// Longest location, bytes.
const LONGEST: usize = 512;

/// A location that can be looked up.
#[derive(Clone)]
pub struct Location {
    syntax: Syntax,
}

#[derive(Clone)]
enum Syntax {
    Dotted(Box<[Step]>),
    JsonPath(Arc<JpQuery>),
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Step {
    Name(Box<str>),
    /// `#`
    Each,
}

/// Why a text is no location, as the end of a sentence about its field.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadLocation {
    #[error("must not be empty")]
    Empty,
    #[error("must be at most {LONGEST} bytes long")]
    TooLong,
    #[error("has an empty name between its dots")]
    EmptyStep,
    #[error("uses wildcards, conditions, modifiers or pipes, which are not supported: escape them with a backslash")]
    Unsupported,
    #[error("ends in a backslash")]
    OpenEscape,
    #[error("is not JSONPath as RFC 9535 has it")]
    JsonPath,
}

/// The text says it twice, or cannot be read: whoever reads it next could find something else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ambiguous;

/// What stands at a dotted location.
enum Found<'a> {
    Nothing,
    One(&'a [u8]),
    Many(Vec<Found<'a>>),
    /// A number of elements: never text.
    Count,
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.syntax {
            Syntax::Dotted(steps) => f.debug_tuple("Dotted").field(steps).finish(),
            Syntax::JsonPath(_) => f.write_str("JsonPath"),
        }
    }
}

impl Location {
    /// # Errors
    /// The text is not in a supported syntax.
    pub fn parse(text: &str) -> Result<Self, BadLocation> {
        if text.is_empty() {
            return Err(BadLocation::Empty);
        }
        if text.len() > LONGEST {
            return Err(BadLocation::TooLong);
        }
        let syntax = if text.starts_with('$') {
            Syntax::JsonPath(Arc::new(parse_json_path(text).map_err(|_| BadLocation::JsonPath)?))
        } else {
            Syntax::Dotted(steps(text)?)
        };
        Ok(Self { syntax })
    }

    /// The text that stands there: a string, or the strings of a list one after another. Everything else is no text.
    pub fn text(&self, json: &[u8]) -> String {
        let mut text = String::new();
        match &self.syntax {
            Syntax::Dotted(steps) => match find(json, steps, &mut false) {
                Found::Nothing | Found::Count => {}
                Found::One(value) if value.starts_with(b"[") => elements(value).for_each(|e| push(e, &mut text)),
                Found::One(value) => push(value, &mut text),
                Found::Many(all) => all.iter().for_each(|found| {
                    if let Found::One(value) = found {
                        push(value, &mut text);
                    }
                }),
            },
            Syntax::JsonPath(query) => {
                let Ok(value) = serde_json::from_slice::<Value>(json) else { return text };
                let nodes = nodes(query, &value);
                let strings = match nodes.as_slice() {
                    [Value::Array(items)] => items.iter().collect(),
                    _ => nodes,
                };
                strings.iter().filter_map(|node| node.as_str()).for_each(|s| text.push_str(s));
            }
        }
        text
    }

    /// The string that stands there; `None` when something else does, or nothing.
    ///
    /// # Errors
    /// There could be another one.
    pub fn string(&self, json: &[u8]) -> Result<Option<String>, Ambiguous> {
        Ok(self.value(json)?.as_ref().and_then(Value::as_str).map(str::to_owned))
    }

    /// The truth value that stands there; `false` when something else does, or nothing.
    ///
    /// # Errors
    /// As [`Location::string`].
    pub fn flag(&self, json: &[u8]) -> Result<bool, Ambiguous> {
        Ok(self.value(json)? == Some(Value::Bool(true)))
    }

    /// The text with this string there, in place of what stood there or as a new member; every other byte stays.
    /// `None` when the location is not the name of one member, or something else stands in its way.
    pub fn with_string(&self, json: &[u8], string: &str) -> Option<Vec<u8>> {
        let value = Value::from(string).to_string();
        let written = set(json, &self.names()?, value.as_bytes())?;
        // Whoever looks there now finds it.
        (self.string(&written) == Ok(Some(string.to_owned()))).then_some(written)
    }

    /// The members on the way, when there is just one way.
    fn names(&self) -> Option<Vec<&str>> {
        match &self.syntax {
            Syntax::Dotted(steps) => steps.iter().map(Step::name).collect(),
            Syntax::JsonPath(query) => query.segments.iter().map(name).collect(),
        }
    }

    /// A string or truth value; other values are `None`.
    fn value(&self, json: &[u8]) -> Result<Option<Value>, Ambiguous> {
        match &self.syntax {
            Syntax::Dotted(steps) => {
                let mut repeated = false;
                let found = find(json, steps, &mut repeated);
                if repeated {
                    return Err(Ambiguous);
                }
                let Found::One(value) = found else { return Ok(None) };
                Ok(match string(value) {
                    Some(inner) => Some(Value::String(unescape(inner).into_owned())),
                    None if value == b"true" => Some(Value::Bool(true)),
                    None => None,
                })
            }
            Syntax::JsonPath(query) => {
                let value: Value = serde_json::from_slice(json).map_err(|_| Ambiguous)?;
                if repeats(json) {
                    return Err(Ambiguous);
                }
                Ok(match nodes(query, &value).as_slice() {
                    [one] => Some((*one).clone()).filter(|v| v.is_string() || v.is_boolean()),
                    _ => None,
                })
            }
        }
    }
}

impl Step {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Each => None,
        }
    }
}

fn name(segment: &Segment) -> Option<&str> {
    match segment {
        Segment::Selector(Selector::Name(name)) => Some(name),
        _ => None,
    }
}

fn set(json: &[u8], names: &[&str], value: &[u8]) -> Option<Vec<u8>> {
    let (name, rest) = names.split_first()?;
    if rest.is_empty() {
        return json_edit::set(json, name, value);
    }
    let inner = match member(json, name).map(|m| m.value) {
        None | Some(b"null") => b"{}",
        Some(inner) => inner,
    };
    json_edit::set(json, name, &set(inner, rest, value)?)
}

fn steps(text: &str) -> Result<Box<[Step]>, BadLocation> {
    let mut steps = Vec::new();
    let mut name = String::new();
    let mut escaped = false;
    let mut letters = text.chars();
    loop {
        match letters.next() {
            end @ (None | Some('.')) => {
                let step = std::mem::take(&mut name);
                match step.as_str() {
                    "" => return Err(BadLocation::EmptyStep),
                    "#" if !escaped => steps.push(Step::Each),
                    _ => steps.push(Step::Name(step.into())),
                }
                escaped = false;
                if end.is_none() {
                    return Ok(steps.into());
                }
            }
            Some('\\') => {
                name.push(letters.next().ok_or(BadLocation::OpenEscape)?);
                escaped = true;
            }
            Some('*' | '?' | '|' | '{' | '[') => return Err(BadLocation::Unsupported),
            Some('@' | '!') if name.is_empty() => return Err(BadLocation::Unsupported),
            Some('(') if name == "#" => return Err(BadLocation::Unsupported),
            Some(letter) => name.push(letter),
        }
    }
}

fn find<'a>(value: &'a [u8], steps: &[Step], repeated: &mut bool) -> Found<'a> {
    let Some((step, rest)) = steps.split_first() else { return Found::One(value.trim_ascii()) };
    let value = value.trim_ascii_start();
    let next = match step {
        Step::Each if !value.starts_with(b"[") => return Found::Nothing,
        Step::Each if rest.is_empty() => return Found::Count,
        Step::Each => {
            let all = elements(value).map(|element| find(element, rest, repeated));
            return Found::Many(all.filter(|found| !matches!(found, Found::Nothing)).collect());
        }
        Step::Name(name) if value.starts_with(b"[") => name.parse().ok().and_then(|at: usize| elements(value).nth(at)),
        Step::Name(name) => {
            let mut same = members(value).filter(|m| m.is(name)).map(|m| m.value);
            let first = same.next();
            let last = same.last();
            *repeated |= last.is_some();
            last.or(first)
        }
    };
    next.map_or(Found::Nothing, |next| find(next, rest, repeated))
}

fn push(value: &[u8], text: &mut String) {
    if let Some(inner) = string(value) {
        text.push_str(&unescape(inner));
    }
}

fn nodes<'a>(query: &JpQuery, value: &'a Value) -> Vec<&'a Value> {
    js_path_process(query, value).map(|found| found.into_iter().map(|node| node.val).collect()).unwrap_or_default()
}

/// Some object has a name twice. The text was parsed before, so it is not nested deeply.
fn repeats(json: &[u8]) -> bool {
    let mut names = BTreeSet::new();
    members(json).any(|m| !names.insert(unescape(m.key)) || repeats(m.value)) || elements(json).any(repeats)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(location: &str, json: &str) -> String {
        Location::parse(location).unwrap().text(json.as_bytes())
    }

    #[test]
    fn dotted_locations_find_text() {
        let body = r##" {"messages":[{"content":"a"},{"role":"x"},{"content":"b\n"},{"content":["p"]}],"n":{"0":"zero"},
            "a.b":"dot","list":["x",1,"y",["z"]],"#":"hash","deep":[[{"t":"no"}],["q"]],"prompt" : "hi\u0021" } "##;
        for (location, expected) in [
            ("prompt", "hi!"),
            ("messages.#.content", "ab\n"),
            ("messages.0.content", "a"),
            ("messages.2.content", "b\n"),
            ("messages.9.content", ""),
            ("messages.content", ""),
            ("messages.#", ""),
            ("messages", ""),
            ("n.0", "zero"),
            (r"a\.b", "dot"),
            ("a.b", ""),
            ("list", "xy"),
            ("list.#.x", ""),
            (r"\#", "hash"),
            ("deep.#.0", "q"),
            ("deep.1", "q"),
            ("deep.#.#.t", ""),
            ("nothing.at.all", ""),
        ] {
            assert_eq!(text(location, body), expected, "{location}");
        }
    }

    #[test]
    fn json_path_finds_the_same() {
        let body =
            r#"{"messages":[{"content":"a"},{"content":"b"},{"content":["p"]}],"list":["x",1,"y"],"prompt":"hi"}"#;
        for (location, expected) in [
            ("$.prompt", "hi"),
            ("$.messages[*].content", "ab"),
            ("$.messages[-2].content", "b"),
            ("$.list", "xy"),
            ("$['messages'][?@.content == 'b'].content", "b"),
            ("$.messages", ""),
            ("$.none", ""),
        ] {
            assert_eq!(text(location, body), expected, "{location}");
        }
        assert_eq!(text("$.prompt", "not json"), "");
    }

    #[test]
    fn unsupported_paths_are_refused() {
        for (location, why) in [
            ("", BadLocation::Empty),
            ("a..b", BadLocation::EmptyStep),
            (".a", BadLocation::EmptyStep),
            ("a.", BadLocation::EmptyStep),
            ("a.*", BadLocation::Unsupported),
            ("a.b?", BadLocation::Unsupported),
            (r#"a.#(b=="x")"#, BadLocation::Unsupported),
            (r#"a.#(b=="x")#.c"#, BadLocation::Unsupported),
            ("@reverse", BadLocation::Unsupported),
            ("a|b", BadLocation::Unsupported),
            ("{a,b}", BadLocation::Unsupported),
            ("a.[b,c]", BadLocation::Unsupported),
            ("a\\", BadLocation::OpenEscape),
            ("$.", BadLocation::JsonPath),
            ("$.a[", BadLocation::JsonPath),
            ("$a", BadLocation::JsonPath),
        ] {
            assert_eq!(Location::parse(location).unwrap_err(), why, "{location}");
        }
        assert_eq!(Location::parse(&"a".repeat(LONGEST + 1)).unwrap_err(), BadLocation::TooLong);
        assert!(Location::parse(r"a\*b").is_ok() && Location::parse("a@b").is_ok());
    }

    #[test]
    fn a_value_that_stands_there_twice_is_no_value() {
        let find = |location: &str, json: &str| Location::parse(location).unwrap().string(json.as_bytes());
        for location in ["model", "$.model"] {
            assert_eq!(find(location, r#"{"model":"a"}"#), Ok(Some("a".into())));
            assert_eq!(find(location, r#"{"model":7}"#), Ok(None));
            assert_eq!(find(location, "{}"), Ok(None));
            assert_eq!(find(location, r#"{"model":"a","model":"b"}"#), Err(Ambiguous), "{location}");
            assert_eq!(find(location, r#"{"model":"a","mod\u0065l":"b"}"#), Err(Ambiguous), "{location}");
        }
        assert_eq!(find("a.0.b", r#"{"a":[{"b":"x","b":"y"}]}"#), Err(Ambiguous));
        assert_eq!(find("$.model", r#"{"model":"a","n":1e999}"#), Err(Ambiguous), "what cannot be read is not passed");
        assert_eq!(find("model", r#"{"model":"a","n":1e999}"#), Ok(Some("a".into())));
    }

    #[test]
    fn a_string_is_set_where_it_is_looked_for() {
        for (location, json, written) in [
            ("model", r#"{"n":1.50,"model":"a"}"#, Some(r#"{"n":1.50,"model":"b\""}"#)),
            ("model", r#"{"model": 7, "x":1e999}"#, Some(r#"{"model": "b\"", "x":1e999}"#)),
            ("$.model", "{}", Some(r#"{"model":"b\""}"#)),
            ("$['model']", r#"{"model":"a"}"#, Some(r#"{"model":"b\""}"#)),
            ("o.model", r#"{"o":{"x":1}}"#, Some(r#"{"o":{"x":1,"model":"b\""}}"#)),
            ("$.o.p.model", r#"{"o":null}"#, Some(r#"{"o":{"p":{"model":"b\""}}}"#)),
            (r"a\.b", "{}", Some(r#"{"a.b":"b\""}"#)),
            ("o.model", r#"{"o":[{"model":"a"}]}"#, None),
            ("o.0.model", r#"{"o":[{"model":"a"}]}"#, None),
            ("o.#.model", r#"{"o":[{"model":"a"}]}"#, None),
            ("$.o[0].model", r#"{"o":[{"model":"a"}]}"#, None),
            ("$..model", r#"{"model":"a"}"#, None),
            ("model", r#"{"model":"a","model":"a"}"#, None),
            ("model", "[]", None),
        ] {
            let found = Location::parse(location).unwrap().with_string(json.as_bytes(), "b\"");
            let found = found.map(|text| String::from_utf8(text).unwrap());
            assert_eq!(found.as_deref(), written, "{location} {json}");
        }
    }

    #[test]
    fn only_true_is_a_flag() {
        for location in ["o.stream", "$.o.stream"] {
            let flag = |json: &str| Location::parse(location).unwrap().flag(json.as_bytes());
            assert_eq!(flag(r#"{"o":{"stream": true }}"#), Ok(true));
            for other in ["false", "1", "\"true\"", "null", "[true]"] {
                assert_eq!(flag(&format!(r#"{{"o":{{"stream":{other}}}}}"#)), Ok(false), "{other}");
            }
            assert_eq!(flag("[]"), Ok(false));
        }
    }

    proptest! {
        #[test]
        fn any_path_on_any_text_ends(path in "[$.#a-c0-2\\\\\\[\\]*@'? ]{0,12}", json in "[\\[\\]{}\":,a-c0-2\\\\ ]{0,60}") {
            if let Ok(location) = Location::parse(&path) {
                location.text(json.as_bytes());
                let _ = location.string(json.as_bytes());
                let _ = location.flag(json.as_bytes());
                if let Some(written) = location.with_string(json.as_bytes(), "m") {
                    prop_assert_eq!(location.string(&written), Ok(Some("m".to_owned())));
                }
            }
        }

        #[test]
        fn a_name_finds_its_own_value(name in "\\PC{1,8}", value in "\\PC{0,20}") {
            let escaped: String = name.chars().flat_map(|c| ['\\', c]).collect();
            let json = serde_json::json!({name: value}).to_string();
            prop_assert_eq!(text(&escaped, &json), value);
        }
    }
}
