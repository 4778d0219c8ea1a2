use icecore_engine::Durability;

use super::super::batch::{Change, submit};
use super::super::child::wait;
use super::*;

const SEED: u64 = 5;
const LIFE: u64 = 1_000;

fn engine() -> Engine {
    Engine::open_in_memory(Options::default()).unwrap()
}

/// Commits the batch and gives its stamp.
fn commit(engine: &Engine, life: u64, number: u64) -> u64 {
    let changes = Origin { seed: SEED, life }.batch(number);
    wait(submit(engine, &changes, Durability::Sync)).unwrap()
}

fn committed(number: u64, stamp: u64, durable: bool) -> Event {
    Event::Committed { number, stamp, durable, mark: 0 }
}

/// Whether the batch leaves more behind than its number.
fn sets_a_key(life: u64, number: u64) -> bool {
    let last = Origin { seed: SEED, life }.batch(number).pop();
    matches!(last, Some(Change::Set(..) | Change::Grow(_)))
}

/// A store with the batches up to `number`, and a history in which they were acknowledged.
fn store(number: u64) -> (Engine, Chronicle) {
    let (engine, mut chronicle) = (engine(), Chronicle::new(SEED));
    chronicle.note(&Event::Opened { number: 0, life: LIFE }).unwrap();
    for number in 1..=number {
        let stamp = commit(&engine, LIFE, number);
        chronicle.note(&committed(number, stamp, true)).unwrap();
    }
    (engine, chronicle)
}

#[test]
fn a_store_with_all_of_its_batches_holds() {
    let (engine, mut chronicle) = store(300);
    assert_eq!(chronicle.verify(&engine), Ok(300));
    assert_eq!(chronicle.durable(), 300);
    chronicle.note(&Event::Opened { number: 300, life: LIFE + 1 }).unwrap();
    let stamp = commit(&engine, LIFE + 1, 301);
    chronicle.note(&committed(301, stamp, true)).unwrap();
    assert_eq!(chronicle.verify(&engine), Ok(301));
}

#[test]
fn a_durable_batch_that_is_lost_is_noticed() {
    let (_, mut chronicle) = store(20);
    let (shorter, _) = store(19);
    assert!(chronicle.verify(&shorter).unwrap_err().contains("20 must"));
}

#[test]
fn a_buffered_batch_may_be_lost_but_its_stamp_is_not_given_again() {
    let (engine, mut chronicle) = store(19);
    chronicle.note(&committed(20, 1 << 40, false)).unwrap();
    assert_eq!(chronicle.verify(&engine), Ok(19));
    chronicle.note(&Event::Opened { number: 19, life: LIFE + 1 }).unwrap();
    let again = chronicle.note(&committed(20, 1 << 40, false));
    assert!(again.unwrap_err().contains("was shown"));
}

#[test]
fn a_batch_that_nobody_heard_of_may_be_there() {
    let (engine, mut chronicle) = store(20);
    commit(&engine, LIFE, 21);
    assert_eq!(chronicle.verify(&engine), Ok(21));
}

#[test]
fn what_a_recovery_has_shown_must_stay() {
    let (engine, mut chronicle) = store(20);
    chronicle.note(&Event::Opened { number: 22, life: LIFE + 1 }).unwrap();
    assert!(chronicle.verify(&engine).unwrap_err().contains("22 must"));
}

#[test]
fn a_batch_of_another_life_is_noticed() {
    let (engine, mut chronicle) = store(20);
    let other = (LIFE + 1..).find(|life| sets_a_key(*life, 21)).unwrap();
    commit(&engine, other, 21);
    assert!(chronicle.verify(&engine).is_err());
}

#[test]
fn half_a_batch_is_noticed() {
    let number = (20..).find(|number| sets_a_key(LIFE, *number)).unwrap();
    let (engine, mut chronicle) = store(number - 1);
    let changes = Origin { seed: SEED, life: LIFE }.batch(number);
    let (half, _) = changes.split_at(1);
    wait(submit(&engine, half, Durability::Sync)).unwrap();
    assert!(chronicle.verify(&engine).is_err());
}

#[test]
fn an_acknowledgement_after_a_failure_is_noticed() {
    let (_, mut chronicle) = store(3);
    let failed = |kind: &str| Event::Failed { number: 4, kind: kind.into(), error: "x".into() };
    chronicle.note(&failed("OutOfSpace")).unwrap();
    chronicle.note(&committed(4, 1 << 40, true)).unwrap();
    chronicle.note(&failed("Poisoned")).unwrap();
    let after = chronicle.note(&committed(5, 1 << 41, true));
    assert!(after.unwrap_err().contains("after a failure"));
}
