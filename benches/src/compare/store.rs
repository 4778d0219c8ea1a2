//! What the suite asks of a store.
//!
//! A value is stored with the versionstamp of the commit that set it, and a commit may check the
//! stamps of keys. Stores that know no such thing keep the ten bytes in front of the value, and
//! compare them inside of the transaction that writes; [`Stamps`], [`stamped`] and [`split`] are for
//! them.

use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::compare::Result;
use crate::compare::key::Key;

/// Ten bytes that order commits.
pub type Stamp = [u8; STAMP_BYTES];

/// The length of a [`Stamp`].
pub const STAMP_BYTES: usize = 10;

/// When a commit returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Durability {
    /// When it survives a power cut.
    Durable,
    /// Without a sync. Most stores have given the bytes to the operating system by then.
    Buffered,
}

/// How a store is opened.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Of every commit.
    pub durability: Durability,
    /// Memory for the store's own cache, for those that have one.
    pub cache_bytes: usize,
}

/// The cache of every peer that has one, unless memory is limited.
pub const CACHE_BYTES: usize = 512 << 20;

impl Setup {
    /// With this durability and the usual cache.
    pub fn of(durability: Durability) -> Setup {
        Setup { durability, cache_bytes: CACHE_BYTES }
    }
}

/// One atomic commit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change<'a> {
    /// It takes effect only if these keys have these stamps; `None` is an absent key.
    pub checks: &'a [(Key, Option<Stamp>)],
    /// Keys and their values.
    pub sets: &'a [(Key, Vec<u8>)],
    /// Keys that go away.
    pub deletes: &'a [Key],
}

impl<'a> Change<'a> {
    /// A commit that only sets.
    pub fn setting(sets: &'a [(Key, Vec<u8>)]) -> Change<'a> {
        Change { sets, ..Change::default() }
    }
}

/// What became of a commit that nobody waited for: whether its checks held.
pub type Pending = Pin<Box<dyn Future<Output = Result<bool>> + Send>>;

/// Looks at one entry: its key as bytes, its stamp, its value, all in place.
pub type Visit<'a> = &'a mut dyn FnMut(&[u8], Stamp, &[u8]) -> Result<()>;

/// An open store. All of it may be called from several threads.
pub trait Store: Send + Sync {
    /// Commits with the durability that the store was opened with. The result is `false` if a check
    /// failed, or if the store asks for another try because of a conflict.
    ///
    /// # Errors
    /// Whatever else goes wrong.
    fn commit(&self, change: Change<'_>) -> Result<bool>;

    /// Submits a commit that only sets, without blocking. `None` if the store has no such form.
    fn submit(&self, _sets: &[(Key, Vec<u8>)]) -> Option<Pending> {
        None
    }

    /// Reads one key and says whether it is there. A read sees every commit that has returned.
    ///
    /// # Errors
    /// As [`Store::commit`], and those of `visit`.
    fn get(&self, key: &Key, visit: Visit<'_>) -> Result<bool>;

    /// Reads keys, all of one moment, visits those that are there in the order of `keys`, and says
    /// how many there were.
    ///
    /// # Errors
    /// As [`Store::get`].
    fn get_many(&self, keys: &[Key], visit: Visit<'_>) -> Result<usize>;

    /// Visits up to `limit` entries in key order, the first at or after `from`, and says how many
    /// there were.
    ///
    /// # Errors
    /// As [`Store::get`].
    fn list(&self, from: &Key, limit: usize, visit: Visit<'_>) -> Result<usize>;

    /// The same in the opposite order, the first before `to`.
    ///
    /// # Errors
    /// As [`Store::get`].
    fn list_reverse(&self, to: &Key, limit: usize, visit: Visit<'_>) -> Result<usize>;

    /// Everything committed is durable when this returns.
    ///
    /// # Errors
    /// As [`Store::commit`].
    fn sync(&self) -> Result<()>;

    /// Does what the store would do in the background if it had time: flushes, merges.
    ///
    /// # Errors
    /// As [`Store::commit`].
    fn settle(&self) -> Result<()>;

    /// Closes the store in an orderly way.
    ///
    /// # Errors
    /// As [`Store::commit`].
    fn close(self: Box<Self>) -> Result<()>;
}

/// What opens the store in a directory, which exists.
pub type Open = fn(directory: &Path, setup: Setup) -> Result<Box<dyn Store>>;

/// One store of the comparison.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its name in arguments and tables.
    pub name: &'static str,
    /// Opens it.
    pub open: Open,
    /// What a commit without a sync survives, in one phrase.
    pub buffered_survives: &'static str,
    /// How it is set up, in one line.
    pub setup: &'static str,
}

/// Stamps for stores that have none of their own. They start from the time of opening, so that a
/// store needs not remember the last one.
#[derive(Debug)]
pub struct Stamps {
    last: AtomicU64,
}

impl Stamps {
    /// Stamps that are greater than those of earlier openings.
    pub fn since_now() -> Stamps {
        let now = icecore_disk::clock::Clock::wall_ms(&icecore_disk::clock::SystemClock::new());
        Stamps { last: AtomicU64::new(now << 20) }
    }

    /// The next one.
    pub fn next(&self) -> Stamp {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let mut stamp = [0; STAMP_BYTES];
        stamp[..8].copy_from_slice(&number.to_be_bytes());
        stamp
    }
}

/// A value with its stamp in front.
pub fn stamped(stored: &mut Vec<u8>, stamp: Stamp, value: &[u8]) {
    stored.clear();
    stored.extend_from_slice(&stamp);
    stored.extend_from_slice(value);
}

/// The stamp and the value of what [`stamped`] made.
///
/// # Errors
/// When it is too short.
pub fn split(stored: &[u8]) -> Result<(Stamp, &[u8])> {
    let (stamp, value) = stored.split_first_chunk().ok_or("a value without a stamp")?;
    Ok((*stamp, value))
}

/// Whether `stored`, which [`stamped`] made, has the stamp that a check expects.
///
/// # Errors
/// As [`split`].
pub fn holds(expected: Option<Stamp>, stored: Option<&[u8]>) -> Result<bool> {
    let stamp = stored.map(split).transpose()?.map(|(stamp, _)| stamp);
    Ok(stamp == expected)
}
