//! Values to bytes.
//!
//! 1. Objects get their ids in the order in which they begin in the bytes, as every reader counts
//!    them; objects out of the root's reach are not written.
//! 2. What is to be written is kept on a stack of its own, so that any value can be written,
//!    however deep it is. Readers have limits: see [`DEPTH_MAX`](crate::read::DEPTH_MAX).
//! 3. Numbers, strings and objects take the form that V8 gives them: an integer of 32 bits is
//!    written as one, a string of Latin-1 with one byte per character, and units of 16 bits lie at
//!    even places.

use crate::format;
use crate::number::put_bigint;
use crate::string::JsString;
use crate::value::{Item, JsError, JsObject, JsValue, Key, ObjectId, Property};

/// Writes a value in version 15, which Deno and Node read.
///
/// ```
/// let stored = icecore_v8::write(&icecore_v8::Item::Number(5.0).into());
/// assert_eq!(stored, b"\xff\x0fI\x0a");
/// ```
pub fn write(value: &JsValue) -> Vec<u8> {
    let mut sink =
        Sink { value, out: Vec::new(), ids: vec![None; value.objects().len()], ids_given: 0 };
    format::put_header(&mut sink.out);
    let mut steps = vec![Step::Item(value.root())];
    while let Some(step) = steps.pop() {
        sink.step(step, &mut steps);
    }
    sink.out
}

