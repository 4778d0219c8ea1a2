//! Counters that many threads change at once without ever meeting a conflict.
//!
//! Sums, minima and maxima are computed by the store at the moment of the commit. Nobody reads
//! first, so there is nothing to check and nothing to try again. There are two kinds of numbers:
//! `u64`, which wraps around, and the numbers and bigints of JavaScript, which can be kept in a
//! range.
//!
//! ```text
//! cargo run -p icecore --example counter
//! ```

use std::thread;

use icecore::{Error, ErrorKind, Int, Key, Kv, SumRange, Value, key};

const THREADS: u64 = 4;
const VISITS: u64 = 250;

/// Notes a visit that took so many milliseconds.
fn visit(kv: &Kv, ms: u64) -> Result<(), Error> {
    kv.atomic()
        .sum(key!["visits"], 1)
        .sum(key!["ms"], ms)
        .min(key!["quickest"], ms)
        .max(key!["slowest"], ms)
        .commit_buffered()
        .map(drop)
}

fn count_visits(kv: &Kv) -> Result<(), Error> {
    thread::scope(|scope| {
        let work = |thread: u64| {
            (0..VISITS).try_for_each(|number| visit(kv, 5 + (thread * VISITS + number) % 90))
        };
        let threads: Vec<_> =
            (0..THREADS).map(|thread| scope.spawn(move || work(thread))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("it does not panic"))
    })?;
    let names = [key!["visits"], key!["ms"], key!["quickest"], key!["slowest"]];
    let [visits, ms, quickest, slowest] = kv.get_many(names)?;
    assert_eq!(visits.u64()?, THREADS * VISITS);
    assert_eq!((quickest.u64()?, slowest.u64()?), (5, 94));
    println!("{} visits, {} ms on average", visits.u64()?, ms.u64()? / visits.u64()?);
    Ok(())
}

/// Adds to a number. There is no check that could fail, so there is no outcome to look at.
fn add(kv: &Kv, key: &Key, operand: impl Into<Value>, range: &SumRange) -> Result<(), Error> {
    kv.atomic().sum_within(key, operand, range.clone()).commit().map(drop)
}

/// A `u64` wraps around, so the way to subtract is to add the difference to 2^64.
fn count_down(kv: &Kv) -> Result<(), Error> {
    kv.set(key!["left"], 10)?;
    add(kv, &key!["left"], 3_u64.wrapping_neg(), &SumRange::default())?;
    assert_eq!(kv.get(key!["left"])?.u64()?, 7);
    Ok(())
}

/// Numbers of JavaScript stay in the range that the sum names, or fail if they would leave it.
fn keep_in_range(kv: &Kv) -> Result<(), Error> {
    let level =
        SumRange { min: Some(Value::number(0.0)), max: Some(Value::number(1.0)), clamp: true };
    for step in [0.75, 0.75, -0.25] {
        add(kv, &key!["level"], Value::number(step), &level)?;
    }
    assert_eq!(kv.get(key!["level"])?.number()?, 0.75, "0.75, then the bound, then 0.25 less");

    let stock = SumRange { min: Some(Value::bigint(0)), ..SumRange::default() };
    let take = |items: i64| add(kv, &key!["stock"], Value::bigint(items), &stock);
    take(5)?;
    take(-3)?;
    let error = take(-3).expect_err("there are two left");
    assert_eq!(error.text(), "The result of a Sum operation would exceed its range limit");
    let left = kv.get(key!["stock"])?.value.and_then(|value| value.as_bigint());
    assert_eq!(left, Some(Int::from(2)), "what fails changes nothing");
    Ok(())
}

fn main() -> Result<(), Error> {
    let kv = Kv::in_memory()?;
    count_visits(&kv)?;
    count_down(&kv)?;
    keep_in_range(&kv)?;

    kv.set(key!["name"], "ada")?;
    let error = kv.atomic().sum(key!["name"], 1).commit().expect_err("it holds text");
    assert_eq!(error.kind(), ErrorKind::TypeMismatch);
    Ok(())
}

#[test]
fn no_count_is_lost() -> Result<(), Error> {
    main()
}
