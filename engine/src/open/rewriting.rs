//! Writing into tables what the log holds.
//!
//! An ordinary opening writes a table whenever a memtable is full, and lists them all in one
//! manifest at its end. An opening that is killed before that has done nothing. So whoever has
//! replayed a piece of log leaves a *mark*: an empty temporary file, which no step of an ordinary
//! life leaves behind for longer than a rename takes. An opening that finds a mark goes on *in
//! pieces*: after each piece, the manifest lists its table and counts its commits as flushed. The
//! next opening begins behind them. Pieces are small at first and double, so that a short life gets
//! something done, and a long one does not leave a thousand tables.
//!
//! 1. A piece counts only when its table is durable, and the log up to its end, too: what was
//!    flushed is in the log, or the log begins behind it. Of the last segment, the bytes of the
//!    piece are written once more, those that were replayed: after a sync that failed, another
//!    reading may show older ones. The segments before it were durable before it began.
//! 2. Pieces are in stamp order, without a gap, of frames that verify: what a hole in the log, or
//!    damage further on, would make of it concerns none of them. So the store is what it was, some
//!    of it in other files, also when the opening is refused afterwards.
//! 3. Stamps, ceiling and losses stay as they are: only an opening that ends changes them.
//! 4. The manifest that was read is not appended to. The first piece begins a fresh one.
//! 5. What earlier openings left behind is removed before the first piece, as far as no manifest
//!    that may come back after a power cut can list it: numbers that were never entered. The rest
//!    goes behind the fresh manifest. So a store whose openings are killed does not fill the disk.
//!    Nothing is removed by the word of a manifest that misses segments of its log.

use std::sync::Arc;

use icecore_disk::{Disk, Listed, Name, OpenMode};
use icecore_memtable::Memtable;
use icecore_model::{Planted, planted};
use icecore_sstable::{TableId, TableSummary};

use super::Opening;
use super::inventory::unused_files;
use super::replay::Piece;
use crate::compact::output::rewrite_memtable;
use crate::error::Error;
use crate::manifest::{Catalog, Edit, Manifest};

/// How much log the first piece holds. As much is replayed before there is a mark.
const FIRST_PIECE_BYTES: usize = 1 << 20;

/// The log on its way into tables.
pub(super) struct Rewriting<'o> {
    opening: &'o Opening,
    listed: &'o [Listed],
    /// What the store is, all pieces included, but for the numbers of tables.
    pub(super) catalog: Catalog,
    /// Tables that the catalog does not list, oldest first.
    written: Vec<TableSummary>,
    /// Tables from this number on are in no manifest.
    first_unlisted: u64,
    /// Whether an edit failed of which nobody knows whether it is on the disk.
    in_doubt: bool,
    /// Whether each piece counts by itself.
    in_pieces: bool,
    /// How much log makes the next piece.
    piece_bytes: usize,
    mark: Option<Name>,
    manifest: Option<Manifest>,
    /// The next manifest gets this number.
    next_manifest: u64,
}

impl<'o> Rewriting<'o> {
    /// Begins, in pieces if this listing shows the mark of an opening that did not end.
    pub(super) fn begin(opening: &'o Opening, listed: &'o [Listed]) -> Result<Self, Error> {
        let mut catalog = opening.loaded.catalog.clone();
        let entered = catalog.next_table;
        // Numbers of leftovers are not given again either: an unlinked file may come back.
        let highest = |number: fn(Name) -> Option<u64>| {
            listed.iter().filter_map(|l| l.name.as_ref().ok()).filter_map(|n| number(*n)).max()
        };
        let on_disk = highest(|n| if let Name::Table(n) = n { Some(n) } else { None });
        catalog.next_table = catalog.next_table.max(on_disk.map_or(0, |n| n + 1));
        // A temporary file of a manifest may be there although the manifest was lost.
        let on_disk = highest(|n| match n {
            Name::Manifest(n) | Name::Temp(n) => Some(n),
            _ => None,
        });
        let temporary = |l: &Listed| match l.name {
            Ok(Name::Temp(_)) if l.regular => l.name.clone().ok(),
            _ => None,
        };
        let mark = listed.iter().find_map(temporary);
        let rewriting = Rewriting {
            opening,
            listed,
            written: Vec::new(),
            first_unlisted: catalog.next_table,
            in_doubt: false,
            in_pieces: mark.is_some(),
            piece_bytes: FIRST_PIECE_BYTES.min(opening.options.memtable_bytes),
            mark,
            manifest: None,
            next_manifest: on_disk.unwrap_or(0).max(opening.loaded.number) + 1,
            catalog,
        };
        if rewriting.in_pieces {
            // The mark stays until the opening has ended, one way or the other.
            opening.miss_no_segment()?;
            rewriting.remove_never_entered(entered);
        }
        Ok(rewriting)
    }

