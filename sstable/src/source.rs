//! Brings stretches of a table's file to where they can be read, as the [`ReadMode`] asks.

use std::ops::Range;

use bytes::Bytes;
use icecore_disk::{Disk, File, MapFault, Name, OpenMode, Region};

use crate::error::Error;
use crate::format::Handle;
use crate::options::ReadMode;

/// An open file of a table.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) file: Name,
    /// The length of the file when it was opened.
    pub(crate) bytes: u64,
    mode: ReadMode,
    backing: Backing,
}

#[derive(Debug)]
enum Backing {
    Mapped(Region),
    Handle(Box<dyn File>),
}

/// A stretch of the file.
#[derive(Debug)]
pub(crate) enum Stored<'a> {
    /// In place: it may fault after it was borrowed.
    Mapped(&'a [u8]),
    /// A copy.
    Owned(Bytes),
}

impl std::ops::Deref for Stored<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Stored::Mapped(bytes) => bytes,
            Stored::Owned(bytes) => bytes,
        }
    }
}

impl Source {
    /// Opens the table's file. A file that cannot be mapped is read instead.
    pub(crate) fn open(disk: &dyn Disk, file: Name, mode: ReadMode) -> Result<Source, Error> {
        let handle = disk.open(file, OpenMode::Read).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => Error::corrupt(file, 0, "the table is missing"),
            _ => Error::io(file, "open")(e),
        })?;
        let bytes = handle.len().map_err(Error::io(file, "measure"))?;
        let backing = match mode {
            ReadMode::Read => Backing::Handle(handle),
            // An empty file cannot be mapped everywhere, and is refused by its length anyway.
            _ if bytes == 0 => Backing::Handle(handle),
            ReadMode::Mmap | ReadMode::MmapStrict => match handle.map() {
                Ok(region) => Backing::Mapped(region),
                Err(e) if e.kind() == std::io::ErrorKind::Unsupported => Backing::Handle(handle),
                Err(e) => return Err(Error::io(file, "map")(e)),
            },
        };
        let mode = if matches!(backing, Backing::Handle(_)) { ReadMode::Read } else { mode };
        Ok(Source { file, bytes, mode, backing })
    }

    pub(crate) fn mode(&self) -> ReadMode {
        self.mode
    }

    /// The bytes of a block: in place with [`ReadMode::Mmap`], otherwise a copy.
    #[inline]
    pub(crate) fn read(&self, handle: Handle) -> Result<Stored<'_>, Error> {
        let range = self.bounded(handle)?;
        match &self.backing {
            Backing::Mapped(region) if self.mode == ReadMode::Mmap => {
                region.view(range).map(Stored::Mapped).map_err(|e| self.fault(e))
            }
            Backing::Mapped(region) => {
                let copy = region
                    .view(range.clone())
                    .map(Bytes::copy_from_slice)
                    .and_then(|copy| region.check(range).map(|()| copy));
                copy.map(Stored::Owned).map_err(|e| self.fault(e))
            }
            Backing::Handle(file) => {
                let mut bytes = vec![0; range.len()];
                let read = file
                    .read_full_at(handle.offset, &mut bytes)
                    .map_err(Error::io(self.file, "read"))?;
                if read < bytes.len() {
                    return Err(self.too_short(handle.offset + read as u64));
                }
                Ok(Stored::Owned(Bytes::from(bytes)))
            }
        }
    }

    /// A part of the mapping that stays readable by itself.
    ///
    /// # Panics
    /// When the file is not mapped: there is nothing in place to pin.
    pub(crate) fn pin(&self, range: Range<u64>) -> Result<Bytes, Error> {
        let Backing::Mapped(region) = &self.backing else {
            panic!("only what is borrowed from a mapping can be pinned");
        };
        let handle = Handle { offset: range.start, bytes: range.end.saturating_sub(range.start) };
        region.slice(self.bounded(handle)?).map_err(|e| self.fault(e))
    }

    /// This range is about to be read. A file that is not mapped is read by calls whose order the system
    /// sees by itself.
    pub(crate) fn expect(&self, range: Range<u64>) {
        if let Backing::Mapped(region) = &self.backing {
            let place = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
            region.expect(place(range.start)..place(range.end));
        }
    }

    /// Whether no part of it was found to be unreadable since it was mapped.
    #[inline]
    pub(crate) fn is_whole(&self) -> bool {
        match &self.backing {
            Backing::Mapped(region) => region.is_whole(),
            Backing::Handle(_) => true,
        }
    }

    /// Whether all of what was borrowed in place could be read.
    #[inline]
    pub(crate) fn check(&self, handle: Handle) -> Result<(), Error> {
        match &self.backing {
            Backing::Mapped(region) if self.mode == ReadMode::Mmap => {
                region.check(self.bounded(handle)?).map_err(|e| self.fault(e))
            }
            _ => Ok(()),
        }
    }

    /// The block as a range in memory, once it is known to lie within the file.
    #[inline]
    fn bounded(&self, handle: Handle) -> Result<Range<usize>, Error> {
        let end = handle.end().filter(|end| *end <= self.bytes);
        let range = || Some(usize::try_from(handle.offset).ok()?..usize::try_from(end?).ok()?);
        range().ok_or_else(|| self.too_short(handle.offset))
    }

    fn too_short(&self, offset: u64) -> Error {
        Error::corrupt(self.file, offset, "the file ends within a block")
    }

    fn fault(&self, fault: MapFault) -> Error {
        Error::io(self.file, "read the mapping of")(fault.into())
    }
}
