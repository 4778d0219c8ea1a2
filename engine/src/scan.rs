//! Walks over a range of keys, from both ends.
//!
//! The front and the back have a merge of their own, made when first asked for. Each stands at the
//! entry that it yielded last, so where both are in use, each stops before the key at which the
//! other stands. After an error, and once the two have met, both are at their end for good: nobody
//! must take the silence after an error for the end of the data.

use std::iter::FusedIterator;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use icecore_model::{Change, Entry, RangeSet, Timestamp, Versionstamp};

use crate::error::Error;
use crate::merge::{Filter, Limit, Merge, is_covered};
use crate::snapshot::Picture;
use crate::source::{Source, sources};

/// What hides an entry from a walk: that it is a deletion, was deleted, or has expired.
#[derive(Debug)]
pub(crate) struct Hidden {
    picture: Arc<Picture>,
    ranges: Vec<Arc<RangeSet>>,
}

impl Filter for Hidden {
    #[inline]
    fn hides(&self, entry: &Entry<'_>) -> bool {
        let Change::Put { expires_at, .. } = entry.change else { return true };
        (expires_at.is_some() && self.picture.has_expired(entry.stamp, expires_at))
            || (!self.ranges.is_empty()
                && is_covered(entry, self.ranges.iter().map(|set| &**set), self.picture.at()))
    }
}

/// The entries of a range of keys at one moment, in key order; from the back in reverse.
#[derive(Debug)]
pub struct Scan {
    picture: Arc<Picture>,
    start: Vec<u8>,
    end: Vec<u8>,
    front: Option<End>,
    back: Option<End>,
    done: bool,
}

/// One end of a scan. It stands at the entry that it yielded last.
struct End {
    merge: Merge<Source, Hidden>,
}

impl std::fmt::Debug for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let key = self.merge.entry().map(|entry| entry.key.escape_ascii().to_string());
        f.debug_tuple("End").field(&key).finish()
    }
}

/// One entry of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    key: Vec<u8>,
    /// The commit that set it.
    pub stamp: Versionstamp,
    /// The value. It may keep a larger piece of memory or a file alive: copy it to let go.
    pub value: Bytes,
    /// From this moment on the key is absent.
    pub expires_at: Option<Timestamp>,
}

impl Item {
    /// The key, with its keyspace byte.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The key, without copying it again.
    pub fn into_key(self) -> Vec<u8> {
        self.key
    }
}

/// One entry of a scan, lent for the length of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen<'a> {
    /// The key, with its keyspace byte.
    pub key: &'a [u8],
    /// The value, where it lies.
    pub value: &'a [u8],
    /// The commit that set it.
    pub stamp: Versionstamp,
    /// From this moment on the key is absent.
    pub expires_at: Option<Timestamp>,
}

/// The keys of a scan, whose values are not touched.
#[derive(Debug)]
pub struct Keys {
    scan: Scan,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Front,
    Back,
}

impl Scan {
    pub(crate) fn new(picture: Arc<Picture>, start: &[u8], end: &[u8]) -> Scan {
        let done = start >= end;
        let (start, end) = (start.to_vec(), end.to_vec());
        Scan { picture, start, end, front: None, back: None, done }
    }

    /// Only the keys: their values are not touched.
    pub fn keys(self) -> Keys {
        Keys { scan: self }
    }

