//! Every read, and everything that Deno says about it: ranges, errors, cursors, moments.

use icecore::{
    Commit, Consistency, Entry, Error, ErrorKind, Key, Kv, Limits, List, Part, Selector, key,
    prefix,
};

/// A store with these keys, each with its place as its value.
fn store(keys: &[Key]) -> Kv {
    let kv = Kv::in_memory().unwrap();
    for (place, key) in keys.iter().enumerate() {
        kv.set(key, place as u64).unwrap();
    }
    kv
}

fn keys_of(entries: impl Iterator<Item = Result<Entry, Error>>) -> Vec<Key> {
    entries.map(|entry| entry.unwrap().key).collect()
}

/// The only item of a list that cannot be read.
fn refusal(mut list: List) -> Error {
    let error = list.next().unwrap().unwrap_err();
    assert!(list.next().is_none() && list.next_back().is_none(), "it ends after the error");
    error
}

/// Keys at the edges of the prefix `["a"]`.
fn family() -> [Key; 8] {
    [
        key!["a"],
        key!["a", &[0u8]],
        key!["a", "b"],
        key!["a", "b", 1],
        key!["a", "c"],
        key!["a", true],
        key!["a\0b"],
        key!["b"],
    ]
}

#[test]
fn get_gives_this_key_and_no_other() {
    let kv = store(&[key!["a", "b"]]);
    let entry = kv.get(key!["a", "b"]).unwrap();
    assert_eq!((entry.u64().unwrap(), entry.is_present()), (0, true));
    for absent in [key!["a"], key!["a", "b", 1], key!["a", "a"], key![]] {
        let entry = kv.get(&absent).unwrap();
        assert_eq!((entry.value, entry.versionstamp), (None, None));
        assert_eq!(entry.key, absent);
    }
}

#[test]
fn get_many_keeps_the_order_and_takes_a_key_twice() {
    let kv = store(&[key!["a"], key!["b"]]);
    let entries = kv.get_many([key!["b"], key!["x"], key!["a"], key!["b"]]).unwrap();
    let values = entries.map(|entry| entry.u64().ok());
    assert_eq!(values, [Some(1), None, Some(0), Some(1)]);
    assert!(kv.get_many::<Key, 0>([]).unwrap().is_empty());
    assert_eq!(kv.get_many([("a",)]).unwrap()[0].key, key!["a"]);
}

#[test]
fn get_many_takes_ten_keys_and_get_all_any_number() {
    let kv = store(&[key![7]]);
    assert!(kv.get_many([0; 10].map(|part| key![part])).is_ok());
    let error = kv.get_many([0; 11].map(|part| key![part])).unwrap_err();
    assert_eq!(error.text(), "Too many ranges (max 10)");
    let snapshot = kv.snapshot().unwrap();
    let error = snapshot.get_many([0; 11].map(|part| key![part])).unwrap_err();
    assert_eq!(error.text(), "Too many ranges (max 10)");
    let all: Vec<Entry> = kv.get_all((0..300).map(|part| key![part])).unwrap();
    let present: Vec<&Key> = all.iter().filter(|e| e.is_present()).map(|e| &e.key).collect();
    assert_eq!((all.len(), present), (300, vec![&key![7]]));
}

#[test]
fn a_key_of_2049_bytes_is_too_large_for_every_read() {
    let kv = store(&[]);
    // A string takes its tag and its end besides its bytes.
    let of_bytes = |bytes: usize| key!["x".repeat(bytes - 2)];
    let (fits, large) = (of_bytes(2048), of_bytes(2049));
    assert!(kv.get(&fits).is_ok() && kv.get_all([&fits]).is_ok());
    assert!(kv.list(Selector::prefix(&fits)).next().is_none());
    assert!(kv.list(fits.clone()..large.clone()).next().is_none(), "as an end it fits");
    let text = "Key too large for read (max 2049 bytes)";
    let snapshot = kv.snapshot().unwrap();
    let errors = [
        kv.get(&large).unwrap_err(),
        kv.get_many([&large]).unwrap_err(),
        kv.get_all([&large]).unwrap_err(),
        snapshot.get(&large).unwrap_err(),
        kv.count(Selector::prefix(&large)).unwrap_err(),
        kv.keys(Selector::prefix(&large)).next().unwrap().unwrap_err(),
        kv.children(&large).next().unwrap().unwrap_err(),
        refusal(kv.list(Selector::prefix(&large))),
        refusal(kv.list(fits.clone()..of_bytes(2050))),
        refusal(kv.list(fits..=large)),
    ];
    for error in errors {
        assert_eq!(error.text(), text);
        assert!(matches!(error.kind(), ErrorKind::LimitExceeded { max: 2049, .. }), "{error}");
    }
}

