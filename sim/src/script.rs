//! Scripted workloads: short, each with one thing to show, for crashes at every point.

use icecore_engine::worker::STEP_KINDS;
use icecore_engine::{
    Compression, Durability, LogOptions, Options, ReadMode, TableOptions, Workers,
};

use crate::batch::MutationSpec;
use crate::generate::key;
use crate::history::{CheckPlan, Fate, Op, Revival};
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

fn filled(n: usize) -> u8 {
    u8::try_from(n % 251).expect("it is below 251")
}

fn script(name: &'static str, options: Options, prelude: Vec<Op>, ops: Vec<Op>) -> Script {
    Script { name, options, prelude, ops }
}

/// All scripts.
pub fn all() -> Vec<Script> {
    let mut scripts = commits();
    scripts.extend(maintenance());
    scripts.extend(lives());
    scripts
}

/// What commits do to the log.
fn commits() -> Vec<Script> {
    let checked = |n: usize| Op::Commit {
        checks: vec![CheckPlan { key: key(1), right: n != 2 }],
        mutations: vec![put(1, filled(n), 40)],
        durability: Durability::Sync,
        wait: true,
    };
    vec![
        script(
            "commits one by one",
            quiet(),
            vec![],
            many(4, |n| sync(vec![put(n, filled(n), 30)])),
        ),
        script(
            "buffered commits below a durable one",
            quiet(),
            vec![],
            vec![
                buffered(vec![put(1, 1, 30)]),
                buffered(vec![put(2, 2, 700)]),
                sync(vec![put(3, 3, 30)]),
                buffered(vec![put(1, 4, 30)]),
            ],
        ),
        script(
            "commits of several mutations",
            quiet(),
            vec![sync(vec![put(5, 9, 10)])],
            vec![
                sync(vec![put(1, 1, 10), put(2, 1, 900), delete(5), stamped(1)]),
                sync(vec![delete_range(0, 4), put(2, 2, 10)]),
                sync(vec![MutationSpec::Update { key: key(2), rule: 0 }, put(3, 3, 10)]),
            ],
        ),
        script("checks that hold and fail", quiet(), vec![], many(4, checked)),
        script(
            "a group in flight",
            quiet(),
            vec![],
            vec![
                in_flight(vec![put(1, 1, 400)]),
                in_flight(vec![put(2, 2, 400)]),
                in_flight(vec![put(1, 3, 400)]),
                drive(0),
                drive(0),
                Op::Poll,
                sync(vec![put(4, 4, 10)]),
            ],
        ),
        script(
            "writes that complete out of order",
            quiet(),
            vec![],
            vec![
                in_flight(vec![put(1, 1, 600)]),
                drive(0),
                in_flight(vec![put(2, 2, 600)]),
                drive(1),
                in_flight(vec![put(3, 3, 600)]),
                drive(2),
                drive(2),
                drive(1),
                Op::Poll,
                drive(0),
                Op::Poll,
            ],
        ),
        script(
            "buffered commits in flight",
            quiet(),
            vec![],
            vec![
                commit(vec![put(1, 1, 100)], Durability::Buffered, false),
                drive(0),
                commit(vec![put(2, 2, 100)], Durability::Buffered, false),
                in_flight(vec![put(3, 3, 100)]),
                drive(0),
                drive(0),
                drive(0),
                Op::Poll,
                buffered(vec![put(4, 4, 10)]),
            ],
        ),
        script(
            "large values",
            quiet(),
            vec![],
            vec![
                sync(vec![put(1, 1, 9_000)]),
                buffered(vec![put(2, 2, 5_000)]),
                sync(vec![put(1, 3, 40)]),
            ],
        ),
        script(
            "a value larger than a segment",
            short_segments(0),
            vec![],
            vec![
                sync(vec![put(1, 1, 20)]),
                sync(vec![put(2, 2, 9_000)]),
                sync(vec![put(1, 3, 20)]),
            ],
        ),
        script(
            "rotation",
            short_segments(0),
            vec![],
            many(6, |n| sync(vec![put(n, filled(n), 800)])),
        ),
        script(
            "rotation into spares",
            short_segments(2),
            vec![Op::Quiesce],
            many(6, |n| buffered(vec![put(n, filled(n), 800)])),
        ),
        script("recycled segments", short_segments(1), many(7, |n| sync(vec![put(n, 7, 900)])), {
            let mut ops = vec![Op::Flush];
            ops.extend(many(6, |n| sync(vec![put(n, filled(n), 900)])));
            ops
        }),
        script("versionstamped keys", quiet(), vec![], many(4, |n| sync(vec![stamped(filled(n))]))),
    ]
}

