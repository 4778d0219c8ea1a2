//! Memory that is handed out piece by piece and taken back all at once.
//!
//! An [`Arena`] is a list of chunks; a [`Bump`], of which an arena has one, cuts pieces off the
//! last of them. Fresh memory costs about 0.5 µs per KiB in page faults, so chunks come from an
//! [`ArenaPool`] and go back to it.
//!
//! 1. A chunk starts at a multiple of the pool's `chunk_bytes`, and every piece starts within the
//!    first `chunk_bytes` of its chunk: rounding the address of a piece down finds the chunk.
//! 2. The first [`HEADER_BYTES`] of a chunk hold the address of its [`Chunk`].
//! 3. A chunk lives until its arena and the last [`Bytes`] cut from it are gone.
//! 4. A piece larger than half a chunk gets a chunk of its own size, which is not pooled.

#![expect(unsafe_code, reason = "memory is allocated, divided and shared here")]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;

use icecore_sync::fine::{AtomicUsize, Mutex, Ordering};

/// Every piece starts at a multiple of this, which leaves four low bits of its address for a tag.
pub(crate) const PIECE_ALIGN: usize = 16;

const HEADER_BYTES: usize = PIECE_ALIGN;

/// The smallest chunk: below it the header and the cut-off ends would outweigh the contents.
pub const CHUNK_BYTES_MIN: usize = 4 << 10;

const _: () = assert!(HEADER_BYTES >= size_of::<*const Chunk>());

/// The memory that the memtables of one engine draw their chunks from and return them to.
pub struct ArenaPool {
    chunk_bytes: usize,
    free_chunks_max: usize,
    free: Mutex<Vec<Block>>,
    live_bytes: AtomicUsize,
    pinned_bytes: AtomicUsize,
}

/// What a pool holds, in bytes, at about one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolUse {
    /// In chunks of memtables and of values that outlive theirs.
    pub live_bytes: usize,
    /// In the chunks, also counted as live, that handed-out values keep alive.
    pub pinned_bytes: usize,
    /// In chunks that wait to be used again.
    pub free_bytes: usize,
}

impl ArenaPool {
    /// A pool of chunks of `chunk_bytes` each (a power of two, at least [`CHUNK_BYTES_MIN`]) that
    /// keeps up to `free_chunks_max` of them for reuse.
    ///
    /// # Panics
    /// If `chunk_bytes` is not such a number.
    pub fn new(chunk_bytes: usize, free_chunks_max: usize) -> Arc<ArenaPool> {
        assert!(chunk_bytes.is_power_of_two() && chunk_bytes >= CHUNK_BYTES_MIN);
        Arc::new(ArenaPool {
            chunk_bytes,
            free_chunks_max,
            free: Mutex::new(Vec::new()),
            live_bytes: AtomicUsize::new(0),
            pinned_bytes: AtomicUsize::new(0),
        })
    }

    /// What the pool holds.
    pub fn usage(&self) -> PoolUse {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).len();
        PoolUse {
            live_bytes: self.live_bytes.load(Ordering::Relaxed),
            pinned_bytes: self.pinned_bytes.load(Ordering::Relaxed),
            free_bytes: free * self.chunk_bytes,
        }
    }

    fn take(self: &Arc<Self>, bytes: usize) -> Arc<Chunk> {
        let pooled = if bytes == self.chunk_bytes {
            self.free.lock().unwrap_or_else(PoisonError::into_inner).pop()
        } else {
            None
        };
        let block = pooled.unwrap_or_else(|| Block::new(bytes, self.chunk_bytes));
        self.live_bytes.fetch_add(bytes, Ordering::Relaxed);
        let start = block.start;
        let chunk = Arc::new(Chunk {
            block: Some(block),
            pool: Arc::clone(self),
            pins: AtomicUsize::new(0),
        });
        // SAFETY: `start` is aligned to at least CHUNK_BYTES_MIN and begins at least HEADER_BYTES
        // of memory that nobody else refers to yet.
        unsafe { start.cast::<*const Chunk>().write(Arc::as_ptr(&chunk)) };
        chunk
    }

    fn give_back(&self, block: Block) {
        let bytes = block.layout.size();
        self.live_bytes.fetch_sub(bytes, Ordering::Relaxed);
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes == self.chunk_bytes && free.len() < self.free_chunks_max {
            free.push(block);
        } else {
            // Unmapping is slow: not under the lock.
            drop(free);
            drop(block);
        }
    }
}

