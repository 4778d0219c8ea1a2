//! No room on the disk, and what is done without it.

use icecore_engine::Options;

use super::{
    Script, buffered, delete, delete_range, filled, layers, many, put, quiet, script,
    short_segments, sync,
};
use crate::history::Op;

pub(super) fn scripts() -> Vec<Script> {
    let with = |mut ops: Vec<Op>, more: Vec<Op>| {
        ops.extend(more);
        ops
    };
    vec![
        script(
            "no room for a segment",
            short_segments(0),
            vec![],
            with(
                vec![sync(vec![put(1, 1, 900)]), Op::Space(Some(2_000))],
                with(
                    many(4, |n| sync(vec![put(n, filled(n), 900)])),
                    vec![Op::Space(None), sync(vec![put(5, 5, 900)])],
                ),
            ),
        ),
        script(
            "no room for a flush",
            quiet(),
            vec![sync(vec![put(1, 1, 900), put(2, 2, 900)])],
            vec![
                buffered(vec![put(3, 3, 900)]),
                Op::Space(Some(1_000)),
                Op::Flush,
                sync(vec![put(4, 4, 100)]),
                Op::Space(None),
                Op::Flush,
                sync(vec![put(5, 5, 100)]),
            ],
        ),
        script(
            "no room for a compaction",
            quiet(),
            layers(3),
            vec![
                Op::Space(Some(600)),
                sync(vec![delete_range(0, 4)]),
                Op::Compact,
                sync(vec![delete(9)]),
                Op::Space(None),
                Op::Compact,
            ],
        ),
        script(
            "room comes back by deletion",
            Options { reserve_bytes: 8 << 10, ..short_segments(0) },
            layers(2),
            vec![
                Op::Space(Some(9_000)),
                buffered(vec![put(1, 9, 900)]),
                buffered(vec![put(2, 9, 900)]),
                sync(vec![delete_range(0, 19)]),
                Op::Compact,
                sync(vec![put(3, 3, 300)]),
            ],
        ),
    ]
}
