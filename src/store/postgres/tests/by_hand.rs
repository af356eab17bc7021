//! Events of all kinds, the same each time, and reports over them as one would work them out by hand.

use crate::domain::{Event, EventFlag, Money, UnixMillis, Usage};
use crate::store::percentile::Latencies;
use crate::store::suite::samples::{event, event_id, key_id};
use crate::store::{GroupBy, Report, ReportFilter, ReportPoint};
use std::collections::BTreeMap;

pub(super) const HOUR: i64 = 3_600_000;
pub(super) const DAY: i64 = 24 * HOUR;
/// Half an hour before the end of a day.
pub(super) const T: i64 = 19_675 * DAY - HOUR / 2;

/// The same numbers each time.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
    pub(super) fn signed(&mut self, sides: i64) -> i64 {
        i64::try_from(self.roll(u64::try_from(sides).unwrap())).unwrap()
    }
    pub(super) fn one<'l, V>(&mut self, list: &'l [V]) -> &'l V {
        &list[usize::try_from(self.roll(list.len() as u64)).unwrap()]
    }
}

/// Events of some days that differ in all that reports tell.
pub(super) fn random_events(dice: &mut Dice, count: u64) -> Vec<Event> {
    (0..count)
        .map(|n| {
            let at = T + dice.signed(4 * DAY);
            let at = if dice.roll(10) == 0 { at / HOUR * HOUR } else { at };
            let took = dice.signed(2 * HOUR);
            event(n, UnixMillis(at), |e| {
                e.id = event_id(n, UnixMillis(at - took));
                e.key_id = (dice.roll(5) != 0).then(|| key_id(dice.roll(4)));
                e.model = (*dice.one(&["a", "b", "c", ""])).into();
                e.custom_id = (*dice.one(&["", "", "x", "y"])).into();
                e.user_id = (*dice.one(&["", "", "u", "v"])).into();
                e.tags = dice.one(&[vec![], vec!["t1".into()], vec!["t1".into(), "t2".into()]]).clone();
                e.status = *dice.one(&[200, 200, 429, 500]);
                e.flags = if dice.roll(6) == 0 { vec![EventFlag::Refused] } else { Vec::new() };
                e.cost = Money::from_units(dice.signed(1 << 40));
                e.latency_ms = if dice.roll(3) == 0 { dice.roll(100) } else { dice.roll(200_000) };
                e.usage = Usage { in_text: dice.roll(1000), out_text: dice.roll(1000), ..Usage::default() };
            })
        })
        .collect()
}

pub(super) fn matches(event: &Event, filter: &ReportFilter) -> bool {
    let one_of = |list: &[String], text: &str| list.is_empty() || list.iter().any(|wanted| wanted == text);
    event.created_at.0 >= filter.start * 1000
        && event.created_at.0 < filter.end * 1000
        && (filter.key_ids.is_empty() || event.key_id.is_some_and(|key| filter.key_ids.contains(&key)))
        && one_of(&filter.custom_ids, &event.custom_id)
        && one_of(&filter.user_ids, &event.user_id)
        && filter.tags.iter().all(|tag| event.tags.iter().any(|has| **has == **tag))
}

/// A report as one would work it out by hand.
pub(super) fn by_hand(events: &[Event], filter: &ReportFilter) -> Report {
    let mut points: BTreeMap<(i64, [String; 4]), ReportPoint> = BTreeMap::new();
    let mut latencies = Latencies::default();
    for event in events.iter().filter(|event| matches(event, filter)) {
        let number = (event.created_at.0.div_euclid(1000) - filter.start).div_euclid(filter.increment);
        let at = filter.start + number * filter.increment;
        let by = filter.group_by;
        let text = |wanted: bool, text: &str| if wanted { text.to_owned() } else { String::new() };
        let key = event.key_id.map(|key| key.to_string()).unwrap_or_default();
        let group = [
            text(by.model, &event.model),
            text(by.key, &key),
            text(by.custom_id, &event.custom_id),
            text(by.user_id, &event.user_id),
        ];
        let [model, key_id, custom_id, user_id] = group.clone();
        let empty = ReportPoint { at, model, key_id, custom_id, user_id, ..ReportPoint::default() };
        let point = points.entry((at, group)).or_insert(empty);
        point.requests += 1;
        point.successes += u64::from(event.status == 200);
        point.cost = point.cost.saturating_add(event.cost);
        point.latency_ms += event.latency_ms;
        point.prompt_tokens += event.usage.prompt_tokens();
        point.completion_tokens += event.usage.completion_tokens();
        latencies.add(event.latency_ms);
    }
    Report {
        points: points.into_values().collect(),
        latency_median_ms: latencies.percentile(0.5),
        latency_p99_ms: latencies.percentile(0.99),
    }
}

pub(super) fn random_filter(dice: &mut Dice) -> ReportFilter {
    let mut start = (T + dice.signed(5 * DAY) - DAY / 2) / 1000;
    let mut long = 1 + dice.signed(4 * DAY / 1000);
    let mut increment = *dice.one(&[1800, 3600, 4000, 7200, 9001, 86_400, 100_000, 1_000_000]);
    if dice.roll(3) == 0 {
        (start, long, increment) = (start / 86_400 * 86_400, 3 * 86_400, 86_400);
    }
    let texts = |dice: &mut Dice, list: &[&str]| {
        if dice.roll(6) == 0 { vec![(*dice.one(list)).to_owned()] } else { Vec::new() }
    };
    ReportFilter {
        start,
        end: start + long,
        increment,
        key_ids: if dice.roll(2) == 0 { vec![key_id(dice.roll(4)), key_id(dice.roll(5))] } else { Vec::new() },
        tags: texts(dice, &["t1", "t2", "t3"]),
        custom_ids: texts(dice, &["x", "", "z"]),
        user_ids: texts(dice, &["u", "", "w"]),
        group_by: GroupBy {
            model: dice.roll(2) == 0,
            key: dice.roll(2) == 0,
            custom_id: dice.roll(6) == 0,
            user_id: dice.roll(6) == 0,
        },
    }
}

#[expect(clippy::float_arithmetic, reason = "compares with a tolerance")]
pub(super) fn near(found: f64, expect: f64, tolerance: f64) -> bool {
    (found - expect).abs() <= expect * tolerance + 1e-6
}
