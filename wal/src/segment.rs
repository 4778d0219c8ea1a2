//! One file of the log: making it, and making it durable.
//!
//! A segment may be used only when its header, its length and its directory entry are durable.
//! The header is written last, so a file that was left half made is an unused segment.

use icecore_disk::{Buffer, Disk, File, Name, OpenMode, Write};
use icecore_model::frame::{HEADER_BYTES, Salt};
use icecore_model::{Planted, Versionstamp, planted};

use crate::Error;
use crate::format::Header;

/// A segment that takes frames.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) number: u32,
    pub(crate) bytes: u32,
    pub(crate) block_bytes: u32,
    pub(crate) salt: Salt,
    /// Stamps in it are below this one: it cannot hold more frames.
    pub(crate) ceiling: Versionstamp,
    pub(crate) file: Box<dyn File>,
}

/// A file that is ready to become a segment: its content means nothing.
#[derive(Debug)]
pub(crate) struct Blank {
    pub(crate) number: u32,
    pub(crate) bytes: u32,
    pub(crate) file: Box<dyn File>,
}

/// The name of the segment `number`.
pub(crate) fn name(number: u32) -> Name {
    Name::Wal(u64::from(number))
}

impl Blank {
    /// A new file of `bytes` bytes. Its directory entry is not durable yet.
    pub(crate) fn create(disk: &dyn Disk, number: u32, bytes: u32) -> Result<Blank, Error> {
        let name = name(number);
        let file = disk.create(name).map_err(|e| Error::io(name, "create", e))?;
        let blank = Blank { number, bytes, file };
        if let Err(error) = blank.file.allocate(u64::from(bytes)) {
            blank.remove(disk);
            return Err(Error::io(name, "allocate", error));
        }
        Ok(blank)
    }

    /// Opens a file that is of no use any more.
    pub(crate) fn open(disk: &dyn Disk, number: u32, bytes: u32) -> Result<Blank, Error> {
        let name = name(number);
        let file = disk.open(name, OpenMode::ReadWrite).map_err(|e| Error::io(name, "open", e))?;
        Ok(Blank { number, bytes, file })
    }

    /// Makes room for `bytes` bytes in all.
    pub(crate) fn grow(&mut self, bytes: u32) -> Result<(), Error> {
        if bytes > self.bytes {
            let grown = self.file.allocate(u64::from(bytes));
            grown.map_err(|e| Error::io(name(self.number), "allocate", e))?;
            self.bytes = bytes;
        }
        Ok(())
    }

    /// Takes the file away again. That it may stay is harmless: whoever opens the store removes
    /// what nothing refers to.
    pub(crate) fn remove(self, disk: &dyn Disk) {
        disk.remove(name(self.number)).ok();
    }

    /// Writes the header and makes the segment durable, its directory entry included.
    pub(crate) fn begin(&self, disk: &dyn Disk, header: &Header) -> Result<(), Error> {
        let name = name(self.number);
        let block_bytes = header.block_bytes as usize;
        let mut data = Buffer::with_capacity(block_bytes);
        data.extend(&header.encode());
        data.pad_to(block_bytes);
        let ticket = self.file.submit(Write { offset: 0, data, durable: false });
        self.file.complete(ticket).1.map_err(|e| Error::io(name, "write", e))?;
        self.file.sync().map_err(|e| Error::io(name, "sync", e))?;
        if planted(Planted::SegmentNamesUnsynced) {
            return Ok(());
        }
        disk.sync_dir().map_err(|e| Error::io(name, "sync the directory of", e))
    }

    /// The segment that begins with `header`.
    pub(crate) fn into_segment(self, header: &Header) -> Segment {
        let frames = u64::from(self.bytes) / HEADER_BYTES as u64;
        let ceiling = header.last.get().checked_add(frames).expect("stamps are not exhausted");
        Segment {
            number: self.number,
            bytes: self.bytes,
            block_bytes: header.block_bytes,
            salt: header.salt,
            ceiling: Versionstamp::new(ceiling),
            file: self.file,
        }
    }
}
