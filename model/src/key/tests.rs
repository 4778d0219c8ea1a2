//! The encoding of keys, against vectors measured on Deno and against its own order.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(text: &str) -> Part {
    Part::String(text.to_owned())
}

fn int(decimal: &str) -> Part {
    Part::Int(decimal.parse().unwrap())
}

#[test]
fn parts_are_encoded_as_deno_encodes_them() {
    let two_64 = "18446744073709551616";
    let vectors = [
        (text(""), "02 00"),
        (text("hello"), "02 68656c6c6f 00"),
        (text("a\0b"), "02 61 00ff 62 00"),
        (text("é"), "02 c3a9 00"),
        (text("😀"), "02 f09f9880 00"),
        (text("\u{fffd}"), "02 efbfbd 00"),
        (Part::Bytes(vec![]), "01 00"),
        (Part::Bytes(vec![0, 255, 0]), "01 00ff ff 00ff 00"),
        (int("0"), "14"),
        (int("1"), "15 01"),
        (int("-1"), "13 fe"),
        (int("255"), "15 ff"),
        (int("-255"), "13 00"),
        (int("256"), "16 0100"),
        (int("-256"), "12 feff"),
        (int("9223372036854775808"), "1c 8000000000000000"),
        (int("18446744073709551615"), "1c ffffffffffffffff"),
        (int(two_64), "1d 09 010000000000000000"),
        (int(&format!("-{two_64}")), "0b f6 feffffffffffffffff"),
        (int("-18446744073709551615"), "0c 0000000000000000"),
        (Part::Float(0.0), "21 8000000000000000"),
        (Part::Float(-0.0), "21 7fffffffffffffff"),
        (Part::Float(1.0), "21 bff0000000000000"),
        (Part::Float(-1.0), "21 400fffffffffffff"),
        (Part::Float(0.5), "21 bfe0000000000000"),
        (Part::Float(f64::NAN.copysign(1.0)), "21 fff8000000000000"),
        (Part::Float(f64::NAN.copysign(-1.0)), "21 0007ffffffffffff"),
        (Part::Float(f64::INFINITY), "21 fff0000000000000"),
        (Part::Float(f64::NEG_INFINITY), "21 000fffffffffffff"),
        (Part::Float(5e-324), "21 8000000000000001"),
        (Part::Bool(false), "26"),
        (Part::Bool(true), "27"),
    ];
    for (part, expected) in vectors {
        let encoded = encode(std::slice::from_ref(&part));
        assert_eq!(hex(&encoded), expected.replace(' ', ""), "{part:?}");
        assert_eq!(decode(&encoded), Ok(vec![part]));
    }
}

#[test]
fn kinds_and_numbers_sort_as_documented() {
    let ascending = [
        Part::Bytes(vec![255]),
        text(""),
        text("z"),
        int("-340282366920938463463374607431768211456"),
        int("-18446744073709551616"),
        int("-18446744073709551615"),
        int("-1"),
        int("0"),
        int("18446744073709551615"),
        int("18446744073709551616"),
        Part::Float(f64::NAN.copysign(-1.0)),
        Part::Float(f64::NEG_INFINITY),
        Part::Float(-1.0),
        Part::Float(-0.0),
        Part::Float(0.0),
        Part::Float(f64::INFINITY),
        Part::Float(f64::NAN.copysign(1.0)),
        Part::Bool(false),
        Part::Bool(true),
    ];
    for pair in ascending.windows(2) {
        assert!(pair[0] < pair[1], "{pair:?}");
        assert!(encode(&pair[..1]) < encode(&pair[1..]), "{pair:?}");
    }
}

#[test]
fn a_versionstamp_is_a_string_of_twenty_digits() {
    let mut key = encode(&[text("log")]);
    let before = key.len();
    append_versionstamp(&mut key, Versionstamp::new(0xab));
    assert_eq!(key.len() - before, VERSIONSTAMP_PART_BYTES);
    assert_eq!(decode(&key), Ok(vec![text("log"), text("00000000000000ab0000")]));
}

