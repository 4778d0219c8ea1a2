//! The keys in order: a doubly linked list with one inserter and any number of readers, entered
//! through the hints of [`Pages`].
//!
//! 1. Keys are never unlinked.
//! 2. A key is linked forwards first, then backwards. A reader that goes backwards may meet a link
//!    that does not lead to the key just inserted. It cannot be a key that the reader must see: what
//!    a reader must see was inserted, with all its links, before the reader's stamp became visible.
//! 3. Whatever the hint, the place found is right: it is reached by walking along the list.

use crate::arena::{Arena, Bump};
use crate::chain::VersionRef;
use crate::node::{Node, NodeRef};
use crate::pages::{Pages, Way};
use crate::record::{Link, place};

/// The keys in order.
pub(crate) struct List {
    first: Link<Node>,
    last: Link<Node>,
    pages: Pages,
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
        List { first: Link::empty(), last: Link::empty(), pages: Pages::new() }
    }

    pub(crate) fn first(&self) -> Option<NodeRef<'_>> {
        self.first.load()
    }

    pub(crate) fn last(&self) -> Option<NodeRef<'_>> {
        self.last.load()
    }

    /// The place of `key`.
    #[inline]
    pub(crate) fn find(&self, key: &[u8]) -> Place<'_> {
        self.walk(self.pages.hint(key), key)
    }

    /// Some keys that follow `key`, as of [`Pages::near`].
    pub(crate) fn near(&self, key: &[u8], way: Way) -> impl Iterator<Item = NodeRef<'_>> + Clone {
        self.pages.near(key, way)
    }

    /// The place of `key`, on foot from `hint`.
    #[inline]
    fn walk<'a>(&'a self, hint: Option<NodeRef<'a>>, key: &[u8]) -> Place<'a> {
        let mut before = hint;
        while let Some(node) = before.filter(|node| node.key() >= key) {
            before = node.before().load();
        }
        let mut after = before.map_or_else(|| self.first(), NodeRef::after);
        while let Some(node) = after.filter(|node| node.key() < key) {
            before = after;
            after = node.after();
        }
        Place { before, after }
    }

    /// Inserts `key`, which is not there yet, with the version that `first` makes.
    pub(crate) fn insert<'a>(
        &'a self,
        (bump, arena): (&mut Bump, &'a Arena),
        (key, hash): (&[u8], u32),
        first: impl FnOnce(&mut Bump) -> VersionRef<'a>,
    ) -> NodeRef<'a> {
        self.pages.insert((bump, arena), key, |bump, hint| {
            let Place { before, after } = self.walk(hint, key);
            let is_exact = || before.map(NodeRef::key) == hint.map(NodeRef::key);
            debug_assert!(is_exact(), "the pages are not in order");
            let first = first(bump);
            let node = place(bump, arena, Node::new(first, before, hash), 1, &[key]);
            node.links()[0].store(after);
            before.map_or(&self.first, |before| &before.links()[0]).store(Some(node));
            after.map_or(&self.last, |after| after.before()).store(Some(node));
            node
        })
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use std::collections::BTreeSet;
    use std::ops::Bound;

    use icecore_model::{Change, Versionstamp};
    use proptest::prelude::*;

    use super::*;
    use crate::arena::{ArenaPool, CHUNK_BYTES_MIN};
    use crate::chain;

    const KEYS_MAX: usize = if cfg!(miri) { 60 } else { 600 };
    const OTHERS_MAX: usize = if cfg!(miri) { 8 } else { 40 };

    /// Keys of a few common beginnings, some of them longer than a head, with rare and frequent
    /// ends.
    fn keys() -> impl Strategy<Value = Vec<u8>> {
        let start = prop_oneof![
            Just(&b""[..]),
            Just(&b"account\0"[..]),
            Just(&b"account\0\0\0\0\0\0\0\0\0\0a-long-beginning"[..]),
        ];
        let end = prop_oneof![
            proptest::collection::vec(0u8..2, 0..12),
            proptest::collection::vec(any::<u8>(), 1..4),
        ];
        (start, end).prop_map(|(start, end)| [start, &end].concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: if cfg!(miri) { 1 } else { 64 },
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn hints_are_exact_while_nobody_inserts(
            keys in proptest::collection::vec(keys(), 0..KEYS_MAX),
            sorted: bool,
            others in proptest::collection::vec(keys(), 1..OTHERS_MAX),
        ) {
            let pool = ArenaPool::new(CHUNK_BYTES_MIN, 0);
            let (arena, mut bump, list) = (Arena::new(&pool), Bump::new(), List::new());
            let mut inserted = BTreeSet::new();
            let order: Vec<_> = if sorted {
                keys.iter().collect::<BTreeSet<_>>().into_iter().collect()
            } else {
                keys.iter().collect()
            };
            for key in order {
                if inserted.insert(&key[..]) {
                    list.insert((&mut bump, &arena), (key, 0), |bump| {
                        chain::make(bump, &arena, None, Versionstamp::new(1), Change::Delete)
                    });
                }
            }
            for key in keys.iter().chain(&others) {
                let hint = list.pages.hint(key).map(NodeRef::key);
                prop_assert_eq!(hint, inserted.range(..=&key[..]).next_back().copied());
                let Place { before, after } = list.find(key);
                prop_assert_eq!(before.map(NodeRef::key), inserted.range(..&key[..]).next_back().copied());
                prop_assert_eq!(after.map(NodeRef::key), inserted.range(&key[..]..).next().copied());
                let above = inserted.range::<[u8], _>((Bound::Excluded(&key[..]), Bound::Unbounded));
                let near = list.near(key, Way::Up).map(NodeRef::key).collect::<Vec<_>>();
                prop_assert_eq!(&near, &above.copied().take(near.len()).collect::<Vec<_>>());
                // What `key` itself stands for is left out: the key or, where it is none, the one below.
                let below = inserted.range(..=&key[..]).rev().skip(1);
                let near = list.near(key, Way::Down).map(NodeRef::key).collect::<Vec<_>>();
                prop_assert_eq!(&near, &below.copied().take(near.len()).collect::<Vec<_>>());
            }
        }
    }

    /// Two pages meet at a key from which nothing is near: the next one leads into the other page.
    #[test]
    fn a_walk_that_goes_by_what_is_near_stops_at_a_key_a_page() {
        let keys = if cfg!(miri) { 150 } else { 3000u32 };
        let pool = ArenaPool::new(CHUNK_BYTES_MIN, 0);
        let (arena, mut bump, list) = (Arena::new(&pool), Bump::new(), List::new());
        for n in 0..keys {
            let key = (n * 7 % keys).to_be_bytes();
            list.insert((&mut bump, &arena), (&key, 0), |bump| {
                chain::make(bump, &arena, None, Versionstamp::new(1), Change::Delete)
            });
        }
        for way in [Way::Up, Way::Down] {
            let mut node = if way == Way::Up { list.first() } else { list.last() };
            let (mut seen, mut stops) = (0, 0);
            while let Some(here) = node {
                let last = list.near(here.key(), way).last();
                seen += 1 + list.near(here.key(), way).count();
                stops += 1;
                node = match way {
                    Way::Up => last.unwrap_or(here).after(),
                    Way::Down => last.unwrap_or(here).before().load(),
                };
            }
            assert_eq!(seen, keys as usize, "{way:?}");
            assert!(stops <= seen.div_ceil(30), "{way:?}: {stops} stops");
        }
    }

    /// The first key of a branch is not the least of its keys: what comes below goes to its first
    /// child all the same, and what all of the branch's keys have in common must be known without it.
    #[test]
    fn hints_are_exact_where_keys_have_come_ever_lower() {
        let (falls, per_fall) = if cfg!(miri) { (3, 70) } else { (300, 140) };
        let digits = if cfg!(miri) { 2..=2 } else { 1..=3 };
        for digits in digits {
            let pool = ArenaPool::new(CHUNK_BYTES_MIN, 0);
            let (arena, mut bump, list) = (Arena::new(&pool), Bump::new(), List::new());
            let mut inserted = BTreeSet::new();
            for fall in (0..falls).rev() {
                for place in 0..per_fall {
                    let scattered = place * 61 % per_fall;
                    let key = format!("{fall:05}{scattered:0digits$}-{place}").into_bytes();
                    list.insert((&mut bump, &arena), (&key, 0), |bump| {
                        chain::make(bump, &arena, None, Versionstamp::new(1), Change::Delete)
                    });
                    inserted.insert(key);
                }
            }
            for key in &inserted {
                assert_eq!(list.pages.hint(key).map(NodeRef::key), Some(&key[..]));
            }
        }
    }
}
