//! What a walk lends for the length of a call: an entry, its key and its value, where they lie.
//!
//! Nothing of it is copied, and of the key nothing is decoded until somebody asks. Whoever wants to
//! keep something takes a copy: [`EntryRef::to_entry`], [`KeyRef::to_key`], [`ValueRef::to_value`].

use std::time::SystemTime;

use bytes::Bytes;
use icecore_model::key::{Part, decode};
use icecore_model::{Timestamp, Versionstamp};

use crate::entry::Entry;
use crate::error::Error;
use crate::expiry::system_time;
use crate::key::{ESCAPE, Key};
use crate::value::Value;

/// An entry that is lent; given by [`List::visit`](crate::List::visit). It is there, so it has a
/// value and a versionstamp.
///
/// ```
/// use std::ops::ControlFlow;
/// use icecore::{Entry, Kv, key, prefix};
///
/// let kv = Kv::in_memory()?;
/// kv.set(key!["users", "ada"], 36)?;
/// kv.set(key!["users", "bob"], 7)?;
/// let child: Option<Entry> = kv.list(prefix!["users"]).visit(|entry| match entry.u64() {
///     Ok(age) if age < 18 => ControlFlow::Break(entry.to_entry()),
///     _ => ControlFlow::Continue(()),
/// })?;
/// assert_eq!(child, Some(kv.get(key!["users", "bob"])?));
/// # Ok::<(), icecore::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EntryRef<'a> {
    /// The key.
    pub key: KeyRef<'a>,
    /// Its value.
    pub value: ValueRef<'a>,
    /// The commit that set the value.
    pub versionstamp: Versionstamp,
    expires_at: Option<Timestamp>,
}

/// A key that is lent. Keys are ordered as [`Key`]s are.
///
/// ```
/// use std::ops::ControlFlow;
/// use icecore::{Kv, key, prefix};
///
/// let kv = Kv::in_memory()?;
/// kv.set(key!["users", "ada", "age"], 36)?;
/// let found = kv.list(prefix!["users"]).visit(|entry| {
///     assert!(entry.key == key!["users", "ada", "age"]);
///     ControlFlow::Break(entry.key.parts().map(|parts| parts.len()))
/// })?;
/// assert_eq!(found.transpose()?, Some(3));
/// # Ok::<(), icecore::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyRef<'a> {
    /// The keyspace byte and the encoded parts.
    stored: &'a [u8],
}

