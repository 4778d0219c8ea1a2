//! Limits: what one operation may carry, and which of several faults is told.

use std::time::Duration;

use icecore::{ErrorKind, Kv, Limit, Limits, key};

use crate::atomic::{kv, refused, stamp};

#[test]
fn empty_keys_are_refused_by_checks_and_mutations() {
    let kv = kv();
    let text = "key cannot be empty";
    assert_eq!(refused(kv.atomic().check_absent(key![])), text);
    assert_eq!(refused(kv.atomic().set(key![], 1)), text);
    assert_eq!(refused(kv.atomic().set_versionstamped(key![], 1)), text);
    assert_eq!(kv.delete(key![]).unwrap_err().text(), text);
    assert!(!kv.get(key![]).unwrap().is_present());
}

/// A key whose encoding has this length.
fn key_of(bytes: usize, number: usize) -> icecore::Key {
    let digits = format!("{number:08}");
    key![format!("{digits}{}", "k".repeat(bytes - digits.len() - 2))]
}

#[test]
fn keys_and_values_are_limited_in_their_length() {
    let kv = kv();
    kv.set(key_of(2048, 0), 1).unwrap();
    let write = "Key too large for write (max 2048 bytes)";
    assert_eq!(kv.set(key_of(2049, 0), 1).unwrap_err().text(), write);
    assert_eq!(kv.delete(key_of(2049, 0)).unwrap_err().text(), write);
    assert_eq!(refused(kv.atomic().check_absent(key_of(2049, 0))), write);
    kv.set(key!["v"], vec![0; 65_536]).unwrap();
    let error = kv.set(key!["v"], vec![0; 65_537]).unwrap_err();
    assert_eq!(error.text(), "Value too large (max 65536 bytes)");
    let limit = ErrorKind::LimitExceeded { limit: Limit::ValueBytes, max: 65_536, got: 65_537 };
    assert_eq!(error.kind(), limit);
    let many = kv.get(key_of(2049, 0)).unwrap_err();
    assert_eq!(many.text(), "Key too large for read (max 2049 bytes)");
}

#[test]
fn checks_and_mutations_are_limited_in_their_number() {
    let kv = kv();
    let checks = |n: u64| (0..n).fold(kv.atomic(), |atomic, n| atomic.check_absent(key![n]));
    stamp(checks(100).commit().unwrap());
    assert_eq!(refused(checks(101)), "Too many checks (max 100)");
    let sets = |n: u64| (0..n).fold(kv.atomic(), |atomic, n| atomic.set(key![n], n));
    stamp(sets(1_000).commit().unwrap());
    assert_eq!(refused(sets(1_001)), "Too many mutations (max 1000)");
}

#[test]
fn the_manual_s_limits_count_every_key_and_value_once() {
    let kv = kv();
    let values = |n: usize, last: usize| {
        let sizes = (0..n).map(|_| 65_000).chain([last]);
        sizes.enumerate().fold(kv.atomic(), |atomic, (number, bytes)| {
            atomic.set(key_of(10, number), vec![0; bytes])
        })
    };
    let rest = 819_200 - 12 * 65_000 - 13 * 10;
    stamp(values(12, rest).commit().unwrap());
    let error = values(12, rest + 1).commit().unwrap_err();
    assert_eq!(error.text(), "Total mutation size too large (max 819200 bytes)");
    assert!(error.to_string().ends_with(": 819201 bytes"), "{error}");

    let keys = |sets: usize, deletes: usize, last: usize| {
        let atomic = (0..sets).fold(kv.atomic(), |a, n| a.set(key_of(2048, n), 1));
        let atomic = (0..deletes).fold(atomic, |a, n| a.delete(key_of(2048, sets + n)));
        atomic.check_absent(key_of(last, 99))
    };
    stamp(keys(30, 14, 2048).commit().unwrap());
    let error = keys(30, 15, 10).commit().unwrap_err();
    assert_eq!(error.text(), "Total key size too large (max 92160 bytes)");
}

