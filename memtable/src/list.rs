//! The keys in order: a skiplist (William Pugh, "Skip lists: a probabilistic alternative to
//! balanced trees", 1990) with one inserter and any number of readers.
//!
//! 1. A key is linked from the lowest level up, so whatever is found on some level is on all below.
//! 2. Keys are never unlinked.
//! 3. The inserter also sets the link to the smaller neighbour, after the forward links. A reader
//!    that meets such a link before it is set skips the key just inserted. It cannot be a key that
//!    the reader must see: what a reader must see was inserted, with all its links, before the
//!    reader's stamp became visible.

use crate::arena::{Arena, Bump};
use crate::chain::VersionRef;
use crate::node::{Node, NodeRef};
use crate::record::{Link, place};
use crate::sync::{AtomicUsize, Ordering};

/// The most levels. With a quarter of each level's keys on the next, 4^12 keys fill them.
pub(crate) const HEIGHT_MAX: usize = if cfg!(loom) { 2 } else { 12 };

/// A link for every level.
pub(crate) type Tower = [Link<Node>; HEIGHT_MAX];

pub(crate) fn empty_tower() -> Tower {
    std::array::from_fn(|_| Link::empty())
}

/// The keys in order.
pub(crate) struct List {
    first: Tower,
    last: Link<Node>,
    /// How many levels have keys.
    height: AtomicUsize,
}

/// The neighbours of a place in the order.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// The last key that is less.
    pub(crate) before: Option<NodeRef<'a>>,
    /// The first key that is not less.
    pub(crate) after: Option<NodeRef<'a>>,
}

impl List {
    pub(crate) fn new() -> List {
        List { first: empty_tower(), last: Link::empty(), height: AtomicUsize::new(0) }
    }

    pub(crate) fn first(&self) -> Option<NodeRef<'_>> {
        self.first[0].load()
    }

    pub(crate) fn last(&self) -> Option<NodeRef<'_>> {
        self.last.load()
    }

    /// The place of `key`.
    #[inline]
    pub(crate) fn find(&self, key: &[u8]) -> Place<'_> {
        self.find_with(key, |_, _| ())
    }

    /// Like [`List::find`]; tells `visit` the last smaller key of each level, highest first.
    #[inline]
    fn find_with<'a>(
        &'a self,
        key: &[u8],
        mut visit: impl FnMut(usize, Option<NodeRef<'a>>),
    ) -> Place<'a> {
        let mut place = Place { before: None, after: None };
        let mut links = &self.first[..];
        for level in (0..self.height.load(Ordering::Acquire)).rev() {
            loop {
                match links[level].load() {
                    // On the level above it was seen not to be less.
                    next if next == place.after => break,
                    Some(next) if next.key() < key => {
                        place.before = Some(next);
                        links = next.links();
                    }
                    next => {
                        place.after = next;
                        break;
                    }
                }
            }
            visit(level, place.before);
        }
        place
    }

    /// Inserts `key`, which is not there yet, with its first version.
    ///
    /// `finger` is the inserter's own: for each level the last key before or at its last insertion.
    /// Keys that come in order are placed without a search.
    pub(crate) fn insert<'a>(
        &'a self,
        (bump, arena): (&mut Bump, &'a Arena),
        finger: &Tower,
        (key, hash): (&[u8], u32),
        height: usize,
        first: impl FnOnce(&mut Bump) -> VersionRef<'a>,
    ) -> NodeRef<'a> {
        let Place { before, after } = self.place_for(key, finger);
        let first = first(bump);
        let node = place(bump, arena, Node::new(first, before, hash), height, &[key]);
        for (level, own) in node.links().iter().enumerate() {
            let smaller = finger[level].load();
            let link = smaller.map_or(&self.first[level], |smaller| &smaller.links()[level]);
            own.store(link.load());
            link.store(Some(node));
            finger[level].store(Some(node));
        }
        after.map_or(&self.last, |after| after.before()).store(Some(node));
        if height > self.height.load(Ordering::Relaxed) {
            self.height.store(height, Ordering::Release);
        }
        node
    }

    /// The place of `key`, and the last smaller key of every level in `finger`.
    fn place_for<'a>(&'a self, key: &[u8], finger: &'a Tower) -> Place<'a> {
        let before = finger[0].load();
        let after = match before {
            Some(before) if before.key() < key => before.after(),
            _ => return self.find_with(key, |level, node| finger[level].store(node)),
        };
        if after.is_none_or(|after| key < after.key()) {
            // No key lies between the last one inserted and this one, on any level.
            return Place { before, after };
        }
        self.find_with(key, |level, node| finger[level].store(node))
    }
}
