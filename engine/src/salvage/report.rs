//! What a salvage has found, what it could not find, and what may be stale for that.

use std::fmt;

use icecore_model::Versionstamp;

use crate::check::CheckReport;

/// What a damaged place has cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SalvageLoss {
    /// Nothing: all that it held was found in another way, or was not needed.
    Nothing,
    /// Versions of keys, deletions of single keys among them.
    Versions,
    /// Deletions of ranges: keys that they deleted may be back.
    RangeDeletions,
    /// Commits of the log.
    Commits,
    /// The knowledge which files count: more of them may be missing, and files that no longer
    /// counted may have been used.
    FileSet,
}

/// A damaged or missing place of the original.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SalvageDamage {
    /// The file.
    pub file: String,
    /// Bytes from its start.
    pub offset: u64,
    /// What is wrong there.
    pub what: String,
    /// What it has cost.
    pub loss: SalvageLoss,
}

/// The outcome of [`salvage`](super::salvage()).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SalvageReport {
    /// Entries of user data in the copy.
    pub data_entries: u64,
    /// Entries of queues in the copy: messages and their attempt counts.
    pub queue_entries: u64,
    /// Of all these, the ones that may be older than what was lost: a newer value or a deletion of
    /// the key may have been in a place that could not be read. All others are provably the newest.
    pub stale_entries: u64,
    /// Tables that could be read, at least in part.
    pub tables: u64,
    /// Versions of keys that were found in them.
    pub versions: u64,
    /// Log segments that could be read, at least in part.
    pub segments: u64,
    /// Commits that were found in them.
    pub commits: u64,
    /// Deletions of ranges that were found, and obeyed.
    pub range_deletions: u64,
    /// Versions of keys that were lost in tables whose content is known; not every one of them was
    /// the newest of its key.
    pub versions_lost: u64,
    /// How many of these were deletions.
    pub deletions_lost: u64,
    /// Deletions of ranges that were lost in such tables, in pieces.
    pub range_deletions_lost: u64,
    /// At most so many commits of the log were lost, where the log says.
    pub commits_lost: u64,
    /// More may have been lost than the counts say: nothing tells how much.
    pub losses_are_unknown: bool,
    /// What is damaged or missing in the original.
    pub damage: Vec<SalvageDamage>,
    /// Files that were not used, and why.
    pub ignored: Vec<String>,
    /// The newest stamp that was found.
    pub newest: Versionstamp,
    /// The check of the copy.
    pub check: CheckReport,
}

impl SalvageReport {
    /// Whether the copy is provably all that the original held.
    pub fn is_complete(&self) -> bool {
        self.stale_entries == 0 && self.damage.iter().all(|d| d.loss == SalvageLoss::Nothing)
    }

    pub(super) fn note(
        &mut self,
        file: impl fmt::Display,
        offset: u64,
        what: impl Into<String>,
        loss: SalvageLoss,
    ) {
        let (file, what) = (file.to_string(), what.into());
        self.damage.push(SalvageDamage { file, offset, what, loss });
    }
}

impl fmt::Display for SalvageLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SalvageLoss::Nothing => "nothing",
            SalvageLoss::Versions => "versions",
            SalvageLoss::RangeDeletions => "range deletions",
            SalvageLoss::Commits => "commits",
            SalvageLoss::FileSet => "the set of files",
        })
    }
}

impl fmt::Display for SalvageDamage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: {}; lost: {}", self.file, self.offset, self.what, self.loss)
    }
}

impl fmt::Display for SalvageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "found: {} versions in {} tables, {} commits in {} log segments, {} range deletions",
            self.versions, self.tables, self.commits, self.segments, self.range_deletions
        )?;
        writeln!(
            f,
            "copied: {} entries of data, {} of queues",
            self.data_entries, self.queue_entries
        )?;
        if self.is_complete() {
            return f.write_str("nothing was lost");
        }
        writeln!(
            f,
            "lost: {} versions ({} of them deletions), {} range deletions, at most {} commits{}",
            self.versions_lost,
            self.deletions_lost,
            self.range_deletions_lost,
            self.commits_lost,
            if self.losses_are_unknown { ", and what nothing tells of" } else { "" }
        )?;
        write!(
            f,
            "may be stale, because something newer may be lost: {} of the copied entries",
            self.stale_entries
        )
    }
}
