//! The bytes of a table: the grammar, the trailer of every block, and the footer.
//!
//! ```text
//! table      := data* ranges? filter? index properties footer      no gaps anywhere
//! block      := stored trailer
//! stored     := body                            compression 0
//!             | body length (u32) LZ4 of body   compression 1
//!
//! trailer, 8 bytes
//! offset size
//!      0    1  kind: 1 data, 2 ranges, 3 filter, 4 index, 5 properties
//!      1    1  compression: 0 none, 1 LZ4
//!      2    1  transform: 0
//!      3    1  zero
//!      4    4  checksum: CRC-32 of the database id and the table number in the footer, of the
//!              block's offset in the file (u64), of what is stored and of the four bytes above
//!
//! footer, 120 bytes, the last ones of the file
//! offset size
//!      0   16  database id that the table was born under
//!     16    8  table number
//!     24   16  ranges block: offset, length with its trailer; both 0 when there is none
//!     40   16  filter block: likewise
//!     56   16  index block: offset, length
//!     72   16  properties block: offset, length
//!     88    8  XXH3-64 of everything before the footer
//!     96    8  length of the file
//!    104    4  checksum: CRC-32 of the other 116 bytes of the footer
//!    108    4  format version: 3
//!    112    8  magic: "ICETABLE"
//! ```
//!
//! All fixed-size numbers are little-endian. The bodies have their homes in [`crate::block`],
//! [`crate::ranges`], [`crate::hash`], [`crate::filter`], [`crate::index`] and [`crate::summary`].
//!
//! A block is valid if and only if its checksum agrees, its kind is the one that its place asks
//! for, and compression, transform and zero are as above. A footer is valid if and only if magic
//! and checksum agree, the length is that of the file, and the blocks that it names follow one
//! another in this order and end where it begins. The length of the footer and the places of
//! checksum, version and magic are the same in every version, so that damage to the version can be
//! told from a newer format.
//!
//! The offset in a block's checksum makes two blocks that were swapped, or read from a wrong place,
//! invalid where they lie; the id and the number make those of every other table invalid here, at
//! the same offset too. A table keeps both for ever, wherever it is linked or copied to.
//!
//! In version 1 checksums knew the offset only; in version 2 keys shared bytes with the key before.
//! No reader of either is left.

use icecore_disk::Name;
use icecore_model::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use icecore_model::{DatabaseId, Malformed, Reader};

use crate::error::Error;
use crate::options::{Compression, TableId};

pub(crate) const TRAILER_BYTES: usize = 8;
pub(crate) const FOOTER_BYTES: usize = 120;

const MAGIC: [u8; 8] = *b"ICETABLE";
const VERSION: u32 = 3;
const CHECKSUM_AT: usize = 104;
const VERSION_AT: usize = 108;
const MAGIC_AT: usize = 112;

const COMPRESSION_NONE: u8 = 0;
const COMPRESSION_LZ4: u8 = 1;

/// The most bytes that a compressed block may claim to unpack to: the largest entry and a block
/// full of others.
pub(crate) const BODY_BYTES_MAX: usize = 80 << 20;

/// The largest value of [`crate::TableOptions::block_bytes`] that is obeyed.
pub(crate) const BLOCK_BYTES_MAX: usize = 1 << 20;

const _: () = assert!(KEY_BYTES_MAX + VALUE_BYTES_MAX + 2 * BLOCK_BYTES_MAX < BODY_BYTES_MAX);
const _: () = assert!(BODY_BYTES_MAX < u32::MAX as usize);

/// LZ4 turns one byte into at most this many.
const LZ4_EXPANSION_MAX: usize = 255;

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Data = 1,
    Ranges = 2,
    Filter = 3,
    Index = 4,
    Properties = 5,
}

/// Where a block lies, its trailer included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Handle {
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

impl Handle {
    /// The first byte after the block; `None` beyond all numbers.
    pub(crate) fn end(self) -> Option<u64> {
        self.offset.checked_add(self.bytes)
    }
}

/// What the checksums of a table's blocks begin with: which table it is.
#[derive(Clone, Debug)]
pub(crate) struct Seal(crc32fast::Hasher);

