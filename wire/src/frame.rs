//! The frames of a watch stream: the length of a message in four bytes, little-endian, and the
//! message. A length of zero is a ping.
//!
//! 1. A [`Decoder`] takes any bytes in any pieces, and never panics.
//! 2. It holds what it was given and has not given away: no length in the stream makes it allocate,
//!    and no frame longer than its limit is ever collected.

use std::error;
use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

/// Says that the stream is alive.
pub const PING: Bytes = Bytes::from_static(&[0; LENGTH_BYTES]);

/// The longest message of a frame that clients take: ten of the largest entries many times over.
pub const FRAME_BYTES_MAX: usize = 16 << 20;

const LENGTH_BYTES: usize = size_of::<u32>();

/// The frame of `message`.
///
/// ```
/// use icecore_wire::frame::encode;
/// use icecore_wire::message::{WatchOutput, read_status};
///
/// let output = WatchOutput { status: read_status::SUCCESS, ..WatchOutput::default() };
/// assert_eq!(encode(&output)[..], [2, 0, 0, 0, 0x08, 0x01]);
/// ```
///
/// # Panics
/// For a message of more than 4 GiB.
pub fn encode(message: &impl Message) -> Bytes {
    let bytes = message.encoded_len();
    let length = u32::try_from(bytes).expect("a message of gigabytes");
    let mut frame = BytesMut::with_capacity(LENGTH_BYTES + bytes);
    frame.put_u32_le(length);
    message.encode(&mut frame).expect("a buffer of bytes grows as needed");
    frame.freeze()
}

/// What a stream of frames consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The stream is alive.
    Ping,
    /// The bytes of a message.
    Message(Bytes),
}

/// Cuts a stream into frames, as it comes.
///
/// ```
/// use icecore_wire::frame::{Decoder, Frame};
///
/// let mut decoder = Decoder::new(100);
/// decoder.put(&[3, 0, 0, 0, b'o', b'n']);
/// assert_eq!(decoder.next_frame()?, None);
/// decoder.put(&[b'e', 0, 0, 0, 0]);
/// assert_eq!(decoder.next_frame()?, Some(Frame::Message("one".into())));
/// assert_eq!(decoder.next_frame()?, Some(Frame::Ping));
/// assert_eq!(decoder.next_frame()?, None);
/// # Ok::<(), icecore_wire::frame::TooLong>(())
/// ```
#[derive(Clone, Debug)]
pub struct Decoder {
    buffer: BytesMut,
    message_bytes_max: usize,
}

impl Decoder {
    /// A decoder that refuses messages of more than `message_bytes_max` bytes.
    pub fn new(message_bytes_max: usize) -> Decoder {
        Decoder { buffer: BytesMut::new(), message_bytes_max }
    }

    /// Takes the next piece of the stream.
    pub fn put(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// The next frame, once all of it was put in.
    ///
    /// # Errors
    /// [`TooLong`], then and ever after: there is no telling where the next frame begins.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, TooLong> {
        let Some(length) = self.buffer.first_chunk() else { return Ok(None) };
        let bytes = u32::from_le_bytes(*length);
        let max = self.message_bytes_max;
        let length = usize::try_from(bytes).ok().filter(|length| *length <= max);
        let length = length.ok_or(TooLong { bytes, max })?;
        if self.buffer.len() - LENGTH_BYTES < length {
            return Ok(None);
        }
        self.buffer.advance(LENGTH_BYTES);
        if length == 0 {
            return Ok(Some(Frame::Ping));
        }
        Ok(Some(Frame::Message(self.buffer.split_to(length).freeze())))
    }

    /// Whether the stream could end here, between two frames.
    pub fn is_between_frames(&self) -> bool {
        self.buffer.is_empty()
    }
}

/// A frame is longer than any that makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// How long it is.
    pub bytes: u32,
    /// The most that the decoder takes.
    pub max: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a frame of {} bytes, where at most {} make sense", self.bytes, self.max)
    }
}

impl error::Error for TooLong {}

#[cfg(test)]
mod tests;
