//! What to compact next: a pure choice. Leveled compaction after O'Neil et al., *The log-structured
//! merge-tree* (1996), in the shape that LevelDB gave it: tables in level 0 overlap, every level
//! below is one run, so many times larger than the one above.
//!
//! 1. The fullest level that exceeds its target gives tables to the next one: level 0 the largest
//!    group of tables that overlap each other, the others the table that costs least, i.e. with the
//!    fewest overlapping bytes below for each of its own.
//! 2. If no level is full, a table that is to a large part garbage is rewritten in place when
//!    nothing lies below it, and otherwise pushed down towards what its deletions hide. So space
//!    comes back without further writes.
//!
//! Invariants.
//!
//! 1. *Newer stays above older.* A level-0 table moves with all tables of its level that it is
//!    connected with by overlaps, so that it passes neither an older nor a newer one; whatever
//!    overlaps in the output level is merged. Bounds include the extents of range deletions.
//! 2. *Jobs at the same time do not disturb each other*, given that tables in a job are busy and
//!    that a job's outputs stay within its inputs' bounds. The bounds of the inputs of a job are
//!    connected: a group, and tables below that overlap it. If a point lay within two jobs with the
//!    same output level, an input of the one would overlap an input of the other there. These are
//!    not two tables of one run; of level 0, they would be in one group; and of two levels, the
//!    lower one would be an input of both jobs. But one of the jobs found the other's inputs busy.
//! 3. *It comes to rest.* While nothing is written and the horizon stands still, each job either
//!    replaces something in a level by any number of things in deeper ones, or takes something
//!    away: a rewrite in place only happens where everything is at or below the floor, so that all
//!    deletions go, or, failing those, a value whose expiry has passed. Such a sequence is finite
//!    (Dershowitz and Manna, *Proving termination with multiset orderings*, 1979).
//!
//! Whoever carries a job out owes: what lies *below* its inputs, in the sense of
//! [`garbage`](super::garbage), is exactly the tables of the levels below the output level. The
//! other tables of level 0 are newer where they overlap an input. To count them, or anything else,
//! as below would keep deletions that invariant 3 relies upon to go.

use std::borrow::Borrow;
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::ops::Bound;

use icecore_model::{Timestamp, Versionstamp};

use super::garbage::Expired;

/// A table is rewritten in place when one in so many of its entries is garbage.
const REWRITE_SHARE: u64 = 4;

/// A table is pushed down when one in so many of its entries is garbage. That costs more than a
/// rewrite in place, as it rewrites what overlaps as well.
const PUSH_SHARE: u64 = 2;

/// What is to be known of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableMeta {
    /// The number of its file.
    pub(crate) number: u64,
    /// The length of its file.
    pub(crate) bytes: u64,
    /// The first key of its entries and deleted ranges.
    pub(crate) start: Vec<u8>,
    /// Where its entries and deleted ranges end.
    pub(crate) end: Bound<Vec<u8>>,
    /// All entries, every version counted.
    pub(crate) entries: u64,
    /// Entries that are deletions.
    pub(crate) tombstones: u64,
    /// Deletions of ranges.
    pub(crate) range_tombstones: u64,
    /// Entries that are values without an expiry.
    pub(crate) never_expires: u64,
    /// The first and the last moment at which an entry expires.
    pub(crate) expiry: Option<(Timestamp, Timestamp)>,
    /// The highest stamp of an entry or deleted range.
    pub(crate) max_stamp: Versionstamp,
}

impl TableMeta {
    fn reaches(&self, key: &[u8]) -> bool {
        match &self.end {
            Bound::Included(last) => key <= &last[..],
            Bound::Excluded(after) => key < &after[..],
            Bound::Unbounded => true,
        }
    }

    /// Whether both say something about the same part of the key space.
    pub(crate) fn overlaps(&self, other: &TableMeta) -> bool {
        self.reaches(&other.start) && other.reaches(&self.start)
    }
}

/// The shape that the levels are to have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// With so many tables, level 0 is full. At least 1.
    pub(crate) level0_tables: usize,
    /// The target size of level 1.
    pub(crate) level_base_bytes: u64,
    /// Each further level is so many times larger.
    pub(crate) level_multiplier: u64,
}

impl Shape {
    /// The target size of a level below level 0.
    pub(crate) fn target_bytes(&self, level: usize) -> u64 {
        let steps = u32::try_from(level.saturating_sub(1)).unwrap_or(u32::MAX);
        self.level_base_bytes.saturating_mul(self.level_multiplier.saturating_pow(steps)).max(1)
    }
}

/// What no reader can need any more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Horizon {
    /// Nobody reads below this stamp.
    pub(crate) floor: Versionstamp,
    /// What has expired for everybody.
    pub(crate) expired: Option<Expired>,
}

