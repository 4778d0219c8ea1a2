//! What a read gives back: a key, and its value and versionstamp if it has any.

use std::time::SystemTime;

use bytes::Bytes;
use icecore_engine::Record;
use icecore_model::{Timestamp, Versionstamp};

use crate::error::Error;
use crate::expiry::system_time;
use crate::key::Key;
use crate::value::Value;

/// The state of one key at one moment. Value and versionstamp are there together or not at all.
///
/// ```
/// use icecore::{Kv, key};
///
/// let kv = Kv::in_memory()?;
/// let absent = kv.get(key!["name"])?;
/// assert_eq!((&absent.value, absent.versionstamp), (&None, None));
/// let versionstamp = kv.set(key!["name"], "ada")?;
/// let present = kv.get(key!["name"])?;
/// assert_eq!(present.key, key!["name"]);
/// assert_eq!(present.value, Some("ada".into()));
/// assert_eq!(present.versionstamp, Some(versionstamp));
/// # Ok::<(), icecore::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// Its value; `None` if the key is absent.
    pub value: Option<Value>,
    /// The commit that set the value; `None` if the key is absent.
    pub versionstamp: Option<Versionstamp>,
    expires_at: Option<Timestamp>,
}

impl Entry {
    pub(crate) fn new(key: Key, record: Option<Record>) -> Result<Entry, Error> {
        let mut entry = Entry::absent(key);
        entry.fill(record)?;
        Ok(entry)
    }

    pub(crate) fn absent(key: Key) -> Entry {
        Entry { key, value: None, versionstamp: None, expires_at: None }
    }

    pub(crate) fn present(
        key: Key,
        value: Value,
        versionstamp: Versionstamp,
        expires_at: Option<Timestamp>,
    ) -> Entry {
        Entry { key, value: Some(value), versionstamp: Some(versionstamp), expires_at }
    }

    /// Makes an absent entry what the store says of its key.
    pub(crate) fn fill(&mut self, record: Option<Record>) -> Result<(), Error> {
        let Some(Record { value, stamp, expires_at }) = record else { return Ok(()) };
        let value = Value::decode(value).map_err(|bad| Error::bad_value(self.key.clone(), bad))?;
        (self.value, self.versionstamp) = (Some(value), Some(stamp));
        self.expires_at = expires_at;
        Ok(())
    }

    /// Whether the key has a value.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// assert!(!kv.get(key!["motto"])?.is_present());
    /// kv.set(key!["motto"], "")?;
    /// assert!(kv.get(key!["motto"])?.is_present(), "an empty value is a value");
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn is_present(&self) -> bool {
        self.value.is_some()
    }

    /// From when on the key is absent again; `None` if it stays.
    ///
    /// ```
    /// use std::time::Duration;
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.set_expiring(key!["session", 7], "ada", Duration::from_secs(3600))?;
    /// assert!(kv.get(key!["session", 7])?.expires_at().is_some());
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at.map(system_time)
    }

    /// The number that the key holds.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.set(key!["visits"], 3)?;
    /// assert_eq!(kv.get(key!["visits"])?.u64()?, 3);
    /// let error = kv.get(key!["visitors"])?.u64().unwrap_err();
    /// assert_eq!(error.to_string(), r#"["visitors"] holds nothing, not a u64"#);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`TypeMismatch`](crate::ErrorKind::TypeMismatch) when it holds something else, or nothing.
    pub fn u64(&self) -> Result<u64, Error> {
        match self.value {
            Some(Value::U64(number)) => Ok(number),
            _ => Err(self.wrong_type("a u64")),
        }
    }

    /// The number that the key holds, or `default` if the key is absent.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// assert_eq!(kv.get(key!["visits"])?.u64_or(0)?, 0);
    /// kv.set(key!["visits"], "many")?;
    /// assert!(kv.get(key!["visits"])?.u64_or(0).is_err());
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`TypeMismatch`](crate::ErrorKind::TypeMismatch) when it holds something else.
    pub fn u64_or(&self, default: u64) -> Result<u64, Error> {
        if self.is_present() { self.u64() } else { Ok(default) }
    }

    /// The bytes that the key holds. They may keep a file of the store alive: copy them to let go.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.set(key!["magic"], b"\x89PNG")?;
    /// assert_eq!(kv.get(key!["magic"])?.bytes()?.to_vec(), b"\x89PNG");
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`TypeMismatch`](crate::ErrorKind::TypeMismatch) when it holds something else, or nothing.
    pub fn bytes(&self) -> Result<&Bytes, Error> {
        match &self.value {
            Some(Value::Bytes(bytes)) => Ok(bytes),
            _ => Err(self.wrong_type("bytes")),
        }
    }

    /// The text that the key holds: bytes that are UTF-8.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.set(key!["name"], "ada")?;
    /// assert_eq!(kv.get(key!["name"])?.str()?, "ada");
    /// kv.set(key!["name"], b"\xff")?;
    /// assert!(kv.get(key!["name"])?.str().is_err(), "this is not UTF-8");
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`TypeMismatch`](crate::ErrorKind::TypeMismatch) when it holds something else, or nothing.
    pub fn str(&self) -> Result<&str, Error> {
        std::str::from_utf8(self.bytes()?).map_err(|_| self.wrong_type("text in UTF-8"))
    }

    /// The JavaScript value that the key holds, as V8's serializer wrote it.
    ///
    /// ```
    /// use icecore::{Kv, Value, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.set(key!["level"], Value::number(2.5))?;
    /// let entry = kv.get(key!["level"])?;
    /// assert_eq!(entry.v8()?[..2], [0xff, 0x0f], "the serializer's header and version");
    /// assert!(entry.u64().is_err(), "a number of JavaScript is not a `Value::U64`");
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`TypeMismatch`](crate::ErrorKind::TypeMismatch) when it holds something else, or nothing.
    pub fn v8(&self) -> Result<&Bytes, Error> {
        match &self.value {
            Some(Value::V8(serialized)) => Ok(serialized),
            _ => Err(self.wrong_type("a JavaScript value")),
        }
    }

    /// The number of JavaScript that the key holds.
    ///
    /// ```
    /// use icecore::{Kv, Value, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.set(key!["level"], Value::number(2.5))?;
    /// assert_eq!(kv.get(key!["level"])?.number()?, 2.5);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`TypeMismatch`](crate::ErrorKind::TypeMismatch) when it holds something else, or nothing.
    pub fn number(&self) -> Result<f64, Error> {
        let number = self.value.as_ref().and_then(Value::as_number);
        number.ok_or_else(|| self.wrong_type("a JavaScript number"))
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
        let absent = Entry::absent(key!["a"]);
        let error = absent.u64().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TypeMismatch);
        assert_eq!(error.to_string(), r#"["a"] holds nothing, not a u64"#);
        assert_eq!(absent.u64_or(7).unwrap(), 7);
        let stored = |value: Value| Record {
            stamp: Versionstamp::new(1),
            value: value.stored().to_vec().into(),
            expires_at: None,
        };
        let present = Entry::new(key!["a"], Some(stored("x".into()))).unwrap();
        assert_eq!(present.bytes().unwrap(), &b"x"[..]);
        assert_eq!(present.str().unwrap(), "x");
        assert_eq!(present.u64().unwrap_err().to_string(), r#"["a"] holds bytes, not a u64"#);
        let binary = Entry::new(key!["a"], Some(stored(b"\xff".into()))).unwrap();
        assert_eq!(binary.str().unwrap_err().kind(), ErrorKind::TypeMismatch);
    }
}
