//! How the fields of an event lie in a record: no names, no text for numbers, because each request writes two of them.
//!
//! ```text
//! 1        version of this layout; version 2 has no last line, version 1 not the last two
//! 16       id
//! 8        created_at, little endian
//! 1        which of key_id (1) and setting_id (2) follow, 16 bytes each
//! number   status, latency_ms, cost (zigzag), flags as bits, tags (how many, then each as a text)
//! text     provider, model, method, path, custom_id, user_id, request_id, upstream_request_id
//! number   usage: source, batch (1) and many (2), which counts are not zero (bits, in the order of `counts`), then these counts
//! number   which texts of usage (1..16) and of metadata (32), request (64), response (128) there are, then these
//! number   objects made, each as id, kind and charged_as (empty = none); objects charged, each as id
//! 1        whether (1) a quota rule follows, as two numbers: quota and month (both zigzag)
//! 16       route, then numbers: step, how many tries; each as step, provider, model, status, failure, latency_ms
//! ```
//! A number is LEB128, a text its length as a number and then UTF-8. The checksum of the record has been looked at
//! before any of this is read; what cannot be read all the same is set aside, never guessed. Former versions are read,
//! because a journal outlives the build that wrote it. An event that no route served is written in version 2: builds that
//! know no routes read it too.

use crate::domain::{
    Event, EventFlag, EventId, KeyId, MadeObject, Money, ObjectChanges, QuotaRule, RouteId, Routed, SettingId, Try,
    UnixMillis, Usage, UsageSource,
};
use serde_json::value::RawValue;
use std::str;
use uuid::Uuid;

/// The first version with a quota rule.
const WITH_QUOTA: u8 = 2;
/// The first version with a route, which every event of it has.
const WITH_ROUTE: u8 = 3;
const NEWEST: u8 = WITH_ROUTE;
const FLAGS: [EventFlag; 6] = [
    EventFlag::Estimated,
    EventFlag::Aborted,
    EventFlag::Unpriced,
    EventFlag::Cached,
    EventFlag::Refused,
    EventFlag::Recovered,
];
const SOURCES: [UsageSource; 4] =
    [UsageSource::None, UsageSource::Upstream, UsageSource::Partial, UsageSource::Estimated];

/// The payload is whole, its checksum is right, and still it is no event of this version.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not an event of this version")]
pub(super) struct Unreadable;

/// Enough of an event to pair its two records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Head {
    pub(super) id: EventId,
    pub(super) created_at: UnixMillis,
}

/// Appends the payload to `out`.
pub(super) fn write(event: &Event, out: &mut Vec<u8>) {
    out.push(if event.route.is_some() { WITH_ROUTE } else { WITH_QUOTA });
    out.extend_from_slice(event.id.as_bytes());
    out.extend_from_slice(&event.created_at.0.to_le_bytes());
    out.push(u8::from(event.key_id.is_some()) | u8::from(event.setting_id.is_some()) << 1);
    out.extend(event.key_id.iter().flat_map(|id| id.as_bytes()));
    out.extend(event.setting_id.iter().flat_map(|id| id.as_bytes()));
    number(out, event.status.into());
    number(out, event.latency_ms);
    number(out, zigzag(event.cost.units()));
    number(out, flag_bits(&event.flags));
    number(out, event.tags.len() as u64);
    for tag in &event.tags {
        text(out, tag);
    }
    for field in [
        &event.provider,
        &event.model,
        &event.method,
        &event.path,
        &event.custom_id,
        &event.user_id,
        &event.request_id,
        &event.upstream_request_id,
    ] {
        text(out, field);
    }
    write_usage(&event.usage, out);
    let usage = &event.usage;
    let optional: [Option<&str>; 8] = [
        usage.service_tier.as_deref(),
        usage.speed.as_deref(),
        usage.inference_geo.as_deref(),
        usage.image_size.as_deref(),
        usage.image_quality.as_deref(),
        event.metadata.as_deref().map(RawValue::get),
        event.request.as_deref().map(RawValue::get),
        event.response.as_deref().map(RawValue::get),
    ];
    number(out, bits(optional.iter().map(Option::is_some)));
    for field in optional.into_iter().flatten() {
        text(out, field);
    }
    let (made, charged) = event.objects.as_deref().map_or((&[][..], &[][..]), |o| (&o.made, &o.charged));
    number(out, made.len() as u64);
    for object in made {
        text(out, &object.id);
        text(out, &object.kind);
        text(out, object.charged_as.as_deref().unwrap_or_default());
    }
    number(out, charged.len() as u64);
    for id in charged {
        text(out, id);
    }
    out.push(u8::from(event.quota.is_some()));
    if let Some(rule) = event.quota {
        number(out, zigzag(rule.quota.units()));
        number(out, zigzag(rule.month.0));
    }
    if let Some(routed) = event.route.as_deref() {
        write_route(routed, out);
    }
}

