//! Every interleaving of one inserter and one reader, on the smallest structures that have the
//! step in question: `RUSTFLAGS="--cfg loom" cargo test -p icecore-memtable --release`.

use icecore_model::Effect;
use icecore_sync::fine::AtomicU64;
use icecore_sync::loom;
use icecore_sync::loom::thread;

use super::*;
use crate::arena::CHUNK_BYTES_MIN;

fn put(inserter: &mut Inserter, stamp: u64, keys: &[&[u8]], floor: u64) {
    let mut effects = Vec::new();
    for key in keys {
        let change = Change::Put { value: &stamp.to_le_bytes(), expires_at: None };
        Effect::Point { key, change }.encode(&mut effects);
    }
    let (stamp, floor) = (Versionstamp::new(stamp), Versionstamp::new(floor));
    inserter.apply(stamp, Effects::new(&effects), floor).unwrap();
}

/// How often a thread is interrupted where it need not be, in the one model that is too large to be
/// tried whole. Errors of publication show with two.
const PREEMPTIONS_MAX: usize = 2;

/// Runs `insert` beside `read`. The first is given the visible stamp to advance, the second the
/// visible stamp as it found it.
fn race(
    before: impl Fn(&mut Inserter) + Sync + Send + 'static,
    insert: impl Fn(&mut Inserter, &AtomicU64) + Sync + Send + 'static,
    read: impl Fn(&Memtable, u64) + Sync + Send + Copy + 'static,
) {
    race_within(None, before, insert, read);
}

/// Like [`race`], with so many preemptions at most.
fn race_within(
    preemptions: Option<usize>,
    before: impl Fn(&mut Inserter) + Sync + Send + 'static,
    insert: impl Fn(&mut Inserter, &AtomicU64) + Sync + Send + 'static,
    read: impl Fn(&Memtable, u64) + Sync + Send + Copy + 'static,
) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = preemptions;
    model.check(move || {
        let (memtable, mut inserter) = create(&ArenaPool::new(16 * CHUNK_BYTES_MIN, 0));
        before(&mut inserter);
        let visible = Arc::new(AtomicU64::new(0));
        let reader = thread::spawn({
            let visible = Arc::clone(&visible);
            move || read(&memtable, visible.load(Ordering::Acquire))
        });
        insert(&mut inserter, &visible);
        reader.join().unwrap();
    });
}

fn keys_forward(memtable: &Memtable, at: u64) -> Vec<(Vec<u8>, u64)> {
    let mut cursor = memtable.cursor(Versionstamp::new(at));
    cursor.seek_first();
    collect(&mut cursor, Cursor::next)
}

fn keys_backward(memtable: &Memtable, at: u64) -> Vec<(Vec<u8>, u64)> {
    let mut cursor = memtable.cursor(Versionstamp::new(at));
    cursor.seek_last();
    let mut keys = collect(&mut cursor, Cursor::prev);
    keys.reverse();
    keys
}

fn collect<'a>(
    cursor: &mut Cursor<&'a Memtable>,
    step: fn(&mut Cursor<&'a Memtable>),
) -> Vec<(Vec<u8>, u64)> {
    let mut keys = Vec::new();
    while let Some(entry) = cursor.entry() {
        keys.push((entry.key.to_vec(), entry.stamp.get()));
        step(cursor);
    }
    keys
}

#[test]
fn a_key_is_found_once_its_commit_is_visible() {
    race(
        |_| (),
        |inserter, visible| {
            put(inserter, 1, &[b"a"], 0);
            visible.store(1, Ordering::Release);
            put(inserter, 2, &[b"b"], 0);
        },
        |memtable, at| {
            let hit = memtable.get(b"a", Versionstamp::new(at));
            assert_eq!(hit.map(|hit| hit.stamp().get()), (at == 1).then_some(1));
            assert!(memtable.get(b"b", Versionstamp::new(at)).is_none());
            // Beyond the visible stamp anything may be found, but whole.
            if let Some(hit) = memtable.newest(b"b") {
                assert_eq!(
                    hit.change(),
                    Change::Put { value: &[2, 0, 0, 0, 0, 0, 0, 0], expires_at: None }
                );
            }
        },
    );
}

#[test]
fn a_cursor_sees_exactly_the_visible_keys_forward() {
    race(
        |inserter| put(inserter, 1, &[b"b"], 0),
        |inserter, visible| {
            visible.store(1, Ordering::Release);
            put(inserter, 2, &[b"a"], 0);
            visible.store(2, Ordering::Release);
        },
        |memtable, at| {
            let all = [(b"a".to_vec(), 2), (b"b".to_vec(), 1)];
            let seen = match at {
                0 => &[][..],
                1 => &all[1..],
                _ => &all[..],
            };
            assert_eq!(keys_forward(memtable, at), seen);
        },
    );
}

#[test]
fn a_cursor_sees_exactly_the_visible_keys_backward() {
    race(
        |inserter| put(inserter, 1, &[b"b"], 0),
        |inserter, visible| {
            visible.store(1, Ordering::Release);
            put(inserter, 2, &[b"a", b"c"], 0);
            visible.store(2, Ordering::Release);
        },
        |memtable, at| {
            let all = [(b"a".to_vec(), 2), (b"b".to_vec(), 1), (b"c".to_vec(), 2)];
            let seen = match at {
                0 => &[][..],
                1 => &all[1..2],
                _ => &all[..],
            };
            assert_eq!(keys_backward(memtable, at), seen);
        },
    );
}

#[test]
fn cutting_a_chain_hides_no_version_from_a_reader_at_the_floor() {
    race(
        |inserter| {
            put(inserter, 1, &[b"k"], 0);
            put(inserter, 2, &[b"k"], 0);
        },
        |inserter, visible| {
            visible.store(2, Ordering::Release);
            put(inserter, 3, &[b"k"], 2);
            visible.store(3, Ordering::Release);
        },
        |memtable, at| {
            let at = at.max(2);
            let hit = memtable.get(b"k", Versionstamp::new(at));
            assert_eq!(hit.map(|hit| hit.stamp().get()), Some(at));
        },
    );
}

#[test]
fn splitting_a_page_hides_no_key() {
    // Pages are full with three keys here, so the fourth splits one, and a branch appears.
    race_within(
        Some(PREEMPTIONS_MAX),
        |inserter| put(inserter, 1, &[b"a", b"c", b"e"], 0),
        |inserter, visible| {
            put(inserter, 2, &[b"b"], 0);
            visible.store(2, Ordering::Release);
        },
        |memtable, at| {
            let at = at.max(1);
            let mut cursor = memtable.cursor(Versionstamp::new(at));
            cursor.seek(b"b");
            let next = if at == 2 { b"b" } else { b"c" };
            assert_eq!(cursor.entry().map(|entry| entry.key), Some(&next[..]));
            cursor.seek_before(b"e");
            assert_eq!(cursor.entry().map(|entry| entry.key), Some(&b"c"[..]));
        },
    );
}

#[test]
fn splitting_a_segment_loses_no_key() {
    // Segments are full with three keys here, so the fourth splits one.
    race(
        |inserter| put(inserter, 1, &[b"a", b"b", b"c"], 0),
        |inserter, visible| {
            put(inserter, 2, &[b"d"], 0);
            visible.store(2, Ordering::Release);
        },
        |memtable, at| {
            let at = Versionstamp::new(at.max(1));
            for key in [b"a", b"c"] {
                assert!(memtable.get(key, at).is_some());
            }
            assert_eq!(memtable.get(b"d", at).is_some(), at.get() == 2);
        },
    );
}
