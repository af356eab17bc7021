//! A value that comes in pieces, as chunks give them: texts go on, lists get longer, objects get more members, and
//! elements that say their place in a list go on at that place.

use super::object::{Object, inside, list, quoted};
use std::fmt::Write;

/// Levels that are put together; what lies deeper comes in one piece.
const DEEPEST: u8 = 5;
/// Texts that are said as a whole: a second one takes the place of the first.
const LABELS: [&str; 6] = ["role", "type", "id", "name", "format", "signature"];

#[derive(Clone, Debug)]
pub(super) enum Grown {
    /// Between its quotes, escapes unresolved: half a character in one piece is whole with the next.
    Text(String),
    List(Vec<Grown>),
    Object(Vec<(String, Grown)>),
    /// JSON.
    Other(String),
}

impl Grown {
    pub(super) const fn nothing() -> Self {
        Self::Object(Vec::new())
    }

    /// `None`: an object names a member twice, or something has too many parts.
    pub(super) fn of(json: &str) -> Option<Self> {
        Self::at(json, DEEPEST)
    }

    fn at(json: &str, levels: u8) -> Option<Self> {
        if let Some(text) = inside(json) {
            return Some(Self::Text(text.to_owned()));
        }
        let Some(levels) = levels.checked_sub(1) else { return Some(Self::Other(json.to_owned())) };
        if json.starts_with('{') {
            let members = Object::of(json)?;
            let all: Option<Vec<_>> =
                members.iter().map(|(name, v)| Some((name.to_owned(), Self::at(v, levels)?))).collect();
            return all.map(Self::Object);
        }
        if json.starts_with('[') {
            let all: Option<Vec<_>> = list(json)?.into_iter().map(|element| Self::at(element, levels)).collect();
            return all.map(Self::List);
        }
        Some(Self::Other(json.to_owned()))
    }

    /// Takes the next piece.
    pub(super) fn grow(&mut self, more: Self) {
        match (self, more) {
            (Self::Text(text), Self::Text(more)) => text.push_str(&more),
            (Self::List(known), Self::List(more)) => {
                for element in more {
                    let place = element.place();
                    match known.iter_mut().find(|known| place.is_some() && known.place() == place) {
                        Some(known) => known.grow(element),
                        None => known.push(element),
                    }
                }
            }
            (Self::Object(known), Self::Object(more)) => {
                for (name, more) in more {
                    match known.iter_mut().find(|(known, _)| *known == name) {
                        Some((_, value)) => value.grow_as(&name, more),
                        None => known.push((name, more)),
                    }
                }
            }
            (_, Self::Other(null)) if null == "null" => {}
            (place, more) => *place = more,
        }
    }

    fn grow_as(&mut self, name: &str, more: Self) {
        match &more {
            Self::Text(label) if LABELS.contains(&name) => {
                if !label.is_empty() {
                    *self = more;
                }
            }
            _ => self.grow(more),
        }
    }

    /// Its place in its list.
    fn place(&self) -> Option<&str> {
        match self.member("index")? {
            Self::Other(number) => Some(number),
            _ => None,
        }
    }

    fn member(&self, name: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        members.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    pub(super) fn json(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Text(text) => {
                // Into memory: it cannot fail.
                let _written = write!(out, "\"{text}\"");
            }
            Self::Other(json) => out.push_str(json),
            Self::List(all) => {
                out.push('[');
                for (nth, element) in all.iter().enumerate() {
                    out.push_str(if nth == 0 { "" } else { "," });
                    element.write(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (nth, (name, value)) in members.iter().enumerate() {
                    out.push_str(if nth == 0 { "" } else { "," });
                    out.push_str(&quoted(name));
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grown(pieces: &[&str]) -> String {
        let mut all = Grown::nothing();
        pieces.iter().for_each(|piece| all.grow(Grown::of(piece).unwrap()));
        all.json()
    }

    #[test]
    fn pieces_go_on_where_they_belong() {
        for (pieces, whole) in [
            (
                &[
                    r#"{"role":"assistant","content":""}"#,
                    r#"{"content":"a\n"}"#,
                    r#"{"role":"assistant","content":"b"}"#,
                ][..],
                r#"{"role":"assistant","content":"a\nb"}"#,
            ),
            (&[r#"{"content":null}"#, r#"{"content":"a"}"#, r#"{"content":null}"#], r#"{"content":"a"}"#),
            (&[r#"{"content":"\ud83d"}"#, r#"{"content":"\ude00"}"#], r#"{"content":"\ud83d\ude00"}"#),
            (&[r#"{"l":[{"p":-0.10}]}"#, r#"{"l":[{"p":-1e-3}]}"#], r#"{"l":[{"p":-0.10},{"p":-1e-3}]}"#),
            (
                &[
                    r#"{"t":[{"index":0,"id":"x","function":{"name":"f","arguments":""}}]}"#,
                    r#"{"t":[{"index":1,"id":"y","function":{"name":"g","arguments":"{"}}]}"#,
                    r#"{"t":[{"index":0,"id":"","function":{"name":"f","arguments":"{}"}},{"index":1,"function":{"arguments":"}"}}]}"#,
                ],
                r#"{"t":[{"index":0,"id":"x","function":{"name":"f","arguments":"{}"}},{"index":1,"id":"y","function":{"name":"g","arguments":"{}"}}]}"#,
            ),
            (&[r#"{"n":1}"#, r#"{"n":2}"#], r#"{"n":2}"#),
        ] {
            assert_eq!(grown(pieces), whole);
        }
        assert!(Grown::of(r#"{"a":1,"a":2}"#).is_none());
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(grown(&[&format!("{{\"d\":{deep}}}")]), format!("{{\"d\":{deep}}}"), "depth costs nothing");
    }
}
