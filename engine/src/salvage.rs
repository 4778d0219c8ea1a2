//! Salvage: copying what is provably intact out of a damaged store into a new one.
//!
//! Opening refuses a damaged store, because it cannot tell what is missing. Salvage is the other
//! act, and somebody must ask for it: it takes all that verifies, puts it in order by stamps, and
//! says what was lost and which entries may be stale for that.
//!
//! 1. `plan` decides which files count: those of the manifest, or all if no manifest can be read.
//! 2. `survey`: every table is read, block by block, and the log past its holes.
//! 3. Everything found is merged. The newest version of each key goes into the copy, unless it is a
//!    deletion or a deleted range that was found covers it (`output`, `pieces`).
//! 4. The copy becomes a store, and is checked in full.
//!
//! Invariants:
//! 1. The original is never written to; it is opened for reading only, under the shared lock where
//!    there can be one.
//! 2. No value comes into the copy that was not once committed for its key: every byte was under a
//!    checksum that agrees.
//! 3. A deletion that was found is never ignored. What can come back are keys whose deletion was
//!    lost; every entry that this may concern is counted as stale (`doubt`).
//! 4. Entries keep their versionstamps and their moments of expiry, queues their messages and
//!    attempt counts. The expiry index is made anew. The copy has an identity of its own, like a
//!    checkpoint, holds no past versions, and issues stamps above all that the original can be known
//!    to have issued.
//! 5. Until its last step the copy is not a store. If the salvage fails, its files are removed.

mod doubt;
mod output;
mod pieces;
mod plan;
mod report;
mod survey;

use std::path::Path;
use std::sync::Arc;

use icecore_disk::clock::SystemClock;
use icecore_disk::random::SystemRandom;
use icecore_disk::real::RealDisk;
use icecore_disk::{Disk, LockError, LockMode};
use icecore_model::limits::KEY_BYTES_MAX;
use icecore_model::{Change, Entry, RangeSet, RangeTombstone, Versionstamp};
use icecore_sstable::{Remains, TableSummary};

pub use report::{SalvageDamage, SalvageLoss, SalvageReport};

use self::doubt::Doubts;
use self::output::{IndexSpiller, RunWriter, Target};
use self::pieces::{Chain, Piece};
use self::plan::Plan;
use crate::core::Environment;
use crate::engine::Engine;
use crate::error::Error;
use crate::expiry::Watermark;
use crate::keyspace::{DATA, EXPIRY, META, QUEUE, WATERMARK_KEY, expiry_key};
use crate::manifest::catalog::LEVELS;
use crate::manifest::{Catalog, Manifest};
use crate::merge::{MergeVersions, is_covered};
use crate::open::inventory::new_database_id;
use crate::open::locked;
use crate::options::{Access, Create, Options, Workers};

/// What a salvage is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SalvagePhase {
    /// Reading the tables.
    Tables,
    /// Reading the log; there is no total.
    Log,
    /// Writing the copy, in versions merged.
    Copy,
    /// Checking the copy; there is no total.
    Check,
}

/// How far a salvage has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SalvageProgress {
    /// What it is doing.
    pub phase: SalvagePhase,
    /// How much of that is done.
    pub done: u64,
    /// How much there is to do; 0 where that is not known.
    pub total: u64,
}

/// Copies what is provably intact of the store in `store` into `out`, a new or empty directory on
/// the same file system or another, outside of `store`. `options` say how the copy's tables are
/// written. `progress` is called now and then.
///
/// ```
/// use icecore_engine::{Batch, Engine, Mutation, Options, keyspace::DATA, salvage_path};
///
/// # let directory = tempfile::tempdir().unwrap();
/// # let (store, out) = (directory.path().join("store"), directory.path().join("out"));
/// let engine = Engine::open_path(&store, Options::default())?;
/// let set = Mutation::Set { key: &[DATA, b'k'], value: b"v", expires_at: None };
/// let _ = engine.commit(Batch { checks: &[], mutations: &[set] })?;
/// engine.close()?;
///
/// let report = salvage_path(&store, &out, &Options::default(), &mut |_| {})?;
/// assert!(report.is_complete());
/// let copy = Engine::open_path(&out, Options::default())?;
/// assert!(copy.get(&[DATA, b'k'])?.is_some());
/// # Ok::<(), icecore_engine::Error>(())
/// ```
///
/// # Errors
/// As [`salvage`](salvage()), and [`Error::InvalidArgument`] when `out` lies in `store`.
pub fn salvage_path(
    store: impl AsRef<Path>,
    out: impl AsRef<Path>,
    options: &Options,
    progress: &mut dyn FnMut(SalvageProgress),
) -> Result<SalvageReport, Error> {
    let (store, out) = (store.as_ref(), out.as_ref());
    let opened = RealDisk::open(store).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::NotFound { directory: store.display().to_string() },
        _ => Error::io(store.display(), "open", error),
    })?;
    let whole = store.canonicalize().map_err(|e| Error::io(store.display(), "find", e))?;
    let absolute = std::path::absolute(out).map_err(|e| Error::io(out.display(), "find", e))?;
    // What exists of the way to the copy, without links.
    let existing = absolute.ancestors().find_map(|part| part.canonicalize().ok());
    if existing.is_some_and(|existing| existing.starts_with(&whole)) {
        return Err(Error::invalid(format!(
            "{} lies in the store, which must stay as it is",
            out.display()
        )));
    }
    let env = Environment {
        disk: Arc::new(opened),
        clock: Arc::new(SystemClock::new()),
        random: Arc::new(SystemRandom),
    };
    salvage(&env, &absolute, options, progress)
}

