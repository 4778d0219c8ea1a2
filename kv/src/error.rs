//! What can go wrong, and what the caller can do about it.
//!
//! Where Deno KV has a text for an error, ours begins with it and goes on with what, where and how
//! much; [`Error::text`] is Deno's text alone. A failed check is not an error: see
//! [`Commit`](crate::Commit).

use std::error;
use std::fmt;

use icecore_engine as engine;
use icecore_model::Malformed;
use icecore_model::stamp::ParseStampError;

use crate::key::Key;
use crate::limits::Limit;
use crate::value::{BadValue, TAG_BYTES};

/// An error of the store. Its text says what, where and how much; [`Error::kind`] says what to do.
///
/// ```
/// use icecore::{Kv, key};
///
/// let kv = Kv::in_memory()?;
/// let error = kv.get(key!["name"])?.str().unwrap_err();
/// assert_eq!(error.to_string(), r#"["name"] holds nothing, not bytes"#);
/// assert_eq!(format!("{error:?}"), format!("TypeMismatch: {error}"));
/// # Ok::<(), icecore::Error>(())
/// ```
#[derive(Clone)]
pub struct Error {
    cause: Box<Cause>,
}

#[derive(Clone, Debug)]
enum Cause {
    Engine(engine::Error),
    /// What a store elsewhere, or the way to it, has come to.
    #[cfg(feature = "remote")]
    Remote(ErrorKind, icecore_remote::Error),
    /// A call that Deno refuses, too, with this text.
    Refused {
        kind: ErrorKind,
        text: String,
        /// What, where and how much; empty if the text says it all.
        detail: String,
    },
    /// The entry of `key` holds `found` where the caller asked for `asked`.
    Type {
        key: Key,
        asked: &'static str,
        found: &'static str,
    },
    /// The stored value of `key` is not one.
    Value {
        key: Key,
        bad: BadValue,
    },
    /// A stored key is not one.
    Key {
        key: Key,
        malformed: Malformed,
    },
}

/// What an error asks of the caller.
///
/// ```
/// use icecore::{ErrorKind, Kv, Limit, key};
///
/// let kv = Kv::in_memory()?;
/// match kv.set(key!["k"], vec![0; 65_537]).unwrap_err().kind() {
///     ErrorKind::LimitExceeded { limit: Limit::ValueBytes, max, got } => {
///         assert_eq!((max, got), (65_536, 65_537));
///     }
///     other => panic!("{other:?}"),
/// }
/// # Ok::<(), icecore::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Correct the call.
    InvalidArgument,
    /// Name the directory of a store, or let one be created.
    NotFound,
    /// Send less.
    LimitExceeded {
        /// Which limit.
        limit: Limit,
        /// The most that is allowed.
        max: u64,
        /// What was given.
        got: u64,
    },
    /// Ask for what is there: the value has another type, or there is none.
    TypeMismatch,
    /// Close the other owner of the directory first.
    Locked,
    /// Restore from a copy.
    Corrupt {
        /// The damaged file.
        file: String,
        /// Bytes from its start.
        offset: u64,
    },
    /// Look at the disk; or at the network, when the store is elsewhere.
    Io,
    /// Make room and try again.
    OutOfSpace,
    /// Open the store again: no commit is accepted until then.
    Poisoned,
    /// Look whether the commit is there; open the store again for that, unless it is elsewhere.
    OutcomeUnknown,
    /// Open the store again: it was closed.
    Closed,
    /// Open the store for writing.
    ReadOnly,
    /// Use a newer version.
    UnknownFormat,
    /// Do without, or open a store that can: see [`Capabilities`](crate::Capabilities).
    Unsupported,
    /// Show another access token.
    Unauthorized,
}

impl Error {
    fn of(cause: Cause) -> Error {
        Error { cause: Box::new(cause) }
    }

    pub(crate) fn wrong_type(key: Key, asked: &'static str, found: &'static str) -> Error {
        Error::of(Cause::Type { key, asked, found })
    }

    pub(crate) fn bad_value(key: Key, bad: BadValue) -> Error {
        Error::of(Cause::Value { key, bad })
    }

    pub(crate) fn bad_key(key: Key, malformed: Malformed) -> Error {
        Error::of(Cause::Key { key, malformed })
    }

    /// `text` is Deno's where it has one; `detail` says what, where and how much.
    pub(crate) fn with_text(
        kind: ErrorKind,
        text: impl Into<String>,
        detail: impl Into<String>,
    ) -> Error {
        Error::of(Cause::Refused { kind, text: text.into(), detail: detail.into() })
    }