fn write_route(routed: &Routed, out: &mut Vec<u8>) {
    out.extend_from_slice(routed.route.as_bytes());
    number(out, routed.step.into());
    number(out, routed.tries.len() as u64);
    for failed in &routed.tries {
        number(out, failed.step.into());
        text(out, &failed.provider);
        text(out, &failed.model);
        number(out, failed.status.into());
        text(out, &failed.failure);
        number(out, failed.latency_ms);
    }
}

fn write_usage(usage: &Usage, out: &mut Vec<u8>) {
    let source = SOURCES.iter().position(|s| *s == usage.source).unwrap_or_default();
    out.push(u8::try_from(source).unwrap_or_default());
    out.push(u8::from(usage.batch) | u8::from(usage.many) << 1);
    let mut usage = usage.clone();
    let counts = counts(&mut usage);
    number(out, bits(counts.iter().map(|n| **n != 0)));
    for count in counts.into_iter().filter(|n| **n != 0) {
        number(out, *count);
    }
}

/// Every count of a usage. New ones go to the end.
fn counts(usage: &mut Usage) -> [&mut u64; 20] {
    [
        &mut usage.in_text,
        &mut usage.in_audio,
        &mut usage.in_image,
        &mut usage.cache_read_text,
        &mut usage.cache_read_audio,
        &mut usage.cache_read_image,
        &mut usage.cache_write_5m,
        &mut usage.cache_write_1h,
        &mut usage.cache_write_30m,
        &mut usage.cache_write_12h,
        &mut usage.out_text,
        &mut usage.out_audio,
        &mut usage.out_image,
        &mut usage.out_reasoning,
        &mut usage.web_search,
        &mut usage.file_search,
        &mut usage.code_sessions,
        &mut usage.images,
        &mut usage.audio_millis,
        &mut usage.characters,
    ]
}

/// The pairing part alone, without a look at the rest.
pub(super) fn read_head(payload: &[u8]) -> Result<Head, Unreadable> {
    Fields(payload).head().map(|(_, head)| head)
}

/// Whose event it is, as far as that can be read.
pub(super) fn read_key(payload: &[u8]) -> Option<KeyId> {
    let mut fields = Fields(payload);
    fields.head().ok()?;
    let has_key = fields.byte().ok()? & 1 != 0;
    if has_key { fields.uuid().ok().map(KeyId::from_uuid) } else { None }
}

pub(super) fn read(payload: &[u8]) -> Result<Event, Unreadable> {
    let mut fields = Fields(payload);
    let (version, Head { id, created_at }) = fields.head()?;
    let ids = fields.byte()?;
    let key_id = if ids & 1 == 0 { None } else { Some(KeyId::from_uuid(fields.uuid()?)) };
    let setting_id = if ids & 2 == 0 { None } else { Some(SettingId::from_uuid(fields.uuid()?)) };
    let status = fields.small()?;
    let latency_ms = fields.number()?;
    let cost = Money::from_units(unzigzag(fields.number()?));
    let flags = flags_of(fields.number()?);
    let tags = (0..fields.number()?).map(|_| fields.text()).collect::<Result<_, _>>()?;
    let [provider, model, method, path] = [fields.text()?, fields.text()?, fields.text()?, fields.text()?];
    let [custom_id, user_id, request_id, upstream_request_id] =
        [fields.text()?, fields.text()?, fields.text()?, fields.text()?];
    let mut usage = fields.usage()?;
    let mut there = Bits(fields.number()?);
    let mut optional = || if there.next() { fields.text().map(Some) } else { Ok(None) };
    usage.service_tier = optional()?;
    usage.speed = optional()?;
    usage.inference_geo = optional()?;
    usage.image_size = optional()?;
    usage.image_quality = optional()?;
    let mut raw = || optional()?.map(|json| RawValue::from_string(json.into()).map_err(|_| Unreadable)).transpose();
    let (metadata, request, response) = (raw()?, raw()?, raw()?);
    let made = (0..fields.number()?).map(|_| fields.made()).collect::<Result<_, _>>()?;
    let charged = (0..fields.number()?).map(|_| fields.text()).collect::<Result<_, _>>()?;
    let objects = ObjectChanges { made, charged };
    let quota = if version >= WITH_QUOTA { fields.quota()? } else { None };
    let route = if version >= WITH_ROUTE { Some(Box::new(fields.route()?)) } else { None };
    if !fields.0.is_empty() {
        return Err(Unreadable);
    }
    Ok(Event {
        id,
        created_at,
        key_id,
        setting_id,
        tags,
        provider,
        model,
        status,
        method,
        path,
        latency_ms,
        cost,
        usage,
        flags,
        custom_id,
        user_id,
        request_id,
        upstream_request_id,
        metadata,
        request,
        response,
        objects: (!objects.is_empty()).then(|| Box::new(objects)),
        quota,
        route,
    })
}

