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
use crate::pages::Pages;
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
        let mut before = self.pages.hint(key);
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
        let Place { before, after } = self.find(key);
        // Its first version lies directly before it in memory.
        let first = first(bump);
        let node = place(bump, arena, Node::new(first, before, hash), 1, &[key]);
        node.links()[0].store(after);
        before.map_or(&self.first, |before| &before.links()[0]).store(Some(node));
        after.map_or(&self.last, |after| after.before()).store(Some(node));
        self.pages.insert(bump, arena, node);
        node
    }
}
