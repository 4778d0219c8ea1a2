//! What the manifest knows: the catalog, and the edits that change it.

use std::collections::BTreeSet;
use std::ops::Bound;

use icecore_disk::name::NUMBER_MAX;
use icecore_model::{DatabaseId, Versionstamp};
use icecore_sstable::TableSummary;

use super::past::{Forgotten, Past};

/// Level 0 and the levels below it. Ten times larger each, six levels below 64 MiB hold 70 PiB.
pub(crate) const LEVELS: usize = 7;

/// Everything that must be known to open the store.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Catalog {
    /// The identity of the store.
    pub(crate) database: DatabaseId,
    /// The identities under which its tables may have been born, its own among them.
    pub(crate) accepted: Vec<DatabaseId>,
    /// Every commit at or below this stamp is in the tables.
    pub(crate) flushed: Versionstamp,
    /// No stamp above this one has been shown to anybody.
    pub(crate) ceiling: Versionstamp,
    /// The log segments that may hold commits above `flushed`, ascending.
    pub(crate) segments: Vec<u32>,
    /// The store was closed in an orderly way: the log must have its end.
    pub(crate) closed: bool,
    /// The next table gets this number; no number of a table that was ever listed is given again.
    pub(crate) next_table: u64,
    /// The tables by level: level 0 newest first, the others by key.
    pub(crate) levels: [Vec<TableSummary>; LEVELS],
    /// What the tables no longer know.
    pub(crate) past: Past,
}

/// One change of the catalog.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Edit {
    /// Tables that are now part of a level.
    pub(crate) added: Vec<(usize, TableSummary)>,
    /// Tables that are no longer part of a level.
    pub(crate) removed: Vec<(usize, u64)>,
    /// The new [`Catalog::flushed`].
    pub(crate) flushed: Option<Versionstamp>,
    /// The new [`Catalog::ceiling`]. A clean close lowers it to the last stamp that was issued.
    pub(crate) ceiling: Option<Versionstamp>,
    /// A log segment that is now in use.
    pub(crate) segment_added: Option<u32>,
    /// Log segments below this number are no longer needed.
    pub(crate) segments_below: Option<u32>,
    /// The new [`Catalog::next_table`].
    pub(crate) next_table: Option<u64>,
    /// The log has been closed, and nothing is going to follow in it.
    pub(crate) closed: bool,
    /// Deletions that the tables no longer hold.
    pub(crate) forgotten: Forgotten,
}

impl Catalog {
    /// The catalog of a store without content.
    pub(crate) fn empty(database: DatabaseId) -> Catalog {
        Catalog {
            database,
            accepted: vec![database],
            flushed: Versionstamp::ZERO,
            ceiling: Versionstamp::ZERO,
            segments: Vec::new(),
            closed: false,
            next_table: 1,
            levels: Default::default(),
            past: Past::default(),
        }
    }

    /// Carries out `edit`, or says why it does not fit.
    pub(crate) fn apply(&mut self, edit: &Edit) -> Result<(), &'static str> {
        for (level, number) in &edit.removed {
            let tables = self.levels.get_mut(*level).ok_or("an edit names an unknown level")?;
            let place = tables.iter().position(|t| t.number == *number);
            tables.remove(place.ok_or("an edit removes a table that is not there")?);
        }
        for (level, table) in &edit.added {
            let tables = self.levels.get_mut(*level).ok_or("an edit names an unknown level")?;
            tables.push(table.clone());
        }
        self.sort();
        if let Some(flushed) = edit.flushed {
            self.flushed = flushed;
        }
        if let Some(ceiling) = edit.ceiling {
            self.ceiling = ceiling;
        }
        if let Some(below) = edit.segments_below {
            self.segments.retain(|segment| *segment >= below);
        }
        if let Some(segment) = edit.segment_added {
            if self.segments.last().is_some_and(|last| *last >= segment) {
                return Err("an edit adds a log segment out of order");
            }
            self.segments.push(segment);
        }
        if let Some(next) = edit.next_table {
            self.next_table = next;
        }
        self.closed |= edit.closed;
        self.past.forgotten.merge(&edit.forgotten);
        self.validate()
    }

    fn sort(&mut self) {
        let (zero, below) = self.levels.split_first_mut().expect("there is a level 0");
        zero.sort_by(|a, b| b.max_stamp.cmp(&a.max_stamp).then(b.number.cmp(&a.number)));
        for level in below {
            level.sort_by(|a, b| a.bounds().0.cmp(b.bounds().0).then(a.number.cmp(&b.number)));
        }
    }

    /// Holds the catalog's own invariants: numbers are unique and were given, runs are disjoint.
    pub(crate) fn validate(&self) -> Result<(), &'static str> {
        if self.flushed.max(self.ceiling) > Versionstamp::ISSUED_MAX {
            return Err("a stamp is larger than any that is issued");
        }
        if self.next_table > NUMBER_MAX {
            return Err("a table number is larger than any that is given");
        }
        let mut numbers = BTreeSet::new();
        for table in self.levels.iter().flatten() {
            if !numbers.insert(table.number) {
                return Err("a table is listed twice");
            }
            if table.number >= self.next_table {
                return Err("a table has a number that was never given");
            }
        }
        for level in &self.levels[1..] {
            for pair in level.windows(2) {
                if !lies_before(&pair[0], &pair[1]) {
                    return Err("two tables of one run overlap");
                }
            }
        }
        if self.segments.windows(2).any(|w| w[0] >= w[1]) {
            return Err("the log segments are out of order");
        }
        if !self.accepted.contains(&self.database) {
            return Err("the store does not accept its own tables");
        }
        self.past.validate()
    }

    /// The levels with their tables.
    pub(crate) fn tables(&self) -> impl Iterator<Item = (usize, &TableSummary)> {
        self.levels.iter().enumerate().flat_map(|(level, ts)| ts.iter().map(move |t| (level, t)))
    }
}

/// Whether all keys of `a` lie before all keys of `b`.
fn lies_before(a: &TableSummary, b: &TableSummary) -> bool {
    let start = b.bounds().0;
    match a.bounds().1 {
        Bound::Included(last) => last < start,
        Bound::Excluded(end) => end <= start,
        Bound::Unbounded => false,
    }
}