/// What the work in the background does to tables and manifest.
fn maintenance() -> Vec<Script> {
    let lz4 = TableOptions { compression: Compression::Lz4, ..quiet().table };
    let expiring = vec![
        sync(vec![put_until(1, 1, 10), put_until(2, 2, 20), put_until(3, 3, 5_000)]),
        Op::Flush,
        sync(vec![put_until(4, 4, 15), put(1, 5, 10)]),
    ];
    vec![
        script(
            "flush",
            quiet(),
            vec![],
            vec![
                sync(vec![put(1, 1, 300), put(2, 2, 300)]),
                buffered(vec![put(1, 3, 30)]),
                Op::Flush,
                sync(vec![delete(2)]),
                Op::Flush,
            ],
        ),
        script(
            "flush with commits in flight",
            quiet(),
            vec![],
            vec![
                sync(vec![put(1, 1, 300)]),
                in_flight(vec![put(2, 2, 300)]),
                drive(0),
                in_flight(vec![put(3, 3, 300)]),
                Op::Flush,
                Op::Poll,
            ],
        ),
        script("memtables that fill", Options { memtable_bytes: 1 << 10, ..quiet() }, vec![], {
            many(6, |n| sync(vec![put(n % 3, filled(n), 400)]))
        }),
        script("compaction", quiet(), layers(3), vec![Op::Compact, sync(vec![put(1, 1, 10)])]),
        script("compaction of compressed tables", Options { table: lz4, ..quiet() }, layers(4), {
            vec![Op::Step(2), Op::Step(2), Op::Step(2), buffered(vec![put(3, 1, 10)])]
        }),
        script(
            "compaction under a snapshot",
            quiet(),
            layers(2),
            vec![
                Op::Snapshot,
                sync(vec![put(9, 77, 50), delete(1)]),
                Op::Flush,
                Op::Compact,
                Op::CheckSnapshots { keep: 0 },
                Op::Step(2),
            ],
        ),
        script("tables that move", Options { level0_tables: 1, ..quiet() }, vec![], {
            let mut ops = many(3, |n| buffered(vec![put(n * 4, filled(n), 300)]));
            ops.insert(1, Op::Flush);
            ops.insert(3, Op::Flush);
            ops.extend([Op::Flush, Op::Compact]);
            ops
        }),
        script(
            "deleted ranges",
            quiet(),
            layers(2),
            vec![
                sync(vec![delete_range(0, 9)]),
                Op::Flush,
                sync(vec![put(2, 5, 20)]),
                Op::Compact,
                sync(vec![delete_range(0, 19)]),
                Op::Compact,
            ],
        ),
        script(
            "everything is deleted",
            quiet(),
            layers(2),
            vec![sync((0..4).map(delete).chain([delete(9)]).collect()), Op::Compact],
        ),
        script(
            "expiry",
            quiet(),
            expiring,
            vec![
                Op::Clock(100),
                Op::Step(3),
                Op::Compact,
                Op::Clock(-90),
                sync(vec![put_until(6, 6, 50)]),
                Op::Step(3),
            ],
        ),
        script("manifest edits", Options { level0_tables: 4, ..short_segments(0) }, vec![], {
            let one = |n: usize| [sync(vec![put(n, filled(n), 1_500)]), Op::Flush];
            (0..4).flat_map(one).collect()
        }),
        // When the edit fails, it may be on the disk all the same, while the step behind it removes
        // what is not needed: that must not be the table which the edit lists.
        script(
            "garbage after an edit",
            quiet(),
            vec![],
            vec![
                sync(vec![put(1, 1, 300)]),
                Op::Flush,
                in_flight(vec![put(2, 2, 300)]),
                drive(0),
                Op::Poll,
            ],
        ),
        script(
            "an edit after another",
            quiet(),
            layers(2),
            vec![
                sync(vec![put(1, 1, 300)]),
                Op::Flush,
                in_flight(vec![put(2, 2, 300)]),
                drive(0),
                Op::Compact,
                buffered(vec![put(3, 3, 300)]),
                Op::Flush,
            ],
        ),
        // Long keys make long edits, which fill a manifest up to the size at which it is replaced.
        script(
            "a manifest is replaced",
            Options { level0_tables: 100, ..quiet() },
            (0..31).flat_map(long_edit).collect(),
            (31..34).flat_map(long_edit).collect(),
        ),
        script(
            "checkpoint",
            quiet(),
            layers(2),
            vec![
                sync(vec![put(3, 3, 100)]),
                Op::Checkpoint,
                sync(vec![put(3, 4, 100)]),
                Op::Checkpoint,
            ],
        ),
    ]
}

/// From one life to the next.
fn lives() -> Vec<Script> {
    let killed = |options: Option<Options>| {
        let options = options.map(Box::new);
        Op::Stop(Revival { options, ..Revival::plain(Fate::Kill) })
    };
    let other = Options {
        read_mode: ReadMode::Read,
        memtable_bytes: 1 << 10,
        level0_tables: 1,
        log: LogOptions {
            segment_bytes: 8 << 10,
            block_bytes: 4096,
            writes_in_flight: 1,
            spare_segments: 1,
        },
        ..quiet()
    };
    let some = vec![sync(vec![put(1, 1, 300)]), buffered(vec![put(2, 2, 3_000), stamped(1)])];
    let with = |mut ops: Vec<Op>, more: Vec<Op>| {
        ops.extend(more);
        ops
    };
    vec![
        script(
            "close",
            quiet(),
            vec![],
            with(
                some.clone(),
                vec![reopen(true, None), sync(vec![put(1, 3, 10)]), reopen(true, None)],
            ),
        ),
        script(
            "dropped without close",
            quiet(),
            vec![],
            with(some.clone(), vec![reopen(false, None), buffered(vec![put(1, 3, 10)])]),
        ),
        script(
            "after a kill",
            quiet(),
            with(some.clone(), vec![killed(None)]),
            vec![sync(vec![put(1, 3, 10)]), Op::Flush, sync(vec![delete(1)])],
        ),
        script(
            "other settings",
            quiet(),
            some.clone(),
            vec![
                reopen(true, Some(other.clone())),
                sync(vec![put(1, 3, 900)]),
                sync(vec![put(2, 4, 900)]),
                reopen(false, Some(short_segments(2))),
                sync(vec![put(3, 5, 900)]),
            ],
        ),
        script(
            "a long log is recovered",
            short_segments(0),
            {
                with(many(8, |n| buffered(vec![put(n, filled(n), 900)])), vec![killed(Some(other))])
            },
            vec![sync(vec![put(3, 9, 10)]), Op::Compact],
        ),
    ]
}
