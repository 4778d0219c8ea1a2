//! What a disk does that a store cannot see at once: syncs that fail late, elsewhere or never, and
//! data that lands, or comes from, somewhere else.
//!
//! Invariant: a *betrayal* is counted for everything that can make a correct store lose what it
//! acknowledged, or show something wrong, and for nothing else.

use std::io;

use rustix::io::Errno;

use super::error::Failure;
use super::inode::{Inode, usize_of};
use super::page::SECTOR;
use super::world::{InodeId, World};

impl World {
    /// A sync of a file through `handle`.
    pub(super) fn sync(
        &mut self,
        id: InodeId,
        handle: u64,
        failure: Option<Failure>,
    ) -> io::Result<()> {
        match failure {
            Some(Failure::Interrupted) => return Err(Failure::Interrupted.into()),
            Some(failure) => return self.break_sync(id, handle, None, failure),
            None => {}
        }
        if self.inode(id).owed.remove(&handle) {
            return Err(Errno::IO.into());
        }
        self.allocate_late(id)?;
        self.inode(id).settle();
        Ok(())
    }

    /// A sync of all, or of a range, fails in one of the ways of E3 to E6 and E9. What it returns
    /// is what the caller is told.
    pub(super) fn break_sync(
        &mut self,
        id: InodeId,
        handle: u64,
        range: Option<(u64, usize)>,
        failure: Failure,
    ) -> io::Result<()> {
        if failure == Failure::Lie {
            self.betrayals += u64::from(self.inode(id).pending() > 0);
            return Ok(());
        }
        let dropped = self.drop_writes(id, range);
        let inode = self.inode(id);
        let mut owed = inode.handles.clone();
        if failure != Failure::Late {
            owed.remove(&handle);
        }
        inode.owed.extend(owed);
        match failure {
            Failure::Late | Failure::Stray => {
                if range.is_none() {
                    inode.settle();
                }
                self.betrayals += u64::from(dropped);
                Ok(())
            }
            _ => Err(failure.into()),
        }
    }

    /// E3: a failing sync drops pending writes; E4: reads see it at once. Says whether there were
    /// any.
    pub(super) fn drop_writes(&mut self, id: InodeId, range: Option<(u64, usize)>) -> bool {
        let inode = self.inodes.get_mut(&id).expect("an open file exists");
        let dropped = inode.lose(range, &mut self.dice);
        if self.rules.sync_reverts {
            inode.evict();
        } else {
            self.lossy |= dropped;
        }
        dropped
    }

    /// Finds room for what was written without any; what does not fit is dropped.
    fn allocate_late(&mut self, id: InodeId) -> io::Result<()> {
        let end = std::mem::take(&mut self.inode(id).late);
        let reached = if end == 0 { end } else { self.reserve(id, end) };
        if reached >= end {
            return Ok(());
        }
        let len = usize_of(end - reached);
        let inode = self.inodes.get_mut(&id).expect("an open file exists");
        inode.lose_all((reached, len), &mut self.dice);
        if self.rules.sync_reverts {
            inode.evict();
        } else {
            self.lossy = true;
        }
        Err(Errno::NOSPC.into())
    }

    /// E8: what was just written to a range of a file lands elsewhere instead, in whole sectors: in
    /// another place of this file or of any other. Reads see the right bytes until they are evicted.
    pub(super) fn misdirect(&mut self, id: InodeId, offset: u64, len: usize) {
        let inode = &self.inodes[&id];
        let start = offset / SECTOR as u64 * SECTOR as u64;
        let end = (offset + len as u64).next_multiple_of(SECTOR as u64).min(inode.len);
        let mut data = vec![0; usize_of(end - start)];
        inode.read(start, &mut data);
        let (target, to) = self.elsewhere(id, start);
        let inode = self.inodes.get_mut(&id).expect("an open file exists");
        inode.lose_all((offset, len), &mut self.dice);
        let victim = self.inode(target);
        let room = usize_of(victim.len.saturating_sub(to));
        for (n, sector) in data[..data.len().min(room)].chunks(SECTOR).enumerate() {
            victim.overwrite(to + (n * SECTOR) as u64, sector);
        }
        self.lossy = true;
        self.betrayals += 1;
    }

    /// E8: fills `data` with what lies elsewhere.
    pub(super) fn read_elsewhere(&mut self, id: InodeId, offset: u64, data: &mut [u8]) {
        let start = offset / SECTOR as u64 * SECTOR as u64;
        let (target, from) = self.elsewhere(id, start);
        self.inodes[&target].read(from + (offset - start), data);
        self.betrayals += 1;
    }

    /// Another sector of this file or of any other that has a name.
    fn elsewhere(&mut self, id: InodeId, start: u64) -> (InodeId, u64) {
        let named = |(_, inode): &(&InodeId, &Inode)| inode.links > 0 && inode.len > 0;
        let others: Vec<InodeId> = self.inodes.iter().filter(named).map(|(id, _)| *id).collect();
        let target = match others.is_empty() || self.dice.coin() {
            true => id,
            false => others[self.dice.index(others.len())],
        };
        let count = self.inodes[&target].len.div_ceil(SECTOR as u64).max(1);
        let mut n = self.dice.below(count);
        // The same place of another file is what a checksum over the place alone does not tell.
        if target != id && self.dice.coin() {
            n = (start / SECTOR as u64).min(count - 1);
        }
        if target == id && n == start / SECTOR as u64 {
            n = (n + 1) % count;
        }
        (target, n * SECTOR as u64)
    }
}
