//! A ledger, kept by the same script of transfers in Icecore and, by `xtask/deno/transfers.ts`, in
//! Deno: afterwards the stored balances are the same, byte by byte.

use std::fmt::Write as _;

use icecore::{Commit, Error, Kv, key, prefix};
use icecore_disk::random::SeededRandom;
use serde::Serialize;

use super::deno::Deno;

/// Rounds of transfers in the script.
const TRANSFERS: usize = 2_000;

/// The seed of the script.
const SEED: u64 = 30;

/// What every account holds at first.
const OPENING: u64 = 1_000;

#[derive(Serialize)]
struct Transfer {
    from: String,
    to: String,
    amount: u64,
}

/// Why a transfer was not made.
enum Refusal {
    UnknownAccount,
    InsufficientFunds,
    Store(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal::Store(error)
    }
}

/// Whether both ledgers end with the same bytes.
pub(crate) fn compare(deno: &Deno) -> Result<bool, String> {
    let script = script();
    let lines = script
        .iter()
        .map(|transfer| serde_json::to_string(transfer).expect("a transfer can be written") + "\n");
    let theirs = deno.start("transfers.ts", &[&OPENING.to_string()], lines.collect())?;
    let ours = keep(&script).map_err(|error| format!("the ledger: {error}"))?;
    if theirs == ours {
        println!("ledger: after {TRANSFERS} transfers all balances are the same bytes");
    } else {
        println!("ledger: the balances differ\n--- Deno\n{theirs}--- Icecore\n{ours}");
    }
    Ok(theirs == ours)
}

/// Accounts that exist, and one that does not.
fn script() -> Vec<Transfer> {
    let dice = SeededRandom::new(SEED);
    let names = ["alice", "bob", "carol", "dave", "eve", "nobody"];
    let transfer = |_| {
        let from = usize::try_from(dice.below(6)).expect("it is below 6");
        let step = usize::try_from(1 + dice.below(5)).expect("it is below 6");
        let to = names[(from + step) % names.len()].to_owned();
        Transfer { from: names[from].to_owned(), to, amount: dice.below(400) }
    };
    (0..TRANSFERS).map(transfer).collect()
}

/// Keeps the ledger in Icecore: its balances, and what was refused.
fn keep(script: &[Transfer]) -> Result<String, Error> {
    let kv = Kv::in_memory()?;
    for name in ["alice", "bob", "carol", "dave", "eve"] {
        kv.set(key!["account", name], OPENING)?;
    }
    let (mut unknown, mut insufficient) = (0, 0);
    for Transfer { from, to, amount } in script {
        match transfer_funds(&kv, from, to, *amount) {
            Ok(()) => {}
            Err(Refusal::UnknownAccount) => unknown += 1,
            Err(Refusal::InsufficientFunds) => insufficient += 1,
            Err(Refusal::Store(error)) => return Err(error),
        }
    }
    let mut report = format!("{unknown} to or from nobody, {insufficient} too large\n");
    for entry in kv.list(prefix!["account"]) {
        let entry = entry?;
        let bytes = entry.u64()?.to_le_bytes().map(|byte| format!("{byte:02x}")).concat();
        writeln!(report, "{} {bytes}", entry.key).expect("a string takes all");
    }
    kv.close()?;
    Ok(report)
}

/// Moves `amount`, whoever else moves money at the same time.
fn transfer_funds(kv: &Kv, from: &str, to: &str, amount: u64) -> Result<(), Refusal> {
    loop {
        let [sender, receiver] = kv.get_many([key!["account", from], key!["account", to]])?;
        if !sender.is_present() || !receiver.is_present() {
            return Err(Refusal::UnknownAccount);
        }
        let rest = sender.u64()?.checked_sub(amount).ok_or(Refusal::InsufficientFunds)?;
        let outcome = kv
            .atomic()
            .check(&sender)
            .check(&receiver)
            .set(key!["account", from], rest)
            .set(key!["account", to], receiver.u64()? + amount)
            .commit()?;
        if let Commit::Done { .. } = outcome {
            return Ok(());
        }
    }
}
