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
    }
}
