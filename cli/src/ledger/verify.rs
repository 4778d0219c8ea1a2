//! What a store must still hold after the process that wrote it was killed.
//!
//! After every kill:
//! - `check` finds nothing wrong;
//! - the sum of all balances is what it was;
//! - every transfer that the last life acknowledged is recorded, with its content and its
//!   versionstamp, and so is a sample of those of the lives before it;
//! - no versionstamp was given again: those of the last life differ from each other, and are above
//!   what readers saw before it.
//!
//! At the end, every transfer that any life acknowledged is recorded, and the balances are exactly what the recorded transfers make of the first ones, so that
//! every transfer took effect as a whole, also those that were never acknowledged.

use std::path::Path;

use icecore::{Kv, Part, Versionstamp, key, prefix};
use icecore_disk::random::SeededRandom;

use super::Args;
use super::accounts::{Accounts, Order};
use super::journal::Acknowledgement;
use crate::failure::Failure;

/// After each kill, so many transfers of earlier lives are looked at. All are at the end.
const SAMPLE: usize = 1000;

/// How the store is opened to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// For reading only, which recovers in memory: the directory stays as the kill has left it,
    /// and the next life has to recover.
    Only,
    /// For writing: this opening recovers, and the next life meets a store that was closed.
    Recover,
}

/// What must not change, and what has been seen.
pub(crate) struct Verifier<'a> {
    args: &'a Args,
    path: &'a Path,
    accounts: Accounts,
    first_life: u64,
    balances_before: Vec<u64>,
    total_before: u64,
    /// The highest stamp that a reader has seen before the last life.
    last_seen: Versionstamp,
    /// By all lives, one life after the other.
    acknowledged: Vec<Acknowledgement>,
    /// Draws the samples.
    random: SeededRandom,
}

impl Verifier<'_> {
    /// Opens the accounts and remembers what is in them.
    pub(crate) fn new<'a>(
        args: &'a Args,
        path: &'a Path,
        seed: u64,
    ) -> Result<Verifier<'a>, Failure> {
        let kv = args.open(path)?;
        let accounts = Accounts::open(&kv, args.accounts)?;
        let verifier = Verifier {
            args,
            path,
            first_life: next_life(&kv)?,
            balances_before: accounts.balances(&kv)?,
            total_before: accounts.total(&kv)?,
            last_seen: kv.stats()?.visible,
            acknowledged: Vec::new(),
            random: SeededRandom::new(seed),
            accounts,
        };
        kv.close()?;
        Ok(verifier)
    }

    /// The first life whose transfers belong to this series.
    pub(crate) fn first_life(&self) -> u64 {
        self.first_life
    }

    /// Verifies what the last life acknowledged, and adds what is wrong to `violations`. A store
    /// that is damaged is not looked at any further.
    pub(crate) fn verify(
        &mut self,
        acknowledged: &[Acknowledgement],
        look: Look,
        violations: &mut Vec<String>,
    ) -> Result<(), Failure> {
        let kv = match look {
            Look::Only => Kv::builder(self.path).read_only(true).create(false).open()?,
            Look::Recover => self.args.open(self.path)?,
        };
        if is_in_order(&kv, violations)? {
            let total = self.accounts.total(&kv)?;
            if total != self.total_before {
                violations.push(format!("the sum was {} and is {total}", self.total_before));
            }
            for one in acknowledged.iter().chain(self.sample()) {
                violations.extend(missing(&kv, one)?);
            }
            violations.extend(repeated(acknowledged, self.last_seen));
            self.last_seen = self.last_seen.max(kv.stats()?.visible);
        }
        self.acknowledged.extend(acknowledged);
        kv.close()?;
        Ok(())
    }

    /// Some of what earlier lives acknowledged; all of it while it is little.
    fn sample(&self) -> impl Iterator<Item = &Acknowledgement> {
        let all = &self.acknowledged;
        let draw = |place| match all.len() {
            ..=SAMPLE => &all[place],
            many => {
                let drawn = self.random.below(many as u64);
                &all[usize::try_from(drawn).expect("it is below a usize")]
            }
        };
        (0..all.len().min(SAMPLE)).map(draw)
    }

    /// Looks for everything that was ever acknowledged, and compares the balances with what the
    /// recorded transfers make of the first ones.
    pub(crate) fn balance_the_books(&self, violations: &mut Vec<String>) -> Result<(), Failure> {
        let kv = self.args.open(self.path)?;
        if is_in_order(&kv, violations)? {
            for one in &self.acknowledged {
                violations.extend(missing(&kv, one)?);
            }
            self.compare_balances(&kv, violations)?;
        }
        kv.close()?;
        Ok(())
    }

    fn compare_balances(&self, kv: &Kv, violations: &mut Vec<String>) -> Result<(), Failure> {
        let mut expected: Vec<i128> = self.balances_before.iter().map(|b| i128::from(*b)).collect();
        for entry in kv.list(key!["transfer", self.first_life]..key!["transfer", u128::MAX]) {
            let entry = entry?;
            let text = String::from_utf8_lossy(entry.bytes()?);
            let order: Option<Order> = text.parse().ok();
            let sides = order.filter(|o| o.from.max(o.to) < expected.len());
            let Some(Order { from, to, amount }) = sides else {
                violations.push(format!("{} records {text:?}, which is no transfer", entry.key));
                continue;
            };
            expected[from] -= i128::from(amount);
            expected[to] += i128::from(amount);
        }
        let balances = self.accounts.balances(kv)?;
        if balances.len() != expected.len() {
            violations.push(format!("{} accounts are left of {}", balances.len(), expected.len()));
        }
        for (account, (expected, found)) in expected.iter().zip(&balances).enumerate() {
            if *expected != i128::from(*found) {
                violations.push(format!("account {account} holds {found} instead of {expected}"));
            }
        }
        Ok(())
    }
}

