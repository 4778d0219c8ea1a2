//! From the hash of a key straight to the key: extendible hashing (Fagin, Nievergelt, Pippenger,
//! Strong, "Extendible hashing", 1979), read without locks.
//!
//! The directory has 2^depth links to segments and is entered with the highest bits of the hash; a
//! segment is a small open-addressing table of links to keys, entered with the lowest bits, each
//! link tagged with four more. A full segment is split in two and replaced, so that growing never
//! stops the inserter for longer than a few hundred keys take.
//!
//! 1. What the inserter has put in is found by every reader that comes after it in time: the
//!    current directory's current segment has it. Replaced directories and segments stay in the
//!    arena, unchanged, for the readers that are still in them.
//! 2. A key whose segment is full and cannot be split is left out, and from then on the index is
//!    not [complete](Index::is_complete): not finding a key in it means nothing. That takes hashes
//!    that somebody made collide; lookups then cost a search of the order, no more.

use std::ops::ControlFlow;

use crate::arena::{Arena, Bump};
use crate::node::{Node, NodeRef};
use crate::record::{Link, Ref, Shape, TAG_MAX, place};
use icecore_sync::fine::{AtomicBool, AtomicU32, Ordering};

/// The links of a segment; a power of two.
const SLOTS: usize = if cfg!(loom) { 4 } else { 128 };

/// The keys of a full segment: beyond this linear probing gets long.
const SEGMENT_KEYS_MAX: u32 = if cfg!(loom) { 3 } else { 80 };

/// The most bits that lead to a segment: 80 million keys, and no bit that a segment uses.
const DEPTH_MAX: u32 = 20;

/// How many directory entries there may be for each segment. Random hashes stay below 4.
const SPARSENESS_MAX: usize = 8;

const _: () = assert!(SLOTS.is_power_of_two() && (SEGMENT_KEYS_MAX as usize) < SLOTS);
const _: () = assert!(SLOTS.ilog2() + (TAG_MAX + 1).ilog2() + DEPTH_MAX <= u32::BITS);

/// The header of a directory; its links are the entries.
struct Directory {
    depth: u32,
}

impl Shape for Directory {
    type Target = Segment;
}

impl Directory {
    #[inline]
    fn entry(&self, hash: u32) -> usize {
        // At depth 0 all bits are shifted out.
        hash.checked_shr(u32::BITS - self.depth).unwrap_or(0) as usize
    }
}

/// The header of a segment, which is all of it: the slots are in here, not in the run of links, so
/// that a lookup touches one of them without first asking how many there are.
struct Segment {
    slots: [Link<Node>; SLOTS],
    /// How many high bits of the hash its keys have in common.
    depth: u32,
    /// How many keys it has; only the inserter looks.
    keys: AtomicU32,
}

impl Shape for Segment {
    type Target = Node;
}

/// From hashes to keys.
pub(crate) struct Index {
    directory: Link<Directory>,
    segments: AtomicU32,
    incomplete: AtomicBool,
}

/// The part of a key's hash that the index uses.
#[inline]
pub(crate) fn short_hash(hash: u64) -> u32 {
    (hash >> 32) as u32
}

#[inline]
fn tag(hash: u32) -> usize {
    (hash >> SLOTS.ilog2()) as usize & TAG_MAX
}

/// The slots of `segment` in the order in which a key with this hash tries them.
#[inline]
fn slots<'a>(segment: Ref<'a, Segment>, hash: u32) -> impl Iterator<Item = &'a Link<Node>> {
    let slots = &segment.get().slots;
    let start = hash as usize & (SLOTS - 1);
    slots[start..].iter().chain(&slots[..start])
}

impl Index {
    pub(crate) fn new() -> Index {
        Index {
            directory: Link::empty(),
            segments: AtomicU32::new(0),
            incomplete: AtomicBool::new(false),
        }
    }

    /// Whether a key that is not found is not there.
    #[inline]
    pub(crate) fn is_complete(&self) -> bool {
        !self.incomplete.load(Ordering::Acquire)
    }

