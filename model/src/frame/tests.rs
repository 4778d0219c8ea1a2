//! A frame reads back where it was written, and nowhere else.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

const SALT: Salt = Salt(0x1122_3344_5566_7788);

fn header() -> FrameHeader {
    FrameHeader {
        kind: 1,
        padding: 0x0102,
        position: 0x0a0b_0c0d,
        stamp: Versionstamp::new(5),
        clock_ms: 6,
        durable: LogPosition::new(7, 8),
    }
}

fn frame(header: &FrameHeader, payload: &[u8], salt: Salt) -> Vec<u8> {
    let mut bytes = header.encode(payload, salt).to_vec();
    bytes.extend_from_slice(payload);
    bytes
}

#[test]
fn the_bytes_of_a_frame_are_these() {
    let bytes = frame(&header(), b"icecore", SALT);
    let hex: String = bytes[4..].iter().map(|byte| format!("{byte:02x}")).collect();
    let expected = "2f000000 01 00 0201 0d0c0b0a 0500000000000000 0600000000000000 \
                    0800000007000000 696365636f7265";
    assert_eq!(hex, expected.split_whitespace().collect::<String>());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&SALT.0.to_le_bytes());
    crc.update(&bytes[4..]);
    assert_eq!(bytes[..4], crc.finalize().to_le_bytes());
}

#[test]
fn a_frame_counts_only_at_its_place_and_under_its_salt() {
    let header = header();
    let bytes = frame(&header, b"payload", SALT);
    let read = Frame::decode(&bytes, header.position, SALT).unwrap();
    assert_eq!((read.header, read.payload, read.bytes()), (header, &b"payload"[..], bytes.len()));
    assert_eq!(Frame::decode(&bytes, header.position + 1, SALT), Err(NotAFrame::Header));
    assert_eq!(Frame::decode(&bytes, header.position, Salt(0)), Err(NotAFrame::Checksum));
}

#[test]
fn bytes_behind_a_frame_do_not_matter_and_missing_ones_do() {
    let header = header();
    let mut bytes = frame(&header, b"payload", SALT);
    for length in 0..bytes.len() {
        let answer = Frame::decode(&bytes[..length], header.position, SALT);
        assert_eq!(answer, Err(NotAFrame::TooShort), "{length} bytes");
    }
    bytes.extend_from_slice(b"more");
    assert_eq!(Frame::decode(&bytes, header.position, SALT).unwrap().payload, b"payload");
}

#[test]
fn a_length_below_the_header_s_is_no_frame() {
    let header = header();
    let good = frame(&header, b"", SALT);
    for length in 0..40u32 {
        let mut bytes = good.clone();
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        assert_eq!(Frame::decode(&bytes, header.position, SALT), Err(NotAFrame::Header));
    }
}

#[test]
fn the_salt_is_not_shown() {
    assert_eq!(format!("{SALT:?}"), "Salt(…)");
}

proptest! {
    #[test]
    fn every_frame_reads_back(
        kind: u8, padding: u16, position: u32, stamp: u64, clock_ms: u64, durable: u64, salt: u64,
        payload in vec(any::<u8>(), 0..200),
    ) {
        let header = FrameHeader {
            kind,
            padding,
            position,
            stamp: Versionstamp::new(stamp),
            clock_ms,
            durable: LogPosition::from_u64(durable),
        };
        let bytes = frame(&header, &payload, Salt(salt));
        let read = Frame { header, payload: &payload };
        prop_assert_eq!(Frame::decode(&bytes, position, Salt(salt)), Ok(read));
    }

    #[test]
    fn a_flipped_bit_is_noticed(payload in vec(any::<u8>(), 0..100), bit in any::<prop::sample::Index>()) {
        let header = header();
        let mut bytes = frame(&header, &payload, SALT);
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(Frame::decode(&bytes, header.position, SALT).is_err());
    }

    #[test]
    fn any_bytes_are_no_frame(bytes in vec(any::<u8>(), 0..200), position: u32, salt: u64) {
        prop_assert!(Frame::decode(&bytes, position, Salt(salt)).is_err());
    }
}
