//! The bytes of a segment.
//!
//! ```text
//! segment := header block, then frames up to the length that the header names
//! header block, little-endian:
//!   offset size
//!        0    8  magic "ICEWAL\r\n"
//!        8    4  format version, 1
//!       12    4  block bytes: a power of two from 512 to 32768
//!       16   16  database id
//!       32    4  number of the segment, as in the file's name
//!       36    4  segment bytes: a multiple of the block, at least two blocks
//!       40    8  salt of the frames
//!       48    8  last stamp issued before this segment, at most 2^63 - 1
//!       56    4  number of the predecessor
//!       60    4  final length of the predecessor; 0 if there is none
//!       64    8  last stamp of the predecessor
//!       72    8  XXH3 of bytes 0 to 72
//!       80       zeros up to the end of the block
//! frame  := see icecore_model::frame
//!   kind 1  commit: the payload is encoded effects, the stamp is the commit's own
//!   kind 2  beacon: no payload, the stamp is the last one before it
//!   kind 3  end: like a beacon; nothing follows it
//! ```
//!
//! A header is valid if and only if all of the above holds. A frame that verifies under the salt
//! is valid in a segment if and only if it begins where the frame before it ends, or on the next
//! block boundary with `padding` saying how many bytes (of no meaning) were skipped; its durable
//! position is not above its own; its kind is known; a commit's stamp is greater than every one
//! before it; and a beacon or an end has no payload and repeats the last stamp.
//!
//! The bytes behind the last frame mean nothing: zeros, or the frames of an earlier life of the
//! file under another salt. A file whose header does not verify, or names another number than the
//! file's name does, is an unused segment.

use icecore_model::frame::Salt;
use icecore_model::hash::hash64;
use icecore_model::{DatabaseId, Reader, Versionstamp};

/// The kind of a frame that holds a commit.
pub(crate) const COMMIT: u8 = 1;
/// The kind of a frame that only says what is durable.
pub(crate) const BEACON: u8 = 2;
/// The kind of the frame that closes the log.
pub(crate) const END: u8 = 3;

const MAGIC: [u8; 8] = *b"ICEWAL\r\n";
const VERSION: u32 = 1;
const CHECKED_BYTES: usize = 72;
const USED_BYTES: usize = 80;

/// The smallest block: a sector, the unit in which disks tear writes.
pub const BLOCK_BYTES_MIN: u32 = 512;
/// The largest block: a frame's `padding` has 16 bits.
pub const BLOCK_BYTES_MAX: u32 = 32 << 10;
const _: () = assert!(BLOCK_BYTES_MAX <= u16::MAX as u32);
const _: () = assert!(USED_BYTES <= BLOCK_BYTES_MIN as usize);

/// Where a segment's log ended: what its successor records about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Predecessor {
    /// The number of the segment.
    pub segment: u32,
    /// Its length up to the end of its last frame, in bytes.
    pub length: u32,
    /// The last stamp in it or before it.
    pub last: Versionstamp,
}

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) database: DatabaseId,
    pub(crate) number: u32,
    pub(crate) segment_bytes: u32,
    pub(crate) block_bytes: u32,
    pub(crate) salt: Salt,
    pub(crate) last: Versionstamp,
    pub(crate) predecessor: Option<Predecessor>,
}

/// Why bytes are not a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAHeader {
    /// Zeros, another kind of file, or damage.
    Invalid(&'static str),
    /// A header of a later format.
    Version(u32),
}

/// Whether a block can have this size.
pub(crate) fn is_block_size(bytes: u32) -> bool {
    bytes.is_power_of_two() && (BLOCK_BYTES_MIN..=BLOCK_BYTES_MAX).contains(&bytes)
}

