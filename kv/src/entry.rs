//! What a read gives back: a key, and its value and versionstamp if it has any.

use std::mem;

use bytes::Bytes;
use icecore_engine::{Item, Record};
use icecore_model::Versionstamp;

use crate::error::Error;
use crate::key::Key;
use crate::value::Value;

/// The state of one key at one moment. Value and versionstamp are there together or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// Its value; `None` if the key is absent.
    pub value: Option<Value>,
    /// The commit that set the value; `None` if the key is absent.
    pub versionstamp: Option<Versionstamp>,
}

impl Entry {
    pub(crate) fn new(key: Key, record: Option<Record>) -> Result<Entry, Error> {
        let mut entry = Entry::absent(key);
        entry.fill(record)?;
        Ok(entry)
    }

    pub(crate) fn absent(key: Key) -> Entry {
        Entry { key, value: None, versionstamp: None }
    }

    /// Makes an absent entry what the store says of its key.
    pub(crate) fn fill(&mut self, record: Option<Record>) -> Result<(), Error> {
        let Some(Record { value, stamp, .. }) = record else { return Ok(()) };
        let value = Value::decode(&value).map_err(|bad| Error::bad_value(self.key.clone(), bad))?;
        (self.value, self.versionstamp) = (Some(value), Some(stamp));
        Ok(())
    }

    pub(crate) fn from_item(mut item: Item) -> Result<Entry, Error> {
        let (stamp, value) = (item.stamp, mem::take(&mut item.value));
        Entry::present(Key::from_stored(item.into_key()), &value, stamp)
    }

    fn present(key: Key, stored: &Bytes, stamp: Versionstamp) -> Result<Entry, Error> {
        match Value::decode(stored) {
            Ok(value) => Ok(Entry { key, value: Some(value), versionstamp: Some(stamp) }),
            Err(bad) => Err(Error::bad_value(key, bad)),
        }
    }

    /// Whether the key has a value.
    pub fn is_present(&self) -> bool {
        self.value.is_some()
    }

    /// The number that the key holds.
    ///
    /// # Errors
    /// [`TypeMismatch`](crate::ErrorKind::TypeMismatch) when it holds something else, or nothing.
    pub fn u64(&self) -> Result<u64, Error> {
        match self.value {
            Some(Value::U64(number)) => Ok(number),
            _ => Err(self.wrong_type("a u64")),
        }
    }

    /// The bytes that the key holds. They may keep a file of the store alive: copy them to let go.
    ///
    /// # Errors
    /// [`TypeMismatch`](crate::ErrorKind::TypeMismatch) when it holds something else, or nothing.
    pub fn bytes(&self) -> Result<&Bytes, Error> {
        match &self.value {
            Some(Value::Bytes(bytes)) => Ok(bytes),
            _ => Err(self.wrong_type("bytes")),
        }
    }

    fn wrong_type(&self, asked: &'static str) -> Error {
        let found = self.value.as_ref().map_or("nothing", Value::kind);
        Error::wrong_type(self.key.clone(), asked, found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, key};

    #[test]
    fn asking_for_the_wrong_type_says_what_is_there() {
        let absent = Entry::new(key!["a"], None).unwrap();
        let error = absent.u64().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TypeMismatch);
        assert_eq!(error.to_string(), r#"["a"] holds nothing, not a u64"#);
        let stored = Value::from("x").encode().into();
        let present = Entry::present(key!["a"], &stored, Versionstamp::new(1)).unwrap();
        assert_eq!(present.bytes().unwrap(), &b"x"[..]);
        assert_eq!(present.u64().unwrap_err().to_string(), r#"["a"] holds bytes, not a u64"#);
    }
}
