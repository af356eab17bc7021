//! A look into JSON text without parsing it: members, elements and strings as slices of the original bytes.
//! Numbers of any size and broken escapes are nothing special here. Text that is not JSON yields what was readable.

use memchr::{memchr, memchr2};
use std::borrow::Cow;

/// One member of an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member<'a> {
    /// Between the quotes, escapes unresolved.
    pub key: &'a [u8],
    /// From its first to its last byte, quotes and brackets included.
    pub value: &'a [u8],
    /// Where the key's opening quote stands in the text.
    pub start: usize,
    /// Just past the value.
    pub end: usize,
}

impl Member<'_> {
    pub fn is(&self, name: &str) -> bool {
        self.key == name.as_bytes() || (memchr(b'\\', self.key).is_some() && unescape(self.key) == name)
    }
    pub fn value_start(&self) -> usize {
        self.end - self.value.len()
    }
}

/// The members of the object that `text` begins with, in order; nothing when it is no object.
pub fn members(text: &[u8]) -> Members<'_> {
    let open = skip_space(text, 0);
    let at = if text.get(open) == Some(&b'{') { Some(open + 1) } else { None };
    Members { text, at, whole: false }
}

#[derive(Clone, Debug)]
pub struct Members<'a> {
    text: &'a [u8],
    at: Option<usize>,
    whole: bool,
}

impl Members<'_> {
    /// The closing bracket was reached: the object was all there.
    pub fn is_whole(&self) -> bool {
        self.whole
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        // `take`: any early return ends the walk for good.
        let mut at = skip_space(self.text, self.at.take()?);
        if self.text.get(at) == Some(&b',') {
            at = skip_space(self.text, at + 1);
        }
        let start = match self.text.get(at)? {
            b'"' => at,
            b'}' => {
                self.whole = true;
                return None;
            }
            _ => return None,
        };
        let key_end = string_end(self.text, start)?;
        let colon = skip_space(self.text, key_end);
        if self.text.get(colon) != Some(&b':') {
            return None;
        }
        let value_start = skip_space(self.text, colon + 1);
        let end = value_end(self.text, value_start)?;
        self.at = Some(end);
        Some(Member {
            key: self.text.get(start + 1..key_end - 1)?,
            value: self.text.get(value_start..end)?,
            start,
            end,
        })
    }
}

/// The last member with this name: readers of JSON mostly take the last of a repeated one.
pub fn member<'a>(text: &'a [u8], name: &str) -> Option<Member<'a>> {
    members(text).filter(|m| m.is(name)).last()
}

/// An array with nothing in it.
pub fn is_empty_array(value: &[u8]) -> bool {
    value.first() == Some(&b'[') && value.get(skip_space(value, 1)) == Some(&b']')
}

/// The elements of the array that `text` begins with; nothing when it is no array.
pub fn elements(text: &[u8]) -> Elements<'_> {
    let open = skip_space(text, 0);
    Elements { text, at: (text.get(open) == Some(&b'[')).then_some(open + 1) }
}

#[derive(Clone, Debug)]
pub struct Elements<'a> {
    text: &'a [u8],
    at: Option<usize>,
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let mut at = skip_space(self.text, self.at.take()?);
        if self.text.get(at) == Some(&b',') {
            at = skip_space(self.text, at + 1);
        }
        if self.text.get(at) == Some(&b']') {
            return None;
        }
        let end = value_end(self.text, at)?;
        self.at = Some(end);
        self.text.get(at..end)
    }
}

/// Every member of any depth whose value is a string: key and value between their quotes, in order of the text.
pub fn strings(text: &[u8]) -> Strings<'_> {
    Strings { text, at: 0 }
}

#[derive(Clone, Debug)]
pub struct Strings<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Strings<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let start = self.at + memchr(b'"', self.text.get(self.at..)?)?;
            let end = string_end(self.text, start)?;
            let colon = skip_space(self.text, end);
            if self.text.get(colon) != Some(&b':') {
                self.at = end;
                continue;
            }
            let value = skip_space(self.text, colon + 1);
            if self.text.get(value) != Some(&b'"') {
                self.at = value;
                continue;
            }
            let value_end = string_end(self.text, value)?;
            self.at = value_end;
            return Some((self.text.get(start + 1..end - 1)?, self.text.get(value + 1..value_end - 1)?));
        }
    }
}

/// The inside of a string value, escapes unresolved; `None` for any other value.
pub fn string(value: &[u8]) -> Option<&[u8]> {
    value.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// A whole number that is not negative, also when written `100.0` or `1e2`. Anything else is `None`.
pub fn whole_number(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    if !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-')) {
        return None;
    }
    let number: f64 = text.parse().ok()?;
    // Up to 2^53 a double holds every whole number.
    let sane = (0.0..=9_007_199_254_740_992.0).contains(&number) && number.fract() == 0.0;
    #[expect(clippy::cast_possible_truncation, reason = "whole, not negative and in range")]
    sane.then_some(number as u64)
}

