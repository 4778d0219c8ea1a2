//! The lines of a dump, as JSON and as records.

use std::fmt::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use icecore::{Int, Key, Part, Value, Versionstamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::copy::record::{Entry, Message, Record};

/// Numbers up to this one are exact in JSON, whoever reads it.
const EXACT_INTEGER_MAX: i64 = 1 << 53;
/// So much of a value of JavaScript is shown beside its bytes.
const SHOWN_CHARS_MAX: usize = 200;

/// The first line.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Header {
    /// That it is a dump.
    pub(super) icecore: String,
    pub(super) version: u32,
    /// What it is a dump of, for people and to recognise it when a copy is resumed.
    pub(super) source: String,
    pub(super) created_ms: u64,
}

/// The last line.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trailer {
    pub(super) end: bool,
    pub(super) entries: u64,
    pub(super) messages: u64,
    /// Over all bytes of the lines before, in hexadecimal digits.
    pub(super) sha256: String,
}

/// How a trailer begins, and no other line.
pub(super) const TRAILER_START: &[u8] = b"{\"end\":";

/// A line between them. An entry has a key, a message a queue.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Vec<JsonPart>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    u64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    v8: Option<String>,
    /// What a console shows for `v8`. Nobody reads it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    shown: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    versionstamp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ready_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backoff_ms: Option<Vec<u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys_if_undelivered: Option<Vec<Vec<JsonPart>>>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(untagged)]
enum JsonPart {
    Text(String),
    Bool(bool),
    Integer(i64),
    Named(NamedPart),
}

/// What JSON has no type for, or not an exact one.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum NamedPart {
    Number(String),
    Bigint(String),
    Bytes(String),
}

impl Line {
    /// The line of a record. Fails if a key is damaged.
    pub(super) fn of(record: &Record) -> Result<Line, icecore::Error> {
        let mut line = Line::default();
        match record {
            Record::Entry(entry) => {
                line.key = Some(parts(&entry.key)?);
                line.put_value(&entry.value);
                line.expires_ms = entry.expires_ms;
                line.versionstamp = entry.versionstamp.map(|stamp| stamp.to_string());
            }
            Record::Message(message) => {
                line.queue = Some(message.queue.clone());
                line.put_value(&message.payload);
                line.ready_ms = Some(message.ready_ms);
                line.backoff_ms = Some(message.backoff_ms.clone());
                let keys = message.keys_if_undelivered.iter().map(parts);
                line.keys_if_undelivered = Some(keys.collect::<Result<_, _>>()?);
            }
        }
        Ok(line)
    }

    fn put_value(&mut self, value: &Value) {
        match value {
            Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => self.text = Some(text.to_owned()),
                Err(_) => self.bytes = Some(STANDARD.encode(bytes)),
            },
            Value::U64(number) => self.u64 = Some(number.to_string()),
            Value::V8(serialized) => {
                self.v8 = Some(STANDARD.encode(serialized));
                self.shown = Some(value.to_string().chars().take(SHOWN_CHARS_MAX).collect());
            }
        }
    }

    /// The record of a line, or what is wrong with it.
    pub(super) fn record(self) -> Result<Record, String> {
        let value = value(self.text, self.bytes, self.u64, self.v8)?;
        match (self.key, self.queue) {
            (Some(key), None) => {
                let is_messages = self.ready_ms.is_some()
                    || self.backoff_ms.is_some()
                    || self.keys_if_undelivered.is_some();
                if is_messages {
                    return Err("an entry has no fields of messages".to_owned());
                }
                let stamp = self.versionstamp.map(|text| text.parse::<Versionstamp>());
                let versionstamp = stamp.transpose().map_err(|error| error.to_string())?;
                let (key, expires_ms) = (key_of(key)?, self.expires_ms);
                Ok(Record::Entry(Entry { key, value, expires_ms, versionstamp }))
            }
            (None, Some(queue)) => {
                if self.expires_ms.is_some() || self.versionstamp.is_some() {
                    return Err("a message has no fields of entries".to_owned());
                }
                let keys = self.keys_if_undelivered.unwrap_or_default().into_iter().map(key_of);
                Ok(Record::Message(Message {
                    queue,
                    payload: value,
                    ready_ms: self.ready_ms.unwrap_or(1).max(1),
                    backoff_ms: self.backoff_ms.unwrap_or_default(),
                    keys_if_undelivered: keys.collect::<Result<_, _>>()?,
                }))
            }
            _ => Err("a line has a key or a queue".to_owned()),
        }
    }
}

