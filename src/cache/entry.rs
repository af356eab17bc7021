//! A kept answer as bytes, for a place that others write to as well: a value that is damaged, in the wrong place or of
//! another version is not read.
//!
//! Four bytes that say what it is, a checksum over key and rest, the length of the head (both little endian, 32 bits),
//! the head in JSON, the body as it was.

use crate::domain::{UnixMillis, Usage};
use crate::routing::{AnswerForm, CacheKey, CachedAnswer};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The last byte grows with each change that an older gateway could not read.
const MARK: [u8; 4] = *b"TGA\x01";
/// Before the head.
const FIXED: usize = 12;

#[derive(Serialize, Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    content_type: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    provider: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    model: std::borrow::Cow<'a, str>,
    step: u16,
    usage: Usage,
    stored_at: i64,
    expires_at: i64,
}

/// `None` when it cannot be told in this form.
pub(super) fn write(key: &CacheKey, answer: &CachedAnswer) -> Option<Vec<u8>> {
    let head = Head {
        content_type: (&*answer.content_type).into(),
        provider: (&*answer.provider).into(),
        model: (&*answer.model).into(),
        step: answer.step,
        usage: answer.usage.clone(),
        stored_at: answer.stored_at.0,
        expires_at: answer.expires_at.0,
    };
    let head = serde_json::to_vec(&head).ok()?;
    let mut rest = Vec::with_capacity(FIXED + head.len() + answer.body.len());
    rest.extend_from_slice(&MARK);
    rest.extend_from_slice(&[0; 4]);
    rest.extend_from_slice(&u32::try_from(head.len()).ok()?.to_le_bytes());
    rest.extend_from_slice(&head);
    rest.extend_from_slice(&answer.body);
    let sum = checksum(key, answer.form, rest.get(8..)?);
    rest.get_mut(4..8)?.copy_from_slice(&sum.to_le_bytes());
    Some(rest)
}

/// `None` for whatever [`write()`] has not made for this key and form.
pub(super) fn read(key: &CacheKey, form: AnswerForm, value: &Bytes) -> Option<CachedAnswer> {
    let (mark, rest) = value.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    if *mark != MARK || u32::from_le_bytes(*sum) != checksum(key, form, rest) {
        return None;
    }
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (head, _) = rest.split_at_checked(length)?;
    let head: Head<'_> = serde_json::from_slice(head).ok()?;
    Some(CachedAnswer {
        form,
        content_type: head.content_type.into(),
        provider: head.provider.into(),
        model: head.model.into(),
        step: head.step,
        usage: head.usage,
        stored_at: UnixMillis(head.stored_at),
        expires_at: UnixMillis(head.expires_at),
        body: value.slice(FIXED + length..),
    })
}

fn checksum(key: &CacheKey, form: AnswerForm, rest: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(key.as_bytes());
    sum.update(&[u8::from(form == AnswerForm::Stream)]);
    sum.update(rest);
    sum.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: CacheKey = CacheKey::new([7; 32]);

    fn answer(form: AnswerForm) -> CachedAnswer {
        CachedAnswer {
            form,
            content_type: "text/event-stream; \"charset\"".into(),
            body: Bytes::from_static(b"data: \x00\xff\n\n"),
            provider: "p".into(),
            model: "m\u{e9}\n".into(),
            step: 3,
            usage: Usage { in_text: u64::MAX, service_tier: Some("flex".into()), ..Usage::default() },
            stored_at: UnixMillis(1),
            expires_at: UnixMillis(i64::MAX),
        }
    }

    #[test]
    fn what_is_written_is_read_for_the_same_key_and_form_only() {
        for (form, other) in [(AnswerForm::Whole, AnswerForm::Stream), (AnswerForm::Stream, AnswerForm::Whole)] {
            let value = Bytes::from(write(&KEY, &answer(form)).unwrap());
            assert_eq!(read(&KEY, form, &value), Some(answer(form)));
            assert_eq!(read(&KEY, other, &value), None);
            assert_eq!(read(&CacheKey::new([8; 32]), form, &value), None);
        }
    }

    #[test]
    fn nothing_damaged_is_read() {
        let value = write(&KEY, &answer(AnswerForm::Whole)).unwrap();
        for end in 0..value.len() {
            assert_eq!(read(&KEY, AnswerForm::Whole, &Bytes::copy_from_slice(&value[..end])), None, "cut at {end}");
        }
        for at in 0..value.len() {
            let mut wrong = value.clone();
            wrong[at] ^= 1;
            assert_eq!(read(&KEY, AnswerForm::Whole, &wrong.into()), None, "wrong at {at}");
        }
        let longer = [&value[..], b"x"].concat();
        assert_eq!(read(&KEY, AnswerForm::Whole, &longer.into()), None);
    }

    #[test]
    fn a_sound_value_of_another_version_or_a_wrong_head_is_not_read() {
        let sealed = |rest: &[u8], mark: [u8; 4]| {
            let sum = checksum(&KEY, AnswerForm::Whole, rest).to_le_bytes();
            Bytes::from([&mark[..], &sum, rest].concat())
        };
        let value = write(&KEY, &answer(AnswerForm::Whole)).unwrap();
        assert!(read(&KEY, AnswerForm::Whole, &sealed(&value[8..], MARK)).is_some());
        assert_eq!(read(&KEY, AnswerForm::Whole, &sealed(&value[8..], *b"TGA\x02")), None);
        for rest in [&b""[..], b"\x00\x00", b"\xff\xff\xff\xff{}", b"\x02\x00\x00\x00{}body", b"\x02\x00\x00\x00[["] {
            assert_eq!(read(&KEY, AnswerForm::Whole, &sealed(rest, MARK)), None, "{rest:?}");
        }
    }
}
