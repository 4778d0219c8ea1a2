//! The hash index: from the hash of a key to its newest record, from one cache line.
//!
//! ```text
//! offset size
//!      0    1  filter kind: 2
//!      1    1  block bits: how many bits of a slot are the number of the block
//!      2    1  padding: how many zero bytes follow the header, below 64
//!      3    1  record bits: how many are the number of the record in its block
//!      4    1  reach: in how many lines, from its own on, a key may lie; 1 to 16
//!      5    3  zeros
//!      8       padding, then lines of 64 bytes, at least one
//!
//! line  := slot (u32) x 16, the empty ones (0) at its end
//! slot  := block number | record number | tag          from the highest bit down
//! tag   := the low bits of the hash, as many as are left (at least 8); 1 instead of 0
//! ```
//!
//! The padding puts the lines on multiples of 64 in the file. A key's hash chooses its line with the
//! high 32 bits. What finds no room there lies in the next line that has room, the first line after
//! the last one; so a search ends in the first line with an empty slot, and after `reach` lines at the
//! latest. Tags may agree for other keys: whoever is led to a record compares its key.
//!
//! It is valid if and only if each key of the table's entries is found in it with its newest record,
//! and there are no other slots. What it says is believed only as far as the record agrees, so that
//! one that was forged can hide a key, or show an older version of it, and do nothing worse.
//!
//! A slot of four bytes is enough because the numbers of block and record are small. Lines of one
//! cache line, with a part of the hash for each entry instead of its key, are those of SILT (Lim, Fan,
//! Andersen and Kaminsky, 2011).

use bytes::Bytes;
use icecore_model::{Malformed, Reader};

pub(crate) const KIND_HASH: u8 = 2;
const HEADER_BYTES: usize = 8;
const LINE_BYTES: usize = 64;
const SLOT_BYTES: usize = 4;
const SLOTS: usize = LINE_BYTES / SLOT_BYTES;
/// How many slots of each line are meant to be used; the rest is for chance.
const USED: usize = 11;
const REACH_MAX: usize = 16;
const TAG_BITS_MIN: u32 = 8;

/// The place of an entry: the numbers of its block and of its record in it.
pub(crate) type Place = (usize, usize);

/// Collects the newest record of each key while a table is written: 12 bytes a key until the end.
#[derive(Debug, Default)]
pub(crate) struct HashBuilder {
    hashes: Vec<u64>,
    records: Vec<u32>,
    /// How many keys came before the end of each block.
    blocks: Vec<usize>,
}

impl HashBuilder {
    /// Adds a key by its newest record in the block that has not ended yet.
    pub(crate) fn add(&mut self, hash: u64, record: usize) {
        self.hashes.push(hash);
        self.records.push(u32::try_from(record).expect("a block is below 4 GiB"));
    }

    /// Ends a block.
    pub(crate) fn end_block(&mut self) {
        self.blocks.push(self.hashes.len());
    }

    /// The hashes of all keys.
    pub(crate) fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// How long the body will be for `keys` keys, without header and padding.
    pub(crate) fn bytes(keys: usize) -> usize {
        lines_for(keys) * LINE_BYTES
    }

    /// The body for a block that will lie at `offset` in its file. `None` if the numbers leave too
    /// few bits for the tags, or too many keys meet in one place: the table then gets a filter.
    pub(crate) fn encode(&self, offset: u64) -> Option<Vec<u8>> {
        let records = self.records.iter().max().copied().unwrap_or(0);
        let shape = Shape {
            block_bits: bits_for(self.blocks.len().saturating_sub(1)),
            record_bits: u32::BITS - records.leading_zeros(),
        };
        if shape.block_bits + shape.record_bits + TAG_BITS_MIN > u32::BITS {
            return None;
        }
        let padding = (offset + HEADER_BYTES as u64).wrapping_neg() % LINE_BYTES as u64;
        let padding = u8::try_from(padding).expect("below the length of a line");
        let start = HEADER_BYTES + usize::from(padding);
        let lines = lines_for(self.hashes.len());
        let mut body = vec![0; start + lines * LINE_BYTES];
        let mut used = vec![0; lines];
        let mut reach = 1;
        let mut block = 0;
        for (key, (hash, record)) in self.hashes.iter().zip(&self.records).enumerate() {
            while self.blocks[block] <= key {
                block += 1;
            }
            let block = u32::try_from(block).ok()?;
            let own = line_of(*hash, lines);
            let step = (0..REACH_MAX.min(lines)).find(|step| used[(own + step) % lines] < SLOTS)?;
            let line = (own + step) % lines;
            let at = start + line * LINE_BYTES + used[line] * SLOT_BYTES;
            let slot = shape.slot(block, *record, *hash);
            body[at..at + SLOT_BYTES].copy_from_slice(&slot.to_le_bytes());
            used[line] += 1;
            reach = reach.max(step + 1);
        }
        let bits = |bits| u8::try_from(bits).expect("at most 32");
        let reach = u8::try_from(reach).expect("at most 16");
        let (blocks, records) = (bits(shape.block_bits), bits(shape.record_bits));
        body[..5].copy_from_slice(&[KIND_HASH, blocks, padding, records, reach]);
        Some(body)
    }
}

fn lines_for(keys: usize) -> usize {
    keys.div_ceil(USED).max(1)
}

fn bits_for(number: usize) -> u32 {
    usize::BITS - number.leading_zeros()
}

/// Scales the high half of the hash to the number of lines.
#[inline]
fn line_of(hash: u64, lines: usize) -> usize {
    ((u128::from(hash >> 32) * lines as u128) >> 32) as usize
}

