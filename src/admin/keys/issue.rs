//! New secrets of keys that the gateway makes itself.

use crate::domain::Secret;
use ring::error::Unspecified;
use ring::rand::SecureRandom;

const PREFIX: &str = "br-";
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// Characters after the prefix: about 172 bits.
const LENGTH: usize = 29;
/// Bytes at or above the largest multiple of the alphabet's size are drawn anew: a remainder of them would make the
/// first characters likelier than the rest.
const FAIR: usize = 256 / ALPHABET.len() * ALPHABET.len();

/// `br-` and 29 letters and digits, each as likely as any other.
///
/// # Errors
/// When the operating system gives no randomness.
pub(super) fn secret(random: &dyn SecureRandom) -> Result<Secret, Unspecified> {
    let mut text = String::with_capacity(PREFIX.len() + LENGTH);
    text.push_str(PREFIX);
    let mut bytes = [0; 64];
    while text.len() < PREFIX.len() + LENGTH {
        random.fill(&mut bytes)?;
        let fair = bytes.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < FAIR);
        let letters = fair.filter_map(|byte| ALPHABET.get(byte % ALPHABET.len())).map(|letter| char::from(*letter));
        text.extend(letters.take(PREFIX.len() + LENGTH - text.len()));
    }
    Ok(Secret::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::rand::SystemRandom;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn c25_the_form_of_a_key() {
        let keys: BTreeSet<String> =
            (0..1000).map(|_| secret(&SystemRandom::new()).unwrap().expose().to_owned()).collect();
        assert_eq!(keys.len(), 1000);
        for key in keys {
            let rest = key.strip_prefix("br-").unwrap();
            assert!(rest.len() == 29 && rest.bytes().all(|c| c.is_ascii_alphanumeric()), "{}", key.len());
        }
    }

    #[test]
    fn every_letter_is_as_likely() {
        let mut counts = BTreeMap::new();
        for _ in 0..10_000 {
            for letter in secret(&SystemRandom::new()).unwrap().expose().chars().skip(3) {
                *counts.entry(letter).or_insert(0u32) += 1;
            }
        }
        // 4677 expected of each; 400 is nearly six standard deviations, a modulo bias would add 1170 to some.
        assert_eq!(counts.len(), 62);
        assert!(counts.values().all(|count| (4277..5077).contains(count)), "{counts:?}");
    }
}
