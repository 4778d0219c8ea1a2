//! Stores whose content is in the log.

use icecore_engine::{LogOptions, Mutation, Options};

use crate::golden::folder::archive::Files;
use crate::golden::maker::{
    Maker, commit, delete, delete_range, flush, key, logging, set, set_buffered, tiny, value, work,
};

/// Nothing was ever committed.
pub(super) fn empty(maker: &mut Maker) -> Files {
    let engine = maker.open(tiny());
    maker.closed(&engine)
}

pub(super) fn empty_killed(maker: &mut Maker) -> Files {
    let _engine = maker.open(tiny());
    maker.killed()
}

fn a_few(engine: &icecore_engine::Engine) {
    for i in 0..12 {
        let name = format!("{}", i * 5 % 12);
        set(engine, &name, &value(&name, 100 + 40 * i));
    }
    delete(engine, "3");
}

/// One segment with an end.
pub(super) fn closed(maker: &mut Maker) -> Files {
    let engine = maker.open(tiny());
    a_few(&engine);
    maker.closed(&engine)
}

/// One segment without an end. The last commit is proved to be durable by nothing.
pub(super) fn killed(maker: &mut Maker) -> Files {
    let engine = maker.open(tiny());
    a_few(&engine);
    maker.killed()
}

/// Frames that share blocks, with some durable ones among them.
pub(super) fn buffered(maker: &mut Maker) -> Files {
    let engine = maker.open(tiny());
    for i in 0..40 {
        let name = format!("{i}");
        if i % 11 == 0 {
            set(&engine, &name, &value(&name, 50));
        } else {
            set_buffered(&engine, &name, &value(&name, 30 + i));
        }
    }
    maker.killed()
}

/// An idle log, which says that all of it is durable.
pub(super) fn beacon(maker: &mut Maker) -> Files {
    let engine = maker.open(logging());
    for i in 0..10 {
        let name = format!("{i}");
        set_buffered(&engine, &name, &value(&name, 200));
    }
    work(&engine, 100);
    maker.killed()
}

pub(super) fn blocks_of_4096(maker: &mut Maker) -> Files {
    let log = LogOptions { segment_bytes: 64 << 10, block_bytes: 4096, ..LogOptions::default() };
    let engine = maker.open(Options { memtable_bytes: 1 << 20, log, ..tiny() });
    a_few(&engine);
    maker.killed()
}

fn several_segments(engine: &icecore_engine::Engine) {
    for i in 0..36 {
        let name = format!("{:02}", i * 7 % 30);
        set(engine, &name, &value(&format!("{name} {i}"), 100 + 20 * i));
    }
}

pub(super) fn segments(maker: &mut Maker) -> Files {
    let engine = maker.open(logging());
    several_segments(&engine);
    maker.killed()
}

pub(super) fn segments_closed(maker: &mut Maker) -> Files {
    let engine = maker.open(logging());
    several_segments(&engine);
    maker.closed(&engine)
}

/// Files that were segments once: some are in use again, one waits.
pub(super) fn spares(maker: &mut Maker) -> Files {
    let log = LogOptions { spare_segments: 2, ..logging().log };
    let engine = maker.open(Options { log, ..logging() });
    for round in 0..3 {
        for i in 0..20 {
            set(&engine, &format!("{i}"), &value(&format!("{i} of {round}"), 300));
        }
        flush(&engine);
        work(&engine, 100);
    }
    for i in 0..6 {
        set(&engine, &format!("{i} at last"), &value("last", 300));
    }
    maker.killed()
}

/// A log that lost a part of its end in a power cut.
pub(super) fn torn(maker: &mut Maker) -> Files {
    let engine = maker.open(tiny());
    a_few(&engine);
    for i in 0..20 {
        set_buffered(&engine, &format!("maybe {i:02}"), &value("maybe", 250));
    }
    // Some of what was not durable is left, and after that, frames behind a hole.
    maker.cut_power(|entries| 11 < entries && entries < 31);
    maker.disk.snapshot_files()
}

pub(super) fn torn_segments(maker: &mut Maker) -> Files {
    let engine = maker.open(logging());
    several_segments(&engine);
    for i in 0..12 {
        set_buffered(&engine, &format!("maybe {i:02}"), &value("maybe", 300));
    }
    maker.cut_power(|entries| 30 < entries && entries < 42);
    maker.disk.snapshot_files()
}

/// Full memtables that wait to be flushed.
pub(super) fn frozen_memtables(maker: &mut Maker) -> Files {
    let engine = maker.open(tiny());
    for i in 0..36 {
        set(&engine, &format!("{i}"), &value(&format!("{i}"), 1_000));
    }
    let stats = engine.stats().expect("the store is open");
    assert!(stats.frozen_memtables > 0, "{stats:?}");
    maker.killed()
}

/// A commit that needs a segment of its own size, and one of many effects.
pub(super) fn large_commit(maker: &mut Maker) -> Files {
    let engine = maker.open(logging());
    set(&engine, "before", b"v");
    set(&engine, "large", &value("large", 10_000));
    let keys: Vec<_> = (0..100).map(|i| key(&format!("{i}"))).collect();
    let set_each = |key| Mutation::Set { key, value: b"of one commit", expires_at: None };
    let mutations: Vec<_> = keys.iter().map(|key| set_each(key)).collect();
    commit(&engine, &mutations);
    set(&engine, "after", b"v");
    maker.killed()
}

/// Deletions of ranges that no table has seen.
pub(super) fn ranges(maker: &mut Maker) -> Files {
    let engine = maker.open(logging());
    for i in 0..30 {
        set(&engine, &format!("{i:02}"), &value(&format!("{i}"), 60));
    }
    delete_range(&engine, "05", "10");
    delete_range(&engine, "08", "15");
    set(&engine, "09", b"again");
    delete_range(&engine, "20", "21");
    maker.killed()
}
