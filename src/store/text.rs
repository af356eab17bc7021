//! Between values and what an engine stores: wide numbers, JSON, texts that are searched.

use super::{Result, engine};
use serde::Serialize;

/// The engines have no unsigned 64-bit numbers; what does not fit is stored as the largest that does.
pub(super) fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn json_text(value: &(impl Serialize + ?Sized)) -> Result<String> {
    serde_json::to_string(value).map_err(engine)
}

/// `None`, which is stored as NULL, for empty text.
pub(super) const fn or_null(text: &str) -> Option<&str> {
    if text.is_empty() { None } else { Some(text) }
}

/// `None`, which is stored as NULL, for what is empty.
pub(super) fn json_or_null<T: Serialize + Default + PartialEq>(value: &T) -> Result<Option<String>> {
    if *value == T::default() { Ok(None) } else { json_text(value).map(Some) }
}

/// Folds case beyond ASCII, letter by letter, so that a part folds as it does inside the whole.
pub(super) fn folded(text: &str) -> String {
    text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_a_part_finds_it_in_the_folded_whole() {
        for (whole, part) in [("Straße", "STRASSE"), ("ΟΔΟΣ", "δος"), ("Émile", "ÉM"), ("İstanbul", "stan")]
        {
            assert!(folded(whole).contains(&folded(part)), "{part} in {whole}");
        }
        assert!(!folded("alpha").contains(&folded("beta")));
    }

    #[test]
    fn numbers_that_do_not_fit_are_the_largest() {
        assert_eq!(stored(7), 7);
        assert_eq!(stored(u64::MAX), i64::MAX);
    }
}
