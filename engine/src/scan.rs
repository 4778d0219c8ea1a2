//! Walks over a range of keys, from both ends.
//!
//! The front and the back have a merge of their own, made when first asked for. They stop when
//! they meet: the front yields only keys below the last one that the back has yielded, and the
//! other way round. After an error both are at their end for good, so that nobody takes the
//! silence after an error for the end of the data.

use std::iter::FusedIterator;
use std::sync::Arc;

use bytes::Bytes;
use icecore_model::{Change, Entry, RangeSet, Timestamp, Versionstamp};

use crate::error::Error;
use crate::merge::{Merge, hides};
use crate::snapshot::Picture;
use crate::source::{Source, sources};

/// What hides an entry from a scan.
type Hidden = Box<dyn Fn(&Entry<'_>) -> bool + Send>;

/// The entries of a range of keys at one moment, in key order; from the back in reverse.
#[derive(Debug)]
pub struct Scan {
    picture: Arc<Picture>,
    /// The bounds that are left: `[start, end)`.
    start: Vec<u8>,
    end: Vec<u8>,
    front: Option<End>,
    back: Option<End>,
    failed: bool,
}

/// One end of a scan.
struct End {
    merge: Merge<Source, Hidden>,
    /// The merge stands at an entry that was yielded already.
    yielded: bool,
}

impl std::fmt::Debug for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "End(yielded: {})", self.yielded)
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
        let (start, end) = (start.to_vec(), end.to_vec());
        Scan { picture, start, end, front: None, back: None, failed: false }
    }

    /// Only the keys: their values are not touched.
    pub fn keys(self) -> Keys {
        Keys { scan: self }
    }

    /// The stamp of the newest commit that the scan sees.
    pub fn at(&self) -> Versionstamp {
        self.picture.at()
    }

    fn open(&self) -> Result<End, Error> {
        let picture = Arc::clone(&self.picture);
        let at = picture.at();
        let (sources, ranges) =
            sources(&picture.view, at, &self.start, &self.end, &picture.access)?;
        let hidden = move |entry: &Entry<'_>| hidden(&picture, &ranges, entry);
        Ok(End { merge: Merge::new(sources, Box::new(hidden)), yielded: false })
    }

    /// Moves one end to its next entry and gives what `take` makes of it.
    fn advance<T>(
        &mut self,
        side: Side,
        take: impl FnOnce(&Merge<Source, Hidden>, &Entry<'_>) -> Result<T, Error>,
    ) -> Option<Result<T, Error>> {
        if self.failed || self.start >= self.end {
            return None;
        }
        let moved = self.step(side).and_then(|()| {
            let end = if side == Side::Front { &self.front } else { &self.back };
            let merge = &end.as_ref().expect("a step opens its end").merge;
            match merge.entry() {
                Some(entry) if self.contains(entry.key) => {
                    let taken = take(merge, &entry)?;
                    Ok(Some((entry.key.to_vec(), taken)))
                }
                _ => Ok(None),
            }
        });
        match moved {
            Ok(Some((key, taken))) => {
                self.narrow(side, key);
                Some(Ok(taken))
            }
            Ok(None) => {
                self.start.clone_from(&self.end);
                None
            }
            Err(error) => {
                self.failed = true;
                // Once the store is closed, somebody else may delete what the picture leads to.
                Some(self.picture.check_open().and(Err(error)))
            }
        }
    }

    fn contains(&self, key: &[u8]) -> bool {
        &self.start[..] <= key && key < &self.end[..]
    }

    /// Takes `key`, which was yielded at this side, out of the bounds.
    fn narrow(&mut self, side: Side, mut key: Vec<u8>) {
        match side {
            Side::Front => {
                key.push(0);
                self.start = key;
            }
            Side::Back => self.end = key,
        }
    }

    fn step(&mut self, side: Side) -> Result<(), Error> {
        self.picture.check_open()?;
        let slot = if side == Side::Front { &mut self.front } else { &mut self.back };
        if slot.is_none() {
            let opened = self.open()?;
            let slot = if side == Side::Front { &mut self.front } else { &mut self.back };
            *slot = Some(opened);
        }
        let slot = if side == Side::Front { &mut self.front } else { &mut self.back };
        let end = slot.as_mut().expect("it was just opened");
        match (std::mem::replace(&mut end.yielded, true), side) {
            (false, Side::Front) => end.merge.seek(&self.start),
            (false, Side::Back) => end.merge.seek_before(&self.end),
            (true, Side::Front) => end.merge.next(),
            (true, Side::Back) => end.merge.prev(),
        }
    }
}

/// Whether a reader of `picture` must not see `entry`.
fn hidden(picture: &Picture, ranges: &[Arc<RangeSet>], entry: &Entry<'_>) -> bool {
    let expires_at = match entry.change {
        Change::Put { expires_at, .. } => expires_at,
        Change::Delete => None,
    };
    picture.has_expired(entry.stamp, expires_at)
        || hides(entry, ranges.iter().map(|set| &**set), picture.at(), None)
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
