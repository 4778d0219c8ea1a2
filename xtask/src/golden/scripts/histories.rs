//! Stores that have been through something.

use icecore_engine::{Compression, Engine, LogOptions, Options};

use crate::golden::folder::archive::Files;
use crate::golden::maker::{
    Maker, compact, delete, delete_range, flush, set, set_buffered, tiny, value, work,
};

fn some(engine: &Engine, round: usize) {
    for i in 0..20 {
        let name = format!("{:02}", i * 3 % 20);
        set_buffered(engine, &name, &value(&format!("{name} of {round}"), 150));
    }
}

/// Lets `work` be stopped at this operation, counted from its begin, and gives what is left.
fn stopped_in(maker: &mut Maker, operation: u64, work: impl FnOnce(&Maker)) -> Files {
    maker.disk.crash_at(maker.disk.operations() + operation);
    work(maker);
    assert!(!maker.disk.is_running(), "it took fewer operations");
    maker.killed()
}

/// A table that is not listed.
pub(super) fn crash_in_flush(maker: &mut Maker) -> Files {
    let engine = maker.open(tiny());
    some(&engine, 0);
    flush(&engine);
    some(&engine, 1);
    work(&engine, 10);
    stopped_in(maker, 5, |_| drop(engine.flush()))
}

/// Outputs that are not listed beside inputs that still are.
pub(super) fn crash_in_compaction(maker: &mut Maker) -> Files {
    let engine = maker.open(tiny());
    for round in 0..4 {
        some(&engine, round);
        flush(&engine);
    }
    stopped_in(maker, 6, |_| drop(engine.compact()))
}

/// Parts of a recovery beside the log that it read.
pub(super) fn crash_in_recovery(maker: &mut Maker) -> Files {
    let engine = maker.open(tiny());
    some(&engine, 0);
    flush(&engine);
    some(&engine, 1);
    drop(engine);
    maker.kill();
    stopped_in(maker, 9, |maker| drop(Engine::open(maker.environment(), tiny())))
}

fn checkpointed(maker: &mut Maker) -> Engine {
    let engine = maker.open(tiny());
    for round in 0..2 {
        some(&engine, round);
        compact(&engine);
    }
    delete_range(&engine, "05", "08");
    set(&engine, "06", b"in memory");
    engine.checkpoint("copy").expect("nothing is wrong with the machine");
    engine
}

/// A copy that was never opened: it has no log.
pub(super) fn checkpoint(maker: &mut Maker) -> Files {
    drop(checkpointed(maker));
    maker.files_of("copy")
}

/// A copy with tables of the original and of its own.
pub(super) fn checkpoint_lived_on(maker: &mut Maker) -> Files {
    drop(checkpointed(maker));
    let copy = Engine::open(maker.environment_of("copy"), tiny());
    let copy = copy.expect("nothing is wrong with the machine");
    set(&copy, "05", b"of the copy");
    flush(&copy);
    delete(&copy, "19");
    copy.close().expect("nothing is wrong with the machine");
    maker.files_of("copy")
}

/// A manifest of many edits.
pub(super) fn manifest_long(maker: &mut Maker) -> Files {
    let engine = maker.open(tiny());
    for round in 0..24 {
        set(&engine, &format!("{round}"), &value(&format!("{round}"), 40));
        if round % 5 == 4 {
            compact(&engine);
        } else {
            flush(&engine);
        }
    }
    maker.killed()
}

/// A manifest that took the place of one that had grown too long.
pub(super) fn manifest_rolled(maker: &mut Maker) -> Files {
    let engine = maker.open(tiny());
    let number = |maker: &Maker| {
        let files = maker.disk.snapshot_files();
        let is_manifest =
            |name: &icecore_disk::Name| matches!(name, icecore_disk::Name::Manifest(_));
        files.into_iter().map(|(name, _)| name).find(is_manifest)
    };
    let first = number(maker);
    let mut round = 0;
    while number(maker) == first {
        assert!(round < 300, "no edit is long enough");
        // A table tells the manifest its first and its last key.
        for key in ["a", "b"] {
            set_buffered(&engine, &format!("{key}{}", "k".repeat(4_000)), &[b'v'; 4][..round % 4]);
        }
        flush(&engine);
        round += 1;
        if round % 8 == 0 {
            compact(&engine);
        }
    }
    compact(&engine);
    set(&engine, "after", b"v");
    flush(&engine);
    maker.killed()
}

/// Lives under settings that differ in everything that shows on the disk.
pub(super) fn reopened(maker: &mut Maker) -> Files {
    let log = LogOptions { segment_bytes: 8 << 10, block_bytes: 1024, ..LogOptions::default() };
    let mut compressed = Options { log, ..tiny() };
    compressed.table.compression = Compression::Lz4;
    let mut plain = tiny();
    (plain.table.hash_index, plain.table.filter_bits_per_key) = (false, 0);
    plain.table.block_bytes = 128;
    for (life, options) in [tiny(), compressed, plain, tiny()].into_iter().enumerate() {
        let engine = maker.open(options);
        some(&engine, life);
        set(&engine, &format!("life {life}"), &value("life", 500));
        flush(&engine);
        set(&engine, &format!("log {life}"), b"v");
        if life % 2 == 0 {
            maker.closed(&engine);
        }
        drop(engine);
        maker.kill();
    }
    maker.disk.snapshot_files()
}

/// Power cuts took commits that may have been seen.
pub(super) fn stamps_lost(maker: &mut Maker) -> Files {
    for life in 0..4 {
        let engine = maker.open(tiny());
        set(&engine, &format!("{life}"), b"durable");
        for i in 0..10 {
            set_buffered(&engine, &format!("{life} maybe {i}"), &value("maybe", 200));
        }
        // Each life lost one at least.
        maker.cut_power(|entries| entries < 11 * (life + 1) - life);
    }
    let engine = maker.open(tiny());
    set(&engine, "at last", b"v");
    maker.killed()
}

/// A segment as full of commits as it can be: the next stamp needs another.
pub(super) fn stamps_near_ceiling(maker: &mut Maker) -> Files {
    let log = LogOptions { segment_bytes: 2 << 10, ..LogOptions::default() };
    let engine = maker.open(Options { log, memtable_bytes: 1 << 20, ..tiny() });
    for i in 0..75 {
        set_buffered(&engine, &format!("{}", i % 10), b"");
    }
    maker.killed()
}