/// Whether every byte of the store is as it should be.
fn is_in_order(kv: &Kv, violations: &mut Vec<String>) -> Result<bool, Failure> {
    let report = kv.check()?;
    violations.extend(report.problems.iter().map(ToString::to_string));
    Ok(report.is_clean())
}

/// Says which stamps of one life were given before, to others or in the same life.
fn repeated(acknowledged: &[Acknowledgement], last_seen: Versionstamp) -> Vec<String> {
    let mut in_order = acknowledged.to_vec();
    in_order.sort_unstable_by_key(|one| one.versionstamp);
    let seen = in_order.iter().filter(|one| one.versionstamp <= last_seen);
    let twice = in_order.windows(2).filter(|two| two[0].versionstamp == two[1].versionstamp);
    seen.map(|one| format!("{one} has a stamp that was seen before this life"))
        .chain(twice.map(|two| format!("{} and {} have one stamp", two[0], two[1])))
        .collect()
}

/// Says what is wrong with an acknowledged transfer, if anything is.
fn missing(kv: &Kv, one: &Acknowledgement) -> Result<Option<String>, Failure> {
    let entry = kv.get(one.id.key())?;
    if !entry.is_present() {
        return Ok(Some(format!("{one} was acknowledged and is gone")));
    }
    if entry.versionstamp != Some(one.versionstamp) {
        return Ok(Some(format!("{one} is stored with the stamp {:?}", entry.versionstamp)));
    }
    let stored = entry.bytes()?;
    let same = one.order.to_string().as_bytes() == stored;
    Ok((!same).then(|| format!("{one} is stored as {}", stored.escape_ascii())))
}

/// The number after that of the last life that recorded a transfer in this store.
fn next_life(kv: &Kv) -> Result<u64, Failure> {
    let Some(last) = kv.list(prefix!["transfer"]).next_back().transpose()? else { return Ok(1) };
    let parts = last.key.parts().unwrap_or_default();
    match parts.get(1) {
        Some(Part::Int(life)) => u64::try_from(life)
            .map(|life| life + 1)
            .map_err(|_| Failure::problem(format!("{} is not ours", last.key))),
        _ => Err(Failure::problem(format!("{} is not the record of a transfer", last.key))),
    }
}

#[cfg(test)]
mod tests;
