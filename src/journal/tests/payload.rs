//! Every field of every event comes back as it was, and no bytes make the reader panic.

use crate::domain::{
    Event, EventFlag, EventId, KeyId, MadeObject, Money, ObjectChanges, QuotaRule, RouteId, Routed, SettingId, Try,
    UnixMillis, Usage, UsageSource,
};
use crate::journal::payload::{read, read_head, write};
use proptest::prelude::*;
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

fn raw() -> impl Strategy<Value = Option<Box<RawValue>>> {
    prop::option::of(".{0,20}".prop_map(|text| to_raw_value(&[text]).unwrap()))
}

fn words<const N: usize>() -> impl Strategy<Value = [Box<str>; N]> {
    prop::collection::vec(".{0,12}", N)
        .prop_map(|texts| texts.into_iter().map(Into::into).collect::<Vec<_>>().try_into().unwrap())
}

/// Through JSON, whose names make a forgotten field show: a bucket of [`Usage`] that is new is in here by itself.
fn usages() -> impl Strategy<Value = Usage> {
    let names: Vec<String> = all_counts();
    let count = prop_oneof![Just(0), any::<u64>(), 0..1000_u64];
    (prop::collection::vec(count, names.len()), prop::option::of(words::<5>()), any::<bool>(), 0..4_usize).prop_map(
        move |(counts, texts, batch, source)| {
            let mut json = serde_json::Map::new();
            for (name, count) in names.iter().zip(counts) {
                json.insert(name.clone(), count.into());
            }
            let mut usage: Usage = serde_json::from_value(json.into()).unwrap();
            if let Some([tier, speed, geo, size, quality]) = texts {
                usage.service_tier = Some(tier);
                usage.speed = Some(speed);
                usage.inference_geo = Some(geo);
                usage.image_size = Some(size);
                usage.image_quality = Some(quality);
            }
            usage.batch = batch;
            usage.many = source % 2 == 1;
            usage.source =
                [UsageSource::None, UsageSource::Upstream, UsageSource::Partial, UsageSource::Estimated][source];
            usage
        },
    )
}

/// The names of all counts, from the text that [`Usage`] prints of itself.
fn all_counts() -> Vec<String> {
    let text = format!("{:?}", Usage::default());
    let inside = text.split_once('{').unwrap().1;
    let fields = inside.trim_end_matches('}').split(',').filter_map(|field| field.split_once(':'));
    fields.filter(|(_, value)| value.trim() == "0").map(|(name, _)| name.trim().to_owned()).collect()
}

fn routes() -> impl Strategy<Value = Option<Box<Routed>>> {
    let one = (any::<u16>(), words::<3>(), any::<u16>(), any::<u64>()).prop_map(|(step, texts, status, latency_ms)| {
        let [provider, model, failure] = texts;
        Try { step, provider, model, status, failure, latency_ms }
    });
    let route = (any::<u128>(), any::<u16>(), prop::collection::vec(one, 0..4));
    prop::option::of(
        route.prop_map(|(id, step, tries)| {
            Box::new(Routed { route: RouteId::from_uuid(Uuid::from_u128(id)), step, tries })
        }),
    )
}

fn events() -> impl Strategy<Value = Event> {
    let ids = (any::<u128>(), prop::option::of(any::<u128>()), prop::option::of(any::<u128>()));
    let numbers = (any::<i64>(), any::<u16>(), any::<u64>(), any::<i64>(), 0..64_u8);
    let tags = prop::collection::vec(".{0,8}", 0..4);
    let made = prop::option::of(words::<3>());
    let quota = prop::option::of((any::<i64>(), any::<i64>()));
    let rest = (made, quota, routes());
    (ids, numbers, tags, words::<8>(), usages(), [raw(), raw(), raw()], rest).prop_map(
        |((id, key, setting), (at, status, latency_ms, cost, flags), tags, texts, usage, bodies, rest)| {
            let (made, quota, route) = rest;
            let [provider, model, method, path, custom_id, user_id, request_id, upstream_request_id] = texts;
            let [metadata, request, response] = bodies;
            let all = ["estimated", "aborted", "unpriced", "cached", "refused", "recovered"];
            let flags: Vec<EventFlag> = (0..6)
                .filter(|n| flags >> n & 1 == 1)
                .map(|n| serde_json::from_value(all[n].into()).unwrap())
                .collect();
            Event {
                id: EventId::from_uuid(Uuid::from_u128(id)),
                created_at: UnixMillis(at),
                key_id: key.map(|k| KeyId::from_uuid(Uuid::from_u128(k))),
                setting_id: setting.map(|s| SettingId::from_uuid(Uuid::from_u128(s))),
                tags: tags.into_iter().map(Into::into).collect(),
                provider,
                model,
                status,
                method,
                path,
                latency_ms,
                cost: Money::from_units(cost),
                usage,
                flags,
                custom_id,
                user_id,
                request_id,
                upstream_request_id,
                metadata,
                request,
                response,
                objects: made.map(|[id, kind, other]| {
                    let charged_as = Some(other.clone()).filter(|id| !id.is_empty());
                    Box::new(ObjectChanges { made: vec![MadeObject { id, kind, charged_as }], charged: vec![other] })
                }),
                quota: quota
                    .map(|(quota, month)| QuotaRule { quota: Money::from_units(quota), month: UnixMillis(month) }),
                route,
            }
        },
    )
}

