//! Old segments and spare ones.
//!
//! A full segment stays until everything in it is in tables and the manifest no longer lists it.
//! Then its file is removed, or becomes a *spare*: it gets a number of its own by renaming, and
//! waits to become a segment. Writing into blocks that were written before costs the disk a third
//! less than writing into blocks that are only reserved, so spares can also be made beforehand.
//!
//! 1. A number is never used twice, not even after a failure: the file may turn up again.
//! 2. A spare's header, if it has one, names another number than its file does, or is zeros.
//! 3. Its old frames mean nothing: the salt of the next header is another.

use std::collections::VecDeque;

use icecore_disk::Disk;
use icecore_model::Versionstamp;
use icecore_sync::MutexGuard;

use crate::log::Log;
use crate::segment::{self, Blank};
use crate::{Claim, Error};

/// How much is written at once when a spare is made. Written in larger pieces, a file lies in the
/// page cache in larger units, and then several durable writes in flight get into each other's way.
const CHUNK_BYTES: usize = 4096;

/// The numbers and the files that are not used yet.
#[derive(Debug)]
pub(crate) struct Spares {
    next_number: u32,
    ready: VecDeque<Blank>,
    /// Spares that are being made.
    under_way: usize,
}

impl Spares {
    pub(crate) fn new(next_number: u32) -> Spares {
        Spares { next_number, ready: VecDeque::new(), under_way: 0 }
    }

    pub(crate) fn fresh_number(&mut self) -> u32 {
        let number = self.next_number;
        self.next_number = number.checked_add(1).expect("2^32 segments outlast every disk");
        number
    }

    /// A spare with a number above `current`. The directory must be synced before it is used.
    pub(crate) fn take(&mut self, disk: &dyn Disk, current: u32) -> Result<Option<Blank>, Error> {
        let Some(mut spare) = self.ready.pop_front() else { return Ok(None) };
        if spare.number <= current {
            // It was being made while a later number came into use.
            let number = self.fresh_number();
            let (from, to) = (segment::name(spare.number), segment::name(number));
            if let Err(error) = disk.rename(from, to) {
                return Err(Error::io(from, "rename", error));
            }
            spare.number = number;
        }
        Ok(Some(spare))
    }

    pub(crate) fn put_back(&mut self, spare: Blank) {
        self.ready.push_front(spare);
    }
}

impl Log {
    pub(crate) fn lock_spares(&self) -> MutexGuard<'_, Spares> {
        self.spares.lock().expect("no thread panics while it holds the spares")
    }

    /// Makes one spare segment durably if fewer than
    /// [`spare_segments`](crate::LogOptions::spare_segments) are there, and says whether it did.
    /// It writes a whole segment of zeros, so it is work for a background thread; nothing
    /// depends on it.
    ///
    /// # Errors
    /// [`Error::OutOfSpace`] and [`Error::Io`]; the log goes on without the spare.
    pub fn prepare_spare(&self) -> Result<bool, Error> {
        let mut spares = self.lock_spares();
        if spares.ready.len() + spares.under_way >= self.options.spare_segments {
            return Ok(false);
        }
        let number = spares.fresh_number();
        spares.under_way += 1;
        drop(spares);
        let made = self.make_spare(number);
        let mut spares = self.lock_spares();
        spares.under_way -= 1;
        spares.ready.push_back(made?);
        Ok(true)
    }

    fn make_spare(&self, number: u32) -> Result<Blank, Error> {
        let disk = &*self.env.disk;
        let bytes = self.usual_bytes();
        self.admit(number, u64::from(bytes), Claim::Ordinary)?;
        let blank = Blank::create(disk, number, bytes)?;
        match blank.fill(disk) {
            Ok(()) => Ok(blank),
            Err(error) => {
                blank.remove(disk);
                Err(error)
            }
        }
    }

    /// The segments whose commits all are at or below `flushed`. The current one is not among
    /// them, whatever is in it. They stay on disk until they are [discarded](Log::discard).
    pub fn obsolete(&self, flushed: Versionstamp) -> Vec<u32> {
        let state = self.lock();
        state.retired.iter().filter(|s| s.last <= flushed).map(|s| s.number).collect()
    }

    /// Removes these segments, or makes spares of them. The manifest that no longer lists them
    /// must be durable. Numbers that are not those of full segments are ignored.
    ///
    /// # Errors
    /// [`Error::Io`]; the segments may still be there, and nothing refers to them.
    pub fn discard(&self, segments: &[u32]) -> Result<(), Error> {
        let mut state = self.lock();
        let gone = |s: &mut crate::state::Retired| segments.contains(&s.number);
        let gone: Vec<_> = state.retired.extract_if(.., gone).collect();
        drop(state);
        if gone.is_empty() {
            return Ok(());
        }
        let disk = &*self.env.disk;
        let mut recycled = Vec::new();
        for old in gone {
            let name = segment::name(old.number);
            if old.bytes == self.usual_bytes()
                && let Some(number) = self.number_for_a_spare(recycled.len())
            {
                let renamed = disk.rename(name, segment::name(number));
                renamed.map_err(|e| Error::io(name, "rename", e))?;
                recycled.push(Blank::open(disk, number, old.bytes)?);
            } else {
                disk.remove(name).map_err(|e| Error::io(name, "remove", e))?;
            }
        }
        let name = segment::name(segments[0]);
        disk.sync_dir().map_err(|e| Error::io(name, "sync the directory of", e))?;
        self.lock_spares().ready.extend(recycled);
        Ok(())
    }

    /// A number for one more spare, if one is wanted beside `coming` others.
    fn number_for_a_spare(&self, coming: usize) -> Option<u32> {
        let mut spares = self.lock_spares();
        let there = spares.ready.len() + spares.under_way + coming;
        (there < self.options.spare_segments).then(|| spares.fresh_number())
    }
}

impl Blank {
    /// Writes zeros all over it, durably.
    fn fill(&self, disk: &dyn Disk) -> Result<(), Error> {
        let name = segment::name(self.number);
        let zeros = vec![0; CHUNK_BYTES.min(self.bytes as usize)];
        let mut offset = 0;
        while offset < self.bytes as usize {
            let part = &zeros[..zeros.len().min(self.bytes as usize - offset)];
            self.file.write_all_at(offset as u64, part).map_err(|e| Error::io(name, "write", e))?;
            offset += part.len();
        }
        self.file.sync().map_err(|e| Error::io(name, "sync", e))?;
        disk.sync_dir().map_err(|e| Error::io(name, "sync the directory of", e))
    }
}
