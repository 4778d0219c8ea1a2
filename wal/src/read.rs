//! Reading a segment: its header, and its frames one after the other.

use std::io;

use icecore_disk::{Disk, File, OpenMode};
use icecore_model::frame::{Frame, POSITION_AT};
use icecore_model::{DatabaseId, Planted, planted};

use crate::Error;
use crate::format::{BEACON, COMMIT, END, Header, NotAHeader, align_up};
use crate::segment;

/// How much is asked of the disk at once, so that memory follows what is really there.
const CHUNK_BYTES: usize = 1 << 20;

/// What is given up at once where the disk refuses a read.
const PIECE_BYTES: usize = 512;

/// A segment in memory.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) header: Header,
    /// The whole segment, from its header to the length that the header names.
    bytes: Vec<u8>,
}

/// A frame and the place of its first byte.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed<'a> {
    pub(crate) frame: Frame<'a>,
    pub(crate) start: u32,
}

impl Placed<'_> {
    /// The place behind its last byte.
    pub(crate) fn end(&self) -> u32 {
        let bytes = u32::try_from(self.frame.bytes()).expect("a frame fits in its segment");
        self.start + bytes
    }
}

impl Image {
    /// Reads the segment `number` of `database`, which must be there and be what its name says.
    pub(crate) fn load(disk: &dyn Disk, database: DatabaseId, number: u32) -> Result<Image, Error> {
        let bytes = read_file(disk, number)?;
        Image::from_bytes(bytes, database, number)
    }

    /// As [`Image::load`], but of whichever store if `database` is `None`, and past what the disk
    /// does not give: zeros stand for it.
    pub(crate) fn load_around(
        disk: &dyn Disk,
        database: Option<DatabaseId>,
        number: u32,
    ) -> Result<Image, Error> {
        let bytes = read_with(disk, number, &mut read_around)?;
        let owner = || Header::decode(&bytes).ok().map(|header| header.database);
        // Without a header the answer is the same for every store.
        let database = database.or_else(owner).unwrap_or(DatabaseId([0; 16]));
        Image::from_bytes(bytes, database, number)
    }

    pub(crate) fn from_bytes(
        mut bytes: Vec<u8>,
        database: DatabaseId,
        number: u32,
    ) -> Result<Image, Error> {
        let file = segment::name(number);
        let corrupt = |what, offset| Error::Corrupt { file, offset, what };
        let header = Header::decode(&bytes).map_err(|error| match error {
            NotAHeader::Invalid(what) => corrupt(what, 0),
            NotAHeader::Version(version) => Error::UnknownFormat { file, version },
        })?;
        if header.database != database {
            return Err(corrupt("the segment belongs to another store", 16));
        }
        if header.number != number {
            return Err(corrupt("the segment has another number than its name", 32));
        }
        if bytes.len() < header.segment_bytes as usize {
            let end = bytes.len() as u64;
            return Err(corrupt("the segment is shorter than its header says", end));
        }
        bytes.truncate(header.segment_bytes as usize);
        Ok(Image { header, bytes })
    }

