//! Walks along the order.

use std::ops::{ControlFlow, Deref};

use bytes::Bytes;
use icecore_model::{Entry, Versionstamp};

use crate::ahead::Ahead;
use crate::chain::Version;
use crate::node::{Node, NodeRef};
use crate::pages::Way;
use crate::record::Link;
use crate::table::{Hit, Memtable};

/// Stands on a key, or nowhere, and sees of each key the newest version at or below its stamp;
/// keys without one are skipped. `M` is a reference to the memtable or an [`Arc`](std::sync::Arc).
///
/// Beyond either end it stands nowhere, and moves from there only by seeking.
pub struct Cursor<M> {
    // The links are loaded through `&self`, so that what they lead to is good for as long as
    // `memtable` is held.
    node: Link<Node>,
    version: Link<Version>,
    at: Versionstamp,
    ahead: Ahead,
    memtable: M,
}

impl<M: Deref<Target = Memtable>> Cursor<M> {
    pub(crate) fn new(memtable: M, at: Versionstamp) -> Cursor<M> {
        let (node, version) = (Link::empty(), Link::empty());
        Cursor { node, version, at, ahead: Ahead::new(), memtable }
    }

    /// The stamp at which it reads.
    pub fn at(&self) -> Versionstamp {
        self.at
    }

    /// Goes to the first key.
    pub fn seek_first(&mut self) {
        self.ahead = Ahead::new();
        self.settle(self.memtable.list().first(), NodeRef::after);
    }

    /// Goes to the last key.
    pub fn seek_last(&mut self) {
        self.ahead = Ahead::new();
        self.settle(self.memtable.list().last(), |node| node.before().load());
    }

    /// Goes to the first key that is at least `key`.
    pub fn seek(&mut self, key: &[u8]) {
        self.ahead = Ahead::new();
        self.settle(self.memtable.list().find(key).after, NodeRef::after);
    }

    /// Goes to the last key that is less than `key`.
    pub fn seek_before(&mut self, key: &[u8]) {
        self.ahead = Ahead::new();
        self.settle(self.memtable.list().find(key).before, |node| node.before().load());
    }

    /// Goes to the next larger key.
    #[inline]
    pub fn next(&mut self) {
        self.settle(self.node.load().and_then(NodeRef::after), NodeRef::after);
        self.ahead.step(self.memtable.list(), self.node.load(), Way::Up);
    }

    /// Goes to the next smaller key.
    #[inline]
    pub fn prev(&mut self) {
        let before = self.node.load().and_then(|node| node.before().load());
        self.settle(before, |node| node.before().load());
        self.ahead.step(self.memtable.list(), self.node.load(), Way::Down);
    }

    /// Settles on the first key from `node` on, stepping by `step`, that has a version.
    #[inline]
    fn settle<'a>(
        &'a self,
        mut node: Option<NodeRef<'a>>,
        step: impl Fn(NodeRef<'a>) -> Option<NodeRef<'a>>,
    ) {
        while let Some(here) = node {
            let version = here.version(self.at);
            if version.is_some() {
                self.version.store(version);
                break;
            }
            node = step(here);
        }
        self.node.store(node);
    }

    /// Shows what it stands on and what follows, in order, until `see` breaks, and then stands on
    /// what was shown last; otherwise it has come to the end.
    pub fn run<B>(&mut self, mut see: impl FnMut(Entry<'_>) -> ControlFlow<B>) -> Option<B> {
        while let Some(entry) = self.entry() {
            if let ControlFlow::Break(found) = see(entry) {
                return Some(found);
            }
            self.next();
        }
        None
    }

    /// As [`Cursor::run`], backwards.
    pub fn run_back<B>(&mut self, mut see: impl FnMut(Entry<'_>) -> ControlFlow<B>) -> Option<B> {
        while let Some(entry) = self.entry() {
            if let ControlFlow::Break(found) = see(entry) {
                return Some(found);
            }
            self.prev();
        }
        None
    }

    /// What it stands on.
    #[inline]
    pub fn entry(&self) -> Option<Entry<'_>> {
        let key = self.node.load()?.key();
        let version = self.version.load()?;
        Some(Entry { key, stamp: version.stamp(), change: version.change() })
    }

    /// The value that it stands on, to keep, as of [`Hit::value_bytes`].
    pub fn value_bytes(&self) -> Option<Bytes> {
        self.hit().map(|hit| hit.value_bytes())
    }

    /// The version that it stands on.
    pub fn hit(&self) -> Option<Hit<'_>> {
        self.node.load()?;
        Some(self.memtable.hit(self.version.load()?))
    }
}

/// Every version, forward: keys ascending, stamps descending. `M` is a reference to the memtable
/// or an [`Arc`](std::sync::Arc).
pub struct Versions<M> {
    /// As in [`Cursor`].
    node: Link<Node>,
    version: Link<Version>,
    ahead: Ahead,
    started: bool,
    memtable: M,
}

impl<M: Deref<Target = Memtable>> Versions<M> {
    pub(crate) fn new(memtable: M) -> Versions<M> {
        let (node, version) = (Link::empty(), Link::empty());
        Versions { node, version, ahead: Ahead::new(), started: false, memtable }
    }

    /// The next version, or `None` at the end and from there on.
    #[expect(clippy::should_implement_trait, reason = "the entry is borrowed from it")]
    pub fn next(&mut self) -> Option<Entry<'_>> {
        let older = self.version.load().and_then(|version| version.older());
        if older.is_some() {
            self.version.store(older);
        } else {
            let node = if self.started {
                self.node.load().and_then(NodeRef::after)
            } else {
                self.memtable.list().first()
            };
            self.node.store(node);
            self.version.store(node.and_then(|node| node.newest().load()));
            self.ahead.step(self.memtable.list(), node, Way::Up);
            self.started = true;
        }
        self.entry()
    }

    /// What it stands on; nothing before the first step and at the end.
    #[inline]
    pub fn entry(&self) -> Option<Entry<'_>> {
        let version = self.version.load()?;
        let key = self.node.load()?.key();
        Some(Entry { key, stamp: version.stamp(), change: version.change() })
    }
}

impl<M> std::fmt::Debug for Cursor<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cursor(at {})", self.at)
    }
}

impl<M> std::fmt::Debug for Versions<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Versions(started: {})", self.started)
    }
}
