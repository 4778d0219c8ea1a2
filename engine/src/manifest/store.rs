//! Reading a manifest, appending to it, and switching to the next one.
//!
//! Invariants:
//! 1. An edit is durable before [`Manifest::append`] returns; only then is the next one written.
//!    So at most the last frame of a file can be torn.
//! 2. `CURRENT` is replaced by renaming a synced file over it, after the new manifest and its
//!    directory entry are durable. Whatever subset of these steps survives a crash, `CURRENT`
//!    leads to a manifest that is whole.
//! 3. A file that was read is never appended to: opening a store always writes a fresh manifest.
//!    So a torn or failed edit that turns up later is never read again.

use std::sync::Arc;

use icecore_disk::{Disk, File, Name, OpenMode, Random};
use icecore_model::frame::{Frame, FrameHeader, NotAFrame, POSITION_AT, Salt};
use icecore_model::{DatabaseId, LogPosition, Planted, Versionstamp, planted};

use super::catalog::{Catalog, Edit};
use super::format::{
    self, BadHeader, CURRENT_BYTES, HEADER_BYTES, Header, KIND_EDIT, KIND_SNAPSHOT,
};
use crate::error::Error;

/// Space is allocated ahead in steps of this size, so that a full disk refuses the step and leaves
/// no trace, instead of failing an edit halfway.
const ALLOCATION_BYTES: u64 = 64 << 10;

/// What allocated space reads as.
const ZEROS: [u8; 512] = [0; 512];

/// A manifest file grows to this size, or to four times its snapshot, before it is replaced.
const ROLL_BYTES_MIN: u64 = 256 << 10;

/// Places in a manifest have 32 bits.
const MANIFEST_BYTES_MAX: usize = u32::MAX as usize;

/// A manifest open for appending.
#[derive(Debug)]
pub(crate) struct Manifest {
    file: Box<dyn File>,
    number: u64,
    salt: Salt,
    end: u64,
    allocated: u64,
    snapshot_end: u64,
}

/// What [`Manifest::load`] found.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) catalog: Catalog,
    pub(crate) number: u64,
    /// The file as it was read. After a sync that failed, a second reading may find other bytes.
    pub(crate) bytes: Vec<u8>,
}

impl Manifest {
    /// Reads the manifest that `CURRENT` names; `None` when there is no `CURRENT`.
    pub(crate) fn load(disk: &dyn Disk) -> Result<Option<Loaded>, Error> {
        let Some(current) = read_file(disk, Name::Current, CURRENT_BYTES + 1)? else {
            return Ok(None);
        };
        let (database, number) =
            format::decode_current(&current).map_err(|e| bad_header(Name::Current, e))?;
        Manifest::load_numbered(disk, number, Some(database)).map(Some)
    }

    /// Reads the manifest `number`, which must be that of `database` if it is known.
    pub(crate) fn load_numbered(
        disk: &dyn Disk,
        number: u64,
        database: Option<DatabaseId>,
    ) -> Result<Loaded, Error> {
        let name = Name::Manifest(number);
        let bytes = read_file(disk, name, MANIFEST_BYTES_MAX)?.ok_or_else(|| {
            Error::corrupt(name, 0, "the manifest that CURRENT names does not exist")
        })?;
        let header = Header::decode(&bytes).map_err(|e| bad_header(name, e))?;
        if header.number != number {
            let what = format!("this is manifest {} under another name", header.number);
            return Err(Error::corrupt(name, 32, what));
        }
        if let Some(database) = database.filter(|database| *database != header.database) {
            let what = format!("it belongs to store {}, CURRENT to {database}", header.database);
            return Err(Error::corrupt(name, 16, what));
        }
        let catalog = replay(name, &bytes, &header)?;
        Ok(Loaded { catalog, number, bytes })
    }

    /// The store that `CURRENT` says this is.
    pub(crate) fn named_owner(disk: &dyn Disk) -> Option<DatabaseId> {
        let current = read_file(disk, Name::Current, CURRENT_BYTES + 1).ok()??;
        format::decode_current(&current).ok().map(|(database, _)| database)
    }

    /// The catalog that the manifest `number` began with, whatever has become of the rest.
    pub(crate) fn first_catalog(disk: &dyn Disk, number: u64) -> Option<Catalog> {
        let bytes = read_file(disk, Name::Manifest(number), MANIFEST_BYTES_MAX).ok()??;
        let header = Header::decode(&bytes).ok()?;
        let first = frame_at(&bytes, HEADER_BYTES, header.salt).ok()?;
        Catalog::decode(first.payload).ok().filter(|_| first.header.kind == KIND_SNAPSHOT)
    }

