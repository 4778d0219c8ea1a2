//! Opening a damaged store, and holding every answer against the truth.
//!
//! 1. Every answer is the truth or an error that says that bytes are damaged, missing, unreadable or
//!    of an unknown format.
//! 2. If the check of the store finds nothing, no read fails.
//! 3. A store that was opened for writing shows no less, and takes a commit that stays.
//! 4. Of a forged store, nothing is demanded but that every call comes back.
//! 5. A salvage leaves the original as it is. What it copies is the truth, but for as many entries
//!    as it calls stale.

use std::path::Path;
use std::sync::Arc;

use icecore_disk::clock::ManualClock;
use icecore_disk::random::SeededRandom;
use icecore_disk::{Disk, MemoryDisk, Name, OpenMode};
use icecore_engine::keyspace::{DATA, QUEUE};
use icecore_engine::{
    Access, Batch, Create, Engine, Environment, Error, ErrorKind, Mutation, Options, Outcome,
    ReadMode, SalvageReport, salvage,
};
use icecore_model::Versionstamp;

use crate::golden::folder::contents::{ALL_KEYS, Contents, READ_AT_MS, Row, open};

/// So many keys are asked for one by one.
const GETS: usize = 24;

/// What became of a damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// The store was not opened, or its check found something.
    Noticed,
    /// Nothing is wrong, says the store.
    Nothing,
}

/// Opens the store on `disk` for reading, and asks it everything.
pub(super) fn read(
    disk: Arc<dyn Disk>,
    truth: &Contents,
    read_mode: ReadMode,
    dice: &SeededRandom,
) -> Result<Finding, String> {
    let opened = open(disk, |options| {
        (options.access, options.read_mode) = (Access::ReadOnly, read_mode);
    });
    let engine = match opened {
        Ok(engine) => engine,
        Err(error) => return typed(&error, "opening").map(|()| Finding::Noticed),
    };
    let report = engine.check().map_err(|error| format!("check: {error}"))?;
    for problem in &report.problems {
        typed(problem, "check")?;
    }
    let failed = [
        walk(&engine, truth, false)?,
        walk(&engine, truth, true)?,
        gets(&engine, truth, dice)?,
        changes(&engine, truth)?,
    ];
    match failed.into_iter().flatten().next() {
        Some(error) if report.is_clean() => {
            Err(format!("check finds nothing, but a read fails: {error}"))
        }
        _ if report.is_clean() => Ok(Finding::Nothing),
        _ => Ok(Finding::Noticed),
    }
}

/// Refuses an error that does not speak of the files.
fn typed(error: &Error, during: &str) -> Result<(), String> {
    match error.kind() {
        ErrorKind::Corrupt | ErrorKind::Io | ErrorKind::UnknownFormat => Ok(()),
        kind => Err(format!("{during} gives {kind:?}: {error}")),
    }
}

/// Walks over everything; gives the error that ended the walk.
fn walk(engine: &Engine, truth: &Contents, back: bool) -> Result<Option<Error>, String> {
    let (start, end) = ALL_KEYS;
    let mut scan = engine.scan(start, end).map_err(|error| format!("scan: {error}"))?;
    let mut seen = 0;
    loop {
        match if back { scan.next_back() } else { scan.next() } {
            Some(Err(error)) => {
                typed(&error, "scan")?;
                let after = if back { scan.next_back() } else { scan.next() };
                return match after {
                    None => Ok(Some(error)),
                    Some(_) => Err("a scan goes on after an error".to_owned()),
                };
            }
            Some(Ok(item)) => {
                let place = if back { truth.rows.len().checked_sub(seen + 1) } else { Some(seen) };
                let row = Row::of(item);
                if place.and_then(|place| truth.rows.get(place)) != Some(&row) {
                    let expected = place.and_then(|place| truth.rows.get(place)).map(brief);
                    return Err(format!("a scan gives {} for {expected:?}", brief(&row)));
                }
                seen += 1;
            }
            None if seen == truth.rows.len() => return Ok(None),
            None => return Err(format!("a scan ends after {seen} of {}", truth.rows.len())),
        }
    }
}