/// A value that is lent, in one of the kinds of [`Value`].
///
/// ```
/// use std::ops::ControlFlow;
/// use icecore::{Kv, ValueRef, key};
///
/// let kv = Kv::in_memory()?;
/// kv.set(key!["name"], "ada")?;
/// let length = kv.list(..).visit(|entry| match entry.value {
///     ValueRef::Bytes(bytes) => ControlFlow::Break(bytes.len()),
///     _ => ControlFlow::Continue(()),
/// })?;
/// assert_eq!(length, Some(3));
/// # Ok::<(), icecore::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueRef<'a> {
    /// Bytes. Text is stored as its UTF-8.
    Bytes(&'a [u8]),
    /// An unsigned 64-bit integer.
    U64(u64),
    /// Any other value of JavaScript, as V8's serializer writes it.
    V8(&'a [u8]),
}

impl<'a> EntryRef<'a> {
    /// What is stored under the key with these stored bytes.
    #[inline]
    pub(crate) fn new(
        stored_key: &'a [u8],
        stored_value: &'a [u8],
        versionstamp: Versionstamp,
        expires_at: Option<Timestamp>,
    ) -> Result<EntryRef<'a>, Error> {
        let key = KeyRef::new(stored_key);
        match ValueRef::decode(stored_value) {
            Ok(value) => Ok(EntryRef { key, value, versionstamp, expires_at }),
            Err(bad) => Err(Error::bad_value(key.to_key(), bad)),
        }
    }

    /// From when on the key is absent again; `None` if it stays.
    ///
    /// ```
    /// use std::{ops::ControlFlow, time::Duration};
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.set_expiring(key!["session", 7], "ada", Duration::from_secs(3600))?;
    /// let expires_at = kv.list(..).visit(|entry| ControlFlow::Break(entry.expires_at()))?;
    /// assert_eq!(expires_at, Some(kv.get(key!["session", 7])?.expires_at()));
    /// # Ok::<(), icecore::Error>(())
    /// ```
    #[inline]
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at.map(system_time)
    }

    /// The number that the key holds.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use icecore::{Error, Kv, key, prefix};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.atomic().set(key!["visits", 1], 100).set(key!["visits", 2], 200).commit()?;
    /// let mut sum = 0;
    /// let wrong = kv.list(prefix!["visits"]).visit(|entry| match entry.u64() {
    ///     Ok(visits) => {
    ///         sum += visits;
    ///         ControlFlow::Continue(())
    ///     }
    ///     Err(error) => ControlFlow::Break(error),
    /// })?;
    /// wrong.map_or(Ok(()), Err)?;
    /// assert_eq!(sum, 300);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`TypeMismatch`](crate::ErrorKind::TypeMismatch) when it holds something else.
    #[inline]
    pub fn u64(&self) -> Result<u64, Error> {
        match self.value {
            ValueRef::U64(number) => Ok(number),
            _ => Err(self.wrong_type("a u64")),
        }
    }

    /// The bytes that the key holds.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.set(key!["magic"], b"\x89PNG")?;
    /// let first = kv.list(..).visit(|entry| ControlFlow::Break(entry.bytes().map(|bytes| bytes[0])))?;
    /// assert_eq!(first.transpose()?, Some(0x89));
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`EntryRef::u64`].
    #[inline]
    pub fn bytes(&self) -> Result<&'a [u8], Error> {
        match self.value {
            ValueRef::Bytes(bytes) => Ok(bytes),
            _ => Err(self.wrong_type("bytes")),
        }
    }

    /// The text that the key holds: bytes that are UTF-8.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.set(key!["name"], "ada")?;
    /// let name = kv.list(..).visit(|entry| ControlFlow::Break(entry.str().map(str::to_owned)))?;
    /// assert_eq!(name.transpose()?.as_deref(), Some("ada"));
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`EntryRef::u64`].
    #[inline]
    pub fn str(&self) -> Result<&'a str, Error> {
        std::str::from_utf8(self.bytes()?).map_err(|_| self.wrong_type("text in UTF-8"))
    }

    /// A copy of it.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.set(key!["name"], "ada")?;
    /// let entry = kv.list(..).visit(|entry| ControlFlow::Break(entry.to_entry()))?;
    /// assert_eq!(entry, Some(kv.get(key!["name"])?));
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn to_entry(&self) -> Entry {
        let value = self.value.to_value();
        Entry::present(self.key.to_key(), value, self.versionstamp, self.expires_at)
    }

    fn wrong_type(&self, asked: &'static str) -> Error {
        Error::wrong_type(self.key.to_key(), asked, self.value.kind())
    }
}

impl<'a> KeyRef<'a> {
    /// A key with these stored bytes.
    pub(crate) fn new(stored: &'a [u8]) -> KeyRef<'a> {
        KeyRef { stored }
    }

    /// The encoding, as [`Key::encoded`].
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.set(key!["hello"], 1)?;
    /// let bytes = kv.list(..).visit(|entry| ControlFlow::Break(entry.key.encoded().len()))?;
    /// assert_eq!(bytes, Some(b"\x02hello\x00".len()));
    /// # Ok::<(), icecore::Error>(())
    /// ```
    #[inline]
    pub fn encoded(self) -> &'a [u8] {
        &self.stored[1..]
    }

    /// Whether the first parts of the key are those of `prefix`.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.set(key!["users", 1], "ada")?;
    /// let is_user = kv.list(..).visit(|entry| {
    ///     ControlFlow::Break(entry.key.starts_with(&key!["users"]))
    /// })?;
    /// assert_eq!(is_user, Some(true));
    /// # Ok::<(), icecore::Error>(())
    /// ```
    #[inline]
    pub fn starts_with(self, prefix: &Key) -> bool {
        let rest = self.stored.strip_prefix(prefix.stored());
        rest.is_some_and(|rest| rest.first() != Some(&ESCAPE))
    }

