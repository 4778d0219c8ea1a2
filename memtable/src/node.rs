//! One key of a memtable: its place in the order and its versions.

use icecore_model::Versionstamp;

use crate::chain::{self, Version, VersionRef};
use crate::record::{Link, Ref, Shape};

/// The header of one key. The one link of its record leads to the next larger key; the bytes are
/// the key.
pub(crate) struct Node {
    newest: Link<Version>,
    /// The next smaller key, as far as the inserter had come; see [`List`](crate::list::List).
    before: Link<Node>,
    hash: u32,
}

impl Shape for Node {
    type Target = Node;
}

pub(crate) type NodeRef<'a> = Ref<'a, Node>;

impl Node {
    /// The header of a key that goes behind `before`.
    pub(crate) fn new(first: VersionRef<'_>, before: Option<NodeRef<'_>>, hash: u32) -> Node {
        Node { newest: Link::to(Some(first)), before: Link::to(before), hash }
    }
}

impl<'a> NodeRef<'a> {
    #[inline]
    pub(crate) fn key(self) -> &'a [u8] {
        self.bytes()
    }

    pub(crate) fn hash(self) -> u32 {
        self.hash
    }

    /// The link to the next smaller key.
    pub(crate) fn before(self) -> &'a Link<Node> {
        &self.get().before
    }

    /// The next larger key.
    #[inline]
    pub(crate) fn after(self) -> Option<NodeRef<'a>> {
        self.links()[0].load()
    }

    /// The link to the newest version, which is never empty.
    pub(crate) fn newest(self) -> &'a Link<Version> {
        &self.get().newest
    }

    /// The newest version at or below `at`.
    #[inline]
    pub(crate) fn version(self, at: Versionstamp) -> Option<VersionRef<'a>> {
        chain::at_or_below(self.newest().load()?, at)
    }
}
