//! Ids of tool calls: for upstreams such that every API takes them, for clients as they came.

use std::borrow::Cow;

/// The id itself where it is 1 to 64 of `[a-zA-Z0-9_.:-]`, else `call_` and 24 hex digits that are made from it: the
/// same id always becomes the same one, so that results still match their calls without anything being remembered.
pub(super) fn safe(id: &str) -> Cow<'_, str> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'-');
    if (1..=64).contains(&id.len()) && id.bytes().all(allowed) {
        return Cow::Borrowed(id);
    }
    Cow::Owned(made(id))
}

/// For clients: the id itself, however long, because what a model has to get back may travel in it; one that is made
/// where there is none.
pub(super) fn told(id: &str) -> Cow<'_, str> {
    if id.is_empty() { Cow::Owned(made(id)) } else { Cow::Borrowed(id) }
}

/// An id made of what it stands for.
pub(super) fn made(seed: &str) -> String {
    let mut hex = hex::encode(ring::digest::digest(&ring::digest::SHA256, seed.as_bytes()));
    hex.truncate(24);
    format!("call_{hex}")
}

#[cfg(test)]
mod tests {
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