fn gets(engine: &Engine, truth: &Contents, dice: &SeededRandom) -> Result<Option<Error>, String> {
    let mut failed = None;
    let known = truth.rows.len();
    for i in 0..GETS.min(2 * known + 4) {
        let place = usize::try_from(dice.below(known as u64 + 1)).expect("it is below a usize");
        let row = truth.rows.get(place);
        // Some keys were never there.
        let absent = i % 4 == 0 || row.is_none();
        let mut key = row.map_or_else(|| vec![DATA], |row| row.key.clone());
        if absent {
            key.push(0xfd);
        }
        let expected = row.filter(|_| !absent);
        match engine.get(&key) {
            Err(error) => {
                typed(&error, "get")?;
                failed = Some(error);
            }
            Ok(record) => {
                let got = record.map(|r| (r.stamp, r.value.to_vec(), r.expires_at));
                if got != expected.map(|row| (row.stamp, row.value.clone(), row.expires_at)) {
                    let there = if got.is_some() { "something else" } else { "nothing" };
                    return Err(format!("a get of {} gives {there}", key.escape_ascii()));
                }
            }
        }
    }
    Ok(failed)
}

/// Carries out all changes on nothing.
fn changes(engine: &Engine, truth: &Contents) -> Result<Option<Error>, String> {
    let (start, end) = ALL_KEYS;
    let snapshot = engine.snapshot().map_err(|error| format!("snapshot: {error}"))?;
    let changes = match snapshot.changes(start, end, Versionstamp::ZERO) {
        Ok(changes) => changes.ok_or("changes since nothing are not told")?,
        Err(error) => return typed(&error, "changes").map(|()| Some(error)),
    };
    let mut rows = truth.rows.iter();
    for changed in changes {
        match changed {
            Err(error) => return typed(&error, "changes").map(|()| Some(error)),
            Ok(changed) => {
                let Some(row) = Row::left_by(changed) else { continue };
                if rows.next() != Some(&row) {
                    return Err(format!("the changes lead to {}", brief(&row)));
                }
            }
        }
    }
    if rows.next().is_some() {
        Err("the changes do not lead to everything".to_owned())
    } else {
        Ok(None)
    }
}

fn brief(row: &Row) -> String {
    let key = row.key.escape_ascii().to_string();
    let shown: String = key.chars().take(60).collect();
    format!("{shown} of {} with {} bytes", row.stamp, row.value.len())
}

/// Opens the store on `disk` for writing, and holds that it goes on from the truth. The disk is used
/// up by it.
pub(super) fn write(disk: &MemoryDisk, truth: &Contents) -> Result<(), String> {
    let key = [DATA, 0xfe];
    let reopen = || open(Arc::new(disk.clone()), |options| options.create = Create::Never);
    let engine = match reopen() {
        Ok(engine) => engine,
        Err(error) => return typed(&error, "opening for writing"),
    };
    if let Some(_damaged) = walk(&engine, truth, false)? {
        return Ok(());
    }
    let set = Mutation::Set { key: &key, value: b"new", expires_at: None };
    let outcome = engine.commit(Batch { checks: &[], mutations: &[set] });
    let Ok(Outcome::Committed(stamp)) = outcome else {
        return Err(format!("a commit gives {outcome:?}"));
    };
    if let Some(newer) = truth.rows.iter().find(|row| row.stamp >= stamp) {
        return Err(format!("a new commit is {stamp}, but there was {}", newer.stamp));
    }
    // What is not read need not be whole.
    let clean = engine.check().map_err(|error| format!("check: {error}"))?.is_clean();
    engine.close().map_err(|error| format!("close: {error}"))?;
    let engine = reopen().map_err(|error| format!("opening again: {error}"))?;
    let record = engine.get(&key).map_err(|error| format!("the commit: {error}"))?;
    if record.is_none_or(|record| record.stamp != stamp) {
        return Err("the new commit is gone".to_owned());
    }
    match engine.check() {
        Ok(report) if report.is_clean() || !clean => Ok(()),
        Ok(report) => Err(format!("writing has done damage: {:?}", report.problems)),
        Err(error) => Err(format!("check: {error}")),
    }
}

