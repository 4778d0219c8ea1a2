//! Values of JavaScript, as a Rust program sees them: shown, as JSON, and as Rust's own types.
//!
//! A type that serde knows is stored as the value that JavaScript would have stored for it: structs
//! and maps with string keys are objects, sequences arrays, text strings, numbers numbers (integers
//! beyond 2^53 bigints), `None` is null, enums are as in JSON. So what Rust writes, Deno and Node
//! read, and the other way round. `icecore_v8::typed` has the whole table.

use std::fmt;

#[cfg(any(feature = "serde", feature = "v8"))]
use crate::error::Error;
use crate::value::Value;

/// As a program of JavaScript would show it; bytes as in Rust.
///
/// ```
/// use icecore::Value;
///
/// assert_eq!(Value::bigint(5).to_string(), "5n");
/// assert_eq!(Value::from(5).to_string(), "[Deno.KvU64: 5n]");
/// assert_eq!(Value::from("hi\n").to_string(), r#"b"hi\n""#);
/// ```
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bytes(bytes) => write!(f, "b\"{}\"", bytes.escape_ascii()),
            Value::U64(number) => write!(f, "[Deno.KvU64: {number}n]"),
            Value::V8(serialized) => match icecore_v8::read(serialized) {
                Ok(value) => value.fmt(f),
                Err(malformed) => {
                    let bytes = serialized.escape_ascii();
                    write!(f, "[not a value of V8 at byte {}: {bytes}]", malformed.offset)
                }
            },
        }
    }
}

#[cfg(feature = "v8")]
impl Value {
    /// The JavaScript value that `JSON.parse` makes of `text`.
    ///
    /// ```
    /// use icecore::{Kv, Value, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.set(key!["user", 1], Value::from_json(r#"{"name": "ada", "tags": ["x"]}"#)?)?;
    /// let user = kv.get(key!["user", 1])?.value.unwrap();
    /// assert_eq!(user.to_string(), r#"{ name: "ada", tags: [ "x" ] }"#);
    /// assert_eq!(user.to_json()?, r#"{"name":"ada","tags":["x"]}"#);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) with line and column when it is not
    /// JSON.
    pub fn from_json(text: &str) -> Result<Value, Error> {
        let parsed = icecore_v8::parse_json(text);
        let value = parsed.map_err(|error| Error::invalid("not JSON", error.to_string()))?;
        Ok(Value::V8(icecore_v8::write(&value).into()))
    }

    /// The value as JSON text, with the properties in the order that JavaScript gives them.
    ///
    /// ```
    /// use icecore::{ErrorKind, Value};
    ///
    /// assert_eq!(Value::number(0.5).to_json()?, "0.5");
    /// assert_eq!(Value::from_json("[1, null]")?.to_json()?, "[1,null]");
    /// let error = Value::bigint(7).to_json().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TypeMismatch);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`TypeMismatch`](crate::ErrorKind::TypeMismatch) for what JSON cannot say, with the path to
    /// it: bytes, bigints, dates, undefined, NaN and the like.
    pub fn to_json(&self) -> Result<String, Error> {
        let refused = |detail: String| {
            let kind = crate::ErrorKind::TypeMismatch;
            Error::with_text(kind, "the value cannot be shown as JSON", detail)
        };
        let Value::V8(serialized) = self else {
            return Err(refused(format!("it is {}", self.kind())));
        };
        let value = icecore_v8::read(serialized).map_err(|error| refused(error.to_string()))?;
        icecore_v8::to_json(&value).map_err(|error| refused(error.to_string()))
    }
}

