//! Any bytes as a data block, and blocks of any entries.
//!
//! 1. Walks and searches end without a panic, inside the body, whatever the bytes are.
//! 2. A body that is valid by the words of the format is searched without an error, and a search
//!    finds the first entry at or after its target.
//! 3. What the writer builds reads back, entry by entry, and is valid.

use std::cmp::Ordering;

use icecore_model::entry::order;
use icecore_model::{Change, Entry, Timestamp, Versionstamp};
use icecore_sstable::parts::{build_block, search_block, walk_block};

use crate::allocation::bounded;
use crate::choices::Choices;

/// How many entries are built.
const ENTRIES_MAX: usize = 48;

/// An entry with bytes of its own.
type Kept = (Vec<u8>, Versionstamp, Option<(Vec<u8>, Option<Timestamp>)>);

/// # Panics
/// When a property does not hold.
pub fn run(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    if choices.byte().is_multiple_of(2) {
        any_body(choices.rest());
    } else {
        built(&mut choices);
    }
}

/// What a walk found: the entries, and whether the body is valid.
struct Walked {
    entries: Vec<Kept>,
    valid: bool,
}

fn walk(body: &[u8]) -> Option<Walked> {
    let mut entries: Vec<Kept> = Vec::new();
    let prefix = walk_block(body, &mut |placed| entries.push(keep(&placed.entry))).ok()?;
    let rises = |a: &Kept, b: &Kept| order((&a.0, a.1), (&b.0, b.1)) == Ordering::Less;
    let (first, last) = entries.first().zip(entries.last())?;
    let shared = first.0.iter().zip(&last.0).take_while(|(a, b)| a == b).count();
    let valid = entries.is_sorted_by(rises) && shared == prefix;
    Some(Walked { entries, valid })
}

fn keep(entry: &Entry<'_>) -> Kept {
    let change = match entry.change {
        Change::Put { value, expires_at } => Some((value.to_vec(), expires_at)),
        Change::Delete => None,
    };
    (entry.key.to_vec(), entry.stamp, change)
}

fn any_body(body: &[u8]) {
    let mut seen = 0;
    let walked = bounded(body.len(), || {
        walk_block(body, &mut |placed| {
            assert!(placed.value >= seen && placed.value <= body.len());
            seen = placed.value;
        })
    });
    let target = body.get(..body.len().min(3)).unwrap_or_default();
    for key in [&[][..], target, &[0xff; 4]] {
        let found = bounded(body.len(), || search_block(body, key, Versionstamp::new(3)));
        assert!(!matches!(found, Ok(Some((index, _))) if index >= body.len()));
    }
    // An entry can be far longer than what it adds to the prefix; only small ones are kept.
    if walked.is_ok()
        && body.len() <= 4096
        && let Some(walked) = walk(body)
        && walked.valid
    {
        search_everywhere(body, &walked.entries);
    }
}

/// Searches for every entry, and for what lies just before and behind it.
fn search_everywhere(body: &[u8], entries: &[Kept]) {
    for (key, stamp, _) in entries {
        let around = [stamp.get(), stamp.get().saturating_add(1), stamp.get().saturating_sub(1)];
        for at in around.map(Versionstamp::new) {
            search(body, entries, key, at);
        }
        let longer = [key.as_slice(), &[0]].concat();
        search(body, entries, &longer, Versionstamp::MAX);
        search(body, entries, &key[..key.len().saturating_sub(1)], *stamp);
    }
}

fn search(body: &[u8], entries: &[Kept], key: &[u8], at: Versionstamp) {
    let found = search_block(body, key, at).expect("a valid block is searched without an error");
    let expected = entries
        .iter()
        .position(|(k, stamp, _)| order((k, *stamp), (key, at)) != Ordering::Less)
        .map(|index| (index, entries[index].0 == key));
    assert_eq!(found, expected, "the first entry at or after {key:?} at {at:?}");
}

fn built(choices: &mut Choices<'_>) {
    let mut kept: Vec<Kept> = Vec::new();
    while !choices.is_empty() && kept.len() < ENTRIES_MAX {
        kept.push(entry(choices, kept.last()));
    }
    kept.sort_by(|(a, at, _), (b, of, _)| order((a, *at), (b, *of)));
    kept.dedup_by(|(a, at, _), (b, of, _)| (&*a, at) == (b, of));
    if kept.is_empty() {
        return;
    }
    let entries: Vec<Entry<'_>> = kept
        .iter()
        .map(|(key, stamp, change)| {
            let change = match change {
                Some((value, expires_at)) => Change::Put { value, expires_at: *expires_at },
                None => Change::Delete,
            };
            Entry { key, stamp: *stamp, change }
        })
        .collect();
    let body = build_block(&entries);
    let walked = walk(&body).expect("what was built is read");
    assert!(walked.valid, "what was built is valid");
    assert!(walked.entries == kept, "what was built reads back");
    search_everywhere(&body, &walked.entries);
}

fn entry(choices: &mut Choices<'_>, before: Option<&Kept>) -> Kept {
    let shape = choices.byte();
    // Neighbours share much of their keys.
    let mut key = before.map(|(key, _, _)| key.clone()).unwrap_or_default();
    key.truncate(usize::from(shape % 16));
    let own = choices.below(6);
    key.extend_from_slice(choices.take(own));
    let stamp = Versionstamp::new(u64::from(choices.byte()));
    let change = (shape < 0xd0).then(|| {
        let length = choices.below(20);
        let value = choices.take(length).to_vec();
        let expires_at = if shape & 16 == 0 { Timestamp::from_ms(choices.word()) } else { None };
        (value, expires_at)
    });
    (key, stamp, change)
}
