//! Reads of what was loaded. Every read knows what it must find, and looks at it.

use crate::compare::Result;
use crate::compare::drive::{Measure, Plan, SAMPLED, drive};
use crate::compare::key::Key;
use crate::compare::random::Random;
use crate::compare::stages::load::number;
use crate::compare::store::Store;
use crate::compare::value;
use crate::compare::zipf::Zipf;

/// How many keys [`many`] reads at once.
const MANY: usize = 10;

/// How many entries [`lists`] reads from a start.
const LISTED: u64 = 100;

/// Which keys are read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Choice<'a> {
    /// All alike.
    Uniform(u64),
    /// A few much more than others.
    Zipfian(&'a Zipf),
}

impl Choice<'_> {
    /// A place.
    pub(super) fn next(&self, random: &mut Random) -> u64 {
        match self {
            Choice::Uniform(keys) => random.below(*keys),
            Choice::Zipfian(zipf) => zipf.item(random),
        }
    }
}

fn plan(threads: usize, seconds: f64) -> Plan {
    Plan { threads, stride: SAMPLED, ..Plan::lasting(seconds) }
}

/// Reads one loaded key, which must be there.
///
/// # Errors
/// Those of the store, and a key or a value that is not what it must be.
pub(super) fn read(store: &dyn Store, number: u64) -> Result<()> {
    let key = Key::of(number);
    if store.get(&key, &mut |_, _, value| value::content(number, value).map(drop))? {
        Ok(())
    } else {
        Err(format!("key {number} is missing").into())
    }
}

/// Point reads.
///
/// # Errors
/// As [`read`].
pub(super) fn gets(
    store: &dyn Store,
    threads: usize,
    seconds: f64,
    seed: u64,
    choice: Choice<'_>,
) -> Result<Measure> {
    drive(plan(threads, seconds), |thread| {
        let mut random = Random::stream(seed, thread as u64);
        move || {
            read(store, number(choice.next(&mut random)))?;
            Ok(1)
        }
    })
}

/// Point reads of keys between those that were loaded.
///
/// # Errors
/// Those of the store, and a key that is there.
pub(super) fn missing(store: &dyn Store, seconds: f64, seed: u64, keys: u64) -> Result<Measure> {
    drive(plan(1, seconds), |_| {
        let mut random = Random::new(seed);
        move || {
            let number = number(random.below(keys)) + 1;
            if store.get(&Key::of(number), &mut |_, _, _| Ok(()))? {
                return Err(format!("key {number} was never set").into());
            }
            Ok(1)
        }
    })
}

/// Reads of ten keys at once. A unit is a key.
///
/// # Errors
/// As [`read`].
pub(super) fn many(store: &dyn Store, seconds: f64, seed: u64, keys: u64) -> Result<Measure> {
    drive(Plan::lasting(seconds), |_| {
        let mut random = Random::new(seed);
        move || {
            let keys = [(); MANY].map(|()| Key::of(number(random.below(keys))));
            let mut places = keys.iter();
            let found = store.get_many(&keys, &mut |_, _, value| {
                let key = places.next().ok_or("more values than keys")?;
                value::content(key.number(), value).map(drop)
            })?;
            if found == MANY { Ok(MANY as u64) } else { Err("a key is missing".into()) }
        }
    })
}

/// Full scans, at least one. A unit is an entry.
///
/// # Errors
/// Those of the store, and a scan that misses an entry or has a wrong one.
pub(super) fn scans(store: &dyn Store, seconds: f64, keys: u64, reverse: bool) -> Result<Measure> {
    drive(Plan::lasting(seconds), |_| {
        move || {
            let mut sum = 0_u64;
            let mut add = |_: &[u8], _, value: &[u8]| {
                sum = sum.wrapping_add(value::owner(value)?);
                Ok(())
            };
            let count = if reverse {
                store.list_reverse(&Key::of(number(keys)), usize::MAX, &mut add)?
            } else {
                store.list(&Key::of(0), usize::MAX, &mut add)?
            };
            // The sum of the numbers of all loaded keys.
            expect(count as u64, keys, sum, keys * (keys - 1))?;
            Ok(keys)
        }
    })
}

/// Lists of a hundred entries.
///
/// # Errors
/// As [`scans`].
pub(super) fn lists(
    store: &dyn Store,
    seconds: f64,
    seed: u64,
    keys: u64,
    reverse: bool,
) -> Result<Measure> {
    let listed = LISTED.min(keys);
    drive(Plan::lasting(seconds), |_| {
        let mut random = Random::new(seed);
        move || {
            let first = random.below(keys - listed + 1);
            let mut sum = 0_u64;
            let mut add = |_: &[u8], _, value: &[u8]| {
                sum = sum.wrapping_add(value::owner(value)?);
                Ok(())
            };
            let limit = usize::try_from(listed)?;
            let count = if reverse {
                store.list_reverse(&Key::of(number(first + listed)), limit, &mut add)?
            } else {
                store.list(&Key::of(number(first)), limit, &mut add)?
            };
            expect(count as u64, listed, sum, listed * (2 * first + listed - 1))?;
            Ok(1)
        }
    })
}

fn expect(count: u64, count_expected: u64, sum: u64, sum_expected: u64) -> Result<()> {
    if (count, sum) == (count_expected, sum_expected) {
        Ok(())
    } else {
        Err(format!("{count} entries instead of {count_expected}, or not the right ones").into())
    }
}
