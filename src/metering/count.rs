//! Token counts by our own tokenizers, for when nobody else says: estimates before a call, broken streams.
//! Tables are compiled in, and unpacked once, at the first use.

use tiktoken_rs::{CoreBPE, cl100k_base_singleton, o200k_base_singleton};

/// Text longer than this is not tokenized but measured: exactness is not worth the time.
pub const EXACT_LIMIT: usize = 256 * 1024;

/// Tokens around every chat message, for a name, and for the beginning of the answer.
pub const PER_MESSAGE: u64 = 3;
pub const PER_NAME: u64 = 1;
pub const ANSWER_PRIMER: u64 = 3;
/// Tokens around the JSON of a tool definition.
pub const PER_TOOL: u64 = 10;
/// A picture of unknown size, and one sent in low detail.
pub const PER_IMAGE: u64 = 1_100;
pub const PER_SMALL_IMAGE: u64 = 85;
/// Input audio per second.
pub const AUDIO_PER_SECOND: u64 = 10;

/// A run of one kind of character is cut here: merging a run costs time in its square, and no text has such words.
const RUN_LIMIT: usize = 1024;

/// How a model's text becomes tokens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encoding {
    O200k,
    Cl100k,
}

impl Encoding {
    /// The newer one for every model that is not known to use the older.
    pub fn of_model(model: &str) -> Self {
        const OLDER: [&str; 7] =
            ["gpt-4-", "gpt-3.5", "gpt-35-", "text-embedding-3-", "text-embedding-ada-", "davinci-002", "babbage-002"];
        let name = model.strip_prefix("ft:").unwrap_or(model);
        let base = name.split(':').next().unwrap_or(name);
        let older = base == "gpt-4" || OLDER.iter().any(|family| base.starts_with(family));
        if older { Self::Cl100k } else { Self::O200k }
    }

    /// Tokens of a text in which nothing is special. Approximate beyond [`EXACT_LIMIT`].
    pub fn count(self, text: &str) -> u64 {
        if text.len() > EXACT_LIMIT {
            return rough(text);
        }
        let table = self.table();
        runs(text).map(|run| table.encode_ordinary(run).len() as u64).sum()
    }

    /// Unpacks the table now, which takes a good part of a second, rather than at the first count.
    pub fn warm(self) {
        self.table();
    }

    fn table(self) -> &'static CoreBPE {
        match self {
            Self::O200k => o200k_base_singleton(),
            Self::Cl100k => cl100k_base_singleton(),
        }
    }
}

/// Tokens by the length of a text: four bytes each where it is mostly ASCII, else two and a half.
pub fn rough(text: &str) -> u64 {
    let other = text.bytes().filter(|b| !b.is_ascii()).count() as u64;
    let len = text.len() as u64;
    if other.saturating_mul(10) <= len { len.div_ceil(4) } else { (len * 2).div_ceil(5) }
}

/// The text in order, cut where a run of letters and digits, of space, or of other signs is over the limit.
/// Characters beyond ASCII continue any run: that can only cut more often.
fn runs(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (run, tail) = rest.split_at_checked(first_cut(rest)).unwrap_or((rest, ""));
        rest = tail;
        Some(run)
    })
}

fn first_cut(text: &str) -> usize {
    let mut kind = None;
    let mut since = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte.is_ascii() {
            let this = if byte.is_ascii_alphanumeric() {
                0
            } else if byte.is_ascii_whitespace() {
                1
            } else {
                2
            };
            if kind.replace(this) != Some(this) {
                since = at;
            }
        }
        if at - since >= RUN_LIMIT && text.is_char_boundary(at) {
            return at;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_texts_have_known_counts() {
        for (text, newer, older) in [
            ("Hello, world!", 4, 4),
            ("The quick brown fox jumps over the lazy dog.", 10, 10),
            ("你好，世界！今天天气怎么样？", 9, 17),
            ("été à Montréal — naïve café", 7, 8),
            ("fn main() { println!(\"{}\", x); }", 9, 9),
            ("{\"city\":\"Paris\",\"days\":3}", 9, 9),
            ("👋🌍", 4, 6),
            ("", 0, 0),
        ] {
            assert_eq!(Encoding::O200k.count(text), newer, "{text}");
            assert_eq!(Encoding::Cl100k.count(text), older, "{text}");
        }
        assert_eq!(Encoding::O200k.count(" <|endoftext|> "), 8, "nothing is special in what users write");
    }

    #[test]
    fn models_have_their_encoding() {
        for model in
            ["gpt-4", "gpt-4-0613", "gpt-3.5-turbo", "text-embedding-3-small", "davinci-002", "ft:gpt-3.5-turbo:a::b"]
        {
            assert_eq!(Encoding::of_model(model), Encoding::Cl100k, "{model}");
        }
        for model in [
            "gpt-4o",
            "gpt-4.1-mini",
            "gpt-4.5-preview",
            "gpt-5",
            "gpt-6.1-sol",
            "o3",
            "ft:gpt-4o:a:b:c",
            "claude-opus-5-5",
            "",
        ] {
            assert_eq!(Encoding::of_model(model), Encoding::O200k, "{model}");
        }
    }

    #[test]
    fn endless_words_are_counted_in_pieces() {
        for unit in ["a", " ", "!", "\n", "漢", "!。", "é", "0", "\u{2003} "] {
            let text = unit.repeat(20_000 / unit.len());
            assert!(runs(&text).all(|run| run.len() <= RUN_LIMIT + 4), "{unit:?}");
            assert!(Encoding::O200k.count(&text) > 0, "{unit:?}");
        }
    }

    #[test]
    fn long_text_is_measured() {
        let text = "four".repeat(EXACT_LIMIT);
        assert_eq!(Encoding::O200k.count(&text), EXACT_LIMIT as u64);
        assert_eq!(rough("ааааа"), 4);
    }

    proptest! {
        #[test]
        fn cutting_loses_nothing(text in "([a-z]{0,900}|[ \n]{0,900}|[!。é]{0,900}|\\PC{0,20}){0,6}") {
            prop_assert_eq!(runs(&text).collect::<String>(), text);
        }

        #[test]
        fn a_text_has_at_most_as_many_tokens_as_bytes(text in "\\PC{0,60}") {
            prop_assert!(Encoding::O200k.count(&text) <= text.len() as u64);
        }
    }
}
