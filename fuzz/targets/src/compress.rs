//! Any bytes as a compressed block; and any body compressed and back.
//!
//! 1. Unpacking ends in an error or in exactly as many bytes as the block announces.
//! 2. It never holds more than 255 times its input, which is what LZ4 can do, and a margin.
//! 3. What was packed unpacks to the same bytes.

use icecore_sstable::parts::{build_packed, unpack};

use crate::allocation::{MARGIN_BYTES, bounded_by};

/// One byte of LZ4 stands for at most so many.
const EXPANSION_MAX: usize = 255;

/// # Panics
/// When a property does not hold.
pub fn run(bytes: &[u8]) {
    let unpacked = bounded_by(EXPANSION_MAX * bytes.len() + MARGIN_BYTES, || unpack(bytes));
    if let Ok(body) = unpacked {
        let announced = bytes.first_chunk().map(|length| u32::from_le_bytes(*length) as usize);
        assert_eq!(Some(body.len()), announced);
    }
    let stored = build_packed(bytes);
    assert_eq!(unpack(&stored).expect("what was packed is unpacked"), bytes);
    // The same with runs, which real bodies are full of.
    let repeated = bytes.repeat(1 + bytes.len() % 7);
    let stored = build_packed(&repeated);
    assert_eq!(unpack(&stored).expect("what was packed is unpacked"), repeated);
}
