//! Values as a tree, or as the graph that they may be.
//!
//! JavaScript shares objects: one object may stand in many places, also within itself. A value is
//! therefore a row of objects and a root. Whatever holds an object holds its [`ObjectId`], the
//! place in the row.
//!
//! 1. Every id that occurs in a value is one of its objects.
//! 2. The buffer of a view is an [`JsObject::ArrayBuffer`], and the view lies within it, at a
//!    multiple of its elements' size.
//! 3. Values that were read have their objects in the order in which the bytes begin them.

use std::fmt;
use std::ops::Index;

use num_bigint::BigInt;

use crate::string::JsString;

/// The place of an object in its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId(pub(crate) usize);

impl ObjectId {
    /// The id of the object at `index` of the row that is given to [`JsValue::new`].
    pub fn new(index: usize) -> ObjectId {
        ObjectId(index)
    }

    /// The index of the object in [`JsValue::objects`].
    pub fn index(self) -> usize {
        self.0
    }
}

/// What stands in a place: a primitive, or which object.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// `undefined`
    Undefined,
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number. Its form as an integer or as eight bytes makes no difference in JavaScript.
    Number(f64),
    /// `5n`
    BigInt(BigInt),
    /// A string.
    String(JsString),
    /// An object of the same value.
    Object(ObjectId),
}

/// The name of a property.
#[derive(Clone, Debug, PartialEq)]
pub enum Key {
    /// A name.
    String(JsString),
    /// An index.
    Number(f64),
}

/// A property: its name and what it holds.
pub type Property = (Key, Item);

/// An object.
#[derive(Clone, Debug, PartialEq)]
pub enum JsObject {
    /// A plain object.
    Plain(Vec<Property>),
    /// An array whose elements are listed. `None` is a hole.
    Array {
        /// The elements.
        elements: Vec<Option<Item>>,
        /// Properties that are no elements.
        properties: Vec<Property>,
    },
    /// An array whose elements are named by their indices. Whether V8 writes an array so is a
    /// matter of its history.
    SparseArray {
        /// The length.
        length: u32,
        /// Elements and other properties.
        properties: Vec<Property>,
    },
    /// A `Map`.
    Map(Vec<(Item, Item)>),
    /// A `Set`.
    Set(Vec<Item>),
    /// A `Date`: milliseconds since 1970, or not a number.
    Date(f64),
    /// `new Boolean(…)`
    Boolean(bool),
    /// `new Number(…)`
    Number(f64),
    /// `Object(5n)`
    BigInt(BigInt),
    /// `new String(…)`
    String(JsString),
    /// A regular expression.
    RegExp {
        /// What stands between the slashes.
        source: JsString,
        /// V8's bits: 1 `g`, 2 `i`, 4 `m`, 8 `y`, 16 `u`, 32 `s`, 64 `l`, 128 `d`, 256 `v`.
        flags: u32,
    },
    /// An `ArrayBuffer`.
    ArrayBuffer {
        /// What it holds.
        bytes: Vec<u8>,
        /// How many bytes it may grow to, if it can be resized.
        bytes_max: Option<u64>,
    },
    /// A typed array or a `DataView`.
    View {
        /// Its class.
        kind: ViewKind,
        /// The `ArrayBuffer` that it shows.
        buffer: ObjectId,
        /// Where it begins, in bytes.
        offset: usize,
        /// How long it is, in bytes.
        bytes: usize,
        /// Whether it follows the length of a buffer that is resized.
        tracks_length: bool,
    },
    /// A typed array, `DataView` or `Buffer` as Node writes it, without its `ArrayBuffer`.
    NodeView {
        /// Its class. A `Buffer` is a `Uint8Array` with `is_buffer`.
        kind: ViewKind,
        /// Whether it is a `Buffer` of Node.
        is_buffer: bool,
        /// What it shows.
        bytes: Vec<u8>,
    },
    /// An error.
    Error(Box<JsError>),
    /// An object of a class of Deno, such as a `Blob`, as Deno describes it.
    DenoHost(Item),
}