    /// Writes a manifest that starts with `catalog`, and makes it the one that counts.
    pub(crate) fn create(
        disk: &dyn Disk,
        random: &dyn Random,
        number: u64,
        catalog: &Catalog,
    ) -> Result<Manifest, Error> {
        let manifest = Manifest::prepare(disk, random, number, catalog)?;
        manifest.switch(disk)?;
        Ok(manifest)
    }

    /// Writes a manifest that starts with `catalog`, and the `CURRENT` that would lead to it, under
    /// another name. Until [`Manifest::switch`], the manifest before it counts: a failure here
    /// leaves nothing but two files to delete.
    pub(crate) fn prepare(
        disk: &dyn Disk,
        random: &dyn Random,
        number: u64,
        catalog: &Catalog,
    ) -> Result<Manifest, Error> {
        let name = Name::Manifest(number);
        let salt = Salt(random.next_u64().map_err(|e| Error::io(name, "draw a salt for", e))?);
        let file = disk.create(name).map_err(|e| Error::io(name, "create", e))?;
        let header = Header { database: catalog.database, number, salt };
        file.write_all_at(0, &header.encode()).map_err(|e| Error::io(name, "write", e))?;
        let mut manifest = Manifest {
            file,
            number,
            salt,
            end: HEADER_BYTES as u64,
            allocated: 0,
            snapshot_end: 0,
        };
        manifest.write(KIND_SNAPSHOT, &catalog.encode(), catalog.flushed)?;
        manifest.snapshot_end = manifest.end;
        let temp = Name::Temp(number);
        let file = disk.create(temp).map_err(|e| Error::io(temp, "create", e))?;
        let content = format::encode_current(catalog.database, number);
        file.write_all_at(0, &content).map_err(|e| Error::io(temp, "write", e))?;
        file.sync().map_err(|e| Error::io(temp, "sync", e))?;
        if !planted(Planted::ManifestNameUnsynced) {
            disk.sync_dir().map_err(|e| Error::io(disk.label(), "sync", e))?;
        }
        Ok(manifest)
    }

    /// Makes this manifest the one that counts. After a failure it is not known which one does, so
    /// that no failure here is told as want of space, after which nothing would have changed.
    pub(crate) fn switch(&self, disk: &dyn Disk) -> Result<(), Error> {
        let failed = |action| {
            move |e| Error::Io { file: Name::Current.to_string(), action, source: Arc::new(e) }
        };
        disk.rename(Name::Temp(self.number), Name::Current).map_err(failed("replace"))?;
        let synced = if planted(Planted::SwitchUnsynced) { Ok(()) } else { disk.sync_dir() };
        synced.map_err(failed("make durable"))
    }

    /// Appends `edit` and makes it durable.
    pub(crate) fn append(&mut self, edit: &Edit, stamp: Versionstamp) -> Result<(), Error> {
        self.write(KIND_EDIT, &edit.encode(), stamp)
    }

    /// Makes room for an edit of `bytes` bytes; a full disk refuses here, without a trace.
    pub(crate) fn reserve(&mut self, bytes: usize) -> Result<(), Error> {
        let needed = self.end + (bytes + icecore_model::frame::HEADER_BYTES) as u64;
        if needed > self.allocated {
            let allocated = needed.next_multiple_of(ALLOCATION_BYTES);
            let name = Name::Manifest(self.number);
            self.file.allocate(allocated).map_err(|e| Error::io(name, "allocate", e))?;
            self.allocated = allocated;
        }
        Ok(())
    }

    /// Whether the file has grown so long that a fresh one is better.
    pub(crate) fn wants_roll(&self) -> bool {
        self.end > ROLL_BYTES_MIN.max(4 * self.snapshot_end)
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The bytes written to the file so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.end
    }