#[test]
fn the_runtime_s_limits_count_as_deno_does() {
    let kv = Kv::builder_in_memory().limits(Limits::deno()).open().unwrap();
    let sets = |n: usize| (0..n).fold(kv.atomic(), |a, n| a.set(key_of(2048, n), 1));
    stamp(sets(40).commit().unwrap());
    assert_eq!(refused(sets(41)), "Total key size too large (max 81920 bytes)");
    let deletes = |n: usize| (0..n).fold(kv.atomic(), |a, n| a.delete(key_of(2048, n)));
    stamp(deletes(400).commit().unwrap());
    assert_eq!(refused(deletes(401)), "Total mutation size too large (max 819200 bytes)");
}

#[test]
fn the_runtime_s_limits_count_keys_with_values_twice_and_checks_only_in_the_whole() {
    let kv = Kv::builder_in_memory().limits(Limits::deno()).open().unwrap();
    let checks = (0..100).fold(kv.atomic(), |a, n| a.check_absent(key_of(2048, n)));
    stamp(checks.commit().unwrap());

    // Twelve values of 65,000 bytes, a u64, a check and the rest, each with a key of ten bytes.
    let operation = |rest: usize| {
        let values = (0..12).fold(kv.atomic(), |a, n| a.set(key_of(10, n), vec![0; 65_000]));
        let values = values.sum(key_of(10, 12), 1).set(key_of(10, 13), vec![0; rest]);
        values.check_absent(key_of(10, 14))
    };
    let rest = 819_200 - 12 * (65_000 + 20) - (8 + 20) - 20 - 10;
    stamp(operation(rest).commit().unwrap());
    let error = operation(rest + 1).commit().unwrap_err();
    assert_eq!(error.text(), "Total mutation size too large (max 819200 bytes)");
    assert!(error.to_string().ends_with(": 819201 bytes"), "{error}");
}

#[test]
fn without_limits_keys_and_values_go_to_the_bounds_of_the_formats() {
    let kv = Kv::builder_in_memory().limits(Limits::none()).open().unwrap();
    assert_eq!(*kv.limits(), Limits::none());
    let max_of = |error: icecore::Error| match error.kind() {
        ErrorKind::LimitExceeded { max, .. } => usize::try_from(max).unwrap(),
        kind => panic!("{kind:?}"),
    };
    let key_max = max_of(kv.set(key_of(20_000, 0), 1).unwrap_err());
    assert!((16_000..=16 << 10).contains(&key_max), "{key_max}");
    assert_eq!(max_of(kv.set(key_of(key_max + 1, 0), 1).unwrap_err()), key_max);
    kv.set_expiring(key_of(key_max, 0), 1, Duration::from_secs(3_600)).unwrap();

    let too_large = vec![0; (64 << 20) + 1];
    let value_max = max_of(kv.set(key!["v"], too_large.clone()).unwrap_err());
    assert!((63 << 20..=64 << 20).contains(&value_max), "{value_max}");
    assert_eq!(max_of(kv.set(key!["v"], &too_large[..=value_max]).unwrap_err()), value_max);
    kv.set(key!["v"], &too_large[..value_max]).unwrap();
    kv.flush().unwrap();
    assert_eq!(kv.get(key_of(key_max, 0)).unwrap().u64().unwrap(), 1);
    assert_eq!(kv.get(key!["v"]).unwrap().bytes().unwrap().len(), value_max);
}

#[test]
fn the_first_fault_in_deno_s_order_is_told() {
    let kv = kv();
    let checks = (0..101u64).fold(kv.atomic(), |atomic, n| atomic.check_absent(key![n]));
    let sets = (0..1_001u64).fold(checks, |atomic, n| atomic.set(key![n], n));
    assert_eq!(refused(sets), "Too many checks (max 100)");
    let atomic = kv.atomic().set(key![], 1).set(key_of(2049, 0), 1);
    assert_eq!(refused(atomic), "key cannot be empty");
    let atomic = kv.atomic().set(key!["v"], vec![0; 65_537]).delete(key_of(2049, 0));
    assert_eq!(refused(atomic), "Key too large for write (max 2048 bytes)");
}