#[test]
fn a_prefix_leaves_out_its_own_key_and_its_neighbours() {
    let family = family();
    let kv = store(&family);
    assert_eq!(keys_of(kv.list(prefix!["a"])), family[1..6]);
    assert_eq!(keys_of(kv.list(prefix!["a", "b"])), family[3..4]);
    assert_eq!(keys_of(kv.list(prefix!["c"])), []);
}

#[test]
fn a_prefix_with_a_start_goes_to_its_end_and_with_an_end_from_its_start() {
    let family = family();
    let kv = store(&family);
    assert_eq!(keys_of(kv.list(prefix!["a"].start(&family[3]))), family[3..6]);
    assert_eq!(keys_of(kv.list(prefix!["a"].start(key!["a", "b", 0]))), family[3..6]);
    assert_eq!(keys_of(kv.list(prefix!["a"].end(&family[3]))), family[1..3]);
}

#[test]
fn a_range_has_its_start_and_not_its_end() {
    let family = family();
    let kv = store(&family);
    assert_eq!(keys_of(kv.list(family[2].clone()..family[5].clone())), family[2..5]);
    assert_eq!(keys_of(kv.list(family[2].clone()..=family[5].clone())), family[2..6]);
    assert_eq!(keys_of(kv.list(family[2].clone()..)), family[2..]);
    assert_eq!(keys_of(kv.list(..family[2].clone())), family[..2]);
    assert_eq!(keys_of(kv.list(..=family[2].clone())), family[..3]);
    assert_eq!(keys_of(kv.list(key![]..key!["b"])), family[..7]);
    assert_eq!(keys_of(kv.list(family[2].clone()..family[2].clone())), [], "no error");
}

#[test]
fn the_empty_prefix_is_everything() {
    let family = family();
    let kv = store(&family);
    for everything in [prefix![], Selector::all(), Selector::from(..)] {
        assert_eq!(keys_of(kv.list(everything)), family);
    }
}

#[test]
fn a_start_within_the_prefix_in_bytes_only_selects_nothing() {
    let kv = store(&family());
    assert_eq!(keys_of(kv.list(prefix!["a"].start(key!["a\0b"]))), []);
}

#[test]
fn what_is_wrong_with_a_selector_is_the_first_item_of_its_list() {
    let kv = store(&family());
    let vectors = [
        (
            prefix!["a"].start(key!["a", 1]).end(key!["a", 2]),
            "Selector can not specify both 'start' and 'end' key when specifying 'prefix'",
        ),
        (prefix!["a"].start(key!["a"]), "Start key is not in the keyspace defined by prefix"),
        (prefix!["a"].end(key!["b", 1]), "End key is not in the keyspace defined by prefix"),
        (Selector::from(key!["b"]..key!["a"]), "Start key is greater than end key"),
    ];
    for (selector, text) in vectors {
        assert_eq!(refusal(kv.list(&selector)).text(), text);
        assert_eq!(refusal(kv.list(&selector).reverse()).text(), text);
        assert_eq!(kv.keys(&selector).next().unwrap().unwrap_err().text(), text);
        assert_eq!(kv.count(&selector).unwrap_err().text(), text);
    }
    let neither = Selector::new(None, Some(key!["a"]), None).unwrap_err();
    let text = "Selector must specify either 'prefix' or both 'start' and 'end' key";
    assert_eq!(neither.text(), text);
}

