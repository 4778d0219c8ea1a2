use std::collections::BTreeMap;

use icecore_model::Effects;
use proptest::prelude::*;

use super::*;

/// Where the clock of the tests stands.
const NOW_MS: u64 = 100;

/// The stamp of the commit that is resolved.
const STAMP: Versionstamp = Versionstamp::new(0xab);

/// The values before the commit, with the moments at which they expire.
#[derive(Clone, Debug, Default, PartialEq)]
struct State(BTreeMap<Vec<u8>, (Vec<u8>, Option<Timestamp>)>);

impl State {
    fn of(entries: &[(&str, &str)]) -> State {
        let owned = |(key, value): &(&str, &str)| {
            (key.as_bytes().to_vec(), (value.as_bytes().to_vec(), None))
        };
        State(entries.iter().map(owned).collect())
    }

    fn present(&self, key: &[u8]) -> Option<Current<'_>> {
        let (value, expires_at) = self.0.get(key)?;
        let current = Current { value, expires_at: *expires_at };
        (!expires_at.is_some_and(|moment| self.has_expired(moment))).then_some(current)
    }
}

impl Base for State {
    fn look(&self, key: &[u8], see: &mut Look<'_>) -> Result<(), Error> {
        see(self.present(key))
    }

    fn has_expired(&self, moment: Timestamp) -> bool {
        moment.ms() <= NOW_MS
    }

    fn check_value_bytes(&self, _bytes: usize) -> Result<(), Error> {
        Ok(())
    }
}

fn set<'a>(key: &'a str, value: &'a str) -> Mutation<'a> {
    Mutation::Set { key: key.as_bytes(), value: value.as_bytes(), expires_at: None }
}

fn set_until<'a>(key: &'a str, value: &'a str, ms: u64) -> Mutation<'a> {
    let expires_at = Timestamp::from_ms(ms);
    Mutation::Set { key: key.as_bytes(), value: value.as_bytes(), expires_at }
}

fn stamped<'a>(prefix: &'a str, value: &'a str) -> Mutation<'a> {
    let (prefix, value) = (prefix.as_bytes(), value.as_bytes());
    Mutation::SetVersionstamped { prefix, suffix: b"", value, expires_at: None }
}

fn delete(key: &str) -> Mutation<'_> {
    Mutation::Delete { key: key.as_bytes() }
}

fn range<'a>(start: &'a str, end: &'a str) -> Mutation<'a> {
    Mutation::DeleteRange { start: start.as_bytes(), end: end.as_bytes() }
}

/// Appends an exclamation mark, to nothing if the key is absent; keeps the expiry.
fn exclaim(key: &str) -> Mutation<'_> {
    Mutation::Update { key: key.as_bytes(), update: &exclaimed }
}

fn exclaimed(current: Option<Current<'_>>) -> Result<Updated, Error> {
    let mut value = current.map_or_else(Vec::new, |current| current.value.to_vec());
    value.push(b'!');
    Ok(Updated::Set { value, expires_at: current.and_then(|current| current.expires_at) })
}

fn vanish(key: &str) -> Mutation<'_> {
    Mutation::Update { key: key.as_bytes(), update: &|_| Ok(Updated::Delete) }
}

fn keep(key: &str) -> Mutation<'_> {
    Mutation::Update { key: key.as_bytes(), update: &|_| Ok(Updated::Keep) }
}

fn fail(key: &str) -> Mutation<'_> {
    Mutation::Update { key: key.as_bytes(), update: &|_| Err(Error::invalid("not a number")) }
}

/// The effects in words.
fn resolved(base: &State, mutations: &[Mutation<'_>]) -> Vec<String> {
    let mut out = Vec::new();
    resolve(mutations, STAMP, base, &mut out).unwrap();
    Effects::new(&out).map(|effect| describe(effect.unwrap())).collect()
}

fn describe(effect: Effect<'_>) -> String {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    match effect {
        Effect::Point { key, change: Change::Put { value, expires_at } } => {
            if let Some((moment, key)) = keyspace::parse_expiry_key(key) {
                assert_eq!((value, expires_at), (&b""[..], None), "an index entry is a bare key");
                return format!("index {} {}", moment.ms(), text(key));
            }
            let until = expires_at.map_or_else(String::new, |m| format!(" until {}", m.ms()));
            format!("put {}={}{until}", text(key), text(value))
        }
        Effect::Point { key, change: Change::Delete } => format!("delete {}", text(key)),
        Effect::DeleteRange { start, end } => format!("delete {}..{}", text(start), text(end)),
    }
}