    /// Shows the entries that are left, in order, until `see` breaks or there are no more: the
    /// fastest way through many entries, as none of them is copied. The scan can go on afterwards,
    /// behind the last entry that was shown.
    ///
    /// # Errors
    /// [`Error::Corrupt`] or [`Error::Io`] when a table cannot be read. That may turn out only after
    /// `see` has been shown an entry, so what it made of the last one must not be used then. After
    /// an error the scan is at its end, which is not the end of the data.
    pub fn visit<B>(
        &mut self,
        see: impl FnMut(Seen<'_>) -> ControlFlow<B>,
    ) -> Result<Option<B>, Error> {
        self.show(Side::Front, see)
    }

    /// As [`Scan::visit`], from the back.
    ///
    /// # Errors
    /// As [`Scan::visit`].
    pub fn visit_back<B>(
        &mut self,
        see: impl FnMut(Seen<'_>) -> ControlFlow<B>,
    ) -> Result<Option<B>, Error> {
        self.show(Side::Back, see)
    }

    fn show<B>(
        &mut self,
        side: Side,
        mut see: impl FnMut(Seen<'_>) -> ControlFlow<B>,
    ) -> Result<Option<B>, Error> {
        if self.done {
            return Ok(None);
        }
        let shown = self.step(side).and_then(|()| self.run(side, &mut see));
        self.done = !matches!(shown, Ok(Some(_)));
        // Once the store is closed, somebody else may delete what the picture leads to.
        shown.or_else(|error| self.picture.check_open().and(Err(error)))
    }

    /// Shows the entry at which one end stands, and those behind it, as far as the other end.
    fn run<B>(
        &mut self,
        side: Side,
        see: &mut impl FnMut(Seen<'_>) -> ControlFlow<B>,
    ) -> Result<Option<B>, Error> {
        let Scan { picture, start, end, front, back, .. } = self;
        let (this, other) = match side {
            Side::Front => (front, back),
            Side::Back => (back, front),
        };
        let met =
            other.as_ref().and_then(|end| end.merge.entry()).map(|met| Limit::Before(met.key));
        let bound = match side {
            Side::Front => Limit::Before(end),
            Side::Back => Limit::UpTo(start),
        };
        let Some(this) = this else { return Ok(None) };
        let ended = this.merge.run(met.unwrap_or(bound), |entry| match picture.check_open() {
            Ok(()) => see(seen(&entry)).map_break(Ok),
            Err(error) => ControlFlow::Break(Err(error)),
        })?;
        ended.transpose()
    }

    /// How many entries are left, without copying any.
    pub(crate) fn count_entries(mut self) -> Result<u64, Error> {
        let mut count = 0;
        let all: Option<()> = self.visit(|_| {
            count += 1;
            ControlFlow::Continue(())
        })?;
        debug_assert!(all.is_none(), "nothing breaks");
        Ok(count)
    }

    /// The stamp of the newest commit that the scan sees.
    pub fn at(&self) -> Versionstamp {
        self.picture.at()
    }

    fn open(&self) -> Result<End, Error> {
        let picture = Arc::clone(&self.picture);
        let at = picture.at();
        let within = (&self.start[..], &self.end[..]);
        let (sources, ranges) =
            sources(&picture.view, at, Versionstamp::ZERO, within, &picture.access)?;
        let hidden = Hidden { picture, ranges };
        Ok(End { merge: Merge::new(sources, hidden).within(&self.start, &self.end) })
    }

    /// Moves one end to its next entry and gives what `take` makes of it.
    fn advance<T>(
        &mut self,
        side: Side,
        take: impl FnOnce(&Merge<Source, Hidden>, &Entry<'_>) -> Result<T, Error>,
    ) -> Option<Result<T, Error>> {
        if self.done {
            return None;
        }
        let taken = self.step(side).and_then(|()| match self.standing(side) {
            Some((merge, entry)) => take(merge, &entry).map(Some),
            None => Ok(None),
        });
        self.done = !matches!(taken, Ok(Some(_)));
        // Once the store is closed, somebody else may delete what the picture leads to.
        taken.or_else(|error| self.picture.check_open().and(Err(error))).transpose()
    }

    /// The entry at which one end stands, if it lies within the bounds and the other end has not
    /// come as far.
    fn standing(&self, side: Side) -> Option<(&Merge<Source, Hidden>, Entry<'_>)> {
        let (this, other) = match side {
            Side::Front => (&self.front, &self.back),
            Side::Back => (&self.back, &self.front),
        };
        let merge = &this.as_ref()?.merge;
        let entry = merge.entry()?;
        let met = other.as_ref().and_then(|end| end.merge.entry());
        let is_left = match side {
            Side::Front => entry.key < met.map_or(&self.end[..], |met| met.key),
            Side::Back => met.map_or(&self.start[..] <= entry.key, |met| met.key < entry.key),
        };
        is_left.then_some((merge, entry))
    }

    fn step(&mut self, side: Side) -> Result<(), Error> {
        self.picture.check_open()?;
        let slot = if side == Side::Front { &mut self.front } else { &mut self.back };
        if let Some(end) = slot {
            return if side == Side::Front { end.merge.next() } else { end.merge.prev() };
        }
        let mut end = self.open()?;
        match side {
            Side::Front => {
                end.merge.seek(&self.start)?;
                self.front = Some(end);
            }
            Side::Back => {
                end.merge.seek_before(&self.end)?;
                self.back = Some(end);
            }
        }
        Ok(())
    }
}

#[inline]
fn seen<'a>(entry: &Entry<'a>) -> Seen<'a> {
    let (value, expires_at) = match entry.change {
        Change::Put { value, expires_at } => (value, expires_at),
        Change::Delete => (&[][..], None),
    };
    Seen { key: entry.key, value, stamp: entry.stamp, expires_at }
}

fn item(merge: &Merge<Source, Hidden>, entry: &Entry<'_>) -> Result<Item, Error> {
    let expires_at = match entry.change {
        Change::Put { expires_at, .. } => expires_at,
        Change::Delete => None,
    };
    let value = merge.value_bytes()?;
    Ok(Item { key: entry.key.to_vec(), stamp: entry.stamp, value, expires_at })
}

impl Iterator for Scan {
    type Item = Result<Item, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance(Side::Front, item)
    }
}

impl DoubleEndedIterator for Scan {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.advance(Side::Back, item)
    }
}

impl FusedIterator for Scan {}

impl Iterator for Keys {
    type Item = Result<Vec<u8>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.scan.advance(Side::Front, |_, entry| Ok(entry.key.to_vec()))
    }
}

impl DoubleEndedIterator for Keys {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.scan.advance(Side::Back, |_, entry| Ok(entry.key.to_vec()))
    }
}

impl FusedIterator for Keys {}
