//! JSON to values, and values to JSON.
//!
//! From JSON everything can be made. Numbers become those of JavaScript, as `JSON.parse` makes
//! them: integers beyond 2⁵³ are rounded.
//!
//! To JSON goes what comes back as the same: `null`, booleans, finite numbers, strings, dense
//! arrays and plain objects. All else is refused, with the path to it, where `JSON.stringify`
//! would drop it or turn it into something else. An object that stands in several places is
//! written in each.

use std::collections::HashMap;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::read::DEPTH_MAX;
use crate::text;
use crate::typed::INTEGER_MAX;
use crate::value::{Item, JsObject, JsValue, Key, ObjectId, Property};

/// Makes a value of any JSON that serde can deserialize: `&serde_json::Value`, or text.
///
/// # Errors
///
/// What the source says, or that it is nested more than [`DEPTH_MAX`] deep.
///
/// ```
/// let json = serde_json::json!({ "ice": [1, 2.5, null] });
/// let value = icecore_v8::from_json(&json)?;
/// assert_eq!(value.to_string(), "{ ice: [ 1, 2.5, null ] }");
/// # Ok::<(), serde_json::Error>(())
/// ```
pub fn from_json<'de, D: Deserializer<'de>>(source: D) -> Result<JsValue, D::Error> {
    let mut objects = Vec::new();
    let root = Place { objects: &mut objects, depth: 0 }.deserialize(source)?;
    Ok(JsValue::of_checked(objects, root))
}

/// Makes a value of JSON text, with the properties in the order of the text.
///
/// # Errors
///
/// As [`from_json`], or that something follows the JSON.
///
/// ```
/// let value = icecore_v8::parse_json(r#"{ "b": 1, "a": "x" }"#)?;
/// assert_eq!(value.to_string(), "{ b: 1, a: \"x\" }");
/// # Ok::<(), serde_json::Error>(())
/// ```
pub fn parse_json(json: &str) -> Result<JsValue, serde_json::Error> {
    let mut source = serde_json::Deserializer::from_str(json);
    let value = from_json(&mut source)?;
    source.end()?;
    Ok(value)
}

/// Where the next value goes.
struct Place<'a> {
    objects: &'a mut Vec<JsObject>,
    depth: usize,
}

