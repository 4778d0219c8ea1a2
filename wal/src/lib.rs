//! A durable log of atomic commits.
//!
//! A commit is a *frame* in a numbered *segment*; its stamp says its place in the order of all
//! commits. The log knows nothing of what commits do: their effects are bytes to it.
//!
//! Writing: [`Log::reserve`], [`Log::append`], [`Log::wait`]. Reading happens once, when a store
//! is opened: [`recover`] finds out what the segments of the previous life hold, and whether
//! anything is missing that must be there; [`Log::create`] begins the next segment.
//!
//! ```
//! # use std::{io, sync::Arc};
//! # use icecore_disk::{random::SeededRandom, sim::{Rules, SimDisk}};
//! # use icecore_model::{DatabaseId, Versionstamp};
//! # use icecore_wal::{Claim, Durability, Log, LogEnv, LogOptions, Roster, recover};
//! # struct Manifest;
//! # impl Roster for Manifest {
//! #     fn activate(&self, _: u32, _: Versionstamp) -> io::Result<()> { Ok(()) }
//! #     fn admit(&self, _: u64, _: Claim) -> io::Result<()> { Ok(()) }
//! # }
//! # let disk = SimDisk::new(1, Rules::none());
//! # let database = DatabaseId([7; 16]);
//! # let env = LogEnv {
//! #     disk: disk.clone(),
//! #     random: Arc::new(SeededRandom::new(1)),
//! #     database,
//! #     roster: Arc::new(Manifest),
//! # };
//! let log = Log::create(env, LogOptions::default(), 1, None, Versionstamp::ZERO)?;
//! let stamp = Versionstamp::new(1);
//! log.reserve(b"effects".len(), Claim::Ordinary)?;
//! log.append(stamp, 1_700_000_000_000, b"effects", Durability::Sync)?;
//! log.wait(stamp)?;
//! log.close()?;
//!
//! let mut found = Vec::new();
//! let recovery = recover(&*disk, database, &[1], Versionstamp::ZERO, &mut |commit| {
//!     found.push((commit.stamp, commit.effects.to_vec()));
//!     Ok(())
//! })?;
//! assert_eq!(recovery.last, Some(stamp));
//! assert_eq!(found, [(stamp, b"effects".to_vec())]);
//! # Ok::<(), icecore_wal::Error>(())
//! ```
//!
//! - [`format`](mod@format): the bytes of a segment.
//! - `segment`: one file of the log.
//! - `group`, `progress`, `drive`, `state`: what is appended, how far it got, what to do next.
//! - `log`: the threads that wait and work.
//! - `rotate`, `retire`: from one segment to the next, and what becomes of the old ones.
//! - `read`, `recover`: reading it all back.
//! - [`salvage`](mod@salvage): reading what is left of it after damage.

#![forbid(unsafe_code)]

mod alarm;
mod drive;
mod error;
pub mod format;
mod group;
mod log;
mod progress;
mod read;
mod recover;
mod retire;
mod rotate;
pub mod salvage;
mod segment;
mod state;

use std::fmt;
use std::io;
use std::sync::Arc;

use icecore_disk::{Disk, Random};
use icecore_model::{DatabaseId, Versionstamp};

pub use error::Error;
pub use format::Predecessor;
pub use log::Log;
pub use recover::{Commit, Ending, Recovery, holds_commits, recover};
pub use salvage::{Salvaged, salvage, segment_owner};

/// When a commit counts as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// When it survives a power cut.
    #[default]
    Sync,
    /// When it survives the end of the process: its bytes are with the operating system.
    Buffered,
}

/// What a commit may claim of a disk that is nearly full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It leaves alone what is kept for other purposes.
    Ordinary,
    /// It leads to room, so that it may use a part of that.
    Freeing,
}

/// How the log uses its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// The size of a segment; a larger commit gets a larger one. At most 2³¹.
    pub segment_bytes: u32,
    /// Durable writes begin and end on multiples of this: a power of two from
    /// [`format::BLOCK_BYTES_MIN`] to [`format::BLOCK_BYTES_MAX`].
    pub block_bytes: u32,
    /// How many writes may be in flight at once, at least 1. More of them make smaller groups.
    pub writes_in_flight: usize,
    /// How many segments are kept ready for use.
    pub spare_segments: usize,
}

impl Default for LogOptions {
    fn default() -> LogOptions {
        LogOptions {
            segment_bytes: 16 << 20,
            block_bytes: format::BLOCK_BYTES_MIN,
            writes_in_flight: 2,
            spare_segments: 1,
        }
    }
}

/// What the log needs from its surroundings.
#[derive(Clone)]
pub struct LogEnv {
    /// Where the segments are.
    pub disk: Arc<dyn Disk>,
    /// For the salts.
    pub random: Arc<dyn Random>,
    /// The store that the log belongs to.
    pub database: DatabaseId,
    /// Who keeps the list of segments.
    pub roster: Arc<dyn Roster>,
}

/// Keeps the list of segments in use: the manifest.
pub trait Roster: Send + Sync {
    /// Records durably that `segment` is in use and that stamps below `ceiling` may be shown.
    /// Called with no lock of the log held, before any frame in the segment is acknowledged.
    ///
    /// # Errors
    /// `StorageFull` only when nothing was recorded for want of space: the log then goes on in the
    /// segment that it has. Any other failure poisons it.
    fn activate(&self, segment: u32, ceiling: Versionstamp) -> io::Result<()>;
    /// Whether `bytes` more may be used on the disk by whoever has this claim; `StorageFull` when the
    /// space that is kept for other purposes would be touched.
    ///
    /// # Errors
    /// As above, and what the disk says when it is asked.
    fn admit(&self, bytes: u64, claim: Claim) -> io::Result<()>;
}

/// What a log has done since it was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Commits appended.
    pub commits: u64,
    /// Writes completed.
    pub writes: u64,
    /// Bytes in them, padding included.
    pub bytes: u64,
    /// Syncs of a whole file; durable writes are not among them.
    pub syncs: u64,
    /// Segments begun.
    pub segments: u64,
}

impl fmt::Debug for LogEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogEnv").field("database", &self.database).finish_non_exhaustive()
    }
}