/// What is kept of an error.
#[derive(Clone, Debug, PartialEq)]
pub struct JsError {
    /// Its class.
    pub class: ErrorClass,
    /// `message`
    pub message: Option<JsString>,
    /// `stack`
    pub stack: Option<JsString>,
    /// `cause`
    pub cause: Option<Item>,
}

/// Classes of errors. Errors of other classes are stored as `Error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// `Error`
    Error,
    /// `EvalError`
    EvalError,
    /// `RangeError`
    RangeError,
    /// `ReferenceError`
    ReferenceError,
    /// `SyntaxError`
    SyntaxError,
    /// `TypeError`
    TypeError,
    /// `URIError`
    UriError,
}

impl ErrorClass {
    /// The name in JavaScript.
    pub fn name(self) -> &'static str {
        match self {
            ErrorClass::Error => "Error",
            ErrorClass::EvalError => "EvalError",
            ErrorClass::RangeError => "RangeError",
            ErrorClass::ReferenceError => "ReferenceError",
            ErrorClass::SyntaxError => "SyntaxError",
            ErrorClass::TypeError => "TypeError",
            ErrorClass::UriError => "URIError",
        }
    }
}

/// Classes of views.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named as in JavaScript")]
pub enum ViewKind {
    Int8Array,
    Uint8Array,
    Uint8ClampedArray,
    Int16Array,
    Uint16Array,
    Int32Array,
    Uint32Array,
    Float16Array,
    Float32Array,
    Float64Array,
    BigInt64Array,
    BigUint64Array,
    DataView,
}

impl ViewKind {
    /// The name in JavaScript.
    pub fn name(self) -> &'static str {
        match self {
            ViewKind::Int8Array => "Int8Array",
            ViewKind::Uint8Array => "Uint8Array",
            ViewKind::Uint8ClampedArray => "Uint8ClampedArray",
            ViewKind::Int16Array => "Int16Array",
            ViewKind::Uint16Array => "Uint16Array",
            ViewKind::Int32Array => "Int32Array",
            ViewKind::Uint32Array => "Uint32Array",
            ViewKind::Float16Array => "Float16Array",
            ViewKind::Float32Array => "Float32Array",
            ViewKind::Float64Array => "Float64Array",
            ViewKind::BigInt64Array => "BigInt64Array",
            ViewKind::BigUint64Array => "BigUint64Array",
            ViewKind::DataView => "DataView",
        }
    }

    /// How many bytes an element has. A `DataView` counts as one of bytes.
    pub fn element_bytes(self) -> usize {
        match self {
            ViewKind::Int8Array
            | ViewKind::Uint8Array
            | ViewKind::Uint8ClampedArray
            | ViewKind::DataView => 1,
            ViewKind::Int16Array | ViewKind::Uint16Array | ViewKind::Float16Array => 2,
            ViewKind::Int32Array | ViewKind::Uint32Array | ViewKind::Float32Array => 4,
            ViewKind::Float64Array | ViewKind::BigInt64Array | ViewKind::BigUint64Array => 8,
        }
    }
}

