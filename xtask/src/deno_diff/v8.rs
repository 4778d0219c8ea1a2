//! Tagged values and the bytes in which V8, Deno and Icecore store them.

use icecore_v8::{Item, JsObject, JsString, JsValue, Key, ObjectId, ViewKind};

use super::tagged::{Tagged, number_of};

/// The letters of a regular expression's flags, in the order in which JavaScript gives them, and
/// V8's bits.
const FLAGS: [(char, u32); 6] = [('g', 1), ('i', 2), ('m', 4), ('s', 32), ('u', 16), ('y', 8)];

/// The value as V8 writes it.
pub(crate) fn encode(value: &Tagged) -> Vec<u8> {
    let mut objects = Vec::new();
    let root = item(value, &mut objects);
    let value = JsValue::new(objects, root).expect("objects refer to objects that are there");
    icecore_v8::write(&value)
}

/// What V8 would make of the bytes; a text that says so if it would make nothing of them.
pub(crate) fn decode(bytes: &[u8]) -> Tagged {
    match icecore_v8::read(bytes) {
        Ok(value) => tagged(&value, value.root()),
        Err(error) => Tagged::text(&format!("no value of JavaScript: {error}")),
    }
}

/// The item, whose objects are added to `objects`.
fn item(value: &Tagged, objects: &mut Vec<JsObject>) -> Item {
    let object = match value {
        Tagged::Undefined => return Item::Undefined,
        Tagged::Null => return Item::Null,
        Tagged::Bool { v } => return Item::Bool(*v),
        Tagged::Number { v } => return Item::Number(number_of(v)),
        Tagged::Bigint { v } => return Item::BigInt(v.parse().expect("a bigint of a history")),
        Tagged::String(text) => return Item::String(JsString::from(&*text.content())),
        Tagged::Date { v } => JsObject::Date(number_of(v)),
        Tagged::Regexp { source, flags } => {
            let is_set = |(letter, _): &&(char, u32)| flags.contains(*letter);
            let flags = FLAGS.iter().filter(is_set).map(|(_, bit)| bit).sum();
            JsObject::RegExp { source: JsString::from(&**source), flags }
        }
        Tagged::Map { v } => {
            let pair = |(key, value): &(Tagged, Tagged)| (item(key, objects), item(value, objects));
            JsObject::Map(v.iter().map(pair).collect())
        }
        Tagged::Set { v } => JsObject::Set(v.iter().map(|value| item(value, objects)).collect()),
        Tagged::Array { v } => JsObject::Array {
            elements: v.iter().map(|value| Some(item(value, objects))).collect(),
            properties: Vec::new(),
        },
        Tagged::Object { v } => {
            let property = |(name, value): &(String, Tagged)| {
                (Key::String(JsString::from(&**name)), item(value, objects))
            };
            JsObject::Plain(v.iter().map(property).collect())
        }
        Tagged::U64 { .. } | Tagged::Bytes(_) => panic!("not among values of V8: {value:?}"),
    };
    objects.push(object);
    Item::Object(ObjectId::new(objects.len() - 1))
}

fn tagged(value: &JsValue, item: &Item) -> Tagged {
    let id = match item {
        Item::Undefined => return Tagged::Undefined,
        Item::Null => return Tagged::Null,
        Item::Bool(v) => return Tagged::Bool { v: *v },
        // No program in JavaScript can tell one from the other.
        Item::Number(number) if number.is_nan() => return Tagged::number(f64::NAN),
        Item::Number(number) => return Tagged::number(*number),
        Item::BigInt(number) => return Tagged::bigint(number),
        Item::String(text) => return Tagged::text(&text.to_str_lossy()),
        Item::Object(id) => *id,
    };
    let inner = |item| tagged(value, item);
    match &value.objects()[id.index()] {
        JsObject::Date(ms) => Tagged::date(*ms),
        JsObject::RegExp { source, flags } => {
            let is_set = |(_, bit): &&(char, u32)| flags & bit != 0;
            let flags = FLAGS.iter().filter(is_set).map(|(letter, _)| letter).collect();
            Tagged::Regexp { source: source.to_str_lossy().into_owned(), flags }
        }
        JsObject::Map(pairs) => {
            Tagged::Map { v: pairs.iter().map(|(key, item)| (inner(key), inner(item))).collect() }
        }
        JsObject::Set(items) => Tagged::Set { v: items.iter().map(inner).collect() },
        JsObject::Array { elements, .. } => Tagged::Array {
            v: elements.iter().map(|item| item.as_ref().map_or(Tagged::Undefined, inner)).collect(),
        },
        JsObject::Plain(properties) => {
            let name = |key: &Key| match key {
                Key::String(name) => name.to_str_lossy().into_owned(),
                Key::Number(number) => number.to_string(),
            };
            Tagged::Object {
                v: properties.iter().map(|(key, it)| (name(key), inner(it))).collect(),
            }
        }
        JsObject::View { kind: ViewKind::Uint8Array, .. } => {
            Tagged::bytes(value.bytes(id).unwrap_or_default())
        }
        other => Tagged::text(&format!("an object that no history has: {other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let text = Tagged::text("naïve 😀");
        let regexp = Tagged::Regexp { source: "a+".to_owned(), flags: "gu".to_owned() };
        let map = Tagged::Map { v: vec![(Tagged::bigint(-5), Tagged::date(1.5))] };
        let array = Tagged::Array { v: vec![text, Tagged::number(-0.0), Tagged::Undefined] };
        let set = Tagged::Set { v: vec![Tagged::Null, Tagged::Bool { v: true }] };
        let members = [("a", regexp), ("b", map), ("c", array), ("d", set)];
        let value = Tagged::Object { v: members.map(|(name, it)| (name.to_owned(), it)).to_vec() };
        assert_eq!(decode(&encode(&value)), value);
    }
}
