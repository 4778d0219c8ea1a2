//! Expiry: when a value ceases to be, and that nothing brings it back.

use std::time::{Duration, UNIX_EPOCH};

use icecore::{Commit, Expiry, key, prefix};

use crate::atomic::{kv, stamp};
use crate::machine::Machine;

#[test]
fn touching_keeps_the_value_and_changes_its_expiry_and_versionstamp() {
    let machine = Machine::at(1_000);
    let kv = machine.open();
    let first = kv.set(key!["a"], "value").unwrap();
    let expiry = Some(Expiry::In(Duration::from_millis(500)));
    let touched = kv.atomic().touch(key!["a"], expiry).touch(key!["absent"], expiry);
    let second = stamp(touched.commit().unwrap());
    let entry = kv.get(key!["a"]).unwrap();
    assert!(second > first);
    assert_eq!(entry.versionstamp, Some(second));
    assert_eq!(entry.str().unwrap(), "value");
    assert_eq!(entry.expires_at(), Some(UNIX_EPOCH + Duration::from_millis(1_500)));
    assert!(!kv.get(key!["absent"]).unwrap().is_present());
    stamp(kv.atomic().touch(key!["a"], None).commit().unwrap());
    machine.clock.advance_ms(10_000);
    assert_eq!(kv.get(key!["a"]).unwrap().expires_at(), None);
    assert!(kv.get(key!["a"]).unwrap().is_present());
}

#[test]
fn an_expired_value_is_absent_from_reads_lists_checks_and_sums_alike() {
    let machine = Machine::at(1_000);
    let kv = machine.open();
    kv.set_expiring(key!["a"], 5, Duration::from_millis(100)).unwrap();
    machine.clock.advance_ms(99);
    assert_eq!(kv.get(key!["a"]).unwrap().u64().unwrap(), 5);
    let checked = kv.atomic().check_absent(key!["a"]).commit().unwrap();
    assert_eq!(checked, Commit::CheckFailed { indexes: vec![0] });
    machine.clock.advance_ms(1);
    assert!(!kv.get(key!["a"]).unwrap().is_present());
    assert_eq!(kv.list(prefix![]).count(), 0);
    stamp(kv.atomic().check_absent(key!["a"]).sum(key!["a"], 3).commit().unwrap());
    assert_eq!(kv.get(key!["a"]).unwrap().u64().unwrap(), 3);
}

#[test]
fn sums_extremes_and_a_plain_set_end_an_expiry() {
    let machine = Machine::at(1_000);
    let kv = machine.open();
    for name in ["set", "sum", "min", "max"] {
        kv.set_expiring(key![name], 5, Duration::from_millis(100)).unwrap();
    }
    let operation =
        kv.atomic().set(key!["set"], 1).sum(key!["sum"], 1).min(key!["min"], 9).max(key!["max"], 1);
    stamp(operation.commit().unwrap());
    machine.clock.advance_ms(1_000);
    assert_eq!(kv.list(prefix![]).count(), 4);
}

#[test]
fn a_clock_that_steps_back_resurrects_nothing_that_was_seen_to_be_gone() {
    let machine = Machine::at(10_000);
    let kv = machine.open();
    kv.set_expiring(key!["a"], 5, Duration::from_millis(100)).unwrap();
    machine.clock.advance_ms(100);
    assert!(!kv.get(key!["a"]).unwrap().is_present());
    machine.clock.set_wall_ms(5_000);
    assert!(!kv.get(key!["a"]).unwrap().is_present());
}

#[test]
fn equal_expiries_of_one_operation_are_over_together() {
    let machine = Machine::at(1_000);
    let kv = machine.open();
    let (wait, end) = (Duration::from_millis(100), UNIX_EPOCH + Duration::from_millis(1_100));
    let operation = kv
        .atomic()
        .set_expiring(key!["a"], 1, wait)
        .set_expiring(key!["b"], 2, end)
        .set(key!["c"], 3)
        .touch(key!["c"], Some(Expiry::In(wait)));
    stamp(operation.commit().unwrap());
    let present = || {
        let entries = kv.get_many([key!["a"], key!["b"], key!["c"]]).unwrap();
        assert_eq!(kv.count(..).unwrap(), entries.iter().filter(|e| e.is_present()).count() as u64);
        entries.map(|entry| entry.is_present())
    };
    machine.clock.advance_ms(99);
    assert_eq!(present(), [true; 3]);
    let before = kv.snapshot().unwrap();
    machine.clock.advance_ms(1);
    assert_eq!(present(), [false; 3]);
    assert_eq!(before.count(..).unwrap(), 3, "a snapshot stays as it is");
}

#[test]
fn a_lower_expiry_never_outlives_a_higher_one() {
    let machine = Machine::at(1_000);
    let mut kv = machine.open();
    for n in 0..30u64 {
        kv.set_expiring(key![n], n, Duration::from_millis(1 + n * 37 % 50)).unwrap();
    }
    let mut gone = 0;
    for step in 0..60u64 {
        // What was seen to be gone stays gone, also when the clock goes back.
        match step % 7 {
            6 => machine.clock.set_wall_ms(1_000 + step - 5),
            _ => machine.clock.set_wall_ms(1_000 + step),
        }
        if step % 20 == 19 {
            kv.close().unwrap();
            kv = machine.open();
        }
        let left: Vec<u64> = kv.list(..).map(|entry| entry.unwrap().u64().unwrap()).collect();
        let expiry = |n: &u64| 1 + n * 37 % 50;
        let first_left = left.iter().map(expiry).min().unwrap_or(u64::MAX);
        let last_gone = (0..30).filter(|n| !left.contains(n)).map(|n| expiry(&n)).max();
        assert!(last_gone.unwrap_or(0) < first_left, "step {step}: {left:?}");
        assert!(last_gone.unwrap_or(0) >= gone, "step {step}");
        gone = last_gone.unwrap_or(0);
    }
    assert_eq!(kv.count(..).unwrap(), 0);
}

#[test]
fn an_expiry_is_never_before_its_time_not_even_by_less_than_a_millisecond() {
    let machine = Machine::at(1_000);
    let kv = machine.open();
    kv.set_expiring(key!["a"], 1, Duration::from_micros(900)).unwrap();
    let moment = UNIX_EPOCH + Duration::from_nanos(1_000_000_001);
    kv.set_expiring(key!["b"], 1, moment).unwrap();
    assert_eq!(kv.count(..).unwrap(), 2);
    let expires_at = kv.get(key!["a"]).unwrap().expires_at();
    assert_eq!(expires_at, Some(UNIX_EPOCH + Duration::from_millis(1_001)));
    machine.clock.advance_ms(1);
    assert_eq!(kv.count(..).unwrap(), 0);
}

#[test]
fn an_expiry_of_zero_or_of_the_past_is_over_at_once_and_one_beyond_all_times_is_refused() {
    let kv = kv();
    kv.set(key!["a"], 1).unwrap();
    kv.set_expiring(key!["a"], 2, Duration::ZERO).unwrap();
    assert!(!kv.get(key!["a"]).unwrap().is_present());
    kv.set_expiring(key!["a"], 3, UNIX_EPOCH).unwrap();
    assert!(!kv.get(key!["a"]).unwrap().is_present());
    let never = Duration::from_millis(9_007_199_254_740_991);
    let text = kv.set_expiring(key!["a"], 4, never).unwrap_err().text();
    assert_eq!(text, "Invalid mutation: expireIn is too large: 9007199254740991");
}