impl std::fmt::Debug for ArenaPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ArenaPool")
            .field("chunk_bytes", &self.chunk_bytes)
            .field("usage", &self.usage())
            .finish_non_exhaustive()
    }
}

/// An allocation.
struct Block {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: a Block owns its memory, which any thread may use and free.
unsafe impl Send for Block {}
// SAFETY: a shared Block gives out only its address.
unsafe impl Sync for Block {}

impl Block {
    fn new(bytes: usize, align: usize) -> Block {
        let layout =
            Layout::from_size_align(bytes, align).expect("a chunk is far smaller than memory");
        assert!(bytes >= HEADER_BYTES);
        // SAFETY: the size is not zero, by the assertion.
        let start = unsafe { alloc(layout) };
        let start = NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout));
        Block { start, layout }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: `start` came from `alloc` with this layout, and a Block is not Clone.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}

struct Chunk {
    /// Present until the drop.
    block: Option<Block>,
    pool: Arc<ArenaPool>,
    /// How many [`Pinned`] there are.
    pins: AtomicUsize,
}

impl Chunk {
    fn block(&self) -> &Block {
        self.block.as_ref().expect("a chunk has its block until it is dropped")
    }

    fn bytes(&self) -> usize {
        self.block().layout.size()
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if let Some(block) = self.block.take() {
            self.pool.give_back(block);
        }
    }
}

/// The chunks of one memtable.
pub(crate) struct Arena {
    pool: Arc<ArenaPool>,
    chunks: Mutex<Vec<Arc<Chunk>>>,
    allocated_bytes: AtomicUsize,
}

impl Arena {
    pub(crate) fn new(pool: &Arc<ArenaPool>) -> Arena {
        Arena {
            pool: Arc::clone(pool),
            chunks: Mutex::new(Vec::new()),
            allocated_bytes: AtomicUsize::new(0),
        }
    }

    /// The bytes of all chunks, used or not.
    pub(crate) fn allocated_bytes(&self) -> usize {
        self.allocated_bytes.load(Ordering::Relaxed)
    }

    fn add_chunk(&self, bytes: usize) -> NonNull<u8> {
        let chunk = self.pool.take(bytes);
        let start = chunk.block().start;
        self.allocated_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner).push(chunk);
        start
    }

    /// Bytes that keep their chunk alive by themselves.
    ///
    /// # Safety
    /// - `piece` is the start of a piece cut from this arena, with the provenance it came with.
    /// - `range` lies within the piece, is initialised, and is never written again.
    pub(crate) unsafe fn pin(&self, piece: NonNull<u8>, range: Range<usize>) -> Bytes {
        let mask = self.pool.chunk_bytes - 1;
        let header = piece.as_ptr().map_addr(|address| address & !mask).cast::<*const Chunk>();
        // SAFETY: by invariants 1 and 2 this is the header of the piece's chunk, which `take`
        // wrote before the first piece was cut; the arena, and so the chunk, is alive.
        let chunk = unsafe { header.read() };
        // SAFETY: the address came from `Arc::as_ptr`, and the arena's list holds one reference.
        let chunk = unsafe {
            Arc::increment_strong_count(chunk);
            Arc::from_raw(chunk)
        };
        if chunk.pins.fetch_add(1, Ordering::Relaxed) == 0 {
            self.pool.pinned_bytes.fetch_add(chunk.bytes(), Ordering::Relaxed);
        }
        // SAFETY: the range lies within the piece, by the contract.
        let start = unsafe { piece.add(range.start) };
        Bytes::from_owner(Pinned { chunk, start, length: range.len() })
    }
}

/// A value that keeps its chunk alive.
struct Pinned {
    chunk: Arc<Chunk>,
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the bytes are never written again, and the chunk, which may be shared and sent, holds
// them.
unsafe impl Send for Pinned {}
// SAFETY: as above.
unsafe impl Sync for Pinned {}

impl AsRef<[u8]> for Pinned {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: by the contract of `Arena::pin`: in one piece, initialised, never written again;
        // alive because the chunk is.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if self.chunk.pins.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.chunk.pool.pinned_bytes.fetch_sub(self.chunk.bytes(), Ordering::Relaxed);
        }
    }
}

/// Cuts pieces off an arena. An arena is used with one of them only.
pub(crate) struct Bump {
    /// The free part of the last pooled chunk; dangling while `left` is zero.
    next: NonNull<u8>,
    left: usize,
    used_bytes: usize,
}

// SAFETY: the free part belongs to the Bump alone.
unsafe impl Send for Bump {}
// SAFETY: a shared Bump gives out only numbers.
unsafe impl Sync for Bump {}

