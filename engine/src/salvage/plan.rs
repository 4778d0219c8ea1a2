//! Deciding which files of a damaged directory count.
//!
//! 1. The manifest that `CURRENT` names decides, as in any opening. Without a readable `CURRENT` it
//!    is the one with the highest number: each manifest repeats what still counts.
//! 2. A manifest that is not the newest version of itself does not decide: one that does not know
//!    a segment with commits above its own, or lists tables that are gone while others are there.
//! 3. If no manifest decides, every table and every segment in the directory that belongs to the
//!    store is used. Stamps put them in order, but nothing tells whether they are all there are.

use std::collections::BTreeSet;

use icecore_disk::{Disk, Listed, Name};
use icecore_model::{DatabaseId, Versionstamp};
use icecore_sstable::salvage::table_owner;
use icecore_sstable::{Origins, TableSummary};

use super::report::{SalvageLoss, SalvageReport};
use crate::error::Error;
use crate::manifest::{Catalog, Loaded, Manifest};

/// Which files are read, and what is known of them.
pub(super) struct Plan {
    /// The store, if anything says which one it is.
    pub(super) database: Option<DatabaseId>,
    /// Under which stores its tables can have been born.
    pub(super) origins: Origins,
    /// The tables with what the manifest says of them.
    pub(super) tables: Vec<(u64, Option<TableSummary>)>,
    pub(super) segments: Vec<u32>,
    /// What the manifest says, if one decides.
    pub(super) catalog: Option<Catalog>,
    /// No stamp above this one is known to have been shown.
    pub(super) ceiling: Versionstamp,
}

impl Plan {
    /// Decides, and notes in `report` what is damaged and what is not used.
    pub(super) fn make(disk: &dyn Disk, listed: &[Listed], report: &mut SalvageReport) -> Plan {
        let files = Files::of(listed, report);
        let manifest = find_manifest(disk, &files, report);
        let decides = manifest.as_ref().and_then(|loaded| {
            let doubt = outdated(disk, &files, loaded);
            if let Some(what) = &doubt {
                let name = Name::Manifest(loaded.number);
                report.note(name, 0, what.clone(), SalvageLoss::FileSet);
            }
            doubt.is_none().then(|| loaded.catalog.clone())
        });
        match decides {
            Some(catalog) => Plan::listed(catalog, &files, report),
            None => Plan::found(disk, manifest, files, report),
        }
    }

    fn listed(catalog: Catalog, files: &Files, report: &mut SalvageReport) -> Plan {
        let tables: Vec<_> =
            catalog.tables().map(|(_, table)| (table.number, Some(table.clone()))).collect();
        let listed: BTreeSet<u64> = tables.iter().map(|(number, _)| *number).collect();
        let unused = files.tables.iter().filter(|number| !listed.contains(number));
        report.ignored.extend(
            unused.map(|number| format!("{}: the store does not use it", Name::Table(*number))),
        );
        let unused = files.segments.iter().filter(|number| !catalog.segments.contains(number));
        report.ignored.extend(
            unused.map(|number| {
                format!("{}: the store does not use it", Name::Wal(u64::from(*number)))
            }),
        );
        Plan {
            database: Some(catalog.database),
            origins: Origins { known: catalog.accepted.iter().copied().collect(), others: false },
            tables,
            segments: catalog.segments.clone(),
            ceiling: catalog.ceiling,
            catalog: Some(catalog),
        }
    }

    fn found(
        disk: &dyn Disk,
        manifest: Option<Loaded>,
        files: Files,
        report: &mut SalvageReport,
    ) -> Plan {
        let firsts = files.manifests.iter().filter_map(|n| Manifest::first_catalog(disk, *n));
        let catalogs: Vec<Catalog> = firsts.chain(manifest.map(|loaded| loaded.catalog)).collect();
        let mut segments = Vec::new();
        for number in files.segments {
            match icecore_wal::segment_owner(disk, number) {
                Some(owner) => segments.push((number, owner)),
                None => report.ignored.push(format!(
                    "{}: unused, or its header is damaged",
                    Name::Wal(u64::from(number))
                )),
            }
        }
        let last_catalog = catalogs.last().map(|catalog| catalog.database);
        let database = Manifest::named_owner(disk)
            .or(last_catalog)
            .or(segments.last().map(|(_, owner)| *owner));
        let (own, foreign): (Vec<_>, Vec<_>) =
            segments.into_iter().partition(|(_, owner)| Some(*owner) == database);
        report.ignored.extend(foreign.iter().map(|(number, _)| {
            format!("{}: it belongs to another store", Name::Wal(u64::from(*number)))
        }));
        let same = catalogs.iter().filter(|catalog| Some(catalog.database) == database);
        let mut known: BTreeSet<_> =
            same.clone().flat_map(|catalog| catalog.accepted.clone()).collect();
        let others = known.is_empty();
        if others {
            // A table that has lost its footer is most likely of the store of one that has not.
            let owners = files.tables.iter().filter_map(|number| table_owner(disk, *number));
            known = owners.chain(database).collect();
        }
        Plan {
            origins: Origins { known, others },
            ceiling: same.map(|catalog| catalog.ceiling).max().unwrap_or_default(),
            database,
            tables: files.tables.iter().map(|number| (*number, None)).collect(),
            segments: own.into_iter().map(|(number, _)| number).collect(),
            catalog: None,
        }
    }
}

