//! Values as a console shows them.
//!
//! The text is that of Deno's console, on one line and in full, with these differences: strings
//! are always in double quotes, dates and boxed primitives are the expressions that make them, and
//! an error is shown without its stack.
//!
//! 1. An object that holds itself is marked `<ref *1>` where it begins and `[Circular *1]` where it
//!    recurs. An object that merely stands in several places is shown in each.
//! 2. The text ends, whatever the value: what is nested deeper than [`DEPTH_MAX`] is `…`, and so is
//!    the rest of a value that repeats its objects as if it were made to be endless.
//! 3. The text is found out twice. The first time finds which objects hold themselves, which must
//!    be said before they are shown.

use std::fmt::{self, Write};

use crate::element::element;
use crate::format::REGEXP_FLAGS;
use crate::read::DEPTH_MAX;
use crate::string::JsString;
use crate::text;
use crate::value::{Item, JsError, JsObject, JsValue, Key, ObjectId, Property, ViewKind};

impl fmt::Display for JsValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = Printer::new(self, Nowhere, Vec::new());
        first.item(self.root())?;
        Printer::new(self, f, first.circular).item(self.root())
    }
}

/// Takes text and forgets it.
struct Nowhere;

impl Write for Nowhere {
    fn write_str(&mut self, _: &str) -> fmt::Result {
        Ok(())
    }
}

struct Printer<'a, W> {
    value: &'a JsValue,
    out: W,
    /// The objects within which the next one lies.
    path: Vec<ObjectId>,
    /// The objects that hold themselves, in the order of their numbers.
    circular: Vec<ObjectId>,
    visits_left: usize,
}

