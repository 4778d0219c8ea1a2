//! Keys: how they are made, how they sort, and that Deno encodes them the same way.

use denokv_proto::{KeyPart, decode_key, encode_key};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Keys with parts of all kinds, and with many zero bytes.
pub(crate) fn any_key() -> impl Strategy<Value = Key> {
    vec(any_part(), 0..5).prop_map(Key::from)
}

fn any_part() -> impl Strategy<Value = Part> {
    let byte = prop_oneof![Just(0u8), Just(255), any::<u8>()];
    let char = prop_oneof![Just('\0'), Just('a'), Just('"'), Just('\\'), any::<char>()];
    prop_oneof![
        vec(byte, 0..6).prop_map(Part::Bytes),
        vec(char, 0..5).prop_map(|chars| Part::String(chars.into_iter().collect())),
        (any::<bool>(), vec(any::<u8>(), 0..12)).prop_map(|(negative, magnitude)| {
            Part::Int(Int::from_magnitude(negative, &magnitude).unwrap())
        }),
        any::<i8>().prop_map(|small| i64::from(small).into_part()),
        any::<u64>().prop_map(|bits| Part::Float(f64::from_bits(bits))),
        (-9i32..9).prop_map(|tenths| Part::Float(f64::from(tenths) / 10.0)),
        any::<bool>().prop_map(Part::Bool),
    ]
}

/// The key as Deno's own crate has it.
fn of_deno(parts: &[Part]) -> denokv_proto::Key {
    let part = |part: &Part| match part {
        Part::Bytes(bytes) => KeyPart::Bytes(bytes.clone()),
        Part::String(text) => KeyPart::String(text.clone()),
        Part::Int(int) => KeyPart::Int(int.to_string().parse().unwrap()),
        Part::Float(number) => KeyPart::Float(*number),
        Part::Bool(false) => KeyPart::False,
        Part::Bool(true) => KeyPart::True,
    };
    denokv_proto::Key(parts.iter().map(part).collect())
}

#[test]
fn parts_keep_their_kind_and_value() {
    let made = key!["text", &b"\x00\xff"[..], -1, u64::MAX, 0.5, false, 7usize];
    let read = Key::from_stored(made.stored().to_vec());
    assert_eq!(
        read.to_string(),
        r#"["text", u8"00ff", -1n, 18446744073709551615n, 0.5, false, 7n]"#
    );
    assert_eq!(read, made);
}