#[test]
fn a_later_mutation_of_a_key_replaces_the_earlier_effect() {
    let base = State::of(&[("a", "old")]);
    let cases: &[(&[Mutation<'_>], &[&str])] = &[
        (&[], &[]),
        (&[set("a", "1")], &["put a=1"]),
        (&[delete("a")], &["delete a"]),
        (&[set("a", "1"), delete("a")], &["delete a"]),
        (&[delete("a"), set("a", "1")], &["put a=1"]),
        (&[set("a", "1"), set("a", "2")], &["put a=2"]),
        (&[set("a", "1"), set("b", "2"), set("a", "3")], &["put a=3", "put b=2"]),
        (&[delete("b"), delete("b")], &["delete b"]),
    ];
    for (mutations, expected) in cases {
        assert_eq!(resolved(&base, mutations), *expected, "{mutations:?}");
    }
}

#[test]
fn an_update_sees_what_the_mutations_before_it_have_left() {
    let base = State::of(&[("a", "old")]);
    let cases: &[(&[Mutation<'_>], &[&str])] = &[
        (&[exclaim("a")], &["put a=old!"]),
        (&[exclaim("b")], &["put b=!"]),
        (&[exclaim("a"), exclaim("a"), exclaim("a")], &["put a=old!!!"]),
        (&[set("a", "1"), exclaim("a")], &["put a=1!"]),
        (&[exclaim("a"), set("a", "1")], &["put a=1"]),
        (&[delete("a"), exclaim("a")], &["put a=!"]),
        (&[vanish("a"), exclaim("a")], &["put a=!"]),
        (&[exclaim("a"), vanish("a")], &["delete a"]),
        (&[keep("a")], &[]),
        (&[set("a", "1"), keep("a")], &["put a=1"]),
    ];
    for (mutations, expected) in cases {
        assert_eq!(resolved(&base, mutations), *expected, "{mutations:?}");
    }
}

#[test]
fn a_range_deletion_drops_earlier_effects_inside_it_and_spares_later_ones() {
    let base = State::of(&[("b", "old"), ("d", "old")]);
    let cases: &[(&[Mutation<'_>], &[&str])] = &[
        (&[range("a", "c")], &["delete a..c"]),
        (&[set("b", "1"), range("a", "c")], &["delete a..c"]),
        (&[range("a", "c"), set("b", "1")], &["delete a..c", "put b=1"]),
        (&[set("a", "1"), set("c", "1"), range("a", "c")], &["delete a..c", "put c=1"]),
        (&[set("b", "1"), range("a", "c"), set("b", "2")], &["delete a..c", "put b=2"]),
        (&[set("b", "1"), range("a", "c"), exclaim("b")], &["delete a..c", "put b=!"]),
        (&[range("a", "c"), exclaim("b"), exclaim("d")], &["delete a..c", "put b=!", "put d=old!"]),
        (&[range("a", "c"), exclaim("c")], &["delete a..c", "put c=!"]),
        (&[range("a", "c"), range("b", "d")], &["delete a..c", "delete b..d"]),
        (&[range("a", "c"), set("b", "1"), range("b", "d")], &["delete a..c", "delete b..d"]),
    ];
    for (mutations, expected) in cases {
        assert_eq!(resolved(&base, mutations), *expected, "{mutations:?}");
    }
}

#[test]
fn an_entry_that_expires_has_a_companion_in_the_index() {
    let base = State::default();
    let cases: &[(&[Mutation<'_>], &[&str])] = &[
        (&[set_until("a", "1", 500)], &["put a=1 until 500", "index 500 a"]),
        (
            &[set("b", "2"), set_until("a", "1", 500)],
            &["put b=2", "put a=1 until 500", "index 500 a"],
        ),
        (&[set_until("a", "1", 500), set("a", "2")], &["put a=2"]),
        (&[set_until("a", "1", 500), delete("a")], &["delete a"]),
        (&[set_until("a", "1", 500), range("a", "b")], &["delete a..b"]),
        (
            &[set_until("a", "1", 500), set_until("a", "2", 600)],
            &["put a=2 until 600", "index 600 a"],
        ),
        (&[set_until("a", "1", 500), exclaim("a")], &["put a=1! until 500", "index 500 a"]),
    ];
    for (mutations, expected) in cases {
        assert_eq!(resolved(&base, mutations), *expected, "{mutations:?}");
    }
}

#[test]
fn an_update_finds_what_has_expired_absent() {
    let mut base = State::of(&[("a", "old")]);
    base.0.get_mut(&b"a"[..]).unwrap().1 = Timestamp::from_ms(NOW_MS);
    assert_eq!(resolved(&base, &[exclaim("a")]), ["put a=!"]);
    assert_eq!(resolved(&base, &[set_until("b", "1", NOW_MS), exclaim("b")]), ["put b=!"]);
    assert_eq!(
        resolved(&base, &[set_until("b", "1", NOW_MS + 1), exclaim("b")]),
        ["put b=1! until 101", "index 101 b"]
    );
}

#[test]
fn versionstamped_keys_end_in_the_digits_of_the_commit() {
    let base = State::default();
    let digits = "\\x0200000000000000ab0000\\x00";
    let put = |prefix: &str, value: &str| format!("put {prefix}{digits}={value}");
    assert_eq!(resolved(&base, &[stamped("q", "1")]), [put("q", "1")]);
    assert_eq!(
        resolved(&base, &[stamped("q", "1"), stamped("r", "2")]),
        [put("q", "1"), put("r", "2")]
    );
    assert_eq!(resolved(&base, &[stamped("q", "1"), stamped("q", "2")]), [put("q", "2")]);
    assert_eq!(resolved(&base, &[stamped("q", "1"), range("q", "r")]), ["delete q..r"]);
    let suffixed = |suffix| Mutation::SetVersionstamped {
        prefix: b"q",
        suffix,
        value: b"1",
        expires_at: None,
    };
    let keys = [suffixed(b"x"), suffixed(b"y"), stamped("q", "2")];
    let expected = [("x", 1), ("y", 1), ("", 2)];
    let expected = expected.map(|(suffix, value)| format!("put q{digits}{suffix}={value}"));
    assert_eq!(resolved(&base, &keys), expected);
}

#[test]
fn the_earliest_expiry_of_what_is_left_is_known() {
    let earliest = |mutations: &[Mutation<'_>]| {
        let resolved = resolve(mutations, STAMP, &State::default(), &mut Vec::new());
        resolved.unwrap().map(Timestamp::ms)
    };
    assert_eq!(earliest(&[set("a", "1")]), None);
    assert_eq!(earliest(&[set_until("a", "1", 70)]), Some(70));
    let two = [set_until("a", "1", 70), set("b", "1"), set_until("c", "1", 50)];
    assert_eq!(earliest(&two), Some(50));
    assert_eq!(earliest(&[&two[..], &[delete("c")]].concat()), Some(70));
    assert_eq!(earliest(&[&two[..], &[range("a", "d")]].concat()), None);
}

#[test]
fn an_update_that_fails_fails_all_and_leaves_no_trace() {
    for mutations in [&[fail("a")][..], &[set("b", "1"), fail("a")], &[fail("a"), set("b", "1")]] {
        let mut out = b"untouched".to_vec();
        let error = resolve(mutations, STAMP, &State::default(), &mut out).unwrap_err();
        assert_eq!(error.to_string(), "not a number");
        assert_eq!(out, b"untouched");
    }
}

#[test]
fn a_base_that_cannot_be_read_fails_the_update() {
    struct Broken;
    impl Base for Broken {
        fn look(&self, _: &[u8], _: &mut Look<'_>) -> Result<(), Error> {
            Err(Error::corrupt("a table", 7, "it is damaged"))
        }
        fn has_expired(&self, _: Timestamp) -> bool {
            false
        }

        fn check_value_bytes(&self, _bytes: usize) -> Result<(), Error> {
            Ok(())
        }
    }
    let mut out = Vec::new();
    let error = resolve(&[exclaim("a")], STAMP, &Broken, &mut out).unwrap_err();
    assert!(matches!(error, Error::Corrupt { offset: 7, .. }));
    // What was set by the commit itself needs no base.
    resolve(&[set("a", "1"), exclaim("a")], STAMP, &Broken, &mut out).unwrap();
}

#[test]
fn nothing_changes_with_the_way_in_which_points_are_found() {
    let sorted: Vec<String> = (0..3 * SCAN_MAX).map(|i| format!("k{i:02}")).collect();
    let reversed: Vec<String> = sorted.iter().rev().cloned().collect();
    let turning = |place: usize| [&sorted[..place], &reversed[..sorted.len() - place]].concat();
    for keys in [sorted.clone(), reversed.clone(), turning(2), turning(2 * SCAN_MAX)] {
        let mut mutations: Vec<_> = keys.iter().map(|key| set(key, "1")).collect();
        mutations.extend(keys.iter().step_by(2).map(|key| exclaim(key)));
        mutations.push(delete("k01"));
        let ends = |key: &String| keys.iter().step_by(2).any(|exclaimed| exclaimed == key);
        let expected: Vec<String> = keys
            .iter()
            .map(|key| match key.as_str() {
                "k01" => "delete k01".to_owned(),
                _ if ends(key) => format!("put {key}=1!"),
                _ => format!("put {key}=1"),
            })
            .collect();
        assert_eq!(resolved(&State::default(), &mutations), expected);
    }
}

/// A mutation of single-letter keys, as a value.
#[derive(Clone, Debug)]
enum Step {
    Set(String, u64),
    Delete(String),
    Range(String, String),
    Exclaim(String),
    Vanish(String),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = || "[a-n]";
    // About half never expire; of the others, half have expired already.
    let expiry = prop_oneof![Just(0), 1u64..2 * NOW_MS];
    let step = prop_oneof![
        4 => (key(), expiry).prop_map(|(key, ms)| Step::Set(key, ms)),
        2 => key().prop_map(Step::Delete),
        1 => (key(), key())
            .prop_filter("a range is not empty", |(start, end)| start < end)
            .prop_map(|(start, end)| Step::Range(start, end)),
        3 => key().prop_map(Step::Exclaim),
        1 => key().prop_map(Step::Vanish),
    ];
    proptest::collection::vec(step, 0..40)
}

/// What the steps do when each is carried out before the next is looked at.
fn one_by_one(mut state: State, steps: &[Step]) -> State {
    for step in steps {
        match step {
            Step::Set(key, ms) => {
                state.0.insert(key.clone().into(), (b"v".to_vec(), Timestamp::from_ms(*ms)));
            }
            Step::Delete(key) | Step::Vanish(key) => {
                state.0.remove(key.as_bytes());
            }
            Step::Range(start, end) => {
                state.0.retain(|key, _| {
                    key < &start.as_bytes().to_vec() || key >= &end.as_bytes().to_vec()
                });
            }
            Step::Exclaim(key) => {
                let Ok(Updated::Set { value, expires_at }) =
                    exclaimed(state.present(key.as_bytes()))
                else {
                    unreachable!("it always sets")
                };
                state.0.insert(key.clone().into(), (value, expires_at));
            }
        }
    }
    state
}

/// What the effects do: ranges first, then points, each key at most once.
fn applied(mut state: State, encoded: &[u8]) -> State {
    let effects: Vec<_> = Effects::new(encoded).map(Result::unwrap).collect();
    let mut index = Vec::new();
    let mut points = BTreeMap::new();
    for effect in &effects {
        match effect {
            Effect::DeleteRange { start, end } => {
                state.0.retain(|key, _| &key[..] < *start || &key[..] >= *end);
            }
            Effect::Point { key, change } => match keyspace::parse_expiry_key(key) {
                Some((moment, key)) => index.push((key.to_vec(), moment)),
                None => assert!(points.insert(*key, *change).is_none(), "one effect per key"),
            },
        }
    }
    let mut expiring = Vec::new();
    for (key, change) in points {
        match change {
            Change::Put { value, expires_at } => {
                expiring.extend(expires_at.map(|moment| (key.to_vec(), moment)));
                state.0.insert(key.to_vec(), (value.to_vec(), expires_at));
            }
            Change::Delete => {
                state.0.remove(key);
            }
        }
    }
    index.sort();
    assert_eq!(index, expiring, "what expires has a companion, and nothing else has");
    state
}

proptest! {
    #[test]
    fn effects_do_what_the_mutations_do_one_by_one(before in steps(), steps in steps()) {
        let base = one_by_one(State::default(), &before);
        let mutations: Vec<_> = steps
            .iter()
            .map(|step| match step {
                Step::Set(key, ms) => set_until(key, "v", *ms),
                Step::Delete(key) => delete(key),
                Step::Range(start, end) => range(start, end),
                Step::Exclaim(key) => exclaim(key),
                Step::Vanish(key) => vanish(key),
            })
            .collect();
        let mut out = Vec::new();
        resolve(&mutations, STAMP, &base, &mut out).unwrap();
        prop_assert_eq!(applied(base.clone(), &out), one_by_one(base, &steps));
    }
}
