//! Checksummed records: one frame is one commit in the log, or one edit in the manifest.
//!
//! ```text
//! offset size
//!      0    4  checksum: CRC-32 of the file's salt (8 bytes) and of everything from offset 4 on
//!      4    4  length of the frame in bytes, this header included
//!      8    1  kind, with a meaning of its own in each file
//!      9    1  zero
//!     10    2  padding: bytes of no meaning between the previous frame's end and this frame
//!     12    4  position of this frame: bytes from the start of the file
//!     16    8  versionstamp
//!     24    8  clock reading, milliseconds since the epoch
//!     32    8  durable position: everything below it was durable when this frame was written
//!     40       payload
//! ```
//!
//! All numbers are little-endian. A frame is valid at a position if and only if its length lies
//! between the header's and what is left, byte 9 is zero, the position is its own, and the
//! checksum agrees under the file's salt. The salt is random and never shown, so no value can
//! imitate a frame; the position keeps a frame from counting anywhere but where it was written.

use std::fmt;

use crate::planted::{Planted, planted};
use crate::position::LogPosition;
use crate::read::Reader;
use crate::stamp::Versionstamp;

/// The bytes before the payload.
pub const HEADER_BYTES: usize = 40;
/// Where a frame tells its own position, in bytes from its start.
pub const POSITION_AT: usize = 12;

/// The secret of one file that is mixed into the checksums of its frames.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt(pub u64);

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(…)")
    }
}

/// Everything in a frame's header but what follows from its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// What the payload is.
    pub kind: u8,
    /// Bytes of no meaning between the previous frame's end and this frame.
    pub padding: u16,
    /// Bytes from the start of the file to this frame.
    pub position: u32,
    /// The stamp of the commit, or the last one before this frame.
    pub stamp: Versionstamp,
    /// The clock at the commit, in milliseconds since the epoch.
    pub clock_ms: u64,
    /// Everything below was durable when the frame was written.
    pub durable: LogPosition,
}

/// A frame read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its header.
    pub header: FrameHeader,
    /// Its content.
    pub payload: &'a [u8],
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAFrame {
    /// Fewer bytes than a header are left, or fewer than the length says.
    TooShort,
    /// The header contradicts itself or its place.
    Header,
    /// The checksum does not agree.
    Checksum,
}

impl FrameHeader {
    /// The header's bytes for this payload, checksum included.
    ///
    /// # Panics
    /// If the frame would be longer than 32 bits can say: callers keep to
    /// [`COMMIT_BYTES_MAX`](crate::limits::COMMIT_BYTES_MAX).
    pub fn encode(&self, payload: &[u8], salt: Salt) -> [u8; HEADER_BYTES] {
        let length = u32::try_from(HEADER_BYTES + payload.len()).expect("a frame fits in 32 bits");
        let mut bytes = [0; HEADER_BYTES];
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        bytes[8] = self.kind;
        bytes[10..12].copy_from_slice(&self.padding.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.position.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.stamp.get().to_le_bytes());
        bytes[24..32].copy_from_slice(&self.clock_ms.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.durable.to_u64().to_le_bytes());
        let checksum = checksum(&bytes[4..], payload, salt);
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }
}

impl<'a> Frame<'a> {
    /// Reads the frame at the start of `bytes`, which lie at `position` in their file.
    pub fn decode(bytes: &'a [u8], position: u32, salt: Salt) -> Result<Frame<'a>, NotAFrame> {
        let (stored, length, header) = decode_header(bytes).ok_or(NotAFrame::TooShort)?;
        if length < HEADER_BYTES || bytes[9] != 0 || header.position != position {
            return Err(NotAFrame::Header);
        }
        let frame = bytes.get(..length).ok_or(NotAFrame::TooShort)?;
        let payload = &frame[HEADER_BYTES..];
        let checked = checksum(&frame[4..HEADER_BYTES], payload, salt) == stored;
        if !checked && !planted(Planted::ChecksumUnchecked) {
            return Err(NotAFrame::Checksum);
        }
        Ok(Frame { header, payload })
    }

    /// The length of the frame in bytes.
    pub fn bytes(&self) -> usize {
        HEADER_BYTES + self.payload.len()
    }
}

fn decode_header(bytes: &[u8]) -> Option<(u32, usize, FrameHeader)> {
    let mut reader = Reader::new(bytes.get(..HEADER_BYTES)?);
    let stored = reader.u32("checksum").ok()?;
    let length = usize::try_from(reader.u32("length").ok()?).ok()?;
    let kind = reader.u8("kind").ok()?;
    reader.u8("zero").ok()?;
    let header = FrameHeader {
        kind,
        padding: reader.u16("padding").ok()?,
        position: reader.u32("position").ok()?,
        stamp: Versionstamp::new(reader.u64("stamp").ok()?),
        clock_ms: reader.u64("clock").ok()?,
        durable: LogPosition::from_u64(reader.u64("durable").ok()?),
    };
    Some((stored, length, header))
}

fn checksum(header: &[u8], payload: &[u8], salt: Salt) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&salt.0.to_le_bytes());
    crc.update(header);
    crc.update(payload);
    crc.finalize()
}

#[cfg(test)]
mod tests;
