//! Which program asks, and what it cannot read.
//!
//! Deno writes values in version 16 of V8's format, which Node refuses; Node writes typed arrays as
//! objects of its own, which Deno refuses. So values of JavaScript are rewritten on their way out,
//! for the reader; what is stored stays as it was written.
//!
//! The reader is told by the header `User-Agent`, which neither program lets its scripts forget:
//! `Deno/2.9.6` is Deno, `node` and `undici` are Node. For anybody else nothing is rewritten.

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::USER_AGENT;
use icecore::{Entry, Value};
use icecore_wire::message::{KvEntry, encoding};
use std::borrow::Cow;

/// Who reads the values of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    Deno,
    Node,
    /// Somebody who takes them as they are stored.
    Plain,
}

impl Reader {
    /// Who has sent a request with these headers.
    pub(crate) fn of(headers: &HeaderMap) -> Reader {
        let agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok());
        let Some(agent) = agent else { return Reader::Plain };
        let is = |name: &str| agent.get(..name.len()).is_some_and(|s| s.eq_ignore_ascii_case(name));
        if is("deno/") {
            Reader::Deno
        } else if is("node") || is("undici") {
            Reader::Node
        } else {
            Reader::Plain
        }
    }

    /// The entry as it is sent to this reader; `None` for one that is absent.
    pub(crate) fn entry(self, entry: &Entry) -> Option<KvEntry> {
        let (value, versionstamp) = (entry.value.as_ref()?, entry.versionstamp?);
        let (value, encoding) = match value {
            Value::V8(serialized) => (self.value(serialized), encoding::V8),
            Value::U64(number) => (Bytes::copy_from_slice(&number.to_le_bytes()), encoding::LE64),
            Value::Bytes(bytes) => (bytes.clone(), encoding::BYTES),
        };
        let key = Bytes::copy_from_slice(entry.key.encoded());
        let versionstamp = Bytes::copy_from_slice(&versionstamp.to_bytes());
        Some(KvEntry { key, value, encoding, versionstamp })
    }

    /// A value of JavaScript as it is sent to this reader.
    pub(crate) fn value(self, stored: &Bytes) -> Bytes {
        let rewritten = match self {
            Reader::Deno => icecore_v8::for_deno(stored),
            Reader::Node => icecore_v8::for_node(stored),
            Reader::Plain => Cow::Borrowed(&stored[..]),
        };
        match rewritten {
            Cow::Borrowed(_) => stored.clone(),
            Cow::Owned(bytes) => bytes.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(agent: &'static str) -> Reader {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, agent.parse().unwrap());
        Reader::of(&headers)
    }

    #[test]
    fn clients_are_told_by_what_they_call_themselves() {
        assert_eq!(reader("Deno/2.9.6"), Reader::Deno);
        assert_eq!(reader("node"), Reader::Node);
        assert_eq!(reader("undici"), Reader::Node);
        assert_eq!(reader("curl/8"), Reader::Plain);
        assert_eq!(reader(""), Reader::Plain);
        assert_eq!(reader("é"), Reader::Plain);
        assert_eq!(Reader::of(&HeaderMap::new()), Reader::Plain);
    }

    #[test]
    fn values_are_rewritten_for_who_cannot_read_them() {
        let (of_deno, of_node) = (&b"\xff\x10I\x0a"[..], &b"\xff\x0f\\\x01\x02ab"[..]);
        let sent =
            |reader: Reader, stored: &'static [u8]| reader.value(&Bytes::from_static(stored));
        assert_eq!(sent(Reader::Node, of_deno), &b"\xff\x0fI\x0a"[..]);
        assert_eq!(sent(Reader::Deno, of_deno), of_deno);
        assert_eq!(sent(Reader::Deno, of_node), &b"\xff\x0fB\x02abVB\0\x02\0"[..]);
        assert_eq!(sent(Reader::Node, of_node), of_node);
        assert_eq!(sent(Reader::Plain, of_deno), of_deno);
    }
}
