//! The order in which the steps of a route are tried: as written, but for neighbours with weights, which are drawn.

use crate::domain::Step;

/// Indexes of `steps`, each once. Neighbours with a weight change places among themselves: each place goes to one of
/// those left with the chance that its weight has in their sum; weight 0 comes after the others, as written.
/// `chance`: random bits, the same for all of one request.
pub fn order(steps: &[Step], chance: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..steps.len()).collect();
    let mut random = SplitMix64(chance);
    let weight = |index: &usize| steps.get(*index).and_then(|step| step.weight);
    for run in order.chunk_by_mut(|a, b| weight(a).is_some() && weight(b).is_some()) {
        draw(run, |index| u64::from(weight(index).unwrap_or(0)), &mut random);
    }
    order
}

/// Without replacement. A run of one step, also one without a weight, stays as it is.
fn draw(mut left: &mut [usize], weight: impl Fn(&usize) -> u64, random: &mut SplitMix64) {
    while left.len() > 1 {
        let sum: u64 = left.iter().map(&weight).sum();
        if sum == 0 {
            return;
        }
        let mut drawn = random.below(sum);
        let found = left.iter().position(|index| {
            let weight = weight(index);
            let hit = drawn < weight;
            drawn = drawn.saturating_sub(weight);
            hit
        });
        // What was passed over moves one place back and keeps its order: weight 0 ends as written.
        if let Some(taken) = left.get_mut(..=found.unwrap_or(0)) {
            taken.rotate_right(1);
        }
        left = left.get_mut(1..).unwrap_or_default();
    }
}

/// Random numbers of a seed: Steele, Lea and Flood's SplitMix64, good also for seeds that differ in one bit.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 to below `bound`. Uneven by less than `bound` in 2^64.
    fn below(&mut self, bound: u64) -> u64 {
        let scaled = (u128::from(self.next()) * u128::from(bound)) >> 64;
        u64::try_from(scaled).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, HashMap};
    use std::time::Duration;

    fn steps(weights: &[Option<u32>]) -> Vec<Step> {
        let step = |weight: &Option<u32>| Step {
            provider: "p".into(),
            model: "m".into(),
            retries: 0,
            retry_interval: None,
            timeout: Duration::from_secs(1),
            first_byte_timeout: None,
            params: BTreeMap::new(),
            request_params: Vec::new(),
            weight: *weight,
        };
        weights.iter().map(step).collect()
    }

    /// How often each order came out of `draws`.
    fn tally(weights: &[Option<u32>], draws: u64) -> HashMap<Vec<usize>, u32> {
        let steps = steps(weights);
        let mut tally = HashMap::new();
        for n in 0..draws {
            *tally.entry(order(&steps, n)).or_default() += 1;
        }
        tally
    }

    #[test]
    fn without_weights_the_order_is_as_written() {
        let written: Vec<usize> = (0..5).collect();
        for chance in 0..1000 {
            assert_eq!(order(&steps(&[None; 5]), chance), written);
        }
        assert!(order(&[], 7).is_empty());
    }

    /// Pearson's statistic against the exact chance of every order: the limit is passed once in 100,000 by luck, and
    /// the seeds are fixed.
    #[test]
    fn each_order_comes_as_often_as_its_weights_say() {
        const DRAWS: u32 = 200_000;
        for weights in [[1, 1, 1], [5, 3, 2], [90, 9, 1], [4_294_967_295, 4_294_967_295, 1_000_000_000]] {
            let tally = tally(&weights.map(Some), u64::from(DRAWS));
            let (mut statistic, mut orders) = (0.0, 0);
            for first in 0..3 {
                for second in (0..3).filter(|second| *second != first) {
                    let third = 3 - first - second;
                    let weight = |index: usize| f64::from(weights[index]);
                    let chance = weight(first) / (weight(0) + weight(1) + weight(2)) * weight(second)
                        / (weight(second) + weight(third));
                    let expected = chance * f64::from(DRAWS);
                    let seen = f64::from(tally.get(&vec![first, second, third]).copied().unwrap_or(0));
                    statistic += (seen - expected).powi(2) / expected;
                    orders += 1;
                }
            }
            assert_eq!(orders, 6);
            // Five degrees of freedom.
            assert!(statistic < 30.86, "{weights:?}: {statistic}");
        }
    }

    #[test]
    fn weight_zero_comes_after_the_others_of_its_run_as_written() {
        let weights = [Some(0), Some(1), Some(0), Some(1), None, Some(0), Some(3)];
        let tally = tally(&weights, 1000);
        let expected = [vec![1, 3, 0, 2, 4, 6, 5], vec![3, 1, 0, 2, 4, 6, 5]];
        assert_eq!(tally.len(), 2);
        assert!(expected.iter().all(|order| tally[order] > 400), "{tally:?}");
    }

    #[test]
    fn two_runs_are_drawn_apart_from_each_other() {
        let tally = tally(&[Some(1), Some(1), None, Some(1), Some(1)], 4000);
        assert_eq!(tally.len(), 4);
        assert!(tally.values().all(|seen| (850..1150).contains(seen)), "{tally:?}");
    }

    proptest! {
        #[test]
        fn every_step_once_and_none_leaves_its_run(
            weights in prop::collection::vec(prop::option::of(prop_oneof![Just(0), 1..5_u32, Just(u32::MAX)]), 0..40),
            chance in any::<u64>(),
        ) {
            let steps = steps(&weights);
            let order = order(&steps, chance);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..steps.len()).collect::<Vec<_>>());
            for (place, index) in order.iter().enumerate() {
                let between = &weights[*index.min(&place)..=*index.max(&place)];
                prop_assert!(place == *index || between.iter().all(Option::is_some), "{place} {index}");
            }
            prop_assert_eq!(super::order(&steps, chance), order, "the same for the same chance");
        }

        #[test]
        fn the_heavier_is_not_always_first_nor_ever_absent(a in 1..50_u32, b in 1..50_u32) {
            let tally = tally(&[Some(a), Some(b)], 4000);
            let first = tally.get(&vec![0, 1]).copied().unwrap_or(0);
            // Within 5 in 100 of all draws, without a division.
            prop_assert!((first * (a + b)).abs_diff(4000 * a) < 200 * (a + b), "{first} of 4000");
        }
    }
}