/// How a slot is divided.
#[derive(Clone, Copy, Debug)]
struct Shape {
    block_bits: u32,
    record_bits: u32,
}

impl Shape {
    #[inline]
    fn tag_bits(self) -> u32 {
        u32::BITS - self.block_bits - self.record_bits
    }

    #[inline]
    fn tag_mask(self) -> u32 {
        u32::MAX >> (u32::BITS - self.tag_bits())
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the low bits are what is wanted")]
    fn tag(self, hash: u64) -> u32 {
        (hash as u32 & self.tag_mask()).max(1)
    }

    fn slot(self, block: u32, record: u32, hash: u64) -> u32 {
        // Both shifts may be by all bits, of a number that is then 0.
        let block = u64::from(block) << (self.record_bits + self.tag_bits());
        let record = u64::from(record) << self.tag_bits();
        u32::try_from(block | record).expect("the bits were counted") | self.tag(hash)
    }

    #[inline]
    fn place(self, slot: u32) -> Place {
        let numbers = slot >> self.tag_bits().min(u32::BITS - 1);
        let numbers = if self.tag_bits() == u32::BITS { 0 } else { numbers };
        let record = numbers & !(u32::MAX << self.record_bits);
        ((numbers >> self.record_bits) as usize, record as usize)
    }
}

/// A hash index that was read back.
#[derive(Debug)]
pub(crate) struct HashIndex {
    body: Bytes,
    start: usize,
    lines: usize,
    reach: usize,
    shape: Shape,
}

impl HashIndex {
    /// Reads the body of a block of this kind. The slots are not looked at.
    pub(crate) fn decode(body: Bytes) -> Result<HashIndex, Malformed> {
        let mut reader = Reader::new(&body);
        let malformed = reader.malformed("a hash index");
        reader.u8("a filter kind")?;
        let block_bits = u32::from(reader.u8("block bits")?);
        let padding = usize::from(reader.u8("padding")?);
        let record_bits = u32::from(reader.u8("record bits")?);
        let reach = usize::from(reader.u8("reach")?);
        let zeros = reader.bytes(3, "zeros")?;
        let pad = reader.bytes(padding, "padding")?;
        let valid = block_bits + record_bits + TAG_BITS_MIN <= u32::BITS
            && (1..=REACH_MAX).contains(&reach)
            && padding < LINE_BYTES
            && zeros.iter().chain(pad).all(|b| *b == 0)
            && !reader.is_empty()
            && reader.left().is_multiple_of(LINE_BYTES);
        if !valid {
            return Err(malformed);
        }
        let start = reader.offset();
        let lines = (body.len() - start) / LINE_BYTES;
        let shape = Shape { block_bits, record_bits };
        Ok(HashIndex { start, lines, reach: reach.min(lines), shape, body })
    }

    /// Where the key of this hash may be; few places, mostly one or none.
    #[inline]
    pub(crate) fn candidates(&self, hash: u64) -> Candidates<'_> {
        let mut candidates = Candidates {
            index: self,
            tag: self.shape.tag(hash),
            line: line_of(hash, self.lines),
            lines_left: self.reach,
            found: 0,
        };
        candidates.look();
        candidates
    }

    /// Reads a byte of the line in which a search for this hash begins.
    #[inline]
    pub(crate) fn touch(&self, hash: u64) -> u8 {
        self.line(line_of(hash, self.lines))[0][0]
    }

    /// How many slots are in use.
    pub(crate) fn count(&self) -> usize {
        let slots: &[[u8; SLOT_BYTES]] = self.body[self.start..].as_chunks().0;
        slots.iter().filter(|slot| **slot != [0; SLOT_BYTES]).count()
    }

    #[inline]
    fn line(&self, line: usize) -> &[[u8; SLOT_BYTES]; SLOTS] {
        let at = self.start + line * LINE_BYTES;
        let slots: &[[u8; SLOT_BYTES]] = self.body[at..at + LINE_BYTES].as_chunks().0;
        slots.first_chunk().expect("a line is full of slots")
    }
}

/// The places where a key may be.
#[derive(Debug)]
pub(crate) struct Candidates<'a> {
    index: &'a HashIndex,
    tag: u32,
    line: usize,
    /// Lines that may still be looked at, the one at hand included.
    lines_left: usize,
    /// The slots of the line at hand with this tag that have not been given yet, a bit for each.
    found: u32,
}

impl Candidates<'_> {
    /// Compares all slots of the line at once: a loop without branches is one of few instructions.
    #[inline]
    fn look(&mut self) {
        let mask = self.index.shape.tag_mask();
        let mut found = 0;
        for (number, slot) in self.index.line(self.line).iter().enumerate() {
            let same = u32::from_le_bytes(*slot) & mask == self.tag;
            found |= u32::from(same) << number;
        }
        self.found = found;
    }

    /// Goes to the next line, if the key may lie there.
    #[inline]
    fn go_on(&mut self) -> bool {
        let full = self.index.line(self.line)[SLOTS - 1] != [0; SLOT_BYTES];
        if !full || self.lines_left <= 1 {
            return false;
        }
        self.lines_left -= 1;
        self.line = if self.line + 1 == self.index.lines { 0 } else { self.line + 1 };
        self.look();
        true
    }
}

impl Iterator for Candidates<'_> {
    type Item = Place;

    #[inline]
    fn next(&mut self) -> Option<Place> {
        while self.found == 0 {
            if !self.go_on() {
                return None;
            }
        }
        let number = self.found.trailing_zeros() as usize;
        self.found &= self.found - 1;
        let slot = u32::from_le_bytes(self.index.line(self.line)[number]);
        Some(self.index.shape.place(slot))
    }
}

#[cfg(test)]
mod tests;
