//! Open files: every call takes the world's lock, passes its gate, and leaves a record.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustix::io::Errno;

use super::Shared;
use super::error::{Failure, OpKind, stopped};
use super::inode::{sectors, usize_of};
use super::mutating::Mutating;
use super::page::{PAGE, SECTOR};
use super::world::{Flight, InodeId, World};
use crate::{Buffer, File, Name, OpenMode, Region, Ticket, Write};

pub(super) struct SimFile {
    pub(super) shared: Arc<Shared>,
    pub(super) life: u64,
    pub(super) inode: InodeId,
    /// Its number among all handles.
    pub(super) handle: u64,
    /// The name under which it was opened, for the trace.
    pub(super) name: Name,
    pub(super) mode: OpenMode,
}

impl SimFile {
    fn writable(&self) -> io::Result<()> {
        match self.mode {
            OpenMode::ReadWrite => Ok(()),
            OpenMode::Read => Err(Errno::BADF.into()),
        }
    }

    /// A call on the file that happens entirely or not at all.
    fn whole<T>(
        &self,
        kind: OpKind,
        len: u64,
        effect: impl FnOnce(&mut World) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut world = self.shared.lock();
        world.whole(self.life, kind, Some(self.name), (0, len), effect)
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut world = self.shared.lock();
        if world.lives(self.life) {
            let (inode, handle) = (world.inode(self.inode), self.handle);
            inode.handles.remove(&handle);
            inode.owed.remove(&handle);
            world.free_if_unused(self.inode);
        }
    }
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimFile({}, life {})", self.name, self.life)
    }
}

impl File for SimFile {
    fn submit(&self, write: Write) -> Ticket {
        let mut world = self.shared.lock();
        let id = world.next_ticket;
        world.next_ticket += 1;
        // The call cannot fail; whatever is wrong, `complete` tells.
        if let Ok(step) = world.enter(self.life, OpKind::Submit) {
            let sound = World::within(write.offset, write.data.len() as u64);
            if self.writable().and(sound).is_ok() && (!step.last || world.rules.inside) {
                let Write { offset, durable, .. } = write;
                let (inode, data) = (self.inode, write.data.to_vec());
                let failure = step.failure;
                world.take_off(id, Flight { inode, offset, data, durable, failure });
            }
            if step.last {
                world.stop();
            }
            let range = (write.offset, write.data.len() as u64);
            world.trace.sample(&write.data);
            world.record(OpKind::Submit, Some(self.name), range, Ok(id));
        }
        Ticket { id, write }
    }

    fn complete(&self, ticket: Ticket) -> (Buffer, io::Result<()>) {
        let mut world = self.shared.lock();
        let Ticket { id, write } = ticket;
        let range = (write.offset, write.data.len() as u64);
        let result = match world.enter(self.life, OpKind::Complete) {
            Err(e) => Err(e),
            Ok(step) if step.last => {
                // It stays in flight.
                world.stop();
                Err(stopped())
            }
            Ok(step) => {
                let sound = World::within(write.offset, write.data.len() as u64);
                let result = self
                    .writable()
                    .and(sound)
                    .and_then(|()| world.land(id, self.handle, step.failure));
                if write.durable {
                    world.note_failed_sync(self.inode, &result);
                }
                world.record(OpKind::Complete, Some(self.name), range, result.as_ref().map(|_| 0));
                result
            }
        };
        (write.data, result)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        let mut world = self.shared.lock();
        let step = world.enter(self.life, OpKind::Write)?;
        let result = if step.last {
            let sound = World::within(offset, data.len() as u64);
            if world.rules.inside && self.writable().and(sound).is_ok() {
                let id = world.next_ticket;
                world.next_ticket += 1;
                let (inode, data) = (self.inode, data.to_vec());
                let interrupted = Flight { inode, offset, data, durable: false, failure: None };
                world.flights.insert(id, interrupted);
            }
            world.stop();
            Err(stopped())
        } else {
            self.writable().and_then(|()| world.write(self.inode, offset, data, step.failure))
        };
        let range = (offset, data.len() as u64);
        world.trace.sample(data);
        world.record(OpKind::Write, Some(self.name), range, result.as_ref().map(|n| *n as u64));
        result
    }