/// How a job is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Read the inputs, write tables into the output level.
    Merge,
    /// Only the manifest changes: the one input belongs to the output level.
    Move,
}

/// A piece of work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    /// Tables by level and number.
    pub(crate) inputs: Vec<(usize, u64)>,
    /// Where the outputs go.
    pub(crate) output_level: usize,
    /// How.
    pub(crate) kind: Kind,
    /// No table below the output level overlaps an input: every deletion at or below the floor can
    /// be dropped. If it is false, that depends on the key.
    pub(crate) bottommost: bool,
    /// Why, for the statistics.
    pub(crate) reason: &'static str,
}

/// The next job, if there is anything to do that does not touch a busy table.
///
/// `levels` lists level 0, in any order, then the runs, in key order. `busy` has the numbers of the
/// inputs of all jobs that have not ended.
pub(crate) fn pick<T: Borrow<TableMeta>>(
    levels: &[Vec<T>],
    shape: &Shape,
    horizon: &Horizon,
    busy: &BTreeSet<u64>,
) -> Option<Job> {
    let levels = levels.iter().map(|tables| tables.iter().map(Borrow::borrow).collect()).collect();
    let picker = Picker { levels, horizon: *horizon, busy };
    let mut full: Vec<(u64, usize)> = (0..picker.levels.len().saturating_sub(1))
        .map(|level| (picker.fullness(level, shape), level))
        .filter(|(fullness, _)| *fullness >= FULL)
        .collect();
    full.sort_by_key(|(fullness, level)| (Reverse(*fullness), *level));
    full.into_iter().find_map(|(_, level)| picker.relieve(level)).or_else(|| picker.reclaim())
}

/// How many bytes have to be written until no level is full: an estimate from the number of tables
/// in level 0 and the size of each level.
pub(crate) fn owed_bytes(level0_tables: usize, level_bytes: &[u64], shape: &Shape) -> u64 {
    let Some((zero, runs)) = level_bytes.split_first() else { return 0 };
    let mut passed_down = if level0_tables >= shape.level0_tables { *zero } else { 0 };
    // Level 0 usually overlaps all of level 1.
    let mut owed = match runs.first() {
        Some(one) if passed_down > 0 => passed_down + one,
        _ => 0,
    };
    for (level, pair) in (1..).zip(runs.windows(2)) {
        let held = pair[0] + passed_down;
        passed_down = held.saturating_sub(shape.target_bytes(level));
        // A byte that goes down rewrites as many below it as there are for each here.
        let per_byte = (pair[1] / held.max(1)).min(shape.level_multiplier);
        owed = owed.saturating_add(passed_down.saturating_mul(1 + per_byte));
    }
    owed
}

/// The fullness of a level that has reached its target, in thousandths.
const FULL: u64 = 1000;

struct Picker<'a> {
    levels: Vec<Vec<&'a TableMeta>>,
    horizon: Horizon,
    busy: &'a BTreeSet<u64>,
}

impl<'a> Picker<'a> {
    fn free(&self, table: &TableMeta) -> bool {
        !self.busy.contains(&table.number)
    }

    /// How full a level is, in thousandths, without what a job takes away from it already.
    fn fullness(&self, level: usize, shape: &Shape) -> u64 {
        let free = self.levels[level].iter().filter(|table| self.free(table));
        let (held, target) = match level {
            0 => (free.count() as u64, shape.level0_tables.max(1) as u64),
            _ => {
                // A level at its target is fine: it is full from the first byte above.
                let bytes: u64 = free.map(|table| table.bytes).sum();
                (bytes.saturating_sub(1), shape.target_bytes(level))
            }
        };
        u64::try_from(u128::from(held) * u128::from(FULL) / u128::from(target)).unwrap_or(u64::MAX)
    }

    /// A job that takes something from a full level to the next one.
    fn relieve(&self, level: usize) -> Option<Job> {
        if level == 0 {
            let mut groups = self.groups();
            groups.sort_by_key(|group| {
                (Reverse(group.len()), group.iter().map(|table| table.max_stamp).min())
            });
            return groups.iter().find_map(|group| self.push(0, group, "level 0 is full"));
        }
        let mut tables: Vec<(u128, &TableMeta)> =
            self.levels[level].iter().map(|table| (self.cost(level, table), *table)).collect();
        tables.sort_by_key(|(cost, table)| (*cost, table.number));
        tables.iter().find_map(|(_, table)| self.push(level, &[table], "a level is full"))
    }

    /// The bytes to rewrite in the next level for each byte of `table`, in thousandths.
    fn cost(&self, level: usize, table: &TableMeta) -> u128 {
        let below: u64 = self.overlapping(level + 1, &[table]).map(|other| other.bytes).sum();
        u128::from(below) * 1000 / u128::from(table.bytes.max(1))
    }