/// Does everything with a forged store: first reads it, then works on it. The disk is used up by it.
pub(super) fn endure(disk: &MemoryDisk, truth: &Contents, read_mode: ReadMode) {
    let (start, end) = ALL_KEYS;
    for access in [Access::ReadOnly, Access::ReadWrite] {
        let opened = open(Arc::new(disk.clone()), |options| {
            (options.access, options.read_mode) = (access, read_mode);
        });
        let Ok(engine) = opened else { continue };
        drop(engine.check());
        for row in truth.rows.iter().step_by(truth.rows.len() / GETS + 1) {
            drop(engine.get(&row.key));
        }
        drop(Contents::of(&engine));
        drop(Contents::backwards(&engine));
        let snapshot = engine.snapshot();
        let changes =
            snapshot.and_then(|snapshot| snapshot.changes(start, end, Versionstamp::ZERO));
        if let Ok(Some(changes)) = changes {
            changes.for_each(drop);
        }
        if access == Access::ReadWrite {
            let set = Mutation::Set { key: &[DATA, 0xfe], value: b"new", expires_at: None };
            drop(engine.commit(Batch { checks: &[], mutations: &[set] }));
            drop(engine.compact());
            (0..GETS as u64).for_each(|choice| drop(engine.step(choice)));
            drop(engine.close());
        }
    }
}

/// Salvages the store on `disk`.
pub(super) fn save(disk: &MemoryDisk, truth: &Contents) -> Result<(), String> {
    let before = bytes_of(disk)?;
    let saved = salvage_it(disk);
    if bytes_of(disk)? != before {
        return Err("a salvage has changed the original".to_owned());
    }
    match saved {
        Err(error) => typed(&error, "salvage"),
        Ok(report) => {
            let copy = disk.directory("saved").ok_or("a salvage has made no directory")?;
            compare_copy(&copy, &report, truth)
        }
    }
}

fn salvage_it(disk: &MemoryDisk) -> Result<SalvageReport, Error> {
    let environment = Environment {
        disk: Arc::new(disk.clone()),
        clock: Arc::new(ManualClock::at(READ_AT_MS)),
        random: Arc::new(SeededRandom::new(2)),
    };
    let options = Options { memtable_bytes: 16 << 10, reserve_bytes: 0, ..Options::default() };
    salvage(&environment, Path::new("saved"), &options, &mut |_| {})
}

/// Salvages a forged store, whatever comes of it.
pub(super) fn salvage_forged(disk: &MemoryDisk) {
    drop(salvage_it(disk));
}

fn compare_copy(copy: &MemoryDisk, report: &SalvageReport, truth: &Contents) -> Result<(), String> {
    if let Some(problem) = report.check.problems.first() {
        return Err(format!("the salvaged copy is damaged: {problem}"));
    }
    let engine = open(Arc::new(copy.clone()), |options| options.access = Access::ReadOnly);
    let engine = engine.map_err(|error| format!("the salvaged copy: {error}"))?;
    let copied = Contents::of(&engine).map_err(|error| format!("the salvaged copy: {error}"))?;
    let is_user = |row: &&Row| matches!(row.key.first(), Some(&(DATA | QUEUE)));
    let other = copied.rows.iter().filter(is_user).filter(|row| !truth.rows.contains(row)).count();
    if other as u64 > report.stale_entries {
        let stale = report.stale_entries;
        return Err(format!("a salvage copies {other} wrong entries, and calls {stale} stale"));
    }
    let missing =
        truth.rows.iter().filter(is_user).filter(|row| !copied.rows.contains(row)).count();
    if missing > 0 && report.is_complete() {
        return Err(format!("a salvage calls itself complete, and lacks {missing} entries"));
    }
    Ok(())
}

fn bytes_of(disk: &MemoryDisk) -> Result<Vec<(Name, Vec<u8>)>, String> {
    let read = |name: Name| {
        let file = disk.open(name, OpenMode::Read)?;
        let length = usize::try_from(file.len()?).expect("it is in memory");
        let mut bytes = vec![0; length];
        file.read_full_at(0, &mut bytes)?;
        Ok((name, bytes))
    };
    let read_all = || -> std::io::Result<Vec<_>> {
        let listed = disk.list()?;
        listed.into_iter().filter_map(|entry| entry.name.ok()).map(read).collect()
    };
    read_all().map_err(|error| error.to_string())
}
