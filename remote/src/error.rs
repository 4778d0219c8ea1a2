//! What can go wrong with a call, and what is known then.

use std::error;
use std::fmt;

/// Why a call has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    text: String,
}

/// What is known about a call that has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The address, the token or a certificate cannot be used. Nothing was sent.
    Invalid,
    /// Nobody has answered in time. Nothing took effect.
    Unreachable,
    /// The token is not the right one. Nothing took effect.
    Denied,
    /// The far end does not do it, and says why. Nothing took effect.
    Refused,
    /// What has answered is no KV Connect endpoint, or not of a version that is known here. Nothing
    /// took effect.
    Foreign,
    /// The far end takes no writes. Nothing took effect.
    ReadOnly,
    /// A write was sent, and no answer has come that says what became of it.
    OutcomeUnknown,
    /// The client was closed.
    Closed,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, text: impl Into<String>) -> Error {
        Error { kind, text: text.into() }
    }

    pub(crate) fn closed() -> Error {
        Error::new(ErrorKind::Closed, "the client was closed")
    }

    /// What is known.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What has happened. For [`ErrorKind::Refused`] the words of the far end.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl error::Error for Error {}

/// The text of an error with all its causes.
pub(crate) fn chain(error: &dyn error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