#[cfg(feature = "serde")]
impl Value {
    /// The value of a type that serde knows, as JavaScript would have stored it.
    ///
    /// ```
    /// use icecore::{Kv, Value, key};
    ///
    /// #[derive(serde::Serialize, serde::Deserialize, Debug, PartialEq)]
    /// struct User {
    ///     name: String,
    ///     visits: u32,
    /// }
    ///
    /// let kv = Kv::in_memory()?;
    /// let ada = User { name: "ada".into(), visits: 3 };
    /// kv.set(key!["user", 1], Value::typed(&ada)?)?;
    /// let entry = kv.get(key!["user", 1])?;
    /// assert_eq!(entry.typed::<User>()?, ada);
    /// assert_eq!(entry.value.unwrap().to_string(), r#"{ name: "ada", visits: 3 }"#);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) when the type refuses, or is nested
    /// too deeply.
    pub fn typed<T: serde::Serialize + ?Sized>(content: &T) -> Result<Value, Error> {
        let serialized = icecore_v8::to_vec(content)
            .map_err(|error| Error::invalid("the value cannot be serialized", error.to_string()))?;
        Ok(Value::V8(serialized.into()))
    }

    /// The JavaScript value as a type that serde knows: the way back from [`Value::typed`].
    ///
    /// ```
    /// use icecore::{Enqueue, Kv, Value};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.enqueue(Enqueue::new(Value::typed(&("mail", 17))?))?;
    /// let message = kv.queue("").receive()?.unwrap();
    /// assert_eq!(message.payload().to_typed::<(String, u32)>()?, ("mail".to_owned(), 17));
    /// message.finish()?;
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`TypeMismatch`](crate::ErrorKind::TypeMismatch) when it is bytes or a [`Value::U64`], or
    /// another JavaScript value.
    pub fn to_typed<T: serde::de::DeserializeOwned>(&self) -> Result<T, Error> {
        let refused = |what: String| {
            let text = format!("the value is not a {}", std::any::type_name::<T>());
            Error::with_text(crate::ErrorKind::TypeMismatch, text, what)
        };
        match self {
            Value::V8(serialized) => {
                icecore_v8::from_slice(serialized).map_err(|error| refused(error.to_string()))
            }
            Value::Bytes(_) | Value::U64(_) => Err(refused(format!("it is {}", self.kind()))),
        }
    }
}

#[cfg(feature = "serde")]
impl crate::Entry {
    /// The JavaScript value that the key holds, as a type that serde knows: see [`Value::typed`].
    ///
    /// ```
    /// use icecore::{Kv, Value, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.set(key!["primes"], Value::from_json("[2, 3, 5]")?)?;
    /// let primes: Vec<u32> = kv.get(key!["primes"])?.typed()?;
    /// assert_eq!(primes, [2, 3, 5]);
    /// assert!(kv.get(key!["primes"])?.typed::<String>().is_err());
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`TypeMismatch`](crate::ErrorKind::TypeMismatch) when the key holds something else, or
    /// nothing.
    pub fn typed<T: serde::de::DeserializeOwned>(&self) -> Result<T, Error> {
        icecore_v8::from_slice(self.v8()?).map_err(|error| {
            let text = format!("{} does not hold a {}", self.key, std::any::type_name::<T>());
            Error::with_text(crate::ErrorKind::TypeMismatch, text, error.to_string())
        })
    }
}

#[cfg(all(test, feature = "serde", feature = "v8"))]
mod tests {
    use super::*;
    use crate::{ErrorKind, Kv, key};

    #[test]
    fn what_cannot_be_shown_or_read_says_why() {
        let error = Value::from_json("{").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().starts_with("not JSON: EOF"), "{error}");
        for value in [Value::from(1), Value::bigint(1), Value::V8(vec![1].into())] {
            assert_eq!(value.to_json().unwrap_err().kind(), ErrorKind::TypeMismatch);
        }
        let broken = Value::V8(vec![0xff, 0x0f, b'"', 9].into()).to_string();
        assert!(broken.starts_with("[not a value of V8"), "{broken}");
    }

    #[test]
    fn an_entry_of_another_type_is_refused_with_its_key() {
        let kv = Kv::in_memory().unwrap();
        kv.set(key!["n"], Value::number(1.5)).unwrap();
        let error = kv.get(key!["n"]).unwrap().typed::<String>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TypeMismatch);
        assert!(error.to_string().starts_with(r#"["n"] does not hold a"#), "{error}");
        assert_eq!(kv.get(key!["n"]).unwrap().typed::<f64>().unwrap(), 1.5);
        assert!(kv.get(key!["absent"]).unwrap().typed::<f64>().is_err());
    }
}
