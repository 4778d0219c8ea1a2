//! Transfers between accounts: two reads of one moment, two checks, two sets. Nothing is lost and
//! nothing is made: the total at the end says whether the checks were honest.

use crate::compare::Result;
use crate::compare::drive::{Measure, Plan, drive};
use crate::compare::key::Key;
use crate::compare::model::Model;
use crate::compare::random::Random;
use crate::compare::store::{Change, Stamp, Store};
use crate::compare::value::{self, VALUE_BYTES};

/// So many accounts.
const ACCOUNTS: u64 = 1000;

/// What each begins with.
const BALANCE: u64 = 1000;

/// Makes transfers on several threads, and compares the total afterwards. Only those that were
/// committed count.
///
/// # Errors
/// Those of the store, and a total that has changed.
pub(super) fn run(store: &dyn Store, plan: Plan, seed: u64) -> Result<Measure> {
    let model = Model::empty(ACCOUNTS);
    let accounts: Vec<_> = (0..ACCOUNTS).map(|number| account(number, BALANCE)).collect();
    store.commit(Change::setting(&accounts))?;
    (0..ACCOUNTS).for_each(|number| model.forget(number));
    let measure = drive(plan, |thread| {
        let mut random = Random::stream(seed, thread as u64);
        move || {
            let from = random.below(ACCOUNTS);
            let to = (from + 1 + random.below(ACCOUNTS - 1)) % ACCOUNTS;
            while !transfer(store, from, to)? {}
            Ok(1)
        }
    })?;
    let total = model.compare(store)?;
    if total == ACCOUNTS * BALANCE {
        Ok(measure)
    } else {
        Err(format!("the total is {total} instead of {}", ACCOUNTS * BALANCE).into())
    }
}

fn account(number: u64, balance: u64) -> (Key, Vec<u8>) {
    let (key, mut value) = (Key::of(number), Vec::new());
    value::write(&mut value, &key, balance, VALUE_BYTES);
    (key, value)
}

/// Moves one unit, if there is one. `false` if somebody was faster.
fn transfer(store: &dyn Store, from: u64, to: u64) -> Result<bool> {
    let keys = [Key::of(from), Key::of(to)];
    let mut read: Vec<(Stamp, u64)> = Vec::with_capacity(2);
    store.get_many(&keys, &mut |key, stamp, value| {
        read.push((stamp, value::content(Key::number_of(key)?, value)?));
        Ok(())
    })?;
    let [(from_stamp, from_balance), (to_stamp, to_balance)] = read[..] else {
        return Err("an account is missing".into());
    };
    let moved = from_balance.min(1);
    let checks = [(keys[0], Some(from_stamp)), (keys[1], Some(to_stamp))];
    let sets = [account(from, from_balance - moved), account(to, to_balance + moved)];
    store.commit(Change { checks: &checks, sets: &sets, deletes: &[] })
}