#[test]
fn limits_and_batch_sizes_are_positive_and_batches_have_a_maximum() {
    let kv = store(&family());
    let list = || kv.list(prefix!["a"]);
    let text = |list: List| refusal(list).text();
    assert_eq!(text(list().limit(0)), "Limit must be a positive integer: received 0");
    assert_eq!(text(list().batch_size(0)), "batchSize must be a positive integer: received 0");
    assert_eq!(text(list().batch_size(1001)), "Too many entries (max 1000)");
    assert_eq!(list().batch_size(1000).count(), 5);
    assert_eq!(list().batch_size(1).count(), 5, "batches do not limit");
    assert_eq!(list().limit(5000).count(), 5, "a limit is no batch");
    let wider = Kv::builder_in_memory().limits(Limits::default().list_batch_entries(2000));
    assert!(wider.open().unwrap().list(prefix![]).batch_size(1001).next().is_none());
}

#[test]
fn of_several_faults_of_a_list_limit_comes_first_then_batch_size_then_selector() {
    let kv = store(&family());
    let list = || kv.list(key!["b"]..key!["a"]).cursor("no cursor").batch_size(1001);
    let text = |list: List| refusal(list).text();
    let limit = "Limit must be a positive integer: received 0";
    assert_eq!(text(list().batch_size(0).limit(0)), limit);
    let batch = "batchSize must be a positive integer: received 0";
    assert_eq!(text(list().batch_size(0)), batch);
    assert_eq!(text(list()), "Start key is greater than end key");
    let other = kv.list(prefix!["a"]).cursor("no cursor").batch_size(1001);
    assert_eq!(text(other), "invalid cursor");
}

#[test]
fn reverse_turns_the_order_and_not_the_bounds() {
    let family = family();
    let kv = store(&family);
    let range = || family[2].clone()..family[5].clone();
    let expected: Vec<Key> = family[2..5].iter().rev().cloned().collect();
    assert_eq!(keys_of(kv.list(range()).reverse()), expected);
    assert_eq!(keys_of(kv.list(range()).reverse().limit(2)), expected[..2]);
    assert_eq!(keys_of(kv.list(range()).reverse().reverse()), family[2..5]);
    let mut both = kv.list(range()).reverse();
    assert_eq!(both.next_back().unwrap().unwrap().key, family[2]);
    assert_eq!(both.size_hint(), (0, None));
}

#[test]
fn settings_come_before_the_first_entry() {
    let family = family();
    let kv = store(&family);
    let mut list = kv.list(prefix!["a"]).limit(3).consistency(Consistency::Eventual);
    assert_eq!(list.size_hint(), (0, Some(3)));
    list.next().unwrap().unwrap();
    assert_eq!(keys_of(list.limit(1).reverse().cursor("AmIA")), family[2..4]);
}

