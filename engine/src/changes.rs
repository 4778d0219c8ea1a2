//! What has changed in a range of keys since a stamp.
//!
//! Tables, memtables and versions carry stamps, so the answer is in the data itself: there is no log
//! of changes. [`Changes`] walks the keys whose newest version is above `since`, and
//! [`Changes::ranges`] are the deletions of ranges above it. Whoever knows the state at `since`
//! carries out the ranges first, then the items, and knows the state of the snapshot.
//!
//! Invariants:
//! 1. Only sources with a stamp above `since` are asked. A version found there that is above
//!    `since` and wins among these sources is the newest of all: a newer one, or a range tombstone
//!    newer than it, would lie in a source whose largest stamp is at least its own, so that source
//!    is asked, too. A key whose winner is not above `since` has no version above it anywhere.
//! 2. An item is never below a later deletion of a range: such a key is told by the range alone. So
//!    the ranges can be carried out before all items, whatever their stamps. A range deletes what
//!    the other side had at `since`, and everything in it that is there now comes as an item.
//! 3. Of versions above `since` that a flush or a compaction dropped, something newer is still there
//!    and tells as much, or the drop was noted as forgotten (`compact/garbage.rs`), and then there is
//!    no answer. What is forgotten and the tables come from the same view.
//!
//! Expiry is a matter of time, not of stamps: an entry set at or before `since` that has expired by
//! now is not an item. Its deletion by the sweeper is one, once that is committed. Until then the
//! other side hides it by its own clock, or shows it a little longer.

use std::fmt;
use std::iter::FusedIterator;
use std::sync::Arc;

use bytes::Bytes;
use icecore_model::{Change, Entry, RangeSet, Timestamp, Versionstamp};

use crate::error::Error;
use crate::merge::{Merge, is_covered};
use crate::snapshot::{Picture, Snapshot};
use crate::source::{Source, sources};

/// What is no change: what the reader cannot see.
type Unchanged = Box<dyn Fn(&Entry<'_>) -> bool + Send>;

/// A key that has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedItem {
    /// The key, with its keyspace byte.
    pub key: Vec<u8>,
    /// The commit that changed it last.
    pub stamp: Versionstamp,
    /// The value and from when on the key is absent; `None` if it was deleted or has expired. The
    /// value may keep a larger piece of memory or a file alive: copy it to let go.
    pub state: Option<(Bytes, Option<Timestamp>)>,
}

/// The deletion of every key in `[start, end)` that was set before the commit `stamp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedRange {
    /// The first key of the range.
    pub start: Vec<u8>,
    /// The first key after the range.
    pub end: Vec<u8>,
    /// The commit that deleted it.
    pub stamp: Versionstamp,
}

/// What has changed in a range of keys: an iterator of [`ChangedItem`]s in key order, and the
/// [ranges](Changes::ranges) that were deleted. From [`Snapshot::changes`].
pub struct Changes {
    picture: Arc<Picture>,
    start: Vec<u8>,
    end: Vec<u8>,
    ranges: Vec<DeletedRange>,
    merge: Merge<Source, Unchanged>,
    begun: bool,
    done: bool,
}

impl Snapshot {
    /// What has changed in `[start, end)` since the stamp `since`, for somebody who knows the state
    /// at that stamp. `None` if that cannot be told: deletions from after `since` were dropped, or
    /// `since` may belong to a commit that a crash took. Then everything has to be read again.
    ///
    /// Since [`Versionstamp::ZERO`], when there was nothing, it can always be told. So it can since
    /// the stamp of a snapshot of this life, until later deletions are dropped.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when `since` is above the stamp of the snapshot, [`Error::Closed`],
    /// and as [`Snapshot::get`].
    ///
    /// ```
    /// use icecore_engine::{Batch, Engine, Mutation, Options, keyspace::DATA};
    ///
    /// # let directory = tempfile::tempdir().unwrap();
    /// let engine = Engine::open_path(directory.path().join("store"), Options::default())?;
    /// let set = |key: u8| {
    ///     let key = [DATA, key];
    ///     let mutations = [Mutation::Set { key: &key, value: b"v", expires_at: None }];
    ///     engine.commit(Batch { checks: &[], mutations: &mutations })
    /// };
    /// set(b'a')?;
    /// let since = engine.snapshot()?.at();
    /// set(b'b')?;
    /// let changes = engine.snapshot()?.changes(&[DATA], &[DATA + 1], since)?;
    /// let keys: Result<Vec<_>, _> =
    ///     changes.expect("nothing was dropped").map(|item| item.map(|item| item.key)).collect();
    /// assert_eq!(keys?, [[DATA, b'b']]);
    /// # Ok::<(), icecore_engine::Error>(())
    /// ```
    pub fn changes(
        &self,
        start: &[u8],
        end: &[u8],
        since: Versionstamp,
    ) -> Result<Option<Changes>, Error> {
        let picture = self.picture();
        picture.check_open()?;
        if start < end && !picture.view.levels.past().is_known(start, end, since) {
            return Ok(None);
        }
        let at = picture.at();
        if since > at {
            let what = format!("changes since {since} were asked of a snapshot at {at}");
            return Err(Error::invalid(what));
        }
        let changes = Changes::new(picture, start, end, since);
        // Once the store is closed, somebody else may delete what the picture leads to.
        changes.map(Some).or_else(|error| picture.check_open().and(Err(error)))
    }
}

