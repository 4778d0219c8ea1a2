//! A golden store that is damaged again and again.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use icecore_disk::random::SeededRandom;
use icecore_disk::sim::{Damage, Rules, SimDisk};
use icecore_disk::{MemoryDisk, Name};
use icecore_engine::{Access, ReadMode};

use super::exam::{self, Finding};
use super::harm::{Change, Harm, Kind, SECTOR};
use super::layout::{Layout, Verdict};
use super::tally::Tally;
use crate::golden::folder::Golden;
use crate::golden::folder::archive::{self, Files};
use crate::golden::folder::contents::{Contents, open};

/// Once in so many times a damaged store is opened for writing as well.
const WRITE_EVERY: u64 = 16;
/// Once in so many times it is salvaged.
const SALVAGE_EVERY: u64 = 64;

/// What a torn log leaves, by the first frame that is lost.
type Torn = BTreeMap<usize, Option<Arc<Contents>>>;

pub(super) struct Subject {
    pub(super) name: String,
    pub(super) files: Files,
    layout: Layout,
    truth: Arc<Contents>,
    torn: Mutex<Torn>,
}

impl Subject {
    pub(super) fn new(golden: Golden) -> Result<Subject, String> {
        let Golden { name, files, expected } = golden;
        let layout = Layout::of(&files).map_err(|what| format!("{name}: {what}"))?;
        let truth = contents(&archive::disk_of(&files)).ok_or(format!("{name} does not open"))?;
        if truth.to_string() != expected {
            return Err(format!("{name} is {truth} instead of {expected}"));
        }
        let (truth, torn) = (Arc::new(truth), Mutex::new(Torn::new()));
        Ok(Subject { name, files, layout, truth, torn })
    }

    /// Does one damage, and holds every answer against the truth.
    pub(super) fn suffer(
        &self,
        harm: &Harm,
        strange: &Files,
        tally: &mut Tally,
    ) -> Result<(), String> {
        let changes = harm.changes(&self.files, &self.layout, strange);
        if changes.is_empty() {
            return Ok(());
        }
        let dice = SeededRandom::new(harm.variant ^ harm.sector as u64);
        if harm.kind == Kind::Forged {
            tally.forged += 1;
            let endured = catch_unwind(AssertUnwindSafe(|| self.endure(&changes, &dice)));
            return endured.map_err(|_| "a panic".to_owned());
        }
        let verdict = match (harm.kind, self.judge(&changes)) {
            // A disk that says that it cannot read leaves nothing to be taken for a torn end.
            (Kind::Unreadable, Verdict::LastEdits | Verdict::Torn(_)) => Verdict::Provable,
            (_, verdict) => verdict,
        };
        let examined = catch_unwind(AssertUnwindSafe(|| match harm.kind {
            Kind::Unreadable => self.read_around(harm, &dice),
            _ => self.examine(&changes, verdict, &dice, tally),
        }));
        let found = examined.unwrap_or_else(|_| Err("a panic".to_owned()));
        let found = found.map_err(|what| format!("{what} ({verdict:?})"))?;
        tally.note(harm.file, verdict, found == Finding::Noticed);
        match (verdict, found) {
            (Verdict::Provable, Finding::Nothing) => Err("nobody notices".to_owned()),
            // Whoever reads a file in whole meets its dead bytes, too.
            (Verdict::Dead, Finding::Noticed) if harm.kind != Kind::Unreadable => {
                Err("it concerns no living byte, and yet it is called damage".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn judge(&self, changes: &[Change]) -> Verdict {
        let of = |(name, now): &Change| {
            let before = self.files.iter().find(|(n, _)| n == name);
            // A file under a new name is none that anything refers to.
            before.map_or(Verdict::Dead, |(_, before)| {
                self.layout.judge(*name, before, now.as_deref())
            })
        };
        changes.iter().map(of).max().unwrap_or(Verdict::Dead)
    }

    fn examine(
        &self,
        changes: &[Change],
        verdict: Verdict,
        dice: &SeededRandom,
        tally: &mut Tally,
    ) -> Result<Finding, String> {
        let truth = match verdict {
            Verdict::Torn(first) => self.torn_at(first),
            _ => Some(Arc::clone(&self.truth)),
        };
        let nothing = Arc::default();
        // A log that cannot end there must be refused.
        let shown = truth.as_ref().unwrap_or(&nothing);
        let damaged = || self.damaged(changes);
        let found = exam::read(Arc::new(damaged()), shown, read_mode(dice), dice)?;
        if truth.is_none() && found == Finding::Nothing {
            return Err("it opens, but a log that ends there does not".to_owned());
        }
        if dice.one_in(WRITE_EVERY) {
            tally.written += 1;
            exam::write(&damaged(), shown).map_err(|what| format!("for writing: {what}"))?;
        }
        if dice.one_in(SALVAGE_EVERY) && !matches!(verdict, Verdict::Torn(_)) {
            tally.salvaged += 1;
            exam::save(&damaged(), &self.truth)?;
        }
        Ok(found)
    }

    /// Reads the store on a disk that does not give one sector.
    fn read_around(&self, harm: &Harm, dice: &SeededRandom) -> Result<Finding, String> {
        let disk = SimDisk::new(harm.variant, Rules::none());
        disk.kill();
        for (name, bytes) in &self.files {
            disk.write_file(*name, bytes);
        }
        let offset = (harm.sector * SECTOR) as u64;
        let spoiled = disk.corrupt(harm.file, offset, Damage::BadSector);
        spoiled.map_err(|error| format!("there is no such sector: {error}"))?;
        exam::read(disk.reopen(), &self.truth, read_mode(dice), dice)
    }

    fn endure(&self, changes: &[Change], dice: &SeededRandom) {
        exam::endure(&self.damaged(changes), &self.truth, read_mode(dice));
        if dice.one_in(SALVAGE_EVERY) {
            exam::salvage_forged(&self.damaged(changes));
        }
    }

    fn damaged(&self, changes: &[Change]) -> MemoryDisk {
        let changed = |name: &Name| changes.iter().any(|(other, _)| other == name);
        let disk = MemoryDisk::new();
        for (name, bytes) in self.files.iter().filter(|(name, _)| !changed(name)) {
            archive::place(&disk, *name, bytes);
        }
        for (name, bytes) in changes {
            if let Some(bytes) = bytes {
                archive::place(&disk, *name, bytes);
            }
        }
        disk
    }

    /// What the store holds when its log ends before this frame; `None` if it is then refused.
    fn torn_at(&self, first: usize) -> Option<Arc<Contents>> {
        let mut torn = self.torn.lock().unwrap_or_else(PoisonError::into_inner);
        let leave = || {
            let (name, bytes) = self.layout.torn_at(&self.files, first);
            contents(&self.damaged(&[(name, Some(bytes))])).map(Arc::new)
        };
        torn.entry(first).or_insert_with(leave).clone()
    }
}

fn read_mode(dice: &SeededRandom) -> ReadMode {
    let modes = [ReadMode::Mmap, ReadMode::MmapStrict, ReadMode::Read];
    modes[usize::from(dice.next().to_le_bytes()[0]) % modes.len()]
}

fn contents(disk: &MemoryDisk) -> Option<Contents> {
    let engine = open(Arc::new(disk.clone()), |options| options.access = Access::ReadOnly).ok()?;
    Contents::of(&engine).ok()
}
