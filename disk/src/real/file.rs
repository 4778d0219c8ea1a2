//! An open file of the real disk.
//!
//! Submitting a write only remembers it; completing performs it in the calling thread, so that
//! several threads have several writes in flight. Everything goes through the page cache: direct
//! and buffered writes never mix (decision 0001).

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::error::FileError;
use super::map::{self, Access};
use crate::{Buffer, File, Name, Region, Ticket, Write};

/// What is written where space cannot be reserved otherwise.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

#[derive(Debug)]
pub(super) struct RealFile {
    file: fs::File,
    name: Name,
    path: PathBuf,
    mapping: Mapping,
}

/// What becomes of mappings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mapping {
    /// Unreadable pages are noted.
    Watched,
    /// Unreadable pages are left to whoever has the signal.
    Plain,
    /// The file system is not one to map from.
    Refused,
}

impl RealFile {
    pub(super) fn new(file: fs::File, name: Name, path: PathBuf, mapping: Mapping) -> RealFile {
        RealFile { file, name, path, mapping }
    }

    /// Tells the tickets of this file from those of any other open file.
    fn ticket_id(&self) -> u64 {
        self.file.as_raw_fd().unsigned_abs().into()
    }

    fn error(&self, operation: &'static str, source: impl Into<io::Error>) -> io::Error {
        FileError::wrap(operation, &self.path, source)
    }

    /// Writes all of `data` and makes it durable in one call where the kernel can (Linux 4.7), so
    /// that a log write is one trip to the disk and waits for nobody else's pages.
    #[cfg(target_os = "linux")]
    fn write_durably(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        use rustix::io::{Errno, ReadWriteFlags, pwritev2};

        let mut done = 0;
        while done < data.len() {
            let (rest, at) = (&data[done..], offset + done as u64);
            match pwritev2(&self.file, &[io::IoSlice::new(rest)], at, ReadWriteFlags::DSYNC) {
                Ok(0) => return Err(self.error("write", io::ErrorKind::WriteZero)),
                Ok(n) => done += n,
                Err(Errno::INTR) => {}
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => return self.write_then_sync(at, rest),
                Err(e) => return Err(self.error("write", e)),
            }
        }
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    fn write_durably(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.write_then_sync(offset, data)
    }

    fn write_then_sync(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.write_all_at(offset, data)?;
        self.sync()
    }

    #[cfg(target_os = "linux")]
    fn reserve(&self, bytes: u64) -> io::Result<()> {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::{Errno, retry_on_intr};

        match retry_on_intr(|| fallocate(&self.file, FallocateFlags::empty(), 0, bytes)) {
            Ok(()) => Ok(()),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.extend_with_zeros(bytes),
            Err(e) => Err(self.error("allocate", e)),
        }
    }

    /// What macOS calls `fallocate` cuts a longer file, so it is not used there.
    #[cfg(not(target_os = "linux"))]
    fn reserve(&self, bytes: u64) -> io::Result<()> {
        self.extend_with_zeros(bytes)
    }

    /// Reserves by writing. Holes below the present length stay holes: a file that is allocated
    /// before it is written has none.
    fn extend_with_zeros(&self, bytes: u64) -> io::Result<()> {
        let mut end = self.len()?;
        while end < bytes {
            let step = usize::try_from(bytes - end).map_or(ZEROS.len(), |n| n.min(ZEROS.len()));
            self.write_all_at(end, &ZEROS[..step])?;
            end += step as u64;
        }
        Ok(())
    }
}

impl File for RealFile {
    fn submit(&self, write: Write) -> Ticket {
        Ticket { id: self.ticket_id(), write }
    }

    fn complete(&self, ticket: Ticket) -> (Buffer, io::Result<()>) {
        assert_eq!(ticket.id, self.ticket_id(), "a ticket goes back to the file that gave it");
        let Write { offset, data, durable } = ticket.write;
        let written = match i64::try_from(offset) {
            // The kernel takes the largest u64 for "at the current position".
            Err(_) => Err(self.error("write", io::ErrorKind::InvalidInput)),
            Ok(_) if durable => self.write_durably(offset, &data),
            Ok(_) => self.write_all_at(offset, &data),
        };
        (data, written)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        self.file.write_at(data, offset).map_err(|e| self.error("write", e))
    }

    fn read_at(&self, offset: u64, data: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(data, offset).map_err(|e| self.error("read", e))
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata().map_err(|e| self.error("stat", e))?.len())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes).map_err(|e| self.error("set the length of", e))
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        // The kernel refuses to reserve nothing.
        if bytes == 0 { Ok(()) } else { self.reserve(bytes) }
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data().map_err(|e| self.error("sync", e))
    }

    fn map(&self) -> io::Result<Region> {
        let access = match self.name {
            Name::Table(_) => Access::Scattered,
            _ => Access::Unknown,
        };
        let watched = match self.mapping {
            Mapping::Watched => true,
            Mapping::Plain => false,
            Mapping::Refused => return Err(self.error("map", io::ErrorKind::Unsupported)),
        };
        map::map(&self.file, access, watched).map_err(|e| self.error("map", e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> RealFile {
        RealFile::new(
            tempfile::tempfile().unwrap(),
            Name::Temp(1),
            PathBuf::from("0000000001.temp"),
            Mapping::Watched,
        )
    }

    #[test]
    fn reserving_by_writing_extends_with_zeros_and_keeps_what_is_there() {
        let file = file();
        file.write_all_at(0, b"ice").unwrap();
        file.extend_with_zeros(150_000).unwrap();
        file.extend_with_zeros(10).unwrap();
        let mut content = vec![1; 150_001];
        assert_eq!(file.read_full_at(0, &mut content).unwrap(), 150_000);
        assert_eq!(content[..3], *b"ice");
        assert!(content[3..150_000].iter().all(|b| *b == 0));
    }

    #[test]
    fn writing_and_syncing_apart_writes_all_of_it() {
        let file = file();
        file.write_then_sync(5, b"core").unwrap();
        let mut content = [1; 9];
        assert_eq!(file.read_full_at(0, &mut content).unwrap(), 9);
        assert_eq!(content, *b"\0\0\0\0\0core");
    }

    #[test]
    #[cfg(target_os = "linux")]
    #[expect(
        clippy::disallowed_methods,
        reason = "a device that is always full is no file of a disk"
    )]
    fn a_disk_that_fills_up_is_told_of_where_space_is_reserved_by_writing() {
        let path = PathBuf::from("/dev/full");
        let full = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let file = RealFile::new(full, Name::Temp(1), path, Mapping::Watched);
        let reserved = file.extend_with_zeros(1).unwrap_err();
        let written = file.write_then_sync(0, b"ice").unwrap_err();
        for error in [reserved, written] {
            assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{error}");
            assert!(error.to_string().contains("/dev/full"), "{error}");
        }
    }

    #[test]
    fn an_offset_that_no_file_reaches_is_refused() {
        let file = file();
        for durable in [false, true] {
            let data = Buffer::from(&b"ice"[..]);
            let ticket = file.submit(Write { offset: u64::MAX, data, durable });
            let (data, written) = file.complete(ticket);
            assert_eq!(written.unwrap_err().kind(), io::ErrorKind::InvalidInput);
            assert_eq!(data[..], *b"ice");
        }
        assert!(file.is_empty().unwrap());
    }

    #[test]
    #[should_panic(expected = "a ticket goes back to the file that gave it")]
    fn a_ticket_of_another_file_is_a_bug() {
        let (a, b) = (file(), file());
        let data = Buffer::from(&b"ice"[..]);
        drop(b.complete(a.submit(Write { offset: 0, data, durable: false })));
    }
}
