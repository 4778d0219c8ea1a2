//! Rust's types to values.
//!
//! An object takes its place when it begins and is put there when it ends, so that places are in
//! the order of the bytes.

use num_bigint::BigInt;
use serde::ser::{self, Serialize};

use super::{Error, INTEGER_MAX};
use crate::read::DEPTH_MAX;
use crate::value::{Item, JsObject, JsValue, Key, ObjectId, Property, ViewKind};

/// Makes a value of JavaScript.
pub(super) fn value<T: Serialize + ?Sized>(value: &T) -> Result<JsValue, Error> {
    let mut objects = Vec::new();
    let root = value.serialize(Sink { objects: &mut objects, depth: 0 })?;
    Ok(JsValue::of_checked(objects, root))
}

/// Takes what stands in one place.
struct Sink<'a> {
    objects: &'a mut Vec<JsObject>,
    depth: usize,
}

/// An object that has begun, and the place of the object of its enum variant around it.
struct Begun<'a> {
    objects: &'a mut Vec<JsObject>,
    depth: usize,
    id: ObjectId,
    variant: Option<(ObjectId, &'static str)>,
}

impl<'a> Sink<'a> {
    fn begin(self) -> Result<Begun<'a>, Error> {
        if self.depth == DEPTH_MAX {
            return Err(Error::TooDeep);
        }
        let id = take_place(self.objects);
        Ok(Begun { objects: self.objects, depth: self.depth + 1, id, variant: None })
    }

    fn begin_variant(self, name: &'static str) -> Result<Begun<'a>, Error> {
        let around = self.begin()?;
        let inner = Sink { objects: around.objects, depth: around.depth }.begin()?;
        Ok(Begun { variant: Some((around.id, name)), ..inner })
    }
}

fn take_place(objects: &mut Vec<JsObject>) -> ObjectId {
    objects.push(JsObject::Plain(Vec::new()));
    ObjectId(objects.len() - 1)
}

impl Begun<'_> {
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<Item, Error> {
        value.serialize(Sink { objects: self.objects, depth: self.depth })
    }

    fn end(self, object: JsObject) -> Item {
        self.objects[self.id.0] = object;
        let item = Item::Object(self.id);
        match self.variant {
            None => item,
            Some((around, name)) => {
                self.objects[around.0] = JsObject::Plain(vec![(Key::from(name), item)]);
                Item::Object(around)
            }
        }
    }
}

fn integer(number: impl Into<BigInt> + Copy) -> Item {
    let big = number.into();
    match i64::try_from(&big) {
        #[expect(clippy::cast_precision_loss, reason = "a number holds all of these")]
        Ok(small) if small.unsigned_abs() <= INTEGER_MAX => Item::Number(small as f64),
        _ => Item::BigInt(big),
    }
}

macro_rules! serialize_integers {
    ($($method:ident: $type:ty,)*) => {
        $(fn $method(self, number: $type) -> Result<Item, Error> {
            Ok(integer(number))
        })*
    };
}

impl<'a> ser::Serializer for Sink<'a> {
    type Ok = Item;
    type Error = Error;
    type SerializeSeq = Elements<'a>;
    type SerializeTuple = Elements<'a>;
    type SerializeTupleStruct = Elements<'a>;
    type SerializeTupleVariant = Elements<'a>;
    type SerializeMap = Entries<'a>;
    type SerializeStruct = Properties<'a>;
    type SerializeStructVariant = Properties<'a>;

    serialize_integers! {
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_i128: i128, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32,
        serialize_u64: u64, serialize_u128: u128,
    }

    fn serialize_bool(self, value: bool) -> Result<Item, Error> {
        Ok(Item::Bool(value))
    }

    fn serialize_f32(self, number: f32) -> Result<Item, Error> {
        Ok(Item::Number(number.into()))
    }

    fn serialize_f64(self, number: f64) -> Result<Item, Error> {
        Ok(Item::Number(number))
    }

    fn serialize_char(self, value: char) -> Result<Item, Error> {
        Ok(Item::String(value.to_string().into()))
    }

