//! Lists: the entries of a range of keys.

use std::iter::FusedIterator;
use std::ops::Range;

use icecore_engine as engine;
use icecore_engine::Scan;
use icecore_engine::keyspace::DATA;

use crate::entry::Entry;
use crate::error::Error;
use crate::key::Key;

/// Below every tag of a key part.
const BEFORE_PARTS: u8 = 0x00;

/// Above every tag of a key part.
const AFTER_PARTS: u8 = 0xff;

/// Which keys a list is about: those with a prefix, made by [`prefix!`](crate::prefix), or those
/// of a range of keys, its end excluded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// The bounds as the engine knows them: `[start, end)`.
    pub(crate) start: Vec<u8>,
    pub(crate) end: Vec<u8>,
}

impl Selector {
    /// All keys.
    pub fn all() -> Selector {
        Selector { start: vec![DATA], end: vec![DATA + 1] }
    }

    /// The bounds as the engine knows them: `[start, end)`.
    pub(crate) fn bounds(&self) -> (&[u8], &[u8]) {
        (&self.start, &self.end)
    }

    /// The keys that begin with the parts of `key` and have at least one part more.
    pub fn prefix(key: &Key) -> Selector {
        let bound = |last| [key.stored(), &[last]].concat();
        Selector { start: bound(BEFORE_PARTS), end: bound(AFTER_PARTS) }
    }
}

impl From<Range<Key>> for Selector {
    fn from(range: Range<Key>) -> Selector {
        Selector { start: range.start.stored().to_vec(), end: range.end.stored().to_vec() }
    }
}

/// The [`Selector`] of all keys that begin with these parts and have at least one part more;
/// `prefix![]` selects all keys.
#[macro_export]
macro_rules! prefix {
    () => {
        $crate::Selector::all()
    };
    ($($part:expr),+ $(,)?) => {
        $crate::Selector::prefix(&$crate::key![$($part),+])
    };
}

/// The entries of a range of keys, all of one moment, in key order; made by
/// [`Kv::list`](crate::Kv::list).
///
/// It can be read from both ends, also in turn. After an error it ends.
#[derive(Debug)]
pub struct List {
    /// `None` after an error.
    scan: Option<Scan>,
    /// Why there is no scan, until it was told.
    failure: Option<Error>,
    reversed: bool,
    /// How many more entries may be given.
    left: Option<usize>,
}

impl List {
    pub(crate) fn new(scan: Result<Scan, engine::Error>) -> List {
        match scan {
            Ok(scan) => List { scan: Some(scan), failure: None, reversed: false, left: None },
            Err(error) => {
                List { scan: None, failure: Some(error.into()), reversed: false, left: None }
            }
        }
    }

    /// The same entries in the opposite order.
    #[must_use]
    pub fn reverse(mut self) -> List {
        self.reversed = !self.reversed;
        self
    }

    /// Ends after `entries` entries, from whichever end they were taken.
    #[must_use]
    pub fn limit(mut self, entries: usize) -> List {
        self.left = Some(entries);
        self
    }

    fn take(&mut self, from_back: bool) -> Option<Result<Entry, Error>> {
        if self.left == Some(0) {
            return None;
        }
        if let Some(error) = self.failure.take() {
            return Some(Err(error));
        }
        let scan = self.scan.as_mut()?;
        let item = if from_back { scan.next_back()? } else { scan.next()? };
        let entry = item.map_err(Error::from).and_then(Entry::from_item);
        match &entry {
            Ok(_) => self.left = self.left.map(|left| left - 1),
            Err(_) => self.scan = None,
        }
        Some(entry)
    }
}

impl Iterator for List {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.take(self.reversed)
    }
}

impl DoubleEndedIterator for List {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.take(!self.reversed)
    }
}

impl FusedIterator for List {}
