use proptest::prelude::*;

use super::*;
use crate::read::read;
use crate::value::{ErrorClass, ViewKind};

/// A tree, whose objects are yet to get their places.
#[derive(Clone, Debug)]
enum Tree {
    Item(Item),
    Leaf(JsObject),
    Plain(Vec<(Key, Tree)>),
    Array(Vec<Option<Tree>>, Vec<(Key, Tree)>),
    Sparse(u32, Vec<(Key, Tree)>),
    Map(Vec<(Tree, Tree)>),
    Set(Vec<Tree>),
    Error(JsError, Option<Box<Tree>>),
    Deno(Box<Tree>),
    /// A view of new bytes, or of those of the buffer before if there is one.
    View(ViewKind, Vec<u8>, Option<u64>),
    /// One of the objects before.
    Again(prop::sample::Index),
}

/// Gives objects their places in the order in which they begin.
fn place(tree: Tree, objects: &mut Vec<JsObject>) -> Item {
    let id = objects.len();
    let object = match tree {
        Tree::Item(item) => return item,
        Tree::Again(_) if id == 0 => return Item::Undefined,
        Tree::Again(index) => return Item::Object(ObjectId(index.index(id))),
        Tree::View(kind, mut bytes, max) => {
            bytes.truncate(bytes.len() / kind.element_bytes() * kind.element_bytes());
            let bytes_max = max.map(|more| more + bytes.len() as u64);
            let count = bytes.len();
            objects.push(JsObject::ArrayBuffer { bytes, bytes_max });
            let tracks_length = max.is_some_and(|more| more % 2 == 0);
            let buffer = ObjectId(id);
            objects.push(JsObject::View { kind, buffer, offset: 0, bytes: count, tracks_length });
            return Item::Object(ObjectId(id + 1));
        }
        Tree::Leaf(object) => {
            objects.push(object);
            return Item::Object(ObjectId(id));
        }
        holder => {
            objects.push(JsObject::Boolean(false));
            hold(holder, objects)
        }
    };
    objects[id] = object;
    Item::Object(ObjectId(id))
}

fn hold(tree: Tree, objects: &mut Vec<JsObject>) -> JsObject {
    let properties = |trees: Vec<(Key, Tree)>, objects: &mut Vec<JsObject>| {
        trees.into_iter().map(|(key, tree)| (key, place(tree, objects))).collect()
    };
    match tree {
        Tree::Plain(trees) => JsObject::Plain(properties(trees, objects)),
        Tree::Array(elements, trees) => JsObject::Array {
            elements: elements.into_iter().map(|e| e.map(|tree| place(tree, objects))).collect(),
            properties: properties(trees, objects),
        },
        Tree::Sparse(length, trees) => {
            JsObject::SparseArray { length, properties: properties(trees, objects) }
        }
        Tree::Map(trees) => JsObject::Map(
            trees.into_iter().map(|(k, v)| (place(k, objects), place(v, objects))).collect(),
        ),
        Tree::Set(trees) => {
            JsObject::Set(trees.into_iter().map(|tree| place(tree, objects)).collect())
        }
        Tree::Error(error, cause) => JsObject::Error(Box::new(JsError {
            cause: cause.map(|tree| place(*tree, objects)),
            ..error
        })),
        Tree::Deno(tree) => JsObject::DenoHost(place(*tree, objects)),
        _ => unreachable!("holds nothing"),
    }
}

fn string() -> impl Strategy<Value = JsString> {
    prop_oneof![
        "[ -~]{0,8}".prop_map(JsString::from),
        any::<String>().prop_map(JsString::from),
        prop::collection::vec(any::<u16>(), 0..8).prop_map(|units| JsString::from_utf16(&units)),
    ]
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<i32>().prop_map(f64::from),
        any::<f64>().prop_filter("equal", |n| !n.is_nan())
    ]
}

fn item() -> impl Strategy<Value = Item> {
    prop_oneof![
        Just(Item::Undefined),
        Just(Item::Null),
        any::<bool>().prop_map(Item::Bool),
        number().prop_map(Item::Number),
        any::<i128>().prop_map(|number| Item::BigInt(number.into())),
        string().prop_map(Item::String),
    ]
}

