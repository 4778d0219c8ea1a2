//! The parts of a table without a file, for those who examine the decoders one by one, as the fuzz
//! targets do. Stores have no use for it.
//!
//! Bodies are given without their trailers, so that no checksum stands between any bytes and the
//! decoders.

use bytes::Bytes;
use icecore_disk::Name;
use icecore_model::{Entry, Malformed, Versionstamp};

use crate::block::{BlockBuilder, DataBlock};
use crate::error::Error;
use crate::filter::{self, Filter};
use crate::format::{Sealed, pack};
use crate::hash::{HashBuilder, HashIndex};
use crate::index::{Index, IndexBuilder};
use crate::options::Compression;

/// An entry of a data block, and how it is stored.
#[derive(Clone, Copy, Debug)]
pub struct Placed<'a> {
    /// Its number in the block.
    pub index: usize,
    /// Where its value begins in the body.
    pub value: usize,
    /// What it says.
    pub entry: Entry<'a>,
}

/// The body of a data block with these entries, which must be in order; at least one.
pub fn build_block(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut builder = BlockBuilder::default();
    for entry in entries {
        builder.add(entry);
    }
    builder.finish().to_vec()
}

/// Visits the entries of a data block from the first to the last. Gives the length of the prefix
/// that their keys share.
///
/// # Errors
/// What cannot be decoded; whether the entries make a valid block is not judged.
pub fn walk_block(body: &[u8], visit: &mut dyn FnMut(Placed<'_>)) -> Result<usize, Malformed> {
    let block = DataBlock::new(body)?;
    let mut key = block.prefix().to_vec();
    for index in 0..block.shape().count {
        let raw = block.entry(index)?;
        key.truncate(block.prefix().len());
        key.extend_from_slice(raw.rest(body));
        let entry = Entry { key: &key, stamp: raw.stamp, change: raw.change(body) };
        visit(Placed { index, value: raw.value_range().start, entry });
    }
    Ok(block.prefix().len())
}

/// The number of the first entry at or after (`key`, `stamp`), and whether it is of this key.
///
/// # Errors
/// What cannot be decoded on the way.
pub fn search_block(
    body: &[u8],
    key: &[u8],
    stamp: Versionstamp,
) -> Result<Option<(usize, bool)>, Malformed> {
    let found = DataBlock::new(body)?.search(key, stamp)?;
    Ok(found.map(|found| (found.index, found.same_key)))
}

/// A block as its index is told of it.
#[derive(Clone, Copy, Debug)]
pub struct Indexed<'a> {
    /// Key and stamp of its last entry.
    pub last: (&'a [u8], Versionstamp),
    /// The key of the entry after it, if there is one.
    pub next: Option<&'a [u8]>,
    /// Its length, with its trailer.
    pub bytes: u64,
}

/// The body of an index over blocks that follow one another from the start of a file.
pub fn build_index(blocks: &[Indexed<'_>]) -> Vec<u8> {
    let mut builder = IndexBuilder::default();
    let mut end = 0;
    for block in blocks {
        end += block.bytes;
        builder.add(block.last, block.next, end);
    }
    builder.finish()
}

/// An index that was read back.
#[derive(Debug)]
pub struct IndexPart(Index);

impl IndexPart {
    /// Reads an index whose blocks must fill the file up to `data_end`.
    ///
    /// # Errors
    /// For everything that is not a valid index.
    pub fn decode(body: Bytes, data_end: u64) -> Result<IndexPart, Malformed> {
        Index::decode(body, data_end).map(IndexPart)
    }

    /// How many blocks there are.
    pub fn count(&self) -> usize {
        self.0.count()
    }

    /// The block that holds (`key`, `stamp`) if any does; their number if it lies after all.
    ///
    /// # Errors
    /// None for an index that was decoded.
    pub fn find(&self, key: &[u8], stamp: Versionstamp) -> Result<usize, Malformed> {
        self.0.find(key, stamp)
    }

    /// The separator after a block, and the first byte behind the block.
    ///
    /// # Errors
    /// When there is no such block.
    pub fn block(&self, ordinal: usize) -> Result<(Vec<u8>, Versionstamp, u64), Malformed> {
        let (key, stamp) = self.0.separator(ordinal)?;
        let handle = self.0.handle(ordinal)?;
        Ok((key, stamp, handle.offset + handle.bytes))
    }
}

/// The body of a filter over these hashes, for the place `offset` of a file.
pub fn build_filter(hashes: &[u64], bits_per_key: u32, offset: u64) -> Vec<u8> {
    filter::encode(hashes, bits_per_key, offset)
}

/// A filter that was read back.
#[derive(Debug)]
pub struct FilterPart(Filter);

impl FilterPart {
    /// Reads a filter; `None` if it is none.
    pub fn decode(body: Bytes) -> Option<FilterPart> {
        Filter::decode(body).ok().map(FilterPart)
    }

    /// False only if no key of this hash is in the table.
    pub fn may_contain(&self, hash: u64) -> bool {
        self.0.may_contain(hash)
    }
}

/// A key as its hash index is told of it.
#[derive(Clone, Copy, Debug)]
pub struct Hashed {
    /// The hash of the key.
    pub hash: u64,
    /// Whether its newest record is the first one of a block that no key before it is in.
    pub begins_block: bool,
    /// The number of that record in the block.
    pub record: u16,
}

/// The body of a hash index over these keys, for the place `offset` of a file; `None` if they make
/// none.
pub fn build_hash(keys: &[Hashed], offset: u64) -> Option<Vec<u8>> {
    let mut builder = HashBuilder::default();
    for (number, key) in keys.iter().enumerate() {
        if key.begins_block && number > 0 {
            builder.end_block();
        }
        builder.add(key.hash, usize::from(key.record));
    }
    builder.end_block();
    builder.encode(offset)
}

/// A hash index that was read back.
#[derive(Debug)]
pub struct HashPart(HashIndex);

impl HashPart {
    /// Reads a hash index; `None` if it is none.
    pub fn decode(body: Bytes) -> Option<HashPart> {
        match Filter::decode(body) {
            Ok(Filter::Hash(index)) => Some(HashPart(index)),
            Ok(Filter::Bloom(_)) | Err(_) => None,
        }
    }

    /// The numbers of block and record where the key of this hash may be.
    pub fn candidates(&self, hash: u64) -> impl Iterator<Item = (usize, usize)> {
        self.0.candidates(hash)
    }

    /// How many keys it has.
    pub fn count(&self) -> usize {
        self.0.count()
    }
}

/// The body of a block that was stored compressed, as [`build_packed`] stores it.
///
/// # Errors
/// When it cannot be unpacked, or would become longer than what is stored allows.
pub fn unpack(stored: &[u8]) -> Result<Vec<u8>, Error> {
    Sealed { stored, compression: Compression::Lz4 }.unpack(Name::Table(0), 0)
}

/// `body` as a compressed block stores it.
pub fn build_packed(body: &[u8]) -> Vec<u8> {
    pack(body)
}
