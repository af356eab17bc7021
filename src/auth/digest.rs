//! What is kept of a raw key: its SHA-256 for lookups and a hint for people. Never the key itself.

use crate::domain::KeyDigest;
use ring::digest::SHA256;

/// Characters of a key that a hint shows at its start and at its end, when the key is long enough.
const HEAD: usize = 5;
const TAIL: usize = 3;

/// SHA-256 without salt: keys are looked up by it.
pub fn digest(raw: &[u8]) -> KeyDigest {
    let mut bytes = [0; 32];
    let hash = ring::digest::digest(&SHA256, raw);
    for (to, from) in bytes.iter_mut().zip(hash.as_ref()) {
        *to = *from;
    }
    KeyDigest::from_bytes(bytes)
}

/// First 5 and last 3 characters with `...` between. Short keys show less: never more than half of a key.
pub fn hint(raw: &str) -> String {
    let length = raw.chars().count();
    let shown = (length / 2).min(HEAD + TAIL);
    let tail = shown * TAIL / (HEAD + TAIL);
    let mut text: String = raw.chars().take(shown - tail).collect();
    text.push_str("...");
    text.extend(raw.chars().skip(length - tail));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_is_plain_sha_256() {
        let want = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex::encode(digest(b"abc").as_bytes()), want);
        assert_ne!(digest(b""), digest(b"\0"));
    }

    #[test]
    fn hint_shows_five_and_three() {
        assert_eq!(hint("tg-0123456789abcdef"), "tg-01...def");
        assert_eq!(hint("schlüsselschlüssel"), "schlü...sel");
    }

    #[test]
    fn hint_never_shows_more_than_half() {
        for length in 0..64 {
            let raw: String = "abcdefghijklmnopqrstuvwxyz".chars().cycle().take(length).collect();
            let shown = hint(&raw).len() - "...".len();
            assert!(shown * 2 <= length && shown <= 8, "{length} characters show {shown}");
        }
        assert_eq!(hint(""), "...");
        assert_eq!(hint("a"), "...");
    }
}
