//! Reads a table as it was at one stamp, key by key, in both directions.
//!
//! Of each key the cursor shows the newest version at or below its stamp, deletions included; a
//! key without such a version is passed over. Going forward, that is the first version low enough.
//! Going back, versions come oldest first: the cursor goes on until the next one would be too new
//! or of another key, and takes one step forward. Either way, a key of many versions is not gone
//! through one by one: after `STEPS_MAX` of them the cursor seeks the version that it wants.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use icecore_model::{Entry, Versionstamp};

use crate::error::Error;
use crate::table::Table;
use crate::walk::{Ended, Walk};

/// So many steps within a key cost about as much as a search from the index on. RocksDB has found
/// the same (`max_sequential_skip_in_iterations`).
const STEPS_MAX: usize = 8;

/// A place among the keys of a table. It holds the table open.
///
/// After the first error every call returns that error again.
pub struct Cursor {
    walk: Walk,
    at: Versionstamp,
}

impl Cursor {
    pub(crate) fn new(table: Arc<Table>, at: Versionstamp) -> Cursor {
        Cursor { walk: Walk::new(table), at }
    }

    /// To the first key.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::UnknownFormat`] or [`Error::Io`] from what is read; so all
    /// moves.
    pub fn seek_first(&mut self) -> Result<(), Error> {
        self.walk.seek_first()?;
        self.settle_forward()
    }

    /// To the last key.
    ///
    /// # Errors
    /// As [`Cursor::seek_first`].
    pub fn seek_last(&mut self) -> Result<(), Error> {
        self.walk.seek_last()?;
        self.settle_back()
    }

    /// To the first key at or after `key`.
    ///
    /// # Errors
    /// As [`Cursor::seek_first`].
    pub fn seek(&mut self, key: &[u8]) -> Result<(), Error> {
        self.walk.seek(key, self.at)?;
        self.settle_forward()
    }

    /// To the last key before `key`.
    ///
    /// # Errors
    /// As [`Cursor::seek_first`].
    pub fn seek_before(&mut self, key: &[u8]) -> Result<(), Error> {
        self.walk.seek(key, Versionstamp::MAX)?;
        self.walk.prev()?;
        self.settle_back()
    }

    /// To the next key. From the last key the cursor goes nowhere and shows nothing; there, this
    /// does nothing more.
    ///
    /// # Errors
    /// As [`Cursor::seek_first`].
    #[expect(clippy::should_implement_trait, reason = "the entry is lent, which Iterator cannot")]
    pub fn next(&mut self) -> Result<(), Error> {
        if self.walk.stamp().is_none() {
            return self.walk.failed();
        }
        self.walk.next()?;
        let mut steps = 0;
        while self.is_on_same_key() {
            steps += 1;
            if steps == STEPS_MAX {
                self.walk.seek_version(Versionstamp::ZERO)?;
            } else {
                self.walk.next()?;
            }
        }
        self.settle_forward()
    }

    /// To the key before. From the first key the cursor goes nowhere and shows nothing; there, this
    /// does nothing more.
    ///
    /// # Errors
    /// As [`Cursor::seek_first`].
    pub fn prev(&mut self) -> Result<(), Error> {
        if self.walk.stamp().is_none() {
            return self.walk.failed();
        }
        self.prev_key()?;
        self.settle_back()
    }

    /// Shows the entry here and those behind it, in order, until `see` breaks, and then stands at the
    /// entry that was shown last; otherwise it has come to the end.
    ///
    /// # Errors
    /// As [`Cursor::seek_first`]. That may turn out only after `see` has been shown an entry: what it
    /// made of the last one must not be used then.
    pub fn run<B>(
        &mut self,
        mut see: impl FnMut(Entry<'_>) -> ControlFlow<B>,
    ) -> Result<Option<B>, Error> {
        while self.walk.stamp().is_some() {
            if let Ended::Broken(found) = self.walk.run(self.at, &mut see)? {
                return Ok(Some(found));
            }
            self.next()?;
        }
        self.walk.failed().map(|()| None)
    }

    /// As [`Cursor::run`], from the entry here back to the first one.
    ///
    /// # Errors
    /// As [`Cursor::run`].
    pub fn run_back<B>(
        &mut self,
        mut see: impl FnMut(Entry<'_>) -> ControlFlow<B>,
    ) -> Result<Option<B>, Error> {
        while self.walk.stamp().is_some() {
            if let Ended::Broken(found) = self.walk.run_back(self.at, &mut see)? {
                return Ok(Some(found));
            }
            self.prev()?;
        }
        self.walk.failed().map(|()| None)
    }

    /// The entry here. After the bytes were used in place, [`Cursor::check`] says whether they
    /// could be read.
    pub fn entry(&self) -> Option<Entry<'_>> {
        self.walk.entry()
    }

    /// The value here, to be kept: small ones are copied, larger ones pin their block or the
    /// mapping. Empty for a deletion, and where there is no entry.
    ///
    /// # Errors
    /// [`Error::Io`] when the mapping has become unreadable there.
    pub fn value_bytes(&self) -> Result<Bytes, Error> {
        self.walk.value_bytes()
    }

    /// Whether everything borrowed from the entry here could be read.
    ///
    /// # Errors
    /// [`Error::Io`] when the mapping has become unreadable there.
    pub fn check(&self) -> Result<(), Error> {
        self.walk.check()
    }

    /// Past all versions that are too new. The walk is at the first one of a key that may be shown.
    fn settle_forward(&mut self) -> Result<(), Error> {
        let mut steps = 0;
        while self.walk.stamp().is_some_and(|stamp| stamp > self.at) {
            steps = if self.walk.same_key() { steps + 1 } else { 0 };
            if steps == STEPS_MAX {
                self.walk.seek_version(self.at)?;
            } else {
                self.walk.next()?;
            }
        }
        Ok(())
    }

    /// To the newest version that is not too new, of this key or one before. The walk is at the
    /// oldest version of a key.
    fn settle_back(&mut self) -> Result<(), Error> {
        while self.walk.stamp().is_some_and(|stamp| stamp > self.at) {
            self.prev_key()?;
        }
        if self.walk.stamp().is_none() {
            return Ok(());
        }
        if self.walk.is_newest_in_block() {
            // The entry before was looked at, and whether it could be read must not be left unasked.
            return self.walk.check();
        }
        for _ in 0..STEPS_MAX {
            self.walk.prev()?;
            let may_be_shown = self.walk.stamp().is_some_and(|stamp| stamp <= self.at);
            if !may_be_shown || !self.walk.same_key() {
                return self.walk.next();
            }
        }
        self.walk.seek_version(self.at)
    }

    /// To the oldest version of the key before.
    fn prev_key(&mut self) -> Result<(), Error> {
        self.walk.prev()?;
        let mut steps = 0;
        while self.is_on_same_key() {
            steps += 1;
            if steps == STEPS_MAX {
                self.walk.seek_version(Versionstamp::MAX)?;
            }
            self.walk.prev()?;
        }
        Ok(())
    }

    /// Whether the walk is at an entry of the key that it came from.
    fn is_on_same_key(&self) -> bool {
        self.walk.stamp().is_some() && self.walk.same_key()
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cursor").field("at", &self.at).field("entry", &self.entry()).finish()
    }
}
