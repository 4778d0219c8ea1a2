//! What the command says, and which code it exits with, when something is not as it should be.

use std::fmt;
use std::io;
use std::process::ExitCode;

use icecore::{Error, ErrorKind};

/// Found a problem, or met one. A wrong call ends with 2, which the parser of arguments sees to.
const PROBLEM: u8 = 1;
/// Somebody else has the store open.
const LOCKED: u8 = 3;
/// The store is damaged, or has an unknown format.
const DAMAGED: u8 = 4;
/// All went well, and something was left out that the destination cannot hold.
const INCOMPLETE: u8 = 5;

/// What to do about damage.
const RESTORE: &str =
    "restore the directory from a copy, or save what is left with icecore salvage";

/// The end of a command that did not succeed.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    hint: Option<String>,
    code: u8,
}

impl Failure {
    /// Something is wrong that no other kind describes.
    pub(crate) fn problem(what: impl Into<String>) -> Failure {
        Failure { what: what.into(), hint: None, code: PROBLEM }
    }

    /// The store is damaged.
    pub(crate) fn damaged(what: impl Into<String>) -> Failure {
        Failure { code: DAMAGED, ..Failure::problem(what) }
    }

    /// It is done, but for what could not be.
    pub(crate) fn incomplete(what: impl Into<String>) -> Failure {
        Failure { code: INCOMPLETE, ..Failure::problem(what) }
    }

    /// Somebody else has the store open.
    pub(crate) fn locked(what: impl Into<String>) -> Failure {
        Failure { code: LOCKED, ..Failure::problem(what) }
    }

    /// The operating system refused an operation.
    pub(crate) fn io(action: &str, error: &io::Error) -> Failure {
        Failure::problem(format!("cannot {action}: {error}"))
    }

    /// Says what the caller could do.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    /// Says what was being done.
    pub(crate) fn during(mut self, action: &str) -> Failure {
        self.what = format!("{} (in {action})", self.what);
        self
    }

    /// What is wrong, in one line.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    /// The exit code of the process.
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let (code, hint) = match error.kind() {
            ErrorKind::Locked => {
                (LOCKED, Some("close the store in the other process, or wait until it has ended"))
            }
            ErrorKind::Corrupt { .. } => (DAMAGED, Some(RESTORE)),
            ErrorKind::UnknownFormat => (DAMAGED, Some("open it with a newer version")),
            ErrorKind::OutOfSpace => (PROBLEM, Some("make room on the disk, then run it again")),
            ErrorKind::Poisoned | ErrorKind::OutcomeUnknown => {
                (PROBLEM, Some("see what is wrong with the disk, then open the store again"))
            }
            _ => (PROBLEM, None),
        };
        Failure { what: error.to_string(), hint: hint.map(str::to_owned), code }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "icecore: {}", self.what)?;
        match &self.hint {
            Some(hint) => writeln!(f, "try: {hint}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_ends_with_what_to_try() {
        let failure = Failure::problem("it is so").hint("something else");
        assert_eq!(failure.to_string(), "icecore: it is so\ntry: something else\n");
        assert_eq!(Failure::problem("no").to_string(), "icecore: no\n");
    }
}
