//! Everything that a simulated machine holds, and the gate that every call passes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;

use rustix::io::Errno;

use super::dice::Dice;
use super::directory::{Directory, NameChange};
use super::error::{Arsenal, Failure, OpKind, stopped};
use super::inode::{Inode, sectors};
use super::rules::{Chance, Rules};
use super::trace::{Record, Trace};
use crate::Name;

pub(super) type InodeId = u64;

/// How many removed files are remembered for the sake of rule C4.
const GRAVES: usize = 4;

/// What a name costs, if names cost anything.
const ENTRY_BYTES: u64 = 64;

/// The length beyond which a file is `EFBIG`: far above what any test writes, and low enough for
/// an offset gone wild not to exhaust the memory.
const LENGTH_MAX: u64 = 1 << 32;

/// A write that was submitted and not completed, or that the stop of the machine interrupted.
#[derive(Clone)]
pub(super) struct Flight {
    pub(super) inode: InodeId,
    pub(super) offset: u64,
    pub(super) data: Vec<u8>,
    pub(super) durable: bool,
    /// What its completion gives, whatever else happens.
    pub(super) failure: Option<Failure>,
}

#[derive(Clone)]
pub(super) struct World {
    pub(super) rules: Rules,
    pub(super) dice: Dice,
    pub(super) inodes: BTreeMap<InodeId, Inode>,
    pub(super) next_inode: InodeId,
    pub(super) next_handle: u64,
    pub(super) directories: Vec<Directory>,
    pub(super) flights: BTreeMap<u64, Flight>,
    pub(super) next_ticket: u64,
    /// Files that no name leads to and nobody has open; names of them may still be durable.
    pub(super) nameless: Vec<InodeId>,
    /// The remains of removed files, whose blocks may turn up elsewhere.
    pub(super) graves: VecDeque<Inode>,
    pub(super) life: u64,
    pub(super) running: bool,
    /// Whether it is settled what survived the stop.
    pub(super) judged: bool,
    pub(super) crash_at: Option<u64>,
    pub(super) operations: u64,
    pub(super) calls: u64,
    pub(super) arsenal: Arsenal,
    pub(super) space: Option<u64>,
    pub(super) used: u64,
    /// Whether some file shows writes that a failed sync has dropped.
    pub(super) lossy: bool,
    /// The file system takes no more changes in this life (E10).
    pub(super) read_only: bool,
    /// See [`super::betray`].
    pub(super) betrayals: u64,
    /// The files of which a sync or durable write has failed in this life, and said so.
    pub(super) failed_syncs: Vec<InodeId>,
    /// The files that were to be removed in this life and would not go.
    pub(super) given_up: Vec<InodeId>,
    pub(super) trace: Trace,
}

/// What the gate says about a call.
pub(super) struct Step {
    /// The machine stops during this call.
    pub(super) last: bool,
    pub(super) failure: Option<Failure>,
}

impl World {
    pub(super) fn new(seed: u64, rules: Rules) -> World {
        let mut trace = Trace::default();
        trace.mix(seed);
        World {
            rules,
            dice: Dice::new(seed),
            inodes: BTreeMap::new(),
            next_inode: 1,
            next_handle: 1,
            directories: vec![Directory::new("store".to_owned())],
            flights: BTreeMap::new(),
            next_ticket: 0,
            nameless: Vec::new(),
            graves: VecDeque::new(),
            life: 0,
            running: true,
            judged: false,
            crash_at: None,
            operations: 0,
            calls: 0,
            arsenal: Arsenal::default(),
            space: None,
            used: 0,
            lossy: false,
            read_only: false,
            betrayals: 0,
            failed_syncs: Vec::new(),
            given_up: Vec::new(),
            trace,
        }
    }

    /// Whether handles of `life` still work.
    pub(super) fn lives(&self, life: u64) -> bool {
        self.running && self.life == life
    }