    /// The parts, taken apart when this is called.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use icecore::{Kv, Part, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.set(key!["users", 42], "ada")?;
    /// let parts = kv.list(..).visit(|entry| ControlFlow::Break(entry.key.parts()))?;
    /// assert_eq!(parts.transpose()?, Some(key!["users", 42].parts()?));
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Key::parts`].
    pub fn parts(self) -> Result<Vec<Part>, Error> {
        decode(self.encoded()).map_err(|malformed| Error::bad_key(self.to_key(), malformed))
    }

    /// A copy of it.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.set(key!["users", 42], "ada")?;
    /// let first = kv.list(..).visit(|entry| ControlFlow::Break(entry.key.to_key()))?;
    /// assert_eq!(first, Some(key!["users", 42]));
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn to_key(self) -> Key {
        Key::from_stored(self.stored.to_vec())
    }
}

impl PartialEq<Key> for KeyRef<'_> {
    fn eq(&self, key: &Key) -> bool {
        self.stored == key.stored()
    }
}

impl From<KeyRef<'_>> for Key {
    fn from(key: KeyRef<'_>) -> Key {
        key.to_key()
    }
}

impl ValueRef<'_> {
    /// A copy of it.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use icecore::{Kv, Value, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.set(key!["level"], Value::number(2.5))?;
    /// let value = kv.list(..).visit(|entry| ControlFlow::Break(entry.value.to_value()))?;
    /// assert_eq!(value, Some(Value::number(2.5)));
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn to_value(self) -> Value {
        match self {
            ValueRef::Bytes(bytes) => Value::Bytes(Bytes::copy_from_slice(bytes)),
            ValueRef::U64(number) => Value::U64(number),
            ValueRef::V8(serialized) => Value::V8(Bytes::copy_from_slice(serialized)),
        }
    }
}

#[cfg(test)]
mod tests {
    use icecore_model::key::decode;

    use super::*;
    use crate::{ErrorKind, key};

    fn lent<'a>(stored_key: &'a [u8], stored_value: &'a [u8]) -> Result<EntryRef<'a>, Error> {
        EntryRef::new(stored_key, stored_value, Versionstamp::new(3), None)
    }

    #[test]
    fn what_is_lent_says_the_same_as_its_copy() {
        let key = key!["a\0b", 7];
        for value in [Value::from("hi"), Value::from(258), Value::number(0.5), b"\xff".into()] {
            let stored = value.stored();
            let lent = lent(key.stored(), &stored).unwrap();
            let copy = lent.to_entry();
            assert_eq!((&copy.key, copy.value.as_ref()), (&key, Some(&value)));
            assert_eq!(copy.versionstamp, Some(lent.versionstamp));
            let text = |error: Error| error.to_string();
            assert_eq!(lent.u64().map_err(text), copy.u64().map_err(text));
            assert_eq!(lent.str().map_err(text), copy.str().map_err(text));
            assert_eq!(lent.bytes().map_err(text), copy.bytes().map(|b| &b[..]).map_err(text));
            assert_eq!(format!("{} {:?}", lent.key, lent.key), format!("{key} {key:?}"));
            assert_eq!(lent.key.parts().unwrap(), decode(key.encoded()).unwrap());
        }
    }

    #[test]
    fn a_lent_key_starts_with_the_prefixes_of_the_key() {
        let (key, value) = (key!["a\0b", 7], Value::from(1).stored());
        let lent = lent(key.stored(), &value).unwrap();
        for prefix in [key![], key!["a"], key!["a\0b"], key!["a\0b", 7], key!["a\0b", 7, 1]] {
            assert_eq!(lent.key.starts_with(&prefix), key.starts_with(&prefix), "{prefix}");
            assert_eq!(lent.key == prefix, key == prefix, "{prefix}");
        }
    }

    #[test]
    fn a_value_of_a_later_version_is_refused_by_its_key() {
        let key = key!["a"];
        let error = lent(key.stored(), &[9, 1]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnknownFormat);
        assert!(error.to_string().contains(r#"["a"]"#), "{error}");
    }
}