    fn write(&mut self, kind: u8, payload: &[u8], stamp: Versionstamp) -> Result<(), Error> {
        let name = Name::Manifest(self.number);
        self.reserve(payload.len())?;
        let position = u32::try_from(self.end).map_err(|_| Error::LimitExceeded {
            limit: "the length of a manifest",
            max: u64::from(u32::MAX),
            got: self.end,
        })?;
        let header = FrameHeader {
            kind,
            padding: 0,
            position,
            stamp,
            clock_ms: 0,
            durable: LogPosition::new(0, position),
        };
        let mut frame = header.encode(payload, self.salt).to_vec();
        frame.extend_from_slice(payload);
        self.file.write_all_at(self.end, &frame).map_err(|e| Error::io(name, "write", e))?;
        self.file.sync().map_err(|e| Error::io(name, "sync", e))?;
        self.end += frame.len() as u64;
        Ok(())
    }
}

/// Reads a whole file, which has at most `max` bytes; `None` if it does not exist.
fn read_file(disk: &dyn Disk, name: Name, max: usize) -> Result<Option<Vec<u8>>, Error> {
    let file = match disk.open(name, OpenMode::Read) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io(name, "open", e)),
    };
    let length = file.len().map_err(|e| Error::io(name, "measure", e))?;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > max {
        return Err(Error::corrupt(name, max as u64, "it is longer than it can be"));
    }
    let mut bytes = vec![0; length];
    let got = file.read_full_at(0, &mut bytes).map_err(|e| Error::io(name, "read", e))?;
    bytes.truncate(got);
    Ok(Some(bytes))
}

fn bad_header(name: Name, bad: BadHeader) -> Error {
    match bad {
        BadHeader::Malformed(m) => {
            Error::corrupt(name, m.offset as u64, format!("{} was expected", m.what))
        }
        BadHeader::Version(version) => Error::UnknownFormat {
            file: name.to_string(),
            what: format!("format version {version}"),
        },
    }
}

fn replay(name: Name, bytes: &[u8], header: &Header) -> Result<Catalog, Error> {
    let malformed = |at: usize, m: icecore_model::Malformed| {
        Error::corrupt(name, (at + m.offset) as u64, format!("{} was expected", m.what))
    };
    let mut at = HEADER_BYTES;
    let mut catalog: Option<Catalog> = None;
    while let Ok(frame) = frame_at(bytes, at, header.salt) {
        let payload = at + icecore_model::frame::HEADER_BYTES;
        match (&mut catalog, frame.header.kind) {
            (None, KIND_SNAPSHOT) => {
                let snapshot = Catalog::decode(frame.payload).map_err(|m| malformed(payload, m))?;
                if snapshot.database != header.database {
                    return Err(Error::corrupt(name, payload as u64, "another store's snapshot"));
                }
                catalog = Some(snapshot);
            }
            (Some(catalog), KIND_EDIT) => {
                let edit = Edit::decode(frame.payload).map_err(|m| malformed(payload, m))?;
                catalog.apply(&edit).map_err(|what| Error::corrupt(name, at as u64, what))?;
            }
            _ => return Err(Error::corrupt(name, at as u64, "a frame out of place")),
        }
        at += frame.bytes();
    }
    if let Some(later) = knows_durable(bytes, at, header.salt) {
        let what = format!("a frame is damaged; the one at byte {later} proves that it was stored");
        return Err(Error::corrupt(name, at as u64, what));
    }
    catalog.ok_or_else(|| Error::corrupt(name, at as u64, "the snapshot is damaged"))
}

fn frame_at(bytes: &[u8], at: usize, salt: Salt) -> Result<Frame<'_>, NotAFrame> {
    let position = u32::try_from(at).map_err(|_| NotAFrame::TooShort)?;
    Frame::decode(bytes.get(at..).unwrap_or_default(), position, salt)
}

/// Looks for a frame after `hole` that was written when everything at `hole` was durable. A frame tells
/// its own place, so that hardly any other byte needs a second look.
fn knows_durable(bytes: &[u8], hole: usize, salt: Salt) -> Option<usize> {
    let tells_itself = |at: &usize| {
        let told = bytes.get(at + POSITION_AT..).and_then(|rest| rest.first_chunk());
        told.is_some_and(|told| u32::from_le_bytes(*told) as usize == *at)
    };
    // No frame begins in the zeros of the space that was allocated ahead.
    let written = bytes.chunks(ZEROS.len()).rposition(|run| *run != ZEROS[..run.len()]);
    let end = written.map_or(0, |last| bytes.len().min((last + 1) * ZEROS.len()));
    (hole + 1..end).filter(tells_itself).find(|at| {
        frame_at(bytes, *at, salt).is_ok_and(|frame| frame.header.durable.offset as usize > hole)
    })
}
