//! The face on a real directory.

use tempfile::TempDir;

use crate::{Commit, Durability, Error, ErrorKind, Key, Kv, Limits, Value, key, prefix};

fn store() -> (TempDir, Kv) {
    let directory = tempfile::tempdir().unwrap();
    let kv = Kv::open(directory.path().join("store")).unwrap();
    (directory, kv)
}

fn keys(list: impl Iterator<Item = Result<crate::Entry, Error>>) -> Vec<Key> {
    list.map(|entry| entry.unwrap().key).collect()
}

#[test]
fn a_handle_can_go_to_any_thread() {
    fn assert_shareable<T: Clone + Send + Sync + 'static>() {}
    fn assert_send<T: Send + 'static>() {}
    assert_shareable::<Kv>();
    assert_send::<crate::List>();
    assert_send::<crate::Atomic<'static>>();
    assert_shareable::<Error>();
}

#[test]
fn what_is_set_is_read_back_until_it_is_deleted() {
    let (_directory, kv) = store();
    let first = kv.set(key!["a"], "text").unwrap();
    let entry = kv.get(key!["a"]).unwrap();
    assert_eq!((entry.versionstamp, entry.value), (Some(first), Some(Value::from("text"))));
    let second = kv.delete(key!["a"]).unwrap();
    assert!(first < second);
    let entry = kv.get(key!["a"]).unwrap();
    assert_eq!((entry.versionstamp, entry.value), (None, None));
}

#[test]
fn several_keys_are_read_in_their_order() {
    let (_directory, kv) = store();
    kv.set(key!["b"], 2).unwrap();
    kv.set(key!["a"], 1).unwrap();
    let [b, missing, a] = kv.get_many([key!["b"], key!["c"], key!["a"]]).unwrap();
    assert_eq!((b.u64().unwrap(), a.u64().unwrap()), (2, 1));
    assert!(!missing.is_present());
    assert_eq!(missing.key, key!["c"]);
}

#[test]
fn a_failed_check_names_its_place_and_changes_nothing() {
    let (_directory, kv) = store();
    kv.set(key!["a"], 1).unwrap();
    let [stale, absent] = kv.get_many([key!["a"], key!["b"]]).unwrap();
    kv.set(key!["a"], 2).unwrap();
    let attempt = || kv.atomic().check(&absent).check(&stale).set(key!["b"], 1).delete(key!["a"]);
    assert_eq!(attempt().commit().unwrap(), Commit::CheckFailed { indexes: vec![1] });
    let outcome = attempt().check_absent(key!["a"]).commit_buffered().unwrap();
    assert_eq!(outcome, Commit::CheckFailed { indexes: vec![1, 2] });
    assert_eq!(kv.get(key!["a"]).unwrap().u64().unwrap(), 2);
    assert!(!kv.get(key!["b"]).unwrap().is_present());
}

#[test]
fn all_effects_of_a_commit_carry_its_versionstamp() {
    let (_directory, kv) = store();
    kv.set(key!["gone"], 1).unwrap();
    let outcome = kv
        .atomic()
        .check_absent(key!["a"])
        .set(key!["a"], 1)
        .set(key!["b"], &b"\x00"[..])
        .delete(key!["gone"])
        .commit_with(Durability::Sync)
        .unwrap();
    let Commit::Done { versionstamp } = outcome else { panic!("{outcome:?}") };
    let [a, b, gone] = kv.get_many([key!["a"], key!["b"], key!["gone"]]).unwrap();
    assert_eq!(a.versionstamp, Some(versionstamp));
    assert_eq!(b.versionstamp, Some(versionstamp));
    assert_eq!(b.bytes().unwrap(), &b"\x00"[..]);
    assert!(!gone.is_present());
}

#[test]
fn a_list_gives_the_extensions_of_its_prefix_in_both_directions() {
    let (_directory, kv) = store();
    let all = [key!["a"], key!["a", 1], key!["a", 2, "x"], key!["a", true], key!["a\0"], key!["b"]];
    for key in &all {
        kv.set(key, 1).unwrap();
    }
    assert_eq!(keys(kv.list(prefix!["a"])), all[1..4]);
    assert_eq!(keys(kv.list(prefix![])), all);
    assert_eq!(keys(kv.list(key!["a", 2]..key!["b"])), all[2..5]);
    let backwards: Vec<Key> = all[1..4].iter().rev().cloned().collect();
    assert_eq!(keys(kv.list(prefix!["a"]).reverse()), backwards);
    assert_eq!(keys(kv.list(prefix!["a"]).rev()), backwards);
    assert_eq!(keys(kv.list(prefix!["a"]).reverse().reverse().limit(2)), all[1..3]);
    assert_eq!(keys(kv.list(prefix!["a"]).reverse().limit(2)), backwards[..2]);
}

