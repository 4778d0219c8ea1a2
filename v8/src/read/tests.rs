use proptest::prelude::*;

use super::*;

fn shown(bytes: &[u8]) -> String {
    read(bytes).expect("well-formed").to_string()
}

fn refused(bytes: &[u8]) -> &'static str {
    read(bytes).expect_err("malformed").what
}

#[test]
fn an_object_may_hold_itself() {
    let value = read(b"\xff\x0fo\"\x02me^\0{\x01").expect("well-formed");
    let me = (Key::from("me"), Item::Object(ObjectId(0)));
    assert_eq!(value[ObjectId(0)], JsObject::Plain(vec![me]));
}

#[test]
fn a_view_is_read_after_its_buffer_and_after_a_reference_to_it() {
    let value = read(b"\xff\x0fA\x02B\x02abVB\0\x01\0^\x01VB\x01\x01\0$\0\x02").expect("whole");
    assert_eq!(value.bytes(ObjectId(2)), Some(&b"a"[..]));
    assert_eq!(value.bytes(ObjectId(3)), Some(&b"b"[..]));
}

#[test]
fn views_of_version_13_have_no_flags_except_where_they_do() {
    assert_eq!(shown(b"\xff\x0dB\x01aVB\0\x01"), "Uint8Array(1) [ 97 ]");
    assert_eq!(shown(b"\xff\x0dB\x01aVB\0\x01\0"), "Uint8Array(1) [ 97 ]");
    assert_eq!(refused(b"\xff\x0eB\x01aVB\0\x01"), "ends too early");
}

#[test]
fn a_view_must_lie_within_its_buffer_at_whole_elements() {
    assert_eq!(refused(b"\xff\x0fB\x01aVB\x01\x01\0"), "shows more than its buffer has");
    assert_eq!(refused(b"\xff\x0fB\x02abVW\x01\x01\0"), "shows a part of an element");
    assert_eq!(refused(b"\xff\x0fB\x01aVB\0\x01\x02"), "has a view that does not fit its buffer");
    assert_eq!(refused(b"\xff\x0f\\\x03\x01a"), "shows a part of an element");
}

#[test]
fn padding_and_old_counts_are_passed() {
    assert_eq!(shown(b"\xff\x0f?\x01\0\0A\x01\0c\x02\xe5\x65$\0\x01"), "[ \"日\" ]");
}

#[test]
fn strings_come_in_three_forms() {
    assert_eq!(shown(b"\xff\x0f\"\x01\xe9"), "\"é\"");
    assert_eq!(shown(b"\xff\x0fS\x02\xc3\xa9"), "\"é\"");
    assert_eq!(shown(b"\xff\x0fc\x02\xe9\0"), "\"é\"");
    assert_eq!(refused(b"\xff\x0fc\x01\xe9"), "has a string of half units");
}

#[test]
fn counts_must_be_true() {
    assert_eq!(refused(b"\xff\x0fo\"\x01aT{\x02"), "counts what it does not hold");
    assert_eq!(refused(b"\xff\x0fA\x01T$\0\x02"), "counts what it does not hold");
    assert_eq!(refused(b"\xff\x0f;TF:\x01"), "counts what it does not hold");
}

#[test]
fn a_length_that_cannot_be_is_refused_before_anything_is_allocated() {
    assert_eq!(refused(b"\xff\x0fA\xff\xff\xff\xff\x0f"), "is longer than its bytes");
    assert_eq!(refused(b"\xff\x0f\"\xff\xff\xff\xff\x0f"), "is longer than its bytes");
    assert_eq!(
        refused(b"\xff\x10B\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
        "is longer than its bytes"
    );
}

#[test]
fn a_sparse_array_of_any_length_costs_what_its_bytes_do() {
    let all = b"\xff\x0fa\xff\xff\xff\xff\x0f@\0\xff\xff\xff\xff\x0f";
    assert_eq!(shown(all), "[ <4294967295 empty items> ]");
}

#[test]
fn depth_has_a_limit() {
    let nested = |depth: usize| {
        let mut bytes = b"\xff\x0f".to_vec();
        bytes.extend(b"A\x01".repeat(depth - 1));
        bytes.extend(b"A\x00$\0\0");
        bytes.extend(b"$\0\x01".repeat(depth - 1));
        bytes
    };
    assert!(read(&nested(DEPTH_MAX)).is_ok());
    assert_eq!(refused(&nested(DEPTH_MAX + 1)), "is nested too deep");
    assert_eq!(refused(&b"A\x01".repeat(1 << 20)[..]), "has no version");
    let mut endless = b"\xff\x0f".to_vec();
    endless.extend(b"A\x01".repeat(1 << 16));
    assert_eq!(refused(&endless), "is nested too deep");
}

#[test]
fn what_follows_the_value_is_reported_with_its_place() {
    let error = read(b"\xff\x0fTF").expect_err("goes on");
    assert_eq!(error.to_string(), "malformed V8 value: goes on after its end at byte 3");
}

#[test]
fn what_is_never_stored_is_refused() {
    for tag in [b't', b'u', b'p', b'w', b'm', b'V', b'{', b'-', b'*'] {
        assert_eq!(refused(&[0xff, 15, tag, 0]), "has a tag that is not known");
    }
}

#[test]
fn an_object_that_deno_describes_is_read() {
    assert_eq!(shown(b"\xff\x10\\\xff\xff\xff\xff\x0fo{\0"), "[Deno object] {}");
    assert_eq!(refused(b"\xff\x10\\\x7f\0"), "has an object of a host that is not known");
}

#[test]
fn an_error_may_have_every_detail_and_none() {
    assert_eq!(shown(b"\xff\x0fr."), "[Error]");
    assert_eq!(shown(b"\xff\x0frTm\"\x01xcI\x0as\"\x01y."), "[TypeError: x] { [cause]: 5 }");
    assert_eq!(refused(b"\xff\x0frX."), "has an error with a detail that is not known");
}

/// Bytes that look like a value for a while.
fn tags() -> impl Strategy<Value = Vec<u8>> {
    let tag =
        prop::sample::select(&b"_0TFIUNZ\"cS^-Dyxnzs'oA$a@;:,B~Vr\\{?R\0\x01\x02\x03mEc."[..]);
    prop::collection::vec(prop_oneof![8 => tag, 1 => any::<u8>()], 0..64)
}

proptest! {
    #[test]
    fn no_bytes_panic(version in 13u8..=16, body in tags(), wild in any::<Vec<u8>>()) {
        let bytes = [&[0xff, version][..], &body].concat();
        for bytes in [bytes, wild] {
            if let Ok(value) = read(&bytes) {
                let again = crate::write(&value);
                prop_assert_eq!(read(&again).map(|value| crate::write(&value)), Ok(again));
                prop_assert!(!value.to_string().is_empty());
            }
            crate::Number::read(&bytes).ok();
            crate::for_deno(&bytes);
            crate::for_node(&bytes);
        }
    }
}