    /// A call that makes no sense as it stands.
    pub(crate) fn invalid(text: impl Into<String>, detail: impl Into<String>) -> Error {
        Error::with_text(ErrorKind::InvalidArgument, text, detail)
    }

    /// Something exceeds `limit`; `place` says where, and may be empty.
    /// A store elsewhere cannot do `what`.
    #[cfg(feature = "remote")]
    pub(crate) fn unsupported(what: impl fmt::Display) -> Error {
        let text = format!("a store that is elsewhere has no {what}");
        Error::with_text(ErrorKind::Unsupported, text, "KV Connect has no request for it")
    }

    pub(crate) fn limit(limit: Limit, max: u64, got: u64, place: String) -> Error {
        let unit = limit.unit();
        let place = if place.is_empty() { place } else { format!(" for {place}") };
        let detail = format!("{got} {unit}{place}");
        Error::with_text(ErrorKind::LimitExceeded { limit, max, got }, limit.text(max), detail)
    }

    /// What the error asks of the caller.
    ///
    /// ```
    /// use icecore::{ErrorKind, Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// let error = kv.set(key![], "nothing can be stored here").unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn kind(&self) -> ErrorKind {
        match &*self.cause {
            Cause::Engine(error) => engine_kind(error),
            Cause::Refused { kind, .. } => kind.clone(),
            #[cfg(feature = "remote")]
            Cause::Remote(kind, _) => kind.clone(),
            Cause::Type { .. } => ErrorKind::TypeMismatch,
            Cause::Value { bad: BadValue::UnknownTag(_), .. } => ErrorKind::UnknownFormat,
            Cause::Value { key, bad: BadValue::Malformed(_) } => {
                ErrorKind::Corrupt { file: format!("the value of {key}"), offset: 0 }
            }
            Cause::Key { key, malformed } => {
                ErrorKind::Corrupt { file: key.to_string(), offset: malformed.offset as u64 }
            }
        }
    }

    /// The message as Deno KV words it, where it has one; otherwise all of it.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// let error = kv.set(key!["k"], vec![0; 65_537]).unwrap_err();
    /// assert_eq!(error.text(), "Value too large (max 65536 bytes)");
    /// assert_eq!(error.to_string(), r#"Value too large (max 65536 bytes): 65537 bytes for ["k"]"#);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn text(&self) -> String {
        match &*self.cause {
            Cause::Refused { text, .. } => text.clone(),
            _ => self.to_string(),
        }
    }

    /// Whether the same call may succeed later without anything being repaired by hand.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("store");
    /// let owner = Kv::open(&path)?;
    /// let locked = Kv::open(&path).unwrap_err();
    /// assert!(locked.is_retryable(), "the owner may close it");
    /// owner.close()?;
    /// assert!(!owner.set(key!["a"], 1).unwrap_err().is_retryable());
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind(), ErrorKind::OutOfSpace | ErrorKind::Locked)
    }
}

fn engine_kind(error: &engine::Error) -> ErrorKind {
    match error {
        engine::Error::LimitExceeded { limit, max, got } => {
            return ErrorKind::LimitExceeded { limit: Limit::Engine(limit), max: *max, got: *got };
        }
        engine::Error::Corrupt { file, offset, .. } => {
            return ErrorKind::Corrupt { file: file.clone(), offset: *offset };
        }
        _ => {}
    }
    match error.kind() {
        engine::ErrorKind::InvalidArgument => ErrorKind::InvalidArgument,
        engine::ErrorKind::NotFound => ErrorKind::NotFound,
        engine::ErrorKind::TypeMismatch => ErrorKind::TypeMismatch,
        engine::ErrorKind::Locked => ErrorKind::Locked,
        engine::ErrorKind::OutOfSpace => ErrorKind::OutOfSpace,
        engine::ErrorKind::Poisoned => ErrorKind::Poisoned,
        engine::ErrorKind::OutcomeUnknown => ErrorKind::OutcomeUnknown,
        engine::ErrorKind::Closed => ErrorKind::Closed,
        engine::ErrorKind::ReadOnly => ErrorKind::ReadOnly,
        engine::ErrorKind::UnknownFormat => ErrorKind::UnknownFormat,
        // What the engine may add later, it must have met while it worked with its files.
        _ => ErrorKind::Io,
    }
}

impl From<engine::Error> for Error {
    fn from(error: engine::Error) -> Error {
        Error::of(Cause::Engine(without_tags(error)))
    }
}

