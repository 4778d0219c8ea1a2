//! Places in the log.

use std::fmt;

/// A place in the log: a segment and a byte within it. Positions grow along the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPosition {
    /// The number of the segment.
    pub segment: u32,
    /// Bytes from the start of the segment's file.
    pub offset: u32,
}

impl LogPosition {
    /// A place in the segment `segment`.
    pub const fn new(segment: u32, offset: u32) -> LogPosition {
        LogPosition { segment, offset }
    }

    /// Both numbers in one, in an order-preserving way.
    pub const fn to_u64(self) -> u64 {
        (self.segment as u64) << 32 | self.offset as u64
    }

    /// The inverse of [`LogPosition::to_u64`].
    #[expect(clippy::cast_possible_truncation, reason = "the two halves are taken apart")]
    pub const fn from_u64(both: u64) -> LogPosition {
        LogPosition { segment: (both >> 32) as u32, offset: both as u32 }
    }
}

impl fmt::Display for LogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.segment, self.offset)
    }
}
