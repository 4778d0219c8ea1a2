//! `icecore compact`.

use icecore::{Kv, key, prefix};

use crate::{code, errors, icecore, json, text};

#[test]
fn what_was_deleted_gives_back_its_space_and_what_was_not_stays() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let kv = Kv::open(&path).unwrap();
    for batch in 0..10 {
        let atomic = (0..100).fold(kv.atomic(), |atomic, number| {
            atomic.set(key!["many", batch, number], vec![7; 500])
        });
        assert!(atomic.set(key!["kept", batch], batch).commit().unwrap().versionstamp().is_some());
    }
    kv.flush().unwrap();
    assert!(kv.atomic().delete_range(prefix!["many"]).commit().unwrap().versionstamp().is_some());
    kv.close().unwrap();
    drop(kv);
    let output = icecore(&["compact", text(&path), "--json"]);
    assert_eq!(code(&output), 0, "{}", errors(&output));
    let bytes = |name: &str| json(&output)[name].as_u64().unwrap();
    let (before, after) = (bytes("table_bytes_before"), bytes("table_bytes_after"));
    assert!(before > 100_000 && after < before / 20, "{before} before, {after} after");
    let kv = Kv::open(&path).unwrap();
    assert_eq!(kv.count(prefix!["many"]).unwrap(), 0);
    assert_eq!(kv.count(prefix!["kept"]).unwrap(), 10);
}

#[test]
fn no_store_is_made_where_there_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let output = icecore(&["compact", text(directory.path())]);
    assert_eq!(code(&output), 1);
    assert!(errors(&output).contains("try: "), "{}", errors(&output));
    assert_eq!(directory.path().read_dir().unwrap().count(), 0);
}
