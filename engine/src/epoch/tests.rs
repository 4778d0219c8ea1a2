//! The protocol, single-threaded, with real threads, and as loom models
//! (`RUSTFLAGS="--cfg loom" cargo test -p icecore-engine --release loom`).

use super::*;

#[cfg(loom)]
mod loom_models;

#[cfg(not(loom))]
mod plain {
    use std::sync::Weak;
    use std::sync::atomic::AtomicBool;

    use super::*;

    fn stamp(number: u64) -> Versionstamp {
        Versionstamp::new(number)
    }

    #[test]
    fn a_replaced_view_is_dropped_when_its_last_pin_is_gone() {
        let published = Published::new(Arc::new("old".to_owned()));
        let outer = published.pin(|| stamp(3));
        let inner = published.pin(|| stamp(4));
        let old: Weak<String> = Arc::downgrade(&lock(&published.state).current);
        published.publish(Arc::new("new".to_owned()));
        assert_eq!((outer.as_str(), outer.at()), ("old", stamp(3)));
        assert_eq!(published.pin(|| stamp(5)).as_str(), "new");
        drop(outer);
        published.collect();
        assert_eq!((inner.as_str(), published.retired()), ("old", 1));
        drop(inner);
        assert!(old.upgrade().is_some(), "a reader drops no view");
        published.collect();
        assert!(old.upgrade().is_none());
        assert_eq!(published.retired(), 0);
    }

    #[test]
    fn a_pin_of_the_new_view_does_not_keep_the_old_one() {
        let published = Published::new(Arc::new(1));
        published.publish(Arc::new(2));
        let pin = published.pin(|| stamp(1));
        assert_eq!((*pin, published.retired()), (2, 0));
        published.publish(Arc::new(3));
        assert_eq!((*pin, published.retired()), (2, 1));
    }

    #[test]
    fn a_held_view_is_dropped_by_the_publisher_after_its_holder() {
        let published = Published::new(Arc::new(1));
        let (view, held) = published.hold(|| stamp(7));
        published.publish(Arc::new(2));
        assert_eq!((*view, held.at(), published.retired()), (1, stamp(7), 1));
        drop(view);
        published.collect();
        assert_eq!(published.retired(), 0);
    }

    #[test]
    fn the_floor_is_the_lowest_of_visible_pinned_and_held_stamps() {
        let published = Published::new(Arc::new(()));
        let floor = || published.floor(|| stamp(9)).get();
        assert_eq!(floor(), 9);
        let pin = published.pin(|| stamp(5));
        let (_, first) = published.hold(|| stamp(4));
        let (_, second) = published.hold(|| stamp(4));
        assert_eq!(floor(), 4);
        drop(first);
        assert_eq!(floor(), 4);
        drop(second);
        assert_eq!(floor(), 5);
        drop(pin);
        assert_eq!(floor(), 9);
    }

    #[test]
    fn the_greatest_stamp_does_not_look_like_a_free_slot() {
        let published = Published::new(Arc::new(()));
        let pin = published.pin(|| Versionstamp::MAX);
        assert_eq!(pin.at(), Versionstamp::MAX);
        assert!(published.floor(|| Versionstamp::MAX) < Versionstamp::MAX);
    }

    #[test]
    fn more_pins_than_slots_still_succeed() {
        let published = Published::new(Arc::new(1));
        let pins: Vec<_> = (0..3 * SLOTS as u64).map(|i| published.pin(|| stamp(10 + i))).collect();
        published.publish(Arc::new(2));
        assert!(pins.iter().all(|pin| **pin == 1));
        assert_eq!(published.floor(|| stamp(900)), stamp(10));
        let last = pins.into_iter().next_back();
        assert_eq!(published.floor(|| stamp(900)), stamp(9 + 3 * SLOTS as u64));
        assert_eq!(published.retired(), 1);
        drop(last);
        published.collect();
        assert_eq!(published.retired(), 0);
        assert!(published.slots.iter().all(|s| s.stamp.load(Ordering::SeqCst) == FREE));
    }

    #[test]
    fn a_publication_during_a_pin_gives_the_later_view() {
        let published = Published::new(Arc::new(0));
        let number = AtomicU64::new(0);
        let pin = published.pin(|| {
            published.publish(Arc::new(number.fetch_add(1, Ordering::SeqCst) + 1));
            stamp(1)
        });
        assert_eq!(*pin, 2);
        assert_eq!(published.retired(), 1, "the one replaced between claim and load");
    }

    #[test]
    fn a_panic_while_pinning_frees_the_slot() {
        let published = Published::new(Arc::new(()));
        let calls = AtomicU64::new(0);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            published.pin(|| {
                assert_eq!(calls.fetch_add(1, Ordering::SeqCst), 0);
                stamp(1)
            });
        }));
        assert!(result.is_err());
        assert_eq!(published.floor(|| stamp(8)), stamp(8));
    }

    /// A view of the store's shape: it knows the commits up to a stamp.
    struct View {
        holds_up_to: AtomicU64,
        dropped: AtomicBool,
    }

    impl Drop for View {
        fn drop(&mut self) {
            self.dropped.store(true, Ordering::SeqCst);
        }
    }

    #[test]
    fn readers_in_many_threads_see_every_visible_commit_in_a_living_view() {
        const ROTATIONS: u64 = if cfg!(miri) { 10 } else { 2000 };
        let view = |holds_up_to| {
            let holds_up_to = AtomicU64::new(holds_up_to);
            Arc::new(View { holds_up_to, dropped: AtomicBool::new(false) })
        };
        let first = view(0);
        let published = Published::new(first.clone());
        let visible = AtomicU64::new(0);
        let done = AtomicBool::new(false);
        let load = || stamp(visible.load(Ordering::SeqCst));
        std::thread::scope(|scope| {
            for reader in 0..3 {
                let (published, done) = (&published, &done);
                scope.spawn(move || {
                    while !done.load(Ordering::Relaxed) {
                        let floor = published.floor(load);
                        if reader == 0 {
                            let (view, held) = published.hold(load);
                            assert!(held.at() >= floor);
                            assert!(view.holds_up_to.load(Ordering::SeqCst) >= held.at().get());
                        }
                        let pin = published.pin(load);
                        assert!(pin.at() >= floor);
                        assert!(published.floor(load) <= pin.at());
                        assert!(pin.holds_up_to.load(Ordering::SeqCst) >= pin.at().get());
                        assert!(!pin.dropped.load(Ordering::SeqCst));
                    }
                });
            }
            let mut live = first;
            for number in 1..=ROTATIONS {
                live = view(number - 1);
                published.publish(live.clone());
                live.holds_up_to.store(number, Ordering::SeqCst);
                visible.store(number, Ordering::SeqCst);
            }
            drop(live);
            done.store(true, Ordering::Relaxed);
        });
        published.collect();
        assert_eq!(published.retired(), 0);
    }
}
