//! The bytes in which keys and values are stored: those in a file of Deno's own store, as
//! `xtask/deno/bytes.ts` finds them there, and those that Icecore stores.
//!
//! They are the same but for the version in the header of a value of V8: Icecore writes an older
//! one, which more programs read. What V8 has written is also read, and must be what was sent.
//! (V8 has several forms for some arrays, by how a program has come by them; `tagged.ts` sees to
//! it that there is one.)

use std::collections::HashSet;

use icecore::Value;
use serde::{Deserialize, Serialize};

use super::deno::Deno;
use super::history::{History, Mutation, Parts, Step};
use super::tagged::{Tagged, key_of, unhex};
use super::v8;

/// As many entries as are compared at most.
const ENTRIES_MAX: usize = 2_000;

#[derive(Serialize)]
struct Sent<'a> {
    key: &'a [Tagged],
    value: &'a Tagged,
}

#[derive(Deserialize)]
struct Stored {
    key: String,
    encoding: u8,
    value: String,
}

/// Whether the entries that `histories` set are stored in the same bytes.
pub(crate) fn compare(deno: &Deno, histories: &[History]) -> Result<bool, String> {
    let entries = distinct_entries(histories);
    let lines = entries.iter().map(|(key, value)| {
        serde_json::to_string(&Sent { key, value }).expect("an entry can be written") + "\n"
    });
    let said = deno.run_on_file("bytes.ts", lines.collect())?;
    let stored: Result<Vec<Stored>, _> = said.lines().map(serde_json::from_str).collect();
    let stored = stored.map_err(|error| format!("Deno's answer: {error}"))?;
    if stored.len() != entries.len() {
        return Err(format!("Deno has stored {} of {} entries", stored.len(), entries.len()));
    }
    let mut differences = 0;
    for (index, ((key, value), stored)) in entries.iter().zip(&stored).enumerate() {
        if let Err(difference) = compare_entry(index, key, value, stored) {
            differences += 1;
            println!("bytes of {key:?} and {value:?}: {difference}");
        }
    }
    println!("{} keys and values in their stored bytes, {differences} differ", entries.len());
    Ok(differences == 0)
}

/// What the histories set, each once, and not what is too large for it.
fn distinct_entries(histories: &[History]) -> Vec<(&Parts, &Tagged)> {
    let mut seen = HashSet::new();
    let steps = histories.iter().flat_map(|history| &history.steps);
    let entries = steps.flat_map(entries_of).filter(|(key, value)| is_small(key, value));
    entries.filter(|entry| seen.insert(*entry)).take(ENTRIES_MAX).collect()
}

fn entries_of(step: &Step) -> Vec<(&Parts, &Tagged)> {
    match step {
        Step::Set { key, value, .. } => vec![(key, value)],
        Step::Atomic { mutations, .. } => mutations.iter().filter_map(entry_of).collect(),
        _ => Vec::new(),
    }
}

fn entry_of(mutation: &Mutation) -> Option<(&Parts, &Tagged)> {
    match mutation {
        Mutation::Set { key, value, .. } => Some((key, value)),
        _ => None,
    }
}

/// Far from all limits.
fn is_small(key: &Parts, value: &Tagged) -> bool {
    const SMALL: usize = 1_000;
    key_of(key).encoded().len() < SMALL && value.stored().byte_len() < SMALL
}

fn compare_entry(
    index: usize,
    key: &[Tagged],
    value: &Tagged,
    stored: &Stored,
) -> Result<(), String> {
    #[expect(clippy::cast_precision_loss, reason = "it is small")]
    let first = [Tagged::number(index as f64)];
    let key = key_of(&[&first[..], key].concat());
    if unhex(&stored.key) != key.encoded() {
        return Err(format!("the key is {} in Deno", stored.key));
    }
    let bytes = unhex(&stored.value);
    let (encoding, is_same) = match value.stored() {
        Value::V8(ours) => {
            (1, v8::decode(&bytes) == *value && is_same_behind_header(&bytes, &ours))
        }
        Value::U64(number) => (2, bytes == number.to_le_bytes()),
        Value::Bytes(ours) => (3, bytes == ours),
    };
    if is_same && encoding == stored.encoding {
        return Ok(());
    }
    Err(format!("the value is {} in Deno", stored.value))
}

/// Whether all is the same but the header.
fn is_same_behind_header(theirs: &[u8], ours: &[u8]) -> bool {
    const HEADER_BYTES: usize = 2;
    theirs.get(HEADER_BYTES..) == ours.get(HEADER_BYTES..)
}