impl<'a, W: Write> Printer<'a, W> {
    fn new(value: &'a JsValue, out: W, circular: Vec<ObjectId>) -> Printer<'a, W> {
        Printer { value, out, path: Vec::new(), circular, visits_left: value.visits_max() }
    }

    fn item(&mut self, item: &'a Item) -> fmt::Result {
        match item {
            Item::Object(id) => self.object_once(*id),
            primitive => self.primitive(primitive),
        }
    }

    fn primitive(&mut self, item: &Item) -> fmt::Result {
        match item {
            Item::Undefined => self.out.write_str("undefined"),
            Item::Null => self.out.write_str("null"),
            Item::Bool(value) => write!(self.out, "{value}"),
            Item::Number(number) => self.out.write_str(&text::number(*number)),
            Item::BigInt(number) => write!(self.out, "{number}n"),
            Item::String(string) => self.quoted(string),
            Item::Object(_) => unreachable!("an object is no primitive"),
        }
    }

    /// Shows an object, or where it is shown already.
    fn object_once(&mut self, id: ObjectId) -> fmt::Result {
        if self.path.contains(&id) {
            let number = self.circular.iter().position(|circular| *circular == id);
            let number = number.unwrap_or_else(|| {
                self.circular.push(id);
                self.circular.len() - 1
            });
            return write!(self.out, "[Circular *{}]", number + 1);
        }
        let object = &self.value[id];
        let places = object.places();
        if self.path.len() == DEPTH_MAX || places > self.visits_left {
            self.visits_left = 0;
            return self.out.write_char('…');
        }
        self.visits_left -= places;
        if let Some(number) = self.circular.iter().position(|circular| *circular == id) {
            write!(self.out, "<ref *{}> ", number + 1)?;
        }
        self.path.push(id);
        self.object(object)?;
        self.path.pop();
        Ok(())
    }

    fn object(&mut self, object: &'a JsObject) -> fmt::Result {
        match object {
            JsObject::Plain(properties) => self.braces("", properties),
            JsObject::Array { elements, properties } => self.array(elements, properties),
            JsObject::SparseArray { length, properties } => self.sparse_array(*length, properties),
            JsObject::Map(entries) => self.map(entries),
            JsObject::Set(items) => self.set(items),
            JsObject::Date(time) => match text::date(*time) {
                Some(date) => write!(self.out, "new Date(\"{date}\")"),
                None => self.out.write_str("new Date(NaN)"),
            },
            JsObject::Boolean(value) => write!(self.out, "new Boolean({value})"),
            JsObject::Number(number) => write!(self.out, "new Number({})", text::number(*number)),
            JsObject::BigInt(number) => write!(self.out, "Object({number}n)"),
            JsObject::String(string) => {
                self.out.write_str("new String(")?;
                self.quoted(string)?;
                self.out.write_char(')')
            }
            JsObject::RegExp { source, flags } => self.regexp(source, *flags),
            JsObject::ArrayBuffer { bytes, bytes_max } => self.buffer(bytes, *bytes_max),
            JsObject::View { kind: ViewKind::DataView, buffer, offset, bytes, .. } => {
                write!(
                    self.out,
                    "DataView {{ byteLength: {bytes}, byteOffset: {offset}, buffer: "
                )?;
                self.object_once(*buffer)?;
                self.out.write_str(" }")
            }
            JsObject::View { kind, buffer, offset, bytes, .. } => {
                let all = self.value.bytes(*buffer).unwrap_or_default();
                self.typed_array(kind.name(), *kind, &all[*offset..*offset + *bytes])
            }
            JsObject::NodeView { kind: ViewKind::DataView, bytes, .. } => {
                let count = bytes.len();
                write!(self.out, "DataView {{ byteLength: {count}, byteOffset: 0, buffer: ")?;
                self.buffer(bytes, None)?;
                self.out.write_str(" }")
            }
            JsObject::NodeView { kind, bytes, .. } => {
                self.typed_array(object.class(), *kind, bytes)
            }
            JsObject::Error(error) => self.error(error),
            JsObject::DenoHost(item) => {
                self.out.write_str("[Deno object] ")?;
                self.item(item)
            }
        }
    }

    /// Shows what is between brackets, the parts of which `part` shows.
    fn list<T>(
        &mut self,
        brackets: [&str; 2],
        parts: impl IntoIterator<Item = T>,
        mut part: impl FnMut(&mut Self, T) -> fmt::Result,
    ) -> fmt::Result {
        self.out.write_str(brackets[0])?;
        let mut is_empty = true;
        for one in parts {
            self.out.write_str(if is_empty { " " } else { ", " })?;
            is_empty = false;
            part(self, one)?;
        }
        if !is_empty {
            self.out.write_char(' ')?;
        }
        self.out.write_str(brackets[1])
    }

    fn braces(&mut self, before: &str, properties: &'a [Property]) -> fmt::Result {
        self.out.write_str(before)?;
        self.list(["{", "}"], properties, Self::property)
    }

    fn property(&mut self, (key, item): &'a Property) -> fmt::Result {
        match key {
            Key::Number(index) => self.out.write_str(&text::number(*index))?,
            Key::String(name) if is_identifier(name) => {
                self.out.write_str(&name.to_str_lossy())?;
            }
            Key::String(name) => self.quoted(name)?,
        }
        self.out.write_str(": ")?;
        self.item(item)
    }

    fn array(&mut self, elements: &'a [Option<Item>], properties: &'a [Property]) -> fmt::Result {
        let runs = elements.chunk_by(|one, next| one.is_none() && next.is_none());
        let parts = runs.map(|run| match &run[0] {
            Some(item) => Part::Item(item),
            None => Part::Holes(run.len() as u64),
        });
        self.list(["[", "]"], parts.chain(properties.iter().map(Part::Property)), Self::part)
    }

    fn sparse_array(&mut self, length: u32, properties: &'a [Property]) -> fmt::Result {
        let mut parts = Vec::new();
        let mut next = 0u64;
        let is_element =
            |key: &Key| matches!(key, Key::Number(index) if (0.0..length.into()).contains(index));
        for (key, item) in properties {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
            if let Key::Number(index) = key
                && is_element(key)
            {
                let index = *index as u64;
                parts.extend((index > next).then(|| Part::Holes(index - next)));
                parts.push(Part::Item(item));
                next = index + 1;
            }
        }
        let rest = u64::from(length).saturating_sub(next);
        parts.extend((rest > 0).then_some(Part::Holes(rest)));
        let others = properties.iter().filter(|(key, _)| !is_element(key)).map(Part::Property);
        self.list(["[", "]"], parts.into_iter().chain(others), Self::part)
    }

    fn part(&mut self, part: Part<'a>) -> fmt::Result {
        match part {
            Part::Item(item) => self.item(item),
            Part::Property(property) => self.property(property),
            Part::Holes(1) => self.out.write_str("<1 empty item>"),
            Part::Holes(count) => write!(self.out, "<{count} empty items>"),
        }
    }

    fn map(&mut self, entries: &'a [(Item, Item)]) -> fmt::Result {
        write!(self.out, "Map({}) ", entries.len())?;
        self.list(["{", "}"], entries, |this, (key, item)| {
            this.item(key)?;
            this.out.write_str(" => ")?;
            this.item(item)
        })
    }

    fn set(&mut self, items: &'a [Item]) -> fmt::Result {
        write!(self.out, "Set({}) ", items.len())?;
        self.list(["{", "}"], items, Self::item)
    }

    fn regexp(&mut self, source: &JsString, flags: u32) -> fmt::Result {
        self.out.write_char('/')?;
        self.escaped(source, None)?;
        let letters = REGEXP_FLAGS.iter().enumerate();
        let set = letters.filter(|(bit, _)| flags >> bit & 1 == 1).map(|(_, letter)| *letter);
        let mut set: Vec<char> = set.collect();
        set.sort_unstable();
        write!(self.out, "/{}", String::from_iter(set))
    }

    fn buffer(&mut self, bytes: &[u8], bytes_max: Option<u64>) -> fmt::Result {
        self.out.write_str("ArrayBuffer { [Uint8Contents]: <")?;
        for (index, byte) in bytes.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(self.out, "{space}{byte:02x}")?;
        }
        write!(self.out, ">, byteLength: {}", bytes.len())?;
        if let Some(max) = bytes_max {
            write!(self.out, ", maxByteLength: {max}")?;
        }
        self.out.write_str(" }")
    }

