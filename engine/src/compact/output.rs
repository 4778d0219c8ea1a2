//! Writing what survives into tables.

use std::sync::Arc;

use icecore_disk::Disk;
use icecore_memtable::Memtable;
use icecore_model::{Change, Entry, RangeSet, RangeTombstone, Versionstamp};
use icecore_sstable::{TableId, TableOptions, TableSummary, TableWriter};

use crate::compact::garbage::{Garbage, Verdict, surviving_ranges};
use crate::error::Error;
use crate::merge::MergeVersions;
use crate::source::Versions;

/// Writes a sorted stream into tables of a bounded size. Two versions of one key never end up in
/// two tables, and the pieces of a range tombstone in several tables do not overlap: the tables
/// make a run.
pub(crate) struct Output<'o> {
    pub(crate) disk: &'o dyn Disk,
    pub(crate) options: &'o TableOptions,
    /// A table that has reached this size is closed at the next key.
    pub(crate) table_bytes: u64,
    /// The identity of the next table.
    pub(crate) next_id: &'o mut dyn FnMut() -> TableId,
    /// Every table that was begun, whether or not it was finished: on a failure they are garbage.
    pub(crate) begun: Vec<u64>,
}

impl<'o> Output<'o> {
    /// Writes what `garbage` lets pass of `merge`, and `ranges`. The tables are synced; the
    /// directory is not. Versions above `at` are left out: they come later than what is written.
    pub(crate) fn write(
        &mut self,
        mut merge: MergeVersions<Versions>,
        at: Versionstamp,
        garbage: &mut Garbage<'_, impl Fn(&[u8]) -> bool>,
        ranges: Vec<RangeTombstone>,
    ) -> Result<Vec<TableSummary>, Error> {
        let ranges = RangeSet::new(ranges);
        let mut done = Vec::new();
        let mut writer: Option<TableWriter<'o>> = None;
        // The first key that the table at hand may speak about, and the last one it holds.
        let mut low: Option<Vec<u8>> = None;
        let mut last: Vec<u8> = Vec::new();
        while let Some(entry) = merge.entry() {
            let judged = if entry.stamp > at { Ok(Verdict::Drop) } else { garbage.judge(&entry) };
            let verdict = judged.map_err(|_| out_of_order())?;
            let change = match verdict {
                Verdict::Keep => Some(entry.change),
                Verdict::KeepAsTombstone => Some(Change::Delete),
                Verdict::Drop => None,
            };
            if let Some(change) = change {
                let full_bytes = self.table_bytes;
                let is_full = |w: &mut TableWriter<'o>| w.written_bytes() >= full_bytes;
                if entry.key != last
                    && let Some(full) = writer.take_if(is_full)
                {
                    let pieces = ranges.clipped(low.as_deref(), Some(entry.key));
                    done.push(finish(full, &pieces)?);
                    low = Some(entry.key.to_vec());
                }
                if writer.is_none() {
                    writer = Some(self.begin()?);
                }
                let open = writer.as_mut().expect("it was just begun");
                open.add(&Entry { change, ..entry })?;
                last.clear();
                last.extend_from_slice(entry.key);
                merge.check()?;
            }
            merge.next()?;
        }
        let pieces = ranges.clipped(low.as_deref(), None);
        if writer.is_none() && !pieces.is_empty() {
            writer = Some(self.begin()?);
        }
        if let Some(open) = writer {
            done.push(finish(open, &pieces)?);
        }
        Ok(done)
    }

    fn begin(&mut self) -> Result<TableWriter<'o>, Error> {
        let id = (self.next_id)();
        let writer = TableWriter::create(self.disk, id, self.options)?;
        // A file that could not be created is not there: a disk that takes no files would be asked to
        // remove one more after each attempt.
        self.begun.push(id.number);
        Ok(writer)
    }
}

fn finish(mut writer: TableWriter<'_>, ranges: &[RangeTombstone]) -> Result<TableSummary, Error> {
    for tombstone in ranges {
        writer.add_range(tombstone);
    }
    Ok(writer.finish()?)
}

/// Writes all of `memtable`, which nobody reads at older stamps, into one table; into none if it
/// is empty. What lies below is not known, so tombstones stay, and nothing is forgotten.
pub(crate) fn rewrite_memtable(
    disk: &dyn Disk,
    options: &TableOptions,
    id: TableId,
    memtable: &Arc<Memtable>,
) -> Result<Option<TableSummary>, Error> {
    let Some(last) = memtable.last_stamp() else { return Ok(None) };
    let mut id = Some(id);
    let mut next_id = || id.take().expect("an unbounded table is the only one");
    let mut output =
        Output { disk, options, table_bytes: u64::MAX, next_id: &mut next_id, begun: Vec::new() };
    let ranges = memtable.ranges();
    let merge = MergeVersions::new(vec![Versions::Memtable(memtable.versions_owned())])?;
    let mut garbage = Garbage::new(last, None, &ranges, |_: &[u8]| false);
    let (survivors, _) = surviving_ranges(&ranges, last, |_, _| false);
    Ok(output.write(merge, last, &mut garbage, survivors)?.pop())
}

/// The merge does not know which of its tables it is; a check of the store does.
fn out_of_order() -> Error {
    Error::corrupt("one of the tables that are merged", 0, "its entries are not in order")
}
