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

/// What a walk found: the entries with their places, and whether the body is valid.
struct Walked {
    entries: Vec<(usize, Kept)>,
    valid: bool,
}

fn walk(body: &[u8]) -> Option<Walked> {
    let mut entries: Vec<(usize, Kept)> = Vec::new();
    let mut shares = Vec::new();
    let restarts = walk_block(body, &mut |placed| {
        shares.push(placed.shared);
        entries.push((placed.offset, keep(&placed.entry)));
    })
    .ok()?;
    let rising = restarts.is_sorted_by(|a, b| a < b) && restarts.first() == Some(&0);
    let lead_to_entries =
        restarts.iter().all(|at| entries.binary_search_by_key(at, |(offset, _)| *offset).is_ok());
    let mut valid = rising && lead_to_entries;
    for (i, (offset, (key, stamp, _))) in entries.iter().enumerate() {
        let before = i.checked_sub(1).map(|i| &entries[i].1);
        let in_order =
            before.is_none_or(|(last, at, _)| order((last, *at), (key, *stamp)) == Ordering::Less);
        let possible = match before {
            Some((last, _, _)) if !restarts.contains(offset) => {
                last.iter().zip(key).take_while(|(a, b)| a == b).count()
            }
            _ => 0,
        };
        valid &= in_order && shares[i] == possible;
    }
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
            assert!(placed.offset >= seen && placed.offset < body.len());
            seen = placed.offset + 1;
        })
    });
    let target = body.get(..body.len().min(3)).unwrap_or_default();
    for key in [&[][..], target, &[0xff; 4]] {
        let found = bounded(body.len(), || search_block(body, key, Versionstamp::new(3)));
        assert!(!matches!(found, Ok(Some((offset, _))) if offset >= body.len()));
    }
    // An entry that shares much can be far longer than what it adds; only small ones are kept.
    if walked.is_ok()
        && body.len() <= 4096
        && let Some(walked) = walk(body)
        && walked.valid
    {
        search_everywhere(body, &walked.entries);
    }
}

/// Searches for every entry, and for what lies just before and behind it.
fn search_everywhere(body: &[u8], entries: &[(usize, Kept)]) {
    for (_, (key, stamp, _)) in entries {
        let around = [stamp.get(), stamp.get().saturating_add(1), stamp.get().saturating_sub(1)];
        for at in around.map(Versionstamp::new) {
            search(body, entries, key, at);
        }
        let longer = [key.as_slice(), &[0]].concat();
        search(body, entries, &longer, Versionstamp::MAX);
        search(body, entries, &key[..key.len().saturating_sub(1)], *stamp);
    }
}

fn search(body: &[u8], entries: &[(usize, Kept)], key: &[u8], at: Versionstamp) {
    let found = search_block(body, key, at).expect("a valid block is searched without an error");
    let expected = entries
        .iter()
        .find(|(_, (k, stamp, _))| order((k, *stamp), (key, at)) != Ordering::Less)
        .map(|(offset, (k, _, _))| (*offset, k == key));
    assert_eq!(found, expected, "the first entry at or after {key:?} at {at:?}");
}

fn built(choices: &mut Choices<'_>) {
    let restart_interval = choices.below(20);
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
    let body = build_block(&entries, restart_interval);
    let walked = walk(&body).expect("what was built is read");
    assert!(walked.valid, "what was built is valid");
    assert!(walked.entries.iter().map(|(_, kept)| kept).eq(&kept), "what was built reads back");
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
