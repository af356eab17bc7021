//! Every field of every event comes back as it was, and no bytes make the reader panic.

use crate::domain::{
    Event, EventFlag, EventId, KeyId, MadeObject, Money, ObjectChanges, SettingId, UnixMillis, Usage, UsageSource,
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

fn events() -> impl Strategy<Value = Event> {
    let ids = (any::<u128>(), prop::option::of(any::<u128>()), prop::option::of(any::<u128>()));
    let numbers = (any::<i64>(), any::<u16>(), any::<u64>(), any::<i64>(), 0..64_u8);
    let tags = prop::collection::vec(".{0,8}", 0..4);
    let made = prop::option::of(words::<3>());
    (ids, numbers, tags, words::<8>(), usages(), [raw(), raw(), raw()], made).prop_map(
        |((id, key, setting), (at, status, latency_ms, cost, flags), tags, texts, usage, bodies, made)| {
            let [provider, model, method, path, custom_id, user_id, request_id, upstream_request_id] = texts;
            let [metadata, request, response] = bodies;
            let all = ["estimated", "aborted", "unpriced", "cached", "refused", "recovered"];
            let flags: Vec<EventFlag> = (0..6)
                .filter(|n| flags >> n & 1 == 1)
                .map(|n| serde_json::from_value(all[n].into()).unwrap())
                .collect();
            Event {
                quota: None,
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
    fn any_bytes_are_read_without_a_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Some(first) = bytes.first_mut() {
            *first = 1;
        }
        drop(read(&bytes));
        let _ = read_head(&bytes);
    }
}

#[test]
fn another_version_is_not_guessed_at() {
    assert!(read(&[2; 100]).is_err() && read_head(&[2; 100]).is_err());
}
