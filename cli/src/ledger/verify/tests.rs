//! A verifier that finds nothing must be able to find something.

use std::path::PathBuf;

use clap::Parser;
use icecore::{Kv, Versionstamp, key};
use tempfile::TempDir;

use super::Verifier;
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
        Verifier::new(&self.args, &self.path).unwrap()
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
    verifier.verify(&[acknowledgement], &mut found).unwrap();
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
    let books: [&str; 2] = ["account 0 holds 990 instead of 1000", "account 2 holds 1010"];
    assert_found(&found, [&["was acknowledged and is gone"], &books]);
}

#[test]
fn another_content_under_the_acknowledged_stamp_is_found() {
    let found = violations(|_, one| one.order.amount = 11);
    assert_found(&found, [&["is stored as 0 2 10"], &[]]);
}

#[test]
fn another_stamp_than_the_acknowledged_one_is_found() {
    let found = violations(|kv, one| {
        kv.set(one.id.key(), one.order.to_string()).unwrap();
    });
    assert_found(&found, [&["is stored with the stamp "], &[]]);
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
    verifier.verify(&[first], &mut found).unwrap();
    assert_eq!(found, [""; 0]);
    let second = scene.live(2, |_, one| {
        assert!(one.versionstamp > first.versionstamp);
        one.versionstamp = Versionstamp::new(first.versionstamp.get());
    });
    verifier.verify(&[second], &mut found).unwrap();
    assert!(found.iter().any(|text| text.contains("has a stamp of an earlier life")), "{found:?}");
}

#[test]
fn a_second_series_counts_its_lives_on() {
    let scene = Scene::new();
    drop(scene.verifier());
    scene.live(41, |_, _| ());
    assert_eq!(scene.verifier().first_life(), 42);
}