    /// The frame that follows one which ends at `end`.
    pub(crate) fn after(&self, end: u32) -> Option<Placed<'_>> {
        let direct = self.at(end).filter(|placed| placed.frame.header.padding == 0);
        let direct = direct.or_else(|| {
            let start = u32::try_from(self.align_up(end)).ok()?;
            self.at(start).filter(|p| u32::from(p.frame.header.padding) == start - end)
        });
        if direct.is_none() && planted(Planted::HoleSkipped) {
            return self.boundaries(end).find_map(|boundary| self.at(boundary));
        }
        direct
    }

    /// The frame at `start`, if one verifies there.
    pub(crate) fn at(&self, start: u32) -> Option<Placed<'_>> {
        let frame = Frame::decode(self.rest(start)?, start, self.header.salt).ok()?;
        Some(Placed { frame, start })
    }

    /// The first frame that begins at or above `from` and is `wanted`, wherever that is. A frame
    /// tells its own place, so that hardly any other byte needs a second look.
    pub(crate) fn search(
        &self,
        from: u32,
        wanted: impl Fn(&Placed<'_>) -> bool,
    ) -> Option<Placed<'_>> {
        let tells_itself = |start: &u32| {
            let told = self.rest(*start).and_then(|rest| rest.get(POSITION_AT..)?.first_chunk());
            told.is_some_and(|told| u32::from_le_bytes(*told) == *start)
        };
        let candidates = (from..self.header.segment_bytes).filter(tells_itself);
        candidates.filter_map(|start| self.at(start)).find(wanted)
    }

    /// The block boundaries at or above `end`.
    pub(crate) fn boundaries(&self, end: u32) -> impl Iterator<Item = u32> {
        let first = self.align_up(end);
        let step = self.header.block_bytes as usize;
        let boundaries = (first..u64::from(self.header.segment_bytes)).step_by(step);
        boundaries.map(|b| u32::try_from(b).expect("it lies in the segment"))
    }

    fn align_up(&self, offset: u32) -> u64 {
        align_up(u64::from(offset), self.header.block_bytes)
    }

    /// All of it.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn rest(&self, start: u32) -> Option<&[u8]> {
        self.bytes.get(start as usize..)
    }
}

/// Whether a frame of this kind may have this payload.
pub(crate) fn is_known(frame: &Frame<'_>) -> bool {
    match frame.header.kind {
        COMMIT => true,
        BEACON | END => frame.payload.is_empty(),
        _ => false,
    }
}

fn read_file(disk: &dyn Disk, number: u32) -> Result<Vec<u8>, Error> {
    read_with(disk, number, &mut |file, offset, chunk| file.read_full_at(offset, chunk))
}

/// How far `chunk` was filled from this place of the file.
type ReadChunk<'a> = dyn FnMut(&dyn File, u64, &mut [u8]) -> io::Result<usize> + 'a;

/// Leaves zeros where the disk refuses a read.
fn read_around(file: &dyn File, offset: u64, chunk: &mut [u8]) -> io::Result<usize> {
    if let Ok(read) = file.read_full_at(offset, chunk) {
        return Ok(read);
    }
    let left = usize::try_from(file.len()?.saturating_sub(offset)).unwrap_or(usize::MAX);
    let present = left.min(chunk.len());
    for (piece, at) in chunk[..present].chunks_mut(PIECE_BYTES).zip((offset..).step_by(PIECE_BYTES))
    {
        if file.read_full_at(at, piece).is_err() {
            piece.fill(0);
        }
    }
    Ok(present)
}

fn read_with(
    disk: &dyn Disk,
    number: u32,
    read_chunk: &mut ReadChunk<'_>,
) -> Result<Vec<u8>, Error> {
    let file = segment::name(number);
    let handle = match disk.open(file, OpenMode::Read) {
        Ok(handle) => handle,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let what = "the segment is missing";
            return Err(Error::Corrupt { file, offset: 0, what });
        }
        Err(error) => return Err(Error::Io { file, operation: "open", source: error }),
    };
    let length = handle.len().map_err(|e| Error::Io { file, operation: "measure", source: e })?;
    // A segment's places have 32 bits: what lies above belongs to none.
    let mut length = usize::try_from(length.min(u64::from(u32::MAX))).unwrap_or(usize::MAX);
    let mut bytes = Vec::new();
    loop {
        let done = bytes.len();
        let asked = CHUNK_BYTES.min(length - done);
        bytes.resize(done + asked, 0);
        let read = read_chunk(&*handle, done as u64, &mut bytes[done..]);
        let read = read.map_err(|e| Error::Io { file, operation: "read", source: e })?;
        bytes.truncate(done + read);
        if done == 0 {
            // What lies behind the segment is not read, nor anything behind what is no header.
            let told = Header::decode(&bytes).map_or(0, |header| header.segment_bytes as usize);
            length = length.min(told.max(read));
        }
        if read < asked || bytes.len() >= length {
            return Ok(bytes);
        }
    }
}
