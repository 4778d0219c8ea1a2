//! Bytes to values.
//!
//! 1. Nothing is allocated from a length that was not compared with the bytes that are left, and
//!    no byte is read twice: the work and the memory are in proportion to the input. The values of
//!    version 13 that need a second reading are the exception.
//! 2. An object has its place before its contents are read, so that these may refer to it.
//! 3. Objects within objects are followed to [`DEPTH_MAX`], for the sake of the stack.
//!
//! It is more tolerant than V8 in two ways that harm nobody: a property may occur twice, and an
//! error may hold itself as its cause.

use crate::cursor::{Cursor, Malformed};
use crate::format;
use crate::number::Number;
use crate::string::JsString;
use crate::value::{
    ErrorClass, Item, JsError, JsObject, JsValue, Key, ObjectId, Property, check_span,
};

/// How many objects may lie within one another.
///
/// A level takes some hundred bytes of stack, and three thousand in a build without optimisation:
/// the deepest value is read by a thread of 1 MiB.
pub const DEPTH_MAX: usize = 256;

/// Reads a stored value.
///
/// # Errors
///
/// [`Malformed`] if the bytes are no value of the versions 13 to 16, if anything follows the
/// value, if it is nested more than [`DEPTH_MAX`] deep, or if it holds what only the program that
/// wrote it could read: shared memory, or an object of a host other than Deno and Node.
///
/// ```
/// let stored = b"\xff\x0fo\"\x04nameZ\x10\x05\0\0\0\0\0\0\0{\x01";
/// assert_eq!(icecore_v8::read(stored)?.to_string(), "{ name: 5n }");
/// # Ok::<(), icecore_v8::Malformed>(())
/// ```
pub fn read(bytes: &[u8]) -> Result<JsValue, Malformed> {
    let mut cursor = Cursor::new(bytes);
    let version = cursor.header()?;
    let has_view_flags = version >= format::VERSION_VIEW_FLAGS;
    let value = Source::new(cursor.clone(), has_view_flags).value();
    // For some months V8 wrote the flags of views under the version before theirs.
    match value {
        Err(error) if !has_view_flags => Source::new(cursor, true).value().map_err(|_| error),
        value => value,
    }
}

struct Source<'a> {
    cursor: Cursor<'a>,
    has_view_flags: bool,
    depth: usize,
    objects: Vec<JsObject>,
}