fn value(
    text: Option<String>,
    bytes: Option<String>,
    number: Option<String>,
    v8: Option<String>,
) -> Result<Value, String> {
    match (text, bytes, number, v8) {
        (Some(text), None, None, None) => Ok(Value::from(text)),
        (None, Some(bytes), None, None) => Ok(Value::from(base64(&bytes)?)),
        (None, None, Some(number), None) => match number.parse::<u64>() {
            Ok(number) => Ok(Value::U64(number)),
            Err(_) => Err(format!("{number:?} is no number of 64 bits")),
        },
        (None, None, None, Some(v8)) => Ok(Value::V8(base64(&v8)?.into())),
        _ => Err("a line has one of text, bytes, u64 and v8".to_owned()),
    }
}

fn base64(text: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(text).map_err(|error| format!("not base64: {error}"))
}

fn parts(key: &Key) -> Result<Vec<JsonPart>, icecore::Error> {
    Ok(key.parts()?.iter().map(json_part).collect())
}

fn json_part(part: &Part) -> JsonPart {
    match part {
        Part::String(text) => JsonPart::Text(text.clone()),
        Part::Bytes(bytes) => JsonPart::Named(NamedPart::Bytes(STANDARD.encode(bytes))),
        Part::Int(int) => JsonPart::Named(NamedPart::Bigint(int.to_string())),
        Part::Bool(value) => JsonPart::Bool(*value),
        Part::Float(number) => float(*number),
    }
}

fn float(number: f64) -> JsonPart {
    #[expect(clippy::cast_possible_truncation, reason = "only what comes back exactly is used")]
    let integer = number as i64;
    let is_exact = (integer as f64).to_bits() == number.to_bits();
    if is_exact && integer.unsigned_abs() <= EXACT_INTEGER_MAX.unsigned_abs() {
        return JsonPart::Integer(integer);
    }
    let sign = if number.is_sign_negative() { "-" } else { "" };
    JsonPart::Named(NamedPart::Number(if number.is_nan() {
        format!("{sign}NaN")
    } else if number.is_infinite() {
        format!("{sign}Infinity")
    } else {
        // The shortest text that is read as this number.
        format!("{number:?}")
    }))
}

fn key_of(parts: Vec<JsonPart>) -> Result<Key, String> {
    let parts = parts.iter().map(part).collect::<Result<Vec<Part>, String>>()?;
    Ok(Key::from(parts))
}

fn part(json: &JsonPart) -> Result<Part, String> {
    match json {
        JsonPart::Text(text) => Ok(Part::String(text.clone())),
        JsonPart::Bool(value) => Ok(Part::Bool(*value)),
        JsonPart::Integer(number) if number.unsigned_abs() <= EXACT_INTEGER_MAX.unsigned_abs() => {
            Ok(Part::Float(*number as f64))
        }
        JsonPart::Integer(number) => Err(format!("{number} is no exact number: quote it")),
        JsonPart::Named(NamedPart::Bytes(text)) => Ok(Part::Bytes(base64(text)?)),
        JsonPart::Named(NamedPart::Bigint(text)) => match text.parse::<Int>() {
            Ok(int) => Ok(Part::Int(int)),
            Err(error) => Err(format!("{text:?} is no bigint: {error}")),
        },
        JsonPart::Named(NamedPart::Number(text)) => match text.parse::<f64>() {
            Ok(number) => Ok(Part::Float(number)),
            Err(error) => Err(format!("{text:?} is no number: {error}")),
        },
    }
}

/// A hash in hexadecimal digits.
pub(super) fn hex(hash: Sha256) -> String {
    hash.finalize().iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all that is written");
        text
    })
}

