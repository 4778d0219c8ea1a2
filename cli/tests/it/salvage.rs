//! `icecore salvage`, on stores in good order and in bad.

use std::fs;
use std::path::{Path, PathBuf};

use icecore::{Durability, Kv, key};
use tempfile::TempDir;

use crate::inspect::{content, file, flip_a_byte_in_the_middle};
use crate::{code, errors, icecore, json, lines, text};

/// A store with two tables and a commit in the log, closed; and a place for the copy.
fn store() -> (TempDir, PathBuf, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let kv = Kv::builder(&path).durability(Durability::Buffered).open().unwrap();
    for number in 0..500 {
        kv.set(key!["k", number], "x".repeat(number)).unwrap();
    }
    kv.flush().unwrap();
    kv.set(key!["second"], 2).unwrap();
    kv.close().unwrap();
    // The next life has a log of its own: the tables alone hold what came before.
    let kv = Kv::open(&path).unwrap();
    kv.set(key!["last"], "in the log").unwrap();
    kv.close().unwrap();
    let out = directory.path().join("out");
    (directory, path, out)
}

fn pairs(path: &Path) -> Vec<String> {
    let kv = Kv::builder(path).read_only(true).open().unwrap();
    kv.list(..).map(|entry| format!("{:?}", entry.unwrap())).collect()
}

#[test]
fn an_intact_store_is_copied_whole_with_its_versionstamps() {
    let (_directory, store, out) = store();
    let before = content(&store);
    let output = icecore(&["salvage", text(&store), text(&out)]);
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(lines(&output).contains(&"nothing was lost".to_owned()), "{output:?}");
    assert_eq!(errors(&output), "", "there is no progress bar without a terminal");
    assert_eq!(pairs(&out), pairs(&store));
    assert_eq!(pairs(&out).len(), 502);
    assert_eq!(content(&store), before);
    assert_eq!(code(&icecore(&["check", text(&out)])), 0);
}

#[test]
fn of_a_damaged_store_the_rest_is_copied_and_the_loss_is_named() {
    let (_directory, store, out) = store();
    let table = file(&store, "table");
    flip_a_byte_in_the_middle(&table);
    let before = content(&store);
    let output = icecore(&["salvage", text(&store), text(&out), "--json"]);
    assert_eq!(code(&output), 4, "{output:?}");
    let report = json(&output);
    assert_eq!(report["complete"], false);
    assert_eq!(report["copy_is_clean"], true);
    assert_eq!(report["damage"][0]["file"], table.file_name().unwrap().to_str().unwrap());
    assert_eq!(report["damage"][0]["lost"], "versions");
    let lost = report["lost"]["versions"].as_u64().unwrap();
    assert!(lost > 0 && lost < 250, "{report}");
    assert_eq!(report["data_entries"], 502 - lost);
    assert_eq!(pairs(&out).len() as u64, 502 - lost);
    assert!(errors(&output).contains("\ntry: compare "), "{output:?}");
    assert_eq!(content(&store), before);
}

#[test]
fn without_a_manifest_the_tables_and_the_log_are_found() {
    let (_directory, store, out) = store();
    let whole = pairs(&store);
    fs::remove_file(file(&store, "manifest")).unwrap();
    fs::remove_file(store.join("CURRENT")).unwrap();
    let output = icecore(&["salvage", text(&store), text(&out)]);
    assert_eq!(code(&output), 4, "{output:?}");
    assert!(lines(&output).join("\n").contains("lost: the set of files"), "{output:?}");
    assert_eq!(pairs(&out), whole);
}

#[test]
fn a_call_that_cannot_work_says_what_to_do() {
    let (directory, store, out) = store();
    let missing = directory.path().join("missing");
    let empty = directory.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let inside = store.join("out");
    let before = content(&store);
    for (from, to) in [(&missing, &out), (&empty, &out), (&store, &inside), (&store, &store)] {
        let output = icecore(&["salvage", text(from), text(to)]);
        assert_eq!(code(&output), 1, "{output:?}");
        assert!(errors(&output).contains("\ntry: name "), "{output:?}");
    }
    let kv = Kv::open(&store).unwrap();
    assert_eq!(code(&icecore(&["salvage", text(&store), text(&out)])), 3);
    kv.close().unwrap();
    assert!(!out.exists() && !inside.exists() && !before.is_empty());
}

#[test]
fn where_nothing_can_be_read_there_is_no_copy() {
    let (_directory, store, out) = store();
    for (path, _) in content(&store) {
        fs::write(path, b"nothing").unwrap();
    }
    let output = icecore(&["salvage", text(&store), text(&out)]);
    assert_eq!(code(&output), 1, "{output:?}");
    assert!(errors(&output).contains("nothing of the store can be read"), "{output:?}");
    assert!(!out.exists());
}
