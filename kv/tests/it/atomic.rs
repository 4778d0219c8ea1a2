//! Atomic operations: what they may carry, in which order they take effect, and that nothing of a
//! failed one remains.

use icecore::{Commit, Entry, ErrorKind, Kv, Mutation, SumRange, Value, Versionstamp, key, prefix};

use crate::machine::Machine;

pub(crate) fn kv() -> Kv {
    Kv::in_memory().unwrap()
}

/// The text of the error that `atomic` ends in.
pub(crate) fn refused(atomic: icecore::Atomic<'_>) -> String {
    atomic.commit().unwrap_err().text()
}

pub(crate) fn stamp(commit: Commit) -> Versionstamp {
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