#[cfg(test)]
mod tests {
    use icecore::key;

    use super::*;

    fn entry(key: Key, value: Value) -> Record {
        Record::Entry(Entry { key, value, expires_ms: None, versionstamp: None })
    }

    fn there_and_back(record: &Record) -> String {
        let text = serde_json::to_string(&Line::of(record).unwrap()).unwrap();
        let line: Line = serde_json::from_str(&text).unwrap();
        assert_eq!(&line.record().unwrap(), record, "{text}");
        text
    }

    #[test]
    fn an_entry_is_a_line_that_people_can_read() {
        let text = there_and_back(&entry(key!["user", 7, 1.0, true], "ada".into()));
        assert_eq!(text, r#"{"key":["user",{"bigint":"7"},1,true],"text":"ada"}"#);
        let text = there_and_back(&entry(key!["n"], Value::U64(u64::MAX)));
        assert_eq!(text, r#"{"key":["n"],"u64":"18446744073709551615"}"#);
        let text = there_and_back(&entry(key!["j"], Value::number(0.5)));
        assert!(text.ends_with(r#","shown":"0.5"}"#), "{text}");
    }

    #[test]
    fn every_part_of_a_key_comes_back_bit_by_bit() {
        let floats = [
            0.0,
            -0.0,
            f64::NAN,
            -f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            0.1,
            5e-324,
            f64::MAX,
            9_007_199_254_740_992.0,
            9_007_199_254_740_994.0,
            -9_223_372_036_854_775_808.0,
            1e300,
        ];
        for number in floats {
            let record = entry(Key::from(vec![Part::Float(number)]), "x".into());
            let text = there_and_back(&record);
            let line: Line = serde_json::from_str(&text).unwrap();
            let (Record::Entry(back), Record::Entry(one)) = (line.record().unwrap(), record) else {
                unreachable!("both are entries")
            };
            assert_eq!(back.key.encoded(), one.key.encoded(), "{text}");
        }
        there_and_back(&entry(key!["a\0b\n\u{1f600}", &b"\0\xff"[..], u64::MAX, -1], "".into()));
    }

    #[test]
    fn a_message_comes_back() {
        there_and_back(&Record::Message(Message {
            queue: "mail".to_owned(),
            payload: Value::from(&b"\xff"[..]),
            ready_ms: 7,
            backoff_ms: vec![1, 2],
            keys_if_undelivered: vec![key!["d", 1], key!["e"]],
        }));
    }

    #[test]
    fn other_lines_are_refused_with_what_is_wrong() {
        let refused = [
            (r#"{"key":["a"]}"#, "one of text"),
            (r#"{"key":["a"],"text":"x","u64":"1"}"#, "one of text"),
            (r#"{"text":"x"}"#, "a key or a queue"),
            (r#"{"key":["a"],"queue":"q","text":"x"}"#, "a key or a queue"),
            (r#"{"key":["a"],"bytes":"?"}"#, "not base64"),
            (r#"{"key":["a"],"u64":"-1"}"#, "no number of 64 bits"),
            (r#"{"key":[{"bigint":"x"}],"text":"x"}"#, "no bigint"),
            (r#"{"key":[{"number":"x"}],"text":"x"}"#, "no number"),
            (r#"{"key":[9007199254740993],"text":"x"}"#, "no exact number"),
            (r#"{"key":["a"],"text":"x","readyMs":1}"#, "no fields of messages"),
            (r#"{"queue":"a","text":"x","expiresMs":1}"#, "no fields of entries"),
            (r#"{"key":["a"],"text":"x","versionstamp":"x"}"#, ""),
        ];
        for (text, says) in refused {
            let line: Line = serde_json::from_str(text).unwrap();
            let error = line.record().unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
        for text in [r#"{"key":[0.5],"text":"x"}"#, r#"{"key":[null],"text":"x"}"#, r#"{"x":1}"#] {
            assert!(serde_json::from_str::<Line>(text).is_err(), "{text}");
        }
    }
}