#[test]
fn whatever_may_be_a_part_is_encoded_as_its_part() {
    fn check<P: IntoPart + Clone>(part: P, literal: &str) {
        let key = Key::of(part.clone());
        assert_eq!(key.to_string(), literal);
        assert_eq!(key.encoded(), icecore_model::key::encode(&[part.into_part()]));
    }
    let (text, bytes) = (String::from("a\0"), vec![0, 255]);
    check(text.as_str(), r#"["a\u0000"]"#);
    check(&text, r#"["a\u0000"]"#);
    check(Cow::Borrowed(text.as_str()), r#"["a\u0000"]"#);
    check(text, r#"["a\u0000"]"#);
    check(&bytes[..], r#"[u8"00ff"]"#);
    check(&bytes, r#"[u8"00ff"]"#);
    check(&Bytes::from(bytes.clone()), r#"[u8"00ff"]"#);
    check(Bytes::from(bytes.clone()), r#"[u8"00ff"]"#);
    check(bytes, r#"[u8"00ff"]"#);
    check(b"\x00\xff", r#"[u8"00ff"]"#);
    check(*b"\x00\xff", r#"[u8"00ff"]"#);
    check(&"a", r#"["a"]"#);
    check(Box::<str>::from("a"), r#"["a"]"#);
    check('é', r#"["é"]"#);
    check(&'a', r#"["a"]"#);
    check(&7u64, "[7n]");
    check(&-7, "[-7n]");
    check(&0.5, "[0.5]");
    check(&true, "[true]");
    check(&Versionstamp::new(0xab), r#"["00000000000000ab0000"]"#);
    check(7u8, "[7n]");
    check(0, "[0n]");
    check(-256i16, "[-256n]");
    check(u128::MAX, "[340282366920938463463374607431768211455n]");
    check(i128::MIN, "[-170141183460469231731687303715884105728n]");
    check(&Int::from(7), "[7n]");
    check(0.5f32, "[0.5]");
    check(&Part::Bool(true), "[true]");
    check(Versionstamp::new(0xab), r#"["00000000000000ab0000"]"#);
}

#[test]
fn tuples_of_up_to_eight_parts_are_keys() {
    assert_eq!(Key::from(("a",)), key!["a"]);
    assert_eq!(Key::from((1, 2, 3, 4, 5, 6, 7, true)), key![1, 2, 3, 4, 5, 6, 7, true]);
    assert_eq!(["a", "b"].into_iter().collect::<Key>(), key!["a", "b"]);
    assert_eq!(Key::from(key!["a", 1].parts().unwrap()), key!["a", 1]);
}

#[test]
fn the_empty_key_can_be_named() {
    assert!(key![].is_empty());
    assert_eq!((key![], Key::default()), (Key::new(), Key::new()));
    assert!(key![] < key![&[0u8; 0]]);
    assert!(key!["a"].starts_with(&key![]));
}

#[test]
fn keys_sort_by_their_parts_and_before_their_extensions() {
    let keys = [key!["a"], key!["a", ""], key!["a", 2], key!["a", 10], key!["a\0"], key!["b"]];
    assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "{keys:?}");
}

#[test]
fn a_prefix_is_a_matter_of_parts_not_of_bytes() {
    let key = key!["a", 256];
    for prefix in [key![], key!["a"], key.clone()] {
        assert!(key.starts_with(&prefix), "{prefix}");
    }
    assert!(!key!["a\0b"].starts_with(&key!["a"]), "its bytes do begin with those of the prefix");
    assert!(!key!["a"].starts_with(&key));
    assert!(!key.starts_with(&key!["a", 1]));
}

#[test]
fn a_damaged_key_is_shown_as_bytes() {
    let key = Key::from_stored(vec![DATA, 0x7f]);
    assert!(key.parts().is_err());
    assert_eq!(key.to_string(), "malformed key \\x7f");
    let error = Key::from_encoded(&[0x7f]).unwrap_err();
    assert_eq!(error.to_string(), "not an encoded key: expected a tag of a key part at byte 0");
}

proptest! {
    #[test]
    fn the_order_of_encodings_is_the_order_of_parts(a in any_key(), b in any_key()) {
        let by_parts = a.parts().unwrap().cmp(&b.parts().unwrap());
        prop_assert_eq!(a.encoded().cmp(b.encoded()), by_parts);
        prop_assert_eq!(a.cmp(&b), by_parts);
    }

    #[test]
    fn deno_encodes_a_key_to_the_same_bytes(key in any_key()) {
        let theirs = encode_key(&of_deno(&key.parts().unwrap())).unwrap();
        prop_assert_eq!(key.encoded(), theirs);
    }

    /// Deno also takes what no key is encoded to, such as an integer with leading zeros; what it
    /// takes and encodes to the same bytes again, we take, and nothing else.
    #[test]
    fn arbitrary_bytes_are_a_key_exactly_where_they_are_one_for_deno(
        bytes in vec(prop_oneof![0u8..4, 0x0bu8..0x1e, 0x20u8..0x28, any::<u8>()], 0..24),
    ) {
        let theirs = decode_key(&bytes).ok().filter(|key| encode_key(key).unwrap() == bytes);
        let ours = Key::from_encoded(&bytes).ok();
        let ours = ours.map(|key| of_deno(&key.parts().unwrap()));
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn a_damaged_encoding_never_panics(key in any_key(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = key.encoded().to_vec();
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(key) = Key::from_encoded(&bytes) {
            prop_assert_eq!(key.encoded(), &bytes[..]);
            prop_assert_eq!(key.to_string().parse(), Ok(key));
        }
    }
}