    /// Counts a call and decides its fate. A call of a life that is over changes nothing.
    pub(super) fn enter(&mut self, life: u64, kind: OpKind) -> io::Result<Step> {
        if !self.lives(life) {
            return Err(stopped());
        }
        let call = self.calls;
        self.calls += 1;
        let operation = kind.mutates().then_some(self.operations);
        self.operations += u64::from(operation.is_some());
        let last = operation.is_some() && operation == self.crash_at;
        let armed = self.arsenal.due(kind, operation, call);
        if kind.mutates() && self.dice.happens(self.rules.remounts) {
            self.read_only = true;
        }
        let refused = (self.read_only && kind.mutates()).then_some(Failure::ReadOnly);
        let failure = armed.or(refused).or_else(|| self.bad_luck(kind));
        Ok(Step { last, failure })
    }

    /// The error that the rules draw for a call.
    fn bad_luck(&mut self, kind: OpKind) -> Option<Failure> {
        use Failure::*;
        let rules = self.rules;
        match kind {
            OpKind::Submit | OpKind::FreeBytes | OpKind::Len | OpKind::Lock => None,
            OpKind::Write => self
                .draw(rules.short_writes, &[Short])
                .or_else(|| self.draw(rules.interruptions, &[Interrupted]))
                .or_else(|| self.draw(rules.write_errors, &[Io, NoSpace, Quota, TooBig])),
            OpKind::Complete => self
                .draw(rules.write_errors, &[Io, NoSpace, Quota, TooBig])
                .or_else(|| self.draw(rules.sync_errors, &[Io]))
                .or_else(|| self.betrayed_sync()),
            OpKind::SetLen | OpKind::Allocate => {
                self.draw(rules.write_errors, &[Io, NoSpace, Quota, TooBig])
            }
            OpKind::Read => self
                .draw(rules.short_reads, &[Short])
                .or_else(|| self.draw(rules.interruptions, &[Interrupted]))
                .or_else(|| self.draw(rules.read_errors, &[Io])),
            OpKind::Sync => {
                self.draw(rules.sync_errors, &[Io, NoSpace, Quota]).or_else(|| self.betrayed_sync())
            }
            OpKind::Create | OpKind::Open | OpKind::CreateDirectory => {
                self.draw(rules.metadata_errors, &[Io, Access, ReadOnly, TooManyFiles, NoFileTable])
            }
            OpKind::Rename | OpKind::Remove | OpKind::Link => {
                self.draw(rules.metadata_errors, &[Io, Access, ReadOnly])
            }
            OpKind::List | OpKind::SyncDir => self.draw(rules.metadata_errors, &[Io]),
            OpKind::Map => self.draw(rules.metadata_errors, &[Io, NoMemory]),
        }
    }

    /// A sync that fails without saying so.
    fn betrayed_sync(&mut self) -> Option<Failure> {
        let rules = self.rules;
        self.draw(rules.late_sync_errors, &[Failure::Late])
            .or_else(|| self.draw(rules.stray_sync_errors, &[Failure::Stray]))
            .or_else(|| self.draw(rules.lying_syncs, &[Failure::Lie]))
    }

    /// Remembers that a sync of a file has failed, and said so.
    pub(super) fn note_failed_sync(&mut self, id: InodeId, result: &io::Result<()>) {
        if result.is_err() {
            self.failed_syncs.push(id);
        }
    }

    /// Remembers that a file was to be removed and is still there.
    pub(super) fn note_failed_removal(&mut self, directory: usize, name: Name) {
        self.given_up.extend(self.find(directory, name).ok());
    }

    /// One of `failures`, as often as `chance` says.
    fn draw(&mut self, chance: Chance, failures: &[Failure]) -> Option<Failure> {
        self.dice.happens(chance).then(|| failures[self.dice.index(failures.len())])
    }

    /// The machine stops; what survives is settled later.
    pub(super) fn stop(&mut self) {
        self.running = false;
        self.judged = false;
    }

    /// Adds a call to the trace and hands its result through.
    pub(super) fn record(
        &mut self,
        kind: OpKind,
        name: Option<Name>,
        (offset, len): (u64, u64),
        outcome: Result<u64, &io::Error>,
    ) {
        let operation = self.operations - u64::from(kind.mutates());
        let outcome = outcome.map_err(|e| e.raw_os_error().unwrap_or(-1));
        self.trace.record(Record { operation, kind, name, offset, len, outcome });
    }

