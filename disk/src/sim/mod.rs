//! The simulated disk. It shows a store every crash, error and damage of the fault model below,
//! and does so again for the same seed.
//!
//! # Fault model
//!
//! A machine holds directories; each has names as the process sees them,
//! names that are durable, and a list of the operations in between. A file has bytes as reads see
//! them, and for each sector of 512 bytes what the medium holds and every version written since.
//!
//! When the power is cut ([`SimDisk::crash`]):
//!
//! - **C1 sectors.** Each sector of each file becomes, independently of all others, its durable
//!   version or any version written since. Nothing orders sectors, writes or files.
//! - **C2 torn.** One sector may hold the front of one version and the back of the version before.
//! - **C3 lengths.** The length becomes the durable one or any that the file had since, whatever
//!   became of the data. A length without its data reads as zeros; data beyond the length is gone.
//! - **C4 fresh.** A sector that was never durable, and that no sync has recorded as reserved but
//!   unwritten, may hold zeros, noise, or a sector of a removed file. After [`crate::File::sync`], the
//!   unwritten parts of a file are zeros for good, as unwritten extents of ext4 are.
//! - **C5 names.** Unsynced operations on names survive in any subset, in any order in which each
//!   one finds what it works on; one that never does is lost. Syncing a file does not make its name
//!   durable; syncing a directory covers the earlier operations in this directory only. Under
//!   `alice`, a rename may leave the old name beside the new one.
//! - **C6 sync.** A sync covers what was issued before the call; a crash inside it leaves all of
//!   that pending. It does not cover writes in flight.
//! - **C7 inside.** A crash inside an operation applies any part of it.
//! - **C8 lives.** Each life after a crash runs under the same rules.
//! - **C9 flights.** Any sectors of each write between submit and complete may have been written,
//!   by a power cut or a kill. A durable write makes its own sectors durable when it is complete,
//!   and the length needed to read them, and nothing else.
//! - **K1 kill** ([`SimDisk::kill`]). What was written and named survives, still not durable; locks
//!   are released.
//!
//! While it runs:
//!
//! - **E1 writes.** A write may store less than asked and say so, be interrupted, or fail after
//!   storing any part.
//! - **E2 space.** [`SimDisk::set_space`] bounds the bytes of all files; a file uses everything up
//!   to its furthest write or allocation, until its last name and last handle are gone. A write on
//!   a full disk stores what fits, exactly. If names cost something, then creating, linking and
//!   renaming files and extending them by `set_len` need room, too. If blocks are allocated late,
//!   writes past the end find room and the sync does not: it drops what does not fit.
//! - **E3 syncs.** A failing sync (or durable write) drops a non-empty subset of the pending
//!   sectors: reads show the new bytes for a while and then the old, the medium never gets them
//!   unless they are written again. The next sync says that all is well, but for the first one
//!   through each other handle that was open.
//! - **E4 reverting syncs.** Reads show the old bytes at once.
//! - **E5 late errors.** The failing sync succeeds, and the next one fails.
//! - **E6 stray errors.** The failing sync succeeds, and the next one through each *other* handle
//!   fails. If there is none, only closing the file would have told, and nobody asks that.
//! - **E7 reads.** A read may fail once, or for good from one sector on until that is written again
//!   (mappings see it as a fault); it may be short or interrupted; a bit may flip in
//!   what is read, or on the medium. A mapping may show other bits when a page is looked at again.
//! - **E8 misdirection.** What is written lands in other sectors of this file or of any other, while
//!   reads see it in its place until it is evicted. A read gives what lies elsewhere.
//! - **E9 lies.** A sync, of a file or a directory, or a durable write succeeds without effect.
//! - **E10 metadata.** Operations on names may fail; then they have changed nothing. The file system
//!   may become read-only in the middle of a life: nothing is changed from then on.
//!
//! A call may also be told to fail ([`SimDisk::fail_next`] and its neighbours).
//!
//! At rest, files suffer what [`SimDisk::remove_file`] and its neighbours do to them (F1 to F8).
//!
//! Around the disk:
//!
//! - **T1 clock.** [`crate::clock::ManualClock`] stands still between two movements, repeats
//!   itself, and jumps in both directions; its monotonic reading never goes back.
//! - **L1 lock.** The lock belongs to the directory: a second owner is refused also after the file
//!   `LOCK` was deleted and made anew.
//!
//! Deliberately absent: nothing of the fault model. Each rule is a switch of [`Rules`].
//!
//! # Invariants
//!
//! 1. What was durable and not changed since is never touched by C1 to C9, K1, E1 to E4 and E10.
//! 2. A call on a handle of a life that is over fails and changes nothing. Mappings stay readable.
//! 3. Nothing depends on time, addresses or the order of a hash table: the same seed and the same
//!    calls give the same trace.
//!
//! The rules are those of ALICE (Pillai et al., 2014), of FoundationDB's simulated disk, and of
//! Rebello et al., "Can applications recover from fsync failures?" (2020), put together.

