//! What the tests share: a disk, tables on it, and the model they are compared with.

use std::collections::BTreeMap;
use std::sync::Arc;

use icecore_disk::Disk;
use icecore_disk::sim::{Rules, SimDisk};
use icecore_model::{Change, DatabaseId, Entry, RangeTombstone, Timestamp, Versionstamp};
use icecore_sstable::{
    BlockCache, Error, ReadMode, Table, TableEnv, TableId, TableOptions, TableSummary, TableWriter,
};

pub(crate) const HOME: DatabaseId = DatabaseId([7; 16]);
pub(crate) const MODES: [ReadMode; 3] = [ReadMode::Mmap, ReadMode::MmapStrict, ReadMode::Read];

/// One version: a value that may expire, or a deletion.
pub(crate) type Version = Option<(Vec<u8>, Option<Timestamp>)>;

/// Every version of every key; the newest comes last.
pub(crate) type Model = BTreeMap<Vec<u8>, BTreeMap<Versionstamp, Version>>;

pub(crate) fn disk() -> Arc<SimDisk> {
    SimDisk::new(1, Rules::none())
}

pub(crate) fn env(read_mode: ReadMode) -> TableEnv {
    TableEnv { read_mode, cache: Arc::new(BlockCache::new(64 << 10)), accepted: vec![HOME] }
}

pub(crate) fn change(version: &Version) -> Change<'_> {
    match version {
        None => Change::Delete,
        Some((value, expires_at)) => Change::Put { value, expires_at: *expires_at },
    }
}

/// All entries in the order of tables.
pub(crate) fn entries(model: &Model) -> Vec<Entry<'_>> {
    model.iter().flat_map(|(key, versions)| newest_first(key, versions)).collect()
}

fn newest_first<'a>(
    key: &'a [u8],
    versions: &'a BTreeMap<Versionstamp, Version>,
) -> impl Iterator<Item = Entry<'a>> {
    let newest_first = versions.iter().rev();
    newest_first.map(move |(stamp, v)| Entry { key, stamp: *stamp, change: change(v) })
}

pub(crate) fn write(
    disk: &dyn Disk,
    number: u64,
    options: &TableOptions,
    model: &Model,
    ranges: &[RangeTombstone],
) -> Result<TableSummary, Error> {
    let id = TableId { database: HOME, number };
    let mut writer = TableWriter::create(disk, id, options)?;
    for entry in entries(model) {
        writer.add(&entry)?;
    }
    for range in ranges {
        writer.add_range(range);
    }
    writer.finish()
}

pub(crate) fn open(
    disk: &dyn Disk,
    summary: &TableSummary,
    mode: ReadMode,
) -> Result<Arc<Table>, Error> {
    Table::open(disk, summary, &env(mode)).map(Arc::new)
}
