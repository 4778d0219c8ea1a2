//! What a run ends with when an invariant does not hold.

use std::fmt;

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    what: String,
}

impl Violation {
    /// A violation that is described by `what`.
    pub fn new(what: impl Into<String>) -> Violation {
        Violation { what: what.into() }
    }

    /// The same, with `place` before it.
    pub fn at(self, place: impl fmt::Display) -> Violation {
        Violation { what: format!("{place}: {}", self.what) }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Violation {}

/// Fails with the violation `what` unless `holds`.
pub(crate) fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation::new(what())) }
}
