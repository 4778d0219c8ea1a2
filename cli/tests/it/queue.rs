//! `icecore queue`: messages by hand.

use std::path::{Path, PathBuf};

use icecore::{Enqueue, Kv, key};
use tempfile::TempDir;

use crate::{code, errors, icecore, json, lines, text};

fn store() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    Kv::open(&path).unwrap().close().unwrap();
    (directory, path)
}

fn queue(action: &str, store: &Path, args: &[&str]) -> std::process::Output {
    icecore(&[&["queue", action, text(store)], args].concat())
}

#[test]
fn what_is_sent_is_listed_looked_at_and_received_once() {
    let (_directory, store) = store();
    assert_eq!(code(&queue("send", &store, &[r#"{"a":[1,"x"]}"#])), 0);
    assert_eq!(code(&queue("send", &store, &["hello", "--raw", "--queue", "mail"])), 0);
    let later = ["1", "--queue", "mail", "--delay", "3600", "--dead-letter", r#"["failed", 1n]"#];
    assert_eq!(code(&queue("send", &store, &later)), 0);
    let listed = lines(&queue("list", &store, &["--json"]));
    assert_eq!(listed.len(), 2, "{listed:?}");
    let mail: serde_json::Value = serde_json::from_str(&listed[1]).unwrap();
    assert_eq!((&mail["messages"], &mail["ready"]), (&2.into(), &1.into()));
    assert!(lines(&queue("list", &store, &[]))[2].ends_with(r#"  "mail""#));
    let seen = lines(&queue("peek", &store, &["--queue", "mail"]));
    assert!(seen[0].contains(r#""text":"hello""#), "{seen:?}");
    assert!(seen[1].contains(r#""payload":1}"#) && seen[1].contains("failed"), "{seen:?}");
    let received = json(&queue("receive", &store, &[]));
    assert_eq!(received["payload"], serde_json::json!({"a": [1, "x"]}));
    assert_eq!((&received["attempt"], &received["lastAttempt"]), (&1.into(), &false.into()));
    assert!(lines(&queue("receive", &store, &[])).is_empty());
    let received = lines(&queue("receive", &store, &["--queue", "mail"]));
    assert_eq!(received.len(), 1, "the other one is not ready: {received:?}");
}

#[test]
fn a_command_that_succeeds_finishes_a_message_and_another_one_fails_it() {
    let (_directory, store) = store();
    let kv = Kv::open(&store).unwrap();
    kv.enqueue("one").unwrap();
    kv.enqueue(Enqueue::new("two").backoff([]).keys_if_undelivered([key!["dead"]])).unwrap();
    kv.enqueue("three").unwrap();
    kv.close().unwrap();
    let output =
        queue("receive", &store, &["--exec", "cat; echo \" $ICECORE_ATTEMPT\"", "--count", "1"]);
    assert_eq!((code(&output), lines(&output)), (0, vec!["one 1".to_owned()]));
    let output = queue("receive", &store, &["--exec", "test \"$(cat)\" != two"]);
    assert_eq!(code(&output), 1, "{output:?}");
    assert!(errors(&output).contains("has failed for one message"), "{output:?}");
    let kv = Kv::open(&store).unwrap();
    assert!(kv.queue("").is_empty().unwrap());
    assert_eq!(kv.get(key!["dead"]).unwrap().str().unwrap(), "two");
    kv.close().unwrap();
}

#[test]
fn what_is_not_json_is_refused_with_what_to_try() {
    let (_directory, store) = store();
    let output = queue("send", &store, &["hello"]);
    assert_eq!(code(&output), 1);
    assert!(errors(&output).contains("try: put quotes around a text"), "{output:?}");
    assert!(lines(&queue("receive", &store, &[])).is_empty());
}