/// A number of seconds that is not negative, to the millisecond: `75.4` is 75400. Anything else is `None`.
pub fn millis(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return whole_number(value)?.checked_mul(1000);
    }
    let digit = |at: usize| u64::from(fraction.as_bytes().get(at).map_or(0, |b| b - b'0'));
    let below = digit(0) * 100 + digit(1) * 10 + digit(2) + u64::from(digit(3) >= 5);
    whole.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(below)
}

/// The text that a JSON string stands for. Halves of surrogate pairs and invalid bytes become U+FFFD.
pub fn unescape(raw: &[u8]) -> Cow<'_, str> {
    let Some(first) = memchr(b'\\', raw) else { return String::from_utf8_lossy(raw) };
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    let mut next = Some(first);
    while let Some((plain, escape)) = next.and_then(|at| rest.split_at_checked(at)) {
        out.extend_from_slice(plain);
        rest = escaped(escape, &mut out);
        next = memchr(b'\\', rest);
    }
    out.extend_from_slice(rest);
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

/// Resolves the escape that `text` begins with and returns what follows it.
fn escaped<'a>(text: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let mut put = |c: char| out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    let (plain, rest) = match text {
        [_, b'n', rest @ ..] => ('\n', rest),
        [_, b't', rest @ ..] => ('\t', rest),
        [_, b'r', rest @ ..] => ('\r', rest),
        [_, b'b', rest @ ..] => ('\u{8}', rest),
        [_, b'f', rest @ ..] => ('\u{c}', rest),
        [_, b'u', rest @ ..] => {
            let Some((unit, rest)) = hex_unit(rest) else {
                put(char::REPLACEMENT_CHARACTER);
                return rest;
            };
            if let (0xd800..=0xdbff, [b'\\', b'u', low @ ..]) = (unit, rest)
                && let Some((low @ 0xdc00..=0xdfff, rest)) = hex_unit(low)
            {
                let code = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                put(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                return rest;
            }
            put(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER));
            return rest;
        }
        [_, other, rest @ ..] => {
            out.push(*other);
            return rest;
        }
        _ => return &[],
    };
    put(plain);
    rest
}

fn hex_unit(text: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = text.split_at_checked(4)?;
    let unit = digits.iter().try_fold(0, |n, d| Some(n * 16 + char::from(*d).to_digit(16)?))?;
    Some((unit, rest))
}

/// The first position at or after `at` that is not white space.
pub(super) fn skip_space(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = text.get(at) {
        at += 1;
    }
    at
}

/// Just past the closing quote of the string that opens at `at`.
fn string_end(text: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    loop {
        at += quote_or_escape(text.get(at..)?)?;
        match text.get(at)? {
            b'"' => return Some(at + 1),
            _ => at += 2,
        }
    }
}

/// The first quote or backslash. Most strings of JSON are short: four words are looked at before a vector search,
/// whose start costs more than that.
fn quote_or_escape(text: &[u8]) -> Option<usize> {
    const EACH: u64 = 0x0101_0101_0101_0101;
    // The lowest bit that is set stands in the first byte that is zero.
    let zero_byte = |word: u64| word.wrapping_sub(EACH) & !word & (EACH << 7);
    let mut rest = text;
    let mut at = 0;
    for _ in 0..4 {
        let Some((word, tail)) = rest.split_first_chunk() else { break };
        let word = u64::from_le_bytes(*word);
        let found = zero_byte(word ^ (EACH * 0x22)) | zero_byte(word ^ (EACH * 0x5c));
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        (rest, at) = (tail, at + 8);
    }
    memchr2(b'"', b'\\', rest).map(|found| at + found)
}

