//! Cursors in Deno's form.

use super::*;
use crate::key::Key;
use crate::{Selector, key, prefix};

fn bounds(selector: impl Into<Selector>) -> Bounds {
    selector.into().resolved().unwrap().clone()
}

fn cursor_of(selector: impl Into<Selector>, key: &Key) -> String {
    cursor(&bounds(selector), key.stored())
}

#[test]
fn a_cursor_is_what_the_key_has_beyond_the_selector() {
    assert_eq!(cursor_of(prefix!["a"], &key!["a", "b"]), "AmIA");
    assert_eq!(cursor_of(prefix![], &key!["a", "b"]), "AmEAAmIA");
    // 02 61 is common to both bounds.
    assert_eq!(cursor_of(key!["a"]..key!["ab"], &key!["a", true]), "ACc=");
    assert_eq!(cursor_of(prefix!["a"], &key!["a", &[0xfbu8, 0xff]]), "Afv_AA==", "for URLs");
}

#[test]
fn the_cursor_of_a_first_key_that_is_common_to_both_bounds_is_not_empty() {
    let (all, first) = (bounds(key!["a"]..key!["a", 9]), key!["a"]);
    let common = cursor(&all, first.stored());
    assert_eq!(common, "AA==");
    let rest = behind(&all, &common, false).unwrap();
    assert!(rest.start.as_slice() > first.stored());
    assert!(rest.start.as_slice() < key!["a", &[0u8; 0]].stored());
    let before = behind(&all, &common, true).unwrap();
    assert_eq!(before.end, first.stored(), "nothing is before it");
}

#[test]
fn a_key_that_goes_on_with_a_zero_byte_has_the_same_cursor_in_another_range() {
    // 02 61 is common to both bounds, and the key ends with the zero byte.
    let (all, first) = (bounds(key!["a"]..key!["ab"]), key!["a"]);
    assert_eq!(cursor(&all, first.stored()), "AA==");
    assert_eq!(behind(&all, "AA==", true).unwrap().end, first.stored());
    let rest = behind(&all, "AA==", false).unwrap();
    assert_eq!(rest.start, [first.stored(), &[0]].concat());
}

#[test]
fn what_is_left_is_never_more_than_the_selector() {
    let high = URL_SAFE.encode([0xff, 0xff]);
    for all in [bounds(prefix!["a"]), bounds(prefix!["a"].start(key!["a", 3]))] {
        assert_eq!(behind(&all, &high, true).unwrap(), all);
    }
}

#[test]
fn going_on_forwards_starts_behind_the_key_and_backwards_ends_before_it() {
    let (all, key) = (bounds(prefix!["a"]), key!["a", "b"]);
    let forwards = behind(&all, "AmIA", false).unwrap();
    assert_eq!(forwards, Bounds { start: [key.stored(), &[0]].concat(), ..all.clone() });
    let backwards = behind(&all, "AmIA", true).unwrap();
    assert_eq!(backwards, Bounds { end: key.stored().to_vec(), ..all.clone() });
    assert_eq!(behind(&all, "", false).unwrap(), all);
}

#[test]
fn what_is_not_base64_for_urls_with_padding_is_no_cursor() {
    for text in ["A+8=", "A/8=", "AmI", "Am I", "A===", "é", "AmIA="] {
        let error = behind(&bounds(prefix!["a"]), text, false).unwrap_err();
        assert_eq!(error.text(), "invalid cursor", "{text}");
    }
}

#[test]
fn a_cursor_outside_of_named_bounds_is_refused() {
    let out = "cursor out of bounds";
    let (below, above) = (URL_SAFE.encode([0]), URL_SAFE.encode([0xff]));
    let named = bounds(key!["a", 3]..key!["a", 5]);
    assert_eq!(behind(&named, &below, false).unwrap_err().text(), out);
    assert_eq!(behind(&named, &above, true).unwrap_err().text(), out);
    // A forward list that begins behind its end is empty, and so is a backward list before its
    // start; and where no bound was named, none is compared.
    assert!(behind(&named, &above, false).is_ok_and(|rest| rest.start > rest.end));
    assert!(behind(&named, &below, true).is_ok_and(|rest| rest.start > rest.end));
    let prefix = bounds(prefix!["a"]);
    assert!(behind(&prefix, &below, false).is_ok());
    assert!(behind(&prefix, &above, true).is_ok());
    let half = bounds(prefix!["a"].start(key!["a", 3]));
    assert_eq!(behind(&half, &below, false).unwrap_err().text(), out);
    assert!(behind(&half, &above, true).is_ok());
}