impl JsObject {
    /// The name of its class in JavaScript.
    pub fn class(&self) -> &'static str {
        match self {
            JsObject::Plain(_) => "Object",
            JsObject::Array { .. } | JsObject::SparseArray { .. } => "Array",
            JsObject::Map(_) => "Map",
            JsObject::Set(_) => "Set",
            JsObject::Date(_) => "Date",
            JsObject::Boolean(_) => "Boolean",
            JsObject::Number(_) => "Number",
            JsObject::BigInt(_) => "BigInt",
            JsObject::String(_) => "String",
            JsObject::RegExp { .. } => "RegExp",
            JsObject::ArrayBuffer { .. } => "ArrayBuffer",
            JsObject::NodeView { is_buffer: true, .. } => "Buffer",
            JsObject::View { kind, .. } | JsObject::NodeView { kind, .. } => kind.name(),
            JsObject::Error(error) => error.class.name(),
            JsObject::DenoHost(_) => "DenoHost",
        }
    }

    /// How many places it has: what a walk through it costs.
    pub(crate) fn places(&self) -> usize {
        match self {
            JsObject::Plain(properties) | JsObject::SparseArray { properties, .. } => {
                properties.len()
            }
            JsObject::Array { elements, properties } => elements.len() + properties.len(),
            JsObject::Map(entries) => entries.len(),
            JsObject::Set(items) => items.len(),
            JsObject::ArrayBuffer { bytes, .. } | JsObject::NodeView { bytes, .. } => bytes.len(),
            JsObject::View { bytes, .. } => *bytes,
            _ => 1,
        }
    }

    /// Everything that it holds, but not the names of properties.
    fn items(&self) -> Box<dyn Iterator<Item = &Item> + '_> {
        fn of(properties: &[Property]) -> impl Iterator<Item = &Item> {
            properties.iter().map(|(_, item)| item)
        }
        match self {
            JsObject::Plain(properties) | JsObject::SparseArray { properties, .. } => {
                Box::new(of(properties))
            }
            JsObject::Array { elements, properties } => {
                Box::new(elements.iter().flatten().chain(of(properties)))
            }
            JsObject::Map(entries) => Box::new(entries.iter().flat_map(|(k, v)| [k, v])),
            JsObject::Set(items) => Box::new(items.iter()),
            JsObject::Error(error) => Box::new(error.cause.iter()),
            JsObject::DenoHost(item) => Box::new(std::iter::once(item)),
            _ => Box::new(std::iter::empty()),
        }
    }
}

/// A value of JavaScript.
///
/// ```
/// use icecore_v8::{Item, JsObject, JsValue, Key, ObjectId};
///
/// // const list = [1, true]; ({ list })
/// let list = JsObject::Array {
///     elements: vec![Some(Item::Number(1.0)), Some(Item::Bool(true))],
///     properties: vec![],
/// };
/// let outer = JsObject::Plain(vec![(Key::from("list"), Item::Object(ObjectId::new(1)))]);
/// let value = JsValue::new(vec![outer, list], Item::Object(ObjectId::new(0)))?;
/// assert_eq!(value.to_string(), "{ list: [ 1, true ] }");
/// # Ok::<(), icecore_v8::InvalidObject>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct JsValue {
    objects: Vec<JsObject>,
    root: Item,
}

/// An object that cannot be: it refers to none that is there, or shows what it cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidObject {
    /// What is wrong.
    pub what: &'static str,
    /// The object, or `None` for the root.
    pub object: Option<ObjectId>,
}

impl fmt::Display for InvalidObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.object {
            Some(id) => write!(f, "object {} {}", id.index(), self.what),
            None => write!(f, "the root {}", self.what),
        }
    }
}

impl std::error::Error for InvalidObject {}

impl JsValue {
    /// The value `root`, which may refer to `objects` by their places.
    ///
    /// # Errors
    ///
    /// [`InvalidObject`] if an id is none of `objects`, or if a view does not lie within an
    /// `ArrayBuffer` at a multiple of its elements' size.
    pub fn new(objects: Vec<JsObject>, root: Item) -> Result<JsValue, InvalidObject> {
        let value = JsValue { objects, root };
        value.check()?;
        Ok(value)
    }

    /// A value whose objects were checked while they were made.
    pub(crate) fn of_checked(objects: Vec<JsObject>, root: Item) -> JsValue {
        let value = JsValue { objects, root };
        debug_assert_eq!(value.check(), Ok(()));
        value
    }

    /// The value itself.
    pub fn root(&self) -> &Item {
        &self.root
    }

    /// All objects. Some may be out of reach from the root.
    pub fn objects(&self) -> &[JsObject] {
        &self.objects
    }

    /// The root and the objects, to be changed and put together again by [`JsValue::new`].
    pub fn into_parts(self) -> (Vec<JsObject>, Item) {
        (self.objects, self.root)
    }

