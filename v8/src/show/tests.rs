use super::*;
use crate::value::ErrorClass;

fn object(object: JsObject) -> String {
    JsValue::new(vec![object], Item::Object(ObjectId(0))).expect("whole").to_string()
}

fn place(index: usize) -> Item {
    Item::Object(ObjectId(index))
}

#[test]
fn an_object_that_holds_itself_is_shown_once() {
    let me = JsObject::Plain(vec![(Key::from("me"), place(0))]);
    assert_eq!(object(me), "<ref *1> { me: [Circular *1] }");
}

#[test]
fn objects_that_hold_each_other_are_each_a_beginning() {
    let both =
        JsObject::Array { elements: vec![Some(place(1)), Some(place(2))], properties: vec![] };
    let one = JsObject::Plain(vec![(Key::from("b"), place(2))]);
    let other = JsObject::Plain(vec![(Key::from("a"), place(1))]);
    let value = JsValue::new(vec![both, one, other], place(0)).expect("whole");
    let expected = "[ <ref *1> { b: <ref *2> { a: [Circular *1] } }, \
                    <ref *2> { a: <ref *1> { b: [Circular *2] } } ]";
    assert_eq!(value.to_string(), expected);
}

#[test]
fn what_stands_twice_is_shown_twice() {
    let pair = JsObject::Set(vec![place(1), place(1)]);
    let value = JsValue::new(vec![pair, JsObject::Plain(vec![])], place(0)).expect("whole");
    assert_eq!(value.to_string(), "Set(2) { {}, {} }");
}

#[test]
fn a_value_that_doubles_at_each_step_is_cut() {
    let double = |index: usize| JsObject::Set(vec![place(index + 1), place(index + 1)]);
    let mut objects: Vec<JsObject> = (0..60).map(double).collect();
    objects.push(JsObject::Set(vec![]));
    let text = JsValue::new(objects, place(0)).expect("whole").to_string();
    assert!(text.contains('…') && text.len() < 64 << 20, "{}", text.len());
}

#[test]
fn a_value_deeper_than_the_limit_is_cut() {
    let inner = |index: usize| JsObject::Set(vec![place(index + 1)]);
    let mut objects: Vec<JsObject> = (0..100_000).map(inner).collect();
    objects.push(JsObject::Set(vec![]));
    let text = JsValue::new(objects, place(0)).expect("whole").to_string();
    assert_eq!(text.matches("Set(1)").count(), DEPTH_MAX);
}

#[test]
fn strings_stay_on_their_line_and_can_be_read_back() {
    let text = |units: &[u16]| JsValue::from(Item::String(JsString::from_utf16(units))).to_string();
    let units: Vec<u16> = "a\"\\\n\u{7}\u{2028}é".encode_utf16().collect();
    assert_eq!(text(&units), r#""a\"\\\n\x07\u2028é""#);
    assert_eq!(text(&[0xd800, 0x61]), r#""\ud800a""#);
}

#[test]
fn holes_and_names_of_arrays_are_shown() {
    let elements = vec![None, None, Some(Item::Null), None];
    let properties = vec![(Key::from("x-y"), Item::Undefined)];
    let dense = JsObject::Array { elements, properties };
    let expected = "[ <2 empty items>, null, <1 empty item>, \"x-y\": undefined ]";
    assert_eq!(object(dense), expected);
    let properties = vec![(Key::Number(2.0), Item::Null), (Key::from("x-y"), Item::Undefined)];
    assert_eq!(object(JsObject::SparseArray { length: 4, properties }), expected);
}

#[test]
fn objects_of_every_class_are_shown() {
    let bytes = vec![1, 0, 0xff, 0xff];
    let node = |kind, is_buffer| JsObject::NodeView { kind, is_buffer, bytes: bytes.clone() };
    let table = [
        (JsObject::Map(vec![(Item::from("a"), Item::Number(1.0))]), "Map(1) { \"a\" => 1 }"),
        (JsObject::Date(f64::NAN), "new Date(NaN)"),
        (JsObject::Boolean(true), "new Boolean(true)"),
        (JsObject::Number(-0.0), "new Number(-0)"),
        (JsObject::BigInt(5.into()), "Object(5n)"),
        (JsObject::String("a".into()), "new String(\"a\")"),
        (JsObject::RegExp { source: r"a\/b".into(), flags: 0b1_0011 }, r"/a\/b/giu"),
        (node(ViewKind::Uint8Array, true), "Buffer(4) [ 1, 0, 255, 255 ]"),
        (node(ViewKind::Int16Array, false), "Int16Array(2) [ 1, -1 ]"),
        (node(ViewKind::Uint32Array, false), "Uint32Array(1) [ 4294901761 ]"),
        (
            node(ViewKind::DataView, false),
            "DataView { byteLength: 4, byteOffset: 0, buffer: \
             ArrayBuffer { [Uint8Contents]: <01 00 ff ff>, byteLength: 4 } }",
        ),
        (
            JsObject::ArrayBuffer { bytes: vec![], bytes_max: Some(8) },
            "ArrayBuffer { [Uint8Contents]: <>, byteLength: 0, maxByteLength: 8 }",
        ),
        (
            JsObject::Error(Box::new(JsError {
                class: ErrorClass::UriError,
                message: Some("a\nb".into()),
                stack: None,
                cause: None,
            })),
            r"[URIError: a\nb]",
        ),
    ];
    for (value, text) in table {
        assert_eq!(object(value), text);
    }
}