/// What is still to be read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// With the version of the layout.
    fn head(&mut self) -> Result<(u8, Head), Unreadable> {
        let version = self.byte()?;
        if !(1..=NEWEST).contains(&version) {
            return Err(Unreadable);
        }
        let id = EventId::from_uuid(self.uuid()?);
        Ok((version, Head { id, created_at: UnixMillis(i64::from_le_bytes(self.array()?)) }))
    }

    fn usage(&mut self) -> Result<Usage, Unreadable> {
        let source = self.byte()?;
        let marks = self.byte()?;
        let source = *SOURCES.get(usize::from(source)).ok_or(Unreadable)?;
        let mut usage = Usage { source, batch: marks & 1 != 0, many: marks & 2 != 0, ..Usage::default() };
        let mut there = Bits(self.number()?);
        for count in counts(&mut usage) {
            if there.next() {
                *count = self.number()?;
            }
        }
        Ok(usage)
    }

    fn made(&mut self) -> Result<MadeObject, Unreadable> {
        let (id, kind, charged_as) = (self.text()?, self.text()?, self.text()?);
        Ok(MadeObject { id, kind, charged_as: Some(charged_as).filter(|id| !id.is_empty()) })
    }

    fn quota(&mut self) -> Result<Option<QuotaRule>, Unreadable> {
        match self.byte()? {
            0 => Ok(None),
            1 => Ok(Some(QuotaRule {
                quota: Money::from_units(unzigzag(self.number()?)),
                month: UnixMillis(unzigzag(self.number()?)),
            })),
            _ => Err(Unreadable),
        }
    }

    fn route(&mut self) -> Result<Routed, Unreadable> {
        let (route, step) = (RouteId::from_uuid(self.uuid()?), self.small()?);
        let tries = (0..self.number()?).map(|_| self.failed_try()).collect::<Result<_, _>>()?;
        Ok(Routed { route, step, tries })
    }

    fn failed_try(&mut self) -> Result<Try, Unreadable> {
        Ok(Try {
            step: self.small()?,
            provider: self.text()?,
            model: self.text()?,
            status: self.small()?,
            failure: self.text()?,
            latency_ms: self.number()?,
        })
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let (array, rest) = self.0.split_first_chunk::<N>().ok_or(Unreadable)?;
        self.0 = rest;
        Ok(*array)
    }
    fn byte(&mut self) -> Result<u8, Unreadable> {
        self.array().map(|[byte]| byte)
    }
    fn uuid(&mut self) -> Result<Uuid, Unreadable> {
        self.array().map(Uuid::from_bytes)
    }
    fn number(&mut self) -> Result<u64, Unreadable> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Unreadable)
    }
    fn small(&mut self) -> Result<u16, Unreadable> {
        u16::try_from(self.number()?).map_err(|_| Unreadable)
    }
    fn text(&mut self) -> Result<Box<str>, Unreadable> {
        let length = usize::try_from(self.number()?).map_err(|_| Unreadable)?;
        let (text, rest): (&'a [u8], _) = self.0.split_at_checked(length).ok_or(Unreadable)?;
        self.0 = rest;
        str::from_utf8(text).map(Into::into).map_err(|_| Unreadable)
    }
}

/// Lowest bit first.
struct Bits(u64);

impl Bits {
    const fn next(&mut self) -> bool {
        let bit = self.0 & 1 != 0;
        self.0 >>= 1;
        bit
    }
}

fn bits(set: impl Iterator<Item = bool>) -> u64 {
    set.enumerate().fold(0, |all, (at, bit)| all | u64::from(bit) << at)
}

fn flag_bits(flags: &[EventFlag]) -> u64 {
    bits(FLAGS.iter().map(|flag| flags.contains(flag)))
}

fn flags_of(bits: u64) -> Vec<EventFlag> {
    let mut there = Bits(bits);
    FLAGS.into_iter().filter(|_| there.next()).collect()
}

fn text(out: &mut Vec<u8>, text: &str) {
    number(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn number(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = value.to_le_bytes()[0] & 0x7f;
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Small amounts of either sign become small numbers.
const fn zigzag(value: i64) -> u64 {
    (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned()
}

const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}