/// What the directory holds, by kind, each ascending.
struct Files {
    current: bool,
    manifests: BTreeSet<u64>,
    tables: BTreeSet<u64>,
    segments: BTreeSet<u32>,
}

impl Files {
    fn of(listed: &[Listed], report: &mut SalvageReport) -> Files {
        let (manifests, tables) = (BTreeSet::new(), BTreeSet::new());
        let mut files = Files { current: false, manifests, tables, segments: BTreeSet::new() };
        for entry in listed {
            let ignored = match &entry.name {
                Err(foreign) => Some(format!("{foreign}: not a file of a store")),
                Ok(name) if !entry.regular => Some(format!("{name}: not a regular file")),
                Ok(Name::Lock | Name::Temp(_)) => None,
                Ok(Name::Current) => {
                    files.current = true;
                    None
                }
                Ok(Name::Manifest(number)) => {
                    files.manifests.insert(*number);
                    None
                }
                Ok(Name::Table(number)) => {
                    files.tables.insert(*number);
                    None
                }
                Ok(Name::Wal(number)) => match u32::try_from(*number) {
                    Ok(number) => {
                        files.segments.insert(number);
                        None
                    }
                    Err(_) => Some(format!("{}: no segment has this number", Name::Wal(*number))),
                },
            };
            report.ignored.extend(ignored);
        }
        report.ignored.sort();
        files
    }
}

/// The manifest that counts, as far as it can be read.
fn find_manifest(disk: &dyn Disk, files: &Files, report: &mut SalvageReport) -> Option<Loaded> {
    let error = match Manifest::load(disk) {
        Ok(Some(loaded)) => return Some(loaded),
        Ok(None) => Error::corrupt(Name::Current, 0, "it is missing"),
        Err(error) => error,
    };
    let owner = Manifest::named_owner(disk);
    // A readable CURRENT leads to a manifest that cannot be read: no other one counts.
    let newest = files.manifests.last().filter(|_| owner.is_none());
    let second = newest.map(|number| Manifest::load_numbered(disk, *number, None));
    match second {
        Some(Ok(loaded)) => {
            note_error(report, &error, SalvageLoss::Nothing);
            Some(loaded)
        }
        Some(Err(worse)) => {
            note_error(report, &error, SalvageLoss::Nothing);
            note_error(report, &worse, SalvageLoss::FileSet);
            None
        }
        None => {
            note_error(report, &error, SalvageLoss::FileSet);
            None
        }
    }
}

/// Says why a manifest is not the newest version of itself, if it is not.
fn outdated(disk: &dyn Disk, files: &Files, loaded: &Loaded) -> Option<String> {
    let catalog = &loaded.catalog;
    let known = catalog.segments.last().copied().unwrap_or(0);
    for number in files.segments.range(known.saturating_add(1)..) {
        let holds = icecore_wal::holds_commits(disk, catalog.database, *number);
        if holds.unwrap_or(false) {
            return Some(format!(
                "it does not know {}, which holds commits",
                Name::Wal(u64::from(*number))
            ));
        }
    }
    let listed: BTreeSet<u64> = catalog.tables().map(|(_, table)| table.number).collect();
    let missing = listed.iter().find(|number| !files.tables.contains(number))?;
    let other = files.tables.iter().find(|number| !listed.contains(number))?;
    let (missing, other) = (Name::Table(*missing), Name::Table(*other));
    Some(format!("{missing} is missing, and it does not know {other}"))
}

/// Notes an error at its place.
pub(super) fn note_error(report: &mut SalvageReport, error: &Error, loss: SalvageLoss) {
    match error {
        Error::Corrupt { file, offset, what } => report.note(file, *offset, what.clone(), loss),
        Error::UnknownFormat { file, what } => {
            report.note(file, 0, format!("an unknown format: {what}"), loss);
        }
        Error::Io { file, .. } => report.note(file, 0, error.to_string(), loss),
        _ => report.note("the store", 0, error.to_string(), loss),
    }
}
