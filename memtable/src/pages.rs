//! Where in the order to look for a key: a B+-tree (Bayer, McCreight, 1972) of pages with one
//! inserter, which gives *hints*.
//!
//! A page has up to [`PAGE_KEYS`] keys in order, and in a branch one child for each of them. All of
//! them begin with the same bytes, and of each the eight bytes behind these are kept in the page
//! itself as its *head* (Goetz Graefe, Per-Åke Larson, "B-tree indexes and CPU caches", 2001), so
//! that one search within a page seldom touches more than one key.
//!
//! 1. A hint is some key that was inserted, or none. Nothing more is promised to a reader, so the
//!    inserter may rearrange a page under its eyes: [`List`](crate::list::List) walks from the hint
//!    to the right place. Such a race costs a walk along a page or two.
//! 2. To the inserter, and to a reader that meets no insertion, the hint is exact: the last key
//!    that is at most the one sought, or no key if all are greater.
//! 3. A child has the keys from its own separator up to the next one; the first child of a branch
//!    has also what is smaller than its separator, which therefore says nothing: it may even be greater
//!    than the next one. No search looks at it, and the common bytes are those of the others.

use std::cmp::Ordering as Order;

use crate::arena::{Arena, Bump};
use crate::node::{Node, NodeRef};
use crate::record::{Link, Ref, Shape, place};
use icecore_sync::fine::{AtomicU32, AtomicU64, Ordering};

/// The keys of a full page.
const PAGE_KEYS: usize = if cfg!(loom) { 3 } else { 64 };

const _: () = assert!(PAGE_KEYS >= 3, "both halves of a page keep a key and room for one more");

/// The header of a page. The links of its record are the children: none in a leaf, otherwise
/// [`PAGE_KEYS`].
struct Page {
    count: AtomicU32,
    /// How many bytes all keys have in common, at least.
    prefix_bytes: AtomicU32,
    heads: [AtomicU64; PAGE_KEYS],
    keys: [Link<Node>; PAGE_KEYS],
}

impl Shape for Page {
    type Target = Page;
}

/// How the order is gone through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Up,
    Down,
}

type PageRef<'a> = Ref<'a, Page>;

/// Eight bytes of `key` behind the first `prefix_bytes`, filled up with zeros: keys that are in
/// order and have these first bytes in common have heads in order.
#[inline]
fn head(key: &[u8], prefix_bytes: usize) -> u64 {
    let rest = key.get(prefix_bytes..).unwrap_or_default();
    match rest.first_chunk::<8>() {
        Some(bytes) => u64::from_be_bytes(*bytes),
        None => {
            let mut bytes = [0; 8];
            bytes[..rest.len()].copy_from_slice(rest);
            u64::from_be_bytes(bytes)
        }
    }
}

fn common_bytes(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// The first number in `from..to` that is not `low`, when all that are come first.
#[inline]
fn partition(mut from: usize, mut to: usize, low: impl Fn(usize) -> bool) -> usize {
    while from < to {
        let middle = from.midpoint(to);
        if low(middle) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    from
}

impl<'a> PageRef<'a> {
    #[inline]
    fn count(self) -> usize {
        self.count.load(Ordering::Acquire) as usize
    }

    fn set_count(self, count: usize) {
        let count = u32::try_from(count).expect("a page has a few keys");
        self.get().count.store(count, Ordering::Release);
    }

    fn is_full(self) -> bool {
        self.count() == PAGE_KEYS
    }

    fn key(self, i: usize) -> Option<NodeRef<'a>> {
        self.get().keys[i].load()
    }

    /// The number of the first key that means something: in a branch, the second.
    #[inline]
    fn least(self) -> usize {
        usize::from(!self.links().is_empty())
    }

    /// How many of the page's keys are at most `key`. In a branch the first one always counts as such.
    #[inline]
    fn up_to(self, key: &[u8]) -> usize {
        let page = self.get();
        let (least, count) = (self.least(), self.count());
        let prefix_bytes = page.prefix_bytes.load(Ordering::Acquire) as usize;
        let Some(first) = self.key(least).filter(|_| least < count) else { return count };
        let prefix = first.key().get(..prefix_bytes).unwrap_or(first.key());
        match key.get(..prefix_bytes).unwrap_or(key).cmp(prefix) {
            Order::Less => return least,
            Order::Greater => return count,
            Order::Equal => {}
        }
        let sought = head(key, prefix_bytes);
        let head_at = |i: usize| page.heads[i].load(Ordering::Relaxed);
        let from = partition(least, count, |i| head_at(i) < sought);
        let to = partition(from, count, |i| head_at(i) == sought);
        partition(from, to, |i| self.key(i).is_some_and(|node| node.key() <= key))
    }

    /// The child that has `key`.
    #[inline]
    fn child(self, key: &[u8]) -> Option<(usize, PageRef<'a>)> {
        if self.links().is_empty() {
            return None;
        }
        let i = self.up_to(key).saturating_sub(1);
        Some((i, self.links()[i].load()?))
    }

    /// The leaf below that has `key`.
    #[inline]
    fn leaf(self, key: &[u8]) -> PageRef<'a> {
        let mut page = self;
        while let Some((_, child)) = page.child(key) {
            page = child;
        }
        page
    }

    /// Puts `node` at `i`, where it belongs. The page is not full.
    fn insert(self, i: usize, node: NodeRef<'_>, child: Option<PageRef<'_>>) {
        let page = self.get();
        let count = self.count();
        for to in (i + 1..=count).rev() {
            page.keys[to].store(page.keys[to - 1].load());
            page.heads[to].store(page.heads[to - 1].load(Ordering::Relaxed), Ordering::Relaxed);
            if child.is_some() {
                self.links()[to].store(self.links()[to - 1].load());
            }
        }
        if child.is_some() {
            self.links()[i].store(child);
        }
        page.keys[i].store(Some(node));
        let prefix_bytes = page.prefix_bytes.load(Ordering::Relaxed) as usize;
        page.heads[i].store(head(node.key(), prefix_bytes), Ordering::Relaxed);
        self.set_count(count + 1);
        // Between the least and the last key all have the prefix.
        if (i == self.least() || i == count) && self.common_bytes() < prefix_bytes {
            self.make_heads();
        }
    }

    /// How many bytes the page's keys have in common, of those that mean something.
    fn common_bytes(self) -> usize {
        let (least, count) = (self.least(), self.count());
        match (self.key(least), self.key(count - 1)) {
            (Some(first), Some(last)) if least < count => common_bytes(first.key(), last.key()),
            _ => 0,
        }
    }

    /// Makes the heads anew, behind the longest common prefix.
    fn make_heads(self) {
        let page = self.get();
        let prefix_bytes = self.common_bytes();
        let stored = u32::try_from(prefix_bytes).expect("keys are far shorter than 2^32");
        page.prefix_bytes.store(stored, Ordering::Release);
        for (key, own) in page.keys[..self.count()].iter().zip(&page.heads) {
            if let Some(node) = key.load() {
                own.store(head(node.key(), prefix_bytes), Ordering::Relaxed);
            }
        }
    }
}

