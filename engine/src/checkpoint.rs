//! A copy of the store in another directory, cheap because tables never change.
//!
//! Tables are linked. What is still in memory at the checkpoint's stamp is written into one more
//! table of the copy, so no log is needed. The last step makes the copy a store: its manifest,
//! with an identity of its own, becomes current there.

use std::path::Path;
use std::sync::Arc;

use icecore_disk::{Disk, Name, OpenMode};
use icecore_model::{RangeSet, Versionstamp};
use icecore_sstable::{TableId, TableSummary};

use crate::compact::garbage::{Garbage, surviving_ranges};
use crate::compact::output::Output;
use crate::core::Core;
use crate::error::Error;
use crate::manifest::{Catalog, Manifest};
use crate::merge::MergeVersions;
use crate::open::inventory::new_database_id;
use crate::source::Versions;
use crate::view::View;

/// Bytes copied at a time where a table cannot be linked.
const COPY_BYTES: usize = 1 << 20;

impl Core {
    pub(crate) fn checkpoint(&self, path: &Path) -> Result<Versionstamp, Error> {
        let database = new_database_id(&self.env)?;
        let (view, held) = self.published.hold(|| self.visible());
        let (accepted, next_table) = {
            let state = self.state.lock();
            (state.catalog.accepted.clone(), state.catalog.next_table)
        };
        let target = self
            .env
            .disk
            .create_directory(path)
            .map_err(|e| Error::io(path.display(), "create", e))?;
        let _guard =
            target.lock(icecore_disk::LockMode::Exclusive).map_err(|error| match error {
                icecore_disk::LockError::Held { holder } => {
                    Error::Locked { directory: target.label(), holder }
                }
                icecore_disk::LockError::Io(e) => Error::io(target.label(), "lock", e),
            })?;
        let mut catalog = Catalog::empty(database);
        catalog.accepted.extend(accepted);
        catalog.next_table = next_table;
        catalog.past = view.levels.past().clone();
        for (level, table) in view.levels.tables() {
            self.link_or_copy(&*target, Name::Table(table.summary().number))?;
            catalog.levels[level].push(table.summary().clone());
        }
        if let Some(table) = self.write_memory(&*target, &mut catalog, &view, held.at())? {
            catalog.levels[0].insert(0, table);
        }
        catalog.flushed = held.at();
        // A store that was opened for reading after a crash shows less than may have been seen.
        let lost = catalog.past.gaps.last().map_or(Versionstamp::ZERO, |gap| gap.last.next());
        catalog.ceiling = held.at().max(lost);
        target.sync_dir().map_err(|e| Error::io(target.label(), "sync", e))?;
        Manifest::create(&*target, &*self.env.random, 1, &catalog)?;
        Ok(held.at())
    }

    fn link_or_copy(&self, target: &dyn Disk, name: Name) -> Result<(), Error> {
        match self.env.disk.link(name, target) {
            Ok(()) => Ok(()),
            Err(e) if cannot_link(&e) => copy(&*self.env.disk, target, name),
            Err(e) => Err(Error::io(name, "link", e)),
        }
    }

    /// Writes what the memtables of `view` hold at `at` into one table of `target`.
    fn write_memory(
        &self,
        target: &dyn Disk,
        catalog: &mut Catalog,
        view: &View,
        at: Versionstamp,
    ) -> Result<Option<TableSummary>, Error> {
        let memtables: Vec<_> = std::iter::once(&view.live).chain(&view.frozen).collect();
        let sources =
            memtables.iter().map(|m| Versions::Memtable(m.versions_owned())).collect::<Vec<_>>();
        let tombstones = memtables.iter().flat_map(|m| {
            let ranges: Arc<RangeSet> = m.ranges();
            ranges.clipped(None, None)
        });
        let ranges = RangeSet::new(tombstones.filter(|tombstone| tombstone.stamp <= at));
        let merge = MergeVersions::new(sources)?;
        let mut garbage = Garbage::new(at, None, &ranges, |_: &[u8]| false);
        let mut next_id = || {
            let number = catalog.next_table;
            catalog.next_table += 1;
            TableId { database: catalog.database, number }
        };
        let mut output = Output {
            disk: target,
            options: &self.options.table,
            table_bytes: u64::MAX,
            next_id: &mut next_id,
            begun: Vec::new(),
        };
        let (survivors, _) = surviving_ranges(&ranges, at, |_, _| false);
        Ok(output.write(merge, at, &mut garbage, survivors)?.pop())
    }
}

fn cannot_link(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{CrossesDevices, PermissionDenied, TooManyLinks, Unsupported};
    matches!(error.kind(), CrossesDevices | PermissionDenied | TooManyLinks | Unsupported)
}

fn copy(source: &dyn Disk, target: &dyn Disk, name: Name) -> Result<(), Error> {
    let from = source.open(name, OpenMode::Read).map_err(|e| Error::io(name, "open", e))?;
    let to = target.create(name).map_err(|e| Error::io(name, "create", e))?;
    let mut buffer = vec![0; COPY_BYTES];
    let mut offset = 0;
    loop {
        let got = from.read_full_at(offset, &mut buffer).map_err(|e| Error::io(name, "read", e))?;
        if got == 0 {
            break;
        }
        to.write_all_at(offset, &buffer[..got]).map_err(|e| Error::io(name, "write", e))?;
        offset += got as u64;
    }
    to.sync().map_err(|e| Error::io(name, "sync", e))
}
