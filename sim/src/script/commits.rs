//! What commits do to the log.

use icecore_engine::Durability;

use super::{
    Script, buffered, commit, delete, delete_range, drive, filled, in_flight, many, put, quiet,
    script, short_segments, stamped, sync,
};
use crate::batch::MutationSpec;
use crate::generate::key;
use crate::history::{CheckPlan, Op};

pub(super) fn scripts() -> Vec<Script> {
    let checked = |n: usize, wait: bool| Op::Commit {
        checks: vec![CheckPlan { key: key(1), right: n != 2 }],
        mutations: vec![put(1, filled(n), 40)],
        durability: Durability::Sync,
        wait,
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
        script("checks that hold and fail", quiet(), vec![], many(4, |n| checked(n, true))),
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
        // As many as there are stamps below the ceiling that the first segment set.
        script(
            "more commits than a segment has stamps",
            short_segments(0),
            many(104, |n| sync(vec![put(n % 20, filled(n), 10)])),
            vec![
                buffered(vec![put(1, 1, 10)]),
                buffered(vec![put(2, 2, 10)]),
                Op::Get(key(2)),
                buffered(vec![put(1, 3, 10)]),
            ],
        ),
        script("versionstamped keys", quiet(), vec![], many(4, |n| sync(vec![stamped(filled(n))]))),
        script(
            "commits that share a write",
            quiet(),
            vec![],
            vec![
                in_flight(vec![put(1, 1, 60)]),
                in_flight(vec![put(2, 2, 60)]),
                in_flight(vec![put(1, 3, 60), delete(2)]),
                in_flight(vec![put(3, 4, 700)]),
                drive(0),
                in_flight(vec![put(4, 5, 60)]),
                drive(1),
                drive(0),
                Op::Poll,
                drive(0),
                Op::Poll,
            ],
        ),
        script(
            "checks of commits in flight",
            quiet(),
            vec![sync(vec![put(1, 1, 40)])],
            vec![
                in_flight(vec![put(1, 2, 40)]),
                checked(3, false),
                checked(2, false),
                drive(0),
                drive(0),
                Op::Poll,
                checked(4, true),
            ],
        ),
        script(
            "counters",
            quiet(),
            vec![],
            many(5, |n| {
                let add = |n| MutationSpec::Update { key: key(n), rule: 0 };
                commit(vec![add(1), add(2 + n % 2)], Durability::Sync, n % 2 == 0)
            }),
        ),
        script(
            "deleted ranges in the log",
            short_segments(0),
            many(4, |n| sync(vec![put(n, filled(n), 700)])),
            vec![
                buffered(vec![delete_range(0, 3)]),
                sync(vec![put(1, 9, 700)]),
                sync(vec![delete_range(1, 9), put(2, 8, 700)]),
                buffered(vec![put(5, 7, 700)]),
                sync(vec![delete_range(0, 19)]),
            ],
        ),
        // As a queue does: a message and its row in one commit, and both gone in another.
        script(
            "messages that are enqueued and finished",
            quiet(),
            vec![sync(vec![put(1, 1, 20)])],
            vec![
                sync(vec![put(1, 2, 20), put(20, 1, 200), put(21, 1, 10)]),
                in_flight(vec![put(22, 2, 200), put(23, 2, 10)]),
                drive(0),
                drive(0),
                Op::Poll,
                sync(vec![delete(20), delete(21), put(2, 3, 20)]),
                Op::Flush,
                sync(vec![delete(22), put(23, 3, 10)]),
            ],
        ),
    ]
}
