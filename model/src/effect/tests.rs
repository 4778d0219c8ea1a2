//! Effects read back, and nothing else is taken for effects.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Owned {
    Put(Vec<u8>, Vec<u8>, Option<Timestamp>),
    Delete(Vec<u8>),
    DeleteRange(Vec<u8>, Vec<u8>),
}

impl Owned {
    fn borrow(&self) -> Effect<'_> {
        match self {
            Owned::Put(key, value, expires_at) => {
                Effect::Point { key, change: Change::Put { value, expires_at: *expires_at } }
            }
            Owned::Delete(key) => Effect::Point { key, change: Change::Delete },
            Owned::DeleteRange(start, end) => Effect::DeleteRange { start, end },
        }
    }
}

fn any_effect() -> impl Strategy<Value = Owned> {
    let key = || vec(any::<u8>(), 1..20);
    prop_oneof![
        (key(), vec(any::<u8>(), 0..300), any::<u64>()).prop_map(|(key, value, ms)| Owned::Put(
            key,
            value,
            Timestamp::from_ms(ms)
        )),
        (key(), vec(any::<u8>(), 0..20)).prop_map(|(key, value)| Owned::Put(key, value, None)),
        key().prop_map(Owned::Delete),
        (key(), key())
            .prop_filter("a range is not empty", |(a, b)| a != b)
            .prop_map(|(a, b)| Owned::DeleteRange(a.clone().min(b.clone()), a.max(b))),
    ]
}

fn encode_all(effects: &[Owned]) -> Vec<u8> {
    let mut bytes = Vec::new();
    effects.iter().for_each(|effect| effect.borrow().encode(&mut bytes));
    bytes
}

#[test]
fn the_bytes_of_effects_are_these() {
    let moment = Timestamp::from_ms(300);
    let effects = [
        Owned::Put(b"k".to_vec(), b"va".to_vec(), None),
        Owned::Put(b"k".to_vec(), vec![], moment),
        Owned::Delete(b"key".to_vec()),
        Owned::DeleteRange(b"a".to_vec(), b"b".to_vec()),
    ];
    let expected =
        [&b"\x01\x01k\x02va"[..], b"\x02\x01k\x00\xac\x02", b"\x03\x03key", b"\x04\x01a\x01b"];
    assert_eq!(encode_all(&effects), expected.concat());
}

#[test]
fn malformed_effects_are_told_and_end_the_run() {
    let bad: [&[u8]; 13] = [
        b"\x00",
        b"\x05\x01k",
        b"\xff",
        b"\x03",
        b"\x03\x00",
        b"\x03\x02k",
        b"\x01\x01k",
        b"\x01\x01k\x02v",
        b"\x02\x01k\x01v",
        b"\x02\x01k\x01v\x00",
        b"\x04\x01a\x01a",
        b"\x04\x01b\x01a",
        b"\x04\x01a",
    ];
    for bytes in bad {
        let mut effects = Effects::new(bytes);
        assert!(effects.next().unwrap().is_err(), "{bytes:?}");
        assert!(effects.next().is_none(), "{bytes:?}");
    }
    let mut effects = Effects::new(b"\x03\x01k\x09");
    assert!(effects.next().unwrap().is_ok());
    assert!(effects.next().unwrap().is_err());
    assert!(effects.next().is_none());
    assert!(Effects::new(b"").next().is_none());
}

#[test]
fn lengths_above_the_limits_are_refused_before_anything_is_read() {
    for (prefix, limit) in [(&b"\x03"[..], KEY_BYTES_MAX), (b"\x01\x01k", VALUE_BYTES_MAX)] {
        let mut bytes = prefix.to_vec();
        put_varint(&mut bytes, limit as u64 + 1);
        assert!(Effects::new(&bytes).next().unwrap().is_err());
    }
    let key = vec![7; KEY_BYTES_MAX];
    let bytes = encode_all(&[Owned::Delete(key.clone())]);
    let read = Effects::new(&bytes).next().unwrap().unwrap();
    assert_eq!(read, Effect::Point { key: &key, change: Change::Delete });
}

proptest! {
    #[test]
    fn every_run_of_effects_reads_back(effects in vec(any_effect(), 0..8)) {
        let bytes = encode_all(&effects);
        let read: Result<Vec<_>, _> = Effects::new(&bytes).collect();
        let expected: Vec<_> = effects.iter().map(Owned::borrow).collect();
        prop_assert_eq!(read, Ok(expected));
    }

    #[test]
    fn a_part_of_a_run_gives_its_first_effects_and_at_most_one_error(
        effects in vec(any_effect(), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let bytes = encode_all(&effects);
        let part = &bytes[..cut.index(bytes.len())];
        let mut expected = effects.iter().map(Owned::borrow);
        let mut read = Effects::new(part);
        for effect in read.by_ref() {
            match effect {
                Ok(effect) => prop_assert_eq!(Some(effect), expected.next()),
                Err(_) => break,
            }
        }
        prop_assert!(read.next().is_none());
    }

    #[test]
    fn any_bytes_are_effects_or_malformed(bytes in vec(prop_oneof![0u8..6, any::<u8>()], 0..64)) {
        let read: Vec<_> = Effects::new(&bytes).collect();
        prop_assert!(read.iter().rev().skip(1).all(Result::is_ok));
    }
}
