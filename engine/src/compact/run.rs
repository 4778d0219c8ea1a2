//! Carrying out a compaction.
//!
//! The outputs are synced, then the directory, then the manifest edit that exchanges inputs for
//! outputs; only after that do the inputs become garbage. A crash before the edit leaves outputs
//! that nobody lists: they are deleted when the store is opened.

use std::collections::BTreeSet;
use std::sync::Arc;

use icecore_model::{Planted, RangeSet, Versionstamp, planted};
use icecore_sstable::{Table, TableId, TableSummary};
use icecore_sync::lock;

use super::garbage::{Expired, Garbage, surviving_ranges};
use super::output::Output;
use super::pick::{Horizon, Job, Kind, Shape, TableMeta, pick};
use crate::core::Core;
use crate::error::Error;
use crate::levels::TableHandle;
use crate::manifest::{Edit, Forgotten};
use crate::merge::MergeVersions;
use crate::source::Versions;
use crate::view::View;

impl Core {
    /// What the sweeper has noted as expired, once its note is durable: a power cut that takes the
    /// note back must not find that a compaction has already acted on it.
    pub(crate) fn expired_before(&self) -> Option<Expired> {
        let durable = self.log.as_ref().map_or(self.recovered, icecore_wal::Log::durable_stamp);
        let trusted = planted(Planted::UndurableSweepTrusted);
        let mark = self.watermark().filter(|mark| mark.stamp <= durable || trusted)?;
        Some(Expired { moment: mark.moment, stamp: mark.stamp })
    }

    pub(crate) fn shape(&self) -> Shape {
        Shape {
            level0_tables: self.options.level0_tables,
            level_base_bytes: self.options.level_base_bytes,
            level_multiplier: self.options.level_multiplier,
        }
    }

    /// Does the next compaction. Says whether there was one.
    pub(crate) fn compact_once(&self) -> Result<bool, Error> {
        let _compacting = lock(&self.compacting);
        // Asked under the lock: after `close` has had it, no compaction begins.
        self.check_open()?;
        self.log()?;
        let horizon = Horizon { floor: self.floor(), expired: self.expired_before() };
        let view = {
            let state = self.state.lock();
            state.check_poison()?;
            Arc::clone(&state.view)
        };
        let Some(job) = pick(&metas(&view), &self.shape(), &horizon, &BTreeSet::new()) else {
            self.state.lock().compaction_failure = None;
            return Ok(false);
        };
        let done = match job.kind {
            Kind::Move => self.move_table(&view, &job),
            Kind::Merge => self.merge_tables(&view, &job, &horizon),
        };
        let mut state = self.state.lock();
        state.compaction_failure = done.as_ref().err().cloned();
        self.state.announce(&mut state);
        drop(state);
        self.settle_poison();
        done.map(|()| true)
    }

    /// Compacts until nothing is left to gain.
    pub(crate) fn compact_until_quiet(&self) -> Result<(), Error> {
        loop {
            let compacted = self.compact_once();
            self.collect_garbage();
            if !compacted? {
                return Ok(());
            }
        }
    }

    fn move_table(&self, view: &View, job: &Job) -> Result<(), Error> {
        let added = inputs(view, job).map(|(_, table)| (job.output_level, table.summary().clone()));
        let edit = Edit { added: added.collect(), removed: job.inputs.clone(), ..Edit::default() };
        let mut state = self.state.lock();
        let frozen = state.view.frozen.clone();
        self.install(&mut state, edit, frozen)?;
        self.counters.moved();
        Ok(())
    }

    fn merge_tables(&self, view: &View, job: &Job, horizon: &Horizon) -> Result<(), Error> {
        let database = self.state.lock().catalog.database;
        let mut next_id = || TableId { database, number: self.state.lock().take_table_number() };
        let mut output = Output {
            disk: &*self.env.disk,
            options: &self.options.table,
            table_bytes: self.options.table_bytes,
            next_id: &mut next_id,
            begun: Vec::new(),
        };
        let written = self.write_merged(view, job, horizon, &mut output);
        let begun = output.begun;
        let merged = written
            .and_then(|(tables, forgotten)| self.install_merged(view, job, tables, forgotten));
        merged.inspect_err(|_| self.state.lock().abandon(begun))
    }

