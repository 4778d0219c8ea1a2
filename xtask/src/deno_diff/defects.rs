//! Where Icecore differs from Deno's own store on purpose: the defects of the latter that a
//! program can meet within one process. Any other difference is a bug.
//!
//! A defect that can be shown in a moment has a [`Probe`]: a history whose last step differs in
//! exactly this way. Histories by chance keep clear of all defects.

use super::compare;
use super::history::{Check, Entry, History, List, Message, Mutation, Outcome, Step};
use super::tagged::Tagged;

/// A difference that is meant.
pub(crate) struct Defect {
    /// What Deno's store does, and what Icecore does.
    pub(crate) what: &'static str,
    pub(crate) seen: Seen,
}

/// How a defect shows.
pub(crate) enum Seen {
    /// As the difference in the last step of a history.
    Here(Probe),
    /// Not at all, for this reason.
    Avoided(&'static str),
}

pub(crate) struct Probe {
    steps: Vec<Step>,
    deno: Outcome,
    ours: Outcome,
}

/// All of them.
pub(crate) fn all() -> Vec<Defect> {
    let shown =
        |what, steps, deno, ours| Defect { what, seen: Seen::Here(Probe { steps, deno, ours }) };
    let avoided = |what, why| Defect { what, seen: Seen::Avoided(why) };
    vec![
        shown(
            "an operation that fails keeps what came before the mutation that failed; \
             here nothing takes effect",
            failure_after_a_set(),
            entry("a", Some(Tagged::Null)),
            entry("a", None),
        ),
        shown(
            "an expired key is read for up to 61 seconds; here it is absent at once",
            vec![set("a", Tagged::Null, Some(0)), get("a")],
            entry("a", Some(Tagged::Null)),
            entry("a", None),
        ),
        shown(
            "a check sees an expired key; here the key is absent",
            vec![set("a", Tagged::Null, Some(0)), checking_absence("a")],
            Outcome::Commit { stamp: None },
            Outcome::Commit { stamp: Some("versionstamp 1".to_owned()) },
        ),
        shown(
            "a versionstamped key may be too long to be read or deleted ever after; \
             here its whole length counts",
            vec![versionstamped(2048 - 21)],
            Outcome::Commit { stamp: Some("versionstamp 0".to_owned()) },
            Outcome::Error { text: "Key too large for write (max 2048 bytes)".to_owned() },
        ),
        shown(
            "behind the first key of a range, if all keys of the range begin with that, a cursor \
             is empty, so that the list would begin anew; here it goes on",
            first_of_range(false),
            stopped(String::new()),
            stopped("AA==".to_owned()),
        ),
        shown(
            "the same backwards, where such a key is the last one",
            first_of_range(true),
            stopped(String::new()),
            stopped("AA==".to_owned()),
        ),
        shown(
            "watchers are not told of messages that went to their last keys; here they are",
            watched_undelivered(),
            watched(None),
            watched(Some("versionstamp 1")),
        ),
        avoided(
            "messages of the same millisecond come in any order; here in the order in which they \
             were sent",
            "deliveries are compared as a set",
        ),
        avoided(
            "a handler that takes more than some seconds gets its message again while it works; \
             here the message is its own until it ends",
            "no handler takes that long",
        ),
    ]
}

impl Probe {
    /// The history.
    pub(crate) fn history(&self, name: &str) -> History {
        History { seed: format!("defect: {name}"), steps: self.steps.clone() }
    }

    /// Whether the outcomes differ in the last step, in this way, and in no other.
    pub(crate) fn check(
        &self,
        history: &History,
        deno: &[Outcome],
        ours: &[Outcome],
    ) -> Result<(), String> {
        let last = history.steps.len() - 1;
        let Some(difference) = compare::compare(history, deno, ours) else {
            return Err("Deno no longer differs".to_owned());
        };
        let text = |outcome| serde_json::to_string(outcome).expect("it can be written");
        let expected = (text(&self.deno), text(&self.ours));
        if difference.step == last && (difference.deno.clone(), difference.ours.clone()) == expected
        {
            return Ok(());
        }
        Err(format!("{difference:#?}\nwhere the last step was to give {expected:#?}"))
    }
}

fn parts(name: &str) -> Vec<Tagged> {
    vec![Tagged::text(name)]
}

fn set(name: &str, value: Tagged, expire_in: Option<u64>) -> Step {
    Step::Set { key: parts(name), value, expire_in }
}

/// A list gives no versionstamps if it is asked for none.
fn get(name: &str) -> Step {
    let start = Some(parts(name));
    let end = Some(vec![Tagged::text(name), Tagged::Bool { v: true }]);
    Step::List(List { start, end, unordered: true, ..List::default() })
}

fn entry(name: &str, value: Option<Tagged>) -> Outcome {
    let found = value.map(|value| Entry { key: parts(name), value: Some(value), stamp: None });
    Outcome::Entries { entries: found.into_iter().collect(), cursor: Some(String::new()) }
}

/// A list that stops at the key with which its range begins.
fn first_of_range(reverse: bool) -> Vec<Step> {
    let (first, last) = (parts("a"), vec![Tagged::text("a"), Tagged::bigint(1)]);
    let list = List { start: Some(first), end: Some(last), limit: Some(1), ..List::default() };
    let list = Step::List(List { unordered: true, reverse, ..list });
    vec![set("a", Tagged::Null, None), list]
}

fn stopped(cursor: String) -> Outcome {
    let Outcome::Entries { entries, .. } = entry("a", Some(Tagged::Null)) else { unreachable!() };
    Outcome::Entries { entries, cursor: Some(cursor) }
}

/// A message that nobody takes, and a watch of the key where it ends.
fn watched_undelivered() -> Vec<Step> {
    let keys = vec![parts("a")];
    let message = Message {
        value: Tagged::Null,
        delay: None,
        backoff: Some(Vec::new()),
        keys: keys.clone(),
        fails: 1,
    };
    let look = Step::Look { patience: 300 };
    vec![Step::Watch { keys }, Step::Enqueue(message), Step::Deliver, look]
}

fn watched(stamp: Option<&str>) -> Outcome {
    let (value, stamp) = (stamp.map(|_| Tagged::Null), stamp.map(str::to_owned));
    Outcome::Entries { entries: vec![Entry { key: parts("a"), value, stamp }], cursor: None }
}

fn failure_after_a_set() -> Vec<Step> {
    let mutations = vec![
        Mutation::Set { key: parts("a"), value: Tagged::Null, expire_in: None },
        Mutation::Sum { key: parts("b"), value: Tagged::u64(1) },
    ];
    let text = Tagged::text("no number");
    vec![set("b", text, None), Step::Atomic { checks: Vec::new(), mutations }, get("a")]
}

fn checking_absence(name: &str) -> Step {
    let checks = vec![Check { key: parts(name), stamp: None }];
    Step::Atomic { checks, mutations: Vec::new() }
}

/// What is longer than a key by the part that is added.
fn versionstamped(prefix_bytes: usize) -> Step {
    let key = vec![Tagged::text(&"p".repeat(prefix_bytes - 2))];
    let mutations = vec![Mutation::SetVersionstamped { key, value: Tagged::Null, expire_in: None }];
    Step::Atomic { checks: Vec::new(), mutations }
}
