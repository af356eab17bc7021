//! Continuous percentiles of a stream of latencies, exact and with memory bounded by how many differ.

use std::collections::BTreeMap;

/// Counts per distinct millisecond: at most a few hundred thousand entries while requests end within minutes.
#[derive(Debug, Default)]
pub(super) struct Latencies {
    counts: BTreeMap<u64, u64>,
    total: u64,
}

impl Latencies {
    pub(super) fn add(&mut self, latency_ms: u64) {
        self.add_many(latency_ms, 1);
    }

    pub(super) fn add_many(&mut self, latency_ms: u64, times: u64) {
        if times > 0 {
            *self.counts.entry(latency_ms).or_default() += times;
            self.total = self.total.saturating_add(times);
        }
    }

    /// The value at `fraction` (0..=1) of the sorted latencies, interpolated between neighbours; 0 when there are none.
    #[expect(clippy::float_arithmetic, reason = "interpolation is the definition of a continuous percentile")]
    #[expect(clippy::cast_precision_loss, reason = "counts and milliseconds stay far below 2^53")]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 <= rank < total")]
    pub(super) fn percentile(&self, fraction: f64) -> f64 {
        let Some(last) = self.total.checked_sub(1) else { return 0.0 };
        let rank = fraction.clamp(0.0, 1.0) * last as f64;
        let below = rank.floor();
        let low = self.at(below as u64) as f64;
        let high = self.at((below as u64).saturating_add(1).min(last)) as f64;
        low + (rank - below) * (high - low)
    }

    /// The latency at a position of the sorted list.
    fn at(&self, position: u64) -> u64 {
        let mut seen = 0u64;
        for (latency, count) in &self.counts {
            seen = seen.saturating_add(*count);
            if seen > position {
                return *latency;
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::float_arithmetic, reason = "compares with a tolerance")]
    fn check(latencies: &[u64], fraction: f64, expect: f64) {
        let mut all = Latencies::default();
        latencies.iter().for_each(|l| all.add(*l));
        let got = all.percentile(fraction);
        assert!((got - expect).abs() < 1e-9, "{latencies:?} at {fraction}: {got}, not {expect}");
    }

    #[test]
    fn percentiles_interpolate_between_neighbours() {
        check(&[412, 408], 0.5, 410.0);
        check(&[412, 408], 0.99, 411.96);
        check(&[10, 20, 30, 40], 0.5, 25.0);
        check(&[1, 2, 3], 0.5, 2.0);
        check(&[5, 5, 5, 100], 0.5, 5.0);
    }

    #[test]
    fn edges_are_the_smallest_and_the_largest() {
        check(&[], 0.5, 0.0);
        check(&[7], 0.99, 7.0);
        check(&[3, 1, 2], 0.0, 1.0);
        check(&[3, 1, 2], 1.0, 3.0);
    }
}