impl Place<'_> {
    /// Takes a place for an object, which holds more.
    fn begin<E: de::Error>(&mut self) -> Result<ObjectId, E> {
        if self.depth == DEPTH_MAX {
            return Err(E::custom("nested too deep"));
        }
        self.depth += 1;
        self.objects.push(JsObject::Plain(Vec::new()));
        Ok(ObjectId(self.objects.len() - 1))
    }

    fn inner(&mut self) -> Place<'_> {
        Place { objects: self.objects, depth: self.depth }
    }
}

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = Item;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Item, D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place<'_> {
    type Value = Item;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Item, E> {
        Ok(Item::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Item, E> {
        Ok(Item::Bool(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "as JSON.parse rounds")]
    fn visit_i64<E>(self, number: i64) -> Result<Item, E> {
        Ok(Item::Number(number as f64))
    }

    #[expect(clippy::cast_precision_loss, reason = "as JSON.parse rounds")]
    fn visit_u64<E>(self, number: u64) -> Result<Item, E> {
        Ok(Item::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Item, E> {
        Ok(Item::Number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Item, E> {
        Ok(Item::from(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Item, A::Error> {
        let id = self.begin()?;
        let mut elements = Vec::new();
        while let Some(item) = items.next_element_seed(self.inner())? {
            elements.push(Some(item));
        }
        self.objects[id.0] = JsObject::Array { elements, properties: Vec::new() };
        Ok(Item::Object(id))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<Item, A::Error> {
        let id = self.begin()?;
        let mut properties = Vec::new();
        while let Some(name) = entries.next_key::<String>()? {
            properties.push((Key::String(name.into()), entries.next_value_seed(self.inner())?));
        }
        self.objects[id.0] = JsObject::Plain(properties);
        Ok(Item::Object(id))
    }
}

/// What JSON has no form for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotJson {
    /// Where it stands, in the notation of JavaScript: `.list[3]`. Empty for the value itself.
    pub path: String,
    /// What stands there.
    pub what: &'static str,
}

impl fmt::Display for NotJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.path.is_empty() { "the value" } else { &self.path };
        write!(f, "JSON has no form for {place}: {}", self.what)
    }
}

impl std::error::Error for NotJson {}

/// Makes JSON text of a value, with the properties in their order.
///
/// # Errors
///
/// [`NotJson`] for the first thing that would not come back as the same, and for what is nested
/// too deep, holds itself, or repeats its objects so often that it looks made to be endless.
///
/// ```
/// let value = icecore_v8::parse_json(r#"{"ice":[1,true],"age":2.5}"#)?;
/// assert_eq!(icecore_v8::to_json(&value)?, r#"{"ice":[1,true],"age":2.5}"#);
///
/// let big = icecore_v8::read(b"\xff\x0fA\x01Z\0$\0\x01")?;
/// let error = icecore_v8::to_json(&big).unwrap_err();
/// assert_eq!(error.to_string(), "JSON has no form for [0]: a bigint");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn to_json(value: &JsValue) -> Result<String, NotJson> {
    let visits_left = value.visits_max();
    let mut walk = Walk { value, path: Vec::new(), visits_left, json: String::new() };
    walk.item(value.root())?;
    Ok(walk.json)
}

/// A step of a path.
#[derive(Clone, Copy)]
enum Step<'a> {
    Element(usize),
    Property(&'a Key),
}

struct Walk<'a> {
    value: &'a JsValue,
    path: Vec<Step<'a>>,
    visits_left: usize,
    /// What is written so far.
    json: String,
}

impl<'a> Walk<'a> {
    fn item(&mut self, item: &'a Item) -> Result<(), NotJson> {
        let scalar = match item {
            Item::Null => Value::Null,
            Item::Bool(value) => Value::Bool(*value),
            Item::Number(number) => json_number(*number).ok_or_else(|| self.not("not finite"))?,
            Item::String(string) => match string.as_str() {
                Some(text) => Value::from(text),
                None => return Err(self.not("a string with a lone surrogate")),
            },
            Item::Undefined => return Err(self.not("undefined")),
            Item::BigInt(_) => return Err(self.not("a bigint")),
            Item::Object(id) => return self.object(&self.value[*id]),
        };
        self.json.push_str(&scalar.to_string());
        Ok(())
    }

    fn object(&mut self, object: &'a JsObject) -> Result<(), NotJson> {
        if self.path.len() >= DEPTH_MAX {
            return Err(self.not("nested too deep, or holds itself"));
        }
        let left = self.visits_left.checked_sub(object.places());
        self.visits_left = left.ok_or_else(|| self.not("repeats its objects too often"))?;
        match object {
            JsObject::Plain(properties) => self.plain(properties),
            JsObject::Array { elements, properties } if properties.is_empty() => {
                self.array(elements)
            }
            JsObject::Array { .. } => Err(self.not("an array with other properties")),
            JsObject::SparseArray { .. } => Err(self.not("a sparse array")),
            other => Err(self.not(other.class())),
        }
    }

    fn plain(&mut self, properties: &'a [Property]) -> Result<(), NotJson> {
        let mut left: Vec<(String, &'a Property)> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        for property in properties {
            let name = match &property.0 {
                Key::Number(index) => text::number(*index),
                Key::String(name) => match name.as_str() {
                    Some(name) => name.to_owned(),
                    None => {
                        self.path.push(Step::Property(&property.0));
                        return Err(self.not("a name with a lone surrogate"));
                    }
                },
            };
            // What is set twice keeps its place, and has the later value.
            match places.get(&name) {
                Some(place) => left[*place].1 = property,
                None => {
                    places.insert(name.clone(), left.len());
                    left.push((name, property));
                }
            }
        }
        self.json.push('{');
        for (index, (name, (key, item))) in left.into_iter().enumerate() {
            self.separate(index);
            self.json.push_str(&Value::from(name).to_string());
            self.json.push(':');
            self.path.push(Step::Property(key));
            self.item(item)?;
            self.path.pop();
        }
        self.json.push('}');
        Ok(())
    }

    fn array(&mut self, elements: &'a [Option<Item>]) -> Result<(), NotJson> {
        self.json.push('[');
        for (index, element) in elements.iter().enumerate() {
            self.separate(index);
            self.path.push(Step::Element(index));
            let Some(item) = element else { return Err(self.not("a hole")) };
            self.item(item)?;
            self.path.pop();
        }
        self.json.push(']');
        Ok(())
    }

    fn separate(&mut self, index: usize) {
        if index > 0 {
            self.json.push(',');
        }
    }

    fn not(&self, what: &'static str) -> NotJson {
        let path = self.path.iter().map(|step| match step {
            Step::Element(index) => format!("[{index}]"),
            Step::Property(Key::Number(index)) => format!("[{}]", text::number(*index)),
            Step::Property(Key::String(name)) if crate::show::is_identifier(name) => {
                format!(".{}", name.to_str_lossy())
            }
            Step::Property(Key::String(name)) => {
                format!("[{}]", JsValue::from(Item::String(name.clone())))
            }
        });
        NotJson { path: path.collect(), what }
    }
}

/// The number as JSON has it: whole ones without a fraction.
fn json_number(number: f64) -> Option<Value> {
    #[expect(clippy::cast_possible_truncation, reason = "compared with what it came from")]
    let whole = number as i64;
    #[expect(clippy::cast_precision_loss, reason = "a number holds all of these")]
    let is_whole =
        whole.unsigned_abs() <= INTEGER_MAX && (whole as f64).to_bits() == number.to_bits();
    if is_whole {
        return Some(Value::from(whole));
    }
    serde_json::Number::from_f64(number).map(Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn not(bytes: &[u8]) -> String {
        let value = crate::read(bytes).expect("well-formed");
        to_json(&value).expect_err("not JSON").to_string()
    }

    #[test]
    fn json_comes_back_as_it_went() {
        let table = [
            "null",
            "true",
            "0",
            "-0.0",
            "-9007199254740992",
            "1.5",
            "1e+300",
            r#""é\u0000""#,
            "[]",
            "{}",
            r#"{"a":[1,{"b":null}],"é ":false}"#,
        ];
        for json in table {
            let value = parse_json(json).expect("JSON");
            let expected: Value = serde_json::from_str(json).expect("JSON");
            assert_eq!(to_json(&value).as_deref(), Ok(json));
            let stored = crate::read(&crate::write(&value));
            assert_eq!(stored, Ok(value), "{json}");
            let same = to_json(&from_json(&expected).expect("JSON")).expect("JSON");
            assert_eq!(serde_json::from_str::<Value>(&same).expect("JSON"), expected, "{json}");
        }
    }

    #[test]
    fn properties_keep_their_order_and_what_is_set_twice_its_first_place() {
        let json = r#"{"z":1,"a":{"y":2,"b":3},"z":4,"m":"\n\""}"#;
        let value = parse_json(json).expect("JSON");
        let expected = r#"{"z":4,"a":{"y":2,"b":3},"m":"\n\""}"#;
        assert_eq!(to_json(&value).as_deref(), Ok(expected));
    }

    #[test]
    fn large_integers_are_rounded_as_javascript_does() {
        let value = parse_json("18446744073709551615").expect("JSON");
        assert_eq!(value.to_string(), "18446744073709552000");
    }

    #[test]
    fn an_error_says_what_has_no_form_and_where() {
        let table = [
            (&b"\xff\x0f_"[..], "the value: undefined"),
            (b"\xff\x0fN\0\0\0\0\0\0\xf8\x7f", "the value: not finite"),
            (b"\xff\x0fA\x02T-$\0\x02", "[1]: a hole"),
            (b"\xff\x0fo\"\x01aA\x01Z\0$\0\x01{\x01", ".a[0]: a bigint"),
            (b"\xff\x0fo\"\x03b-c;:\0{\x01", "[\"b-c\"]: Map"),
            (b"\xff\x0foI\x04D\0\0\0\0\0\0\0\0{\x01", "[2]: Date"),
            (b"\xff\x0fo\"\x01a\\\x01\0{\x01", ".a: Uint8Array"),
        ];
        for (bytes, what) in table {
            assert_eq!(not(bytes), format!("JSON has no form for {what}"));
        }
        let circular = not(b"\xff\x0fA\x01^\0$\0\x01");
        assert!(circular.ends_with("nested too deep, or holds itself"), "{circular}");
    }

    #[test]
    fn what_is_no_json_is_refused() {
        assert!(parse_json("[1] 2").is_err());
        assert!(parse_json("{").is_err());
    }
}