/// The pages over all keys.
pub(crate) struct Pages {
    root: Link<Page>,
}

impl Pages {
    pub(crate) fn new() -> Pages {
        Pages { root: Link::empty() }
    }

    /// A key from which it is not far to `key`; see the invariants.
    #[inline]
    pub(crate) fn hint(&self, key: &[u8]) -> Option<NodeRef<'_>> {
        let leaf = self.root.load()?.leaf(key);
        leaf.key(leaf.up_to(key).checked_sub(1)?)
    }

    /// The keys that follow `key` in its page, in the way in which it is gone through. As a hint, this is
    /// some keys that were inserted, and nothing more is promised.
    pub(crate) fn near(&self, key: &[u8], way: Way) -> impl Iterator<Item = NodeRef<'_>> + Clone {
        let leaf = self.root.load().map(|root| root.leaf(key));
        let places = leaf.map_or(0..0, |leaf| match way {
            Way::Up => leaf.up_to(key)..leaf.count(),
            Way::Down => 0..leaf.up_to(key).saturating_sub(1),
        });
        let length = places.len();
        (0..length).filter_map(move |i| {
            let i = match way {
                Way::Up => places.start + i,
                Way::Down => places.end - 1 - i,
            };
            leaf.and_then(|leaf| leaf.key(i))
        })
    }

    /// Adds the key that `make` makes and links into the order; it is `key` and not there yet. `make`
    /// is given the exact hint for it. Full pages are split on the way down, so that there is always
    /// room for a separator in the page above.
    pub(crate) fn insert<'a>(
        &'a self,
        (bump, arena): (&mut Bump, &'a Arena),
        key: &[u8],
        make: impl FnOnce(&mut Bump, Option<NodeRef<'a>>) -> NodeRef<'a>,
    ) -> NodeRef<'a> {
        let mut page = self.root_with_room(bump, arena, key);
        while let Some((i, child)) = page.child(key) {
            page = if child.is_full() {
                split(bump, arena, page, (i, child), key);
                page.child(key).expect("a branch has children").1
            } else {
                child
            };
        }
        let i = page.up_to(key);
        let hint = i.checked_sub(1).and_then(|last| page.key(last));
        let node = make(bump, hint);
        page.insert(i, node, None);
        node
    }

    fn root_with_room<'a>(&'a self, bump: &mut Bump, arena: &'a Arena, key: &[u8]) -> PageRef<'a> {
        let root = match self.root.load() {
            Some(root) if root.is_full() => {
                let branch = empty_page(bump, arena, PAGE_KEYS);
                let first = root.key(0).expect("a full page has a key");
                branch.insert(0, first, Some(root));
                split(bump, arena, branch, (0, root), key);
                branch
            }
            Some(root) => return root,
            None => empty_page(bump, arena, 0),
        };
        self.root.store(Some(root));
        root
    }
}

fn empty_page<'a>(bump: &mut Bump, arena: &'a Arena, children: usize) -> PageRef<'a> {
    let page = Page {
        count: AtomicU32::new(0),
        prefix_bytes: AtomicU32::new(0),
        heads: std::array::from_fn(|_| AtomicU64::new(0)),
        keys: std::array::from_fn(|_| Link::empty()),
    };
    place(bump, arena, page, children, &[])
}

/// Moves the upper part of `full`, child `i` of `parent`, to a page of its own. `key` is about to
/// be inserted: if it goes to the very end, the upper part is a single key, so that keys that come
/// in order leave full pages behind.
fn split(
    bump: &mut Bump,
    arena: &Arena,
    parent: PageRef<'_>,
    (i, full): (usize, PageRef<'_>),
    key: &[u8],
) {
    let upper = empty_page(bump, arena, full.links().len());
    let at_end = i + 1 == parent.count() && full.up_to(key) == PAGE_KEYS;
    let kept = if at_end { PAGE_KEYS - 1 } else { PAGE_KEYS / 2 };
    for from in kept..PAGE_KEYS {
        upper.get().keys[from - kept].store(full.key(from));
        if let Some(child) = full.links().get(from) {
            upper.links()[from - kept].store(child.load());
        }
    }
    upper.set_count(PAGE_KEYS - kept);
    upper.make_heads();
    let first = upper.key(0).expect("the upper part has a key");
    parent.insert(i + 1, first, Some(upper));
    full.set_count(kept);
    full.make_heads();
}
