//! Secrets that an operator shares with whoever administers, as digests: equal lengths make the comparison constant in time.

use super::digest::digest;
use crate::domain::{KeyDigest, Secret};
use subtle::{Choice, ConstantTimeEq};

/// Any of them is good.
#[derive(Clone, Debug, Default)]
pub struct SharedSecrets {
    accepted: Vec<KeyDigest>,
}

impl SharedSecrets {
    /// Empty secrets count as not set.
    pub fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        let set = secrets.into_iter().filter(|s| !s.is_empty());
        Self { accepted: set.map(|s| digest(s.expose().as_bytes())).collect() }
    }
    /// None is set.
    pub fn is_empty(&self) -> bool {
        self.accepted.is_empty()
    }
    /// Every secret is compared, so that the time does not tell which one was near.
    pub fn accepts(&self, presented: &[u8]) -> bool {
        let presented = digest(presented);
        let any = |found: Choice, one: &KeyDigest| found | one.as_bytes().ct_eq(presented.as_bytes());
        self.accepted.iter().fold(Choice::from(0), any).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unset_secret_opens_nothing() {
        let none = SharedSecrets::new([Secret::default()]);
        assert!(none.is_empty() && !none.accepts(b""));
        let one = SharedSecrets::new([Secret::new(""), Secret::new("boot")]);
        assert!(one.accepts(b"boot") && !one.accepts(b"") && !one.accepts(b"Boot"));
        assert!(!format!("{one:?}").contains("boot"));
    }
}
