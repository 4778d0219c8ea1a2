//! A memtable and the one who inserts into it.
//!
//! 1. A memtable has exactly one [`Inserter`]; it takes `&mut` to insert.
//! 2. A reader at a stamp sees exactly the commits up to it, provided that it learned the stamp
//!    from somebody who learned it from the inserter after [`Inserter::apply`] had returned.
//! 3. Reading takes no lock and allocates nothing, except for ranges and for handles.

use std::sync::Arc;

use bytes::Bytes;
use icecore_model::hash::hash64;
use icecore_model::{Change, Effect, Effects, Malformed, RangeSet, Versionstamp};

use crate::arena::{Arena, ArenaPool, Bump};
use crate::chain::{self, VersionRef};
use crate::cursor::{Cursor, Versions};
use crate::index::{Index, short_hash};
use crate::list::List;
use crate::node::NodeRef;
use crate::ranges::Ranges;
use icecore_sync::fine::{AtomicU64, AtomicUsize, Ordering};

/// Values of at least this many bytes are handed out as [`Bytes`] that keep their chunk of the
/// arena alive; shorter ones are copied, so that no small value holds a large chunk. Copying 4 KiB
/// costs about as much as making a handle.
pub const PIN_BYTES_MIN: usize = 4 << 10;

/// Recent commits in memory.
pub struct Memtable {
    list: List,
    index: Index,
    ranges: Ranges,
    arena: Arena,
    used_bytes: AtomicUsize,
    keys: AtomicUsize,
    entries: AtomicUsize,
    first_stamp: AtomicU64,
    last_stamp: AtomicU64,
}

/// An empty memtable that draws from `pool`, and its inserter.
pub fn create(pool: &Arc<ArenaPool>) -> (Arc<Memtable>, Inserter) {
    let memtable = Arc::new(Memtable {
        list: List::new(),
        index: Index::new(),
        ranges: Ranges::new(),
        arena: Arena::new(pool),
        used_bytes: AtomicUsize::new(0),
        keys: AtomicUsize::new(0),
        entries: AtomicUsize::new(0),
        first_stamp: AtomicU64::new(0),
        last_stamp: AtomicU64::new(0),
    });
    let inserter = Inserter {
        memtable: Arc::clone(&memtable),
        bump: Bump::new(),
        floor: Versionstamp::ZERO,
        range_bytes: 0,
    };
    (memtable, inserter)
}

impl Memtable {
    /// The newest version of `key` at or below `at`; a tombstone is a hit. Deletions of ranges are
    /// not considered: see [`Memtable::covering`].
    #[inline]
    pub fn get(&self, key: &[u8], at: Versionstamp) -> Option<Hit<'_>> {
        self.get_hashed(hash64(key), key, at)
    }

    /// Like [`Memtable::get`] for a caller that has [`hash64`] of the key.
    #[inline]
    pub fn get_hashed(&self, hash: u64, key: &[u8], at: Versionstamp) -> Option<Hit<'_>> {
        let version = self.node(short_hash(hash), key)?.version(at)?;
        Some(Hit { version, arena: &self.arena })
    }

    /// The newest version of `key`.
    #[inline]
    pub fn newest(&self, key: &[u8]) -> Option<Hit<'_>> {
        self.get(key, Versionstamp::MAX)
    }

    #[inline]
    fn node(&self, hash: u32, key: &[u8]) -> Option<NodeRef<'_>> {
        match self.index.find(hash, key) {
            None if !self.index.is_complete() => {
                self.list.find(key).after.filter(|node| node.key() == key)
            }
            found => found,
        }
    }

    /// How many ranges were deleted. Their set takes time and memory that grow with the square of
    /// it, so whoever fills a memtable is to bound it.
    #[inline]
    pub fn range_tombstones(&self) -> usize {
        self.ranges.count()
    }

    /// Whether ranges were deleted.
    #[inline]
    pub fn has_ranges(&self) -> bool {
        self.ranges.any()
    }

    /// The newest deletion of a range at or below `at` that covers `key`. It may take a lock.
    pub fn covering(&self, key: &[u8], at: Versionstamp) -> Option<Versionstamp> {
        if self.has_ranges() { self.ranges().covering(key, at) } else { None }
    }

    /// All deletions of ranges. It may take a lock, and prepares the set after each deletion once.
    pub fn ranges(&self) -> Arc<RangeSet> {
        self.ranges.set()
    }

    /// A cursor over the newest versions at or below `at`. It stands nowhere at first.
    pub fn cursor(&self, at: Versionstamp) -> Cursor<&Memtable> {
        Cursor::new(self, at)
    }

    /// Like [`Memtable::cursor`]; keeps the memtable alive by itself.
    pub fn cursor_owned(self: &Arc<Memtable>, at: Versionstamp) -> Cursor<Arc<Memtable>> {
        Cursor::new(Arc::clone(self), at)
    }

    /// Every version: keys ascending, stamps descending.
    pub fn versions(&self) -> Versions<&Memtable> {
        Versions::new(self)
    }

    /// Like [`Memtable::versions`]; keeps the memtable alive by itself.
    pub fn versions_owned(self: &Arc<Memtable>) -> Versions<Arc<Memtable>> {
        Versions::new(Arc::clone(self))
    }

    /// The bytes in use: keys, values, their links and index, and deletions of ranges. Versions
    /// that were dropped count: their memory comes back with all the rest.
    pub fn memory_bytes(&self) -> usize {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// The bytes of the chunks that were drawn from the pool, in use or not.
    pub fn allocated_bytes(&self) -> usize {
        self.arena.allocated_bytes()
    }

    /// The stamp of the first commit.
    pub fn first_stamp(&self) -> Option<Versionstamp> {
        stamp_or_none(self.first_stamp.load(Ordering::Acquire))
    }

    /// The stamp of the last commit.
    pub fn last_stamp(&self) -> Option<Versionstamp> {
        stamp_or_none(self.last_stamp.load(Ordering::Acquire))
    }

    /// How many versions there are, without those that were dropped.
    pub fn entries(&self) -> usize {
        self.entries.load(Ordering::Relaxed)
    }

    /// How many keys there are.
    pub fn keys(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }

    /// Whether nothing was ever applied.
    pub fn is_empty(&self) -> bool {
        self.first_stamp().is_none()
    }

    pub(crate) fn list(&self) -> &List {
        &self.list
    }

    pub(crate) fn hit<'a>(&'a self, version: VersionRef<'a>) -> Hit<'a> {
        Hit { version, arena: &self.arena }
    }
}

