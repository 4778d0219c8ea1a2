//! A group: the frames of several commits that go to the disk in one write.
//!
//! 1. A group with a durable frame starts on a block boundary and is padded to one, so its write
//!    shares no block with any other.
//! 2. A buffered group may *continue* in the last block of a buffered neighbour. It is submitted
//!    only when the neighbour's write is complete, and it repeats nothing: the bytes before its
//!    start stay as they are.

use icecore_disk::Buffer;
use icecore_model::frame::{FrameHeader, Salt};
use icecore_model::{LogPosition, Versionstamp};

use crate::format::align_up;

/// The usual capacity of a group, in a segment that is larger: large enough that the cost of one
/// write vanishes in it. A multiple of every block size, so that padding always fits.
pub(crate) const GROUP_BYTES: usize = 256 << 10;

/// Frames that are not submitted yet.
#[derive(Debug)]
pub(crate) struct Group {
    /// Where its first frame begins.
    pub(crate) start: LogPosition,
    /// Whether it begins inside a block that its neighbour wrote.
    pub(crate) continues: bool,
    /// Whether any of its frames must be durable.
    pub(crate) durable: bool,
    /// Whether no frame may join it any more.
    pub(crate) closed: bool,
    /// The last stamp at or before its end.
    pub(crate) last: Versionstamp,
    capacity: usize,
    buffer: Buffer,
}

impl Group {
    /// An empty group at `start` that holds at most `capacity` bytes in `buffer`.
    pub(crate) fn new(
        start: LogPosition,
        continues: bool,
        buffer: Buffer,
        capacity: usize,
    ) -> Group {
        assert!(buffer.is_empty() && capacity <= buffer.capacity(), "a group starts empty");
        let last = Versionstamp::ZERO;
        Group { start, continues, durable: false, closed: false, last, capacity, buffer }
    }

    /// Whether a frame of `bytes` can join.
    pub(crate) fn takes(&self, bytes: usize, durable: bool) -> bool {
        let shares_a_block = durable && self.continues;
        !self.closed && !shares_a_block && bytes <= self.capacity - self.buffer.len()
    }

    /// Appends a frame.
    pub(crate) fn push(&mut self, header: &FrameHeader, payload: &[u8], salt: Salt, durable: bool) {
        self.buffer.extend(&header.encode(payload, salt));
        self.buffer.extend(payload);
        self.durable |= durable;
        self.last = header.stamp;
    }

    /// Where its last frame ends.
    pub(crate) fn end(&self) -> LogPosition {
        let bytes = u32::try_from(self.buffer.len()).expect("a group fits in a segment");
        LogPosition { offset: self.start.offset + bytes, ..self.start }
    }

    /// The bytes to write, padded if they must be durable.
    pub(crate) fn into_buffer(mut self, block_bytes: u32) -> Buffer {
        if self.durable {
            let padded = align_up(self.buffer.len() as u64, block_bytes);
            self.buffer.pad_to(usize::try_from(padded).expect("a group fits in memory"));
        }
        self.buffer
    }
}
