//! Does a recording again on the simulated disk, note by note.
//!
//! A sync is done at its end. But when something was done to its file meanwhile, it is done at its
//! beginning, because it need not cover that: what is durable then is less or the same, never more
//! than the real disk promised.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use icecore_disk::record::Note;
use icecore_disk::sim::{Rules, SimDisk};
use icecore_disk::{Buffer, Disk, File, OpenMode, Ticket, Write};

/// A simulated machine that follows a recording.
pub(super) struct Machine {
    disk: Arc<SimDisk>,
    files: BTreeMap<u64, Box<dyn File>>,
    flights: BTreeMap<u64, (u64, Ticket)>,
    /// Syncs that are done at their beginning.
    early: BTreeSet<u64>,
    /// What the others will sync.
    pending: BTreeMap<u64, Option<u64>>,
}

/// What a note changes, as far as a sync can cover it: the file of a handle, or the names.
fn changed(note: &Note) -> Option<Option<u64>> {
    match note {
        Note::Create { .. } | Note::Rename { .. } | Note::Remove { .. } => Some(None),
        Note::Submit { handle, .. }
        | Note::WriteAt { handle, .. }
        | Note::SetLen { handle, .. }
        | Note::Allocate { handle, .. } => Some(Some(*handle)),
        // A write in flight counts as done by its end.
        Note::Open { .. } | Note::SyncBegun { .. } | Note::SyncEnded { .. } => None,
        Note::Complete { .. } | Note::Mark(_) => None,
    }
}

/// The syncs during which something was done that they need not cover.
fn overtaken(notes: &[Note]) -> BTreeSet<u64> {
    let mut under_way: BTreeMap<u64, Option<u64>> = BTreeMap::new();
    let mut writes: BTreeMap<u64, u64> = BTreeMap::new();
    let mut overtaken = BTreeSet::new();
    for note in notes {
        let target = match note {
            Note::SyncBegun { handle, sync } => {
                under_way.insert(*sync, *handle);
                continue;
            }
            Note::SyncEnded { sync } => {
                under_way.remove(sync);
                continue;
            }
            Note::Submit { handle, write, .. } => {
                writes.insert(*write, *handle);
                changed(note)
            }
            Note::Complete { write } => writes.get(write).map(|handle| Some(*handle)),
            _ => changed(note),
        };
        let Some(target) = target else { continue };
        let hit = under_way.iter().filter(|(_, handle)| **handle == target);
        overtaken.extend(hit.map(|(sync, _)| *sync));
    }
    overtaken
}

impl Machine {
    pub(super) fn new(notes: &[Note], seed: u64, rules: Rules) -> Machine {
        Machine {
            disk: SimDisk::new(seed, rules),
            files: BTreeMap::new(),
            flights: BTreeMap::new(),
            early: overtaken(notes),
            pending: BTreeMap::new(),
        }
    }

    /// A copy of the machine as it stands, to be crashed.
    pub(super) fn fork(&self) -> Arc<SimDisk> {
        self.disk.fork()
    }

    /// Follows one note.
    pub(super) fn follow(&mut self, note: &Note) -> Result<(), String> {
        self.perform(note).map_err(|error| format!("{note:?} cannot be done again: {error}"))
    }

    fn perform(&mut self, note: &Note) -> Result<(), String> {
        let told = |error: std::io::Error| error.to_string();
        match note {
            Note::Create { name, handle } => {
                self.files.insert(*handle, self.disk.create(*name).map_err(told)?);
            }
            Note::Open { name, handle } => {
                let file = self.disk.open(*name, OpenMode::ReadWrite).map_err(told)?;
                self.files.insert(*handle, file);
            }
            Note::Rename { from, to } => self.disk.rename(*from, *to).map_err(told)?,
            Note::Remove { name } => self.disk.remove(*name).map_err(told)?,
            Note::SyncBegun { handle, sync } if self.early.contains(sync) => self.sync(*handle)?,
            Note::SyncBegun { handle, sync } => drop(self.pending.insert(*sync, *handle)),
            Note::SyncEnded { sync } => {
                if let Some(handle) = self.pending.remove(sync) {
                    self.sync(handle)?;
                }
            }
            Note::Submit { handle, write, offset, data, durable } => {
                let data = Buffer::from(&data[..]);
                let submitted = Write { offset: *offset, data, durable: *durable };
                let ticket = self.file(*handle)?.submit(submitted);
                self.flights.insert(*write, (*handle, ticket));
            }
            Note::Complete { write } => {
                let (handle, ticket) = self.flights.remove(write).ok_or("it was not submitted")?;
                self.file(handle)?.complete(ticket).1.map_err(told)?;
            }
            Note::WriteAt { handle, offset, data } => {
                self.file(*handle)?.write_all_at(*offset, data).map_err(told)?;
            }
            Note::SetLen { handle, bytes } => self.file(*handle)?.set_len(*bytes).map_err(told)?,
            Note::Allocate { handle, bytes } => {
                self.file(*handle)?.allocate(*bytes).map_err(told)?;
            }
            Note::Mark(_) => {}
        }
        Ok(())
    }

    fn file(&self, handle: u64) -> Result<&dyn File, String> {
        self.files.get(&handle).map(|file| &**file).ok_or_else(|| "there is no such handle".into())
    }

    fn sync(&self, handle: Option<u64>) -> Result<(), String> {
        let synced = match handle {
            Some(handle) => self.file(handle)?.sync(),
            None => self.disk.sync_dir(),
        };
        synced.map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use icecore_disk::Name;
    use icecore_disk::sim::Crash;

    use super::*;

    /// What is left of the one file after these notes and a crash that keeps nothing.
    fn survives(notes: &[Note]) -> Vec<u8> {
        let begin = [
            Note::Create { name: Name::Wal(1), handle: 0 },
            Note::SyncBegun { handle: None, sync: 1 },
            Note::SyncEnded { sync: 1 },
        ];
        let notes = [&begin, notes].concat();
        let mut machine = Machine::new(&notes, 1, Rules::power_cut());
        notes.iter().for_each(|note| machine.follow(note).unwrap());
        let fork = machine.fork();
        fork.crash(Crash::KeepNone);
        fork.reopen().read_file(Name::Wal(1)).unwrap()
    }

    #[test]
    fn a_sync_covers_what_was_done_before_it_began() {
        let write = |offset, byte| Note::WriteAt { handle: 0, offset, data: vec![byte; 512] };
        let begun = Note::SyncBegun { handle: Some(0), sync: 2 };
        let ended = Note::SyncEnded { sync: 2 };
        let whole = survives(&[write(0, 1), begun.clone(), ended.clone()]);
        assert_eq!(whole, [1; 512]);
        let meanwhile = survives(&[write(0, 1), begun.clone(), write(512, 2), ended]);
        assert_eq!(meanwhile, [1; 512]);
        assert_eq!(survives(&[write(0, 1), begun]), [0; 0], "it promises nothing before its end");
    }
}
