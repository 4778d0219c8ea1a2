//! What can go wrong, and what the caller can do about it.
//!
//! A failed check is not an error: see [`Commit`](crate::Commit).

use std::error;
use std::fmt;

use icecore_engine as engine;
use icecore_model::Malformed;

use crate::key::Key;
use crate::value::{BadValue, TAG_BYTES};

/// An error of the store. Its text says what, where and how much; [`Error::kind`] says what to do.
#[derive(Clone, Debug)]
pub struct Error {
    cause: Cause,
}

#[derive(Clone, Debug)]
enum Cause {
    Engine(engine::Error),
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
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Correct the call.
    InvalidArgument,
    /// Send less.
    LimitExceeded {
        /// Which limit.
        limit: &'static str,
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
    /// Look at the disk.
    Io,
    /// Make room and try again.
    OutOfSpace,
    /// Open the store again: no commit is accepted until then.
    Poisoned,
    /// Open the store again and look whether the commit is there.
    OutcomeUnknown,
    /// Open the store again: it was closed.
    Closed,
    /// Open the store for writing.
    ReadOnly,
    /// Use a newer version.
    UnknownFormat,
}

impl Error {
    pub(crate) fn wrong_type(key: Key, asked: &'static str, found: &'static str) -> Error {
        Error { cause: Cause::Type { key, asked, found } }
    }

    pub(crate) fn bad_value(key: Key, bad: BadValue) -> Error {
        Error { cause: Cause::Value { key, bad } }
    }

    pub(crate) fn bad_key(key: Key, malformed: Malformed) -> Error {
        Error { cause: Cause::Key { key, malformed } }
    }

    /// What the error asks of the caller.
    pub fn kind(&self) -> ErrorKind {
        match &self.cause {
            Cause::Engine(error) => engine_kind(error),
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

    /// Whether the same call may succeed later without anything being repaired by hand.
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind(), ErrorKind::OutOfSpace | ErrorKind::Locked)
    }
}

fn engine_kind(error: &engine::Error) -> ErrorKind {
    match error {
        engine::Error::LimitExceeded { limit, max, got } => {
            return ErrorKind::LimitExceeded { limit, max: *max, got: *got };
        }
        engine::Error::Corrupt { file, offset, .. } => {
            return ErrorKind::Corrupt { file: file.clone(), offset: *offset };
        }
        _ => {}
    }
    match error.kind() {
        engine::ErrorKind::InvalidArgument => ErrorKind::InvalidArgument,
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
        Error { cause: Cause::Engine(without_tags(error)) }
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
        match &self.cause {
            Cause::Engine(error) => error.fmt(f),
            Cause::Type { key, asked, found } => write!(f, "{key} holds {found}, not {asked}"),
            Cause::Value { key, bad: bad @ BadValue::UnknownTag(_) } => {
                write!(f, "{key} holds {bad}, which this version does not know")
            }
            Cause::Value { key, bad } => write!(f, "the value of {key} is damaged: {bad}"),
            Cause::Key { key, malformed } => write!(f, "{key}: expected {malformed}"),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match &self.cause {
            Cause::Engine(error) => error.source(),
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
        assert_eq!(error.kind(), ErrorKind::LimitExceeded { limit: "a key", max: 1, got: 2 });
        let damaged = engine::Error::Corrupt { file: "7.wal".into(), offset: 9, what: "x".into() };
        let kind = Error::from(damaged).kind();
        assert_eq!(kind, ErrorKind::Corrupt { file: "7.wal".into(), offset: 9 });
        assert!(Error::from(engine::Error::OutOfSpace { action: "write" }).is_retryable());
        assert!(!Error::from(engine::Error::Closed).is_retryable());
    }

    #[test]
    fn a_value_of_an_unknown_kind_asks_for_a_newer_version() {
        let error = Error::bad_value(key!["a"], BadValue::UnknownTag(1));
        assert_eq!(error.kind(), ErrorKind::UnknownFormat);
        let text = r#"["a"] holds a JavaScript value, which this version does not know"#;
        assert_eq!(error.to_string(), text);
    }
}
