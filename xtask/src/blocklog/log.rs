//! The log of a block device, as qemu's `blklogwrites` and Linux's `dm-log-writes` write it.
//!
//! A header of one sector, then entries. An entry is a header of one sector, and the data that was
//! written, unless it was discarded:
//!
//! ```text
//! header   magic u64, version u64, entries u64, bytes of a sector u32
//! entry    sector u64, sectors u64, flags u64, bytes of a message u64
//! ```
//!
//! All numbers are little-endian.

use icecore_model::Malformed;
use icecore_model::read::Reader;

/// The first number of a log.
const MAGIC: u64 = 0x006a_7366_7773_6872;

/// The only version there is.
const VERSION: u64 = 1;

/// Where the header says how many entries there are.
pub(crate) const ENTRIES_AT: u64 = 16;

/// What the device is told before the data, if any: all that was written until now is durable.
const FLUSH: u64 = 1;
/// The sectors are not needed any more.
const DISCARD: u64 = 4;

/// What happened on the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where, in bytes.
    pub(super) offset: u64,
    /// What was written; empty for a flush alone.
    pub(super) data: Vec<u8>,
    /// Everything before this entry is durable once it is done.
    pub(super) flush: bool,
}

/// All entries that the header of `log` counts.
pub(super) fn parse(log: &[u8]) -> Result<Vec<Entry>, Malformed> {
    let mut reader = Reader::new(log);
    let [magic, version] = [reader.u64("magic")?, reader.u64("version")?];
    if magic != MAGIC || version != VERSION {
        return Err(reader.malformed("not a log of a block device"));
    }
    let count = reader.u64("entries")?;
    let sector = reader.u32("sector")? as usize;
    if !sector.is_power_of_two() || !(512..=4096).contains(&sector) {
        return Err(reader.malformed("the size of a sector"));
    }
    reader.bytes(sector - reader.offset(), "header")?;
    let mut entries = Vec::new();
    for _ in 0..count {
        let [at, sectors] = [reader.u64("place")?, reader.u64("sectors")?];
        let [flags, message] = [reader.u64("flags")?, reader.u64("message")?];
        reader.bytes(sector - 32, "entry")?;
        if message != 0 {
            return Err(reader.malformed("a message, which nobody has asked for"));
        }
        let bytes = usize::try_from(sectors).ok().and_then(|n| n.checked_mul(sector));
        let bytes = bytes.ok_or_else(|| reader.malformed("length"))?;
        let offset = at.checked_mul(sector as u64).ok_or_else(|| reader.malformed("place"))?;
        // What a device gives for discarded sectors is its own affair: here they keep their bytes.
        let data = if flags & DISCARD == 0 { reader.bytes(bytes, "data")? } else { &[] };
        entries.push(Entry { offset, data: data.to_vec(), flush: flags & FLUSH != 0 });
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sector_of(numbers: &[u64]) -> Vec<u8> {
        let mut bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        bytes.resize(512, 0);
        bytes
    }

    fn log() -> Vec<u8> {
        [
            sector_of(&[MAGIC, VERSION, 3, 512]),
            sector_of(&[8, 2, 0, 0]),
            vec![7; 1024],
            sector_of(&[0, 0, FLUSH, 0]),
            sector_of(&[16, 64, DISCARD, 0]),
        ]
        .concat()
    }

    #[test]
    fn a_log_is_its_writes_and_flushes() {
        let written = Entry { offset: 4096, data: vec![7; 1024], flush: false };
        let flush = Entry { offset: 0, data: Vec::new(), flush: true };
        let discarded = Entry { offset: 8192, data: Vec::new(), flush: false };
        assert_eq!(parse(&log()).unwrap(), [written, flush, discarded]);
    }

    #[test]
    fn a_log_that_ends_too_early_or_is_none_is_refused() {
        let log = log();
        for cut in 0..log.len() {
            assert!(parse(&log[..cut]).is_err(), "{cut}");
        }
        let huge = [sector_of(&[MAGIC, VERSION, 1, 512]), sector_of(&[0, u64::MAX, 0, 0])].concat();
        assert!(parse(&huge).is_err());
        assert!(parse(&[0; 4096]).is_err());
    }
}
