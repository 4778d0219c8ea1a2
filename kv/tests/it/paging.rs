//! Pages and their cursors, and ranges of random keys beside an ordered set of them.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use icecore::{Commit, Error, Key, Kv, List, Selector, key, prefix};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

fn store<'k>(keys: impl IntoIterator<Item = &'k Key>) -> Kv {
    let kv = Kv::in_memory().unwrap();
    let sets = keys.into_iter().fold(kv.atomic(), |atomic, key| atomic.set(key, 0));
    assert!(matches!(sets.commit().unwrap(), Commit::Done { .. }));
    kv
}

fn letters() -> Kv {
    let keys = ["b", "c", "d", "e", "f"].map(|letter| key!["a", letter]);
    store(keys.iter().chain(&[key!["a"], key!["z"]]))
}

fn letters_of(list: &mut List) -> String {
    list.map(|entry| entry.unwrap().key.parts().unwrap()[1].as_str().unwrap().to_owned()).collect()
}

fn text<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    result.unwrap_err().text()
}

#[test]
fn a_cursor_goes_on_behind_the_last_entry_in_either_direction() {
    let kv = letters();
    let list = || kv.list(prefix!["a"]);
    let mut page = list().limit(2);
    assert_eq!(letters_of(&mut page), "bc");
    let cursor = page.cursor_after().unwrap();
    assert_eq!(cursor, "AmMA", "as Deno has it");
    assert_eq!(letters_of(&mut list().cursor(&cursor)), "def");
    assert_eq!(letters_of(&mut list().cursor(&cursor).limit(1)), "d");
    assert_eq!(letters_of(&mut list().cursor(&cursor).reverse()), "b");
    assert_eq!(letters_of(&mut list().cursor("")), "bcdef", "no cursor");
    assert_eq!(kv.keys(prefix!["a"]).cursor(&cursor).count(), 3);

    let mut page = list().reverse().limit(2);
    assert_eq!(letters_of(&mut page), "fe");
    let cursor = page.cursor_after().unwrap();
    assert_eq!(letters_of(&mut list().reverse().cursor(&cursor)), "dcb");
}

#[test]
fn there_is_no_cursor_before_the_first_entry_and_an_empty_one_at_the_end() {
    let kv = letters();
    let mut list = kv.list(prefix!["a"]);
    assert_eq!(text(list.cursor_after()), "Cannot get cursor before first iteration");
    assert_eq!(list.by_ref().take(5).count(), 5);
    assert_eq!(list.cursor_after().unwrap(), "AmYA", "nobody knows yet that it was the last");
    assert!(list.next().is_none());
    assert_eq!(list.cursor_after().unwrap(), "");
    let mut empty = kv.list(prefix!["x"]);
    assert!(empty.next().is_none());
    assert_eq!(empty.cursor_after().unwrap(), "");
}

#[test]
fn a_list_that_was_given_a_cursor_has_it_until_its_first_entry() {
    let kv = letters();
    let mut list = kv.list(prefix!["a"]).cursor("AmMA");
    assert_eq!(list.cursor_after().unwrap(), "AmMA");
    list.next().unwrap().unwrap();
    assert_eq!(list.cursor_after().unwrap(), "AmQA");
    let mut keys = kv.keys(prefix!["a"]).cursor("AmMA").limit(1);
    assert_eq!(keys.next().unwrap().unwrap(), key!["a", "d"]);
    assert!(keys.next().is_none(), "by its limit");
    assert_eq!(keys.cursor_after().unwrap(), "AmQA");
}

#[test]
fn pages_go_on_behind_a_first_key_that_its_range_begins_and_ends_with() {
    let kv = store(&[key!["a"], key!["a", 1], key!["a", 2]]);
    let range = || key!["a"]..key!["a", 9];
    let mut page = kv.keys(range()).limit(1);
    assert_eq!(page.next().unwrap().unwrap(), key!["a"]);
    let cursor = page.cursor_after().unwrap();
    assert_eq!(kv.keys(range()).cursor(&cursor).count(), 2);

    let mut all = kv.keys(range()).reverse().limit(3);
    assert_eq!(all.by_ref().count(), 3);
    let cursor = all.cursor_after().unwrap();
    assert_ne!(cursor, "", "the limit was met, and not the end");
    let mut none = kv.keys(range()).reverse().cursor(&cursor);
    assert!(none.next().is_none(), "nothing comes twice");
    assert_eq!(none.cursor_after().unwrap(), "");
}

