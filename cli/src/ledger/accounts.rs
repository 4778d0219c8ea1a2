//! Accounts, transfers, and the sum of all balances.
//!
//! ```text
//! ["account", name]                     the balance, a u64
//! ["transfer", life, agent, number]     text: from, to, amount
//! ```
//!
//! Only the lives of a child record their transfers.

use std::fmt;
use std::str::FromStr;

use icecore::{Commit, Error, Key, Kv, Versionstamp, key, prefix};
use icecore_disk::random::SeededRandom;

/// What is in a new account.
const OPENING_BALANCE: u64 = 1000;

/// The most that one transfer moves.
const AMOUNT_MAX: u64 = 100;

/// So many accounts are opened by one commit.
const ACCOUNTS_PER_COMMIT: usize = 1000;

/// The names of all accounts. Accounts are known by their places in this list.
#[derive(Debug)]
pub(crate) struct Accounts {
    names: Vec<String>,
}

/// What an agent wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) amount: u64,
}

/// Tells the recorded transfers of all lives apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TransferId {
    pub(crate) life: u64,
    pub(crate) agent: u64,
    pub(crate) number: u64,
}

/// What became of an order, and how often it had to be tried again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    /// The commit of the transfer; `None` when the account did not hold enough.
    pub(crate) done: Option<Versionstamp>,
    pub(crate) conflicts: u64,
}

impl Accounts {
    /// Opens the accounts that do not exist yet.
    pub(crate) fn open(kv: &Kv, count: u32) -> Result<Accounts, Error> {
        let accounts = Accounts { names: (0..count).map(|n| format!("{n:06}")).collect() };
        for names in accounts.names.chunks(ACCOUNTS_PER_COMMIT) {
            let mut atomic = kv.atomic();
            let mut missing = false;
            for name in names {
                let entry = kv.get(key!["account", name])?;
                if !entry.is_present() {
                    missing = true;
                    atomic = atomic.check(&entry).set(entry.key, OPENING_BALANCE);
                }
            }
            if missing {
                let outcome = atomic.commit()?;
                assert!(matches!(outcome, Commit::Done { .. }), "nobody else writes: {outcome:?}");
            }
        }
        Ok(accounts)
    }

    /// How many accounts there are.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// Two different accounts and an amount.
    pub(crate) fn choose(&self, random: &SeededRandom) -> Order {
        let below = |bound: usize| {
            usize::try_from(random.below(bound as u64)).expect("it is below a usize")
        };
        let from = below(self.len());
        let other = below(self.len() - 1);
        let to = if other < from { other } else { other + 1 };
        Order { from, to, amount: 1 + random.below(AMOUNT_MAX) }
    }

    fn key(&self, account: usize) -> Key {
        key!["account", &self.names[account]]
    }

    /// Moves money, as often as it takes until nobody gets in between. With an id, the transfer
    /// is recorded in the same commit.
    pub(crate) fn transfer(
        &self,
        kv: &Kv,
        order: &Order,
        id: Option<TransferId>,
    ) -> Result<Outcome, Error> {
        let mut conflicts = 0;
        loop {
            let [from, to] = kv.get_many([self.key(order.from), self.key(order.to)])?;
            let Some(rest) = from.u64()?.checked_sub(order.amount) else {
                return Ok(Outcome { done: None, conflicts });
            };
            let sum = to.u64()? + order.amount;
            let mut atomic =
                kv.atomic().check(&from).check(&to).set(from.key, rest).set(to.key, sum);
            if let Some(id) = id {
                atomic = atomic.set(id.key(), order.to_string());
            }
            match atomic.commit()? {
                Commit::Done { versionstamp } => {
                    return Ok(Outcome { done: Some(versionstamp), conflicts });
                }
                Commit::CheckFailed { .. } => conflicts += 1,
            }
        }
    }

    /// The balances of all accounts at one moment.
    pub(crate) fn balances(&self, kv: &Kv) -> Result<Vec<u64>, Error> {
        kv.list(prefix!["account"]).limit(self.len()).map(|entry| entry?.u64()).collect()
    }

    /// The sum of all balances in the store at one moment.
    pub(crate) fn total(&self, kv: &Kv) -> Result<u64, Error> {
        kv.list(prefix!["account"]).try_fold(0, |sum, entry| Ok(sum + entry?.u64()?))
    }
}

impl TransferId {
    /// Where the transfer is recorded.
    pub(crate) fn key(&self) -> Key {
        key!["transfer", self.life, self.agent, self.number]
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.from, self.to, self.amount)
    }
}

/// The text is not an order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotAnOrder;

impl FromStr for Order {
    type Err = NotAnOrder;

    fn from_str(text: &str) -> Result<Order, NotAnOrder> {
        let mut fields = text.split(' ');
        let order = (|| {
            Some(Order {
                from: fields.next()?.parse().ok()?,
                to: fields.next()?.parse().ok()?,
                amount: fields.next()?.parse().ok()?,
            })
        })();
        order.filter(|_| fields.next().is_none()).ok_or(NotAnOrder)
    }
}