/// Just past the value that begins at `at`.
fn value_end(text: &[u8], at: usize) -> Option<usize> {
    match text.get(at)? {
        b'"' => string_end(text, at),
        b'{' | b'[' => nest_end(text, at),
        _ => {
            let rest = text.get(at..)?;
            let ends = |b: &u8| matches!(b, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
            match rest.iter().position(ends)? {
                0 => None,
                len => Some(at + len),
            }
        }
    }
}

fn nest_end(text: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    loop {
        // Square and curly brackets differ in this bit only; no other byte of JSON outside of strings meets them.
        match text.get(at)? | 0x20 {
            b'"' => {
                at = string_end(text, at)?;
                continue;
            }
            b'{' => depth += 1,
            b'}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        members(text.as_bytes()).map(|m| (show(m.key), show(m.value))).collect()
    }

    #[test]
    fn members_are_slices_of_the_text() {
        let text = r#" { "a" : 1e400 , "b\"":"x\\\"y}", "c":{"d":[1,{"e":"]"}]},"f":"\ud83d" , "g":[ ] } tail"#;
        let expected = [
            ("a", "1e400"),
            (r#"b\""#, r#""x\\\"y}""#),
            ("c", r#"{"d":[1,{"e":"]"}]}"#),
            ("f", r#""\ud83d""#),
            ("g", "[ ]"),
        ];
        let expected: Vec<_> = expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        assert_eq!(pairs(text), expected);
        for m in members(text.as_bytes()) {
            assert_eq!(&text.as_bytes()[m.value_start()..m.end], m.value);
            assert_eq!(text.as_bytes()[m.start], b'"');
        }
    }

    #[test]
    fn broken_text_yields_what_was_readable() {
        for (text, readable) in [
            ("", 0),
            ("[1]", 0),
            ("{", 0),
            (r#"{"a":1"#, 0),
            (r#"{"a":1,"b":"unfinished"#, 1),
            (r#"{"a":1,,"b":2}"#, 1),
            (r#"{"a":}"#, 0),
            (r#"{"a" 1}"#, 0),
            (r#"{"a":1,"b\"#, 1),
        ] {
            let mut walk = members(text.as_bytes());
            assert_eq!(walk.by_ref().count(), readable, "{text}");
            assert!(!walk.is_whole(), "{text}");
        }
        let mut walk = members(br#"{"a":[]}"#);
        assert_eq!(walk.by_ref().count(), 1);
        assert!(walk.is_whole());
    }

    #[test]
    fn repeated_and_escaped_names_are_found() {
        let text = br#"{"model":"a","mod\u0065l":"b"}"#;
        assert_eq!(member(text, "model").map(|m| m.value), Some(&br#""b""#[..]));
        assert_eq!(member(text, "absent"), None);
        let long = br#"{"0123456789012345\"":"0123456789012345678901234567890123456789\\"}"#;
        assert_eq!(member(long, "0123456789012345\"").map(|m| m.value.len()), Some(44));
    }

    #[test]
    fn an_empty_array_is_seen() {
        for (text, empty) in [("[]", true), ("[ \n]", true), ("[1]", false), ("{}", false), ("", false), ("[", false)] {
            assert_eq!(is_empty_array(text.as_bytes()), empty, "{text}");
        }
    }

    #[test]
    fn strings_of_any_depth_in_order() {
        let text = br#"{"a":"1","b":[{"c" : "2"},"no",{"d":{"e":"3\"4"}}],"f":5,"g":""}"#;
        let found: Vec<_> = strings(text).map(|(k, v)| (k[0] as char, String::from_utf8_lossy(v))).collect();
        let expected = [('a', "1"), ('c', "2"), ('e', r#"3\"4"#), ('g', "")].map(|(k, v)| (k, v.into()));
        assert_eq!(found, expected);
    }

    #[test]
    fn seconds_are_exact_to_the_millisecond() {
        for (text, found) in [
            ("75.4", Some(75_400)),
            ("3", Some(3000)),
            ("8.470000267028809", Some(8470)),
            ("0.9996", Some(1000)),
            ("1e2", Some(100_000)),
            ("2.5e1", Some(25_000)),
            ("-1", None),
            (".5", None),
            ("null", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(millis(text.as_bytes()), found, "{text}");
        }
    }

    #[test]
    fn numbers_are_whole_or_nothing() {
        for (text, number) in [
            ("0", Some(0)),
            ("18446744073709551615", Some(u64::MAX)),
            ("100.0", Some(100)),
            ("1e2", Some(100)),
            ("1.5", None),
            ("-1", None),
            ("1e400", None),
            ("NaN", None),
            ("inf", None),
            ("\"7\"", None),
            ("null", None),
            ("true", None),
        ] {
            assert_eq!(whole_number(text.as_bytes()), number, "{text}");
        }
    }

    #[test]
    fn escapes_are_resolved_and_half_pairs_replaced() {
        for (raw, text) in [
            (r"plain", "plain"),
            (r#"a\"b\\c\/d"#, "a\"b\\c/d"),
            (r"\n\t\r\b\f", "\n\t\r\u{8}\u{c}"),
            (r"\u00e9\ud83d\udc4b!", "é👋!"),
            (r"\ud83d", "\u{fffd}"),
            (r"\ud83dx", "\u{fffd}x"),
            (r"\ud83d\n", "\u{fffd}\n"),
            (r"\udc4b", "\u{fffd}"),
            (r"\uZZZZ", "\u{fffd}ZZZZ"),
            (r"\", ""),
        ] {
            assert_eq!(unescape(raw.as_bytes()), text, "{raw}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200), json in r#"[{}\[\]",:a\\ 1]{0,60}"#) {
            for text in [&bytes[..], json.as_bytes()] {
                prop_assert!(members(text).count() <= text.len());
                prop_assert!(elements(text).count() <= text.len());
                prop_assert!(strings(text).count() <= text.len());
                let _: Cow<'_, str> = unescape(text);
            }
        }

        #[test]
        fn members_agree_with_a_parser(map in prop::collection::btree_map(".{0,8}", ".{0,12}", 0..6)) {
            let text = serde_json::to_string(&map).expect("json");
            let walked: std::collections::BTreeMap<_, _> = members(text.as_bytes())
                .map(|m| (unescape(m.key).into_owned(), unescape(string(m.value).expect("string")).into_owned()))
                .collect();
            prop_assert_eq!(walked, map);
        }
    }
}