#[test]
fn a_cursor_of_high_bytes_stays_within_its_selector() {
    let neighbours = [key!["a\0b", 1], key!["b"], key!["a", 1], key!["a"]];
    let kv = store(&neighbours);
    for cursor in ["_w==", "__8=", "_3Nl", "____"] {
        let below: Vec<Key> = keys_of_reversed(&kv, prefix!["a"], cursor);
        assert_eq!(below, [key!["a", 1]], "{cursor}");
        assert_eq!(keys_of_reversed(&kv, Selector::all(), cursor).len(), 4, "{cursor}");
    }
}

fn keys_of_reversed(kv: &Kv, selector: Selector, cursor: &str) -> Vec<Key> {
    keys_of(kv.list(selector).reverse().cursor(cursor))
}

#[test]
fn what_comes_from_the_back_does_not_move_the_cursor() {
    let kv = letters();
    let mut list = kv.list(prefix!["a"]);
    list.next().unwrap().unwrap();
    list.next_back().unwrap().unwrap();
    assert_eq!(list.cursor_after().unwrap(), "AmIA");
}

#[test]
fn a_cursor_holds_when_its_key_is_gone() {
    let kv = letters();
    kv.delete(key!["a", "c"]).unwrap();
    assert_eq!(letters_of(&mut kv.list(prefix!["a"]).cursor("AmMA")), "def");
    assert_eq!(letters_of(&mut kv.list(prefix!["a"]).reverse().cursor("AmMA")), "b");
}

#[test]
fn a_wrong_cursor_is_the_first_item_and_then_the_end() {
    let kv = letters();
    let range = || kv.list(key!["a", "c"]..key!["a", "e"]);
    // Everything up to the letter is common to both bounds.
    let (before, behind) = ("YgA=", "ZgA=");
    let long = "A".repeat(4 * 700);
    let lists = [
        (kv.list(prefix!["a"]).cursor(&long), "Key too large for read (max 2049 bytes)"),
        (kv.list(prefix!["a"]).cursor("A+8="), "invalid cursor"),
        (kv.list(prefix!["a"]).cursor("AmM"), "invalid cursor"),
        (range().cursor(before), "cursor out of bounds"),
        (range().reverse().cursor(behind), "cursor out of bounds"),
    ];
    for (mut list, expected) in lists {
        assert_eq!(text(list.next().unwrap()), expected);
        assert!(list.next().is_none());
    }
    assert_eq!(letters_of(&mut range().cursor(behind)), "", "behind the end there is nothing");
    assert_eq!(letters_of(&mut range().reverse().cursor(before)), "");
    assert_eq!(letters_of(&mut range().cursor("YwA=")), "d");
}

/// Few different keys, so that they are prefixes and neighbours of each other.
fn any_key() -> impl Strategy<Value = Key> {
    let text = prop_oneof![Just("a"), Just("a\0"), Just("a\0b"), Just("b"), Just("")];
    let part = prop_oneof![
        4 => text.prop_map(Key::of),
        2 => (-2i32..300).prop_map(Key::of),
        1 => any::<bool>().prop_map(Key::of),
        1 => vec(prop_oneof![Just(0u8), Just(255)], 0..3).prop_map(Key::of),
    ];
    vec(part, 1..4).prop_map(|parts| parts.iter().flat_map(|part| part.parts().unwrap()).collect())
}

/// A selector, and the keys that it selects.
fn any_selection() -> impl Strategy<Value = (BTreeSet<Key>, Selector, Vec<Key>)> {
    let keys = btree_set(any_key(), 1..40);
    (keys, any_key(), any_key(), 0..8u8).prop_map(|(keys, a, b, form)| {
        let (start, end) = if a <= b { (a, b) } else { (b, a) };
        let below = |key: &Key, prefix: &Key| key.starts_with(prefix) && key != prefix;
        let inside = |key: &Key, prefix: &Key| match key.encoded().strip_prefix(prefix.encoded()) {
            Some(rest) => !rest.is_empty(),
            None => false,
        };
        let select = |chosen: &dyn Fn(&Key) -> bool| -> Vec<Key> {
            keys.iter().filter(|key| chosen(key)).cloned().collect()
        };
        // In bytes an end may lie behind the prefix, and then its keys in between belong to it.
        let (selector, selected) = match form {
            0 => (Selector::prefix(&start), select(&|key| below(key, &start))),
            1 if inside(&end, &start) => (
                Selector::prefix(&start).start(&end),
                select(&|key| below(key, &start) && *key >= end),
            ),
            2 if inside(&end, &start) => (
                Selector::prefix(&start).end(&end),
                select(&|key| inside(key, &start) && *key < end),
            ),
            3 => (Selector::all(), select(&|_| true)),
            4 => {
                ((start.clone()..=end.clone()).into(), select(&|key| *key >= start && *key <= end))
            }
            5 => ((start.clone()..).into(), select(&|key| *key >= start)),
            6 => ((..end.clone()).into(), select(&|key| *key < end)),
            _ => ((start.clone()..end.clone()).into(), select(&|key| *key >= start && *key < end)),
        };
        (keys, selector, selected)
    })
}

