//! What the work in the background does to tables and manifest.

use icecore_engine::{Compression, Options, TableOptions};

use super::{
    BEACON, COMPACT_ONCE, FLUSH, PREPARE_SPARE, SWEEP, Script, buffered, delete, delete_range,
    drive, filled, in_flight, layers, long_edit, many, put, put_until, quiet, script,
    short_segments, sync,
};
use crate::history::Op;

pub(super) fn scripts() -> Vec<Script> {
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
        script(
            "beacons",
            quiet(),
            vec![],
            vec![
                sync(vec![put(1, 1, 30)]),
                BEACON,
                buffered(vec![put(2, 2, 30)]),
                BEACON,
                sync(vec![put(3, 3, 30)]),
            ],
        ),
        script(
            "spares are made",
            short_segments(2),
            vec![],
            vec![
                PREPARE_SPARE,
                sync(vec![put(1, 1, 1_500)]),
                PREPARE_SPARE,
                sync(vec![put(2, 2, 1_500)]),
                sync(vec![put(3, 3, 1_500)]),
                Op::Flush,
                sync(vec![put(4, 4, 1_500)]),
            ],
        ),
        script(
            "memtables that wait for their flush",
            Options { memtable_bytes: 1 << 10, frozen_memtables_max: 3, ..short_segments(1) },
            vec![],
            {
                let mut ops = many(5, |n| sync(vec![put(n, filled(n), 700)]));
                ops.extend([FLUSH, buffered(vec![put(1, 9, 700)]), FLUSH, FLUSH]);
                ops
            },
        ),
        // The sweep is written, so that readers see it, but not synced when tables are merged. A power
        // cut takes it back, and by then the clock has gone back, too.
        script(
            "sweeps that are not durable",
            quiet(),
            vec![
                sync(vec![put_until(1, 1, 10), put_until(2, 2, 20), put(3, 3, 20)]),
                Op::Flush,
                sync(vec![put(1, 1, 20), put_until(4, 4, 15), put(3, 4, 20)]),
                Op::Flush,
            ],
            vec![
                Op::Clock(100),
                SWEEP,
                drive(0),
                drive(0),
                COMPACT_ONCE,
                Op::Clock(-95),
                buffered(vec![put_until(1, 4, 10)]),
                Op::Compact,
            ],
        ),
        script(
            "garbage under a snapshot",
            quiet(),
            layers(3),
            vec![
                Op::Snapshot,
                Op::Compact,
                sync(vec![delete(9)]),
                Op::Snapshot,
                Op::Flush,
                Op::Compact,
                Op::CheckSnapshots { keep: 1 },
                COMPACT_ONCE,
                Op::CheckSnapshots { keep: 0 },
                COMPACT_ONCE,
            ],
        ),
        script(
            "checkpoint with commits in flight",
            quiet(),
            layers(1),
            vec![
                in_flight(vec![put(3, 3, 100)]),
                drive(0),
                sync(vec![delete_range(0, 2)]),
                in_flight(vec![put(4, 4, 100)]),
                Op::Checkpoint,
                Op::Compact,
                Op::Poll,
            ],
        ),
    ]
}
