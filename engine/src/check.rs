//! One walk over everything: are the bytes of the store what they should be?
//!
//! Tests, the simulation and the command line share it.

use std::fmt;

use icecore_model::Versionstamp;
use icecore_sstable::TableSummary;
use icecore_sync::lock;

use crate::core::Core;
use crate::error::Error;
use crate::manifest::Catalog;

/// What a check has found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CheckReport {
    /// What is wrong; empty for a store that is in order.
    pub problems: Vec<Error>,
    /// Tables that were read in whole.
    pub tables: u64,
    /// Versions of keys in them.
    pub entries: u64,
    /// Bytes of tables that were read.
    pub bytes: u64,
    /// Commits that were read from the log.
    pub log_commits: u64,
}

impl CheckReport {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} tables with {} entries in {} bytes, {} commits in the log: ",
            self.tables, self.entries, self.bytes, self.log_commits
        )?;
        match self.problems.len() {
            0 => f.write_str("no problem found"),
            1 => write!(f, "1 problem found"),
            n => write!(f, "{n} problems found"),
        }
    }
}

impl Core {
    pub(crate) fn check(&self) -> Result<CheckReport, Error> {
        let mut report = CheckReport::default();
        // No flush and no compaction changes the set of files while it is compared.
        let _maintenance = lock(&self.maintenance);
        let _compacting = lock(&self.compacting);
        // Asked under the locks: after `close` has had them, the files are somebody else's.
        self.check_open()?;
        let (catalog, view) = {
            let state = self.state.lock();
            (state.catalog.clone(), std::sync::Arc::clone(&state.view))
        };
        report.problems.extend(check_catalog(&catalog));
        for (_, handle) in view.levels.tables() {
            match handle.table(&self.access).and_then(|table| Ok(table.verify()?)) {
                Ok(summary) => {
                    report.tables += 1;
                    report.entries += summary.entries;
                    report.bytes += summary.bytes;
                    report.problems.extend(compare(handle.summary(), &summary));
                }
                Err(error) => report.problems.push(error),
            }
        }
        match self.check_log(&catalog) {
            Ok(commits) => report.log_commits = commits,
            Err(error) => report.problems.push(error),
        }
        Ok(report)
    }

    /// Reads the log as a recovery would. Commits wait meanwhile, so that the set of segments
    /// stays as it is.
    fn check_log(&self, catalog: &Catalog) -> Result<u64, Error> {
        let _writer = lock(&self.writer);
        let segments = match self.log {
            Some(_) => self.state.lock().catalog.segments.clone(),
            None => catalog.segments.clone(),
        };
        let mut commits = 0;
        let mut count = |_: icecore_wal::Commit<'_>| {
            commits += 1;
            Ok(())
        };
        icecore_wal::recover(
            &*self.env.disk,
            catalog.database,
            &segments,
            Versionstamp::ZERO,
            &mut count,
        )?;
        Ok(commits)
    }
}

fn check_catalog(catalog: &Catalog) -> Option<Error> {
    let wrong = |what: &str| Some(Error::corrupt("the manifest", 0, what));
    if let Err(what) = catalog.validate() {
        return wrong(what);
    }
    let newest_first = |pair: &[TableSummary]| pair[0].min_stamp > pair[1].max_stamp;
    if !catalog.levels[0].windows(2).all(newest_first) {
        return wrong("tables of level 0 overlap in time");
    }
    if catalog.tables().any(|(_, table)| table.max_stamp > catalog.flushed) {
        return wrong("a table holds a commit that was not flushed");
    }
    None
}

fn compare(listed: &TableSummary, found: &TableSummary) -> Option<Error> {
    let name = icecore_disk::Name::Table(listed.number);
    (listed != found).then(|| Error::corrupt(name, 0, "its content is not what the manifest says"))
}