fn keys_of(list: List) -> Vec<Key> {
    list.map(|entry| entry.unwrap().key).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn every_read_of_a_selector_finds_the_same_keys((keys, selector, expected) in any_selection()) {
        let kv = store(&keys);
        let backwards: Vec<Key> = expected.iter().rev().cloned().collect();
        prop_assert_eq!(keys_of(kv.list(&selector)), &expected[..], "{:?}", selector);
        prop_assert_eq!(keys_of(kv.list(&selector).reverse()), backwards);
        prop_assert_eq!(kv.count(&selector).unwrap(), expected.len() as u64);
        let found: Result<Vec<Key>, Error> = kv.keys(&selector).collect();
        prop_assert_eq!(found.unwrap(), expected);
    }

    #[test]
    fn pages_by_cursors_are_the_whole_list(
        (keys, selector, expected) in any_selection(), size in 1..5usize, reversed: bool,
    ) {
        let kv = store(&keys);
        let (mut paged, mut cursor) = (Vec::new(), String::new());
        loop {
            let list = kv.list(&selector).limit(size).cursor(&cursor);
            let mut page = if reversed { list.reverse() } else { list };
            let before = paged.len();
            paged.extend(page.by_ref().map(|entry| entry.unwrap().key));
            cursor = page.cursor_after().unwrap();
            prop_assert!(cursor.is_empty() || paged.len() - before == size);
            if cursor.is_empty() {
                break;
            }
        }
        if reversed {
            paged.reverse();
        }
        prop_assert_eq!(paged, expected);
    }

    #[test]
    fn a_list_from_both_ends_gives_every_entry_once(
        (keys, selector, expected) in any_selection(), turns in vec(any::<bool>(), 0..50),
    ) {
        let kv = store(&keys);
        let mut list = kv.list(&selector);
        let (mut front, mut back) = (Vec::new(), Vec::new());
        for from_back in turns.into_iter().chain([true; 50]) {
            let taken = if from_back { list.next_back() } else { list.next() };
            let Some(entry) = taken else { break };
            if from_back { &mut back } else { &mut front }.push(entry.unwrap().key);
        }
        front.extend(back.into_iter().rev());
        prop_assert_eq!(front, expected);
        prop_assert!(list.next().is_none() && list.next_back().is_none());
    }

    #[test]
    fn children_are_what_a_walk_over_all_keys_finds(
        keys in btree_set(any_key(), 1..40), prefix in any_key(), from_root: bool,
    ) {
        let prefix = if from_root { key![] } else { prefix };
        let kv = store(&keys);
        let depth = prefix.parts().unwrap().len();
        let below = keys.iter().filter(|key| key.starts_with(&prefix) && **key != prefix);
        let parts: BTreeSet<_> = below.map(|key| key.parts().unwrap()[depth].clone()).collect();
        let found: Result<Vec<_>, Error> = kv.children(&prefix).collect();
        prop_assert_eq!(found.unwrap(), Vec::from_iter(parts));
    }

    #[test]
    fn no_text_makes_a_cursor_panic_or_lead_outside(
        (keys, selector, expected) in any_selection(), text in any_cursor(), reversed: bool,
    ) {
        let list = store(&keys).list(&selector).cursor(&text);
        let list = if reversed { list.reverse() } else { list };
        for entry in list {
            match entry {
                Ok(entry) => prop_assert!(expected.contains(&entry.key)),
                Err(error) => prop_assert!(error.text().contains("cursor"), "{}", error),
            }
        }
    }
}

/// Texts of any letters that cursors have, and what any bytes are as a cursor.
fn any_cursor() -> impl Strategy<Value = String> {
    let byte = prop_oneof![Just(0u8), Just(1), Just(b'a'), Just(0xfe), Just(0xff), any::<u8>()];
    prop_oneof![
        1 => "[A-Da-d0-3x-z_=-]{0,12}",
        3 => vec(byte, 0..6).prop_map(|bytes| URL_SAFE.encode(bytes)),
    ]
}