    /// Exchanges the inputs of `job` for `tables`, which lack the deletions in `forgotten`.
    fn install_merged(
        &self,
        view: &View,
        job: &Job,
        tables: Vec<TableSummary>,
        forgotten: Forgotten,
    ) -> Result<(), Error> {
        self.env.disk.sync_dir().map_err(|e| Error::io(self.env.disk.label(), "sync", e))?;
        let read = inputs(view, job).map(|(_, table)| table.summary().bytes).sum();
        let written = tables.iter().map(|table| table.bytes).sum();
        let retired: Vec<_> = inputs(view, job).map(|(_, table)| Arc::clone(table)).collect();
        if planted(Planted::InputsRemovedEarly) {
            let name = |table: &Arc<TableHandle>| icecore_disk::Name::Table(table.summary().number);
            retired.iter().for_each(|table| drop(self.env.disk.remove(name(table))));
        }
        let added = tables.into_iter().map(|table| (job.output_level, table)).collect();
        let edit = Edit { added, removed: job.inputs.clone(), forgotten, ..Edit::default() };
        let mut state = self.state.lock();
        let frozen = state.view.frozen.clone();
        self.install(&mut state, edit, frozen)?;
        state.retire(retired);
        drop(state);
        self.counters.compacted(read, written);
        Ok(())
    }

    fn write_merged(
        &self,
        view: &View,
        job: &Job,
        horizon: &Horizon,
        output: &mut Output<'_>,
    ) -> Result<(Vec<TableSummary>, Forgotten), Error> {
        let (sources, ranges) = self.open_inputs(view, job)?;
        let below = below(view, job);
        let bottommost = |key: &[u8]| !below.iter().any(|table| table.covers(key));
        let nothing_below = |start: &[u8], end: &[u8]| {
            let end = std::ops::Bound::Excluded(end);
            !below.iter().any(|table| table.summary().overlaps(start, end))
        };
        let (survivors, mut forgotten) = surviving_ranges(&ranges, horizon.floor, nothing_below);
        let mut garbage = Garbage::new(horizon.floor, horizon.expired, &ranges, bottommost);
        let merge = MergeVersions::new(sources)?;
        let tables = output.write(merge, Versionstamp::MAX, &mut garbage, survivors)?;
        forgotten.merge(&garbage.forgotten());
        Ok((tables, forgotten))
    }

    /// The versions of the inputs, and all their range tombstones.
    fn open_inputs(&self, view: &View, job: &Job) -> Result<(Vec<Versions>, RangeSet), Error> {
        let mut sources = Vec::new();
        let mut runs: Vec<(usize, Vec<Arc<Table>>)> = Vec::new();
        let mut tombstones = Vec::new();
        for (level, handle) in inputs(view, job) {
            let table = handle.table(&self.access)?;
            tombstones.extend(table.ranges().clipped(None, None));
            match runs.last_mut() {
                _ if level == 0 => sources.push(Versions::Table(table.versions())),
                Some((open, run)) if *open == level => run.push(Arc::clone(table)),
                _ => runs.push((level, vec![Arc::clone(table)])),
            }
        }
        sources.extend(runs.into_iter().map(|(_, run)| Versions::run(run)));
        Ok((sources, RangeSet::new(tombstones)))
    }
}

/// The inputs of a job with their levels, in the order of the view.
fn inputs<'v>(view: &'v View, job: &'v Job) -> impl Iterator<Item = (usize, &'v Arc<TableHandle>)> {
    let is_input = |level, number| job.inputs.contains(&(level, number));
    view.levels.tables().filter(move |(level, table)| is_input(*level, table.summary().number))
}

/// The tables that may hold something older than the inputs: those of the levels below the output.
/// Whatever overlaps an input in the output level or in level 0 is an input, or newer.
fn below<'v>(view: &'v View, job: &'v Job) -> Vec<&'v Arc<TableHandle>> {
    view.levels
        .tables()
        .filter(|(level, _)| *level > job.output_level)
        .map(|(_, table)| table)
        .collect()
}

/// What the choice of the next job needs to know of the tables.
fn metas(view: &View) -> Vec<Vec<TableMeta>> {
    (0..crate::manifest::catalog::LEVELS)
        .map(|level| view.levels.level(level).iter().map(|table| meta(table)).collect())
        .collect()
}

fn meta(handle: &TableHandle) -> TableMeta {
    let table = handle.summary();
    let (start, end) = table.bounds();
    TableMeta {
        number: table.number,
        bytes: table.bytes,
        start: start.to_vec(),
        end: end.map(<[u8]>::to_vec),
        entries: table.entries,
        tombstones: table.tombstones,
        range_tombstones: table.range_tombstones,
        never_expires: table.never_expires,
        expiry: table.min_expiry.zip(table.max_expiry),
        max_stamp: table.max_stamp,
    }
}
