//! The filter, which tells that a key is not in the table: a hash index, which also tells where a key
//! is ([`crate::hash`]), or a blocked Bloom filter, which answers from one cache line as well.
//!
//! ```text
//! offset size
//!      0    1  filter kind: 1
//!      1    1  probes: how many bits each key sets, 1 to 16
//!      2    1  padding: how many zero bytes follow, below 64
//!      3    1  zero
//!      4       padding, then lines of 64 bytes, at least one
//! ```
//!
//! The padding puts the lines on multiples of 64 in the file. A key's hash chooses its line with
//! the high 32 bits; the low 32 bits, multiplied anew for each probe, choose bits of the line with
//! their top nine. The blocks are those of Putze, Sanders and Singler, "Cache-, hash- and
//! space-efficient Bloom filters" (2007); the probing is that of RocksDB's `FastLocalBloomImpl`.

use bytes::Bytes;
use icecore_model::{Malformed, Reader};

use crate::hash::{HashIndex, KIND_HASH};

const KIND_BLOCKED_BLOOM: u8 = 1;
const HEADER_BYTES: usize = 4;
const LINE_BYTES: usize = 64;
const PROBES_MAX: u8 = 16;
/// 2³² divided by the golden ratio, as in the multiplicative hashing of Knuth.
const PROBE_STEP: u32 = 0x9e37_79b9;

/// Why a block is not a filter.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BadFilter {
    Malformed(Malformed),
    UnknownKind(u8),
}

/// The body of a filter block that will lie at `offset` in its file, over the hashes of all keys.
pub(crate) fn encode(hashes: &[u64], bits_per_key: u32, offset: u64) -> Vec<u8> {
    let bits = (hashes.len() as u64).saturating_mul(u64::from(bits_per_key));
    let lines = bits.div_ceil(LINE_BYTES as u64 * 8).clamp(1, u64::from(u32::MAX));
    // The best number of probes is ln 2 per bit.
    let probes = (u64::from(bits_per_key) * 69 / 100).clamp(1, u64::from(PROBES_MAX));
    let probes = u8::try_from(probes).expect("clamped");
    let padding = (offset + HEADER_BYTES as u64).wrapping_neg() % LINE_BYTES as u64;
    let padding = u8::try_from(padding).expect("below the length of a line");
    let lines = usize::try_from(lines).expect("a filter fits in memory");
    let start = HEADER_BYTES + usize::from(padding);
    let mut body = vec![0; start + lines * LINE_BYTES];
    body[..HEADER_BYTES].copy_from_slice(&[KIND_BLOCKED_BLOOM, probes, padding, 0]);
    for hash in hashes {
        let line = start + line_of(*hash, lines) * LINE_BYTES;
        for bit in bits_of(*hash, probes) {
            body[line + bit / 8] |= 1 << (bit % 8);
        }
    }
    body
}

/// A filter that was read back.
#[derive(Debug)]
pub(crate) enum Filter {
    Bloom(Bloom),
    Hash(HashIndex),
}

impl Filter {
    pub(crate) fn decode(body: Bytes) -> Result<Filter, BadFilter> {
        let filter = match body.first() {
            Some(&KIND_BLOCKED_BLOOM) => Bloom::decode(body).map(Filter::Bloom),
            Some(&KIND_HASH) => HashIndex::decode(body).map(Filter::Hash),
            Some(kind) => return Err(BadFilter::UnknownKind(*kind)),
            None => Err(Malformed { what: "a filter kind", offset: 0 }),
        };
        filter.map_err(BadFilter::Malformed)
    }

    /// False only if no key of this hash is in the table.
    #[inline]
    pub(crate) fn may_contain(&self, hash: u64) -> bool {
        match self {
            Filter::Bloom(bloom) => bloom.may_contain(hash),
            Filter::Hash(index) => index.candidates(hash).next().is_some(),
        }
    }
}

/// A blocked Bloom filter that was read back.
#[derive(Debug)]
pub(crate) struct Bloom {
    body: Bytes,
    start: usize,
    lines: usize,
    probes: u8,
}

impl Bloom {
    fn decode(body: Bytes) -> Result<Bloom, Malformed> {
        let mut reader = Reader::new(&body);
        reader.u8("a filter kind")?;
        let (start, probes) = Bloom::header(&mut reader)?;
        let lines = (body.len() - start) / LINE_BYTES;
        Ok(Bloom { start, lines, probes, body })
    }

    /// The start of the lines and the number of probes.
    fn header(reader: &mut Reader<'_>) -> Result<(usize, u8), Malformed> {
        let malformed = reader.malformed("a filter");
        let probes = reader.u8("probes")?;
        let padding = usize::from(reader.u8("padding")?);
        let zero = reader.u8("zero")?;
        let pad = reader.bytes(padding, "padding")?;
        let valid = (1..=PROBES_MAX).contains(&probes)
            && zero == 0
            && padding < LINE_BYTES
            && pad.iter().all(|b| *b == 0)
            && !reader.is_empty()
            && reader.left().is_multiple_of(LINE_BYTES);
        if valid { Ok((reader.offset(), probes)) } else { Err(malformed) }
    }

    /// False only if no key of this hash is in the table.
    #[inline]
    pub(crate) fn may_contain(&self, hash: u64) -> bool {
        let at = self.start + line_of(hash, self.lines) * LINE_BYTES;
        let line = &self.body[at..at + LINE_BYTES];
        bits_of(hash, self.probes).all(|bit| line[bit / 8] & (1 << (bit % 8)) != 0)
    }
}

/// Scales the high half of the hash to the number of lines.
#[inline]
fn line_of(hash: u64, lines: usize) -> usize {
    ((u128::from(hash >> 32) * lines as u128) >> 32) as usize
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
fn bits_of(hash: u64, probes: u8) -> impl Iterator<Item = usize> {
    let mut state = hash as u32;
    (0..probes).map(move |_| {
        let bit = (state >> 23) as usize;
        state = state.wrapping_mul(PROBE_STEP);
        bit
    })
}

#[cfg(test)]
mod tests {
    use icecore_model::hash::hash64;

    use super::*;

    fn hashes(range: std::ops::Range<u64>) -> Vec<u64> {
        range.map(|n| hash64(&n.to_le_bytes())).collect()
    }

    #[test]
    fn every_key_put_in_is_found_and_one_in_fifty_others_at_most() {
        for (keys, offset) in [(1, 0), (100, 77), (20_000, 4096)] {
            let inside = hashes(0..keys);
            let body = encode(&inside, 10, offset);
            assert_eq!((offset + HEADER_BYTES as u64 + u64::from(body[2])) % LINE_BYTES as u64, 0);
            let filter = Filter::decode(Bytes::from(body)).unwrap();
            assert!(inside.iter().all(|h| filter.may_contain(*h)));
            let others = hashes(1_000_000..1_010_000);
            let wrong = others.iter().filter(|h| filter.may_contain(**h)).count();
            assert!(wrong < 200, "{wrong} of 10,000 with {keys} keys");
        }
    }

    #[test]
    fn an_unknown_kind_is_told_from_damage() {
        let mut body = encode(&[7], 10, 0);
        body[0] = 3;
        assert_eq!(Filter::decode(Bytes::from(body)).unwrap_err(), BadFilter::UnknownKind(3));
        for bad in [vec![1], vec![1, 0, 0, 0], vec![1, 6, 64, 0], vec![1, 6, 0, 0], vec![1; 70]] {
            let result = Filter::decode(Bytes::from(bad));
            assert!(matches!(result, Err(BadFilter::Malformed(_))), "{result:?}");
        }
    }
}
