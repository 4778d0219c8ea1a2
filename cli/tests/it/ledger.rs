//! `icecore ledger`.

use crate::{code, errors, icecore, json, lines, text};

const SMALL: [&str; 5] = ["ledger", "--accounts", "20", "--threads", "4"];

fn ledger(more: &[&str]) -> std::process::Output {
    icecore(&[&SMALL[..], more].concat())
}

#[test]
fn the_report_has_its_keys_and_the_sum_is_conserved() {
    let output = ledger(&["--seconds", "1", "--json", "--seed", "7"]);
    assert_eq!(code(&output), 0, "{output:?}");
    let report = json(&output);
    let object = report.as_object().unwrap();
    let mut keys: Vec<&str> = object.keys().map(String::as_str).collect();
    keys.sort_unstable();
    let expected = [
        "conflicts",
        "conserved",
        "latency_us",
        "total_after",
        "total_before",
        "transfers",
        "transfers_per_second",
    ];
    assert_eq!(keys, expected);
    assert_eq!(report["conserved"], true);
    assert_eq!(report["total_before"], 20_000);
    assert_eq!(report["total_after"], 20_000);
    assert!(report["transfers"].as_u64().unwrap() > 0);
    let latency = |name: &str| report["latency_us"][name].as_f64().unwrap();
    let quantiles = ["p50", "p99", "p999", "max"].map(latency);
    assert!(quantiles[0] > 0.0 && quantiles.is_sorted(), "{quantiles:?}");
}

#[test]
fn a_ledger_has_a_thousand_accounts_unless_it_is_told_otherwise() {
    for (more, coins) in [(&[][..], 1_000_000), (&["--accounts", "20000"], 20_000_000)] {
        let arguments = ["ledger", "--seconds", "1", "--buffered", "--json"];
        let output = icecore(&[&arguments[..], more].concat());
        assert_eq!(code(&output), 0, "{output:?}");
        assert_eq!(json(&output)["total_after"], coins);
    }
}

#[test]
fn a_ledger_goes_on_where_it_was_left() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    for mode in [&["--buffered"][..], &[]] {
        let args = [&["--seconds", "0.1", "--store", text(&store)], mode].concat();
        let output = ledger(&args);
        assert_eq!(code(&output), 0, "{output:?}");
        let last = lines(&output).pop().unwrap();
        assert_eq!(last, "balances    20000 before, 20000 after reopening: conserved");
        assert_eq!(errors(&output), "", "no progress where there is no terminal");
    }
}

#[test]
fn a_store_with_other_data_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let kv = icecore::Kv::open(&store).unwrap();
    kv.set(icecore::key!["user", 1], "ada").unwrap();
    kv.close().unwrap();
    let output = ledger(&["--seconds", "0.1", "--store", text(&store)]);
    assert_eq!(code(&output), 1, "{output:?}");
    assert!(errors(&output).contains(r#"other data than a ledger: ["user", 1n]"#), "{output:?}");
    let kv = icecore::Kv::open(&store).unwrap();
    assert_eq!(kv.list(icecore::prefix![]).map(Result::unwrap).count(), 1);
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let output = ledger(&["--crash", "3", "--seed", "12", "--store", text(&store)]);
    assert_eq!(code(&output), 0, "{output:?}");
    let last = lines(&output).pop().unwrap();
    assert!(lines(&output)[0].starts_with("seed 12, "), "{output:?}");
    assert!(last.starts_with("3 kills, "), "{last}");
    assert!(last.ends_with(" acknowledged transfers verified, 0 violations"), "{last}");

    // The same store serves a second series, whose transfers get names of their own.
    let output = ledger(&["--crash", "1", "--buffered", "--json", "--store", text(&store)]);
    assert_eq!(code(&output), 0, "{output:?}");
    let outcome = json(&output);
    assert_eq!(outcome["kills"], 1);
    assert_eq!(outcome["kills_before_transfers"], 0);
    assert!(outcome["seed"].is_u64());
    assert_eq!(outcome["violations"].as_array().unwrap().len(), 0);
    assert!(outcome["acknowledged"].as_u64().unwrap() > 0);
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    for args in [
        &["ledger", "--accounts", "1"][..],
        &["ledger", "--threads", "0"],
        &["ledger", "--seconds", "-1"],
        &["ledger", "--seconds", "soon"],
        &["ledger", "--crash", "1", "--seconds", "1"],
        &["ledger", "--crash", "0"],
        &["check"],
        &["no-such-command"],
    ] {
        assert_eq!(code(&icecore(args)), 2, "{args:?}");
    }
}
