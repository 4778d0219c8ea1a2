//! Reading what is left, and noting what is not.

use std::fmt;
use std::sync::Arc;

use icecore_model::Versionstamp;
use icecore_sstable::salvage::Lost;
use icecore_sstable::{Remains, TableSummary};

use super::output::{LogSpiller, Target};
use super::plan::note_error;
use super::{Salvage, SalvageDamage, SalvageLoss, SalvagePhase};
use crate::error::Error;
use crate::open::arena_pool;

/// Where nothing tells how far stamps had come, so many are skipped.
const UNKNOWN_STAMPS: u64 = 1 << 40;

impl Salvage<'_> {
    /// Reads every table that counts, and notes what is lost of it.
    pub(super) fn survey_tables(&mut self) -> Vec<Remains> {
        let disk = Arc::clone(&self.env.disk);
        let candidates = std::mem::take(&mut self.plan.tables);
        let total = candidates.len() as u64;
        let mut tables = Vec::new();
        for (done, (number, expected)) in candidates.into_iter().enumerate() {
            self.tell(SalvagePhase::Tables, done as u64, total);
            match Remains::survey(&*disk, number, expected.as_ref(), &self.plan.origins) {
                Ok(remains) => {
                    self.note_table(&remains);
                    tables.push(remains);
                }
                Err(error) => self.note_lost_table(&error.into(), expected.as_ref()),
            }
        }
        tables
    }

    fn note_table(&mut self, remains: &Remains) {
        let found = remains.found();
        self.report.tables += 1;
        self.report.versions += found.entries;
        let ranges = remains.ranges().iter().count() as u64;
        self.report.range_deletions += ranges;
        for damage in remains.damage() {
            let loss = match damage.lost {
                Lost::Nothing => SalvageLoss::Nothing,
                Lost::Versions => SalvageLoss::Versions,
                Lost::Ranges => SalvageLoss::RangeDeletions,
            };
            self.report.note(damage.file, damage.offset, damage.what.clone(), loss);
            if damage.lost != Lost::Nothing {
                self.doubts.about(damage.from.clone(), damage.to.clone(), damage.through);
                self.report.losses_are_unknown |= remains.known().is_none();
            }
        }
        if let Some(known) = remains.known() {
            self.report.versions_lost += known.entries.saturating_sub(found.entries);
            self.report.deletions_lost += known.tombstones.saturating_sub(found.tombstones);
            self.report.range_deletions_lost += known.range_tombstones.saturating_sub(ranges);
        }
    }

    fn note_lost_table(&mut self, error: &Error, expected: Option<&TableSummary>) {
        note_error(&mut self.report, error, SalvageLoss::Versions);
        let Some(known) = expected else {
            self.report.losses_are_unknown = true;
            return self.doubts.about_everything(Versionstamp::MAX);
        };
        self.report.versions_lost += known.entries;
        self.report.deletions_lost += known.tombstones;
        self.report.range_deletions_lost += known.range_tombstones;
        if known.entries > 0 {
            let to = Some(known.largest.clone());
            self.doubts.about(known.smallest.clone(), to, known.max_stamp);
        }
        if let Some((start, end)) = &known.range_extent {
            self.doubts.about(start.clone(), Some(end.clone()), known.max_stamp);
        }
    }

    /// Spills what the log holds. Gives the last stamp that may have been shown, too.
    pub(super) fn read_log(
        &mut self,
        target: &mut Target<'_>,
        tables: &[Remains],
    ) -> Result<(Versionstamp, Vec<TableSummary>), Error> {
        self.tell(SalvagePhase::Log, 0, 0);
        let catalog = self.plan.catalog.clone();
        let flushed = catalog.as_ref().map_or(Versionstamp::ZERO, |catalog| catalog.flushed);
        let in_tables = tables.iter().map(|table| table.found().max_stamp).max();
        self.report.newest = flushed.max(in_tables.unwrap_or_default());
        let Some(database) = self.plan.database else {
            return Ok((self.unknown_ceiling(Versionstamp::ZERO), Vec::new()));
        };
        // What intact tables hold is not taken from the log again: its deletion may have been dropped
        // from the tables for good, and be lost in the log. If tables are damaged, all of the log is
        // needed, and any hole in it may matter.
        let lost = |damage: &SalvageDamage| damage.loss != SalvageLoss::Nothing;
        let is_damaged = self.report.damage.iter().any(lost);
        let after = if is_damaged { Versionstamp::ZERO } else { flushed };
        let pool = arena_pool(self.options);
        let mut spiller = LogSpiller::new(&pool);
        let (mut failure, mut malformed) = (None, Vec::new());
        let mut apply = |commit: icecore_wal::Commit<'_>| {
            match spiller.take(target, &commit) {
                Ok(true) => {}
                Ok(false) => malformed.push(commit.stamp),
                Err(error) => {
                    failure = Some(error);
                    return Err(icecore_wal::Error::Closed);
                }
            }
            Ok(())
        };
        let disk = &*self.env.disk;
        let segments = &self.plan.segments;
        let found = icecore_wal::salvage(disk, database, segments, after, after, &mut apply);
        if let Some(error) = failure {
            return Err(error);
        }
        let found = found?;
        spiller.spill(target)?;
        self.report.range_deletions +=
            spiller.spills.iter().map(|s| s.range_tombstones).sum::<u64>();
        for stamp in malformed {
            self.note_commits(
                "the log",
                0,
                format!("the commit {stamp} is malformed"),
                stamp,
                Some(stamp),
            );
            self.report.commits_lost += 1;
        }
        Ok((self.note_log(&found), spiller.spills))
    }

    /// Notes what the log has lost. Gives the last stamp that may have been shown.
    fn note_log(&mut self, found: &icecore_wal::Salvaged) -> Versionstamp {
        self.report.newest = self.report.newest.max(found.last);
        self.report.segments = found.segments;
        self.report.commits = found.commits;
        let ceiling = self.plan.catalog.as_ref().map(|catalog| catalog.ceiling);
        let mut end_is_lost = false;
        for damage in &found.damage {
            let through = damage.through.or(ceiling);
            end_is_lost |= damage.through.is_none();
            self.note_commits(damage.file, damage.offset, &damage.what, damage.after, through);
            let lost = through.map(|t| t.get().saturating_sub(damage.after.get()));
            self.report.commits_lost += lost.unwrap_or(0);
        }
        let Some(catalog) = self.plan.catalog.clone() else {
            return self.unknown_ceiling(found.ceiling.max(found.last));
        };
        let has_log = !catalog.segments.is_empty();
        let cut = (catalog.closed && !found.closed && catalog.ceiling > found.last)
            || found.told < catalog.flushed;
        if has_log && cut && !end_is_lost {
            let what = "the end of the log is missing";
            let after = found.last;
            self.note_commits("the log", 0, what, after, Some(catalog.ceiling));
            self.report.commits_lost += catalog.ceiling.get().saturating_sub(after.get());
        }
        if found.closed || !has_log { self.report.newest } else { catalog.ceiling }
    }

    /// Notes a place where commits above `after` may be missing. Nothing is lost where there were
    /// none, or all of them are in tables.
    fn note_commits(
        &mut self,
        file: impl fmt::Display,
        offset: u64,
        what: impl Into<String>,
        after: Versionstamp,
        through: Option<Versionstamp>,
    ) {
        let is_lost = through.is_none_or(|through| through > after);
        let loss = if is_lost { SalvageLoss::Commits } else { SalvageLoss::Nothing };
        self.report.note(file, offset, what, loss);
        if is_lost {
            self.report.losses_are_unknown |= through.is_none();
            self.doubts.about_everything(through.unwrap_or(Versionstamp::MAX));
        }
    }

    /// A stamp that is hardly below any that was shown, where nothing says which these are.
    fn unknown_ceiling(&mut self, known: Versionstamp) -> Versionstamp {
        let known = known.max(self.plan.ceiling).max(self.report.newest);
        let skipped = Versionstamp::new(known.get().saturating_add(UNKNOWN_STAMPS));
        if skipped < Versionstamp::ISSUED_MAX { skipped } else { known }
    }
}