impl Bump {
    pub(crate) fn new() -> Bump {
        Bump { next: NonNull::dangling(), left: 0, used_bytes: 0 }
    }

    /// The bytes of all pieces, each rounded up to [`PIECE_ALIGN`].
    pub(crate) fn used_bytes(&self) -> usize {
        self.used_bytes
    }

    /// A piece of at least `bytes` uninitialised bytes at a multiple of [`PIECE_ALIGN`]. Nobody
    /// else refers to it; it lives as long as `arena`, and its provenance is that of its chunk.
    pub(crate) fn cut(&mut self, arena: &Arena, bytes: usize) -> NonNull<u8> {
        let bytes = bytes.next_multiple_of(PIECE_ALIGN);
        self.used_bytes += bytes;
        if bytes > self.left {
            let whole = arena.pool.chunk_bytes;
            if bytes > whole / 2 {
                let start = arena.add_chunk(HEADER_BYTES + bytes);
                // SAFETY: the chunk has HEADER_BYTES and more.
                return unsafe { start.add(HEADER_BYTES) };
            }
            let start = arena.add_chunk(whole);
            // SAFETY: the chunk has HEADER_BYTES and more.
            self.next = unsafe { start.add(HEADER_BYTES) };
            self.left = whole - HEADER_BYTES;
        }
        let piece = self.next;
        // SAFETY: `bytes` are left in the chunk, so this is at most its end.
        self.next = unsafe { piece.add(bytes) };
        self.left -= bytes;
        piece
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn chunks_of_a_dropped_arena_are_used_again_up_to_the_bound() {
        let pool = ArenaPool::new(CHUNK_BYTES_MIN, 2);
        let fill = || {
            let (arena, mut bump) = (Arena::new(&pool), Bump::new());
            for _ in 0..12 {
                bump.cut(&arena, 1000);
            }
            arena
        };
        let arena = fill();
        assert_eq!(arena.allocated_bytes(), 3 * CHUNK_BYTES_MIN);
        assert_eq!(pool.usage().live_bytes, 3 * CHUNK_BYTES_MIN);
        drop(arena);
        assert_eq!(pool.usage(), PoolUse { free_bytes: 2 * CHUNK_BYTES_MIN, ..PoolUse::default() });
        let arena = fill();
        assert_eq!(pool.usage().free_bytes, 0);
        drop(arena);
    }

    #[test]
    fn a_large_piece_has_a_chunk_of_its_own_and_the_common_one_goes_on() {
        let pool = ArenaPool::new(CHUNK_BYTES_MIN, 8);
        let (arena, mut bump) = (Arena::new(&pool), Bump::new());
        let first = bump.cut(&arena, 10);
        bump.cut(&arena, 3 * CHUNK_BYTES_MIN);
        let second = bump.cut(&arena, 10);
        assert_eq!(second.addr().get() - first.addr().get(), PIECE_ALIGN);
        assert_eq!(bump.used_bytes(), 3 * CHUNK_BYTES_MIN + 2 * PIECE_ALIGN);
        assert_eq!(arena.allocated_bytes(), 4 * CHUNK_BYTES_MIN + HEADER_BYTES);
        drop(arena);
        assert_eq!(pool.usage().free_bytes, CHUNK_BYTES_MIN);
    }

    #[test]
    fn pinned_bytes_outlive_the_arena_and_are_counted_by_the_chunk() {
        let pool = ArenaPool::new(CHUNK_BYTES_MIN, 8);
        let (arena, mut bump) = (Arena::new(&pool), Bump::new());
        let piece = bump.cut(&arena, 5);
        // SAFETY: the piece has five bytes that nobody else refers to.
        unsafe { piece.copy_from_nonoverlapping(NonNull::from(b"hello").cast(), 5) };
        // SAFETY: a piece of this arena, initialised, not written below.
        let (a, b) = unsafe { (arena.pin(piece, 0..5), arena.pin(piece, 1..3)) };
        drop(arena);
        let used =
            PoolUse { live_bytes: CHUNK_BYTES_MIN, pinned_bytes: CHUNK_BYTES_MIN, free_bytes: 0 };
        assert_eq!(pool.usage(), used);
        drop(a);
        assert_eq!(b, "el");
        assert_eq!(pool.usage(), used);
        drop(b);
        assert_eq!(pool.usage(), PoolUse { free_bytes: CHUNK_BYTES_MIN, ..PoolUse::default() });
    }
}
