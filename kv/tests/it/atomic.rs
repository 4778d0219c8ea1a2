//! Atomic operations: what they may carry, in which order they take effect, and that nothing of a
//! failed one remains.

use std::time::{Duration, UNIX_EPOCH};

use icecore::{
    Commit, Entry, ErrorKind, Expiry, Kv, Limit, Limits, Mutation, SumRange, Value, Versionstamp,
    key, prefix,
};

use crate::machine::Machine;

fn kv() -> Kv {
    Kv::in_memory().unwrap()
}

/// The text of the error that `atomic` ends in.
fn refused(atomic: icecore::Atomic<'_>) -> String {
    atomic.commit().unwrap_err().text()
}

fn stamp(commit: Commit) -> Versionstamp {
    commit.versionstamp().expect("no check failed")
}

fn v8(hex: &[u8]) -> Value {
    Value::V8(hex.to_vec().into())
}

/// A string of JavaScript.
fn text(text: &str) -> Value {
    let length = u8::try_from(text.len()).unwrap();
    v8(&[&[0xff, 0x0f, b'"', length], text.as_bytes()].concat())
}

#[test]
fn all_checks_see_the_state_before_the_operation() {
    let kv = kv();
    let first = kv.set(key!["a"], 1).unwrap();
    let operation = kv
        .atomic()
        .check_versionstamp(key!["a"], Some(first))
        .set(key!["a"], 2)
        .check_versionstamp(key!["a"], Some(first))
        .check_absent(key!["b"])
        .set(key!["b"], 3);
    assert!(operation.commit().unwrap().versionstamp().is_some());
}

#[test]
fn a_failed_operation_names_every_check_that_failed_and_takes_no_versionstamp() {
    let kv = kv();
    let first = kv.set(key!["a"], 1).unwrap();
    let operation = kv
        .atomic()
        .check_absent(key!["a"])
        .check_versionstamp(key!["a"], Some(first))
        .check_versionstamp(key!["b"], Some(first))
        .set(key!["a"], 2);
    assert_eq!(operation.commit().unwrap(), Commit::CheckFailed { indexes: vec![0, 2] });
    assert_eq!(kv.get(key!["a"]).unwrap().u64().unwrap(), 1);
    let next = kv.set(key!["c"], 1).unwrap();
    assert_eq!(next.get(), first.get() + 1);
}

#[test]
fn a_check_takes_a_versionstamp_in_capitals_and_fails_for_one_that_no_commit_has() {
    let kv = kv();
    let text = loop {
        let text = kv.set(key!["a"], 1).unwrap().to_string();
        if text.contains(|digit: char| digit.is_ascii_lowercase()) {
            break text;
        }
    };
    let check = |expected| kv.atomic().check_versionstamp(key!["a"], Some(expected)).commit();
    assert!(check(text.to_uppercase().parse().unwrap()).unwrap().versionstamp().is_some());
    let failed = Commit::CheckFailed { indexes: vec![0] };
    assert_eq!(check(Versionstamp::MAX).unwrap(), failed);
    let malformed = "0000000000000001FFFF".parse::<Versionstamp>().unwrap_err();
    assert_eq!(icecore::Error::from(malformed).kind(), ErrorKind::InvalidArgument);
}

#[test]
fn an_operation_without_mutations_and_a_delete_of_nothing_take_a_versionstamp() {
    let kv = kv();
    let first = stamp(kv.atomic().commit().unwrap());
    let second = kv.delete(key!["nothing"]).unwrap();
    let third = stamp(kv.atomic().check_absent(key!["nothing"]).commit().unwrap());
    assert!(first < second && second < third);
    assert_ne!(first.to_string(), "00000000000000000000");
}

#[test]
fn mutations_take_effect_in_their_order() {
    let kv = kv();
    kv.set(key!["c"], 100).unwrap();
    kv.set(key!["d"], "kept by nobody").unwrap();
    let operation = kv
        .atomic()
        .set(key!["a"], 1)
        .delete(key!["a"])
        .delete(key!["b"])
        .set(key!["b"], 2)
        .delete(key!["c"])
        .sum(key!["c"], 3)
        .max(key!["c"], 10)
        .min(key!["c"], 7)
        .set(key!["d"], 5)
        .sum(key!["d"], 3);
    let versionstamp = stamp(operation.commit().unwrap());
    let entries = kv.get_many([key!["a"], key!["b"], key!["c"], key!["d"]]).unwrap();
    let numbers = entries.each_ref().map(|entry| entry.u64().ok());
    assert_eq!(numbers, [None, Some(2), Some(7), Some(8)]);
    assert!(entries[1..].iter().all(|entry| entry.versionstamp == Some(versionstamp)));
}

#[test]
fn nothing_of_an_operation_remains_whose_mutation_fails() {
    let kv = kv();
    let first = kv.set(key!["text"], "ada").unwrap();
    let failing = kv.atomic().set(key!["a"], 1).sum(key!["text"], 1).set(key!["b"], 2);
    let error = failing.commit().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TypeMismatch);
    let text = "Failed to perform 'sum' mutation on a non-U64 value in the database";
    assert_eq!(error.text(), text);
    assert_eq!(kv.list(prefix![]).count(), 1, "neither a nor b");
    let next = kv.set(key!["c"], 1).unwrap();
    assert_eq!(next.get(), first.get() + 1, "no versionstamp");
}

