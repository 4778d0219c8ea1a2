//! Errors of the layers below, told in the engine's words.

use icecore_sstable as sstable;
use icecore_wal as wal;

use crate::error::{Error, is_full};

impl From<wal::Error> for Error {
    fn from(error: wal::Error) -> Error {
        match error {
            wal::Error::Corrupt { file, offset, what } => Error::corrupt(file, offset, what),
            wal::Error::UnknownFormat { file, version } => Error::UnknownFormat {
                file: file.to_string(),
                what: format!("format version {version}"),
            },
            wal::Error::Io { file, operation, source } => Error::io(file, operation, source),
            wal::Error::OutOfSpace { .. } => Error::OutOfSpace { action: "extend the log" },
            wal::Error::TooLarge { max, got } => Error::LimitExceeded {
                limit: "a commit in the log",
                max: max as u64,
                got: got as u64,
            },
            wal::Error::Poisoned => Error::Poisoned { cause: error.to_string() },
            wal::Error::Closed => Error::Closed,
        }
    }
}

impl From<sstable::Error> for Error {
    fn from(error: sstable::Error) -> Error {
        match error {
            sstable::Error::Corrupt { file, offset, what } => Error::corrupt(file, offset, what),
            sstable::Error::UnknownFormat { file, what } => {
                Error::UnknownFormat { file: file.to_string(), what: what.into_owned() }
            }
            sstable::Error::Io { operation, source, .. } if is_full(&source) => {
                Error::OutOfSpace { action: operation }
            }
            sstable::Error::Io { file, operation, source } => {
                Error::Io { file: file.to_string(), action: operation, source }
            }
        }
    }
}
