//! Any bytes as an index, as a filter and as a hash index; and all as the writer builds them.
//!
//! 1. What decodes answers every question without a panic; an index leads to a block that exists,
//!    or behind the last one.
//! 2. An index that decodes leads each separator to its own block, and what follows it to the next.
//! 3. A filter that was built denies none of its keys; a hash index leads to each of its places, and
//!    has no others.

use std::cmp::Ordering;

use bytes::Bytes;
use icecore_model::Versionstamp;
use icecore_model::entry::order;
use icecore_model::hash::hash64;
use icecore_sstable::parts::{
    FilterPart, HashPart, Hashed, IndexPart, Indexed, build_filter, build_hash, build_index,
};

use crate::allocation::bounded;
use crate::choices::Choices;

/// How many blocks or keys are built.
const BUILT_MAX: usize = 64;

/// # Panics
/// When a property does not hold.
pub fn run(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    match choices.byte() % 4 {
        0 => {
            let data_end = u64::from(choices.byte()) << choices.below(40);
            any_index(choices.rest(), data_end);
        }
        1 => any_filter(choices.rest()),
        2 => built_index(&mut choices),
        _ => built_filter(&mut choices),
    }
}

fn any_index(body: &[u8], data_end: u64) {
    let decode = || IndexPart::decode(Bytes::copy_from_slice(body), data_end);
    let Ok(index) = bounded(body.len(), decode) else { return };
    leads(&index);
    let key = &body[..body.len().min(4)];
    for key in [&[][..], key, &[0xff; 4]] {
        let found = index.find(key, Versionstamp::new(1)).expect("a decoded index answers");
        assert!(found <= index.count());
    }
}

/// Every separator leads to its own block, and what comes after it to the next one.
fn leads(index: &IndexPart) {
    let mut end = 0;
    for ordinal in 0..index.count() {
        let (key, stamp, next) = index.block(ordinal).expect("every block has a separator");
        assert!(next >= end, "the blocks follow one another");
        end = next;
        assert_eq!(index.find(&key, stamp), Ok(ordinal), "a separator belongs to its block");
        let after = [key.as_slice(), &[0]].concat();
        let found = index.find(&after, Versionstamp::MAX).expect("a decoded index answers");
        assert!(found > ordinal, "what follows a separator belongs to a later block");
    }
    assert!(index.block(index.count()).is_err(), "there is no block behind the last one");
}

fn any_filter(body: &[u8]) {
    let decode = || FilterPart::decode(Bytes::copy_from_slice(body));
    let Some(filter) = bounded(body.len(), decode) else { return };
    for hash in [0, u64::MAX, 1 << 32, 0xffff_ffff, hash64(body)] {
        filter.may_contain(hash);
    }
    let Some(index) = HashPart::decode(Bytes::copy_from_slice(body)) else { return };
    for hash in [0, u64::MAX, 1 << 32, 0xffff_ffff, hash64(body)] {
        assert!(index.candidates(hash).count() <= body.len() / 4, "a search ends");
    }
}

fn built_index(choices: &mut Choices<'_>) {
    let mut entries: Vec<(Vec<u8>, Versionstamp)> = Vec::new();
    while !choices.is_empty() && entries.len() < BUILT_MAX {
        let length = choices.below(8);
        let key = choices.take(length).to_vec();
        entries.push((key, Versionstamp::new(u64::from(choices.byte() % 4) + 1)));
    }
    entries.sort_by(|(a, at), (b, of)| order((a, *at), (b, *of)));
    entries.dedup();
    // Blocks of two entries each: the last of every pair, and the first of the next.
    let pairs: Vec<_> = entries.chunks(2).collect();
    let blocks: Vec<_> = pairs
        .iter()
        .enumerate()
        .map(|(i, pair)| {
            let (key, stamp) = &pair[pair.len() - 1];
            let next = pairs.get(i + 1).map(|next| next[0].0.as_slice());
            Indexed { last: (key, *stamp), next, bytes: 9 + i as u64 }
        })
        .collect();
    let data_end = blocks.iter().map(|block| block.bytes).sum();
    let body = Bytes::from(build_index(&blocks));
    let index = IndexPart::decode(body, data_end).expect("what was built is read");
    assert_eq!(index.count(), pairs.len());
    leads(&index);
    for (ordinal, pair) in pairs.iter().enumerate() {
        for (key, stamp) in *pair {
            assert_eq!(index.find(key, *stamp), Ok(ordinal), "an entry belongs to its block");
        }
        let (key, stamp, _) = index.block(ordinal).expect("every block has a separator");
        let (last, at) = &pair[pair.len() - 1];
        assert_ne!(order((&key, stamp), (last, *at)), Ordering::Less);
    }
}

fn built_filter(choices: &mut Choices<'_>) {
    let bits_per_key = choices.below(40).try_into().expect("it is small");
    let offset = choices.word() >> 8;
    let mut hashes = Vec::new();
    while !choices.is_empty() && hashes.len() < BUILT_MAX {
        hashes.push(choices.word());
    }
    let body = Bytes::from(build_filter(&hashes, bits_per_key, offset));
    let filter = FilterPart::decode(body).expect("what was built is read");
    assert!(hashes.iter().all(|hash| filter.may_contain(*hash)), "no key is denied");
    built_hash(&hashes, offset);
}

fn built_hash(hashes: &[u64], offset: u64) {
    // What is left of a hash after its tag says where a block begins.
    let mut places: Vec<(usize, usize)> = Vec::new();
    let mut keys = Vec::new();
    for hash in hashes {
        let next = match places.last() {
            None => (0, 0),
            Some((block, _)) if hash >> 24 & 3 == 0 => (block + 1, 0),
            Some((block, record)) => (*block, record + 1 + (hash >> 26 & 7) as usize),
        };
        places.push(next);
        let record = u16::try_from(next.1).expect("it is small");
        keys.push(Hashed { hash: *hash, begins_block: next.1 == 0, record });
    }
    let Some(body) = build_hash(&keys, offset) else { return };
    let index = HashPart::decode(Bytes::from(body)).expect("what was built is read");
    assert_eq!(index.count(), keys.len(), "each key has a slot");
    for (key, place) in keys.iter().zip(places) {
        assert!(index.candidates(key.hash).any(|found| found == place), "it leads to {place:?}");
    }
}
