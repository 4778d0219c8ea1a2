//! Every form of a selector, and the errors in Deno's words.

use std::ops::Bound;

use super::*;
use crate::key;

/// The bounds without the keyspace byte.
fn encoded(selector: impl Into<Selector>) -> (Vec<u8>, Vec<u8>) {
    let selector = selector.into();
    let (start, end) = selector.bounds().unwrap();
    (start[1..].to_vec(), end[1..].to_vec())
}

fn then(key: &Key, last: u8) -> Vec<u8> {
    [key.encoded(), &[last]].concat()
}

#[test]
fn each_form_of_deno_has_its_range() {
    let (p, s, e) = (key!["p"], key!["p", "s"], key!["p", "x"]);
    let bytes = |key: &Key| key.encoded().to_vec();
    assert_eq!(encoded(prefix!["p"]), (then(&p, 0), then(&p, 0xff)));
    assert_eq!(encoded(prefix!["p"].start(&s)), (bytes(&s), then(&p, 0xff)));
    assert_eq!(encoded(prefix!["p"].end(&e)), (then(&p, 0), bytes(&e)));
    assert_eq!(encoded(s.clone()..e.clone()), (bytes(&s), bytes(&e)));
    assert_eq!(encoded(prefix![]), (vec![0], vec![0xff]));
    assert_eq!(encoded(Selector::prefix(&p)), encoded(prefix!["p"]));
    assert_eq!(encoded(Selector::all().start(&s).end(&e)), encoded(s..e));
}

#[test]
fn ranges_of_rust_are_selectors() {
    let (a, b) = (key!["a"], key!["b"]);
    let (from_a, below_b) = (a.encoded().to_vec(), b.encoded().to_vec());
    assert_eq!(encoded(a.clone()..=b.clone()), (from_a.clone(), then(&b, 0)));
    assert_eq!(encoded(..b.clone()), (vec![], below_b.clone()));
    assert_eq!(encoded(..=b.clone()), (vec![], then(&b, 0)));
    let all = Selector::from(..).resolved().unwrap().clone();
    assert_eq!(&all, Selector::all().resolved().unwrap());
    let open = Selector::from(a.clone()..);
    let open = open.resolved().unwrap();
    assert_eq!((&open.start[1..], &open.end), (&from_a[..], &all.end));
    let behind_a = (Bound::Excluded(a.clone()), Bound::Excluded(b));
    assert_eq!(encoded(behind_a), (then(&a, 0), below_b));
}

#[test]
fn a_selector_shows_its_keys() {
    let shown = format!("{:?}", prefix!["p"].end(key!["p", 1]));
    let expected =
        r#"Selector { prefix: Some(["p"]), start: Unbounded, end: Excluded(["p", 1n]) }"#;
    assert_eq!(shown, expected);
}

#[test]
fn what_all_keys_have_in_common_is_the_prefix_or_the_bytes_of_both_bounds() {
    let common = |selector: Selector| {
        let bounds = selector.resolved().unwrap();
        bounds.start[1..bounds.common].to_vec()
    };
    assert_eq!(common(prefix!["ab"]), key!["ab"].encoded());
    assert_eq!(common(prefix!["ab"].start(key!["ab", 1])), key!["ab"].encoded());
    assert_eq!(common(Selector::from(key!["abc"]..key!["abd"])), b"\x02ab");
    assert_eq!(common(Selector::from(key!["abc"]..)), b"");
    assert_eq!(common(Selector::all()), b"");
}

#[test]
fn a_selector_that_makes_no_sense_is_refused_in_the_words_of_deno() {
    let text = |selector: Selector| {
        let error = selector.resolved().unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::InvalidArgument);
        error.text()
    };
    let start = "Start key is not in the keyspace defined by prefix";
    let end = "End key is not in the keyspace defined by prefix";
    for outside in [key!["p"], key!["o", 1], key!["pq", 1], key![]] {
        assert_eq!(text(prefix!["p"].start(&outside)), start, "{outside}");
        assert_eq!(text(prefix!["p"].end(&outside)), end, "{outside}");
    }
    assert_eq!(
        text(prefix!["p"].start(key!["p", 1]).end(key!["p", 2])),
        "Selector can not specify both 'start' and 'end' key when specifying 'prefix'"
    );
    assert_eq!(text((key!["b"]..key!["a"]).into()), "Start key is greater than end key");
    let error = Selector::from(key!["b"]..key!["a"]).resolved().unwrap_err();
    let detailed = r#"Start key is greater than end key: from ["b"] to ["a"]"#;
    assert_eq!(error.to_string(), detailed);
}

#[test]
fn the_form_of_deno_needs_a_prefix_or_both_bounds() {
    let (a, b) = (Some(key!["a"]), Some(key!["b"]));
    let neither = "Selector must specify either 'prefix' or both 'start' and 'end' key";
    for (start, end) in [(None, None), (a.clone(), None), (None, b.clone())] {
        assert_eq!(Selector::new(None, start, end).unwrap_err().text(), neither);
    }
    assert_eq!(Selector::new(a.clone(), None, None).unwrap(), prefix!["a"]);
    assert_eq!(Selector::new(None, a.clone(), b).unwrap(), (key!["a"]..key!["b"]).into());
    let inside = Some(key!["a", 1]);
    assert_eq!(
        Selector::new(a.clone(), inside.clone(), None).unwrap(),
        prefix!["a"].start(key!["a", 1])
    );
    assert!(Selector::new(a.clone(), inside.clone(), inside).is_err());
    assert!(Selector::new(None, a.clone(), a).is_ok(), "an empty range is one");
}

#[test]
fn whether_a_bound_is_below_the_prefix_is_a_matter_of_bytes() {
    let selector = prefix!["a"].start(key!["a\0b"]);
    let bounds = selector.resolved().unwrap();
    assert!(bounds.start >= bounds.end, "it selects nothing");
}

#[test]
fn ranges_of_borrowed_keys_select_what_ranges_of_keys_do() {
    let (a, b) = (&key!["a"], &key!["b"]);
    assert_eq!(Selector::from(a..b), Selector::from(key!["a"]..key!["b"]));
    assert_eq!(Selector::from(a..=b), Selector::from(key!["a"]..=key!["b"]));
    assert_eq!(Selector::from(a..), Selector::from(key!["a"]..));
    assert_eq!(Selector::from(..b), Selector::from(..key!["b"]));
    assert_eq!(Selector::from(..=b), Selector::from(..=key!["b"]));
}
