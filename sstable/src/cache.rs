//! Blocks that were costly to make: decompressed ones, and in [`ReadMode::Read`] all.
//!
//! The cache is cut into shards by the hash of the block's place, each behind its own lock and with
//! its own share of the bytes. A shard evicts by CLOCK (Corbató, "A paging experiment with the
//! Multics system", 1968): a hand goes round the blocks, spares those that were used since it last
//! came by, and takes the first other one. A block starts out as unused, so that one scan cannot
//! push out what is read again and again.
//!
//! Invariants:
//! 1. The bytes of the blocks in a shard never exceed its share, except within `insert`.
//! 2. `map` leads from each key to the slot that holds it, and to no other.
//!
//! [`ReadMode::Read`]: crate::ReadMode::Read

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use icecore_model::hash::hash64;

/// Enough that two cores rarely want the same lock.
const SHARDS: usize = 16;

/// A cache of blocks, shared by all tables and bounded in bytes.
pub struct BlockCache {
    shards: [Mutex<Shard>; SHARDS],
    shard_bytes: usize,
    owners: AtomicU64,
}

/// A block: which open table it belongs to, and where it lies in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct BlockKey {
    pub(crate) owner: u64,
    pub(crate) offset: u64,
}

#[derive(Default)]
struct Shard {
    map: HashMap<BlockKey, usize>,
    slots: Vec<Slot>,
    hand: usize,
    bytes: usize,
}

struct Slot {
    key: BlockKey,
    block: Bytes,
    used: bool,
}

impl BlockCache {
    /// A cache of at most `bytes` bytes of blocks; 0 keeps nothing.
    pub fn new(bytes: usize) -> BlockCache {
        BlockCache {
            shards: std::array::from_fn(|_| Mutex::default()),
            shard_bytes: bytes / SHARDS,
            owners: AtomicU64::new(0),
        }
    }

    /// How many bytes of blocks it holds.
    pub fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).bytes).sum()
    }

    /// A number that no other open table has.
    pub(crate) fn owner(&self) -> u64 {
        self.owners.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn get(&self, key: BlockKey) -> Option<Bytes> {
        let mut guard = lock(self.shard(key));
        let shard = &mut *guard;
        let slot = &mut shard.slots[*shard.map.get(&key)?];
        slot.used = true;
        Some(slot.block.clone())
    }

    /// Keeps a block, unless it would take more than half of its shard.
    pub(crate) fn insert(&self, key: BlockKey, block: Bytes) {
        if block.len() > self.shard_bytes / 2 {
            return;
        }
        let mut shard = lock(self.shard(key));
        if shard.map.contains_key(&key) {
            return;
        }
        shard.bytes += block.len();
        let slot = shard.slots.len();
        shard.map.insert(key, slot);
        shard.slots.push(Slot { key, block, used: false });
        while shard.bytes > self.shard_bytes {
            shard.evict_one(key);
        }
    }

    fn shard(&self, key: BlockKey) -> &Mutex<Shard> {
        let mut place = [0; 16];
        place[..8].copy_from_slice(&key.owner.to_le_bytes());
        place[8..].copy_from_slice(&key.offset.to_le_bytes());
        let [low, ..] = hash64(&place).to_le_bytes();
        &self.shards[usize::from(low) % SHARDS]
    }
}

/// A shard is whole between statements, so a panic elsewhere does not spoil it.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shard {
    /// Takes out the first block under the hand that was not used since it last came by; never the
    /// block `spared`, which has just come. There is another one: no block fills half a shard.
    fn evict_one(&mut self, spared: BlockKey) {
        loop {
            self.hand = if self.hand < self.slots.len() { self.hand } else { 0 };
            let slot = &mut self.slots[self.hand];
            if slot.used || slot.key == spared {
                slot.used = false;
                self.hand += 1;
                continue;
            }
            let gone = self.slots.swap_remove(self.hand);
            self.bytes -= gone.block.len();
            self.map.remove(&gone.key);
            if let Some(moved) = self.slots.get(self.hand) {
                self.map.insert(moved.key, self.hand);
            }
            return;
        }
    }
}

impl fmt::Debug for BlockCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlockCache({} of {} bytes)", self.bytes(), self.shard_bytes * SHARDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(offset: u64) -> BlockKey {
        BlockKey { owner: 1, offset }
    }

    #[test]
    fn it_never_holds_more_than_its_share_and_gives_back_what_it_holds() {
        let cache = BlockCache::new(16 * 1000);
        let block = |offset: u64| Bytes::from(offset.to_le_bytes().repeat(13));
        for offset in 0..2000 {
            cache.insert(key(offset), block(offset));
            assert!(cache.bytes() <= 16 * 1000);
        }
        let held: Vec<u64> = (0..2000).filter(|o| cache.get(key(*o)).is_some()).collect();
        assert!(held.len() > 80, "{}", held.len());
        assert!(held.iter().all(|o| cache.get(key(*o)).unwrap() == block(*o)));
        assert_eq!(cache.get(BlockKey { owner: 2, offset: held[0] }), None);
    }

    #[test]
    fn a_scan_does_not_push_out_what_is_read_again() {
        let cache = BlockCache::new(16 * 1000);
        cache.insert(key(0), Bytes::from_static(&[7; 100]));
        for offset in 1..2000 {
            assert!(cache.get(key(0)).is_some(), "before block {offset}");
            cache.insert(key(offset), Bytes::from_static(&[1; 100]));
        }
    }

    #[test]
    fn a_block_that_would_fill_a_shard_is_not_kept() {
        let cache = BlockCache::new(16 * 1000);
        cache.insert(key(0), Bytes::from_static(&[7; 501]));
        assert_eq!(cache.bytes(), 0);
        BlockCache::new(0).insert(key(0), Bytes::new());
    }
}