impl<'a> Source<'a> {
    fn new(cursor: Cursor<'a>, has_view_flags: bool) -> Source<'a> {
        Source { cursor, has_view_flags, depth: 0, objects: Vec::new() }
    }

    fn value(mut self) -> Result<JsValue, Malformed> {
        let root = self.item()?;
        self.cursor.end()?;
        Ok(JsValue::of_checked(self.objects, root))
    }

    /// Reads what stands in a place.
    fn item(&mut self) -> Result<Item, Malformed> {
        let malformed = self.cursor.malformed("has a tag that is not known");
        let tag = self.cursor.tag()?;
        if let Some(primitive) = self.primitive_after(tag)? {
            return Ok(primitive);
        }
        let object = if tag == format::REFERENCE {
            self.reference()?
        } else if self.depth == DEPTH_MAX {
            return Err(self.cursor.malformed("is nested too deep"));
        } else {
            self.depth += 1;
            let object = self.object_after(tag)?.ok_or(malformed)?;
            self.depth -= 1;
            object
        };
        let is_buffer = matches!(self.objects[object.0], JsObject::ArrayBuffer { .. });
        if is_buffer && self.cursor.peek_tag().is_ok_and(|tag| tag == format::VIEW) {
            return self.view(object).map(Item::Object);
        }
        Ok(Item::Object(object))
    }

    fn primitive_after(&mut self, tag: u8) -> Result<Option<Item>, Malformed> {
        Ok(Some(match tag {
            format::UNDEFINED => Item::Undefined,
            format::NULL => Item::Null,
            format::TRUE => Item::Bool(true),
            format::FALSE => Item::Bool(false),
            _ => match Number::read_after(tag, &mut self.cursor)? {
                Some(Number::Float(number)) => Item::Number(number),
                Some(Number::BigInt(number)) => Item::BigInt(number),
                None => return Ok(self.string_after(tag)?.map(Item::String)),
            },
        }))
    }

    fn reference(&mut self) -> Result<ObjectId, Malformed> {
        let malformed = self.cursor.malformed("refers to an object that is not there");
        let index = self.cursor.varint32()? as usize;
        if index < self.objects.len() { Ok(ObjectId(index)) } else { Err(malformed) }
    }

    /// Reads the object that `tag` begins, if it begins one.
    fn object_after(&mut self, tag: u8) -> Result<Option<ObjectId>, Malformed> {
        // A reference from within sees what stands in meanwhile, and only that it is no buffer.
        let id = ObjectId(self.objects.len());
        self.objects.push(JsObject::Boolean(false));
        let holder = match tag {
            format::OBJECT => self.plain(),
            format::DENSE_ARRAY => self.dense_array(),
            format::SPARSE_ARRAY => self.sparse_array(),
            format::MAP => self.map(),
            format::SET => self.set(),
            format::ERROR => self.error(),
            format::HOST => self.host(),
            _ => return Ok(self.put_leaf(id, tag)?.then_some(id)),
        };
        self.objects[id.0] = holder?;
        Ok(Some(id))
    }

    /// Reads an object that holds no others, and says whether `tag` begins one. Its variables are
    /// not on the stack while objects within objects are read.
    fn put_leaf(&mut self, id: ObjectId, tag: u8) -> Result<bool, Malformed> {
        self.objects[id.0] = match tag {
            format::DATE => JsObject::Date(self.cursor.f64()?),
            format::TRUE_OBJECT => JsObject::Boolean(true),
            format::FALSE_OBJECT => JsObject::Boolean(false),
            format::NUMBER_OBJECT => JsObject::Number(self.cursor.f64()?),
            format::BIGINT_OBJECT => JsObject::BigInt(self.cursor.bigint()?),
            format::STRING_OBJECT => JsObject::String(self.string()?),
            format::REGEXP => {
                JsObject::RegExp { source: self.string()?, flags: self.regexp_flags()? }
            }
            format::BUFFER => self.buffer(false)?,
            format::RESIZABLE_BUFFER => self.buffer(true)?,
            _ => return Ok(false),
        };
        Ok(true)
    }

    fn string_after(&mut self, tag: u8) -> Result<Option<JsString>, Malformed> {
        if !matches!(tag, format::ONE_BYTE_STRING | format::TWO_BYTE_STRING | format::UTF8_STRING) {
            return Ok(None);
        }
        let malformed = self.cursor.malformed("has a string of half units");
        let count = self.cursor.varint32()?;
        let bytes = self.cursor.bytes(count.into())?;
        Ok(Some(match tag {
            format::ONE_BYTE_STRING => JsString::from_latin1(bytes),
            format::UTF8_STRING => String::from_utf8_lossy(bytes).into_owned().into(),
            _ => {
                let (units, rest) = bytes.as_chunks::<2>();
                if !rest.is_empty() {
                    return Err(malformed);
                }
                let units: Vec<u16> = units.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
                JsString::from_utf16(&units)
            }
        }))
    }

    fn string(&mut self) -> Result<JsString, Malformed> {
        let malformed = self.cursor.malformed("has no string where one must be");
        let tag = self.cursor.tag()?;
        self.string_after(tag)?.ok_or(malformed)
    }

    /// Passes the tag `end` if it is next.
    fn ends_with(&mut self, end: u8) -> Result<bool, Malformed> {
        let ends = self.cursor.peek_tag()? == end;
        if ends {
            self.cursor.tag()?;
        }
        Ok(ends)
    }

    /// Reads a count that must be `count`.
    fn count(&mut self, count: usize) -> Result<(), Malformed> {
        let malformed = self.cursor.malformed("counts what it does not hold");
        if self.cursor.varint32()? as usize == count { Ok(()) } else { Err(malformed) }
    }

    fn plain(&mut self) -> Result<JsObject, Malformed> {
        self.properties(format::OBJECT_END).map(JsObject::Plain)
    }

    /// Reads properties to `end`, and their count after it.
    fn properties(&mut self, end: u8) -> Result<Vec<Property>, Malformed> {
        let mut properties = Vec::new();
        while !self.ends_with(end)? {
            let malformed = self.cursor.malformed("has a property without a name");
            let key = match self.item()? {
                Item::String(name) => Key::String(name),
                Item::Number(index) => Key::Number(index),
                _ => return Err(malformed),
            };
            properties.push((key, self.item()?));
        }
        self.count(properties.len())?;
        Ok(properties)
    }

    fn dense_array(&mut self) -> Result<JsObject, Malformed> {
        let length = self.cursor.varint32()? as usize;
        // Every element has at least one byte.
        if length > self.cursor.left() {
            return Err(self.cursor.malformed("is longer than its bytes"));
        }
        let mut elements = Vec::new();
        for _ in 0..length {
            let is_hole = self.ends_with(format::HOLE)?;
            elements.push(if is_hole { None } else { Some(self.item()?) });
        }
        let properties = self.properties(format::DENSE_ARRAY_END)?;
        self.count(length)?;
        Ok(JsObject::Array { elements, properties })
    }

    fn sparse_array(&mut self) -> Result<JsObject, Malformed> {
        let length = self.cursor.varint32()?;
        let properties = self.properties(format::SPARSE_ARRAY_END)?;
        self.count(length as usize)?;
        Ok(JsObject::SparseArray { length, properties })
    }

    fn map(&mut self) -> Result<JsObject, Malformed> {
        let mut entries = Vec::new();
        while !self.ends_with(format::MAP_END)? {
            entries.push((self.item()?, self.item()?));
        }
        self.count(entries.len() * 2)?;
        Ok(JsObject::Map(entries))
    }

    fn set(&mut self) -> Result<JsObject, Malformed> {
        let mut items = Vec::new();
        while !self.ends_with(format::SET_END)? {
            items.push(self.item()?);
        }
        self.count(items.len())?;
        Ok(JsObject::Set(items))
    }

    fn regexp_flags(&mut self) -> Result<u32, Malformed> {
        let malformed = self.cursor.malformed("has flags that are not known");
        let flags = self.cursor.varint32()?;
        if flags >> format::REGEXP_FLAGS.len() == 0 { Ok(flags) } else { Err(malformed) }
    }

    fn buffer(&mut self, is_resizable: bool) -> Result<JsObject, Malformed> {
        let malformed = self.cursor.malformed("has a buffer longer than it may be");
        let count = self.cursor.varint64()?;
        let bytes_max = if is_resizable { Some(self.cursor.varint64()?) } else { None };
        if bytes_max.is_some_and(|max| max < count) {
            return Err(malformed);
        }
        Ok(JsObject::ArrayBuffer { bytes: self.cursor.bytes(count)?.to_vec(), bytes_max })
    }

    /// Reads the view of `buffer` that is next.
    fn view(&mut self, buffer: ObjectId) -> Result<ObjectId, Malformed> {
        self.cursor.tag()?;
        let malformed = self.cursor.malformed("has a view of a kind that is not known");
        let kind = format::view_kind(self.cursor.u8()?).ok_or(malformed)?;
        let malformed = self.cursor.malformed("has a view that does not fit its buffer");
        let offset = usize::try_from(self.cursor.varint64()?).map_err(|_| malformed)?;
        let bytes = usize::try_from(self.cursor.varint64()?).map_err(|_| malformed)?;
        let flags = if self.has_view_flags { self.cursor.varint32()? } else { 0 };
        let tracks_length = flags & format::VIEW_TRACKS_LENGTH != 0;
        let JsObject::ArrayBuffer { bytes: all, bytes_max } = &self.objects[buffer.0] else {
            return Err(malformed);
        };
        check_span(kind, offset, bytes, all).map_err(|what| Malformed { what, ..malformed })?;
        let is_resizable = flags & format::VIEW_IS_RESIZABLE != 0;
        if is_resizable != bytes_max.is_some() || tracks_length && !is_resizable {
            return Err(malformed);
        }
        let id = ObjectId(self.objects.len());
        self.objects.push(JsObject::View { kind, buffer, offset, bytes, tracks_length });
        Ok(id)
    }

    fn error(&mut self) -> Result<JsObject, Malformed> {
        let class = ErrorClass::Error;
        let mut error = JsError { class, message: None, stack: None, cause: None };
        loop {
            let malformed = self.cursor.malformed("has an error with a detail that is not known");
            match self.cursor.u8()? {
                format::ERROR_END => return Ok(JsObject::Error(Box::new(error))),
                format::ERROR_MESSAGE => error.message = Some(self.string()?),
                format::ERROR_STACK => error.stack = Some(self.string()?),
                format::ERROR_CAUSE => error.cause = Some(self.item()?),
                detail => error.class = format::error_class(detail).ok_or(malformed)?,
            }
        }
    }

    fn host(&mut self) -> Result<JsObject, Malformed> {
        let malformed = self.cursor.malformed("has an object of a host that is not known");
        let number = self.cursor.varint32()?;
        if number == format::HOST_DENO {
            return self.item().map(JsObject::DenoHost);
        }
        let (kind, is_buffer) = format::node_kind(number).ok_or(malformed)?;
        let count = self.cursor.varint32()?;
        let bytes = self.cursor.bytes(count.into())?;
        check_span(kind, 0, bytes.len(), bytes).map_err(|what| Malformed { what, ..malformed })?;
        Ok(JsObject::NodeView { kind, is_buffer, bytes: bytes.to_vec() })
    }
}

#[cfg(test)]
mod tests;