#[cfg(feature = "remote")]
impl From<icecore_remote::Error> for Error {
    fn from(error: icecore_remote::Error) -> Error {
        use icecore_remote::ErrorKind as Far;
        let kind = match error.kind() {
            Far::Invalid => ErrorKind::InvalidArgument,
            Far::Denied => ErrorKind::Unauthorized,
            Far::Refused => refused(error.text()),
            Far::ReadOnly => ErrorKind::ReadOnly,
            Far::OutcomeUnknown => ErrorKind::OutcomeUnknown,
            Far::Closed => ErrorKind::Closed,
            // Nobody is there, or somebody else.
            _ => ErrorKind::Io,
        };
        Error::of(Cause::Remote(kind, error))
    }
}

/// What kind a refusal is that a store elsewhere has given with these words: those for numbers that
/// do not fit, which are Deno's, are told by their beginnings. Limits were looked at before.
#[cfg(feature = "remote")]
fn refused(text: &str) -> ErrorKind {
    const MISMATCHES: [&str; 6] = [
        "Failed to perform '",
        "Cannot sum ",
        "unsupported value type",
        "invalid v8 value",
        "Some of the parameters are not valid V8 values",
        "Min/max parameters have different types",
    ];
    if MISMATCHES.iter().any(|beginning| text.starts_with(beginning)) {
        ErrorKind::TypeMismatch
    } else {
        ErrorKind::InvalidArgument
    }
}

impl From<ParseStampError> for Error {
    fn from(error: ParseStampError) -> Error {
        Error::invalid(error.to_string(), "")
    }
}

/// The engine counts the tag of a stored value and the keyspace of a stored key; callers do not.
fn without_tags(error: engine::Error) -> engine::Error {
    match error {
        engine::Error::LimitExceeded { limit, max, got }
            if matches!(limit, "a value" | "a key") =>
        {
            const _: () = assert!(TAG_BYTES == 1, "a value and a key both have one byte more");
            engine::Error::LimitExceeded { limit, max: max - 1, got: got - 1 }
        }
        error => error,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.cause {
            Cause::Engine(error) => error.fmt(f),
            #[cfg(feature = "remote")]
            Cause::Remote(_, error) => error.fmt(f),
            Cause::Refused { text, detail, .. } if detail.is_empty() => f.write_str(text),
            Cause::Refused { text, detail, .. } => write!(f, "{text}: {detail}"),
            Cause::Type { key, asked, found } => write!(f, "{key} holds {found}, not {asked}"),
            Cause::Value { key, bad: bad @ BadValue::UnknownTag(_) } => {
                write!(f, "{key} holds {bad}, which this version does not know")
            }
            Cause::Value { key, bad } => write!(f, "the value of {key} is damaged: {bad}"),
            Cause::Key { key, malformed } => write!(f, "{key}: expected {malformed}"),
        }
    }
}

/// The kind and the message: this is what a program prints whose `main` returns the error.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.kind())
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match &*self.cause {
            Cause::Engine(error) => error.source(),
            #[cfg(feature = "remote")]
            Cause::Remote(_, error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key;

    #[test]
    fn kinds_carry_what_a_program_needs() {
        let error = Error::from(engine::Error::LimitExceeded { limit: "a key", max: 2, got: 3 });
        let limit = Limit::Engine("a key");
        assert_eq!(error.kind(), ErrorKind::LimitExceeded { limit, max: 1, got: 2 });
        let damaged = engine::Error::Corrupt { file: "7.wal".into(), offset: 9, what: "x".into() };
        let kind = Error::from(damaged).kind();
        assert_eq!(kind, ErrorKind::Corrupt { file: "7.wal".into(), offset: 9 });
        assert!(Error::from(engine::Error::OutOfSpace { action: "write" }).is_retryable());
        assert!(!Error::from(engine::Error::Closed).is_retryable());
    }

    #[test]
    fn a_value_of_an_unknown_kind_asks_for_a_newer_version() {
        let error = Error::bad_value(key!["a"], BadValue::UnknownTag(9));
        assert_eq!(error.kind(), ErrorKind::UnknownFormat);
        let text = r#"["a"] holds a value with the tag 9, which this version does not know"#;
        assert_eq!(error.to_string(), text);
        assert_eq!(format!("{error:?}"), format!("UnknownFormat: {text}"));
    }

    #[test]
    fn a_text_of_deno_is_followed_by_what_and_how_much() {
        let error = Error::limit(Limit::Checks, 100, 101, String::new());
        assert_eq!(error.text(), "Too many checks (max 100)");
        assert_eq!(error.to_string(), "Too many checks (max 100): 101 checks");
        assert_eq!(Error::invalid("key cannot be empty", "").to_string(), "key cannot be empty");
    }
}