    /// A call that happens entirely or not at all: all but those that move or sync data.
    pub(super) fn whole<T>(
        &mut self,
        life: u64,
        kind: OpKind,
        name: Option<Name>,
        range: (u64, u64),
        effect: impl FnOnce(&mut World) -> io::Result<T>,
    ) -> io::Result<T> {
        let step = self.enter(life, kind)?;
        let result = match step.failure {
            _ if step.last => {
                // What the operation changes becomes pending, so that the crash decides about
                // it; of a sync, nothing but that is left to decide.
                if self.rules.inside && (kind != OpKind::SyncDir || !self.rules.syncs) {
                    // One that would have failed changes nothing either way.
                    drop(effect(self));
                }
                self.stop();
                Err(stopped())
            }
            Some(failure) => Err(failure.into()),
            None => effect(self),
        };
        self.record(kind, name, range, result.as_ref().map(|_| 0));
        result
    }

    pub(super) fn inode(&mut self, id: InodeId) -> &mut Inode {
        self.inodes.get_mut(&id).expect("an open or named file exists")
    }

    pub(super) fn add_inode(&mut self, inode: Inode) -> InodeId {
        let id = self.next_inode;
        self.next_inode += 1;
        self.inodes.insert(id, inode);
        id
    }

    pub(super) fn find(&self, directory: usize, name: Name) -> io::Result<InodeId> {
        self.directories[directory].names.get(&name).copied().ok_or_else(|| Errno::NOENT.into())
    }

    /// Creates an empty file and its name, both pending.
    pub(super) fn create(&mut self, directory: usize, name: Name) -> io::Result<InodeId> {
        let taken = self.directories[directory].names.contains_key(&name);
        if taken || self.directories[directory].blocked(name) {
            return Err(Errno::EXIST.into());
        }
        self.room_for_entry()?;
        let id = self.add_inode(Inode::default());
        self.inode(id).links = 1;
        self.directories[directory].names.insert(name, id);
        self.directories[directory].pending.push(NameChange::Add(name, id));
        Ok(id)
    }