proptest! {
    #[test]
    fn every_field_comes_back(event in events()) {
        let mut payload = Vec::new();
        write(&event, &mut payload);
        let back = read(&payload).unwrap();
        prop_assert_eq!(format!("{back:?}"), format!("{event:?}"));
        let head = read_head(&payload).unwrap();
        prop_assert_eq!((head.id, head.created_at), (event.id, event.created_at));
    }

    #[test]
    fn a_cut_or_a_byte_too_much_is_no_event(event in events(), cut in 1..40_usize) {
        let mut payload = Vec::new();
        write(&event, &mut payload);
        prop_assert!(read(&payload[..payload.len().saturating_sub(cut)]).is_err());
        payload.push(0);
        prop_assert!(read(&payload).is_err());
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..400), version in 1..4u8) {
        if let Some(first) = bytes.first_mut() {
            *first = version;
        }
        drop(read(&bytes));
        let _ = read_head(&bytes);
    }
}

#[test]
fn another_version_is_not_guessed_at() {
    for version in [0, 4, 255] {
        let mut payload = FORMER.to_vec();
        assert!(read(&payload).is_ok() && read_head(&payload).is_ok());
        payload[0] = version;
        assert!(read(&payload).is_err() && read_head(&payload).is_err(), "{version}");
    }
}

/// Version 1, byte by byte.
const FORMER: &[u8] = &[
    1, // version
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, // id
    0x39, 0x30, 0, 0, 0, 0, 0, 0, // created_at 12345
    1, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, // a key, no setting
    0xC8, 0x01, // status 200
    9,    // latency_ms
    84,   // cost 42
    2,    // aborted
    1, 1, b't', // one tag
    1, b'p', 1, b'm', 4, b'P', b'O', b'S', b'T', 2, b'/', b'x', // provider, model, method, path
    0, 0, 1, b'r', 0, // custom_id, user_id, request_id, upstream_request_id
    1, 0, 1, 5, // usage: upstream, no mark, in_text of 5
    0, // none of the optional texts
    0, 1, 1, b'o', // objects: none made, one charged
];

#[test]
fn an_event_of_the_former_version_is_read_whole() {
    let event = read(FORMER).unwrap();
    assert_eq!((event.created_at, event.status, event.latency_ms), (UnixMillis(12_345), 200, 9));
    assert_eq!((event.key_id, event.setting_id), (Some(KeyId::from_uuid(Uuid::from_bytes([7; 16]))), None));
    assert_eq!((event.cost, &*event.flags), (Money::from_units(42), &[EventFlag::Aborted][..]));
    assert_eq!((&*event.path, &*event.request_id, event.usage.in_text), ("/x", "r", 5));
    assert_eq!(event.objects.as_ref().unwrap().charged, [Box::<str>::from("o")]);
    assert_eq!(event.quota, None);
    assert_eq!(event.route, None);
    // It is nothing but the next version without its last line.
    let mut payload = Vec::new();
    write(&event, &mut payload);
    assert_eq!((payload[0], payload.pop()), (2, Some(0)));
    assert_eq!(payload[1..], FORMER[1..]);
    assert!(read(&[FORMER, &[0]].concat()).is_err(), "nothing follows in the former version");
}

#[test]
fn only_an_event_of_a_route_is_written_in_the_version_that_knows_routes() {
    let written = |event: &Event| {
        let mut payload = Vec::new();
        write(event, &mut payload);
        payload
    };
    let mut event = read(FORMER).unwrap();
    let second = written(&event);
    let fallen = Try {
        step: 1,
        provider: "p".into(),
        model: "m".into(),
        status: 503,
        failure: "server_error".into(),
        latency_ms: 7,
    };
    let routed = Routed { route: RouteId::from_uuid(Uuid::from_bytes([9; 16])), step: 2, tries: vec![fallen] };
    event.route = Some(Box::new(routed));
    let third = written(&event);
    assert_eq!((second[0], third[0]), (2, 3));
    // A route is nothing but the last line.
    let mut route = vec![9; 16];
    route.extend([2, 1, 1, 1, b'p', 1, b'm', 0xF7, 0x03, 12]);
    route.extend(b"server_error\x07");
    assert_eq!(third[1..], [&second[1..], &route].concat());
    let mut without = second;
    without[0] = 3;
    assert!(read(&without).is_err(), "this version has a route");
}