#[test]
fn sums_of_u64_wrap_around_and_extremes_keep_one_of_the_two() {
    let kv = kv();
    kv.set(key!["n"], u64::MAX).unwrap();
    stamp(kv.atomic().sum(key!["n"], 3).commit().unwrap());
    assert_eq!(kv.get(key!["n"]).unwrap().u64().unwrap(), 2);
    stamp(kv.atomic().min(key!["new"], 9).max(key!["newer"], 9).commit().unwrap());
    assert_eq!(kv.get(key!["new"]).unwrap().u64().unwrap(), 9);
    assert_eq!(kv.get(key!["newer"]).unwrap().u64().unwrap(), 9);
}

#[test]
fn extremes_take_nothing_but_u64_not_even_on_an_absent_key() {
    let kv = kv();
    let operand = Value::number(1.0);
    let min = Mutation::Min { key: key!["absent"], operand: operand.clone() };
    let max = Mutation::Max { key: key!["absent"], operand };
    let on_operand = |name| format!("Failed to perform '{name}' mutation on a non-U64 operand");
    assert_eq!(refused(kv.atomic().mutate(min)), on_operand("min"));
    assert_eq!(refused(kv.atomic().mutate(max)), on_operand("max"));
    kv.set(key!["text"], "x").unwrap();
    let stored = "Failed to perform 'max' mutation on a non-U64 value in the database";
    assert_eq!(refused(kv.atomic().max(key!["text"], 1)), stored);
}

#[test]
fn javascript_numbers_and_bigints_add_up_each_with_its_kind() {
    let kv = kv();
    let add = |operand: Value| {
        kv.atomic().sum_within(key!["n"], operand, SumRange::default()).commit().map(stamp)
    };
    add(v8(&[0xff, 0x10, b'I', 10])).unwrap();
    add(Value::number(0.5)).unwrap();
    assert_eq!(kv.get(key!["n"]).unwrap().number().unwrap(), 5.5);
    let text = add(Value::bigint(1)).unwrap_err().text();
    assert_eq!(text, "Cannot sum Number with BigInt");
    kv.set(key!["n"], Value::bigint(u128::MAX)).unwrap();
    add(Value::bigint(1)).unwrap();
    let sum = kv.get(key!["n"]).unwrap().value.unwrap().as_bigint().unwrap();
    assert_eq!(sum.to_string(), "340282366920938463463374607431768211456");
    assert_eq!(add(Value::number(1.0)).unwrap_err().text(), "Cannot sum BigInt with Number");
}

#[test]
fn a_stored_u64_takes_a_bigint_that_is_one_and_no_other_number() {
    let kv = kv();
    let add = |operand: Value, range: SumRange| {
        kv.set(key!["n"], 5).unwrap();
        let outcome = kv.atomic().sum_within(key!["n"], operand, range).commit();
        outcome.map(|_| kv.get(key!["n"]).unwrap().u64().unwrap()).map_err(|error| error.text())
    };
    assert_eq!(add(Value::bigint(3), SumRange::default()), Ok(8));
    assert_eq!(add(Value::bigint(u64::MAX), SumRange::default()), Ok(4));
    let bigint = Err("Cannot sum KvU64 with BigInt".to_owned());
    assert_eq!(add(Value::bigint(-1), SumRange::default()), bigint);
    assert_eq!(add(Value::bigint(1u128 << 64), SumRange::default()), bigint);
    let clamp = SumRange { clamp: true, ..SumRange::default() };
    assert_eq!(add(Value::bigint(1), clamp), bigint);
    let bound = Some(Value::bigint(7));
    let least = SumRange { min: bound.clone(), ..SumRange::default() };
    assert_eq!(add(Value::bigint(1), least), bigint, "even where the result is within");
    let most = SumRange { max: bound, ..SumRange::default() };
    assert_eq!(add(Value::bigint(1), most), bigint);
    let number = Err("Cannot sum KvU64 with Number".to_owned());
    assert_eq!(add(Value::number(1.0), SumRange::default()), number);
}

#[test]
fn an_operand_that_is_a_u64_knows_no_range() {
    let kv = kv();
    let bound = Some(Value::number(1.0));
    let range = SumRange { min: bound.clone(), max: bound, clamp: true };
    for expected in [5, 10] {
        stamp(kv.atomic().sum_within(key!["n"], 5, range.clone()).commit().unwrap());
        assert_eq!(kv.get(key!["n"]).unwrap().u64().unwrap(), expected);
    }
}