impl std::fmt::Debug for Memtable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memtable")
            .field("keys", &self.keys())
            .field("entries", &self.entries())
            .field("memory_bytes", &self.memory_bytes())
            .finish_non_exhaustive()
    }
}

fn stamp_or_none(number: u64) -> Option<Versionstamp> {
    (number != 0).then(|| Versionstamp::new(number))
}

/// A version that was found.
#[derive(Clone, Copy)]
pub struct Hit<'a> {
    version: VersionRef<'a>,
    arena: &'a Arena,
}

impl<'a> Hit<'a> {
    /// The commit that made the version.
    pub fn stamp(&self) -> Versionstamp {
        self.version.stamp()
    }

    /// What it did.
    #[inline]
    pub fn change(&self) -> Change<'a> {
        self.version.change()
    }

    /// The value, to keep: a copy if it is shorter than [`PIN_BYTES_MIN`], otherwise it keeps a
    /// chunk of the arena alive. Empty for a deletion.
    pub fn value_bytes(&self) -> Bytes {
        match self.change() {
            Change::Delete => Bytes::new(),
            Change::Put { value, .. } if value.len() < PIN_BYTES_MIN => {
                Bytes::copy_from_slice(value)
            }
            // The value is the first thing in the version's run of bytes.
            Change::Put { value, .. } => self.version.pin(self.arena, 0..value.len()),
        }
    }
}

impl std::fmt::Debug for Hit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hit({} {:?})", self.stamp(), self.change())
    }
}

/// The only one who inserts into a memtable.
pub struct Inserter {
    memtable: Arc<Memtable>,
    bump: Bump,
    /// The highest floor so far.
    floor: Versionstamp,
    range_bytes: usize,
}

impl Inserter {
    /// Applies one commit: each effect becomes the newest version of its key.
    ///
    /// No reader will ever ask at a stamp below `floor`. Of each touched key the versions older
    /// than the newest one at or below `floor` are dropped.
    ///
    /// # Errors
    /// The effects are malformed; those before the malformed one were applied. The caller
    /// validates them first.
    ///
    /// # Panics
    /// If the stamps of successive calls do not increase.
    pub fn apply(
        &mut self,
        stamp: Versionstamp,
        effects: Effects<'_>,
        floor: Versionstamp,
    ) -> Result<(), Malformed> {
        let last = self.memtable.last_stamp().unwrap_or(Versionstamp::ZERO);
        assert!(stamp > last, "the stamps of commits increase");
        self.floor = self.floor.max(floor);
        if self.memtable.is_empty() {
            self.memtable.first_stamp.store(stamp.get(), Ordering::Release);
        }
        self.memtable.last_stamp.store(stamp.get(), Ordering::Release);
        let applied = effects.into_iter().try_for_each(|effect| {
            match effect? {
                Effect::Point { key, change } => self.point(stamp, key, change),
                Effect::DeleteRange { start, end } => {
                    self.range_bytes += self.memtable.ranges.push(start, end, stamp);
                }
            }
            Ok(())
        });
        let used_bytes = self.bump.used_bytes() + self.range_bytes;
        self.memtable.used_bytes.store(used_bytes, Ordering::Relaxed);
        applied
    }

    fn point(&mut self, stamp: Versionstamp, key: &[u8], change: Change<'_>) {
        let memtable = &*self.memtable;
        let (bump, arena) = (&mut self.bump, &memtable.arena);
        let hash = short_hash(hash64(key));
        let entries = memtable.entries.load(Ordering::Relaxed) + 1;
        match memtable.node(hash, key) {
            Some(node) => {
                let version = chain::make(bump, arena, node.newest().load(), stamp, change);
                node.newest().store(Some(version));
                let dropped = chain::cut(version, self.floor);
                memtable.entries.store(entries - dropped, Ordering::Relaxed);
            }
            None => {
                let node = memtable.list.insert((bump, arena), (key, hash), |bump| {
                    chain::make(bump, arena, None, stamp, change)
                });
                memtable.index.insert(bump, arena, node);
                memtable.entries.store(entries, Ordering::Relaxed);
                let keys = memtable.keys.load(Ordering::Relaxed) + 1;
                memtable.keys.store(keys, Ordering::Relaxed);
            }
        }
    }

    /// What it inserts into.
    pub fn memtable(&self) -> &Arc<Memtable> {
        &self.memtable
    }
}

impl std::fmt::Debug for Inserter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Inserter").field(&self.memtable).finish()
    }
}

#[cfg(test)]
#[cfg(loom)]
mod loom_tests;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;