    /// Takes `piece` if it is large enough. Its commits follow those of the pieces before it. `image`
    /// is the segment in which it ends, as it was read.
    pub(super) fn take(&mut self, piece: &Piece, image: &[u8]) -> Result<bool, Error> {
        let is_full = piece.memtable().memory_bytes() >= self.opening.options.memtable_bytes;
        if !is_full && piece.log_bytes < self.piece_bytes as u64 {
            return Ok(false);
        }
        if self.mark.is_none() {
            self.leave_mark()?;
        }
        if !is_full && !self.in_pieces {
            return Ok(false);
        }
        self.write(piece.memtable())?;
        if self.in_pieces {
            self.count(piece, image)?;
            self.piece_bytes = (2 * self.piece_bytes).min(self.opening.options.memtable_bytes);
        }
        Ok(true)
    }

    /// Writes a table of `memtable`. It counts when a manifest lists it.
    pub(super) fn write(&mut self, memtable: &Arc<Memtable>) -> Result<(), Error> {
        let number = self.catalog.next_table;
        self.catalog.next_table += 1;
        let id = TableId { database: self.catalog.database, number };
        let (disk, options) = (&*self.opening.env.disk, &self.opening.options.table);
        self.written.extend(rewrite_memtable(disk, options, id, memtable)?);
        Ok(())
    }

    /// Ends with the catalog of the store, to which the tables that it did not list are added. Gives
    /// also the number of the manifest that is to begin with it, and files that are no longer used
    /// by then.
    pub(super) fn end(mut self) -> (Catalog, u64, Vec<Name>) {
        let written = self.written.into_iter().rev();
        self.catalog.levels[0].splice(0..0, written);
        let superseded = self.manifest.map(|manifest| Name::Manifest(manifest.number()));
        let unused = self.mark.into_iter().chain(superseded).collect();
        (self.catalog, self.next_manifest, unused)
    }

    /// Takes back what no manifest lists, and what can be removed. The rest is unused, and goes when
    /// the store is opened.
    pub(super) fn abandon(&self) {
        let disk = &self.opening.env.disk;
        if !self.in_doubt {
            for number in self.first_unlisted..self.catalog.next_table {
                drop(disk.remove(Name::Table(number)));
            }
        }
        if let Some(mark) = self.mark {
            drop(disk.remove(mark));
            // Or a power cut would bring it back, and the next opening would work in pieces.
            drop(disk.sync_dir());
        }
    }

