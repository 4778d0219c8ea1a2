//! Segments of the log, written by the words of their format, without the log's own code: what the
//! fuzz targets hand to recovery.

use std::sync::Arc;

use icecore_disk::Name;
use icecore_disk::sim::{Rules, SimDisk};
use icecore_model::frame::{FrameHeader, HEADER_BYTES, Salt};
use icecore_model::hash::hash64;
use icecore_model::{DatabaseId, LogPosition, Versionstamp};
use icecore_wal::{Error, Recovery, recover};

pub(crate) const DATABASE: DatabaseId = DatabaseId([7; 16]);
/// The number of the segment.
pub(crate) const NUMBER: u32 = 3;
pub(crate) const COMMIT: u8 = 1;
pub(crate) const BEACON: u8 = 2;
pub(crate) const END: u8 = 3;

const USED_BYTES: usize = 80;

/// The header block of a segment without a predecessor.
pub(crate) fn header_block(block: usize, segment: usize, salt: Salt, last: u64) -> Vec<u8> {
    let mut out = b"ICEWAL\r\n".to_vec();
    out.extend_from_slice(&1u32.to_le_bytes());
    out.extend_from_slice(&number(block).to_le_bytes());
    out.extend_from_slice(&DATABASE.0);
    out.extend_from_slice(&NUMBER.to_le_bytes());
    out.extend_from_slice(&number(segment).to_le_bytes());
    out.extend_from_slice(&salt.0.to_le_bytes());
    out.extend_from_slice(&last.to_le_bytes());
    out.extend_from_slice(&[0; 16]);
    let checksum = hash64(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    assert_eq!(out.len(), USED_BYTES);
    out.resize(block, 0);
    out
}

/// A place in a segment.
pub(crate) fn number(at: usize) -> u32 {
    u32::try_from(at).expect("segments are small here")
}

/// A frame as it is appended to an image.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) kind: u8,
    pub(crate) padding: u16,
    pub(crate) stamp: u64,
    /// Everything in the segment below this offset was durable.
    pub(crate) durable: u32,
    pub(crate) payload: Vec<u8>,
}

impl Made {
    /// Appends the frame to `image`, at whose end it lies.
    pub(crate) fn append(&self, image: &mut Vec<u8>, salt: Salt) {
        let header = FrameHeader {
            kind: self.kind,
            padding: self.padding,
            position: number(image.len()),
            stamp: Versionstamp::new(self.stamp),
            clock_ms: self.stamp / 2,
            durable: LogPosition::new(NUMBER, self.durable),
        };
        image.extend_from_slice(&header.encode(&self.payload, salt));
        image.extend_from_slice(&self.payload);
    }

    /// How many bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        HEADER_BYTES + self.payload.len()
    }
}

/// What recovery gives: the commits that it applied, and how it ended.
pub(crate) type Recovered = (Vec<(u64, Vec<u8>)>, Result<Recovery, Error>);

/// A machine at rest on which `file` is the segment.
pub(crate) fn machine(file: &[u8]) -> Arc<SimDisk> {
    let disk = SimDisk::new(1, Rules::none());
    disk.kill();
    disk.write_file(Name::Wal(u64::from(NUMBER)), file);
    disk.reopen()
}

/// Recovers the segment `file` of `database`.
pub(crate) fn recovered(file: &[u8], database: DatabaseId) -> Recovered {
    let disk = machine(file);
    let mut commits = Vec::new();
    let ended = recover(&*disk, database, &[NUMBER], Versionstamp::ZERO, &mut |commit| {
        commits.push((commit.stamp.get(), commit.effects.to_vec()));
        Ok(())
    });
    (commits, ended)
}
