//! A verifier that finds nothing must be able to find something.

#![expect(clippy::disallowed_methods, reason = "a test damages a file behind the store's back")]

use std::path::PathBuf;

use clap::Parser;
use icecore::{Kv, Versionstamp, key};
use tempfile::TempDir;

use super::{Look, SAMPLE, Verifier};
use crate::ledger::Args;
use crate::ledger::accounts::{Accounts, Order, TransferId};
use crate::ledger::journal::Acknowledgement;
use crate::{Cli, Command};

struct Scene {
    _directory: TempDir,
    path: PathBuf,
    args: Args,
}

impl Scene {
    fn new() -> Scene {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        let Command::Ledger(args) =
            Cli::parse_from(["icecore", "ledger", "--accounts", "3", "--crash", "1"]).command
        else {
            unreachable!("it was asked for a ledger")
        };
        Scene { _directory: directory, path, args }
    }

    fn verifier(&self) -> Verifier<'_> {
        Verifier::new(&self.args, &self.path, 7).unwrap()
    }

    /// One transfer of this life, then `meddle` does something that no store may do.
    fn live(&self, life: u64, meddle: impl FnOnce(&Kv, &mut Acknowledgement)) -> Acknowledgement {
        let kv = Kv::open(&self.path).unwrap();
        let accounts = Accounts::open(&kv, 3).unwrap();
        let id = TransferId { life, agent: 0, number: 1 };
        let order = Order { from: 0, to: 2, amount: 10 };
        let versionstamp = accounts.transfer(&kv, &order, Some(id)).unwrap().done.unwrap();
        let mut acknowledgement = Acknowledgement { id, order, versionstamp };
        meddle(&kv, &mut acknowledgement);
        kv.close().unwrap();
        acknowledgement
    }
}

/// The violations that are found after `meddle` and after the end.
fn violations(meddle: impl FnOnce(&Kv, &mut Acknowledgement)) -> [Vec<String>; 2] {
    let scene = Scene::new();
    let mut verifier = scene.verifier();
    assert_eq!(verifier.first_life(), 1);
    let acknowledgement = scene.live(1, meddle);
    let (mut found, mut at_the_end) = (Vec::new(), Vec::new());
    verifier.verify(&[acknowledgement], Look::Recover, &mut found).unwrap();
    verifier.balance_the_books(&mut at_the_end).unwrap();
    [found, at_the_end]
}

fn assert_found(found: &[Vec<String>; 2], expected: [&[&str]; 2]) {
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found} does not say {expected}");
        }
    }
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    assert_found(&violations(|_, _| ()), [&[], &[]]);
}

#[test]
fn lost_money_is_found() {
    let found = violations(|kv, _| {
        kv.set(key!["account", "000001"], 999).unwrap();
    });
    let books = "account 1 holds 999 instead of 1000";
    assert_found(&found, [&["the sum was 3000 and is 2999"], &[books]]);
}

#[test]
fn a_lost_transfer_is_found_also_when_the_sum_is_right() {
    let found = violations(|kv, one| {
        kv.delete(one.id.key()).unwrap();
    });
    let gone = "was acknowledged and is gone";
    let books = ["account 0 holds 990 instead of 1000", "account 2 holds 1010"];
    assert_found(&found, [&[gone], &[gone, books[0], books[1]]]);
}

#[test]
fn another_content_under_the_acknowledged_stamp_is_found() {
    let found = violations(|_, one| one.order.amount = 11);
    let expected = ["is stored as 0 2 10"];
    assert_found(&found, [&expected, &expected]);
}

#[test]
fn another_stamp_than_the_acknowledged_one_is_found() {
    let found = violations(|kv, one| {
        kv.set(one.id.key(), one.order.to_string()).unwrap();
    });
    let expected = ["is stored with the stamp "];
    assert_found(&found, [&expected, &expected]);
}

#[test]
fn a_record_that_is_none_is_found() {
    let found = violations(|kv, _| {
        kv.set(key!["transfer", 1, 0, 2], "0 9 1").unwrap();
    });
    assert_found(&found, [&[], &["which is no transfer"]]);
}

#[test]
fn a_stamp_that_was_given_before_is_found() {
    let scene = Scene::new();
    let mut verifier = scene.verifier();
    let first = scene.live(1, |_, _| ());
    let mut found = Vec::new();
    verifier.verify(&[first], Look::Only, &mut found).unwrap();
    assert_eq!(found, [""; 0]);
    let second = scene.live(2, |_, one| {
        assert!(one.versionstamp > first.versionstamp);
        one.versionstamp = Versionstamp::new(first.versionstamp.get());
    });
    verifier.verify(&[second], Look::Only, &mut found).unwrap();
    assert!(
        found.iter().any(|text| text.contains("has a stamp that was seen before this life")),
        "{found:?}"
    );
}

/// Makes the store what it would be if `one` had never been committed.
fn take_back(kv: &Kv, one: &Acknowledgement) {
    kv.delete(one.id.key()).unwrap();
    for (account, sign) in [(one.order.from, 1), (one.order.to, -1)] {
        let key = key!["account", format!("{account:06}")];
        let balance = kv.get(&key).unwrap().u64().unwrap();
        let amount = sign * i64::try_from(one.order.amount).unwrap();
        kv.set(key, balance.strict_add_signed(amount)).unwrap();
    }
}