    /// The bytes that an `ArrayBuffer`, a typed array, a `DataView` or a `Buffer` shows.
    pub fn bytes(&self, object: ObjectId) -> Option<&[u8]> {
        match self.objects.get(object.0)? {
            JsObject::ArrayBuffer { bytes, .. } | JsObject::NodeView { bytes, .. } => Some(bytes),
            JsObject::View { buffer, offset, bytes: length, .. } => {
                self.bytes(*buffer)?.get(*offset..*offset + *length)
            }
            _ => None,
        }
    }

    /// How many places a walk may visit before it counts as one of a value made to be endless.
    ///
    /// A few objects that share each other can stand for a tree of any size. A value that is not
    /// made to harm shares little.
    pub(crate) fn visits_max(&self) -> usize {
        let places: usize = self.objects.iter().map(JsObject::places).sum();
        places.saturating_mul(64).max(1 << 20)
    }

    fn check(&self) -> Result<(), InvalidObject> {
        self.check_items([&self.root], None)?;
        for (index, object) in self.objects.iter().enumerate() {
            let id = Some(ObjectId(index));
            self.check_items(object.items(), id)?;
            self.check_object(object).map_err(|what| InvalidObject { what, object: id })?;
        }
        Ok(())
    }

    fn check_items<'a>(
        &self,
        items: impl IntoIterator<Item = &'a Item>,
        object: Option<ObjectId>,
    ) -> Result<(), InvalidObject> {
        let lost = |item: &&Item| matches!(item, Item::Object(id) if id.0 >= self.objects.len());
        match items.into_iter().find(lost) {
            Some(_) => Err(InvalidObject { what: "refers to no object", object }),
            None => Ok(()),
        }
    }

    fn check_object(&self, object: &JsObject) -> Result<(), &'static str> {
        match object {
            JsObject::ArrayBuffer { bytes, bytes_max: Some(max) } if *max < bytes.len() as u64 => {
                Err("is longer than it may be")
            }
            JsObject::NodeView { kind, bytes, .. } => check_span(*kind, 0, bytes.len(), bytes),
            JsObject::View { kind, buffer, offset, bytes, tracks_length } => {
                match self.objects.get(buffer.0) {
                    Some(JsObject::ArrayBuffer { bytes_max: None, .. }) if *tracks_length => {
                        Err("tracks the length of a buffer of fixed size")
                    }
                    Some(JsObject::ArrayBuffer { bytes: all, .. }) => {
                        check_span(*kind, *offset, *bytes, all)
                    }
                    _ => Err("shows no ArrayBuffer"),
                }
            }
            _ => Ok(()),
        }
    }
}

/// Whether a view of `kind` may show `bytes` at `offset` of `all`.
pub(crate) fn check_span(
    kind: ViewKind,
    offset: usize,
    bytes: usize,
    all: &[u8],
) -> Result<(), &'static str> {
    if offset > all.len() || bytes > all.len() - offset {
        Err("shows more than its buffer has")
    } else if !offset.is_multiple_of(kind.element_bytes())
        || !bytes.is_multiple_of(kind.element_bytes())
    {
        Err("shows a part of an element")
    } else {
        Ok(())
    }
}

impl Index<ObjectId> for JsValue {
    type Output = JsObject;

    /// # Panics
    ///
    /// If the id is of another value.
    fn index(&self, id: ObjectId) -> &JsObject {
        &self.objects[id.0]
    }
}

impl From<Item> for JsValue {
    /// # Panics
    ///
    /// If the item is an object, because the value has none.
    fn from(item: Item) -> JsValue {
        assert!(!matches!(item, Item::Object(_)), "an object needs its value");
        JsValue { objects: Vec::new(), root: item }
    }
}

impl From<&str> for Key {
    fn from(name: &str) -> Key {
        Key::String(name.into())
    }
}

impl From<&str> for Item {
    fn from(text: &str) -> Item {
        Item::String(text.into())
    }
}
