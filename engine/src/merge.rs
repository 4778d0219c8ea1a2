//! One ordered walk over many sources, in both directions.
//!
//! A [`Source`] gives one entry per key: the newest at or below the stamp of the read, tombstones
//! included. [`Merge`] gives, for each key, the entry with the highest stamp among its sources,
//! unless its [`Filter`] hides it. [`MergeVersions`] gives everything, for flush and compaction.
//!
//! Invariants of a [`Merge`] that looks forward (mirrored when it looks backward):
//!
//! 1. Every source stands at its first entry that is not before the current key, or at its end.
//!    So a change of direction is one step of each source, and needs no copy of the key.
//! 2. `order` lists the sources that stand at an entry, sorted by key, then newest first. The
//!    winner is the first. As long as it stays before the runner-up, a step costs the winner's own
//!    step and one comparison with the runner-up; a merge of one source compares nothing.
//!
//! After an error, a merge is empty for good: whoever got the error must not take the silence
//! that follows for the end of the data.

mod versions;

use std::cmp::Ordering;
use std::ops::ControlFlow;

use bytes::Bytes;
use icecore_model::{Entry, RangeSet, Versionstamp};

pub(crate) use versions::{MergeVersions, VersionSource};

/// A cursor over one source: at most one entry per key, in the order of keys.
///
/// It stands at an entry, or at an end, where [`Source::entry`] is `None`. From an end it is moved
/// by a seek only.
pub(crate) trait Source {
    /// Why a move failed. The source is not used any more then.
    type Error;

