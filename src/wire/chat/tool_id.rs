//! Ids of tool calls, as every API takes them. The same id always becomes the same one, so that results find their
//! calls and nothing has to be remembered between requests.

use ring::digest::{SHA256, digest};
use std::borrow::Cow;

/// The longest id that all APIs take.
const MAX: usize = 64;
/// Of the digest that stands in for an id.
const DIGITS: usize = 24;

/// The id itself if it is 1 to 64 of `[a-zA-Z0-9_.:-]`, otherwise `call_` and 24 hexadecimal digits of its SHA-256.
pub(super) fn safe(id: &str) -> Cow<'_, str> {
    let fits = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'.' | b':' | b'-');
    if (1..=MAX).contains(&id.len()) && id.bytes().all(fits) {
        return Cow::Borrowed(id);
    }
    let digits = hex::encode(digest(&SHA256, id.as_bytes()));
    Cow::Owned(format!("call_{}", digits.get(..DIGITS).unwrap_or_default()))
//! Ids of tool calls that every API takes.

use std::borrow::Cow;

/// The id itself where it is 1 to 64 of `[a-zA-Z0-9_.:-]`, else `call_` and 24 hex digits that are made from it: the
/// same id always becomes the same one, so that results still match their calls without anything being remembered.
pub(super) fn safe(id: &str) -> Cow<'_, str> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'-');
    if (1..=64).contains(&id.len()) && id.bytes().all(allowed) {
        return Cow::Borrowed(id);
    }
    let mut hex = hex::encode(ring::digest::digest(&ring::digest::SHA256, id.as_bytes()));
    hex.truncate(24);
    Cow::Owned(format!("call_{hex}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_all_take_is_kept_and_another_always_becomes_the_same() {
        let longest = "a".repeat(64);
        for id in ["call_a1", "tooluse_X-1.2:3", longest.as_str()] {
            assert_eq!(safe(id), id);
        }
        // The digest of nothing is a well-known one.
        assert_eq!(safe(""), "call_e3b0c44298fc1c149afbf4c8");
        for id in ["a b", "é", &"a".repeat(65)] {
            let made = safe(id);
            assert_eq!(made, safe(id));
            assert_eq!(made, safe(&made), "{id}");
            assert_ne!(made, safe("other id"));
        }
    use super::safe;

    #[test]
    fn ids_are_kept_or_replaced_by_the_same_one_each_time() {
        for kept in ["toolu_01A", "call_a.b:c-d", "x", &"a".repeat(64)] {
            assert_eq!(safe(kept), kept);
        }
        // SHA-256 of the empty text begins with e3b0c442...
        assert_eq!(safe(""), "call_e3b0c44298fc1c149afbf4c8");
        for replaced in ["a b", "é", &"a".repeat(65)] {
            let id = safe(replaced);
            assert_eq!(id.len(), 29);
            assert_eq!(id, safe(replaced));
            assert_eq!(safe(&id), id, "a replaced id is safe itself");
        }
        assert_ne!(safe("a b"), safe("a  b"));
    }
}