    fn read_at(&self, offset: u64, data: &mut [u8]) -> io::Result<usize> {
        let mut world = self.shared.lock();
        let step = world.enter(self.life, OpKind::Read)?;
        let range = (offset, data.len() as u64);
        let result = world.read(self.inode, offset, data, step.failure);
        world.trace.sample(&data[..*result.as_ref().unwrap_or(&0)]);
        world.record(OpKind::Read, Some(self.name), range, result.as_ref().map(|n| *n as u64));
        result
    }

    fn len(&self) -> io::Result<u64> {
        self.whole(OpKind::Len, 0, |world| Ok(world.inode(self.inode).len))
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.whole(OpKind::SetLen, bytes, |world| {
            self.writable()?;
            World::within(0, bytes)?;
            if bytes > world.inode(self.inode).len {
                world.room_for_entry()?;
            }
            let before = world.inode(self.inode).charged;
            world.inode(self.inode).set_len(bytes);
            world.used -= before - world.inode(self.inode).charged;
            Ok(())
        })
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.whole(OpKind::Allocate, bytes, |world| {
            self.writable()?;
            World::within(0, bytes)?;
            let missing = bytes.saturating_sub(world.inode(self.inode).charged);
            if missing > world.free() {
                return Err(Errno::NOSPC.into());
            }
            world.reserve(self.inode, bytes);
            world.inode(self.inode).reach(bytes);
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.shared.lock();
        let step = world.enter(self.life, OpKind::Sync)?;
        let result = if step.last {
            // What it has reached by now, the crash decides.
            if !world.rules.syncs {
                world.inode(self.inode).settle();
            }
            world.stop();
            Err(stopped())
        } else {
            world.sync(self.inode, self.handle, step.failure)
        };
        world.note_failed_sync(self.inode, &result);
        world.record(OpKind::Sync, Some(self.name), (0, 0), result.as_ref().map(|()| 0));
        result
    }

    fn map(&self) -> io::Result<Region> {
        self.whole(OpKind::Map, 0, |world| {
            world.maybe_evict(self.inode);
            let inode = world.inode(self.inode);
            let (image, bad) = (inode.image(), inode.bad.watch());
            if !image.is_empty() && world.dice.happens(world.rules.mutating_maps) {
                world.betrayals += 1;
                let mutating = Mutating::new(&image, bad, &mut world.dice);
                return Ok(Region::new(image, Some(Arc::new(mutating))));
            }
            Ok(Region::new(image, Some(bad)))
        })
    }
}

/// What the calls do to the data of a file.
impl World {
    fn take_off(&mut self, id: u64, flight: Flight) {
        let sectors = |flight: &Flight| {
            let end = flight.offset + flight.data.len() as u64;
            flight.offset / SECTOR as u64..end.div_ceil(SECTOR as u64)
        };
        let own = sectors(&flight);
        for other in self.flights.values().filter(|other| other.inode == flight.inode) {
            let taken = sectors(other);
            assert!(
                own.end <= taken.start || taken.end <= own.start,
                "writes in flight overlap: sectors {own:?} and {taken:?}"
            );
        }
        self.flights.insert(id, flight);
    }

    /// Finishes a write in flight.
    fn land(&mut self, id: u64, handle: u64, failure: Option<Failure>) -> io::Result<()> {
        let flight = self.flights.remove(&id).expect("a ticket is completed once, by its file");
        let Flight { inode, offset, data, durable, failure: own } = flight;
        self.maybe_evict(inode);
        let end = offset + data.len() as u64;
        let (failure, astray) = self.astray(own.or(failure));
        if let Some(failure) = failure {
            let quiet = matches!(failure, Failure::Late | Failure::Stray | Failure::Lie);
            if durable && (quiet || self.dice.coin()) && self.reserve(inode, end) >= end {
                // All of it got into the cache, but some of it will never get any further.
                self.inode(inode).write(offset, &data);
                return self.break_sync(inode, handle, Some((offset, data.len())), failure);
            }
            self.write_some_sectors(inode, offset, &data);
            return Err(failure.into());
        }
        if durable && self.inode(inode).owed.remove(&handle) {
            self.write_some_sectors(inode, offset, &data);
            return Err(Errno::IO.into());
        }
        let reached = self.reach_for(inode, end, durable);
        if reached < end {
            let fits = usize_of(reached.saturating_sub(offset));
            self.inode(inode).write(offset, &data[..fits]);
            return Err(Errno::NOSPC.into());
        }
        if durable && !astray {
            self.inode(inode).write_through(offset, &data);
        } else {
            self.inode(inode).write(offset, &data);
        }
        if astray {
            self.misdirect(inode, offset, data.len());
        }
        self.inode(inode).last_write = Some((id, offset));
        Ok(())
    }

    /// Tells a write that goes astray (E8) from one that fails.
    fn astray(&mut self, failure: Option<Failure>) -> (Option<Failure>, bool) {
        let armed = failure == Some(Failure::Astray);
        let failure = failure.filter(|_| !armed);
        let astray =
            armed || (failure.is_none() && self.dice.happens(self.rules.misdirected_writes));
        (failure, astray)
    }

    /// How far a file can be written if it is to reach up to `end`. Blocks may be allocated late.
    fn reach_for(&mut self, inode: InodeId, end: u64, durable: bool) -> u64 {
        if durable || !self.rules.late_space {
            return self.reserve(inode, end);
        }
        let inode = self.inode(inode);
        if end > inode.charged {
            inode.late = inode.late.max(end);
        }
        end
    }

    /// A write that goes past the cache fails half-way: any of its sectors were written.
    fn write_some_sectors(&mut self, inode: InodeId, offset: u64, data: &[u8]) {
        let end = offset + data.len() as u64;
        for (page, s) in sectors(offset, data.len()) {
            if self.dice.coin() {
                continue;
            }
            let start = ((page * PAGE + s * SECTOR) as u64).max(offset);
            let stop = ((page * PAGE + (s + 1) * SECTOR) as u64).min(end);
            if self.reserve(inode, stop) >= stop {
                let part = &data[usize_of(start - offset)..usize_of(stop - offset)];
                self.inode(inode).write(start, part);
            }
        }
    }

    fn write(
        &mut self,
        inode: InodeId,
        offset: u64,
        data: &[u8],
        failure: Option<Failure>,
    ) -> io::Result<usize> {
        if data.is_empty() {
            return failure.filter(|f| *f != Failure::Short).map_or(Ok(0), |f| Err(f.into()));
        }
        World::within(offset, data.len() as u64)?;
        self.maybe_evict(inode);
        let (failure, astray) = self.astray(failure);
        let asked = match failure {
            None => data.len(),
            Some(Failure::Short) => 1 + self.dice.index(data.len()),
            Some(_) => self.dice.index(data.len() + 1),
        };
        let reached = self.reach_for(inode, offset + asked as u64, false);
        let fits = asked.min(usize_of(reached.saturating_sub(offset)));
        if fits > 0 {
            self.inode(inode).write(offset, &data[..fits]);
            if astray {
                self.misdirect(inode, offset, fits);
            }
        }
        match failure {
            Some(failure) if failure != Failure::Short => Err(failure.into()),
            // A full disk may tell how far it came, or only that it is full.
            _ if fits < asked && (fits == 0 || self.dice.coin()) => Err(Errno::NOSPC.into()),
            _ => Ok(fits),
        }
    }

    fn read(
        &mut self,
        id: InodeId,
        offset: u64,
        data: &mut [u8],
        failure: Option<Failure>,
    ) -> io::Result<usize> {
        self.maybe_evict(id);
        let inode = self.inodes.get_mut(&id).expect("an open file exists");
        let there = data.len().min(usize_of(inode.len.saturating_sub(offset)));
        let mut wanted = there;
        match failure {
            Some(Failure::Short) if there > 0 => wanted = 1 + self.dice.index(there),
            Some(Failure::Short | Failure::Astray) | None => {}
            Some(failure) => return Err(failure.into()),
        }
        if wanted == 0 {
            return Ok(0);
        }
        let start = usize_of(offset);
        if self.dice.happens(self.rules.bad_sectors) {
            inode.bad.insert(start + self.dice.index(wanted));
            self.betrayals += 1;
        }
        if self.dice.happens(self.rules.bit_rot) {
            let at = offset + self.dice.below(wanted as u64);
            inode.rot(at, 1 << self.dice.below(8));
            self.betrayals += 1;
        }
        if let Some(bad) = inode.bad.first_in(start..start + wanted) {
            if bad == start {
                return Err(Errno::IO.into());
            }
            wanted = bad - start;
        }
        let done = inode.read(offset, &mut data[..wanted]);
        if failure == Some(Failure::Astray) || self.dice.happens(self.rules.misdirected_reads) {
            self.read_elsewhere(id, offset, &mut data[..done]);
        }
        if self.dice.happens(self.rules.bit_flips) {
            data[self.dice.index(done)] ^= 1 << self.dice.below(8);
            self.betrayals += 1;
        }
        Ok(done)
    }
}
