//! Scripted workloads: short, each with one thing to show, for crashes at every point.
//!
//! - `commits`: what commits do to the log.
//! - `maintenance`: what the work in the background does to tables and manifest.
//! - `lives`: from one life to the next.
//! - `shortage`: no room, and what is done without it.

mod commits;
mod lives;
mod maintenance;
mod shortage;

use icecore_engine::worker::STEP_KINDS;
use icecore_engine::{Durability, LogOptions, Options, TableOptions, Workers};

use crate::batch::MutationSpec;
use crate::generate::key;
use crate::history::Op;
use crate::model::Value;
use crate::world::CLOCK_START_MS;

/// A workload.
#[derive(Clone, Debug)]
pub struct Script {
    /// What it shows.
    pub name: &'static str,
    /// The settings of the store.
    pub options: Options,
    /// What comes before; the machine does not stop there.
    pub prelude: Vec<Op>,
    /// What the machine stops in.
    pub ops: Vec<Op>,
}

/// A small store in which nothing happens unless it is asked for.
pub(crate) fn quiet() -> Options {
    Options {
        workers: Workers::Manual,
        memtable_bytes: 64 << 10,
        frozen_memtables_max: 2,
        log: LogOptions {
            segment_bytes: 32 << 10,
            block_bytes: 512,
            writes_in_flight: 3,
            spare_segments: 0,
        },
        table: TableOptions { block_bytes: 256, ..TableOptions::default() },
        table_bytes: 1 << 10,
        level0_tables: 2,
        level_base_bytes: 2 << 10,
        level_multiplier: 2,
        cache_bytes: 64 << 10,
        reserve_bytes: 0,
        ..Options::default()
    }
}

/// Segments of a few blocks, so that a few commits fill one.
fn short_segments(spare_segments: usize) -> Options {
    let log = LogOptions { segment_bytes: 4 << 10, spare_segments, ..quiet().log };
    Options { log, ..quiet() }
}

fn put(n: usize, fill: u8, bytes: usize) -> MutationSpec {
    MutationSpec::Set { key: key(n), value: Value { bytes: vec![fill; bytes], expires_at: None } }
}

fn put_until(n: usize, fill: u8, ms: u64) -> MutationSpec {
    let expires_at = Some(CLOCK_START_MS + ms);
    MutationSpec::Set { key: key(n), value: Value { bytes: vec![fill; 20], expires_at } }
}

fn delete(n: usize) -> MutationSpec {
    MutationSpec::Delete { key: key(n) }
}

fn delete_range(from: usize, to: usize) -> MutationSpec {
    MutationSpec::DeleteRange { start: key(from), end: key(to) }
}

fn stamped(fill: u8) -> MutationSpec {
    let value = Value { bytes: vec![fill; 30], expires_at: None };
    MutationSpec::SetVersionstamped { prefix: vec![0x10, b'v'], value }
}

fn commit(mutations: Vec<MutationSpec>, durability: Durability, wait: bool) -> Op {
    Op::Commit { checks: Vec::new(), mutations, durability, wait }
}

fn sync(mutations: Vec<MutationSpec>) -> Op {
    commit(mutations, Durability::Sync, true)
}

fn buffered(mutations: Vec<MutationSpec>) -> Op {
    commit(mutations, Durability::Buffered, true)
}

fn in_flight(mutations: Vec<MutationSpec>) -> Op {
    commit(mutations, Durability::Sync, false)
}

fn reopen(close: bool, options: Option<Options>) -> Op {
    Op::Reopen { close, look_first: true, failure: None, options: options.map(Box::new) }
}

/// A step that begins with the log.
fn drive(choice: u64) -> Op {
    Op::Step(choice * STEP_KINDS)
}

/// Steps that begin with another kind of work than the log's.
const FLUSH: Op = Op::Step(1);
const COMPACT_ONCE: Op = Op::Step(2);
const SWEEP: Op = Op::Step(3);
const PREPARE_SPARE: Op = Op::Step(4);
const BEACON: Op = Op::Step(5);

/// A flush whose edit of the manifest takes eight kilobytes: the first and the last key of a table.
fn long_edit(n: usize) -> [Op; 2] {
    let mut name = vec![0x10, b'l', filled(n)];
    name.resize(4_000, b'.');
    let value = Value { bytes: vec![filled(n); 20], expires_at: None };
    [sync(vec![MutationSpec::Set { key: name, value }]), Op::Flush]
}

/// Commits that fill level 0 with `tables` tables that overlap.
fn layers(tables: usize) -> Vec<Op> {
    let layer = |n: usize| {
        let fill = u8::try_from(n).expect("there are few layers");
        [buffered(vec![put(n, fill, 300), put(n + 1, fill, 300), put(9, fill, 50)]), Op::Flush]
    };
    (0..tables).flat_map(layer).collect()
}

fn many(n: usize, op: impl Fn(usize) -> Op) -> Vec<Op> {
    (0..n).map(op).collect()
}

/// What a value is filled with: never zeros, which look like nothing at all.
fn filled(n: usize) -> u8 {
    u8::try_from(n % 250 + 1).expect("it is at most 250")
}

fn script(name: &'static str, options: Options, prelude: Vec<Op>, ops: Vec<Op>) -> Script {
    Script { name, options, prelude, ops }
}

/// All scripts.
pub fn all() -> Vec<Script> {
    let parts = [commits::scripts(), maintenance::scripts(), lives::scripts(), shortage::scripts()];
    parts.into_iter().flatten().collect()
}