/// Copies what is provably intact of the store on the disk of `env` into the new or empty directory
/// `out` on the same kind of disk. See the [module](self) for what the copy is.
///
/// Damage is not an error: it is in the report.
///
/// # Errors
/// [`Error::Locked`] when somebody has the store open for writing, [`Error::NotFound`] when the
/// directory holds no file of a store, [`Error::Corrupt`] when nothing of it can be read, and
/// [`Error::Io`] or [`Error::OutOfSpace`] when the copy cannot be written. The copy is then removed
/// but for its directory.
pub fn salvage(
    env: &Environment,
    out: &Path,
    options: &Options,
    progress: &mut dyn FnMut(SalvageProgress),
) -> Result<SalvageReport, Error> {
    options.validate()?;
    let disk = &env.disk;
    let _shared = match disk.lock(LockMode::Shared) {
        Ok(guard) => Some(guard),
        Err(LockError::Held { holder }) => {
            return Err(Error::Locked { directory: disk.label(), holder });
        }
        // Whoever can lock it could not open it either: it is damaged.
        Err(LockError::Io(_)) => None,
    };
    let listed = disk.list().map_err(|e| Error::io(disk.label(), "list", e))?;
    if !listed.iter().any(|entry| entry.name.is_ok()) {
        return Err(Error::NotFound { directory: disk.label() });
    }
    let mut report = SalvageReport::default();
    let plan = Plan::make(&**disk, &listed, &mut report);
    let mut salvage = Salvage { env, options, plan, report, doubts: Doubts::default(), progress };
    if salvage.report.damage.iter().any(|damage| damage.loss == SalvageLoss::FileSet) {
        salvage.report.losses_are_unknown = true;
        salvage.doubts.about_everything(Versionstamp::MAX);
    }
    let tables = salvage.survey_tables();
    salvage.refuse_if_nothing(&tables)?;
    let target = disk.create_directory(out).map_err(|e| Error::io(out.display(), "create", e))?;
    let written = salvage.write(&target, tables);
    if let Err(error) = written {
        remove_all(&*target);
        return Err(error);
    }
    salvage.check(target)?;
    Ok(salvage.report)
}

/// Takes away what a failed salvage leaves. What cannot be removed is no store.
fn remove_all(target: &dyn Disk) {
    for entry in target.list().unwrap_or_default() {
        if let Ok(name) = entry.name {
            drop(target.remove(name));
        }
    }
}

struct Salvage<'s> {
    env: &'s Environment,
    options: &'s Options,
    plan: Plan,
    report: SalvageReport,
    doubts: Doubts,
    progress: &'s mut dyn FnMut(SalvageProgress),
}

