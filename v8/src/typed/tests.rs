use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;

fn shown<T: Serialize>(value: &T) -> String {
    to_value(value).expect("serializable").to_string()
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Unit,
    Newtype(i64),
    Tuple(u8, String),
    Struct { x: f64, y: Option<bool> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Everything {
    shapes: Vec<Shape>,
    by_name: BTreeMap<String, u64>,
    by_number: BTreeMap<i32, (i128, u128)>,
    by_pair: BTreeMap<(bool, char), ()>,
    text: Option<String>,
    boxed: Box<(f32, i8)>,
    #[serde(with = "as_bytes")]
    bytes: Vec<u8>,
    list: Vec<u8>,
}

mod as_bytes {
    use serde::de::{Deserializer, Visitor};

    pub(super) fn serialize<S: serde::Serializer>(
        bytes: &[u8],
        sink: S,
    ) -> Result<S::Ok, S::Error> {
        sink.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(source: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
        }
        source.deserialize_byte_buf(Bytes)
    }
}

#[test]
fn types_look_as_one_would_write_them_in_javascript() {
    #[derive(Serialize)]
    struct Unit;
    #[derive(Serialize)]
    struct Newtype(u8);
    assert_eq!(
        shown(&((), Unit, Newtype(1), None::<u8>, Some('a'))),
        "[ null, null, 1, null, \"a\" ]"
    );
    assert_eq!(shown(&(1u64 << 53, (1u64 << 53) + 1)), "[ 9007199254740992, 9007199254740993n ]");
    assert_eq!(shown(&(i64::MIN, u128::MAX)), format!("[ {}n, {}n ]", i64::MIN, u128::MAX));
    assert_eq!(shown(&BTreeMap::from([("a", 1)])), "{ a: 1 }");
    assert_eq!(shown(&BTreeMap::from([(2, 1)])), "Map(1) { 2 => 1 }");
    assert_eq!(shown(&HashMap::<u8, u8>::new()), "{}");
    assert_eq!(shown(&Shape::Unit), "\"Unit\"");
    assert_eq!(shown(&Shape::Newtype(1)), "{ Newtype: 1 }");
    assert_eq!(shown(&Shape::Tuple(1, "a".into())), "{ Tuple: [ 1, \"a\" ] }");
    assert_eq!(shown(&Shape::Struct { x: 0.5, y: None }), "{ Struct: { x: 0.5, y: null } }");
}

#[test]
fn bytes_are_an_array_of_bytes() {
    #[derive(Serialize)]
    struct Bytes(#[serde(with = "as_bytes")] Vec<u8>);
    assert_eq!(to_vec(&Bytes(vec![7])), Ok(b"\xff\x0fB\x01\x07VB\0\x01\0".to_vec()));
}

#[test]
fn what_javascript_wrote_is_read() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Row {
        id: u64,
        name: Option<String>,
        #[serde(default)]
        tags: Vec<String>,
        at: f64,
    }
    // { id: 5n, name: undefined, tags: new Set(["a"]), at: new Date(0), other: /x/ }
    let stored = b"\xff\x10o\"\x02idZ\x10\x05\0\0\0\0\0\0\0\"\x04name_\"\x04tags'\"\x01a,\x01\
        \"\x02atD\0\0\0\0\0\0\0\0\"\x05otherR\"\x01x\0{\x05";
    let row = Row { id: 5, name: None, tags: vec!["a".into()], at: 0.0 };
    assert_eq!(from_slice::<Row>(stored), Ok(row));
}

#[test]
fn a_date_is_text_or_milliseconds() {
    let stored = b"\xff\x0fD\0\0\0\0\0\x40\x8f\x40";
    assert_eq!(from_slice(stored), Ok(1000u64));
    assert_eq!(from_slice(stored), Ok("1970-01-01T00:00:01.000Z".to_owned()));
}

#[test]
fn typed_arrays_are_sequences_and_bytes() {
    let node = b"\xff\x0f\\\x03\x04\x01\0\xff\xff";
    assert_eq!(from_slice(node), Ok(vec![1i16, -1]));
    assert_eq!(from_slice(b"\xff\x0f\\\x0a\x02ab"), Ok([97u8, 98]));
    assert_eq!(from_slice(b"\xff\x0fB\x02abVB\x01\x01\0"), Ok(vec![98u8]));
    #[derive(Debug, PartialEq, Deserialize)]
    struct Bytes(#[serde(with = "as_bytes")] Vec<u8>);
    assert_eq!(from_slice(node), Ok(Bytes(vec![1, 0, 0xff, 0xff])));
    assert_eq!(from_slice(b"\xff\x0fB\x01a"), Ok(Bytes(vec![97])));
}

#[test]
fn maps_are_read_from_objects_and_from_maps() {
    let expected = BTreeMap::from([(1u8, true), (20, false)]);
    assert_eq!(from_slice(b"\xff\x0foI\x02T\"\x0220F{\x02"), Ok(expected.clone()));
    assert_eq!(from_slice(b"\xff\x0f;I\x02TI\x28F:\x04"), Ok(expected));
    let names = BTreeMap::from([("1".to_owned(), true)]);
    assert_eq!(from_slice(b"\xff\x0foI\x02T{\x01"), Ok(names));
}

#[test]
fn sparse_arrays_and_holes_are_read_as_nothing() {
    let expected = vec![Some(1), None, Some(3)];
    assert_eq!(from_slice(b"\xff\x0fa\x03I\0I\x02I\x04I\x06@\x02\x03"), Ok(expected.clone()));
    assert_eq!(from_slice(b"\xff\x0fA\x03I\x02-I\x06$\0\x03"), Ok(expected));
    let vast = b"\xff\x0fa\xff\xff\xff\xff\x0f@\0\xff\xff\xff\xff\x0f";
    assert_eq!(from_slice::<Vec<Option<u8>>>(vast), Err(Error::TooLong));
}

#[test]
fn a_number_that_does_not_fit_is_refused() {
    assert!(from_slice::<u8>(b"\xff\x0fI\x80\x04").is_err());
    assert!(from_slice::<u64>(b"\xff\x0fI\x01").is_err());
    assert!(from_slice::<i64>(&to_vec(&0.5).expect("serializable")).is_err());
    assert!(from_slice::<i64>(&to_vec(&1e17).expect("serializable")).is_err());
    assert_eq!(from_slice(&to_vec(&1e17).expect("serializable")), Ok(1e17));
    assert_eq!(
        from_slice::<f64>(&to_vec(&-0.0).expect("ok")).map(f64::to_bits),
        Ok((-0.0f64).to_bits())
    );
}

#[test]
fn what_has_no_end_is_refused() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Chain(Vec<Chain>);
    assert_eq!(from_slice::<Chain>(b"\xff\x0fA\x01^\0$\0\x01"), Err(Error::TooDeep));
    // 30 arrays, each of which holds the next twice.
    let mut bomb = b"\xff\x0f".to_vec();
    bomb.extend(b"A\x02".repeat(30));
    bomb.extend(b"A\x00$\0\0");
    for id in (1..=30).rev() {
        bomb.extend([b'^', id, b'$', 0, 2]);
    }
    assert_eq!(from_slice::<Chain>(&bomb), Err(Error::TooLong));
}

#[test]
fn what_is_too_deep_is_not_written() {
    #[derive(Serialize)]
    struct Chain(Option<Box<(Chain,)>>);
    let chain = |depth| (0..depth).fold(Chain(None), |inner, _| Chain(Some(Box::new((inner,)))));
    assert!(crate::read(&to_vec(&chain(crate::read::DEPTH_MAX)).expect("fits")).is_ok());
    assert_eq!(to_vec(&chain(crate::read::DEPTH_MAX + 1)), Err(Error::TooDeep));
}

#[test]
fn what_serde_cannot_carry_is_named() {
    let error = from_slice::<String>(b"\xff\x0fR\"\x01x\0").expect_err("a RegExp");
    assert_eq!(error.to_string(), "cannot be read as a type of Rust: RegExp");
    assert!(matches!(from_slice::<u8>(b"\xff"), Err(Error::Malformed(_))));
}

fn shape() -> impl Strategy<Value = Shape> {
    prop_oneof![
        Just(Shape::Unit),
        any::<i64>().prop_map(Shape::Newtype),
        any::<(u8, String)>().prop_map(|(x, y)| Shape::Tuple(x, y)),
        (-1e9..1e9, any::<Option<bool>>()).prop_map(|(x, y)| Shape::Struct { x, y }),
    ]
}

proptest! {
    #[test]
    fn what_was_written_is_read(
        shapes in prop::collection::vec(shape(), 0..4),
        by_name in any::<BTreeMap<String, u64>>(),
        by_number in any::<BTreeMap<i32, (i128, u128)>>(),
        by_pair in any::<BTreeMap<(bool, char), ()>>(),
        text in any::<Option<String>>(),
        boxed in (-1f32..1.0, any::<i8>()).prop_map(Box::new),
        bytes in any::<Vec<u8>>(),
        list in any::<Vec<u8>>(),
    ) {
        let all = Everything { shapes, by_name, by_number, by_pair, text, boxed, bytes, list };
        let stored = to_vec(&all).expect("serializable");
        prop_assert_eq!(from_slice(&stored), Ok(all));
    }
}