mod bad;
mod betray;
mod crash;
mod dice;
mod directory;
mod disk;
mod error;
mod file;
mod inode;
mod mutating;
mod page;
mod rest;
mod rules;
mod trace;
mod world;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use crash::Crash;
pub use error::{Failure, OpKind};
pub use rest::{Damage, Filler, Foreign};
pub use rules::{Chance, Rules};

use crate::Name;
use error::When;
use world::World;

/// One directory on a simulated machine, in one life of it.
///
/// ```
/// use icecore_disk::sim::{Crash, Rules, SimDisk};
/// use icecore_disk::{Disk, File, Name};
///
/// let disk = SimDisk::new(7, Rules::power_cut());
/// let file = disk.create(Name::Wal(1))?;
/// file.write_all_at(0, b"durable")?;
/// file.sync()?;
/// disk.sync_dir()?;
/// file.write_all_at(0, b"pending")?;
/// disk.crash(Crash::KeepNone);
/// assert!(file.len().is_err(), "the machine has stopped");
///
/// let disk = disk.reopen();
/// assert_eq!(disk.read_file(Name::Wal(1))?, b"durable");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct SimDisk {
    shared: Arc<Shared>,
    life: u64,
    directory: usize,
}

/// The world behind all handles.
struct Shared {
    world: Mutex<World>,
}