    pub(super) fn rename(&mut self, directory: usize, from: Name, to: Name) -> io::Result<()> {
        let id = self.find(directory, from)?;
        let here = &mut self.directories[directory];
        if here.blocked(to) {
            return Err(Errno::ISDIR.into());
        }
        if here.names.get(&to) == Some(&id) {
            return Ok(()); // POSIX: two names of one file stay as they are.
        }
        if !here.names.contains_key(&to) {
            self.room_for_entry()?;
        }
        let here = &mut self.directories[directory];
        here.names.remove(&from);
        let replaced = here.names.insert(to, id);
        self.inode(id).last_write = None;
        let here = &mut self.directories[directory];
        here.pending.push(NameChange::Rename(from, to, id));
        if let Some(old) = replaced {
            self.unlink(old);
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, directory: usize, name: Name) -> io::Result<()> {
        let id = self.find(directory, name)?;
        self.directories[directory].names.remove(&name);
        self.directories[directory].pending.push(NameChange::Remove(name, id));
        self.unlink(id);
        Ok(())
    }

    pub(super) fn link(&mut self, from: usize, name: Name, to: usize) -> io::Result<()> {
        let id = self.find(from, name)?;
        let target = &mut self.directories[to];
        if target.names.contains_key(&name) || target.blocked(name) {
            return Err(Errno::EXIST.into());
        }
        self.room_for_entry()?;
        let target = &mut self.directories[to];
        target.names.insert(name, id);
        target.pending.push(NameChange::Add(name, id));
        self.inode(id).links += 1;
        Ok(())
    }

    fn unlink(&mut self, id: InodeId) {
        self.inode(id).links -= 1;
        self.free_if_unused(id);
    }

    /// Gives back the space of a file that nobody can reach any more. The file itself is kept as
    /// long as a crash may bring back a name of it.
    pub(super) fn free_if_unused(&mut self, id: InodeId) {
        let inode = self.inode(id);
        if inode.links == 0 && inode.handles.is_empty() {
            // It stays charged, in case that a crash brings it back.
            let freed = inode.charged;
            self.used -= freed;
            self.nameless.push(id);
        }
    }

    pub(super) fn sync_dir(&mut self, directory: usize) {
        self.directories[directory].settle();
        self.bury();
    }

    /// Forgets the files that no crash can bring back, but for the content of their blocks.
    pub(super) fn bury(&mut self) {
        if self.nameless.is_empty() {
            return;
        }
        let named: BTreeSet<InodeId> =
            self.directories.iter().flat_map(Directory::inodes).collect();
        for id in std::mem::take(&mut self.nameless) {
            if named.contains(&id) {
                self.nameless.push(id);
            } else if let Some(inode) = self.inodes.remove(&id) {
                self.flights.retain(|_, flight| flight.inode != id);
                self.grave(inode);
            }
        }
    }

    pub(super) fn grave(&mut self, inode: Inode) {
        if !inode.pages.is_empty() {
            self.graves.push_back(inode);
        }
        if self.graves.len() > GRAVES {
            self.graves.pop_front();
        }
    }

    /// Refuses what reaches beyond the largest file.
    pub(super) fn within(offset: u64, len: u64) -> io::Result<()> {
        match offset.checked_add(len) {
            Some(end) if end <= LENGTH_MAX => Ok(()),
            _ => Err(Errno::FBIG.into()),
        }
    }

    pub(super) fn free(&self) -> u64 {
        match self.space {
            Some(space) if self.rules.space => space.saturating_sub(self.used_bytes()),
            _ => u64::MAX / 2,
        }
    }

    /// What counts against the bound: the bytes of files, and their names if those cost anything.
    pub(super) fn used_bytes(&self) -> u64 {
        let names: usize = match self.rules.entries {
            true => self.directories.iter().map(|directory| directory.names.len()).sum(),
            false => 0,
        };
        self.used + names as u64 * ENTRY_BYTES
    }

    /// E2: changing a name or a length takes a little room, if names cost any.
    pub(super) fn room_for_entry(&self) -> io::Result<()> {
        if self.rules.entries && self.free() < ENTRY_BYTES {
            return Err(Errno::NOSPC.into());
        }
        Ok(())
    }

    pub(super) fn open_handle(&mut self, id: InodeId) -> u64 {
        let handle = self.next_handle;
        self.next_handle += 1;
        self.inode(id).handles.insert(handle);
        handle
    }

    /// Reserves space so that the file reaches up to `end`, and returns how far it does reach.
    pub(super) fn reserve(&mut self, id: InodeId, end: u64) -> u64 {
        let free = self.free();
        let inode = self.inode(id);
        let more = end.saturating_sub(inode.charged).min(free);
        inode.charged += more;
        let reached = inode.charged;
        self.used += more;
        reached
    }

    /// A dropped page leaves the cache at a moment of its own choosing.
    pub(super) fn maybe_evict(&mut self, id: InodeId) {
        if self.lossy && self.inode(id).is_lossy() && self.dice.below(8) == 0 {
            self.inode(id).evict();
        }
    }

    /// Counts what a crash would decide about.
    pub(super) fn pending(&self) -> usize {
        let files: usize = self.inodes.values().map(Inode::pending).sum();
        let names: usize = self.directories.iter().map(|d| d.pending.len()).sum();
        let mut lens: BTreeMap<InodeId, u64> = BTreeMap::new();
        let mut in_flight = 0;
        for flight in self.flights.values() {
            let len = lens.entry(flight.inode).or_insert_with(|| self.inodes[&flight.inode].len);
            let end = flight.offset + flight.data.len() as u64;
            in_flight += sectors(flight.offset, flight.data.len()).count();
            if end > *len {
                *len = end;
                in_flight += 1;
            }
        }
        files + names + in_flight
    }
}
