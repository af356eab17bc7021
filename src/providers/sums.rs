//! Adds up the requests of a batch so that each still has the price of its own size: a prompt beyond a threshold is
//! dearer, a hundred small ones are not.

use super::Charge;
use crate::domain::Usage;

/// Requests are added up as long as all of them together are smaller than the smallest prompt at which any price
/// changes; a larger request stays by itself.
const TOGETHER: u64 = 64_000;
/// Beyond this many sums, which are some billions of tokens, requests are added to the last one of their model.
const MOST_SUMS: usize = 50_000;
/// Sums that are looked at for one to add to: as many models as anybody mixes.
const LOOK_BACK: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Sums(Vec<(Box<str>, Usage)>);

impl Sums {
    pub(super) fn add(&mut self, model: Box<str>, usage: Usage) {
        let alike = |(name, sum): &(Box<str>, Usage)| {
            *name == model
                && (&sum.speed, &sum.inference_geo, &sum.service_tier)
                    == (&usage.speed, &usage.inference_geo, &usage.service_tier)
        };
        let full = self.0.len() >= MOST_SUMS;
        let last = self.0.iter_mut().rev().take(LOOK_BACK).find(|sum| alike(sum));
        match last.filter(|(_, sum)| full || sum.prompt_tokens().saturating_add(usage.prompt_tokens()) <= TOGETHER) {
            Some((_, sum)) => *sum = sum.plus(&usage),
            None => self.0.push((model, usage)),
        }
    }

    /// All of it as one charge; `None` when nothing was consumed.
    pub(super) fn into_charge(self, id: Box<str>) -> Option<Charge> {
        let mut sums = self.0.into_iter();
        let (model, usage) = sums.next()?;
        Some(Charge { id, model, usage, more: sums.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_requests_share_a_sum_and_large_ones_do_not() {
        let mut sums = Sums::default();
        for prompt in [30_000, 30_000, 30_000, 300_000, 10] {
            sums.add("m".into(), Usage { in_text: prompt, ..Usage::default() });
        }
        let charge = sums.into_charge("batch".into()).unwrap();
        let sizes: Vec<u64> = charge.parts().map(|(_, usage)| usage.in_text).collect();
        assert_eq!(sizes, [60_000, 30_000, 300_000, 10]);
        assert!(Sums::default().into_charge("batch".into()).is_none());
    }
}
