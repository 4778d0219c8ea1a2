//! Values to Rust's types.
//!
//! A value may hold itself, or stand for a tree of any size. The walk is therefore bounded as
//! everywhere: in depth by [`DEPTH_MAX`], in all by [`JsValue::visits_max`] places.

mod name;

use std::cell::Cell;

use num_bigint::BigInt;
use serde::de::value::BorrowedStrDeserializer;
use serde::de::{self, Deserialize, DeserializeSeed, EnumAccess, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

use self::name::Name;
use super::{Error, INTEGER_MAX};
use crate::element::element;
use crate::read::DEPTH_MAX;
use crate::string::JsString;
use crate::text;
use crate::value::{Item, JsObject, JsValue, Key, ObjectId, Property, ViewKind};

/// Reads a type from a value.
pub(super) fn value<'de, T: Deserialize<'de>>(value: &'de JsValue) -> Result<T, Error> {
    let walk = Walk { depth: Cell::new(0), visits_left: Cell::new(value.visits_max()) };
    T::deserialize(Source { value, item: value.root(), walk: &walk })
}

/// How far the walk has gone.
struct Walk {
    depth: Cell<usize>,
    visits_left: Cell<usize>,
}

impl Walk {
    /// Walks through an object of so many places.
    fn through<T>(
        &self,
        places: usize,
        walk: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        if self.depth.get() == DEPTH_MAX {
            return Err(Error::TooDeep);
        }
        let left = self.visits_left.get().checked_sub(places).ok_or(Error::TooLong)?;
        self.visits_left.set(left);
        self.depth.set(self.depth.get() + 1);
        let result = walk();
        self.depth.set(self.depth.get() - 1);
        result
    }
}

/// What stands in one place.
#[derive(Clone, Copy)]
struct Source<'de, 'w> {
    value: &'de JsValue,
    item: &'de Item,
    walk: &'w Walk,
}

fn visit_number<'de, V: Visitor<'de>>(number: f64, visitor: V) -> Result<V::Value, Error> {
    #[expect(clippy::cast_possible_truncation, reason = "compared with what it came from")]
    let whole = number as i64;
    #[expect(clippy::cast_precision_loss, reason = "a number holds all of these")]
    let is_whole =
        whole.unsigned_abs() <= INTEGER_MAX && (whole as f64).to_bits() == number.to_bits();
    match u64::try_from(whole) {
        Ok(whole) if is_whole => visitor.visit_u64(whole),
        Err(_) if is_whole => visitor.visit_i64(whole),
        _ => visitor.visit_f64(number),
    }
}

fn visit_bigint<'de, V: Visitor<'de>>(number: &BigInt, visitor: V) -> Result<V::Value, Error> {
    if let Ok(number) = u64::try_from(number) {
        visitor.visit_u64(number)
    } else if let Ok(number) = i64::try_from(number) {
        visitor.visit_i64(number)
    } else if let Ok(number) = i128::try_from(number) {
        visitor.visit_i128(number)
    } else if let Ok(number) = u128::try_from(number) {
        visitor.visit_u128(number)
    } else {
        Err(Error::Unsupported { what: "a bigint of more than 128 bits" })
    }
}

fn visit_string<'de, V: Visitor<'de>>(
    string: &'de JsString,
    visitor: V,
) -> Result<V::Value, Error> {
    match string.as_str() {
        Some(text) => visitor.visit_borrowed_str(text),
        None => Err(Error::Unsupported { what: "a string with a lone surrogate" }),
    }
}

impl<'de> Source<'de, '_> {
    fn object(&self) -> Option<(ObjectId, &'de JsObject)> {
        match self.item {
            Item::Object(id) => Some((*id, &self.value[*id])),
            _ => None,
        }
    }

    fn at(&self, item: &'de Item) -> Self {
        Source { item, ..*self }
    }

    fn visit_object<V: Visitor<'de>>(
        self,
        id: ObjectId,
        object: &'de JsObject,
        visitor: V,
    ) -> Result<V::Value, Error> {
        match object {
            JsObject::Plain(properties) => {
                let pairs = properties.iter().map(|(key, item)| (MapKey::Name(key), item));
                visitor.visit_map(Pairs { source: self, pairs, next: None })
            }
            JsObject::Map(entries) => {
                let pairs = entries.iter().map(|(key, item)| (MapKey::Item(key), item));
                visitor.visit_map(Pairs { source: self, pairs, next: None })
            }
            JsObject::Array { elements, .. } => {
                let items = elements.iter().map(|e| e.as_ref().unwrap_or(&Item::Undefined));
                visitor.visit_seq(Items { source: self, items })
            }
            JsObject::SparseArray { length, properties } => {
                let items = self.sparse(*length, properties)?.into_iter();
                visitor.visit_seq(Items { source: self, items })
            }
            JsObject::Set(items) => visitor.visit_seq(Items { source: self, items: items.iter() }),
            JsObject::Date(number) | JsObject::Number(number) => visit_number(*number, visitor),
            JsObject::Boolean(value) => visitor.visit_bool(*value),
            JsObject::BigInt(number) => visit_bigint(number, visitor),
            JsObject::String(string) => visit_string(string, visitor),
            JsObject::View { kind, .. } | JsObject::NodeView { kind, .. }
                if *kind != ViewKind::DataView && kind.element_bytes() > 1
                    || *kind == ViewKind::Int8Array =>
            {
                self.visit_elements(id, *kind, visitor)
            }
            JsObject::ArrayBuffer { .. } | JsObject::View { .. } | JsObject::NodeView { .. } => {
                visitor.visit_borrowed_bytes(self.value.bytes(id).unwrap_or_default())
            }
            JsObject::RegExp { .. } | JsObject::Error(_) | JsObject::DenoHost(_) => {
                Err(Error::Unsupported { what: object.class() })
            }
        }
    }

    fn visit_elements<V: Visitor<'de>>(
        &self,
        id: ObjectId,
        kind: ViewKind,
        visitor: V,
    ) -> Result<V::Value, Error> {
        let bytes = self.value.bytes(id).unwrap_or_default();
        let elements = bytes.chunks_exact(kind.element_bytes());
        visitor.visit_seq(Elements { kind, elements })
    }

    /// The elements of a sparse array, in their order.
    fn sparse(&self, length: u32, properties: &'de [Property]) -> Result<Vec<&'de Item>, Error> {
        let length = length as usize;
        // Its length costs nothing in the bytes, but here.
        self.walk.through(length, || Ok(()))?;
        let mut elements = vec![&Item::Undefined; length];
        for (key, item) in properties {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "saturates"
            )]
            if let Key::Number(index) = key
                && let Some(element) = elements.get_mut(*index as usize)
            {
                *element = item;
            }
        }
        Ok(elements)
    }
}

