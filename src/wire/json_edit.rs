//! Changes to one member of a JSON text that keep every other byte: no number is respelt, no member moved.

use super::json_walk::{Member, member, members, skip_space};
use std::ops::Range;

/// `text` with the member set: its value replaced where it stands (the last one, if repeated), or added as the last
/// member. `None` when the text is no whole object.
pub fn set(text: &[u8], name: &str, value: &[u8]) -> Option<Vec<u8>> {
    let place = place(text, name)?;
    match place {
        Place::Value(range) => Some(splice(text, range, &[value])),
        Place::After { at, comma } => {
            let key = serde_json::to_vec(name).ok()?;
            let comma: &[u8] = if comma { b"," } else { b"" };
            Some(splice(text, at..at, &[comma, &key, b":", value]))
        }
    }
}

/// As [`set`], one object further in. An absent or `null` outer member becomes an object with just this member;
/// `None` when it is anything else.
pub fn set_within(text: &[u8], outer: &str, name: &str, value: &[u8]) -> Option<Vec<u8>> {
    let inner = match member(text, outer).map(|m| m.value) {
        None | Some(b"null") => set(b"{}", name, value)?,
        Some(object) => set(object, name, value)?,
    };
    set(text, outer, &inner)
}

/// `text` without the member (the last one, if repeated) and one comma; `None` when there is none.
pub fn remove(text: &[u8], name: &str) -> Option<Vec<u8>> {
    Some(splice(text, removal(text, &member(text, name)?), &[]))
}

/// The bytes to cut so that a member is gone and the commas are right.
pub fn removal(text: &[u8], member: &Member<'_>) -> Range<usize> {
    let comma = skip_space(text, member.end);
    if text.get(comma) == Some(&b',') {
        return member.start..skip_space(text, comma + 1);
    }
    let before = text.get(..member.start).unwrap_or_default().trim_ascii_end();
    match before.strip_suffix(b",") {
        Some(kept) => kept.len()..member.end,
        None => member.start..member.end,
    }
}

enum Place {
    /// The value of the member that is there.
    Value(Range<usize>),
    /// Behind the last member, or behind the opening bracket.
    After { at: usize, comma: bool },
}

fn place(text: &[u8], name: &str) -> Option<Place> {
    let mut walk = members(text);
    let mut found = None;
    let mut last = None;
    for member in walk.by_ref() {
        last = Some(member.end);
        if member.is(name) {
            found = Some(member.value_start()..member.end);
        }
    }
    if !walk.is_whole() {
        return None;
    }
    Some(match (found, last) {
        (Some(range), _) => Place::Value(range),
        (None, Some(end)) => Place::After { at: end, comma: true },
        (None, None) => Place::After { at: skip_space(text, 0) + 1, comma: false },
    })
}

fn splice(text: &[u8], range: Range<usize>, parts: &[&[u8]]) -> Vec<u8> {
    let (head, tail) = (text.get(..range.start).unwrap_or_default(), text.get(range.end..).unwrap_or_default());
    let pieces = || [head].into_iter().chain(parts.iter().copied()).chain([tail]);
    let mut out = Vec::with_capacity(pieces().map(<[u8]>::len).sum());
    pieces().for_each(|p| out.extend_from_slice(p));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::value::RawValue;
    use std::collections::BTreeMap;

    fn text(bytes: Option<Vec<u8>>) -> Option<String> {
        bytes.map(|b| String::from_utf8(b).expect("utf-8"))
    }

    #[test]
    fn set_replaces_in_place_or_appends() {
        for (before, after) in [
            ("{}", Some(r#"{"m":9}"#)),
            (" { } ", Some(r#" {"m":9 } "#)),
            (r#"{"a":1e400}"#, Some(r#"{"a":1e400,"m":9}"#)),
            (r#"{ "a" : "\ud83d" }"#, Some(r#"{ "a" : "\ud83d","m":9 }"#)),
            (r#"{"m" : {"x":[1]} ,"b":2}"#, Some(r#"{"m" : 9 ,"b":2}"#)),
            (r#"{"m":1,"m":2}"#, Some(r#"{"m":1,"m":9}"#)),
            (r#"{"a":1"#, None),
            ("[]", None),
            ("", None),
        ] {
            assert_eq!(text(set(before.as_bytes(), "m", b"9")).as_deref(), after, "{before}");
        }
    }

    #[test]
    fn set_within_opens_the_outer_object() {
        for (before, after) in [
            (r#"{"a":1}"#, Some(r#"{"a":1,"o":{"m":true}}"#)),
            (r#"{"o":null}"#, Some(r#"{"o":{"m":true}}"#)),
            (r#"{"o":{},"a":1}"#, Some(r#"{"o":{"m":true},"a":1}"#)),
            (r#"{"o":{"m":false,"k":1.0}}"#, Some(r#"{"o":{"m":true,"k":1.0}}"#)),
            (r#"{"o":[1]}"#, None),
            (r#"{"o":"text"}"#, None),
        ] {
            assert_eq!(text(set_within(before.as_bytes(), "o", "m", b"true")).as_deref(), after, "{before}");
        }
    }

    #[test]
    fn remove_takes_one_comma() {
        for (before, after) in [
            (r#"{"m":1}"#, Some("{}")),
            (r#"{"m":null,"b":2}"#, Some(r#"{"b":2}"#)),
            (r#"{"a":1,"m":null}"#, Some(r#"{"a":1}"#)),
            (r#"{"a":1, "m" : {"x":1} , "b":2}"#, Some(r#"{"a":1, "b":2}"#)),
            (r#"{ "a":1 , "m":[] }"#, Some(r#"{ "a":1  }"#)),
            (r#"{"a":{"m":1}}"#, None),
        ] {
            assert_eq!(text(remove(before.as_bytes(), "m")).as_deref(), after, "{before}");
        }
    }

    proptest! {
        #[test]
        fn edits_touch_one_member_only(
            map in prop::collection::btree_map("[a-f]{1,2}", "-?[1-9][0-9]{0,2}|\\[true, null\\]|\\{ \"m\" :1 \\}", 0..6),
            name in "[a-f]{1,2}",
            pad in "[ \n\t]{0,2}",
        ) {
            let body: Vec<_> = map.iter().map(|(k, v)| format!("{pad}\"{k}\":{pad}{v}{pad}")).collect();
            let source = format!("{{{}}}", body.join(","));
            type Raw = BTreeMap<String, Box<RawValue>>;
            let read = |bytes: &[u8]| -> BTreeMap<String, String> {
                let raw: Raw = serde_json::from_slice(bytes).expect("valid json");
                raw.into_iter().map(|(k, v)| (k, v.get().to_owned())).collect()
            };
            let mut expected = read(source.as_bytes());
            let had = expected.insert(name.clone(), "\"new\"".to_owned()).is_some();
            let after = set(source.as_bytes(), &name, b"\"new\"").expect("object");
            prop_assert_eq!(read(&after), expected.clone());
            expected.remove(&name);
            prop_assert_eq!(remove(source.as_bytes(), &name).map(|b| read(&b)), had.then_some(expected));
        }
    }
}
