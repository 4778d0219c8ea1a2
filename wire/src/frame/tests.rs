use super::*;
use crate::message::{KvEntry, WatchKeyOutput, WatchOutput};
use proptest::prelude::*;

fn output(value: &[u8]) -> WatchOutput {
    let entry = KvEntry { value: Bytes::copy_from_slice(value), ..KvEntry::default() };
    let key = WatchKeyOutput { changed: true, entry_if_changed: Some(entry) };
    WatchOutput { status: 1, keys: vec![key] }
}

#[test]
fn a_length_beyond_the_limit_is_refused_before_the_message_comes() {
    let mut decoder = Decoder::new(8);
    decoder.put(&9_u32.to_le_bytes());
    let too_long = TooLong { bytes: 9, max: 8 };
    assert_eq!(decoder.next_frame(), Err(too_long));
    assert_eq!(decoder.next_frame(), Err(too_long), "it stays so");
    assert_eq!(too_long.to_string(), "a frame of 9 bytes, where at most 8 make sense");

    let mut decoder = Decoder::new(8);
    decoder.put(&[8, 0, 0, 0]);
    assert_eq!(decoder.next_frame(), Ok(None));
    decoder.put(&[7; 8]);
    let eight = Frame::Message(Bytes::from_static(&[7; 8]));
    assert_eq!(decoder.next_frame(), Ok(Some(eight)));
}

#[test]
fn a_stream_can_end_only_between_frames() {
    let mut decoder = Decoder::new(FRAME_BYTES_MAX);
    assert!(decoder.is_between_frames());
    decoder.put(&PING[..3]);
    assert!(!decoder.is_between_frames());
    decoder.put(&PING[3..]);
    assert_eq!(decoder.next_frame(), Ok(Some(Frame::Ping)));
    assert!(decoder.is_between_frames());
}

proptest! {
    #[test]
    fn frames_come_out_as_they_went_in_however_the_stream_is_cut(
        values in prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..300)), 0..8),
        cut in 1_usize..64,
    ) {
        let outputs = values.iter().map(|value| value.as_deref().map(output));
        let sent: Vec<Bytes> =
            outputs.clone().map(|output| output.map_or(PING, |output| encode(&output))).collect();
        let expected: Vec<Frame> = outputs
            .map(|output| output.map_or(Frame::Ping, |o| Frame::Message(o.encode_to_vec().into())))
            .collect();
        let (mut decoder, mut frames) = (Decoder::new(FRAME_BYTES_MAX), Vec::new());
        for piece in sent.concat().chunks(cut) {
            decoder.put(piece);
            while let Some(frame) = decoder.next_frame().unwrap() {
                frames.push(frame);
            }
        }
        prop_assert_eq!(frames, expected);
        prop_assert!(decoder.is_between_frames());
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20),
        max in 0_usize..1_000,
    ) {
        let mut decoder = Decoder::new(max);
        for piece in pieces {
            decoder.put(&piece);
            while let Ok(Some(frame)) = decoder.next_frame() {
                if let Frame::Message(message) = frame {
                    prop_assert!((1..=max).contains(&message.len()));
                    // Whether it is one is another matter.
                    drop(WatchOutput::decode(message));
                }
            }
        }
    }
}