#[test]
fn what_no_key_encodes_to_is_malformed() {
    let bad = [
        "00",
        "05",
        "03",
        "0a",
        "1e",
        "20",
        "22",
        "28",
        "ff", // tags
        "01",
        "02",
        "0261",
        "0200ff", // no end
        "02ff00",
        "02c300", // not UTF-8
        "15",
        "1601",
        "13",
        "1d",
        "1d09",
        "0bf6", // too short
        "1500",
        "160001",
        "13ff",
        "12ffff", // a leading zero
        "1d0801020304050607 08",
        "1d00",
        "0bff", // a long form of a short integer
        "1d09000000000000000000",
        "0bf6ffffffffffffffffff", // a leading zero in a long form
        "21",
        "2180000000000000", // too short
        "21fff8000000000001",
        "21fff0000000000001",
        "2100070000000000ff", // other NaNs
    ];
    for text in bad {
        let text = text.replace(' ', "");
        let bytes: Vec<u8> = (0..text.len() / 2)
            .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
            .collect();
        assert!(decode(&bytes).is_err(), "{text}");
    }
    assert_eq!(decode(&[]), Ok(vec![]));
    assert_eq!(decode(&[0x26, 0xff]).unwrap_err().offset, 1);
}

#[test]
fn the_first_part_is_read_without_the_others() {
    let key = encode(&[text("a\0b"), int("7")]);
    let (first, rest) = decode_first(&key).unwrap();
    assert_eq!((first.as_str(), rest), (Some("a\0b"), &encode(&[int("7")])[..]));
    assert!(decode_first(&[]).is_err());
    let (first, rest) = decode_first(&[0x27, 0xff]).unwrap();
    assert_eq!((first.as_bool(), rest), (Some(true), &[0xff][..]), "damage behind it is not met");
}

#[test]
fn a_part_is_asked_for_what_it_may_be() {
    assert_eq!(int("7").as_int().and_then(|int| u64::try_from(int).ok()), Some(7));
    assert_eq!(Part::Float(0.5).as_float(), Some(0.5));
    assert_eq!(Part::Bytes(vec![1]).as_bytes(), Some(&[1][..]));
    let part = Part::Bool(false);
    assert_eq!(part.as_bool(), Some(false));
    assert!(part.as_str().is_none() && part.as_bytes().is_none());
    assert!(part.as_int().is_none() && part.as_float().is_none());
}

fn any_part() -> impl Strategy<Value = Part> {
    let small_bytes = prop_oneof![Just(0u8), Just(255), any::<u8>()];
    prop_oneof![
        vec(small_bytes, 0..6).prop_map(Part::Bytes),
        vec(prop_oneof![Just('\0'), Just('a'), any::<char>()], 0..5)
            .prop_map(|chars| Part::String(chars.into_iter().collect())),
        (any::<bool>(), vec(any::<u8>(), 0..12)).prop_map(|(negative, magnitude)| {
            Part::Int(Int::from_magnitude(negative, &magnitude).unwrap())
        }),
        any::<i8>().prop_map(|small| Part::Int(i32::from(small).into())),
        any::<u64>().prop_map(|bits| Part::Float(f64::from_bits(bits))),
        any::<bool>().prop_map(Part::Bool),
    ]
}

proptest! {
    #[test]
    fn the_order_of_bytes_is_the_order_of_keys(a in vec(any_part(), 0..4), b in vec(any_part(), 0..4)) {
        prop_assert_eq!(encode(&a).cmp(&encode(&b)), a.cmp(&b));
    }

    #[test]
    fn an_integer_of_rust_is_encoded_as_its_part(number: i128, shift in 0..128u32) {
        for number in [number >> shift, 0, i128::MIN, i128::MAX, -(1 << 64), (1 << 64) - 1] {
            let mut encoded = Vec::new();
            encode_integer(number < 0, number.unsigned_abs(), &mut encoded);
            prop_assert_eq!(encoded, encode(&[Part::Int(number.into())]));
        }
    }

    #[test]
    fn a_key_sorts_before_its_extensions(a in vec(any_part(), 0..4), more in any_part()) {
        let mut longer = a.clone();
        longer.push(more);
        prop_assert!(encode(&a) < encode(&longer));
    }

    #[test]
    fn every_key_reads_back(key in vec(any_part(), 0..6)) {
        prop_assert_eq!(decode(&encode(&key)), Ok(key));
    }

    #[test]
    fn whatever_decodes_encodes_to_the_same_bytes(
        bytes in vec(prop_oneof![0u8..4, 0x0bu8..0x1e, 0x20u8..0x28, any::<u8>()], 0..24),
    ) {
        if let Ok(parts) = decode(&bytes) {
            prop_assert_eq!(encode(&parts), bytes);
        }
    }

    #[test]
    fn any_change_of_an_encoding_still_encodes_to_itself(
        key in vec(any_part(), 1..4), at in any::<prop::sample::Index>(), byte: u8,
    ) {
        let mut bytes = encode(&key);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(parts) = decode(&bytes) {
            prop_assert_eq!(encode(&parts), bytes);
        }
    }
}