impl Shared {
    /// A test that panicked elsewhere must not hide its message behind that of a poisoned lock.
    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SimDisk {
    /// A machine in its life 0, with one empty directory, `store`.
    pub fn new(seed: u64, rules: Rules) -> Arc<SimDisk> {
        SimDisk::over(World::new(seed, rules), 0)
    }

    fn over(world: World, directory: usize) -> Arc<SimDisk> {
        let life = world.life;
        let shared = Arc::new(Shared { world: Mutex::new(world) });
        Arc::new(SimDisk { shared, life, directory })
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.shared.lock()
    }

    /// Cuts the power, or settles what survives after [`SimDisk::crash_at`] has struck.
    ///
    /// # Panics
    /// When what survives is settled already, by `crash` or `kill`.
    pub fn crash(&self, crash: Crash) {
        let mut world = self.world();
        assert!(world.running || !world.judged, "the machine stops once in a life");
        world.trace.note(1, || format!("crash: {crash:?}"));
        world.crash(&crash);
    }

    /// Kills the process: K1. After [`SimDisk::crash_at`] has struck, it was the process that ended
    /// there.
    ///
    /// # Panics
    /// As [`SimDisk::crash`].
    pub fn kill(&self) {
        let mut world = self.world();
        assert!(world.running || !world.judged, "the machine stops once in a life");
        world.trace.note(2, || "kill".to_owned());
        world.kill();
    }

    /// Begins the next life and gives this directory in it. If nobody has said what survives, it is
    /// [`Crash::Random`]. Armed errors are gone; rules and space remain.
    ///
    /// # Panics
    /// While the machine runs.
    pub fn reopen(&self) -> Arc<SimDisk> {
        let mut world = self.world();
        assert!(!world.running, "stop the machine first, by crash or kill");
        world.judge();
        world.trace.note(3, || "reopen".to_owned());
        world.life += 1;
        world.running = true;
        world.judged = false;
        world.crash_at = None;
        world.operations = 0;
        world.calls = 0;
        world.arsenal.clear();
        world.read_only = false;
        world.failed_syncs.clear();
        world.given_up.clear();
        Arc::new(SimDisk {
            shared: Arc::clone(&self.shared),
            life: world.life,
            directory: self.directory,
        })
    }

    /// A copy of the whole machine, in the same state and with the same dice. Files that are open
    /// belong to the original; so one stopped machine can suffer many different crashes.
    /// Costs about as much as there are pages of 4 KiB, not bytes.
    pub fn fork(&self) -> Arc<SimDisk> {
        SimDisk::over(self.world().clone(), self.directory)
    }

    /// Another directory of the machine, as [`crate::Disk::create_directory`] named it.
    pub fn directory(&self, path: &Path) -> Option<Arc<SimDisk>> {
        let label = path.to_string_lossy();
        let directory = self.world().directories.iter().position(|d| d.label == label)?;
        Some(Arc::new(SimDisk { shared: Arc::clone(&self.shared), life: self.life, directory }))
    }

    /// Whether this life goes on.
    pub fn is_running(&self) -> bool {
        self.world().lives(self.life)
    }

    /// Stops the machine inside the operation of this number of the current life, which is
    /// counted from 0. Then [`SimDisk::crash`] or [`SimDisk::kill`] says what that was.
    pub fn crash_at(&self, operation: u64) {
        self.world().crash_at = Some(operation);
    }

    /// How many mutating operations were begun in the current life.
    pub fn operations(&self) -> u64 {
        self.world().operations
    }

    /// How many calls of any kind were begun in the current life.
    pub fn calls(&self) -> u64 {
        self.world().calls
    }

    /// How many lives came before this one.
    pub fn life(&self) -> u64 {
        self.life
    }

    /// How many items a crash would decide about at the moment; see [`Crash`].
    pub fn pending(&self) -> usize {
        self.world().pending()
    }

    /// Starts the dice anew, so that forks of one machine can meet different fates.
    pub fn reseed(&self, seed: u64) {
        self.world().dice = dice::Dice::new(seed);
    }

    /// Changes the rules from here on.
    pub fn set_rules(&self, rules: Rules) {
        self.world().rules = rules;
    }

    /// The rules in force.
    pub fn rules(&self) -> Rules {
        self.world().rules
    }

    /// E2: bounds the bytes of all files together; `None` for no bound. What is there already
    /// stays, even if it is more.
    pub fn set_space(&self, bytes: Option<u64>) {
        self.world().space = bytes;
    }

    /// The bytes that all files use together, as they count against [`SimDisk::set_space`].
    pub fn used_bytes(&self) -> u64 {
        self.world().used_bytes()
    }

    /// Lets the next `times` calls of a kind fail; `u64::MAX` for all.
    pub fn fail_next(&self, kind: OpKind, failure: Failure, times: u64) {
        if times > 0 {
            self.world().arsenal.arm(When::Next(kind, times), failure);
        }
    }

    /// Lets the mutating operation of this number of the current life fail.
    pub fn fail_op(&self, operation: u64, failure: Failure) {
        self.world().arsenal.arm(When::Operation(operation), failure);
    }

    /// Lets the call of this number of the current life fail, whatever it is.
    pub fn fail_call(&self, call: u64, failure: Failure) {
        self.world().arsenal.arm(When::Call(call), failure);
    }

    /// Lets every call of the current life from this number on fail.
    pub fn fail_calls_from(&self, call: u64, failure: Failure) {
        self.world().arsenal.arm(When::CallsFrom(call), failure);
    }

    /// E10: from here on, the file system is read-only, to the end of this life, or not.
    pub fn set_read_only(&self, read_only: bool) {
        self.world().read_only = read_only;
    }

    /// How often, in all lives, the disk has lost what it said was durable, or has shown something
    /// wrong: E5, E6, E8, E9, and E7 but for passing errors. As long as this is 0, a correct store
    /// loses nothing.
    pub fn betrayals(&self) -> u64 {
        self.world().betrayals
    }

    /// How many syncs and durable writes have failed in this life, and said so.
    pub fn failed_syncs(&self) -> usize {
        self.world().failed_syncs.len()
    }

    /// The files here whose sync or durable write has failed after the first so many. A file of the
    /// log counts once a write behind its header was submitted to it under its name: before that,
    /// nothing depends on it. Nor does anything depend on a file that was to be removed and would not go.
    pub fn unsynced_files(&self, after: usize) -> Vec<Name> {
        let world = self.world();
        let failed = world.failed_syncs.get(after..).unwrap_or_default();
        let counts = |name: Name, id: &world::InodeId| {
            let begun = world.inodes[id].last_write.is_some_and(|(_, start)| start > 0);
            let in_use = begun || !matches!(name, Name::Wal(_));
            failed.contains(id) && in_use && !world.given_up.contains(id)
        };
        let here = world.directories[self.directory].names.iter();
        here.filter(|(name, id)| counts(**name, id)).map(|(name, _)| *name).collect()
    }

    /// How many files are open.
    pub fn open_files(&self) -> usize {
        self.world().inodes.values().map(|inode| inode.handles.len()).sum()
    }

    /// The last submitted write to a file, under its present name, that went well: its number among
    /// all of the machine, and where it began.
    pub fn last_write(&self, name: Name) -> Option<(u64, u64)> {
        let world = self.world();
        let id = world.find(self.directory, name).ok()?;
        world.inodes[&id].last_write
    }

    /// Disarms all errors.
    pub fn disarm(&self) {
        self.world().arsenal.clear();
    }

    /// A hash of the seed, of every call with its outcome, and of every crash, over all lives.
    pub fn trace_hash(&self) -> u64 {
        self.world().trace.hash()
    }

    /// Begins or ends to keep the trace as text, too.
    pub fn record_trace(&self, keep: bool) {
        self.world().trace.keep_lines(keep);
    }

    /// The trace since [`SimDisk::record_trace`], a line for each call.
    pub fn trace(&self) -> Vec<String> {
        self.world().trace.lines()
    }
}

impl World {
    /// Settles what survives, if nobody has yet.
    fn judge(&mut self) {
        if !self.judged {
            self.crash(&Crash::Random);
        }
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimDisk(directory {}, life {})", self.directory, self.life)
    }
}