impl<'de> de::Deserializer<'de> for Source<'de, '_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.item {
            Item::Undefined | Item::Null => visitor.visit_unit(),
            Item::Bool(value) => visitor.visit_bool(*value),
            Item::Number(number) => visit_number(*number, visitor),
            Item::BigInt(number) => visit_bigint(number, visitor),
            Item::String(string) => visit_string(string, visitor),
            Item::Object(id) => {
                let object = &self.value[*id];
                self.walk.through(object.places(), || self.visit_object(*id, object, visitor))
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.item {
            Item::Undefined | Item::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.object() {
            Some((_, JsObject::Date(time))) => match text::date(*time) {
                Some(date) => visitor.visit_string(date),
                None => Err(Error::Unsupported { what: "an invalid Date" }),
            },
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.object().and_then(|(id, _)| self.value.bytes(id)) {
            Some(bytes) => visitor.visit_borrowed_bytes(bytes),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.object() {
            Some((id, JsObject::View { kind, .. } | JsObject::NodeView { kind, .. })) => {
                let places = self.value[id].places();
                self.walk.through(places, || self.visit_elements(id, *kind, visitor))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match (self.item, self.object()) {
            (Item::String(name), _) | (_, Some((_, JsObject::String(name)))) => {
                visitor.visit_enum(VariantName { name, content: None })
            }
            (_, Some((_, JsObject::Plain(properties)))) => match properties.as_slice() {
                [(Key::String(name), item)] => self.walk.through(1, || {
                    visitor.visit_enum(VariantName { name, content: Some(self.at(item)) })
                }),
                _ => Err(de::Error::invalid_value(
                    Unexpected::Map,
                    &"an object with the variant as its one property",
                )),
            },
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char unit unit_struct map struct
        identifier
    }
}

/// The items of an array or a `Set`.
struct Items<'de, 'w, I> {
    source: Source<'de, 'w>,
    items: I,
}

impl<'de, I: Iterator<Item = &'de Item>> de::SeqAccess<'de> for Items<'de, '_, I> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        self.items.next().map(|item| seed.deserialize(self.source.at(item))).transpose()
    }
}

/// The elements of a typed array.
struct Elements<'de> {
    kind: ViewKind,
    elements: std::slice::ChunksExact<'de, u8>,
}

impl<'de> de::SeqAccess<'de> for Elements<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let Some(bytes) = self.elements.next() else { return Ok(None) };
        seed.deserialize(Element(element(self.kind, bytes))).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.elements.len())
    }
}

