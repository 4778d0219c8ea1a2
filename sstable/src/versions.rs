//! Reads every version of every key of a table, forward: for compaction and checks.

use std::fmt;
use std::sync::Arc;

use icecore_model::{Entry, Versionstamp};

use crate::error::Error;
use crate::table::Table;
use crate::walk::Walk;

/// A place among the entries of a table. It holds the table open.
///
/// After the first error every call returns that error again.
pub struct Versions {
    walk: Walk,
}

impl Versions {
    pub(crate) fn new(table: Arc<Table>) -> Versions {
        Versions { walk: Walk::long(table) }
    }

    /// To the first entry.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::UnknownFormat`] or [`Error::Io`] from what is read; so all
    /// moves.
    pub fn seek_first(&mut self) -> Result<(), Error> {
        self.walk.seek_first()
    }

    /// To the newest version of the first key at or after `key`.
    ///
    /// # Errors
    /// As [`Versions::seek_first`].
    pub fn seek(&mut self, key: &[u8]) -> Result<(), Error> {
        self.walk.seek(key, Versionstamp::MAX)
    }

    /// To the next entry; after the last one there is nothing.
    ///
    /// # Errors
    /// As [`Versions::seek_first`].
    #[expect(clippy::should_implement_trait, reason = "the entry is lent, which Iterator cannot")]
    pub fn next(&mut self) -> Result<(), Error> {
        self.walk.next()
    }

    /// The entry here.
    pub fn entry(&self) -> Option<Entry<'_>> {
        self.walk.entry()
    }

    /// Whether everything borrowed from the entry here could be read.
    ///
    /// # Errors
    /// [`Error::Io`] when the mapping has become unreadable there.
    pub fn check(&self) -> Result<(), Error> {
        self.walk.check()
    }
}

impl fmt::Debug for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Versions").field("entry", &self.entry()).finish()
    }
}
