//! The registry alone: who is found, and what a gate promises.

use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::thread;

use icecore_disk::Random;
use icecore_disk::random::SeededRandom;
use icecore_model::{Change, Effect, Versionstamp};

use super::registry::{Gate, Registry, merged};
use super::{Observer, Touched};
use crate::keyspace::{DATA, EXPIRY};

/// Notes what it is told, in words.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Notes {
    fn taken(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl Observer for Notes {
    fn touched(&self, stamp: Versionstamp, effect: Touched<'_>) {
        self.0.lock().unwrap().push(format!("{} {effect:?}", stamp.get()));
    }

    fn closed(&self) {
        self.0.lock().unwrap().push("closed".to_owned());
    }
}

fn key(digits: &[u8]) -> Vec<u8> {
    [&[DATA], digits].concat()
}

fn tell(registry: &Registry, stamp: u64, effect: Effect<'_>) {
    let mut effects = Vec::new();
    effect.encode(&mut effects);
    registry.tell(Versionstamp::new(stamp), &effects);
}

fn delete(key: &[u8]) -> Effect<'_> {
    Effect::Point { key, change: Change::Delete }
}

#[test]
fn ranges_are_merged_into_disjoint_ones_that_do_not_touch() {
    let range = |start: u8, end: u8| vec![start]..vec![end];
    assert_eq!(merged(vec![range(5, 6), range(1, 3), range(2, 4)]), [range(1, 4), range(5, 6)]);
    assert_eq!(merged(vec![range(3, 4), range(1, 9), range(4, 5)]), [range(1, 9)]);
    assert_eq!(merged(vec![range(2, 3), range(1, 2), range(7, 7), range(9, 8)]), [range(1, 3)]);
}

/// Keys of one or two digits, of which there are few, so that ranges meet.
fn some_key(random: &SeededRandom) -> Vec<u8> {
    let dice = random.next_u64().unwrap();
    let [first, second, both, ..] = dice.to_le_bytes();
    let digits = [first % 6, second % 3];
    key(&digits[..if both % 2 == 0 { 1 } else { 2 }])
}

fn some_range(random: &SeededRandom) -> Range<Vec<u8>> {
    let (a, b) = (some_key(random), some_key(random));
    if random.next_u64().unwrap().is_multiple_of(3) {
        let end = [&a[..], &[0]].concat();
        return a..end;
    }
    if a < b { a..b } else { b..a }
}

/// An observation's identity, its ranges, and what it was told.
type Observing = (u64, Vec<Range<Vec<u8>>>, Arc<Notes>);

#[test]
fn whoever_observes_a_touched_key_is_told_once_and_nobody_else() {
    let random = SeededRandom::new(7);
    let registry = Registry::default();
    let mut observing: Vec<Observing> = Vec::new();
    for round in 0..3_000 {
        let dice = random.next_u64().unwrap();
        if dice.is_multiple_of(4) && !observing.is_empty() {
            let any = usize::try_from(round).unwrap() % observing.len();
            let (id, ranges, _) = observing.swap_remove(any);
            registry.remove(id, &merged(ranges));
        } else if observing.len() < 12 {
            let ranges: Vec<_> = (0..1 + dice % 3).map(|_| some_range(&random)).collect();
            let notes = Arc::new(Notes::default());
            let id = registry.insert(&merged(ranges.clone()), Gate::new(notes.clone())).unwrap();
            observing.push((id, ranges, notes));
        }
        let (at, range) = (some_key(&random), some_range(&random));
        let by_range = dice.is_multiple_of(2) && range.start < range.end;
        let effect = match by_range {
            true => Effect::DeleteRange { start: &range.start, end: &range.end },
            false => delete(&at),
        };
        tell(&registry, round, effect);
        for (_, ranges, notes) in &observing {
            let touched = ranges.iter().filter(|r| r.start < r.end).any(|r| match by_range {
                true => r.start < range.end && range.start < r.end,
                false => r.contains(&at),
            });
            let told = notes.taken();
            assert_eq!(told.len(), usize::from(touched), "{effect:?} on {ranges:?}: {told:?}");
        }
    }
    for (id, ranges, _) in observing {
        registry.remove(id, &merged(ranges));
    }
    assert!(registry.is_bare(), "what nobody observes leaves nothing behind");
}

#[test]
fn the_engines_own_keys_are_told_to_nobody() {
    let registry = Registry::default();
    let notes = Arc::new(Notes::default());
    registry.insert(&[vec![0]..vec![0xff]], Gate::new(notes.clone())).unwrap();
    tell(&registry, 1, delete(&[EXPIRY, 1]));
    assert_eq!(notes.taken(), [""; 0]);
    tell(&registry, 2, delete(&[DATA, 1]));
    assert_eq!(notes.taken(), ["2 Deleted { key: [16, 1] }"]);
}

#[test]
fn closing_tells_everybody_once_and_nobody_registers_after_it() {
    let registry = Registry::default();
    let notes = Arc::new(Notes::default());
    registry.insert(&[], Gate::new(notes.clone())).unwrap();
    registry.close().unwrap();
    registry.close().unwrap();
    assert_eq!(notes.taken(), ["closed"]);
    assert!(registry.insert(&[], Gate::new(notes)).is_none());
}

/// Shuts its own gate while it is called.
#[derive(Default)]
struct Leaves {
    gate: Mutex<Option<Arc<Gate>>>,
    calls: Mutex<u32>,
}

impl Observer for Leaves {
    fn touched(&self, _: Versionstamp, _: Touched<'_>) {
        *self.calls.lock().unwrap() += 1;
        let gate = self.gate.lock().unwrap().take();
        gate.unwrap().shut();
    }

    fn closed(&self) {
        panic!("it left before");
    }
}

#[test]
fn an_observer_may_leave_while_it_is_called() {
    let registry = Registry::default();
    let leaves = Arc::new(Leaves::default());
    let gate = Gate::new(leaves.clone());
    *leaves.gate.lock().unwrap() = Some(gate.clone());
    registry.insert(&[key(b"a")..key(b"b")], gate).unwrap();
    for stamp in 1..3 {
        tell(&registry, stamp, delete(&key(b"a")));
    }
    registry.close().unwrap();
    assert_eq!(*leaves.calls.lock().unwrap(), 1);
    assert_eq!(Arc::strong_count(&leaves), 1, "the registry let go of it");
}

#[test]
fn a_gate_opens_again_after_a_panic() {
    struct Panics;
    impl Observer for Panics {
        fn touched(&self, _: Versionstamp, _: Touched<'_>) {
            panic!("as it was to do");
        }
        fn closed(&self) {}
    }
    let registry = Registry::default();
    let gate = Gate::new(Arc::new(Panics));
    registry.insert(&[key(b"a")..key(b"b")], Arc::clone(&gate)).unwrap();
    thread::scope(|scope| {
        let told = scope.spawn(|| tell(&registry, 1, delete(&key(b"a"))));
        assert!(told.join().is_err());
    });
    gate.shut();
}