    fn serialize_str(self, text: &str) -> Result<Item, Error> {
        Ok(Item::from(text))
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<Item, Error> {
        let buffer = JsObject::ArrayBuffer { bytes: bytes.to_vec(), bytes_max: None };
        let at = take_place(self.objects);
        self.objects[at.0] = buffer;
        self.objects.push(JsObject::View {
            kind: ViewKind::Uint8Array,
            buffer: at,
            offset: 0,
            bytes: bytes.len(),
            tracks_length: false,
        });
        Ok(Item::Object(ObjectId(at.0 + 1)))
    }

    fn serialize_none(self) -> Result<Item, Error> {
        Ok(Item::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Item, Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Item, Error> {
        Ok(Item::Null)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Item, Error> {
        Ok(Item::Null)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<Item, Error> {
        Ok(Item::from(variant))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Item, Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Item, Error> {
        let mut begun = self.begin()?;
        let item = begun.item(value)?;
        Ok(begun.end(JsObject::Plain(vec![(Key::from(variant), item)])))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Elements<'a>, Error> {
        Ok(Elements { begun: self.begin()?, elements: Vec::new() })
    }

    fn serialize_tuple(self, count: usize) -> Result<Elements<'a>, Error> {
        self.serialize_seq(Some(count))
    }

    fn serialize_tuple_struct(self, _: &'static str, count: usize) -> Result<Elements<'a>, Error> {
        self.serialize_seq(Some(count))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Elements<'a>, Error> {
        Ok(Elements { begun: self.begin_variant(variant)?, elements: Vec::new() })
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Entries<'a>, Error> {
        Ok(Entries { begun: self.begin()?, entries: Vec::new(), key: None })
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Properties<'a>, Error> {
        Ok(Properties { begun: self.begin()?, properties: Vec::new() })
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Properties<'a>, Error> {
        Ok(Properties { begun: self.begin_variant(variant)?, properties: Vec::new() })
    }
}

/// An array that has begun.
struct Elements<'a> {
    begun: Begun<'a>,
    elements: Vec<Option<Item>>,
}

impl Elements<'_> {
    fn add<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        let item = self.begun.item(value)?;
        self.elements.push(Some(item));
        Ok(())
    }

    fn finish(self) -> Item {
        let elements = self.elements;
        self.begun.end(JsObject::Array { elements, properties: Vec::new() })
    }
}

macro_rules! serialize_elements {
    ($($trait:ident, $method:ident;)*) => {
        $(impl ser::$trait for Elements<'_> {
            type Ok = Item;
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                self.add(value)
            }

            fn end(self) -> Result<Item, Error> {
                Ok(self.finish())
            }
        })*
    };
}

serialize_elements! {
    SerializeSeq, serialize_element;
    SerializeTuple, serialize_element;
    SerializeTupleStruct, serialize_field;
    SerializeTupleVariant, serialize_field;
}

/// A plain object that has begun.
struct Properties<'a> {
    begun: Begun<'a>,
    properties: Vec<Property>,
}

macro_rules! serialize_properties {
    ($($trait:ident)*) => {
        $(impl ser::$trait for Properties<'_> {
            type Ok = Item;
            type Error = Error;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), Error> {
                let item = self.begun.item(value)?;
                self.properties.push((Key::from(name), item));
                Ok(())
            }

            fn end(self) -> Result<Item, Error> {
                Ok(self.begun.end(JsObject::Plain(self.properties)))
            }
        })*
    };
}

serialize_properties! { SerializeStruct SerializeStructVariant }

/// A map that has begun. Only its end shows whether it is a plain object.
struct Entries<'a> {
    begun: Begun<'a>,
    entries: Vec<(Item, Item)>,
    key: Option<Item>,
}

impl ser::SerializeMap for Entries<'_> {
    type Ok = Item;
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.key = Some(self.begun.item(key)?);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        let key = self.key.take();
        let key = key.ok_or_else(|| Error::Refused("a value of a map before its key".into()))?;
        let value = self.begun.item(value)?;
        self.entries.push((key, value));
        Ok(())
    }

    fn end(self) -> Result<Item, Error> {
        let is_plain = self.entries.iter().all(|(key, _)| matches!(key, Item::String(_)));
        if !is_plain {
            return Ok(self.begun.end(JsObject::Map(self.entries)));
        }
        let named = self.entries.into_iter().filter_map(|(key, item)| match key {
            Item::String(name) => Some((Key::String(name), item)),
            _ => None,
        });
        let properties = named.collect();
        Ok(self.begun.end(JsObject::Plain(properties)))
    }
}