    fn typed_array(&mut self, name: &str, kind: ViewKind, bytes: &[u8]) -> fmt::Result {
        let elements = bytes.chunks_exact(kind.element_bytes());
        write!(self.out, "{name}({}) ", elements.len())?;
        self.list(["[", "]"], elements, |this, bytes| this.primitive(&element(kind, bytes)))
    }

    fn error(&mut self, error: &'a JsError) -> fmt::Result {
        write!(self.out, "[{}", error.class.name())?;
        if let Some(message) = error.message.as_ref().filter(|message| *message != "") {
            self.out.write_str(": ")?;
            self.escaped(message, None)?;
        }
        self.out.write_char(']')?;
        if let Some(cause) = &error.cause {
            self.out.write_str(" { [cause]: ")?;
            self.item(cause)?;
            self.out.write_str(" }")?;
        }
        Ok(())
    }

    fn quoted(&mut self, string: &JsString) -> fmt::Result {
        self.out.write_char('"')?;
        self.escaped(string, Some('"'))?;
        self.out.write_char('"')
    }

    /// Shows a string so that it stays on its line. Within a `quote`, it can be read back.
    fn escaped(&mut self, string: &JsString, quote: Option<char>) -> fmt::Result {
        for c in string.chars() {
            match c {
                Ok('\n') => self.out.write_str("\\n")?,
                Ok('\r') => self.out.write_str("\\r")?,
                Ok('\t') => self.out.write_str("\\t")?,
                Ok(c) if quote == Some(c) || quote.is_some() && c == '\\' => {
                    write!(self.out, "\\{c}")?;
                }
                Ok(c) if c.is_control() => write!(self.out, "\\x{:02x}", u32::from(c))?,
                Ok(c @ ('\u{2028}' | '\u{2029}')) => write!(self.out, "\\u{:04x}", u32::from(c))?,
                Ok(c) => self.out.write_char(c)?,
                Err(surrogate) => write!(self.out, "\\u{surrogate:04x}")?,
            }
        }
        Ok(())
    }
}

/// A part of an array's text.
enum Part<'a> {
    Item(&'a Item),
    Holes(u64),
    Property(&'a Property),
}

/// Whether a name needs no quotes. Names of letters outside ASCII get them all the same.
pub(crate) fn is_identifier(name: &JsString) -> bool {
    let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_' || c == '$';
    name.as_str().is_some_and(|name| {
        name.starts_with(is_letter) && name.chars().all(|c| is_letter(c) || c.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests;