#[test]
fn a_limited_list_ends_wherever_its_entries_were_taken() {
    let (_directory, kv) = store();
    for number in 0..5 {
        kv.set(key![number], 1).unwrap();
    }
    let mut list = kv.list(prefix![]).limit(3);
    let mut next = |from_back: bool| {
        let entry = if from_back { list.next_back() } else { list.next() };
        entry.map(|entry| entry.unwrap().key)
    };
    assert_eq!([next(false), next(true)], [Some(key![0]), Some(key![4])]);
    assert_eq!([next(true), next(true), next(false)], [Some(key![3]), None, None]);
}

#[test]
fn a_list_shows_the_moment_of_its_making() {
    let (_directory, kv) = store();
    kv.set(key!["a"], 1).unwrap();
    let list = kv.list(prefix![]);
    kv.set(key!["b"], 1).unwrap();
    kv.delete(key!["a"]).unwrap();
    assert_eq!(keys(list), [key!["a"]]);
}

#[test]
fn a_closed_store_says_so_once_in_a_list() {
    let (_directory, kv) = store();
    kv.close().unwrap();
    assert_eq!(kv.get(key!["a"]).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(kv.set(key!["a"], 1).unwrap_err().kind(), ErrorKind::Closed);
    let mut list = kv.list(prefix![]);
    assert_eq!(list.next().unwrap().unwrap_err().kind(), ErrorKind::Closed);
    assert!(list.next().is_none());
    assert_eq!(kv.close().unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn everything_is_there_after_reopening_and_for_readers() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let missing = Kv::builder(&path).create(false).open().unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound, "{missing}");
    let kv = Kv::open(&path).unwrap();
    let stamp = kv.set(key!["a"], "1").unwrap();
    assert_eq!(Kv::open(&path).unwrap_err().kind(), ErrorKind::Locked);
    kv.close().unwrap();
    let reader = Kv::builder(&path).read_only(true).open().unwrap();
    assert_eq!(reader.get(key!["a"]).unwrap().versionstamp, Some(stamp));
    assert_eq!(reader.set(key!["a"], 1).unwrap_err().kind(), ErrorKind::ReadOnly);
    let report = reader.check().unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.keys, 1);
}

#[test]
fn what_is_too_large_is_refused_with_its_limit() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let limits = Limits::default().value_bytes(10).commit_bytes(100);
    let kv = Kv::builder(path).limits(limits).open().unwrap();
    kv.set(key!["a"], [7; 10]).unwrap();
    let kind = kv.set(key!["a"], [7; 11]).unwrap_err().kind();
    assert!(matches!(kind, ErrorKind::LimitExceeded { max: 10, got: 11, .. }), "{kind:?}");
    let many = (0..20).fold(kv.atomic(), |atomic, n| atomic.set(key![n], 1));
    let kind = many.commit().unwrap_err().kind();
    assert!(matches!(kind, ErrorKind::LimitExceeded { max: 100, .. }), "{kind:?}");
    assert_eq!(keys(kv.list(prefix![])), [key!["a"]]);
}

#[test]
fn commits_leave_the_reserve_of_the_disk_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    // More than one segment of the log holds, so that the commit needs more of the disk.
    let half = vec![7; 9 << 20];
    for (reserve, is_refused) in [(u64::MAX, true), (0, false)] {
        let kv = Kv::builder(&path).limits(Limits::none()).reserve_bytes(reserve).open().unwrap();
        let large = kv.atomic().set(key!["a"], half.clone()).set(key!["b"], half.clone());
        let error = large.commit_buffered().err().map(|error| error.kind());
        assert_eq!(error, is_refused.then_some(ErrorKind::OutOfSpace));
        assert_eq!(kv.get(key!["a"]).unwrap().is_present(), !is_refused);
        kv.close().unwrap();
    }
}

#[test]
fn of_concurrent_read_modify_writes_none_is_lost() {
    const THREADS: u64 = 4;
    const INCREMENTS: u64 = 50;
    let (_directory, kv) = store();
    kv.set(key!["n"], 0).unwrap();
    let increment = || loop {
        let entry = kv.get(key!["n"]).unwrap();
        let next = entry.u64().unwrap() + 1;
        let commit = kv.atomic().check(&entry).set(key!["n"], next).commit_buffered().unwrap();
        if let Commit::Done { .. } = commit {
            return;
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| (0..INCREMENTS).for_each(|_| increment()));
        }
    });
    assert_eq!(kv.get(key!["n"]).unwrap().u64().unwrap(), THREADS * INCREMENTS);
}

#[test]
fn a_store_in_memory_is_not_copied_to_a_place_where_nobody_finds_it() {
    let directory = tempfile::tempdir().unwrap();
    let kv = Kv::in_memory().unwrap();
    let error = kv.checkpoint(directory.path().join("copy")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}