#[test]
fn sums_of_what_is_no_number_say_which_side_is_wrong() {
    let kv = kv();
    let sum = |operand: Value, range: SumRange| {
        refused(kv.atomic().sum_within(key!["n"], operand, range))
    };
    let parameters = "Some of the parameters are not valid V8 values";
    let bound = |bound: Value| SumRange { min: Some(bound), ..SumRange::default() };
    assert_eq!(sum("bytes".into(), SumRange::default()), parameters);
    assert_eq!(sum(text("a"), SumRange::default()), parameters);
    assert_eq!(sum(v8(b"\x00"), SumRange::default()), parameters);
    assert_eq!(sum(Value::number(1.0), bound(text("a"))), parameters);
    let differ = "Min/max parameters have different types than the operand";
    assert_eq!(sum(Value::number(1.0), bound(Value::bigint(0))), differ);
    for (stored, expected) in [
        (Value::from("bytes"), "unsupported value type"),
        (text("a"), "unsupported value type"),
        (v8(b"\xff"), "invalid v8 value"),
    ] {
        kv.set(key!["n"], stored).unwrap();
        assert_eq!(sum(Value::number(1.0), SumRange::default()), expected);
    }
}

#[test]
fn a_sum_stays_in_its_range_also_on_the_first_write() {
    let kv = kv();
    let add = |number: f64, clamp| {
        let bound = |number| Some(Value::number(number));
        let range = SumRange { min: bound(-1.0), max: bound(10.0), clamp };
        kv.atomic().sum_within(key!["n"], Value::number(number), range).commit().map(stamp)
    };
    let limit = "The result of a Sum operation would exceed its range limit";
    assert_eq!(add(11.0, false).unwrap_err().text(), limit);
    assert!(!kv.get(key!["n"]).unwrap().is_present(), "nothing was written");
    for (number, clamp, expected) in
        [(4.0, false, 4.0), (7.0, true, 10.0), (-90.0, true, -1.0), (0.5, false, -0.5)]
    {
        add(number, clamp).unwrap();
        assert_eq!(kv.get(key!["n"]).unwrap().number().unwrap(), expected);
    }
}

#[test]
fn a_versionstamped_key_ends_in_the_stamp_of_its_commit() {
    let kv = kv();
    let operation = kv
        .atomic()
        .set_versionstamped(key!["log"], "first")
        .set_versionstamped(key!["log"], "last wins")
        .set_versionstamped(key!["other"], 1);
    let versionstamp = stamp(operation.commit().unwrap());
    let entries: Vec<Entry> = kv.list(prefix!["log"]).collect::<Result<_, _>>().unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].key, key!["log", versionstamp.to_string()]);
    assert_eq!(entries[0].str().unwrap(), "last wins");
}

#[test]
fn a_versionstamped_key_that_nobody_could_read_is_refused() {
    let kv = kv();
    let prefix_of = |encoded: usize| key!["x".repeat(encoded - 2)];
    stamp(kv.atomic().set_versionstamped(prefix_of(2048 - 22), 1).commit().unwrap());
    let longer = kv.atomic().set_versionstamped(prefix_of(2048 - 21), 1);
    assert_eq!(refused(longer), "Key too large for write (max 2048 bytes)");
    let key = kv.list(prefix![]).next().unwrap().unwrap().key;
    assert!(kv.get(&key).unwrap().is_present());
    kv.delete(&key).unwrap();
    assert_eq!(kv.list(prefix![]).count(), 0);
}

#[test]
fn ranges_are_deleted_in_order_with_the_other_mutations() {
    let kv = kv();
    for n in 0..10u64 {
        kv.set(key!["a", n], n).unwrap();
    }
    let operation = kv
        .atomic()
        .set(key!["a", 20], 1)
        .delete_prefix(key!["a"])
        .set(key!["a", 3], 33)
        .sum(key!["a", 4], 4)
        .delete_range(key!["a", 3]..key!["a", 3]);
    stamp(operation.commit().unwrap());
    let left: Vec<_> = kv.list(prefix!["a"]).map(|entry| entry.unwrap().u64().unwrap()).collect();
    assert_eq!(left, [33, 4], "the sum saw an absent key, an empty range changes nothing");
    let reversed = kv.atomic().delete_range(key!["z"]..key!["a"]);
    assert_eq!(refused(reversed), "Start key is greater than end key");
}

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

#[test]
fn an_asynchronous_commit_goes_on_when_its_future_is_dropped() {
    let kv = kv();
    drop(kv.atomic().set(key!["a"], 1).commit_async());
    let entry = futures_lite::future::block_on(kv.atomic().check_absent(key!["a"]).commit_async());
    assert_eq!(entry.unwrap(), Commit::CheckFailed { indexes: vec![0] });
    let refused = futures_lite::future::block_on(kv.atomic().set(key![], 1).commit_async());
    assert_eq!(refused.unwrap_err().text(), "key cannot be empty");
}

#[test]
fn versionstamps_go_on_where_they_were_after_reopening() {
    let machine = Machine::at(1_000);
    let before = machine.open().set(key!["a"], 1).unwrap();
    let kv = machine.open();
    assert_eq!(kv.get(key!["a"]).unwrap().versionstamp, Some(before));
    assert!(kv.set(key!["b"], 1).unwrap() > before);
}
