//! What can go wrong with the log.

use std::fmt;
use std::io;

use icecore_disk::Name;

/// Why the log did not do what it was asked.
#[derive(Debug)]
pub enum Error {
    /// Data that was durable is damaged.
    Corrupt {
        /// The damaged file.
        file: Name,
        /// Where the damage begins, in bytes from the start of the file.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// A segment was written by a version of Icecore that this one does not know.
    UnknownFormat {
        /// The file.
        file: Name,
        /// Its format version.
        version: u32,
    },
    /// The disk refused an operation.
    Io {
        /// The file that it concerned.
        file: Name,
        /// What was tried, for example "read".
        operation: &'static str,
        /// The operating system's answer.
        source: io::Error,
    },
    /// There is no room for another segment. Nothing has changed.
    OutOfSpace {
        /// The segment that was wanted.
        file: Name,
        /// The operating system's answer, or the reserve's.
        source: io::Error,
    },
    /// A commit is larger than a frame may be.
    TooLarge {
        /// The largest payload in bytes.
        max: usize,
        /// The payload's size in bytes.
        got: usize,
    },
    /// A write failed earlier: nothing more is acknowledged until the store is opened again.
    Poisoned,
    /// The log was closed.
    Closed,
}

impl Error {
    /// A failed operation on `file`; want of space is told apart.
    pub(crate) fn io(file: Name, operation: &'static str, source: io::Error) -> Error {
        if is_out_of_space(&source) {
            Error::OutOfSpace { file, source }
        } else {
            Error::Io { file, operation, source }
        }
    }
}

/// Whether an error only says that there is no room left.
pub(crate) fn is_out_of_space(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Corrupt { file, offset, what } => {
                write!(f, "{file} is damaged at byte {offset}: {what}")
            }
            Error::UnknownFormat { file, version } => {
                write!(f, "{file} has the unknown format version {version}")
            }
            Error::Io { file, operation, source } => write!(f, "{operation} {file}: {source}"),
            Error::OutOfSpace { file, source } => write!(f, "no room for {file}: {source}"),
            Error::TooLarge { max, got } => {
                write!(f, "a commit of {got} bytes exceeds the limit of {max} bytes")
            }
            Error::Poisoned => f.write_str("an earlier write to the log failed"),
            Error::Closed => f.write_str("the log is closed"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } | Error::OutOfSpace { source, .. } => Some(source),
            _ => None,
        }
    }
}
