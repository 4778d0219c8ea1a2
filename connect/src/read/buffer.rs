//! Memory for a piece of an answer.
//!
//! Pieces of long answers are mappings of their own, which go back to the system when their client has
//! taken them. From the heap they would stay with the process: each of its threads has a part of the
//! heap, a long answer fills that of the thread that happens to read it, and one small buffer among what
//! was freed keeps the rest. A thousand clients that asked for the longest answers made 680 MiB of the
//! 160 that may be paid for.

use bytes::{BufMut, Bytes, BytesMut};
use memmap2::MmapMut;

use crate::limits::{READ_KEY_BYTES_MAX, VALUE_BYTES_MAX};

/// A piece of a long answer is cut behind the entry with which it has become this long.
pub(super) const PIECE_BYTES: usize = 64 << 10;
/// The longest entry that clients can have written, and the numbers around it.
const ENTRY_BYTES: usize = READ_KEY_BYTES_MAX + VALUE_BYTES_MAX + 64;

/// Where a piece is written.
#[derive(Debug)]
pub(super) enum Buffer {
    /// It grows.
    Heap(BytesMut),
    /// It does not.
    Mapped(Mapped),
}

#[derive(Debug)]
pub(super) struct Mapped {
    map: MmapMut,
    len: usize,
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.map[..self.len]
    }
}

impl Default for Buffer {
    fn default() -> Buffer {
        Buffer::Heap(BytesMut::new())
    }
}

impl Buffer {
    /// With room for the next `bytes`, of `left` that will follow all in all.
    pub(super) fn new(bytes: usize, left: usize) -> Buffer {
        if left < PIECE_BYTES || bytes > ENTRY_BYTES {
            return Buffer::default();
        }
        // Whoever has no mapping left may still have some heap.
        let map = MmapMut::map_anon(PIECE_BYTES + ENTRY_BYTES);
        map.map_or_else(|_| Buffer::default(), |map| Buffer::Mapped(Mapped { map, len: 0 }))
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Buffer::Heap(bytes) => bytes.len(),
            Buffer::Mapped(mapped) => mapped.len,
        }
    }

    /// Whether it has room for so many bytes.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        match self {
            Buffer::Heap(_) => true,
            Buffer::Mapped(mapped) => mapped.map.len() - mapped.len >= bytes,
        }
    }

    /// Writes what `encode` writes. There is room for it.
    pub(super) fn put(&mut self, encode: impl FnOnce(&mut dyn BufMut)) {
        match self {
            Buffer::Heap(bytes) => encode(bytes),
            Buffer::Mapped(Mapped { map, len }) => {
                let mut free = &mut map[*len..];
                let room = free.len();
                encode(&mut free);
                let left = free.len();
                *len += room - left;
            }
        }
    }

    /// What was written.
    pub(super) fn freeze(self) -> Bytes {
        match self {
            Buffer::Heap(bytes) => bytes.freeze(),
            Buffer::Mapped(mapped) => Bytes::from_owner(mapped),
        }
    }
}
