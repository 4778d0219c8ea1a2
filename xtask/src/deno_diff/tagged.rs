//! JavaScript values as JSON that says of each what it is, to the last bit; `xtask/deno/tagged.ts`
//! knows the same forms.
//!
//! Invariants:
//! 1. A value has one form, so that equal values are equal texts. What is all one byte or
//!    character is written as a run from [`RUN_LENGTH`] on.
//! 2. What [`Tagged::stored`] makes, [`Tagged::of_stored`] takes apart again.

use icecore::{Int, Key, Part, Value};
use serde::{Deserialize, Serialize};

use super::v8;

/// From this length on, what is all one byte or character is written as a run.
const RUN_LENGTH: usize = 65;

/// A JavaScript value, or a part of a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "lowercase")]
pub(crate) enum Tagged {
    Undefined,
    Null,
    Bool {
        v: bool,
    },
    /// The bits of the number, in hexadecimal.
    Number {
        v: String,
    },
    /// In decimal.
    Bigint {
        v: String,
    },
    String(Text),
    /// A `Deno.KvU64`, in decimal.
    U64 {
        v: String,
    },
    /// A `Uint8Array`.
    Bytes(Binary),
    /// The bits of its number of milliseconds.
    Date {
        v: String,
    },
    Regexp {
        source: String,
        flags: String,
    },
    Map {
        v: Vec<(Tagged, Tagged)>,
    },
    Set {
        v: Vec<Tagged>,
    },
    Array {
        v: Vec<Tagged>,
    },
    Object {
        v: Vec<(String, Tagged)>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Text {
    Run { fill: String, len: usize },
    Whole { v: String },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Binary {
    Run {
        fill: u8,
        len: usize,
    },
    /// In hexadecimal.
    Whole {
        v: String,
    },
}

impl Tagged {
    pub(crate) fn number(number: f64) -> Tagged {
        Tagged::Number { v: bits_of(number) }
    }

    pub(crate) fn bigint(decimal: impl ToString) -> Tagged {
        Tagged::Bigint { v: decimal.to_string() }
    }

    pub(crate) fn u64(number: u64) -> Tagged {
        Tagged::U64 { v: number.to_string() }
    }

    pub(crate) fn date(ms: f64) -> Tagged {
        Tagged::Date { v: bits_of(ms) }
    }

    pub(crate) fn text(text: &str) -> Tagged {
        let first = text.chars().next().unwrap_or_default();
        let is_run = text.len() >= RUN_LENGTH && text.chars().all(|it| it == first);
        Tagged::String(match is_run && first.is_ascii() {
            true => Text::Run { fill: first.to_string(), len: text.len() },
            false => Text::Whole { v: text.to_owned() },
        })
    }

    pub(crate) fn bytes(bytes: &[u8]) -> Tagged {
        let is_run = bytes.len() >= RUN_LENGTH && bytes.iter().all(|byte| *byte == bytes[0]);
        Tagged::Bytes(match is_run {
            true => Binary::Run { fill: bytes[0], len: bytes.len() },
            false => Binary::Whole { v: hex(bytes) },
        })
    }

    /// The value as Icecore stores it.
    pub(crate) fn stored(&self) -> Value {
        match self {
            Tagged::U64 { v } => Value::U64(v.parse().expect("histories hold proper numbers")),
            Tagged::Bytes(binary) => Value::Bytes(binary.content().into()),
            other => Value::V8(v8::encode(other).into()),
        }
    }

    /// What Icecore has stored.
    pub(crate) fn of_stored(value: &Value) -> Tagged {
        match value {
            Value::U64(number) => Tagged::u64(*number),
            Value::Bytes(bytes) => Tagged::bytes(bytes),
            Value::V8(bytes) => v8::decode(bytes),
        }
    }

    /// The part of a key.
    pub(crate) fn part(&self) -> Part {
        match self {
            Tagged::Bytes(binary) => Part::Bytes(binary.content()),
            Tagged::String(text) => Part::String(text.content()),
            Tagged::Bigint { v } => Part::Int(v.parse::<Int>().expect("a bigint of a history")),
            Tagged::Number { v } => Part::Float(number_of(v)),
            Tagged::Bool { v } => Part::Bool(*v),
            other => panic!("no part of a key: {other:?}"),
        }
    }

    pub(crate) fn of_part(part: &Part) -> Tagged {
        match part {
            Part::Bytes(bytes) => Tagged::bytes(bytes),
            Part::String(text) => Tagged::text(text),
            Part::Int(int) => Tagged::bigint(int),
            Part::Float(number) => Tagged::number(*number),
            Part::Bool(v) => Tagged::Bool { v: *v },
        }
    }
}

/// The key with these parts.
pub(crate) fn key_of(parts: &[Tagged]) -> Key {
    parts.iter().fold(Key::new(), |key, part| key.with(part.part()))
}

impl Text {
    pub(crate) fn content(&self) -> String {
        match self {
            Text::Run { fill, len } => fill.repeat(*len),
            Text::Whole { v } => v.clone(),
        }
    }
}

impl Binary {
    fn content(&self) -> Vec<u8> {
        match self {
            Binary::Run { fill, len } => vec![*fill; *len],
            Binary::Whole { v } => unhex(v),
        }
    }
}

fn bits_of(number: f64) -> String {
    hex(&number.to_be_bytes())
}

pub(crate) fn number_of(bits: &str) -> f64 {
    f64::from_bits(u64::from_str_radix(bits, 16).expect("the bits of a number of a history"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| {
            let pair = std::str::from_utf8(pair).expect("hexadecimal digits");
            u8::from_str_radix(pair, 16).expect("hexadecimal digits")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_is_what_the_other_side_writes() {
        let cases = [
            (Tagged::Undefined, r#"{"t":"undefined"}"#),
            (Tagged::number(-1.0), r#"{"t":"number","v":"bff0000000000000"}"#),
            (Tagged::text("é"), r#"{"t":"string","v":"é"}"#),
            (Tagged::text(&"x".repeat(65)), r#"{"t":"string","fill":"x","len":65}"#),
            (Tagged::bytes(&[7; 65]), r#"{"t":"bytes","fill":7,"len":65}"#),
            (Tagged::bytes(&[0, 255]), r#"{"t":"bytes","v":"00ff"}"#),
        ];
        for (value, json) in cases {
            assert_eq!(serde_json::to_string(&value).unwrap(), json);
            assert_eq!(serde_json::from_str::<Tagged>(json).unwrap(), value);
        }
    }
}
