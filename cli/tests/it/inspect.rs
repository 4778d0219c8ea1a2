//! `icecore check` and `icecore stats`, on stores in good order and in bad.

use std::fs;
use std::path::{Path, PathBuf};

use icecore::{Durability, Kv, key};
use tempfile::TempDir;

use crate::{code, errors, icecore, json, lines, text};

/// A store with a table, closed.
fn store() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let kv = Kv::builder(&path).durability(Durability::Buffered).open().unwrap();
    for number in 0..100 {
        kv.set(key!["k", number], number * 7).unwrap();
    }
    kv.flush().unwrap();
    kv.set(key!["last"], "in the log").unwrap();
    kv.close().unwrap();
    (directory, path)
}

/// The first file of the store that has this extension.
pub(crate) fn file(store: &Path, extension: &str) -> PathBuf {
    let files = fs::read_dir(store).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|e| e == extension)).min().unwrap()
}

pub(crate) fn flip_a_byte_in_the_middle(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

pub(crate) fn content(store: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = fs::read_dir(store).unwrap().map(|entry| entry.unwrap().path());
    let mut content: Vec<_> = files.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    content.sort();
    content
}

#[test]
fn a_store_in_order_is_clean_and_stays_as_it_is() {
    let (_directory, store) = store();
    let before = content(&store);
    let output = icecore(&["check", text(&store)]);
    assert_eq!(code(&output), 0, "{output:?}");
    let said = lines(&output).join("\n");
    assert!(said.starts_with("keys: 101, messages: 0, tables: 1 (100 entries, "), "{said}");
    assert!(said.ends_with("; no problem found"), "{said}");
    let report = json(&icecore(&["check", text(&store), "--json"]));
    assert_eq!(report["clean"], true);
    assert_eq!(report["keys"], 101);
    assert_eq!(report["problems"].as_array().unwrap().len(), 0);
    assert_eq!(code(&icecore(&["stats", text(&store)])), 0);
    assert_eq!(content(&store), before);
}

#[test]
fn stats_tell_what_the_store_holds() {
    let (_directory, store) = store();
    let output = icecore(&["stats", text(&store), "--json"]);
    assert_eq!(code(&output), 0, "{output:?}");
    let stats = json(&output);
    assert_eq!(stats["levels"][0]["tables"], 1);
    assert_eq!(stats["levels"][0]["entries"], 100);
    assert_eq!(stats["table_bytes"], stats["levels"][0]["bytes"]);
    assert_eq!(stats["versionstamp"].as_str().unwrap().len(), 20);
    assert!(stats["flushed"].as_str() < stats["versionstamp"].as_str());
    let table = lines(&icecore(&["stats", text(&store)]));
    assert!(table[0].starts_with("versionstamp      0000"), "{table:?}");
}

#[test]
fn where_there_is_no_store_the_command_says_how_to_make_one() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    for (command, path) in [("check", &*missing), ("stats", &*missing), ("check", directory.path())]
    {
        let output = icecore(&[command, text(path)]);
        assert_eq!(code(&output), 1, "{output:?}");
        let last = errors(&output).lines().last().unwrap().to_owned();
        assert!(last.starts_with("try: icecore ledger --store "), "{last}");
    }
    assert!(!missing.exists());
    assert!(content(directory.path()).is_empty());
}

#[test]
fn a_damaged_table_is_found_and_named() {
    let (_directory, store) = store();
    let table = file(&store, "table");
    flip_a_byte_in_the_middle(&table);
    let name = table.file_name().unwrap().to_str().unwrap();
    let output = icecore(&["check", text(&store)]);
    assert_eq!(code(&output), 4, "{output:?}");
    let said = errors(&output);
    assert!(said.contains(&format!("{name} is damaged at byte ")), "{said}");
    assert!(
        said.ends_with(
            "try: restore the directory from a copy, or save what is left with icecore salvage\n"
        ),
        "{said}"
    );
    let report = json(&icecore(&["check", text(&store), "--json"]));
    assert_eq!(report["clean"], false);
    assert_eq!(report["problems"][0]["file"], name);
    assert!(report["problems"][0]["offset"].is_u64());
}

#[test]
fn a_missing_table_and_a_damaged_manifest_keep_the_store_from_opening() {
    let (_directory, first) = store();
    let table = file(&first, "table");
    fs::remove_file(&table).unwrap();
    let (_directory, second) = store();
    let manifest = file(&second, "manifest");
    fs::write(&manifest, b"").unwrap();
    for (store, damaged) in [(first, table), (second, manifest)] {
        let name = damaged.file_name().unwrap().to_str().unwrap();
        for command in ["check", "stats"] {
            let output = icecore(&[command, text(&store)]);
            assert_eq!(code(&output), 4, "{output:?}");
            assert!(errors(&output).contains(name), "{output:?}");
        }
    }
}

#[test]
fn a_locked_store_names_its_owner() {
    let (_directory, store) = store();
    let kv = Kv::open(&store).unwrap();
    for args in [["check", text(&store)], ["stats", text(&store)]] {
        let output = icecore(&args);
        assert_eq!(code(&output), 3, "{output:?}");
        let said = errors(&output);
        assert!(said.contains(&format!("is locked by process {}", std::process::id())), "{said}");
        assert!(said.lines().last().unwrap().starts_with("try: close the store"), "{said}");
    }
    let output = icecore(&["ledger", "--store", text(&store), "--seconds", "0"]);
    assert_eq!(code(&output), 3, "{output:?}");
    kv.close().unwrap();
    assert_eq!(code(&icecore(&["check", text(&store)])), 0);
}
