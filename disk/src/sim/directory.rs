//! A directory: the names as they are, the names that are durable, and the operations in between.

use std::collections::BTreeMap;

use super::dice::Dice;
use super::rest::Foreign;
use super::world::InodeId;
use crate::Name;

/// An operation on the names of a directory that is not durable yet.
#[derive(Clone, Copy, Debug)]
pub(super) enum NameChange {
    /// The name appeared: created, or linked.
    Add(Name, InodeId),
    /// The name went away.
    Remove(Name, InodeId),
    /// The file at the first name moved to the second.
    Rename(Name, Name, InodeId),
}

#[derive(Clone, Default)]
pub(super) struct Directory {
    pub(super) label: String,
    pub(super) names: BTreeMap<Name, InodeId>,
    pub(super) durable: BTreeMap<Name, InodeId>,
    pub(super) pending: Vec<NameChange>,
    /// Entries that no store makes. They are only ever changed at rest, so they are durable.
    pub(super) foreign: BTreeMap<String, Foreign>,
    pub(super) exclusive: bool,
    pub(super) shared: usize,
}

impl Directory {
    pub(super) fn new(label: String) -> Directory {
        Directory { label, ..Directory::default() }
    }

    /// Whether something that is no file of ours sits at `name`.
    pub(super) fn blocked(&self, name: Name) -> bool {
        !self.foreign.is_empty() && self.foreign.contains_key(&name.to_string())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty() && self.foreign.is_empty()
    }

    /// The files that a crash may leave a name of here, some more than once.
    pub(super) fn inodes(&self) -> impl Iterator<Item = InodeId> {
        let pending = self.pending.iter().map(|change| match change {
            NameChange::Add(_, id) | NameChange::Remove(_, id) | NameChange::Rename(_, _, id) => {
                *id
            }
        });
        self.durable.values().copied().chain(pending)
    }

    /// Makes every operation so far durable.
    pub(super) fn settle(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            self.apply(change);
        }
        debug_assert!(self.durable == self.names, "all operations applied give the names");
    }

    /// The machine stopped, and `kept` are the operations that survive. With `reorder`, they reach
    /// the medium in any order in which each one finds what it works on; those that never do
    /// are lost. With `alice`, a rename may leave the old name.
    pub(super) fn stand_still(
        &mut self,
        mut kept: Vec<NameChange>,
        reorder: Option<&mut Dice>,
        mut alice: Option<&mut Dice>,
    ) {
        if let Some(dice) = reorder
            && dice.coin()
        {
            dice.shuffle(&mut kept);
        }
        while let Some(i) = kept.iter().position(|change| self.applies(*change)) {
            let change = kept.remove(i);
            if let NameChange::Rename(_, to, inode) = change
                && alice.as_deref_mut().is_some_and(Dice::coin)
            {
                self.durable.insert(to, inode);
            } else {
                self.apply(change);
            }
        }
        self.names = self.durable.clone();
        self.pending.clear();
    }

    fn applies(&self, change: NameChange) -> bool {
        match change {
            NameChange::Add(name, _) => !self.durable.contains_key(&name),
            NameChange::Remove(name, inode) | NameChange::Rename(name, _, inode) => {
                self.durable.get(&name) == Some(&inode)
            }
        }
    }

    fn apply(&mut self, change: NameChange) {
        match change {
            NameChange::Add(name, inode) => {
                self.durable.insert(name, inode);
            }
            NameChange::Remove(name, _) => {
                self.durable.remove(&name);
            }
            NameChange::Rename(from, to, inode) => {
                self.durable.remove(&from);
                self.durable.insert(to, inode);
            }
        }
    }
}