/// What is still to be written.
enum Step<'a> {
    Item(&'a Item),
    Key(&'a Key),
    Byte(u8),
    Count(u64),
    Stack(&'a JsString),
}

struct Sink<'a> {
    value: &'a JsValue,
    out: Vec<u8>,
    /// By place in the value: the id in the bytes.
    ids: Vec<Option<u64>>,
    ids_given: u64,
}

impl<'a> Sink<'a> {
    fn step(&mut self, step: Step<'a>, steps: &mut Vec<Step<'a>>) {
        match step {
            Step::Byte(byte) => self.out.push(byte),
            Step::Count(count) => self.varint(count),
            Step::Stack(stack) => {
                self.out.push(format::ERROR_STACK);
                self.string(stack);
            }
            Step::Key(Key::String(name)) => self.string(name),
            Step::Key(Key::Number(index)) => self.number(*index),
            Step::Item(item) => match item {
                Item::Undefined => self.out.push(format::UNDEFINED),
                Item::Null => self.out.push(format::NULL),
                Item::Bool(true) => self.out.push(format::TRUE),
                Item::Bool(false) => self.out.push(format::FALSE),
                Item::Number(number) => self.number(*number),
                Item::BigInt(number) => {
                    self.out.push(format::BIGINT);
                    put_bigint(&mut self.out, number);
                }
                Item::String(string) => self.string(string),
                Item::Object(id) => self.object(*id, steps),
            },
        }
    }

    fn varint(&mut self, value: u64) {
        format::put_varint(&mut self.out, value);
    }

    fn number(&mut self, number: f64) {
        #[expect(clippy::cast_possible_truncation, reason = "compared with what it came from")]
        let whole = number as i32;
        if f64::from(whole).to_bits() == number.to_bits() {
            self.out.push(format::INT32);
            self.varint(u64::from((whole << 1 ^ whole >> 31).cast_unsigned()));
        } else {
            self.out.push(format::DOUBLE);
            self.out.extend(number.to_le_bytes());
        }
    }

    fn string(&mut self, string: &JsString) {
        if let Some(bytes) = string.to_latin1() {
            self.out.push(format::ONE_BYTE_STRING);
            self.varint(bytes.len() as u64);
            return self.out.extend(bytes);
        }
        let units = string.to_utf16();
        let mut head = vec![format::TWO_BYTE_STRING];
        format::put_varint(&mut head, units.len() as u64 * 2);
        if !(self.out.len() + head.len()).is_multiple_of(2) {
            self.out.push(format::PADDING);
        }
        self.out.extend(head);
        self.out.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
    }

    fn object(&mut self, id: ObjectId, steps: &mut Vec<Step<'a>>) {
        if let Some(id) = self.ids[id.0] {
            self.out.push(format::REFERENCE);
            return self.varint(id);
        }
        let object = &self.value[id];
        if let JsObject::View { buffer, .. } = object {
            // The buffer holds nothing, so it is written whole here, and has its id first.
            self.object(*buffer, steps);
        }
        self.ids[id.0] = Some(self.ids_given);
        self.ids_given += 1;
        let first = steps.len();
        self.begin(object, steps);
        // The stack gives back the last first.
        steps[first..].reverse();
    }

    /// Writes the beginning of an object, and plans the rest in the order of the bytes.
    fn begin(&mut self, object: &'a JsObject, steps: &mut Vec<Step<'a>>) {
        match object {
            JsObject::Plain(properties) => {
                self.out.push(format::OBJECT);
                plan_properties(properties, format::OBJECT_END, steps);
            }
            JsObject::Array { elements, properties } => {
                self.out.push(format::DENSE_ARRAY);
                self.varint(elements.len() as u64);
                steps.extend(elements.iter().map(|element| match element {
                    Some(item) => Step::Item(item),
                    None => Step::Byte(format::HOLE),
                }));
                plan_properties(properties, format::DENSE_ARRAY_END, steps);
                steps.push(Step::Count(elements.len() as u64));
            }
            JsObject::SparseArray { length, properties } => {
                self.out.push(format::SPARSE_ARRAY);
                self.varint(u64::from(*length));
                plan_properties(properties, format::SPARSE_ARRAY_END, steps);
                steps.push(Step::Count(u64::from(*length)));
            }
            JsObject::Map(entries) => {
                self.out.push(format::MAP);
                steps.extend(entries.iter().flat_map(|(k, v)| [Step::Item(k), Step::Item(v)]));
                steps.extend([Step::Byte(format::MAP_END), Step::Count(entries.len() as u64 * 2)]);
            }
            JsObject::Set(items) => {
                self.out.push(format::SET);
                steps.extend(items.iter().map(Step::Item));
                steps.extend([Step::Byte(format::SET_END), Step::Count(items.len() as u64)]);
            }
            JsObject::Error(error) => self.error(error, steps),
            JsObject::DenoHost(item) => {
                self.out.push(format::HOST);
                self.varint(u64::from(format::HOST_DENO));
                steps.push(Step::Item(item));
            }
            _ => self.leaf(object),
        }
    }

    /// Writes an object that holds no others.
    fn leaf(&mut self, object: &JsObject) {
        match object {
            JsObject::Date(time) => self.tagged(format::DATE, &time.to_le_bytes()),
            JsObject::Boolean(true) => self.out.push(format::TRUE_OBJECT),
            JsObject::Boolean(false) => self.out.push(format::FALSE_OBJECT),
            JsObject::Number(number) => self.tagged(format::NUMBER_OBJECT, &number.to_le_bytes()),
            JsObject::BigInt(number) => {
                self.out.push(format::BIGINT_OBJECT);
                put_bigint(&mut self.out, number);
            }
            JsObject::String(string) => {
                self.out.push(format::STRING_OBJECT);
                self.string(string);
            }
            JsObject::RegExp { source, flags } => {
                self.out.push(format::REGEXP);
                self.string(source);
                self.varint(u64::from(*flags));
            }
            JsObject::ArrayBuffer { bytes, bytes_max } => {
                let is_resizable = bytes_max.is_some();
                self.out.push(if is_resizable { format::RESIZABLE_BUFFER } else { format::BUFFER });
                self.varint(bytes.len() as u64);
                if let Some(max) = bytes_max {
                    self.varint(*max);
                }
                self.out.extend(bytes);
            }
            JsObject::View { kind, buffer, offset, bytes, tracks_length } => {
                self.tagged(format::VIEW, &[format::view_tag(*kind).0]);
                self.varint(*offset as u64);
                self.varint(*bytes as u64);
                self.varint(u64::from(self.view_flags(*buffer, *tracks_length)));
            }
            JsObject::NodeView { kind, is_buffer, bytes } => {
                let number =
                    if *is_buffer { format::HOST_BUFFER } else { format::view_tag(*kind).1 };
                self.out.push(format::HOST);
                self.varint(u64::from(number));
                self.varint(bytes.len() as u64);
                self.out.extend(bytes);
            }
            _ => unreachable!("objects that hold others are begun"),
        }
    }

    fn tagged(&mut self, tag: u8, bytes: &[u8]) {
        self.out.push(tag);
        self.out.extend(bytes);
    }

    fn view_flags(&self, buffer: ObjectId, tracks_length: bool) -> u32 {
        match &self.value[buffer] {
            JsObject::ArrayBuffer { bytes_max: Some(_), .. } if tracks_length => {
                format::VIEW_IS_RESIZABLE | format::VIEW_TRACKS_LENGTH
            }
            JsObject::ArrayBuffer { bytes_max: Some(_), .. } => format::VIEW_IS_RESIZABLE,
            _ => 0,
        }
    }

    fn error(&mut self, error: &'a JsError, steps: &mut Vec<Step<'a>>) {
        self.out.push(format::ERROR);
        self.out.extend(format::error_tag(error.class));
        if let Some(message) = &error.message {
            self.out.push(format::ERROR_MESSAGE);
            self.string(message);
        }
        if let Some(cause) = &error.cause {
            steps.extend([Step::Byte(format::ERROR_CAUSE), Step::Item(cause)]);
        }
        steps.extend(error.stack.iter().map(Step::Stack));
        steps.push(Step::Byte(format::ERROR_END));
    }
}

fn plan_properties<'a>(properties: &'a [Property], end: u8, steps: &mut Vec<Step<'a>>) {
    steps.extend(properties.iter().flat_map(|(key, item)| [Step::Key(key), Step::Item(item)]));
    steps.extend([Step::Byte(end), Step::Count(properties.len() as u64)]);
}

#[cfg(test)]
mod tests;