    /// Moves to the first entry.
    fn seek_first(&mut self) -> Result<(), Self::Error>;
    /// Moves to the last entry.
    fn seek_last(&mut self) -> Result<(), Self::Error>;
    /// Moves to the first entry at or after `key`.
    fn seek(&mut self, key: &[u8]) -> Result<(), Self::Error>;
    /// Moves to the last entry before `key`.
    fn seek_before(&mut self, key: &[u8]) -> Result<(), Self::Error>;
    /// Moves to the next entry, from an entry.
    fn next(&mut self) -> Result<(), Self::Error>;
    /// Moves to the previous entry, from an entry.
    fn prev(&mut self) -> Result<(), Self::Error>;
    /// Shows the entry here and those behind it, until `see` breaks, and then stands at the entry that
    /// was shown last; otherwise it is at its end.
    fn run<B>(
        &mut self,
        see: &mut impl FnMut(Entry<'_>) -> ControlFlow<B>,
    ) -> Result<Option<B>, Self::Error>;
    /// As [`Source::run`], backwards.
    fn run_back<B>(
        &mut self,
        see: &mut impl FnMut(Entry<'_>) -> ControlFlow<B>,
    ) -> Result<Option<B>, Self::Error>;
    /// The entry that the cursor stands at. Cheap: it is called for every comparison.
    fn entry(&self) -> Option<Entry<'_>>;
    /// A handle on the value of that entry; empty for a deletion.
    fn value_bytes(&self) -> Result<Bytes, Self::Error>;
    /// Whether what was read of that entry could be read: asked after the use of it.
    fn check(&self) -> Result<(), Self::Error>;
}

/// Says of the newest entry of a key whether the reader must not see it.
pub(crate) trait Filter {
    /// Whether it is hidden.
    fn hides(&self, entry: &Entry<'_>) -> bool;
}

impl<F: Fn(&Entry<'_>) -> bool> Filter for F {
    #[inline]
    fn hides(&self, entry: &Entry<'_>) -> bool {
        self(entry)
    }
}

/// Whether a range tombstone at or below `at` of one of `ranges` deleted `entry` later. Within a
/// commit, points win over ranges.
pub(crate) fn is_covered<'r>(
    entry: &Entry<'_>,
    ranges: impl IntoIterator<Item = &'r RangeSet>,
    at: Versionstamp,
) -> bool {
    let deleted = |set: &RangeSet| set.covering(entry.key, at).is_some_and(|s| s > entry.stamp);
    ranges.into_iter().any(deleted)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Forward,
    Backward,
}

/// How far a run goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit<'a> {
    /// Not as far as this key.
    Before(&'a [u8]),
    /// Up to this key.
    UpTo(&'a [u8]),
}

impl<'a> Limit<'a> {
    fn key(self) -> &'a [u8] {
        match self {
            Limit::Before(key) | Limit::UpTo(key) => key,
        }
    }

    /// Whether `key` is too far.
    #[inline]
    fn is_behind(self, key: &[u8], direction: Direction) -> bool {
        match direction.order(key, self.key()) {
            Ordering::Less => false,
            Ordering::Equal => matches!(self, Limit::Before(_)),
            Ordering::Greater => true,
        }
    }

    /// That of the two which is met first.
    fn nearer(self, other: Option<Limit<'a>>, direction: Direction) -> Limit<'a> {
        other.filter(|other| !self.is_behind(other.key(), direction)).unwrap_or(self)
    }
}

impl Direction {
    /// Which of two keys comes first.
    #[inline]
    fn order(self, a: &[u8], b: &[u8]) -> Ordering {
        match self {
            Direction::Forward => a.cmp(b),
            Direction::Backward => b.cmp(a),
        }
    }
}

/// The newest entries of all sources that are not hidden.
///
/// Before the first seek it stands before its first entry.
#[derive(Debug)]
pub(crate) struct Merge<S, H> {
    sources: Vec<S>,
    hidden: H,
    /// Nobody is interested in keys outside `[start, end)`: what is hidden there is not skipped.
    bounds: Option<(Vec<u8>, Vec<u8>)>,
    direction: Direction,
    order: Vec<usize>,
    failed: bool,
}

impl<S: Source, H: Filter> Merge<S, H> {
    /// Merges `sources`, which stand at no entry yet. `hidden` says of the newest entry of a key
    /// whether the reader must not see it.
    pub(crate) fn new(sources: Vec<S>, hidden: H) -> Merge<S, H> {
        let order = Vec::with_capacity(sources.len());
        let direction = Direction::Backward;
        Merge { sources, hidden, bounds: None, direction, order, failed: false }
    }

    /// Looks for visible entries in `[start, end)` only. Outside, the merge may stand at an entry
    /// that is hidden: the caller compares the key with the bounds.
    pub(crate) fn within(mut self, start: &[u8], end: &[u8]) -> Merge<S, H> {
        self.bounds = Some((start.to_vec(), end.to_vec()));
        self
    }

    /// Moves to the first entry at or after `key`.
    pub(crate) fn seek(&mut self, key: &[u8]) -> Result<(), S::Error> {
        self.reposition(Direction::Forward, |source| source.seek(key))
    }

    /// Moves to the last entry before `key`.
    pub(crate) fn seek_before(&mut self, key: &[u8]) -> Result<(), S::Error> {
        self.reposition(Direction::Backward, |source| source.seek_before(key))
    }

    /// Moves to the next entry; from before the first entry to the first.
    pub(crate) fn next(&mut self) -> Result<(), S::Error> {
        if self.direction == Direction::Forward {
            return self.guarded(|merge| merge.step().and_then(|()| merge.skip_hidden()));
        }
        self.reposition(Direction::Forward, |source| match source.entry() {
            Some(_) => source.next(),
            None => source.seek_first(),
        })
    }

    /// Moves to the previous entry; from behind the last entry to the last.
    pub(crate) fn prev(&mut self) -> Result<(), S::Error> {
        if self.direction == Direction::Backward {
            return self.guarded(|merge| merge.step().and_then(|()| merge.skip_hidden()));
        }
        self.reposition(Direction::Backward, |source| match source.entry() {
            Some(_) => source.prev(),
            None => source.seek_last(),
        })
    }

    /// Shows the entry here and those behind it, in the direction in which the merge looks, until `see`
    /// breaks, and then stands at the entry that was shown last; otherwise it stands behind `limit`, or
    /// at its end. As long as no other source has a say, the winner runs by itself.
    pub(crate) fn run<B>(
        &mut self,
        limit: Limit<'_>,
        mut see: impl FnMut(Entry<'_>) -> ControlFlow<B>,
    ) -> Result<Option<B>, S::Error> {
        self.guarded(|merge| {
            while let Some(entry) = merge.entry() {
                if limit.is_behind(entry.key, merge.direction) {
                    break;
                }
                let stopped = if merge.runner_up_ties() {
                    merge.show_one(&mut see)?
                } else {
                    merge.run_winner(limit, &mut see)?
                };
                if stopped.is_some() {
                    return Ok(stopped);
                }
            }
            Ok(None)
        })
    }

    /// Shows the entry here, unless it is hidden, and leaves its key.
    fn show_one<B>(
        &mut self,
        see: &mut impl FnMut(Entry<'_>) -> ControlFlow<B>,
    ) -> Result<Option<B>, S::Error> {
        let shown = self.entry().filter(|entry| !self.hidden.hides(entry));
        let flow = shown.map(see);
        self.check()?;
        match flow {
            Some(ControlFlow::Break(found)) => Ok(Some(found)),
            _ => self.step().map(|()| None),
        }
    }

    /// Shows what the winner has before the key of the runner-up, and finds its place again.
    fn run_winner<B>(
        &mut self,
        limit: Limit<'_>,
        see: &mut impl FnMut(Entry<'_>) -> ControlFlow<B>,
    ) -> Result<Option<B>, S::Error> {
        let (direction, hidden) = (self.direction, &self.hidden);
        let mut run = |winner: &mut S, limit: Limit<'_>| {
            let mut see = |entry: Entry<'_>| {
                if limit.is_behind(entry.key, direction) {
                    ControlFlow::Break(None)
                } else if hidden.hides(&entry) {
                    ControlFlow::Continue(())
                } else {
                    see(entry).map_break(Some)
                }
            };
            match direction {
                Direction::Forward => winner.run(&mut see),
                Direction::Backward => winner.run_back(&mut see),
            }
        };
        let ended = match self.order[..] {
            [winner] => run(&mut self.sources[winner], limit)?,
            [winner, other, ..] => {
                let sources = self.sources.get_disjoint_mut([winner, other]);
                let [winner, other] = sources.expect("a source has one place in the order");
                let other = other.entry().map(|entry| Limit::Before(entry.key));
                run(winner, limit.nearer(other, direction))?
            }
            [] => return Ok(None),
        };
        match ended {
            Some(Some(found)) => return Ok(Some(found)),
            Some(None) => {
                let (sources, direction) = (&self.sources, self.direction);
                settle(&mut self.order, |a, b| rank(sources, direction, a, b));
            }
            None => drop(self.order.remove(0)),
        }
        Ok(None)
    }

    /// The entry that the merge stands at: never a hidden one, unless it is outside of the bounds.
    #[inline]
    pub(crate) fn entry(&self) -> Option<Entry<'_>> {
        self.sources[*self.order.first()?].entry()
    }

    /// A handle on the value of that entry; empty where there is none.
    pub(crate) fn value_bytes(&self) -> Result<Bytes, S::Error> {
        match self.order.first() {
            Some(winner) => self.sources[*winner].value_bytes(),
            None => Ok(Bytes::new()),
        }
    }

    /// Whether what was read of that entry could be read: asked after the use of it.
    #[inline]
    pub(crate) fn check(&self) -> Result<(), S::Error> {
        self.order.first().map_or(Ok(()), |winner| self.sources[*winner].check())
    }

    /// Does nothing after an error, and makes the first one the last.
    #[inline]
    fn guarded<T: Default>(
        &mut self,
        body: impl FnOnce(&mut Self) -> Result<T, S::Error>,
    ) -> Result<T, S::Error> {
        if self.failed {
            return Ok(T::default());
        }
        body(self).inspect_err(|_| {
            self.failed = true;
            self.order.clear();
        })
    }

    /// Moves every source, then looks in `direction`.
    fn reposition(
        &mut self,
        direction: Direction,
        mut place: impl FnMut(&mut S) -> Result<(), S::Error>,
    ) -> Result<(), S::Error> {
        self.guarded(|merge| {
            merge.direction = direction;
            merge.sources.iter_mut().try_for_each(&mut place)?;
            let (sources, order) = (&merge.sources, &mut merge.order);
            order.clear();
            order.extend((0..sources.len()).filter(|index| sources[*index].entry().is_some()));
            order.sort_unstable_by(|a, b| rank(sources, direction, *a, *b));
            merge.skip_hidden()
        })
    }

    /// Leaves keys whose newest entry the reader must not see.
    fn skip_hidden(&mut self) -> Result<(), S::Error> {
        while let Some(entry) = self.entry() {
            if !self.hidden.hides(&entry) || self.is_outside(entry.key) {
                break;
            }
            self.step()?;
        }
        Ok(())
    }

    fn is_outside(&self, key: &[u8]) -> bool {
        self.bounds.as_ref().is_some_and(|(start, end)| key < &start[..] || &end[..] <= key)
    }

    /// Leaves the current key: every source that stands at it moves on.
    fn step(&mut self) -> Result<(), S::Error> {
        // The older entries of the key first, as the winner holds it.
        while self.runner_up_ties() {
            self.advance(1)?;
        }
        if !self.order.is_empty() {
            self.advance(0)?;
        }
        Ok(())
    }

    /// Whether the runner-up stands at the same key.
    #[inline]
    fn runner_up_ties(&self) -> bool {
        let [winner, other, ..] = self.order[..] else { return false };
        let key = |source: usize| self.sources[source].entry().map(|entry| entry.key);
        key(winner) == key(other)
    }

    /// Moves the source at `place` of the order, and finds its place again behind that.
    #[inline]
    fn advance(&mut self, place: usize) -> Result<(), S::Error> {
        let source = &mut self.sources[self.order[place]];
        match self.direction {
            Direction::Forward => source.next()?,
            Direction::Backward => source.prev()?,
        }
        if source.entry().is_none() {
            self.order.remove(place);
            return Ok(());
        }
        let (sources, direction) = (&self.sources, self.direction);
        settle(&mut self.order[place..], |a, b| rank(sources, direction, a, b));
        Ok(())
    }
}

/// Which of two sources that stand at entries comes first: by key, then newest first, then in the
/// order in which they were given.
#[inline]
fn rank<S: Source>(sources: &[S], direction: Direction, a: usize, b: usize) -> Ordering {
    let (Some(left), Some(right)) = (sources[a].entry(), sources[b].entry()) else {
        unreachable!("a source in the order stands at an entry")
    };
    let by_key = direction.order(left.key, right.key);
    by_key.then(right.stamp.cmp(&left.stamp)).then(a.cmp(&b))
}

/// Moves the first of `order` to its place among the others, which are sorted.
#[inline]
fn settle(order: &mut [usize], rank: impl Fn(usize, usize) -> Ordering) {
    let Some((&first, rest)) = order.split_first() else { return };
    if rest.first().is_none_or(|&runner_up| rank(first, runner_up).is_lt()) {
        return;
    }
    let place = 1 + rest[1..].partition_point(|&other| rank(other, first).is_lt());
    order[..=place].rotate_left(1);
}

#[cfg(test)]
mod tests;
