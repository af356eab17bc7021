//! A copy of JSON, or of events of JSON, without its long strings: a picture of megabytes becomes a few bytes,
//! and everything beside it can be read. Works across pieces, holds nothing back.

use memchr::{memchr, memchr3};

/// Bytes of a string that are kept.
const STRING_LIMIT: usize = 1024;

#[derive(Debug, Default)]
pub struct Thinner {
    in_string: bool,
    /// The next byte is escaped.
    escaped: bool,
    /// Bytes of the current string that were kept.
    kept: usize,
    /// The current string is too long: no more of it is kept.
    full: bool,
}

impl Thinner {
    /// Adds the thin form of the next piece to `out`.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let mut rest = piece;
        while !rest.is_empty() {
            rest = if self.in_string { self.string(rest, out) } else { self.plain(rest, out) };
        }
    }

    fn plain<'a>(&mut self, text: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        let end = memchr(b'"', text).map_or(text.len(), |quote| quote + 1);
        let (plain, rest) = text.split_at_checked(end).unwrap_or((text, b""));
        out.extend_from_slice(plain);
        if plain.ends_with(b"\"") {
            *self = Self { in_string: true, ..Self::default() };
        }
        rest
    }

    fn string<'a>(&mut self, text: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        if std::mem::take(&mut self.escaped) {
            let (one, rest) = text.split_at_checked(1).unwrap_or((text, b""));
            self.keep(one, out);
            return rest;
        }
        // No string of JSON holds a line end: after one, whatever it was, it is over.
        let end = memchr3(b'"', b'\\', b'\n', text).unwrap_or(text.len());
        let (inside, rest) = text.split_at_checked(end).unwrap_or((text, b""));
        self.keep(inside, out);
        let Some((sign, rest)) = rest.split_first() else { return rest };
        if *sign == b'\\' {
            // The two bytes of an escape are kept together: a lone backslash would swallow the closing quote.
            self.full |= self.kept + 2 > STRING_LIMIT;
            self.keep(b"\\", out);
            self.escaped = true;
        } else {
            out.push(*sign);
            self.in_string = false;
        }
        rest
    }

    fn keep(&mut self, text: &[u8], out: &mut Vec<u8>) {
        if self.full {
            return;
        }
        let kept = text.get(..STRING_LIMIT - self.kept).unwrap_or(text);
        self.full = kept.len() < text.len();
        self.kept += kept.len();
        out.extend_from_slice(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn thin(text: &[u8], cuts: &[usize]) -> Vec<u8> {
        let (mut thinner, mut out, mut from) = (Thinner::default(), Vec::new(), 0);
        for to in cuts.iter().copied().chain([text.len()]) {
            let to = to.clamp(from, text.len());
            thinner.push(&text[from..to], &mut out);
            from = to;
        }
        out
    }

    #[test]
    fn only_long_strings_are_cut() {
        let short = br#"data: {"a":"x\"y","n":[1,2,{"b":null}]}"#;
        assert_eq!(thin(short, &[]), short);
        let body = format!(r#"{{"b64":"{}","usage":{{"n":7}}}}"#, "A".repeat(100_000));
        let thinned = thin(body.as_bytes(), &[]);
        let value: serde_json::Value = serde_json::from_slice(&thinned).expect("still JSON");
        assert_eq!((value["usage"]["n"].as_u64(), value["b64"].as_str().map(str::len)), (Some(7), Some(STRING_LIMIT)));
    }

    #[test]
    fn an_open_string_ends_with_its_line() {
        let garbage = format!("data: \"{}\ndata: {{\"a\":1}}\n", "x".repeat(5000));
        assert!(thin(garbage.as_bytes(), &[]).ends_with(b"\ndata: {\"a\":1}\n"));
    }

    proptest! {
        #[test]
        fn escapes_survive_the_cut_however_it_comes(
            before in 1015..1030usize,
            text in "[a\"\\\\\n]{0,20}",
            mut cuts in prop::collection::vec(0..1100usize, 0..8),
        ) {
            cuts.sort_unstable();
            let body = serde_json::json!({"a": "x".repeat(before) + &text, "z": 1}).to_string();
            let thinned = thin(body.as_bytes(), &cuts);
            let value: serde_json::Value = serde_json::from_slice(&thinned).expect("still JSON");
            prop_assert_eq!(value["z"].as_u64(), Some(1));
            prop_assert!(thinned.len() <= body.len());
        }
    }
}
