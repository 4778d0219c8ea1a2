//! Verified bodies of blocks.
//!
//! Invariants:
//! 1. No body leaves here that was not verified since the table was opened; in
//!    [`ReadMode::MmapStrict`] and [`ReadMode::Read`] what was verified is the very copy that leaves.
//! 2. A block is in `verified` only after it was verified. Whatever is in `compressed` by mistake
//!    (a damaged trailer) goes the way of compressed blocks, on which every read verifies.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::cache::{BlockCache, BlockKey};
use crate::error::Error;
use crate::format::{Handle, Kind, Seal, Sealed, TRAILER_BYTES, uncompressed};
use crate::options::{Compression, ReadMode};
use crate::source::{Source, Stored};

const BITS: usize = u64::BITS as usize;

/// A growing set of data blocks, one bit each.
///
/// Reading a stale bit costs a second look at the block and nothing else, so that the bits need no
/// ordering.
#[derive(Debug)]
struct BlockSet(Box<[AtomicU64]>);

impl BlockSet {
    fn new(count: usize) -> BlockSet {
        BlockSet((0..count.div_ceil(BITS)).map(|_| AtomicU64::new(0)).collect())
    }

    #[inline]
    fn contains(&self, ordinal: usize) -> bool {
        self.0[ordinal / BITS].load(Ordering::Relaxed) & (1 << (ordinal % BITS)) != 0
    }

    fn insert(&self, ordinal: usize) {
        self.0[ordinal / BITS].fetch_or(1 << (ordinal % BITS), Ordering::Relaxed);
    }
}

/// The blocks of one table.
#[derive(Debug)]
pub(crate) struct Blocks {
    pub(crate) source: Source,
    pub(crate) seal: Seal,
    cache: Arc<BlockCache>,
    owner: u64,
    /// Data blocks that may be read in place; used only with [`ReadMode::Mmap`].
    verified: BlockSet,
    /// Data blocks that need not be looked at in place; used only with [`ReadMode::Mmap`].
    compressed: BlockSet,
}

/// The body of a data block.
#[derive(Debug)]
pub(crate) enum Body<'a> {
    /// In the mapping of the file, where it starts at the block's offset.
    InPlace(&'a [u8]),
    /// A copy, or decompressed.
    Owned(Bytes),
}

impl std::ops::Deref for Body<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Body::InPlace(bytes) => bytes,
            Body::Owned(bytes) => bytes,
        }
    }
}

impl Blocks {
    pub(crate) fn new(source: Source, seal: Seal, cache: Arc<BlockCache>, count: usize) -> Blocks {
        let (verified, compressed) = (BlockSet::new(count), BlockSet::new(count));
        Blocks { owner: cache.owner(), source, seal, cache, verified, compressed }
    }

    /// The body of the data block `ordinal`.
    #[inline]
    pub(crate) fn data(&self, ordinal: usize, handle: Handle) -> Result<Body<'_>, Error> {
        let maybe_in_place =
            self.source.mode() == ReadMode::Mmap && !self.compressed.contains(ordinal);
        if maybe_in_place && let Stored::Mapped(bytes) = self.source.read(handle)? {
            // What was verified in place was not compressed: its trailer, in a cache line of its
            // own, need not be asked.
            if self.verified.contains(ordinal)
                && let Some((body, _)) = bytes.split_last_chunk::<TRAILER_BYTES>()
            {
                return Ok(Body::InPlace(body));
            }
            if let Some(body) = uncompressed(bytes) {
                self.verify(bytes, ordinal, handle)?;
                return Ok(Body::InPlace(body));
            }
            self.compressed.insert(ordinal);
        }
        self.owned(handle).map(Body::Owned)
    }

    /// The bytes of the data block `ordinal` where they lie, if it was verified before.
    #[inline]
    pub(crate) fn in_place(&self, ordinal: usize, handle: Handle) -> Option<&[u8]> {
        if self.source.mode() != ReadMode::Mmap || !self.verified.contains(ordinal) {
            return None;
        }
        match self.source.read(handle) {
            Ok(Stored::Mapped(bytes)) => Some(bytes),
            _ => None,
        }
    }

    fn verify(&self, bytes: &[u8], ordinal: usize, handle: Handle) -> Result<(), Error> {
        let file = self.source.file;
        let verified = Sealed::verify(bytes, &self.seal, file, handle.offset, Kind::Data);
        // A page that cannot be read may look like any bytes: the fault is the better answer.
        self.source.check(handle)?;
        verified.map(|_| self.verified.insert(ordinal))
    }

    /// A copy of the body, from the cache or from the file.
    fn owned(&self, handle: Handle) -> Result<Bytes, Error> {
        let key = BlockKey { owner: self.owner, offset: handle.offset };
        if let Some(body) = self.cache.get(key) {
            return Ok(body);
        }
        let (body, compression) = read_block(&self.source, &self.seal, handle, Kind::Data)?;
        if compression == Compression::Lz4 || self.source.mode() == ReadMode::Read {
            self.cache.insert(key, body.clone());
        }
        Ok(body)
    }

    /// As [`Blocks::data`], but the body stays readable without a borrow. Says, too, whether it
    /// lies in the mapping.
    pub(crate) fn pinned(&self, ordinal: usize, handle: Handle) -> Result<(Bytes, bool), Error> {
        match self.data(ordinal, handle)? {
            Body::Owned(body) => Ok((body, false)),
            Body::InPlace(body) => {
                let end = handle.offset + body.len() as u64;
                Ok((self.source.pin(handle.offset..end)?, true))
            }
        }
    }
}

/// Reads and verifies a block of any kind, past the cache.
pub(crate) fn read_block(
    source: &Source,
    seal: &Seal,
    handle: Handle,
    kind: Kind,
) -> Result<(Bytes, Compression), Error> {
    let stored = source.read(handle)?;
    let sealed = Sealed::verify(&stored, seal, source.file, handle.offset, kind);
    source.check(handle)?;
    let sealed = sealed?;
    let body = match (sealed.compression, &stored) {
        (Compression::Lz4, _) => Bytes::from(sealed.unpack(source.file, handle.offset)?),
        (Compression::None, Stored::Owned(bytes)) => bytes.slice(..bytes.len() - TRAILER_BYTES),
        (Compression::None, Stored::Mapped(bytes)) => {
            let end = handle.offset + (bytes.len() - TRAILER_BYTES) as u64;
            source.pin(handle.offset..end)?
        }
    };
    source.check(handle)?;
    Ok((body, sealed.compression))
}