fn kind() -> impl Strategy<Value = ViewKind> {
    prop::sample::select(
        &[
            ViewKind::Int8Array,
            ViewKind::Uint8Array,
            ViewKind::Float16Array,
            ViewKind::Uint32Array,
            ViewKind::BigInt64Array,
            ViewKind::DataView,
        ][..],
    )
}

fn leaf() -> impl Strategy<Value = Tree> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..20);
    let objects = prop_oneof![
        number().prop_map(JsObject::Date),
        any::<bool>().prop_map(JsObject::Boolean),
        number().prop_map(JsObject::Number),
        any::<i64>().prop_map(|number| JsObject::BigInt(number.into())),
        string().prop_map(JsObject::String),
        (string(), 0u32..512).prop_map(|(source, flags)| JsObject::RegExp { source, flags }),
        bytes().prop_map(|bytes| JsObject::ArrayBuffer { bytes, bytes_max: None }),
        (any::<bool>(), bytes()).prop_map(|(is_buffer, bytes)| JsObject::NodeView {
            kind: ViewKind::Uint8Array,
            is_buffer,
            bytes
        }),
    ];
    prop_oneof![
        3 => item().prop_map(Tree::Item),
        2 => objects.prop_map(Tree::Leaf),
        1 => (kind(), bytes(), any::<Option<u8>>())
            .prop_map(|(kind, bytes, max)| Tree::View(kind, bytes, max.map(u64::from))),
        1 => any::<prop::sample::Index>().prop_map(Tree::Again),
    ]
}

fn tree() -> impl Strategy<Value = Tree> {
    leaf().prop_recursive(4, 32, 5, |inner| {
        let key = prop_oneof![string().prop_map(Key::String), number().prop_map(Key::Number)];
        let properties = prop::collection::vec((key, inner.clone()), 0..4);
        let class = prop::sample::select(&[ErrorClass::Error, ErrorClass::TypeError][..]);
        let text = || prop::option::of(string());
        prop_oneof![
            properties.clone().prop_map(Tree::Plain),
            (prop::collection::vec(prop::option::of(inner.clone()), 0..5), properties.clone())
                .prop_map(|(elements, properties)| Tree::Array(elements, properties)),
            (any::<u32>(), properties).prop_map(|(length, trees)| Tree::Sparse(length, trees)),
            prop::collection::vec((inner.clone(), inner.clone()), 0..4).prop_map(Tree::Map),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Tree::Set),
            (class, text(), text(), prop::option::of(inner.clone().prop_map(Box::new))).prop_map(
                |(class, message, stack, cause)| {
                    Tree::Error(JsError { class, message, stack, cause: None }, cause)
                }
            ),
            inner.prop_map(|tree| Tree::Deno(Box::new(tree))),
        ]
    })
}

proptest! {
    #[test]
    fn what_was_written_is_read(tree in tree()) {
        let mut objects = Vec::new();
        let root = place(tree, &mut objects);
        let value = JsValue::new(objects, root).expect("whole");
        prop_assert_eq!(read(&write(&value)), Ok(value));
    }
}

#[test]
fn objects_out_of_reach_are_not_written() {
    let lost = JsObject::Plain(vec![]);
    let value = JsValue::new(vec![lost], Item::Null).expect("whole");
    assert_eq!(write(&value), b"\xff\x0f0");
}

#[test]
fn places_become_ids_in_the_order_of_the_bytes() {
    let list = |places: &[usize]| {
        JsObject::Set(places.iter().map(|place| Item::Object(ObjectId(*place))).collect())
    };
    let objects = vec![list(&[]), list(&[0]), list(&[1, 0, 1])];
    let value = JsValue::new(objects, Item::Object(ObjectId(2))).expect("whole");
    assert_eq!(write(&value), b"\xff\x0f''',\0,\x01^\x02^\x01,\x03");
}

#[test]
fn any_depth_can_be_written() {
    let inner = |index: usize| JsObject::Set(vec![Item::Object(ObjectId(index + 1))]);
    let mut objects: Vec<JsObject> = (0..100_000).map(inner).collect();
    objects.push(JsObject::Set(vec![]));
    let value = JsValue::new(objects, Item::Object(ObjectId(0))).expect("whole");
    assert_eq!(write(&value).len(), 2 + 3 * 100_001);
}