    /// Level 0, parted so that tables of different groups do not overlap.
    fn groups(&self) -> Vec<Vec<&'a TableMeta>> {
        let mut groups: Vec<Vec<&TableMeta>> = Vec::new();
        for table in &self.levels[0] {
            let touches = |group: &mut Vec<&TableMeta>| group.iter().any(|t| t.overlaps(table));
            let mut group: Vec<&TableMeta> = groups.extract_if(.., touches).flatten().collect();
            group.push(table);
            groups.push(group);
        }
        groups
    }

    fn overlapping(
        &self,
        level: usize,
        tables: &[&TableMeta],
    ) -> impl Iterator<Item = &'a TableMeta> {
        let level = self.levels.get(level).map_or(&[][..], |tables| &tables[..]);
        level.iter().copied().filter(|other| tables.iter().any(|table| table.overlaps(other)))
    }

    fn nothing_below(&self, level: usize, tables: &[&TableMeta]) -> bool {
        (level + 1..self.levels.len()).all(|below| self.overlapping(below, tables).next().is_none())
    }

    /// The job that takes `group` from `level` to the next one, unless it would touch busy tables.
    fn push(&self, level: usize, group: &[&TableMeta], reason: &'static str) -> Option<Job> {
        let output_level = level + 1;
        let lower: Vec<&TableMeta> = self.overlapping(output_level, group).collect();
        let all: Vec<&TableMeta> = group.iter().copied().chain(lower.iter().copied()).collect();
        if !all.iter().all(|table| self.free(table)) {
            return None;
        }
        let alone = group.len() == 1 && lower.is_empty();
        let inputs = group.iter().map(|table| (level, table.number));
        Some(Job {
            inputs: inputs.chain(lower.iter().map(|t| (output_level, t.number))).collect(),
            output_level,
            kind: if alone { Kind::Move } else { Kind::Merge },
            bottommost: self.nothing_below(output_level, &all),
            reason,
        })
    }

    /// A job that gives space back: from the top, so that deletions meet on their way down.
    fn reclaim(&self) -> Option<Job> {
        let zero = self.levels.first()?;
        let pushed = |table: &&TableMeta| self.worth(table, PUSH_SHARE);
        if zero.iter().any(|table| pushed(table).is_some()) {
            for group in self.groups() {
                let job = group.iter().find_map(pushed).and_then(|why| self.push(0, &group, why));
                if job.is_some() {
                    return job;
                }
            }
        }
        (1..self.levels.len()).find_map(|level| {
            self.levels[level].iter().find_map(|table| {
                if self.worth(table, REWRITE_SHARE).is_none() {
                    None
                } else if self.nothing_below(level, &[table]) {
                    self.rewrite(level, table)
                } else {
                    self.push(level, &[table], pushed(table)?)
                }
            })
        })
    }

    fn rewrite(&self, level: usize, table: &TableMeta) -> Option<Job> {
        let reason = self.worth(table, REWRITE_SHARE).filter(|_| self.free(table))?;
        Some(Job {
            inputs: vec![(level, table.number)],
            output_level: level,
            kind: Kind::Merge,
            bottommost: true,
            reason,
        })
    }

    /// Why `table` holds enough garbage, at least one entry in `share`.
    ///
    /// A table with anything above the floor waits: part of its deletions could not be dropped, and
    /// it would be picked again and again.
    fn worth(&self, table: &TableMeta, share: u64) -> Option<&'static str> {
        if table.max_stamp > self.horizon.floor {
            return None;
        }
        let expired = self.expired(table);
        let garbage = table.tombstones + expired;
        match () {
            // Small as it is, it may hide much.
            () if table.range_tombstones > 0 => Some("range deletions"),
            () if garbage == 0 || garbage.saturating_mul(share) < table.entries => None,
            () if expired > table.tombstones => Some("expiry"),
            () => Some("deletions"),
        }
    }

    /// About how many entries have expired, taking their moments for evenly spread; 0 only if
    /// none has.
    fn expired(&self, table: &TableMeta) -> u64 {
        let expiring = table.entries.saturating_sub(table.tombstones + table.never_expires);
        let expired = self.horizon.expired.filter(|expired| {
            table.max_stamp <= expired.stamp && expired.stamp <= self.horizon.floor
        });
        let (Some(expired), Some((first, last))) = (expired, table.expiry) else { return 0 };
        if expired.moment < first {
            return 0;
        }
        let span = u128::from(last.ms().saturating_sub(first.ms())) + 1;
        let passed = u128::from(expired.moment.ms() - first.ms()) + 1;
        let count = (u128::from(expiring) * passed.min(span)).div_ceil(span);
        u64::try_from(count).unwrap_or(expiring)
    }
}

#[cfg(test)]
mod tests;
