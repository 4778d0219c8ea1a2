//! What a source of data (a memtable, a table) holds for a key.
//!
//! Entries are ordered by key ascending, then by versionstamp descending, so that the newest
//! version of a key comes first.

use std::cmp::Ordering;

use crate::stamp::Versionstamp;
use crate::time::Timestamp;

/// What a commit did to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// It has this value.
    Put {
        /// The value.
        value: &'a [u8],
        /// From this moment on it is absent again.
        expires_at: Option<Timestamp>,
    },
    /// It is absent.
    Delete,
}

/// One version of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The commit that made this version.
    pub stamp: Versionstamp,
    /// What it did.
    pub change: Change<'a>,
}

impl Entry<'_> {
    /// The order of entries.
    pub fn order(&self, other: &Entry<'_>) -> Ordering {
        order((self.key, self.stamp), (other.key, other.stamp))
    }
}

/// The order of entries, for keys and stamps that stand alone.
#[inline]
pub fn order(a: (&[u8], Versionstamp), b: (&[u8], Versionstamp)) -> Ordering {
    a.0.cmp(b.0).then(b.1.cmp(&a.1))
}
