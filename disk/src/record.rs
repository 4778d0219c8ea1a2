//! A disk that writes down what is done to it.
//!
//! [`RecordDisk`] passes everything on to another disk, and notes each change of it in a
//! [`Recording`], with the bytes that were written. A caller may [mark](Recording::mark) moments of
//! its own in between, such as "this commit was acknowledged". Afterwards the recording can be done
//! again on the simulated disk, stopped anywhere, and crashed.
//!
//! 1. A change is noted when it has been done, before the call returns: whoever acts because of it
//!    is noted later.
//! 2. What takes time in its own right is noted twice, as it begins and as it ends: a sync covers
//!    what was done before it began, and promises nothing before its end.
//! 3. What fails leaves no note, so that a recording is of use only if nothing failed; reads, and
//!    locks, which leave a file without meaning, are not noted.
//! 4. Directories that are made through it are passed on unrecorded; so is what is linked there.

use std::any::Any;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{
    Buffer, Disk, File, Listed, LockError, LockGuard, LockMode, Name, OpenMode, Region, Ticket,
    Write,
};

/// One note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A file was created, and is open under this handle.
    Create {
        /// The name.
        name: Name,
        /// The handle.
        handle: u64,
    },
    /// A file was opened for writing, under this handle.
    Open {
        /// The name.
        name: Name,
        /// The handle.
        handle: u64,
    },
    /// A file was renamed.
    Rename {
        /// Its name before.
        from: Name,
        /// Its name afterwards.
        to: Name,
    },
    /// A file was removed.
    Remove {
        /// Its name.
        name: Name,
    },
    /// The sync of the directory, or of the file of a handle, began.
    SyncBegun {
        /// The handle; none for the directory.
        handle: Option<u64>,
        /// Which sync this is.
        sync: u64,
    },
    /// It ended.
    SyncEnded {
        /// Which sync this is.
        sync: u64,
    },
    /// A write was submitted.
    Submit {
        /// The handle.
        handle: u64,
        /// Which write this is.
        write: u64,
        /// Where it goes.
        offset: u64,
        /// What it writes.
        data: Vec<u8>,
        /// Whether it is durable when it is complete.
        durable: bool,
    },
    /// It was completed.
    Complete {
        /// Which write this is.
        write: u64,
    },
    /// Bytes were written.
    WriteAt {
        /// The handle.
        handle: u64,
        /// Where they are.
        offset: u64,
        /// As many as were written.
        data: Vec<u8>,
    },
    /// The length was set.
    SetLen {
        /// The handle.
        handle: u64,
        /// The length.
        bytes: u64,
    },
    /// Space was reserved.
    Allocate {
        /// The handle.
        handle: u64,
        /// How much, from the start.
        bytes: u64,
    },
    /// A caller's own.
    Mark(Vec<u8>),
}

/// What was done to a disk, in order. Shared by all who write it.
#[derive(Debug, Default)]
pub struct Recording {
    notes: Mutex<Vec<Note>>,
    next: AtomicU64,
}

impl Recording {
    fn notes(&self) -> MutexGuard<'_, Vec<Note>> {
        // Every change is one push.
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, note: Note) {
        self.notes().push(note);
    }

    /// A number for a handle, a write, or a sync: no two have the same.
    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::SeqCst)
    }

    /// Notes something that the disk knows nothing of.
    pub fn mark(&self, mark: Vec<u8>) {
        self.note(Note::Mark(mark));
    }

    /// Everything that was noted so far; the recording goes on with nothing.
    pub fn take(&self) -> Vec<Note> {
        std::mem::take(&mut *self.notes())
    }

    fn sync(
        &self,
        handle: Option<u64>,
        perform: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let sync = self.number();
        self.note(Note::SyncBegun { handle, sync });
        perform()?;
        self.note(Note::SyncEnded { sync });
        Ok(())
    }
}

/// A disk over another one, with a recording.
///
/// ```
/// use std::sync::Arc;
///
/// use icecore_disk::record::{Note, RecordDisk, Recording};
/// use icecore_disk::{Disk, File, MemoryDisk, Name};
///
/// let recording = Arc::new(Recording::default());
/// let disk = RecordDisk::new(Arc::new(MemoryDisk::new()), Arc::clone(&recording));
/// disk.create(Name::Wal(1))?.write_all_at(0, b"hello")?;
/// recording.mark(b"written".to_vec());
/// let notes = recording.take();
/// assert_eq!(notes[0], Note::Create { name: Name::Wal(1), handle: 0 });
/// assert_eq!(notes[1], Note::WriteAt { handle: 0, offset: 0, data: b"hello".to_vec() });
/// assert_eq!(notes[2], Note::Mark(b"written".to_vec()));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct RecordDisk {
    inner: Arc<dyn Disk>,
    recording: Arc<Recording>,
}

impl RecordDisk {
    /// A disk that passes everything on to `inner` and notes it in `recording`.
    pub fn new(inner: Arc<dyn Disk>, recording: Arc<Recording>) -> RecordDisk {
        RecordDisk { inner, recording }
    }