#[test]
fn what_an_earlier_life_acknowledged_is_missed_when_it_is_lost_without_a_trace() {
    for look in [Look::Only, Look::Recover] {
        let scene = Scene::new();
        let mut verifier = scene.verifier();
        let first = scene.live(1, |_, _| ());
        let mut found = Vec::new();
        verifier.verify(&[first], look, &mut found).unwrap();
        assert_eq!(found, [""; 0]);
        let second = scene.live(2, |kv, _| take_back(kv, &first));
        verifier.verify(&[second], look, &mut found).unwrap();
        let mut at_the_end = Vec::new();
        verifier.balance_the_books(&mut at_the_end).unwrap();
        let gone = [&*format!("{first} was acknowledged and is gone")];
        assert_found(&[found, at_the_end], [&gone, &gone]);
    }
}

#[test]
fn at_the_end_everything_is_looked_at() {
    let scene = Scene::new();
    let mut verifier = scene.verifier();
    let acknowledgement = scene.live(1, |_, _| ());
    let mut found = Vec::new();
    verifier.verify(&[acknowledgement], Look::Recover, &mut found).unwrap();
    scene.live(2, |kv, _| take_back(kv, &acknowledgement));
    verifier.balance_the_books(&mut found).unwrap();
    assert_eq!(found, [format!("{acknowledgement} was acknowledged and is gone")]);
}

#[test]
fn a_sample_is_everything_while_that_is_little_and_bounded_after_that() {
    let scene = Scene::new();
    let mut verifier = scene.verifier();
    let one = scene.live(1, |_, _| ());
    let mut numbers = |count: usize| -> Vec<u64> {
        let numbered = |number| Acknowledgement { id: TransferId { number, ..one.id }, ..one };
        verifier.acknowledged = (0..count as u64).map(numbered).collect();
        verifier.sample().map(|one| one.id.number).collect()
    };
    assert_eq!(numbers(0), [0; 0]);
    assert_eq!(numbers(SAMPLE), (0..SAMPLE as u64).collect::<Vec<_>>());
    let drawn = numbers(100 * SAMPLE);
    assert_eq!(drawn.len(), SAMPLE);
    assert!(drawn.iter().any(|number| *number > SAMPLE as u64), "from all of them");
}

#[test]
fn a_look_that_recovers_nothing_leaves_the_directory_as_it_is() {
    let scene = Scene::new();
    let mut verifier = scene.verifier();
    let one = scene.live(1, |_, _| ());
    let names = || {
        let listed = scene.path.read_dir().unwrap().map(|entry| entry.unwrap().file_name());
        listed.collect::<std::collections::BTreeSet<_>>()
    };
    let before = names();
    let mut found = Vec::new();
    verifier.verify(&[one], Look::Only, &mut found).unwrap();
    assert_eq!(names(), before);
    assert_eq!(found, [""; 0]);
    verifier.verify(&[], Look::Recover, &mut found).unwrap();
    assert_ne!(names(), before);
}

#[test]
fn one_stamp_for_two_transfers_is_found() {
    let scene = Scene::new();
    let mut verifier = scene.verifier();
    let one = scene.live(1, |_, _| ());
    let mut found = Vec::new();
    verifier.verify(&[one, one], Look::Recover, &mut found).unwrap();
    assert_eq!(found, [format!("{one} and {one} have one stamp")]);
}

#[test]
fn stamps_of_the_series_before_are_known() {
    let scene = Scene::new();
    let earlier = scene.live(1, |_, _| ());
    let mut verifier = scene.verifier();
    let one = scene.live(2, |_, one| one.versionstamp = earlier.versionstamp);
    let mut found = Vec::new();
    verifier.verify(&[one], Look::Recover, &mut found).unwrap();
    let expected = "has a stamp that was seen before this life";
    assert!(found.iter().any(|text| text.contains(expected)), "{found:?}");
}

#[test]
fn accounts_that_are_gone_are_found() {
    let found = violations(|kv, _| {
        kv.delete(key!["account", "000001"]).unwrap();
    });
    assert_eq!(found[0], ["the sum was 3000 and is 2000"]);
    assert_eq!(found[1][0], "2 accounts are left of 3");
}

#[test]
fn damage_ends_the_look_and_is_told() {
    let scene = Scene::new();
    let mut verifier = scene.verifier();
    let one = scene.live(1, |kv, _| kv.flush().unwrap());
    let files = scene.path.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let tables = files.filter(|path| path.extension().is_some_and(|e| e == "table"));
    let table = tables.max().unwrap();
    let mut bytes = std::fs::read(&table).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&table, bytes).unwrap();
    let mut found = Vec::new();
    verifier.verify(&[one], Look::Only, &mut found).unwrap();
    assert!(found.iter().all(|text| text.contains("is damaged at byte")), "{found:?}");
    assert!(!found.is_empty());
}

#[test]
fn a_second_series_counts_its_lives_on() {
    let scene = Scene::new();
    drop(scene.verifier());
    scene.live(41, |_, _| ());
    assert_eq!(scene.verifier().first_life(), 42);
}
