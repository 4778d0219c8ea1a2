//! From one life to the next.

use icecore_engine::{LogOptions, Options, ReadMode};

use super::{
    Script, buffered, delete, filled, in_flight, layers, many, put, quiet, reopen, script,
    short_segments, stamped, sync,
};
use crate::history::{Fate, Op, Revival};

pub(super) fn scripts() -> Vec<Script> {
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
        script(
            "closed twice, with tables",
            quiet(),
            layers(2),
            vec![
                Op::Snapshot,
                in_flight(vec![put(1, 9, 300)]),
                reopen(true, None),
                reopen(true, None),
                Op::Compact,
                reopen(true, None),
            ],
        ),
        script(
            "somebody else wants the store",
            quiet(),
            some.clone(),
            vec![
                Op::Rival { anew: false },
                sync(vec![put(3, 3, 30)]),
                Op::Rival { anew: true },
                sync(vec![put(4, 4, 30)]),
                reopen(true, None),
            ],
        ),
        script(
            "many memtables are recovered",
            Options { memtable_bytes: 1 << 10, ..quiet() },
            with(
                many(3, |n| sync(vec![put(n, filled(n), 900), put(9, filled(n), 300)])),
                vec![killed(None)],
            ),
            vec![
                sync(vec![put(9, 77, 300)]),
                reopen(false, None),
                sync(vec![delete(9)]),
                Op::Flush,
            ],
        ),
    ]
}
