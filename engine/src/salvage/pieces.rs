//! Everything that was found, as one stream in the order of entries.

use std::collections::VecDeque;
use std::sync::Arc;

use icecore_disk::Disk;
use icecore_model::Entry;
use icecore_sstable::{self as sstable, Remains};

use crate::error::Error;
use crate::merge::VersionSource;

/// Tables that do not overlap, one after the other. Only the one that is being read is open, so
/// that a store of many tables needs few open files.
pub(super) struct Chain {
    disk: Arc<dyn Disk>,
    rest: VecDeque<Remains>,
    open: Option<sstable::salvage::Pieces>,
}

impl Chain {
    /// Joins tables into as few chains as their keys allow.
    pub(super) fn join(disk: &Arc<dyn Disk>, mut tables: Vec<Remains>) -> Vec<Chain> {
        tables.retain(|table| table.found().entries > 0);
        tables.sort_by(|a, b| a.found().smallest.cmp(&b.found().smallest));
        let mut chains: Vec<VecDeque<Remains>> = Vec::new();
        for table in tables {
            let free = chains.iter_mut().find(|chain| {
                chain.back().is_some_and(|last| last.found().largest < table.found().smallest)
            });
            match free {
                Some(chain) => chain.push_back(table),
                None => chains.push(VecDeque::from([table])),
            }
        }
        let chain = |rest| Chain { disk: Arc::clone(disk), rest, open: None };
        chains.into_iter().map(chain).collect()
    }

    fn advance(&mut self) -> Result<(), Error> {
        loop {
            if let Some(pieces) = &mut self.open {
                pieces.next()?;
                if pieces.entry().is_some() {
                    return Ok(());
                }
            }
            let next = self.rest.pop_front();
            self.open = next.map(|table| table.pieces(&*self.disk)).transpose()?;
            if self.open.is_none() {
                return Ok(());
            }
        }
    }
}

/// One source of versions.
pub(super) enum Piece {
    /// What is left of tables of the original.
    Chain(Chain),
    /// A table that was written on the way.
    Run(sstable::Versions),
}

impl VersionSource for Piece {
    type Error = Error;

    fn first(&mut self) -> Result<(), Error> {
        match self {
            Piece::Chain(chain) => chain.advance(),
            Piece::Run(versions) => Ok(versions.seek_first()?),
        }
    }

    fn next(&mut self) -> Result<(), Error> {
        match self {
            Piece::Chain(chain) => chain.advance(),
            Piece::Run(versions) => Ok(versions.next()?),
        }
    }

    fn entry(&self) -> Option<Entry<'_>> {
        match self {
            Piece::Chain(chain) => chain.open.as_ref().and_then(|pieces| pieces.entry()),
            Piece::Run(versions) => versions.entry(),
        }
    }

    fn check(&self) -> Result<(), Error> {
        match self {
            Piece::Chain(_) => Ok(()),
            Piece::Run(versions) => Ok(versions.check()?),
        }
    }
}