impl Header {
    /// The bytes of the header, without the zeros that fill its block.
    pub(crate) fn encode(&self) -> [u8; USED_BYTES] {
        let predecessor = self.predecessor.unwrap_or(Predecessor {
            segment: 0,
            length: 0,
            last: Versionstamp::ZERO,
        });
        let mut bytes = [0; USED_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.block_bytes.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.database.0);
        bytes[32..36].copy_from_slice(&self.number.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.segment_bytes.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.salt.0.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.last.get().to_le_bytes());
        bytes[56..60].copy_from_slice(&predecessor.segment.to_le_bytes());
        bytes[60..64].copy_from_slice(&predecessor.length.to_le_bytes());
        bytes[64..72].copy_from_slice(&predecessor.last.get().to_le_bytes());
        let checksum = hash64(&bytes[..CHECKED_BYTES]);
        bytes[CHECKED_BYTES..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads the header at the start of a file.
    pub(crate) fn decode(file: &[u8]) -> Result<Header, NotAHeader> {
        let invalid = NotAHeader::Invalid;
        let used = file.get(..USED_BYTES).ok_or(invalid("the file is shorter than a header"))?;
        if used[..8] != MAGIC {
            return Err(invalid("there is no segment header"));
        }
        let version = u32::from_le_bytes([used[8], used[9], used[10], used[11]]);
        if version != VERSION {
            return Err(NotAHeader::Version(version));
        }
        let header = Header::fields(used).ok_or(invalid("the segment header is damaged"))?;
        let block = file.get(USED_BYTES..header.block_bytes as usize);
        if !block.is_some_and(|rest| rest.iter().all(|byte| *byte == 0)) {
            return Err(invalid("the header block is damaged"));
        }
        Ok(header)
    }

    /// The fields behind the version; `None` if they are damaged or contradict each other.
    fn fields(used: &[u8]) -> Option<Header> {
        let mut reader = Reader::new(&used[12..]);
        let block_bytes = reader.u32("block bytes").ok()?;
        let database = DatabaseId(reader.bytes(16, "database id").ok()?.try_into().ok()?);
        let number = reader.u32("number").ok()?;
        let segment_bytes = reader.u32("segment bytes").ok()?;
        let salt = Salt(reader.u64("salt").ok()?);
        let last = Versionstamp::new(reader.u64("last stamp").ok()?);
        let segment = reader.u32("predecessor").ok()?;
        let length = reader.u32("predecessor length").ok()?;
        let stamp = Versionstamp::new(reader.u64("predecessor stamp").ok()?);
        let checksum = reader.u64("checksum").ok()?;
        let sizes = is_block_size(block_bytes)
            && segment_bytes.is_multiple_of(block_bytes)
            && segment_bytes / block_bytes >= 2
            && last <= Versionstamp::ISSUED_MAX;
        let predecessor = match (segment, length, stamp.get()) {
            (0, 0, 0) => None,
            (_, 0, _) => return None,
            _ => Some(Predecessor { segment, length, last: stamp }),
        };
        let header =
            Header { database, number, segment_bytes, block_bytes, salt, last, predecessor };
        (sizes && checksum == hash64(&used[..CHECKED_BYTES])).then_some(header)
    }
}

/// The first block boundary at or above `offset`.
pub(crate) fn align_up(offset: u64, block_bytes: u32) -> u64 {
    offset.next_multiple_of(u64::from(block_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            database: DatabaseId([7; 16]),
            number: 3,
            segment_bytes: 4096,
            block_bytes: 512,
            salt: Salt(0x0123_4567_89ab_cdef),
            last: Versionstamp::new(90),
            predecessor: Some(Predecessor {
                segment: 2,
                length: 1000,
                last: Versionstamp::new(80),
            }),
        }
    }

    fn block(header: &Header) -> Vec<u8> {
        let mut block = header.encode().to_vec();
        block.resize(header.block_bytes as usize, 0);
        block
    }

    #[test]
    fn a_header_reads_back() {
        for header in [header(), Header { predecessor: None, ..header() }] {
            assert_eq!(Header::decode(&block(&header)), Ok(header));
        }
    }

    #[test]
    fn the_bytes_of_a_header_are_these() {
        let expected = "\
            494345 57414c 0d0a 01000000 00020000\
            07070707070707070707070707070707\
            03000000 00100000 efcdab8967452301 5a00000000000000\
            02000000 e8030000 5000000000000000";
        let expected: String = expected.split_whitespace().collect();
        let bytes = header().encode();
        let hex: String = bytes[..CHECKED_BYTES].iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, expected);
    }

    #[test]
    fn damage_to_any_bit_of_the_header_block_is_noticed() {
        let good = block(&header());
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let answer = Header::decode(&bad);
            if (64..96).contains(&bit) {
                assert!(matches!(answer, Err(NotAHeader::Version(_))), "bit {bit}");
            } else {
                assert!(matches!(answer, Err(NotAHeader::Invalid(_))), "bit {bit}");
            }
        }
    }

    #[test]
    fn a_part_of_a_header_block_is_no_header() {
        let good = block(&header());
        for length in 0..good.len() {
            assert!(Header::decode(&good[..length]).is_err(), "{length} bytes");
        }
        assert!(Header::decode(&[0; 4096]).is_err());
    }

    #[test]
    fn sizes_that_contradict_each_other_are_refused_although_the_checksum_agrees() {
        for (block_bytes, segment_bytes) in [(0, 4096), (500, 4000), (512, 512), (512, 1000)] {
            let bad = Header { block_bytes, segment_bytes, ..header() };
            let mut bytes = bad.encode().to_vec();
            bytes.resize(65_536, 0);
            assert!(matches!(Header::decode(&bytes), Err(NotAHeader::Invalid(_))));
        }
    }
}
