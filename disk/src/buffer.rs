//! Bytes whose start is aligned for direct writes.
//!
//! The alignment is reached by leaving a gap at the front of an ordinary vector, so it needs no
//! unsafe code; the capacity is fixed when the buffer is made, because growing would move it.

use std::fmt;
use std::ops::Deref;

/// Direct I/O asks for this alignment on every disk that matters.
const ALIGNMENT: usize = 4096;

/// A growable run of bytes with an aligned start and a fixed capacity.
#[derive(Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

impl Buffer {
    /// An empty buffer that can hold `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Buffer {
        let mut bytes: Vec<u8> = Vec::with_capacity(capacity + ALIGNMENT);
        let start = bytes.as_ptr().align_offset(ALIGNMENT);
        bytes.resize(start, 0);
        Buffer { bytes, start }
    }

    /// How many bytes fit in all.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity() - self.start
    }

    /// Appends `data`.
    ///
    /// # Panics
    /// When it does not fit: growing would lose the alignment.
    pub fn extend(&mut self, data: &[u8]) {
        assert!(data.len() <= self.capacity() - self.len(), "a buffer does not grow");
        self.bytes.extend_from_slice(data);
    }

    /// Appends zeros up to the length `len`; does nothing if it is that long already.
    ///
    /// # Panics
    /// When it does not fit.
    pub fn pad_to(&mut self, len: usize) {
        assert!(len <= self.capacity(), "a buffer does not grow");
        if len > self.len() {
            self.bytes.resize(self.start + len, 0);
        }
    }

    /// Empties it, keeping the memory.
    pub fn clear(&mut self) {
        self.bytes.truncate(self.start);
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

impl From<&[u8]> for Buffer {
    fn from(data: &[u8]) -> Buffer {
        let mut buffer = Buffer::with_capacity(data.len());
        buffer.extend(data);
        buffer
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} of {} bytes)", self.len(), self.capacity())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_stays_aligned_and_the_content_is_what_was_put_in() {
        let mut buffer = Buffer::with_capacity(10_000);
        for round in 0..3u8 {
            assert_eq!(buffer.as_ptr().align_offset(ALIGNMENT), 0);
            buffer.extend(&[round; 700]);
            buffer.pad_to(1024);
            buffer.pad_to(5);
            assert_eq!(buffer.len(), 1024);
            assert!(buffer[..700].iter().all(|b| *b == round));
            assert!(buffer[700..].iter().all(|b| *b == 0));
            buffer.clear();
            assert!(buffer.is_empty());
        }
    }

    #[test]
    #[should_panic(expected = "does not grow")]
    fn more_than_fits_is_refused() {
        let mut buffer = Buffer::with_capacity(100);
        let all = vec![1; buffer.capacity() + 1];
        buffer.extend(&all);
    }
}
