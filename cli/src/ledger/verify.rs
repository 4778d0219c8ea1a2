//! What a store must still hold after the process that wrote it was killed.
//!
//! After every kill:
//! - `check` finds nothing wrong;
//! - the sum of all balances is what it was;
//! - every acknowledged transfer is recorded, with its content and its versionstamp;
//! - no versionstamp was given again: all of this life are above what readers saw before it.
//!
//! At the end, the balances are exactly what the recorded transfers make of the first ones, so that
//! every transfer took effect as a whole, also those that were never acknowledged.

use std::path::Path;

use icecore::{Kv, Part, Versionstamp, key, prefix};

use super::Args;
use super::accounts::{Accounts, Order};
use super::journal::Acknowledgement;
use crate::failure::Failure;

/// What must not change, and what has been seen.
pub(crate) struct Verifier<'a> {
    args: &'a Args,
    path: &'a Path,
    accounts: Accounts,
    first_life: u64,
    balances_before: Vec<u64>,
    total_before: u64,
    /// The highest stamp that a reader has seen in the lives before.
    last_seen: Versionstamp,
}

impl Verifier<'_> {
    /// Opens the accounts and remembers what is in them.
    pub(crate) fn new<'a>(args: &'a Args, path: &'a Path) -> Result<Verifier<'a>, Failure> {
        let kv = args.open(path)?;
        let accounts = Accounts::open(&kv, args.accounts)?;
        let verifier = Verifier {
            args,
            path,
            first_life: next_life(&kv)?,
            balances_before: accounts.balances(&kv)?,
            total_before: accounts.total(&kv)?,
            last_seen: Versionstamp::ZERO,
            accounts,
        };
        kv.close()?;
        Ok(verifier)
    }

    /// The first life whose transfers belong to this series.
    pub(crate) fn first_life(&self) -> u64 {
        self.first_life
    }

    /// Verifies what one life acknowledged, and adds what is wrong to `violations`.
    pub(crate) fn verify(
        &mut self,
        acknowledged: &[Acknowledgement],
        violations: &mut Vec<String>,
    ) -> Result<(), Failure> {
        let kv = self.args.open(self.path)?;
        let report = kv.check()?;
        violations.extend(report.problems.iter().map(ToString::to_string));
        let total = self.accounts.total(&kv)?;
        if total != self.total_before {
            violations.push(format!("the sum was {} and is {total}", self.total_before));
        }
        for one in acknowledged {
            violations.extend(missing(&kv, one)?);
            if one.versionstamp <= self.last_seen {
                violations.push(format!("{one} has a stamp of an earlier life"));
            }
        }
        self.last_seen = self.last_seen.max(kv.stats()?.visible);
        kv.close()?;
        Ok(())
    }

    /// Compares the balances with what the recorded transfers make of the first ones.
    pub(crate) fn balance_the_books(&self, violations: &mut Vec<String>) -> Result<(), Failure> {
        let kv = self.args.open(self.path)?;
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
        let balances = self.accounts.balances(&kv)?;
        for (account, (expected, found)) in expected.iter().zip(&balances).enumerate() {
            if *expected != i128::from(*found) {
                violations.push(format!("account {account} holds {found} instead of {expected}"));
            }
        }
        kv.close()?;
        Ok(())
    }
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