impl Changes {
    fn new(
        picture: &Arc<Picture>,
        start: &[u8],
        end: &[u8],
        since: Versionstamp,
    ) -> Result<Changes, Error> {
        let at = picture.at();
        let (sources, sets) = if start < end {
            sources(&picture.view, at, since, (start, end), &picture.access)?
        } else {
            (Vec::new(), Vec::new())
        };
        let ranges = deleted_ranges(&sets, (start, end), since, at);
        let unchanged = move |entry: &Entry<'_>| {
            entry.stamp <= since || is_covered(entry, sets.iter().map(|set| &**set), at)
        };
        let unchanged: Unchanged = Box::new(unchanged);
        let merge = Merge::new(sources, unchanged).within(start, end);
        let (start, end) = (start.to_vec(), end.to_vec());
        let picture = Arc::clone(picture);
        Ok(Changes { picture, start, end, ranges, merge, begun: false, done: false })
    }

    /// The deletions of ranges by commits above `since`, cut to the range that was asked for, in
    /// the order of their stamps. They come before the items: what is set after the deletion, or
    /// by the same commit, is an item.
    pub fn ranges(&self) -> &[DeletedRange] {
        &self.ranges
    }

    /// The stamp of the newest commit that is taken into account: whoever carries everything out
    /// knows the state at this stamp.
    pub fn at(&self) -> Versionstamp {
        self.picture.at()
    }

    fn advance(&mut self) -> Result<Option<ChangedItem>, Error> {
        self.picture.check_open()?;
        if std::mem::replace(&mut self.begun, true) {
            self.merge.next()?;
        } else {
            self.merge.seek(&self.start)?;
        }
        match self.merge.entry().filter(|entry| entry.key < &self.end[..]) {
            Some(entry) => self.item(&entry).map(Some),
            None => Ok(None),
        }
    }

    fn item(&self, entry: &Entry<'_>) -> Result<ChangedItem, Error> {
        let state = match entry.change {
            Change::Put { expires_at, .. }
                if !self.picture.has_expired(entry.stamp, expires_at) =>
            {
                Some((self.merge.value_bytes()?, expires_at))
            }
            _ => None,
        };
        Ok(ChangedItem { key: entry.key.to_vec(), stamp: entry.stamp, state })
    }
}

/// The range tombstones of `sets` above `since` and not above `at`, cut to `[start, end)`, by
/// stamp. Tables hold one tombstone in pieces: they are joined again.
fn deleted_ranges(
    sets: &[Arc<RangeSet>],
    (start, end): (&[u8], &[u8]),
    since: Versionstamp,
    at: Versionstamp,
) -> Vec<DeletedRange> {
    let mut pieces: Vec<_> = sets
        .iter()
        .flat_map(|set| set.clipped(Some(start), Some(end)))
        .filter(|piece| since < piece.stamp && piece.stamp <= at)
        .collect();
    pieces.sort_unstable_by(|a, b| (a.stamp, &a.start).cmp(&(b.stamp, &b.start)));
    let mut ranges: Vec<DeletedRange> = Vec::new();
    for piece in pieces {
        match ranges.last_mut() {
            Some(open) if open.stamp == piece.stamp && piece.start <= open.end => {
                open.end = piece.end.max(std::mem::take(&mut open.end));
            }
            _ => {
                ranges.push(DeletedRange { start: piece.start, end: piece.end, stamp: piece.stamp })
            }
        }
    }
    ranges
}

impl Iterator for Changes {
    type Item = Result<ChangedItem, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = self.advance();
        self.done = !matches!(item, Ok(Some(_)));
        // Once the store is closed, somebody else may delete what the picture leads to.
        item.or_else(|error| self.picture.check_open().and(Err(error))).transpose()
    }
}

impl FusedIterator for Changes {}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes")
            .field("at", &self.at())
            .field("ranges", &self.ranges)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