    /// Has the manifest list the tables of `piece`, and count its commits as flushed.
    fn count(&mut self, piece: &Piece, image: &[u8]) -> Result<(), Error> {
        let disk = &*self.opening.env.disk;
        let early = planted(Planted::PieceCountedEarly);
        if self.catalog.segments.last() == Some(&piece.segment) && !planted(Planted::PieceUnlogged)
        {
            write_again(disk, piece, image)?;
        }
        let last = piece.memtable().last_stamp().expect("a piece has commits");
        let flushed = if planted(Planted::FlushedPastPiece) { last.next() } else { last };
        let is_passed = |segment: &&u32| **segment < piece.segment;
        let passed: Vec<u32> = self.catalog.segments.iter().filter(is_passed).copied().collect();
        let edit = Edit {
            added: self.written.iter().map(|table| (0, table.clone())).collect(),
            flushed: Some(flushed),
            segments_below: (!passed.is_empty()).then_some(piece.segment),
            next_table: Some(self.catalog.next_table),
            ..Edit::default()
        };
        let number = self.manifest.as_ref().map_or(self.next_manifest, Manifest::number);
        let mut catalog = self.catalog.clone();
        catalog.apply(&edit).map_err(|what| Error::corrupt(Name::Manifest(number), 0, what))?;
        if let Some(manifest) = &mut self.manifest {
            if !early {
                disk.sync_dir().map_err(|e| Error::io(disk.label(), "sync", e))?;
            }
            manifest.reserve(edit.encode().len())?;
            self.in_doubt = true;
            manifest.append(&edit, flushed)?;
        } else {
            let random = &*self.opening.env.random;
            self.next_manifest += 1;
            let manifest = Manifest::prepare(disk, random, number, &catalog)?;
            self.in_doubt = true;
            manifest.switch(disk)?;
            self.manifest = Some(manifest);
            let unused = unused_files(self.listed, &catalog, number);
            remove(disk, unused.into_iter().filter(|name| self.mark != Some(*name)));
        }
        self.in_doubt = false;
        self.written.clear();
        self.first_unlisted = catalog.next_table;
        self.catalog = catalog;
        remove(disk, passed.into_iter().map(|segment| Name::Wal(u64::from(segment))));
        Ok(())
    }

    fn leave_mark(&mut self) -> Result<(), Error> {
        let mark = Name::Temp(self.next_manifest);
        let disk = &self.opening.env.disk;
        disk.create(mark).map_err(|e| Error::io(mark, "create", e))?;
        self.mark = Some(mark);
        // Else power that fails in every life takes every mark along, and no life gets anything done.
        disk.sync_dir().map_err(|e| Error::io(disk.label(), "sync", e))?;
        self.next_manifest += 1;
        Ok(())
    }

    /// Removes what has a number that no manifest of the store ever gave: tables from `entered` on,
    /// segments without commits above all that are listed, temporary files.
    fn remove_never_entered(&self, entered: u64) {
        let known = self.catalog.segments.last().copied().unwrap_or(0);
        let is_leftover = |name: &Name| match *name {
            Name::Table(number) => number >= entered,
            Name::Wal(number) => number > u64::from(known),
            Name::Manifest(number) => number > self.opening.loaded.number,
            Name::Temp(_) => self.mark != Some(*name),
            Name::Lock | Name::Current => false,
        };
        let names = self.listed.iter().filter_map(|entry| entry.name.as_ref().ok()).copied();
        remove(&*self.opening.env.disk, names.filter(is_leftover));
    }
}

/// Writes the bytes of `piece` in its last segment where they are, as `image` shows that segment, and
/// makes them durable. What shares a sector with them is durable already, or follows them.
fn write_again(disk: &dyn Disk, piece: &Piece, image: &[u8]) -> Result<(), Error> {
    let name = Name::Wal(u64::from(piece.segment));
    let bytes = &image[piece.bytes.start as usize..piece.bytes.end as usize];
    let file = disk.open(name, OpenMode::ReadWrite).map_err(|e| Error::io(name, "open", e))?;
    let written = file.write_all_at(u64::from(piece.bytes.start), bytes);
    written.map_err(|e| Error::io(name, "rewrite", e))?;
    file.sync().map_err(|e| Error::io(name, "sync", e))
}

/// Removes files that nothing refers to. What stays stays unused.
fn remove(disk: &dyn Disk, names: impl IntoIterator<Item = Name>) {
    names.into_iter().for_each(|name| drop(disk.remove(name)));
}