#[test]
fn the_store_of_a_list_may_be_closed_meanwhile() {
    let kv = store(&family());
    let (made, mut begun) = (kv.list(prefix!["a"]), kv.list(prefix!["a"]));
    begun.next().unwrap().unwrap();
    kv.close().unwrap();
    for list in [made, begun, kv.list(prefix!["a"])] {
        assert_eq!(refusal(list).kind(), ErrorKind::Closed);
    }
    assert_eq!(kv.keys(..).next().unwrap().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(kv.children(key![]).next().unwrap().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(kv.list_many([prefix![]]).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(kv.get(key!["a"]).unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn a_list_is_of_the_moment_of_its_call() {
    let kv = store(&[key![1], key![2], key![3]]);
    let mut list = kv.list(prefix![]);
    kv.delete(key![1]).unwrap();
    assert_eq!(list.next().unwrap().unwrap().key, key![1], "also before its first entry");
    kv.delete(key![2]).unwrap();
    kv.set(key![4], "later").unwrap();
    assert_eq!(keys_of(list), [key![2], key![3]]);
}

#[test]
fn lists_that_are_made_together_are_of_one_moment() {
    let kv = store(&[key!["a", 1], key!["b", 1]]);
    let mut lists = kv.list_many([prefix!["a"], prefix!["b"], prefix!["c"]]).unwrap();
    kv.delete(key!["b", 1]).unwrap();
    kv.set(key!["c", 1], 1).unwrap();
    let found: Vec<_> = lists.drain(..).map(keys_of).collect();
    assert_eq!(found, [vec![key!["a", 1]], vec![key!["b", 1]], vec![]]);
}

#[test]
fn a_snapshot_stays_as_it_is_for_every_read() {
    let kv = store(&[key!["a", 1], key!["a", 2]]);
    let last = kv.get(key!["a", 2]).unwrap().versionstamp.unwrap();
    let snapshot = kv.snapshot().unwrap();
    let changed = kv.atomic().set(key!["a", 1], 7).delete(key!["a", 2]).set(key!["b", 1], 8);
    assert!(matches!(changed.commit().unwrap(), Commit::Done { .. }));
    kv.flush().unwrap();

    assert_eq!(snapshot.versionstamp(), last);
    assert_eq!(snapshot.get(key!["a", 1]).unwrap().u64().unwrap(), 0);
    let [deleted, added] = snapshot.get_many([key!["a", 2], key!["b", 1]]).unwrap();
    assert_eq!((deleted.u64().unwrap(), added.is_present()), (1, false));
    let all = snapshot.get_all([("a", 1), ("a", 2)]).unwrap();
    assert!(all.iter().all(Entry::is_present));
    assert_eq!(keys_of(snapshot.list(prefix!["a"])), [key!["a", 1], key!["a", 2]]);
    assert_eq!(snapshot.keys(..).count(), 2);
    assert_eq!(snapshot.count(..).unwrap(), 2);
    let mut lists = snapshot.list_many([prefix!["a"], prefix!["b"]]).into_iter().map(keys_of);
    assert_eq!((lists.next().unwrap().len(), lists.next().unwrap().len()), (2, 0));
    assert_eq!(snapshot.children(key![]).count(), 1);
    assert_eq!(snapshot.clone().children(key!["a"]).count(), 2);
    assert_eq!(kv.count(..).unwrap(), 2, "which are two others");
}

#[test]
fn the_snapshot_of_a_new_store_has_no_versionstamp_that_a_commit_could_have() {
    let kv = store(&[]);
    let snapshot = kv.snapshot().unwrap();
    assert!(snapshot.versionstamp() < kv.set(key![1], 1).unwrap());
    assert_eq!(snapshot.versionstamp().to_string(), "00000000000000000000");
}

#[test]
fn children_are_the_distinct_next_parts() {
    let kv = store(&[
        key!["a"],
        key!["a", "b"],
        key!["a", "b", 1],
        key!["a", "b", 2],
        key!["a", "b\0c", 1],
        key!["a", 3, "x", "y"],
        key!["a", 3, "z"],
        key!["a\0b", 9],
        key!["b", 1],
    ]);
    let children = |prefix: Key| -> Vec<Key> {
        kv.children(prefix).map(|part| Key::of(part.unwrap())).collect()
    };
    assert_eq!(children(key!["a"]), [key!["b"], key!["b\0c"], key![3]]);
    assert_eq!(children(key!["a", "b"]), [key![1], key![2]]);
    assert_eq!(children(key!["a", "b", 1]), []);
    assert_eq!(children(key![]), [key!["a"], key!["a\0b"], key!["b"]]);
    let first: Part = kv.children(("a",)).next().unwrap().unwrap();
    assert_eq!(first.as_str(), Some("b"));
}

#[test]
fn the_names_of_consistency_are_those_of_deno() {
    assert_eq!("strong".parse::<Consistency>().unwrap(), Consistency::default());
    assert_eq!("eventual".parse::<Consistency>().unwrap().to_string(), "eventual");
    let text = "unknown variant `foo`, expected `strong` or `eventual`";
    assert_eq!("foo".parse::<Consistency>().unwrap_err().to_string(), text);
}