impl Seal {
    pub(crate) fn of(id: TableId) -> Seal {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&id.database.0);
        crc.update(&id.number.to_le_bytes());
        Seal(crc)
    }

    /// Appends the trailer to what is stored at the end of `out`, from `start` on.
    pub(crate) fn close(
        &self,
        out: &mut Vec<u8>,
        start: usize,
        offset: u64,
        kind: Kind,
        compression: Compression,
    ) {
        let compression = match compression {
            Compression::None => COMPRESSION_NONE,
            Compression::Lz4 => COMPRESSION_LZ4,
        };
        out.extend_from_slice(&[kind as u8, compression, 0, 0]);
        let checksum = self.checksum(offset, &out[start..]);
        out.extend_from_slice(&checksum.to_le_bytes());
    }

    /// The checksum of a block at `offset`.
    pub(crate) fn checksum(&self, offset: u64, stored_and_tags: &[u8]) -> u32 {
        let mut crc = self.at(offset);
        crc.update(stored_and_tags);
        crc.finalize()
    }

    fn at(&self, offset: u64) -> crc32fast::Hasher {
        let mut crc = self.0.clone();
        crc.update(&offset.to_le_bytes());
        crc
    }

    /// Where the block that begins with `bytes`, at `offset` of its file, ends: the first place at
    /// which a checksum agrees. `None` if there is no such place.
    pub(crate) fn block_end(&self, bytes: &[u8], offset: u64) -> Option<usize> {
        let checksum_bytes = size_of::<u32>();
        let tags = TRAILER_BYTES - checksum_bytes;
        let mut crc = self.at(offset);
        let mut covered = 0;
        for end in tags..bytes.len().saturating_sub(checksum_bytes - 1) {
            let [kind, compression, transform, zero] = *bytes.get(end - tags..)?.first_chunk()?;
            let is_trailer = (Kind::Data as u8..=Kind::Properties as u8).contains(&kind)
                && compression <= COMPRESSION_LZ4
                && transform == 0
                && zero == 0;
            // Most places are no trailer, so that the sum goes on in long strides.
            if is_trailer {
                crc.update(&bytes[covered..end]);
                covered = end;
                let stored = bytes.get(end..)?.first_chunk()?;
                if crc.clone().finalize() == u32::from_le_bytes(*stored) {
                    return Some(end + checksum_bytes);
                }
            }
        }
        None
    }
}

/// What is stored in the block `bytes`, if its trailer says that this is the body itself. Nothing is
/// verified.
#[inline]
pub(crate) fn uncompressed(bytes: &[u8]) -> Option<&[u8]> {
    let (stored, trailer) = bytes.split_last_chunk::<TRAILER_BYTES>()?;
    (trailer[1] == COMPRESSION_NONE).then_some(stored)
}

/// A block without its trailer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sealed<'a> {
    pub(crate) stored: &'a [u8],
    pub(crate) compression: Compression,
}

impl<'a> Sealed<'a> {
    /// Verifies the block `bytes`, trailer included, that lies at `offset` of the table of `seal`
    /// and must be a `kind`.
    pub(crate) fn verify(
        bytes: &'a [u8],
        seal: &Seal,
        file: Name,
        offset: u64,
        kind: Kind,
    ) -> Result<Sealed<'a>, Error> {
        let (stored, trailer) = bytes
            .split_last_chunk::<TRAILER_BYTES>()
            .ok_or_else(|| Error::corrupt(file, offset, "a block shorter than its trailer"))?;
        let [found_kind, compression, transform, zero, checksum @ ..] = *trailer;
        let covered = &bytes[..bytes.len() - checksum.len()];
        if seal.checksum(offset, covered) != u32::from_le_bytes(checksum) {
            return Err(Error::corrupt(file, offset, "the checksum of a block"));
        }
        if !(Kind::Data as u8..=Kind::Properties as u8).contains(&found_kind) {
            return Err(Error::unknown(file, format!("block kind {found_kind}")));
        }
        if found_kind != kind as u8 {
            return Err(Error::corrupt(file, offset, "a block of another kind"));
        }
        if transform != 0 || zero != 0 {
            return Err(Error::unknown(file, format!("block transform {transform}, {zero}")));
        }
        Ok(Sealed { stored, compression: known_compression(compression, file)? })
    }

    /// The body, as it was before it was compressed with LZ4.
    pub(crate) fn unpack(&self, file: Name, offset: u64) -> Result<Vec<u8>, Error> {
        let corrupt = |what| Error::corrupt(file, offset, what);
        let (length, packed) =
            self.stored.split_first_chunk::<4>().ok_or_else(|| corrupt("a packed length"))?;
        let length =
            usize::try_from(u32::from_le_bytes(*length)).map_err(|_| corrupt("a packed length"))?;
        let possible = packed.len().saturating_mul(LZ4_EXPANSION_MAX);
        if length > BODY_BYTES_MAX || length > possible {
            return Err(corrupt("a packed length"));
        }
        let mut body = vec![0; length];
        match lz4_flex::block::decompress_into(packed, &mut body) {
            Ok(unpacked) if unpacked == length => Ok(body),
            Ok(_) | Err(_) => Err(corrupt("LZ4")),
        }
    }
}

/// What is stored of `body`, a block and so below 4 GiB, if it is compressed with LZ4.
pub(crate) fn pack(body: &[u8]) -> Vec<u8> {
    // The size goes before the rest as the format wants it.
    lz4_flex::block::compress_prepend_size(body)
}

