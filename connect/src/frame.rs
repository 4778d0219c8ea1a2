//! The frames of a watch stream: the length of a message in four bytes, little-endian, and the
//! message. A length of zero is a ping.

use bytes::{BufMut, Bytes, BytesMut};
use icecore::Entry;
use prost::Message;

use crate::client::Reader;
use crate::message::{SR_SUCCESS, WatchKeyOutput, WatchOutput};

/// Says that the stream is alive.
pub(crate) const PING: Bytes = Bytes::from_static(&[0; 4]);

/// The frame of these entries. Each is sent as changed: clients tell by the versionstamps which
/// are.
pub(crate) fn frame(entries: &[Entry], reader: Reader) -> Bytes {
    let key = |entry| WatchKeyOutput { changed: true, entry_if_changed: reader.entry(entry) };
    let keys = entries.iter().map(key).collect();
    let output = WatchOutput { status: SR_SUCCESS, keys };
    let bytes = output.encoded_len();
    let length = u32::try_from(bytes).expect("no store has values of gigabytes");
    let mut frame = BytesMut::with_capacity(size_of::<u32>() + bytes);
    frame.put_u32_le(length);
    output.encode(&mut frame).expect("a buffer of bytes grows as needed");
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use icecore::{Kv, key};

    #[test]
    fn a_frame_is_a_length_and_a_message() {
        let kv = Kv::in_memory().unwrap();
        kv.set(key!["a"], 7).unwrap();
        let frame = frame(&kv.get_many([key!["a"], key!["b"]]).unwrap(), Reader::Plain);
        let (length, message) = frame.split_at(4);
        assert_eq!(u32::from_le_bytes(length.try_into().unwrap()) as usize, message.len());
        let output = WatchOutput::decode(message).unwrap();
        assert!(output.status == SR_SUCCESS && output.keys.iter().all(|key| key.changed));
        let entry = output.keys[0].entry_if_changed.as_ref().unwrap();
        assert_eq!(entry.value, 7_u64.to_le_bytes()[..]);
        assert_eq!(output.keys[1].entry_if_changed, None);
    }
}
