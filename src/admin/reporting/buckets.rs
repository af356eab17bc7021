//! The time axis of a report: every bucket has a point, empty ones a point of zeros. Pure.

use crate::store::ReportPoint;

/// Seconds of a UTC day.
pub(super) const DAY: i64 = 86_400;

/// Most buckets of one report.
pub(super) const MOST: i64 = 100_000;

/// Number of starts in `start, start + increment, ... <= end`. All three must be positive, `start <= end`.
pub(super) const fn number(start: i64, end: i64, increment: i64) -> i64 {
    (end - start) / increment + 1
}

/// Puts a point of zeros wherever none of `points` begins. `points` are in time order and lie on the starts.
pub(super) fn fill(start: i64, end: i64, increment: i64, points: Vec<ReportPoint>) -> Vec<ReportPoint> {
    let mut filled = Vec::with_capacity(points.len());
    let mut points = points.into_iter().peekable();
    for n in 0..number(start, end, increment) {
        let at = start + n * increment;
        let before = filled.len();
        while let Some(point) = points.next_if(|point| point.at <= at) {
            filled.push(point);
        }
        if filled.len() == before {
            filled.push(ReportPoint { at, ..ReportPoint::default() });
        }
    }
    filled
}

/// Splits `[start, end)` where the first UTC day ends: what is left of that day, and the rest from a midnight on.
pub(super) fn split_first_day(start: i64, end: i64) -> ((i64, i64), (i64, i64)) {
    let midnight = (start.div_euclid(DAY) * DAY).saturating_add(DAY).min(end);
    if start.rem_euclid(DAY) == 0 { ((start, start), (start, end)) } else { ((start, midnight), (midnight, end)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(start: i64, end: i64, increment: i64, given: &[i64]) -> Vec<(i64, u64)> {
        let points = given.iter().map(|&at| ReportPoint { at, requests: 1, ..ReportPoint::default() });
        fill(start, end, increment, points.collect()).into_iter().map(|p| (p.at, p.requests)).collect()
    }

    #[test]
    fn ten_seconds_by_twenty_are_one_bucket() {
        assert_eq!(starts(100, 110, 20, &[]), [(100, 0)]);
        assert_eq!(starts(100, 110, 20, &[100]), [(100, 1)]);
    }

    #[test]
    fn the_end_is_a_start_when_it_fits() {
        assert_eq!(starts(100, 160, 30, &[130]), [(100, 0), (130, 1), (160, 0)]);
    }

    #[test]
    fn groups_of_one_bucket_stay_together() {
        assert_eq!(starts(0, 1, 1, &[0, 0, 1]), [(0, 1), (0, 1), (1, 1)]);
    }

    #[test]
    fn days_are_cut_at_midnight() {
        assert_eq!(split_first_day(DAY, 3 * DAY), ((DAY, DAY), (DAY, 3 * DAY)));
        assert_eq!(split_first_day(DAY + 5, 3 * DAY), ((DAY + 5, 2 * DAY), (2 * DAY, 3 * DAY)));
        assert_eq!(split_first_day(DAY + 5, DAY + 9), ((DAY + 5, DAY + 9), (DAY + 9, DAY + 9)));
    }
}