impl Salvage<'_> {
    fn tell(&mut self, phase: SalvagePhase, done: u64, total: u64) {
        (self.progress)(SalvageProgress { phase, done, total });
    }

    /// A directory of which nothing can be read gives an error, not an empty store.
    fn refuse_if_nothing(&self, tables: &[Remains]) -> Result<(), Error> {
        let disk = &*self.env.disk;
        let is_readable = |number: &u32| icecore_wal::segment_owner(disk, *number).is_some();
        let had_files = self.report.damage.iter().any(|d| d.loss != SalvageLoss::Nothing);
        let empty = tables.iter().all(|t| t.found().entries == 0 && t.ranges().is_empty());
        if had_files && empty && !self.plan.segments.iter().any(is_readable) {
            return Err(Error::corrupt(disk.label(), 0, "nothing of the store can be read"));
        }
        Ok(())
    }

    fn write(&mut self, disk: &Arc<dyn Disk>, tables: Vec<Remains>) -> Result<(), Error> {
        let _guard = disk.lock(LockMode::Exclusive).map_err(|error| locked(&**disk, error))?;
        let database = new_database_id(self.env)?;
        let options = &self.options.table;
        let mut target = Target { disk: &**disk, database, next_table: 1, options };
        let (ceiling, spills) = self.read_log(&mut target, &tables)?;
        let mut ranges = target.ranges(&spills)?;
        ranges.extend(tables.iter().flat_map(|table| table.ranges().clipped(None, None)));
        let sources = Chain::join(&self.env.disk, tables).into_iter().map(Piece::Chain);
        let sources = sources.chain(target.pieces(&spills)?).collect();
        let run = self.merge(&mut target, MergeVersions::new(sources)?, ranges)?;
        target.remove(&spills)?;
        disk.sync_dir().map_err(|e| Error::io(disk.label(), "sync", e))?;
        let catalog = self.catalog(&target, run, ceiling);
        Manifest::create(&**disk, &*self.env.random, 1, &catalog)?;
        Ok(())
    }

    /// Writes the newest version of every key that was not deleted.
    fn merge<'t>(
        &mut self,
        target: &mut Target<'t>,
        mut merge: MergeVersions<Piece>,
        ranges: Vec<RangeTombstone>,
    ) -> Result<Vec<TableSummary>, Error> {
        let ranges = RangeSet::new(ranges);
        let mut run = RunWriter::new(self.options.table_bytes);
        let mut index = IndexSpiller::default();
        let mut last: Vec<u8> = Vec::new();
        let mut watermark = None;
        let (mut done, total) = (0, self.report.versions);
        while let Some(entry) = merge.entry() {
            if done % PROGRESS_VERSIONS == 0 {
                (self.progress)(SalvageProgress { phase: SalvagePhase::Copy, done, total });
            }
            done += 1;
            self.report.newest = self.report.newest.max(entry.stamp);
            if entry.key != last {
                last.clear();
                last.extend_from_slice(entry.key);
                let deleted = is_covered(&entry, [&ranges], Versionstamp::MAX);
                if let Change::Put { value, expires_at } = entry.change
                    && !deleted
                {
                    match entry.key.first() {
                        Some(&(DATA | QUEUE)) => {
                            self.count(&entry);
                            run.add(target, &entry)?;
                            let companion = expires_at.map(|moment| expiry_key(moment, entry.key));
                            if let Some(key) = companion.filter(|key| key.len() <= KEY_BYTES_MAX) {
                                index.take(target, key, entry.stamp)?;
                            }
                        }
                        Some(&META) if entry.key == WATERMARK_KEY => {
                            let mark = Watermark::decode(value, entry.stamp);
                            watermark = mark.map(|_| (value.to_vec(), entry.stamp));
                        }
                        _ => {}
                    }
                }
            }
            merge.check()?;
            merge.next()?;
        }
        index.spill(target)?;
        let mut expiries = MergeVersions::new(target.pieces(&index.spills)?)?;
        while let Some(entry) = expiries.entry() {
            run.add(target, &entry)?;
            expiries.next()?;
        }
        target.remove(&index.spills)?;
        if let Some((value, stamp)) = watermark {
            let change = Change::Put { value: &value, expires_at: None };
            run.add(target, &Entry { key: WATERMARK_KEY, stamp, change })?;
        }
        run.finish()
    }

    fn count(&mut self, entry: &Entry<'_>) {
        if entry.key.first() == Some(&DATA) {
            self.report.data_entries += 1;
        } else {
            self.report.queue_entries += 1;
        }
        self.report.stale_entries += u64::from(self.doubts.concern(entry.key, entry.stamp));
    }

    /// What the copy consists of. It knows nothing of what was deleted, so that nobody is told of
    /// changes since a stamp of the original.
    fn catalog(
        &self,
        target: &Target<'_>,
        run: Vec<TableSummary>,
        ceiling: Versionstamp,
    ) -> Catalog {
        let mut catalog = Catalog::empty(target.database);
        if let Some(original) = &self.plan.catalog {
            catalog.past = original.past.clone();
        }
        let newest = self.report.newest;
        for space in [DATA, QUEUE, EXPIRY, META] {
            catalog.past.forgotten.note(space, newest);
        }
        catalog.next_table = target.next_table;
        catalog.levels[LEVELS - 1] = run;
        catalog.flushed = newest;
        catalog.ceiling = newest;
        if ceiling > newest {
            catalog.past.note_lost(newest, ceiling);
            catalog.ceiling = ceiling.next();
        }
        catalog
    }

    fn check(&mut self, disk: Arc<dyn Disk>) -> Result<(), Error> {
        self.tell(SalvagePhase::Check, 0, 0);
        let options = Options {
            access: Access::ReadOnly,
            create: Create::Never,
            workers: Workers::Manual,
            ..self.options.clone()
        };
        let (clock, random) = (Arc::clone(&self.env.clock), Arc::clone(&self.env.random));
        let copy = Engine::open(Environment { disk, clock, random }, options)?;
        self.report.check = copy.check()?;
        copy.close()
    }
}

/// Progress is told once per so many versions.
const PROGRESS_VERSIONS: u64 = 1 << 14;
