//! What can go wrong with a table, and where.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::sync::Arc;

use icecore_disk::Name;
use icecore_model::Malformed;

/// Why a table could not be written or read.
///
/// It can be cloned because a cursor repeats its first error for ever.
#[derive(Clone, Debug)]
pub enum Error {
    /// The file is missing, or its bytes are not those that were written.
    Corrupt {
        /// Which file.
        file: Name,
        /// Where, in bytes from its start.
        offset: u64,
        /// What was found there, or should have been.
        what: Cow<'static, str>,
    },
    /// The file is whole, but uses something that this version does not know.
    UnknownFormat {
        /// Which file.
        file: Name,
        /// What is unknown.
        what: Cow<'static, str>,
    },
    /// The disk refused an operation.
    Io {
        /// Which file.
        file: Name,
        /// What was tried, as "read" or "sync".
        operation: &'static str,
        /// What the disk said.
        source: Arc<io::Error>,
    },
}

impl Error {
    pub(crate) fn corrupt(file: Name, offset: u64, what: impl Into<Cow<'static, str>>) -> Error {
        Error::Corrupt { file, offset, what: what.into() }
    }

    pub(crate) fn unknown(file: Name, what: impl Into<Cow<'static, str>>) -> Error {
        Error::UnknownFormat { file, what: what.into() }
    }

    /// For `map_err` on calls of the disk.
    pub(crate) fn io(file: Name, operation: &'static str) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Io { file, operation, source: Arc::new(source) }
    }

    /// For `map_err` on decoders of what starts at `base`.
    pub(crate) fn malformed(file: Name, base: u64) -> impl FnOnce(Malformed) -> Error {
        move |e| Error::corrupt(file, base.saturating_add(e.offset as u64), e.what)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Corrupt { file, offset, what } => {
                write!(f, "{file} is corrupt at byte {offset}: {what}")
            }
            Error::UnknownFormat { file, what } => {
                write!(f, "{file} has a format that this version does not know: {what}")
            }
            Error::Io { file, operation, source } => write!(f, "{operation} {file}: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source.as_ref()),
            Error::Corrupt { .. } | Error::UnknownFormat { .. } => None,
        }
    }
}
