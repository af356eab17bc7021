//! Records and readers: whatever happens to the bytes, nothing is read that was not written.

use super::{closed, id, opened};
use crate::domain::EventId;
use crate::journal::payload;
use crate::journal::record::{Decoded, HEADER_BYTES, Kind, decode, encode};
use crate::journal::segment::{FIRST, MAGIC, Reader};
use proptest::prelude::*;
use std::io::Write;

fn file_of(records: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    records.iter().for_each(|r| bytes.extend_from_slice(r));
    bytes
}

fn records(count: u64) -> Vec<Vec<u8>> {
    (0..count).map(|n| encode(if n % 2 == 0 { Kind::Open } else { Kind::Close }, &closed(n)).unwrap()).collect()
}

/// Everything a reader finds, with the damaged bytes.
fn read_all(bytes: &[u8]) -> (Vec<(Kind, Vec<u8>)>, u64) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let mut reader = Reader::open(file.path(), FIRST.min(bytes.len() as u64), bytes.len() as u64).unwrap();
    let mut found = Vec::new();
    while let Some(f) = reader.next().unwrap() {
        found.push((f.kind, reader.payload(&f).to_vec()));
    }
    assert_eq!(reader.position(), (bytes.len() as u64).max(FIRST.min(bytes.len() as u64)), "always gets to the end");
    (found, reader.damaged_bytes())
}

fn id_in(payload: &[u8]) -> EventId {
    payload::read_head(payload).unwrap().id
}

#[test]
fn what_was_written_is_read() {
    let mut event = opened(7);
    event.metadata = Some(serde_json::value::to_raw_value(&serde_json::json!({"a": [1, "ü\u{7}"]})).unwrap());
    let record = encode(Kind::Close, &event).unwrap();
    let Decoded::Record { kind: Kind::Close, payload } = decode(&record) else { panic!("whole") };
    assert_eq!(payload.len() + HEADER_BYTES, record.len());
    let back = payload::read(payload).unwrap();
    assert_eq!(serde_json::to_value(&back).unwrap(), serde_json::to_value(&event).unwrap());
}

#[test]
fn torn_file_yields_its_whole_records_at_every_length() {
    let records = records(3);
    let bytes = file_of(&records);
    for length in 8..=bytes.len() {
        let (found, _) = read_all(&bytes[..length]);
        let mut whole = 0;
        let mut end = 8;
        while whole < records.len() && end + records[whole].len() <= length {
            end += records[whole].len();
            whole += 1;
        }
        assert_eq!(found.len(), whole, "{length} bytes");
        for (n, (_, payload)) in found.iter().enumerate() {
            assert_eq!(id_in(payload), id(n as u64));
        }
    }
}

#[test]
fn zeros_are_no_record() {
    let mut bytes = file_of(&records(2));
    bytes.extend([0; 70_000]);
    let (found, damaged) = read_all(&bytes);
    assert_eq!((found.len(), damaged), (2, 70_000));
}

#[test]
fn records_larger_than_the_buffer_are_read() {
    let mut big = closed(1);
    big.response = Some(serde_json::value::to_raw_value(&"x".repeat(3 << 20)).unwrap());
    let records = [&opened(0), &big, &closed(2)].map(|e| encode(Kind::Close, e).unwrap());
    let (found, damaged) = read_all(&file_of(&records));
    assert_eq!((found.len(), damaged), (3, 0));
    assert_eq!(found[1].1.len(), records[1].len() - HEADER_BYTES);
}

#[test]
fn one_damaged_record_costs_only_itself() {
    let records = records(3);
    for at in 0..records[1].len() {
        let mut bytes = file_of(&records);
        bytes[8 + records[0].len() + at] ^= 0x55;
        let (found, damaged) = read_all(&bytes);
        assert_eq!(found.iter().map(|(_, p)| id_in(p)).collect::<Vec<_>>(), [id(0), id(2)], "byte {at}");
        assert_eq!(damaged, records[1].len() as u64);
    }
}

#[test]
fn open_does_not_turn_into_close() {
    let mut record = encode(Kind::Open, &opened(1)).unwrap();
    record[1] = encode(Kind::Close, &opened(1)).unwrap()[1];
    assert_eq!(decode(&record), Decoded::Damaged);
}

#[derive(Clone, Debug)]
enum Damage {
    Overwrite(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index, usize),
    Insert(prop::sample::Index, Vec<u8>),
    Cut(prop::sample::Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<prop::sample::Index>;
    // Bytes that look like the format are likelier than chance would have them.
    let byte = prop_oneof![any::<u8>(), Just(0xF7), Just(1), Just(2), Just(0)];
    let junk = prop::collection::vec(byte, 1..60);
    prop_oneof![
        (at(), junk.clone()).prop_map(|(at, junk)| Damage::Overwrite(at, junk)),
        (at(), 1usize..400).prop_map(|(at, length)| Damage::Remove(at, length)),
        (at(), junk).prop_map(|(at, junk)| Damage::Insert(at, junk)),
        at().prop_map(Damage::Cut),
    ]
}

proptest! {
    #[test]
    fn damaged_file_never_yields_what_was_not_written(damages in prop::collection::vec(damage(), 1..5)) {
        let records = records(6);
        let mut bytes = file_of(&records);
        for damage in damages {
            if bytes.is_empty() {
                break;
            }
            let length = bytes.len();
            match damage {
                Damage::Overwrite(at, junk) => {
                    let at = at.index(length);
                    let end = (at + junk.len()).min(length);
                    bytes.splice(at..end, junk);
                }
                Damage::Remove(at, gone) => {
                    let at = at.index(length);
                    bytes.drain(at..(at + gone).min(length));
                }
                Damage::Insert(at, junk) => {
                    let at = at.index(length);
                    bytes.splice(at..at, junk);
                }
                Damage::Cut(at) => bytes.truncate(at.index(length)),
            }
        }
        let (found, _) = read_all(&bytes);
        for (kind, payload) in found {
            let whole = records.iter().any(|r| match decode(r) {
                Decoded::Record { kind: k, payload: p } => k == kind && p == payload,
                _ => false,
            });
            prop_assert!(whole, "a record appeared from nowhere");
        }
    }

    #[test]
    fn any_bytes_decode_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Decoded::Short { needs } = decode(&bytes) {
            prop_assert!(needs > bytes.len());
        }
    }
}