    fn file(&self, inner: Box<dyn File>, handle: u64) -> Box<dyn File> {
        Box::new(RecordFile { inner, handle, recording: Arc::clone(&self.recording) })
    }
}

impl Disk for RecordDisk {
    fn lock(&self, mode: LockMode) -> Result<Box<dyn LockGuard>, LockError> {
        self.inner.lock(mode)
    }

    fn list(&self) -> io::Result<Vec<Listed>> {
        self.inner.list()
    }

    fn create(&self, name: Name) -> io::Result<Box<dyn File>> {
        let file = self.inner.create(name)?;
        let handle = self.recording.number();
        self.recording.note(Note::Create { name, handle });
        Ok(self.file(file, handle))
    }

    fn open(&self, name: Name, mode: OpenMode) -> io::Result<Box<dyn File>> {
        let file = self.inner.open(name, mode)?;
        let handle = self.recording.number();
        if mode == OpenMode::ReadWrite {
            self.recording.note(Note::Open { name, handle });
        }
        Ok(self.file(file, handle))
    }

    fn rename(&self, from: Name, to: Name) -> io::Result<()> {
        self.inner.rename(from, to)?;
        self.recording.note(Note::Rename { from, to });
        Ok(())
    }

    fn remove(&self, name: Name) -> io::Result<()> {
        self.inner.remove(name)?;
        self.recording.note(Note::Remove { name });
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.recording.sync(None, || self.inner.sync_dir())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.inner.free_bytes()
    }

    fn create_directory(&self, path: &Path) -> io::Result<Arc<dyn Disk>> {
        self.inner.create_directory(path)
    }

    fn link(&self, name: Name, target: &dyn Disk) -> io::Result<()> {
        self.inner.link(name, target)
    }

    fn label(&self) -> String {
        self.inner.label()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[derive(Debug)]
struct RecordFile {
    inner: Box<dyn File>,
    handle: u64,
    recording: Arc<Recording>,
}

impl File for RecordFile {
    /// Gives its own ticket, which names the write; the inner disk gets the write when it is
    /// completed. In between, any part of it may be on the disk: the recording says so.
    fn submit(&self, write: Write) -> Ticket {
        let id = self.recording.number();
        self.recording.note(Note::Submit {
            handle: self.handle,
            write: id,
            offset: write.offset,
            data: write.data.to_vec(),
            durable: write.durable,
        });
        Ticket { id, write }
    }

    fn complete(&self, ticket: Ticket) -> (Buffer, io::Result<()>) {
        let write = ticket.id;
        let (data, result) = self.inner.complete(self.inner.submit(ticket.write));
        if result.is_ok() {
            self.recording.note(Note::Complete { write });
        }
        (data, result)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        let written = self.inner.write_at(offset, data)?;
        let data = data[..written].to_vec();
        self.recording.note(Note::WriteAt { handle: self.handle, offset, data });
        Ok(written)
    }

    fn read_at(&self, offset: u64, data: &mut [u8]) -> io::Result<usize> {
        self.inner.read_at(offset, data)
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.inner.set_len(bytes)?;
        self.recording.note(Note::SetLen { handle: self.handle, bytes });
        Ok(())
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.inner.allocate(bytes)?;
        self.recording.note(Note::Allocate { handle: self.handle, bytes });
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.recording.sync(Some(self.handle), || self.inner.sync())
    }

    fn map(&self) -> io::Result<Region> {
        self.inner.map()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryDisk;

    #[test]
    fn changes_are_noted_in_order_and_failures_are_not() {
        let recording = Arc::new(Recording::default());
        let disk = RecordDisk::new(Arc::new(MemoryDisk::new()), Arc::clone(&recording));
        let file = disk.create(Name::Temp(1)).unwrap();
        assert!(disk.create(Name::Temp(1)).is_err());
        assert!(disk.remove(Name::Temp(2)).is_err());
        let data = Buffer::from(&[7; 512][..]);
        let ticket = file.submit(Write { offset: 512, data, durable: true });
        recording.mark(b"between".to_vec());
        file.complete(ticket).1.unwrap();
        file.set_len(2048).unwrap();
        file.sync().unwrap();
        disk.rename(Name::Temp(1), Name::Current).unwrap();
        disk.sync_dir().unwrap();
        let mut read = [0; 1];
        let again = disk.open(Name::Current, OpenMode::Read).unwrap();
        assert_eq!((again.read_at(512, &mut read).unwrap(), read), (1, [7]));
        let notes = recording.take();
        assert_eq!(
            notes,
            [
                Note::Create { name: Name::Temp(1), handle: 0 },
                Note::Submit {
                    handle: 0,
                    write: 1,
                    offset: 512,
                    data: vec![7; 512],
                    durable: true
                },
                Note::Mark(b"between".to_vec()),
                Note::Complete { write: 1 },
                Note::SetLen { handle: 0, bytes: 2048 },
                Note::SyncBegun { handle: Some(0), sync: 2 },
                Note::SyncEnded { sync: 2 },
                Note::Rename { from: Name::Temp(1), to: Name::Current },
                Note::SyncBegun { handle: None, sync: 3 },
                Note::SyncEnded { sync: 3 },
            ]
        );
        assert_eq!(recording.take(), []);
    }
}
