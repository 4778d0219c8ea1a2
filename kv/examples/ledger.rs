//! Agents in several threads move money between the same accounts, and none of it is lost.
//!
//! Nobody locks anything. A transfer reads both accounts, and commits on the condition that
//! neither has changed since. If one has, it reads again. The store is then closed and opened, and
//! the balances are added up.
//!
//! ```text
//! cargo run -p icecore --example ledger
//! ```

use std::path::Path;
use std::thread;

use icecore::{Commit, Error, Kv, key, prefix};

const AGENTS: u64 = 4;
const TRANSFERS: u64 = 50;
const ACCOUNTS: u64 = 10;
const BALANCE: u64 = 1_000;

/// What became of a transfer.
#[derive(Debug, PartialEq, Eq)]
enum Transfer {
    /// It took effect, after so many attempts that somebody else was faster than.
    Done { conflicts: u64 },
    /// There was not enough money. Nothing has changed.
    Refused,
}

/// Moves `amount` from one account to another.
fn transfer(kv: &Kv, from: u64, to: u64, amount: u64) -> Result<Transfer, Error> {
    assert_ne!(from, to, "a transfer has two accounts");
    let mut conflicts = 0;
    loop {
        // Both of one moment.
        let [a, b] = kv.get_many([key!["account", from], key!["account", to]])?;
        let Some(rest) = a.u64()?.checked_sub(amount) else {
            return Ok(Transfer::Refused);
        };
        let outcome = kv
            .atomic()
            .check(&a)
            .check(&b)
            .set(&a.key, rest)
            .set(&b.key, b.u64()? + amount)
            .commit()?;
        match outcome {
            Commit::Done { .. } => return Ok(Transfer::Done { conflicts }),
            Commit::CheckFailed { .. } => conflicts += 1,
        }
    }
}

/// The work of one agent: how many of its transfers took effect, and with how many conflicts.
fn work(kv: &Kv, agent: u64) -> Result<(u64, u64), Error> {
    let (mut done, mut met) = (0, 0);
    for number in 0..TRANSFERS {
        let from = (agent * 3 + number * 7) % ACCOUNTS;
        let to = (from + 1 + number % (ACCOUNTS - 1)) % ACCOUNTS;
        if let Transfer::Done { conflicts } = transfer(kv, from, to, 1 + number * 11 % 300)? {
            done += 1;
            met += conflicts;
        }
    }
    Ok((done, met))
}

fn sum(kv: &Kv) -> Result<u64, Error> {
    kv.list(prefix!["account"]).map(|account| account?.u64()).sum()
}

fn run(path: &Path) -> Result<(), Error> {
    let kv = Kv::open(path)?;
    let mut opening = kv.atomic();
    for account in 0..ACCOUNTS {
        opening = opening.set(key!["account", account], BALANCE);
    }
    drop(opening.commit()?);

    let (mut done, mut conflicts) = (0, 0);
    thread::scope(|scope| {
        let kv = &kv;
        let agents: Vec<_> =
            (0..AGENTS).map(|agent| scope.spawn(move || work(kv, agent))).collect();
        for agent in agents {
            let (own, met) = agent.join().expect("an agent does not panic")?;
            done += own;
            conflicts += met;
        }
        Ok::<(), Error>(())
    })?;
    kv.close()?;

    let kv = Kv::open(path)?;
    assert_eq!(sum(&kv)?, ACCOUNTS * BALANCE, "no money came or went");
    assert!(done > 0);
    let everything = transfer(&kv, 0, 1, ACCOUNTS * BALANCE + 1)?;
    assert_eq!(everything, Transfer::Refused);
    println!("{done} transfers, {conflicts} conflicts, {} in all accounts", sum(&kv)?);
    kv.close()
}

fn main() -> Result<(), Error> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    run(&directory.path().join("ledger.icecore"))
}

#[test]
fn the_sum_of_all_balances_is_conserved() -> Result<(), Error> {
    main()
}
