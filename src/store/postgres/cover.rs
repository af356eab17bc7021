//! Which sums answer for a range of time: whole days, whole hours, and the events themselves at ragged ends.

pub(super) const HOUR: i64 = 3_600_000;
pub(super) const DAY: i64 = 24 * HOUR;
/// No event is as far from 1970 as this (milliseconds, whole days), so that ends of ranges may be moved here.
pub(super) const FAR: i64 = DAY * 4_000_000;
/// With more buckets than this the pieces would be as many as the events.
const MOST_BUCKETS: i64 = 100_000;

/// Half-open, milliseconds.
type Range = (i64, i64);

/// Disjoint ranges that make up one; each lies within one bucket, unless buckets are whole spans or events are asked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Cover {
    pub(super) days: Vec<Range>,
    pub(super) hours: Vec<Range>,
    pub(super) events: Vec<Range>,
}

/// Sums of this span and longer ones may be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Finest {
    Hour,
    Day,
}

/// Where buckets begin and how long they are, milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Buckets {
    pub(super) base: i64,
    pub(super) length: i64,
}

impl Cover {
    /// Of `[from, to)` as one bucket.
    pub(super) fn of((from, to): Range, finest: Finest) -> Self {
        let mut cover = Self::default();
        cover.add(clamped(from), clamped(to), finest);
        cover
    }

    /// Of `[from, to)` from no sums.
    pub(super) fn of_events((from, to): Range) -> Self {
        let mut cover = Self::default();
        push(&mut cover.events, clamped(from), clamped(to));
        cover
    }

    /// Of `[from, to)`, no sum reaching over the end of a bucket.
    pub(super) fn in_buckets((from, to): Range, buckets: Buckets) -> Self {
        let (mut from, to) = (clamped(from), clamped(to));
        let length = buckets.length.max(1);
        if length < HOUR || to.saturating_sub(from) / length > MOST_BUCKETS {
            return Self::of_events((from, to));
        }
        let mut cover = Self::default();
        while from < to {
            let into = from.saturating_sub(buckets.base).rem_euclid(length);
            let end = from.saturating_add(length - into).min(to);
            cover.add(from, end, Finest::Hour);
            from = end;
        }
        cover
    }

    fn add(&mut self, from: i64, to: i64, finest: Finest) {
        let (first, last) = whole(from, to, DAY);
        if finest == Finest::Day {
            if first < last {
                push(&mut self.events, from, first);
                push(&mut self.days, first, last);
                push(&mut self.events, last, to);
            } else {
                push(&mut self.events, from, to);
            }
            return;
        }
        let (early, late) = whole(from, to, HOUR);
        if early >= late {
            push(&mut self.events, from, to);
            return;
        }
        push(&mut self.events, from, early);
        if first < last {
            push(&mut self.hours, early, first);
            push(&mut self.days, first, last);
            push(&mut self.hours, last, late);
        } else {
            push(&mut self.hours, early, late);
        }
        push(&mut self.events, late, to);
    }

    /// Spans, beginnings and ends of what sums answer for.
    pub(super) fn sums(&self) -> [Vec<i64>; 3] {
        let of = |ranges: &[Range], span| ranges.iter().map(move |(from, to)| [span, *from, *to]).collect::<Vec<_>>();
        let all: Vec<_> = of(&self.days, DAY).into_iter().chain(of(&self.hours, HOUR)).collect();
        [0, 1, 2].map(|n| all.iter().filter_map(|row| row.get(n).copied()).collect())
    }

    /// Beginnings and ends of what events answer for.
    pub(super) fn ragged(&self) -> [Vec<i64>; 2] {
        [self.events.iter().map(|range| range.0).collect(), self.events.iter().map(|range| range.1).collect()]
    }
}

fn clamped(moment: i64) -> i64 {
    moment.clamp(-FAR, FAR)
}

/// The first beginning and the last end of whole spans in a range; the first is not before the last when there is none.
const fn whole(from: i64, to: i64, span: i64) -> Range {
    (-(-from).div_euclid(span) * span, to.div_euclid(span) * span)
}

/// What touches the range before it goes on with it.
fn push(ranges: &mut Vec<Range>, from: i64, to: i64) {
    if from >= to {
        return;
    }
    match ranges.last_mut() {
        Some(last) if last.1 == from => last.1 = to,
        _ => ranges.push((from, to)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const D: i64 = 19_000 * DAY;

    #[test]
    fn whole_days_then_hours_then_events() {
        let cover = Cover::of((D - HOUR - 5, D + DAY + 2 * HOUR + 7), Finest::Hour);
        let expect = Cover {
            days: vec![(D, D + DAY)],
            hours: vec![(D - HOUR, D), (D + DAY, D + DAY + 2 * HOUR)],
            events: vec![(D - HOUR - 5, D - HOUR), (D + DAY + 2 * HOUR, D + DAY + 2 * HOUR + 7)],
        };
        assert_eq!(cover, expect);
        let by_day = Cover::of((D - HOUR, D + DAY), Finest::Day);
        assert_eq!((by_day.days, by_day.events, by_day.hours), (vec![(D, D + DAY)], vec![(D - HOUR, D)], vec![]));
        assert_eq!(Cover::of((5, 5), Finest::Hour), Cover::default());
        assert_eq!(Cover::of((i64::MIN, i64::MAX), Finest::Hour).days, [(-FAR, FAR)]);
    }

    proptest! {
        #[test]
        fn every_moment_is_in_one_piece_and_no_sum_in_two_buckets(
            from in 0..3 * DAY, long in 1..40 * DAY, base in -DAY..DAY, length in 1..3 * DAY,
        ) {
            let range = (D + from, D + from + long);
            let buckets = Buckets { base: D + base, length };
            let cover = Cover::in_buckets(range, buckets);
            let mut all: Vec<_> = [&cover.days, &cover.hours, &cover.events].into_iter().flatten().copied().collect();
            all.sort_unstable();
            let mut at = range.0;
            for (from, to) in all {
                prop_assert_eq!(from, at);
                at = to;
            }
            prop_assert_eq!(at, range.1);
            let bucket = |at: i64| (at - buckets.base).div_euclid(length);
            for (ranges, span) in [(&cover.days, DAY), (&cover.hours, HOUR)] {
                for (from, to) in ranges {
                    prop_assert_eq!((from % span, to % span), (0, 0));
                    for start in (*from..*to).step_by(usize::try_from(span).unwrap()) {
                        prop_assert_eq!(bucket(start), bucket(start + span - 1));
                    }
                }
            }
        }
    }
}
