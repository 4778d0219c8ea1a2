//! Every interleaving of readers with a committer that rotates its memtable and a compaction that
//! drops versions, as far as loom explores them. Two models break a rule that the caller owes, to
//! show that the models can tell.
//!
//! The store of the models has one key. A memtable holds one version of it, at stamp 1 or 2, and a
//! view is a list of memtables. A dropped version leaves a hole that no reader may meet.

use std::sync::Arc as StdArc;

use icecore_sync::loom;
use icecore_sync::loom::cell::UnsafeCell;
use icecore_sync::loom::sync::atomic::AtomicBool;
use icecore_sync::loom::thread;

use super::*;

fn model(body: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(body);
}

struct Table {
    /// The stamp of its version; 0 until it is committed.
    stamp: AtomicU64,
    dropped: AtomicBool,
}

impl Table {
    fn new(stamp: u64) -> StdArc<Table> {
        StdArc::new(Table { stamp: AtomicU64::new(stamp), dropped: AtomicBool::new(false) })
    }
}

/// A flag whose every use loom checks for races.
struct Flag(UnsafeCell<bool>);

#[expect(unsafe_code, reason = "loom's cell hands out pointers; it checks each use itself")]
// SAFETY: loom panics at the first access that is not ordered against a conflicting one.
unsafe impl Sync for Flag {}

/// Loom reports when a reader's access to `alive` is not ordered before the drop of the view.
struct View {
    tables: Vec<StdArc<Table>>,
    alive: Flag,
}

impl View {
    fn new(tables: Vec<StdArc<Table>>) -> StdArc<View> {
        StdArc::new(View { tables, alive: Flag(UnsafeCell::new(true)) })
    }

    #[expect(unsafe_code, reason = "loom's cell hands out pointers; it checks each use itself")]
    fn assert_alive(&self) {
        // SAFETY: loom panics before this if another thread may write at the same time.
        self.alive.0.with(|alive| assert!(unsafe { *alive }));
    }
}

#[expect(unsafe_code, reason = "loom's cell hands out pointers; it checks each use itself")]
impl Drop for View {
    fn drop(&mut self) {
        // SAFETY: loom panics before this if another thread may read at the same time.
        self.alive.0.with_mut(|alive| unsafe { *alive = false });
    }
}

struct Store {
    published: Published<View>,
    visible: AtomicU64,
    first: StdArc<Table>,
}

impl Store {
    /// The version at stamp 1 is committed and visible.
    fn new() -> StdArc<Store> {
        let first = Table::new(1);
        StdArc::new(Store {
            published: Published::new(View::new(vec![first.clone()])),
            visible: AtomicU64::new(1),
            first,
        })
    }

    fn visible(&self) -> Versionstamp {
        Versionstamp::new(self.visible.load(Ordering::SeqCst))
    }

    /// Publishes a view with a second memtable, then commits stamp 2 into it.
    fn rotate_and_commit(&self) {
        let second = Table::new(0);
        self.published.publish(View::new(vec![self.first.clone(), second.clone()]));
        second.stamp.store(2, Ordering::Relaxed);
        self.visible.store(2, Ordering::SeqCst);
    }

    /// Drops the version at 1 if the one at 2 is at or below `floor`.
    fn drop_versions_below(&self, floor: Versionstamp) {
        if floor >= Versionstamp::new(2) {
            self.first.dropped.store(true, Ordering::Relaxed);
        }
    }

    fn compact(&self) {
        self.drop_versions_below(self.published.floor(|| self.visible()));
    }

    /// Reads the key twice through one pin.
    fn read(&self) {
        let pin = self.published.pin(|| self.visible());
        for _ in 0..2 {
            pin.assert_alive();
            read_at(&pin, pin.at());
        }
    }

    /// The view is kept alive by an `Arc`, whose counters loom does not follow.
    fn read_held(&self) {
        let (view, held) = self.published.hold(|| self.visible());
        read_at(&view, held.at());
    }
}

/// The newest version at or below `at` must be the one that was committed last at `at`.
fn read_at(view: &View, at: Versionstamp) {
    let stamps = view.tables.iter().map(|table| (table.stamp.load(Ordering::Relaxed), table));
    let newest = stamps.filter(|(stamp, _)| (1..=at.get()).contains(stamp)).max_by_key(|v| v.0);
    let (stamp, table) = newest.expect("the key was there from the start");
    assert_eq!(stamp, at.get(), "a visible commit is missing from the view");
    assert!(!table.dropped.load(Ordering::Relaxed), "a version was dropped under its reader");
}

fn run<const N: usize>(store: &StdArc<Store>, others: [fn(&Store); N], main: fn(&Store)) {
    let handles = others.map(|body| {
        let store = store.clone();
        thread::spawn(move || body(&store))
    });
    main(store);
    for handle in handles {
        handle.join().expect("a thread of the model");
    }
}

#[test]
fn loom_a_reader_against_rotation_commit_and_compaction() {
    model(|| {
        let store = Store::new();
        run(&store, [Store::read, Store::compact], Store::rotate_and_commit);
        store.published.collect();
        assert_eq!(store.published.retired(), 0);
    });
}

#[test]
fn loom_two_readers_against_rotation_and_commit() {
    model(|| {
        let store = Store::new();
        run(&store, [Store::read, Store::read], Store::rotate_and_commit);
        store.published.collect();
        assert_eq!(store.published.retired(), 0);
    });
}

#[test]
fn loom_a_holder_against_rotation_commit_and_compaction() {
    model(|| {
        let store = Store::new();
        run(&store, [Store::read_held, Store::compact], Store::rotate_and_commit);
        store.published.collect();
        assert_eq!(store.published.retired(), 0);
    });
}

#[test]
fn loom_a_slot_used_again_protects_its_next_reader() {
    model(|| {
        let store = Store::new();
        let twice = |store: &Store| {
            store.read();
            store.read();
        };
        run(&store, [twice], |store| {
            store.rotate_and_commit();
            store
                .published
                .publish(View::new(store.published.pin(|| store.visible()).tables.clone()));
            store.compact();
        });
    });
}

#[test]
#[should_panic(expected = "a visible commit is missing from the view")]
fn loom_a_commit_visible_before_its_view_is_noticed() {
    model(|| {
        let store = Store::new();
        run(&store, [Store::read], |store| {
            let second = Table::new(2);
            store.visible.store(2, Ordering::SeqCst);
            store.published.publish(View::new(vec![store.first.clone(), second]));
        });
    });
}

#[test]
#[should_panic(expected = "a version was dropped under its reader")]
fn loom_a_floor_that_scans_before_it_reads_the_visible_stamp_is_noticed() {
    model(|| {
        let store = Store::new();
        let compact = |store: &Store| {
            let readers = store.published.floor(|| Versionstamp::MAX);
            store.drop_versions_below(store.visible().min(readers));
        };
        run(&store, [Store::read, compact], Store::rotate_and_commit);
    });
}