/// An element of a typed array.
struct Element(Item);

impl<'de> de::Deserializer<'de> for Element {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.0 {
            Item::BigInt(number) => visit_bigint(number, visitor),
            Item::Number(number) => visit_number(*number, visitor),
            _ => unreachable!("elements are numbers and bigints"),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// What stands before a value in a map.
#[derive(Clone, Copy)]
enum MapKey<'de> {
    Name(&'de Key),
    Item(&'de Item),
}

/// The pairs of an object or a `Map`.
struct Pairs<'de, 'w, I> {
    source: Source<'de, 'w>,
    pairs: I,
    next: Option<&'de Item>,
}

impl<'de, I> de::MapAccess<'de> for Pairs<'de, '_, I>
where
    I: Iterator<Item = (MapKey<'de>, &'de Item)>,
{
    type Error = Error;

    fn next_key_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let Some((key, item)) = self.pairs.next() else { return Ok(None) };
        self.next = Some(item);
        match key {
            MapKey::Name(key) => seed.deserialize(Name(key)),
            MapKey::Item(key) => seed.deserialize(self.source.at(key)),
        }
        .map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        let item = self.next.take();
        let item = item.ok_or_else(|| Error::Refused("a value of a map before its key".into()))?;
        seed.deserialize(self.source.at(item))
    }
}

/// A variant's name, and what it holds.
struct VariantName<'de, 'w> {
    name: &'de JsString,
    content: Option<Source<'de, 'w>>,
}

impl<'de, 'w> EnumAccess<'de> for VariantName<'de, 'w> {
    type Error = Error;
    type Variant = Content<'de, 'w>;

    fn variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<(T::Value, Content<'de, 'w>), Error> {
        let unsupported = Error::Unsupported { what: "a string with a lone surrogate" };
        let name = self.name.as_str().ok_or(unsupported)?;
        let variant = seed.deserialize(BorrowedStrDeserializer::<Error>::new(name))?;
        Ok((variant, Content(self.content)))
    }
}

/// What a variant holds, if anything.
struct Content<'de, 'w>(Option<Source<'de, 'w>>);

impl<'de, 'w> Content<'de, 'w> {
    fn some(self) -> Result<Source<'de, 'w>, Error> {
        let message = || Error::Refused("a variant without its content".into());
        self.0.ok_or_else(message)
    }
}

impl<'de> de::VariantAccess<'de> for Content<'de, '_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        self.0.map_or(Ok(()), Deserialize::deserialize)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self.some()?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        de::Deserializer::deserialize_seq(self.some()?, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        de::Deserializer::deserialize_map(self.some()?, visitor)
    }
}