    /// The key with this hash and these bytes.
    #[inline]
    pub(crate) fn find(&self, hash: u32, key: &[u8]) -> Option<NodeRef<'_>> {
        let directory = self.directory.load()?;
        let segment = directory.links()[directory.entry(hash)].load()?;
        let tag = tag(hash);
        for slot in slots(segment, hash) {
            match slot.load_tagged(tag) {
                Ok(node) if node.key() == key => return Some(node),
                Err(false) => return None,
                Ok(_) | Err(true) => {}
            }
        }
        None
    }

    /// Adds `node`, which is not there yet.
    pub(crate) fn insert(&self, bump: &mut Bump, arena: &Arena, node: NodeRef<'_>) {
        while self.try_insert(bump, arena, node).is_continue() {}
    }

    /// Adds `node`, or makes room for it and asks to be called again.
    fn try_insert(&self, bump: &mut Bump, arena: &Arena, node: NodeRef<'_>) -> ControlFlow<()> {
        let Some(directory) = self.directory.load() else {
            let directory = place(bump, arena, Directory { depth: 0 }, 1, &[]);
            directory.links()[0].store(Some(self.segment(bump, arena, 0)));
            self.directory.store(Some(directory));
            return ControlFlow::Continue(());
        };
        let entry = directory.entry(node.hash());
        let segment = directory.links()[entry].load().expect("every entry has a segment");
        if segment.keys.load(Ordering::Relaxed) < SEGMENT_KEYS_MAX {
            put(segment, node);
            return ControlFlow::Break(());
        }
        if segment.depth < directory.depth {
            self.split(bump, arena, directory, segment, entry);
            return ControlFlow::Continue(());
        }
        let segments = self.segments.load(Ordering::Relaxed) as usize;
        if directory.depth == DEPTH_MAX || directory.links().len() >= SPARSENESS_MAX * segments {
            self.incomplete.store(true, Ordering::Release);
            return ControlFlow::Break(());
        }
        self.double(bump, arena, directory);
        ControlFlow::Continue(())
    }

    fn segment<'a>(&self, bump: &mut Bump, arena: &'a Arena, depth: u32) -> Ref<'a, Segment> {
        // Only the inserter counts.
        self.segments.store(self.segments.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        let slots = std::array::from_fn(|_| Link::empty());
        place(bump, arena, Segment { slots, depth, keys: AtomicU32::new(0) }, 0, &[])
    }

    /// Replaces `segment`, which `entry` leads to, by two.
    fn split(
        &self,
        bump: &mut Bump,
        arena: &Arena,
        directory: Ref<'_, Directory>,
        segment: Ref<'_, Segment>,
        entry: usize,
    ) {
        let depth = segment.depth + 1;
        let halves = [self.segment(bump, arena, depth), self.segment(bump, arena, depth)];
        // The old segment is garbage.
        self.segments.store(self.segments.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
        for node in segment.slots.iter().filter_map(Link::load_untagged) {
            put(halves[(node.hash() >> (u32::BITS - depth)) as usize & 1], node);
        }
        let half = 1 << (directory.depth - depth);
        let start = entry & !(2 * half - 1);
        for (i, link) in directory.links()[start..start + 2 * half].iter().enumerate() {
            link.store(Some(halves[usize::from(i >= half)]));
        }
    }

    /// Replaces the directory by one with twice the entries.
    fn double(&self, bump: &mut Bump, arena: &Arena, old: Ref<'_, Directory>) {
        let entries = old.links().len() * 2;
        let new = place(bump, arena, Directory { depth: old.depth + 1 }, entries, &[]);
        for (i, link) in new.links().iter().enumerate() {
            link.store(old.links()[i / 2].load());
        }
        self.directory.store(Some(new));
    }
}

/// Puts `node` into the first free slot. The segment is not full.
fn put(segment: Ref<'_, Segment>, node: NodeRef<'_>) {
    let slot = slots(segment, node.hash())
        .find(|slot| slot.load_untagged().is_none())
        .expect("a segment that is not full has a free slot");
    slot.store_tagged(node, tag(node.hash()));
    segment.keys.store(segment.keys.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}