fn known_compression(code: u8, file: Name) -> Result<Compression, Error> {
    match code {
        COMPRESSION_NONE => Ok(Compression::None),
        COMPRESSION_LZ4 => Ok(Compression::Lz4),
        _ => Err(Error::unknown(file, format!("block compression {code}"))),
    }
}

/// The end of every table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) database: DatabaseId,
    pub(crate) number: u64,
    pub(crate) ranges: Option<Handle>,
    pub(crate) filter: Option<Handle>,
    pub(crate) index: Handle,
    pub(crate) properties: Handle,
    /// Of everything before the footer.
    pub(crate) hash: u64,
    /// The length of the file.
    pub(crate) bytes: u64,
}

impl Footer {
    /// What the checksums of the blocks begin with.
    pub(crate) fn seal(&self) -> Seal {
        Seal::of(TableId { database: self.database, number: self.number })
    }

    /// Where the data blocks end.
    pub(crate) fn data_end(&self) -> u64 {
        self.ranges.or(self.filter).unwrap_or(self.index).offset
    }

    pub(crate) fn encode(&self) -> [u8; FOOTER_BYTES] {
        let mut out = Vec::with_capacity(FOOTER_BYTES);
        out.extend_from_slice(&self.database.0);
        out.extend_from_slice(&self.number.to_le_bytes());
        let handles = [
            self.ranges.unwrap_or_default(),
            self.filter.unwrap_or_default(),
            self.index,
            self.properties,
        ];
        for handle in handles {
            out.extend_from_slice(&handle.offset.to_le_bytes());
            out.extend_from_slice(&handle.bytes.to_le_bytes());
        }
        out.extend_from_slice(&self.hash.to_le_bytes());
        out.extend_from_slice(&self.bytes.to_le_bytes());
        out.extend_from_slice(&[0; VERSION_AT - CHECKSUM_AT]);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&MAGIC);
        let mut out: [u8; FOOTER_BYTES] = out.try_into().expect("the fields fill the footer");
        let checksum = footer_checksum(&out);
        out[CHECKSUM_AT..VERSION_AT].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    /// Reads the footer of a file that is `file_bytes` long.
    pub(crate) fn decode(
        bytes: &[u8; FOOTER_BYTES],
        file: Name,
        file_bytes: u64,
    ) -> Result<Footer, Error> {
        let at = file_bytes.saturating_sub(FOOTER_BYTES as u64);
        if bytes[MAGIC_AT..] != MAGIC {
            return Err(Error::corrupt(file, at, "the footer does not end in the magic"));
        }
        let stored = u32::from_le_bytes(chunk(bytes, CHECKSUM_AT));
        if footer_checksum(bytes) != stored {
            return Err(Error::corrupt(file, at, "the checksum of the footer"));
        }
        let version = u32::from_le_bytes(chunk(bytes, VERSION_AT));
        if version != VERSION {
            return Err(Error::unknown(file, format!("table format version {version}")));
        }
        let footer = Footer::fields(bytes).map_err(Error::malformed(file, at))?;
        if !footer.fits(file_bytes) {
            return Err(Error::corrupt(file, at, "the footer contradicts the file"));
        }
        Ok(footer)
    }

    fn fields(bytes: &[u8; FOOTER_BYTES]) -> Result<Footer, Malformed> {
        let mut reader = Reader::new(bytes);
        let database = DatabaseId(reader.array("database id")?);
        let number = reader.u64("table number")?;
        let mut handle = || {
            let offset = reader.u64("block offset")?;
            Ok(Handle { offset, bytes: reader.u64("block length")? })
        };
        let present = |h: Handle| (h != Handle::default()).then_some(h);
        let (ranges, filter) = (present(handle()?), present(handle()?));
        let (index, properties) = (handle()?, handle()?);
        let hash = reader.u64("hash")?;
        let bytes = reader.u64("length")?;
        Ok(Footer { database, number, ranges, filter, index, properties, hash, bytes })
    }

    /// Whether the blocks follow one another and end where the footer begins.
    fn fits(&self, file_bytes: u64) -> bool {
        let blocks = [self.ranges, self.filter, Some(self.index), Some(self.properties)];
        let mut end = self.data_end();
        for block in blocks.into_iter().flatten() {
            if block.offset != end || block.bytes < TRAILER_BYTES as u64 {
                return false;
            }
            match block.end() {
                Some(next) => end = next,
                None => return false,
            }
        }
        self.bytes == file_bytes && end.checked_add(FOOTER_BYTES as u64) == Some(file_bytes)
    }
}

fn footer_checksum(bytes: &[u8; FOOTER_BYTES]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes[..CHECKSUM_AT]);
    crc.update(&bytes[VERSION_AT..]);
    crc.finalize()
}

/// The four bytes at `at`, a constant below the footer's length.
fn chunk(bytes: &[u8; FOOTER_BYTES], at: usize) -> [u8; 4] {
    std::array::from_fn(|i| bytes[at + i])
}
