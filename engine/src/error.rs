//! What can go wrong, and what the caller can do about it.
//!
//! A failed check is not an error: see [`Outcome`](crate::Outcome).

use std::error;
use std::fmt;
use std::io;
use std::sync::Arc;

/// An error of the engine. It says what, where and how much; [`Error::kind`] says what to do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The call makes no sense as it stands.
    InvalidArgument {
        /// What is wrong with it.
        what: String,
    },
    /// There is no store, and none was to be created.
    NotFound {
        /// The directory.
        directory: String,
    },
    /// Something is larger than it may be.
    LimitExceeded {
        /// Which limit.
        limit: &'static str,
        /// The most that is allowed.
        max: u64,
        /// What was given.
        got: u64,
    },
    /// A read-modify-write mutation does not fit the value that it found.
    TypeMismatch {
        /// What was expected, and what was there.
        what: String,
    },
    /// Somebody else has the directory open.
    Locked {
        /// The directory.
        directory: String,
        /// Who, as far as is known.
        holder: String,
    },
    /// Stored bytes are damaged, missing or not ours.
    Corrupt {
        /// The file.
        file: String,
        /// Bytes from its start.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// A file was written by a version that this one does not know.
    UnknownFormat {
        /// The file.
        file: String,
        /// What is not known.
        what: String,
    },
    /// The operating system refused an operation.
    Io {
        /// The file or directory.
        file: String,
        /// What was tried.
        action: &'static str,
        /// Its answer.
        source: Arc<io::Error>,
    },
    /// The disk is full, or as full as it may become. Nothing was changed.
    OutOfSpace {
        /// What was tried.
        action: &'static str,
    },
    /// An earlier write failed in a way that leaves the outcome of commits open. No commit is
    /// accepted until the store is opened again; reads go on.
    Poisoned {
        /// The first failure.
        cause: String,
    },
    /// The commit was under way when the log failed: it may or may not be found after reopening.
    OutcomeUnknown {
        /// The failure.
        cause: String,
    },
    /// The store was closed.
    Closed,
    /// The store was opened for reading only.
    ReadOnly,
}

/// What an error asks of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Correct the call.
    InvalidArgument,
    /// Name the directory of a store, or create one.
    NotFound,
    /// Send less.
    LimitExceeded,
    /// Correct the value or the mutation.
    TypeMismatch,
    /// Close the other owner first.
    Locked,
    /// Restore from a copy, or salvage.
    Corrupt,
    /// Look at the disk.
    Io,
    /// Make room and try again.
    OutOfSpace,
    /// Open the store again.
    Poisoned,
    /// Open the store again and look whether the commit is there.
    OutcomeUnknown,
    /// Open the store again.
    Closed,
    /// Open the store for writing.
    ReadOnly,
    /// Use a newer version.
    UnknownFormat,
}

impl Error {
    /// What the error asks of the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::InvalidArgument { .. } => ErrorKind::InvalidArgument,
            Error::NotFound { .. } => ErrorKind::NotFound,
            Error::LimitExceeded { .. } => ErrorKind::LimitExceeded,
            Error::TypeMismatch { .. } => ErrorKind::TypeMismatch,
            Error::Locked { .. } => ErrorKind::Locked,
            Error::Corrupt { .. } => ErrorKind::Corrupt,
            Error::UnknownFormat { .. } => ErrorKind::UnknownFormat,
            Error::Io { .. } => ErrorKind::Io,
            Error::OutOfSpace { .. } => ErrorKind::OutOfSpace,
            Error::Poisoned { .. } => ErrorKind::Poisoned,
            Error::OutcomeUnknown { .. } => ErrorKind::OutcomeUnknown,
            Error::Closed => ErrorKind::Closed,
            Error::ReadOnly => ErrorKind::ReadOnly,
        }
    }

    /// Whether the same call may succeed later without anything being repaired by hand.
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind(), ErrorKind::OutOfSpace | ErrorKind::Locked)
    }

    pub(crate) fn invalid(what: impl Into<String>) -> Error {
        Error::InvalidArgument { what: what.into() }
    }

    pub(crate) fn corrupt(file: impl fmt::Display, offset: u64, what: impl Into<String>) -> Error {
        Error::Corrupt { file: file.to_string(), offset, what: what.into() }
    }

    /// Wraps an answer of the operating system; a full disk has a kind of its own.
    pub(crate) fn io(file: impl fmt::Display, action: &'static str, source: io::Error) -> Error {
        if is_full(&source) {
            return Error::OutOfSpace { action };
        }
        Error::Io { file: file.to_string(), action, source: Arc::new(source) }
    }
}

/// Whether the operating system said that there is no room.
pub(crate) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::InvalidArgument { what } => write!(f, "{what}"),
            Error::NotFound { directory } => write!(f, "there is no store in {directory}"),
            Error::LimitExceeded { limit, max, got } => {
                write!(f, "{limit} is limited to {max}, but {got} was given")
            }
            Error::TypeMismatch { what } => write!(f, "{what}"),
            Error::Locked { directory, holder } => {
                write!(f, "{directory} is locked by {holder}")
            }
            Error::Corrupt { file, offset, what } => {
                write!(f, "{file} is damaged at byte {offset}: {what}")
            }
            Error::UnknownFormat { file, what } => {
                write!(f, "{file} has a format that this version does not know: {what}")
            }
            Error::Io { file, action, source } => write!(f, "cannot {action} {file}: {source}"),
            Error::OutOfSpace { action } => write!(f, "no space left on the disk to {action}"),
            Error::Poisoned { cause } => {
                write!(f, "the store takes no more commits until it is reopened: {cause}")
            }
            Error::OutcomeUnknown { cause } => {
                write!(f, "whether the commit is stored shows when the store is reopened: {cause}")
            }
            Error::Closed => f.write_str("the store is closed"),
            Error::ReadOnly => f.write_str("the store is open for reading only"),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
