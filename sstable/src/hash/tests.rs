use icecore_model::hash::hash64;

use super::*;

/// Keys 0 to `keys`, `per_block` in each block.
fn built(keys: u64, per_block: usize) -> HashBuilder {
    let mut builder = HashBuilder::default();
    for key in 0..keys {
        let record = usize::try_from(key).unwrap() % per_block;
        if record == 0 && key > 0 {
            builder.end_block();
        }
        builder.add(hash64(&key.to_le_bytes()), record);
    }
    builder.end_block();
    builder
}

fn read(body: Vec<u8>) -> HashIndex {
    HashIndex::decode(Bytes::from(body)).unwrap()
}

#[test]
fn every_key_is_led_to_its_record_and_few_others_to_any() {
    for (keys, per_block, offset) in
        [(1, 1, 0), (1, 5, 3), (40, 40, 77), (50_000, 1, 1), (50_000, 29, 4096)]
    {
        let body = built(keys, per_block).encode(offset).unwrap();
        let start = offset + HEADER_BYTES as u64 + u64::from(body[2]);
        assert_eq!(start % LINE_BYTES as u64, 0);
        let index = read(body);
        assert_eq!(index.count() as u64, keys);
        for key in 0..keys {
            let number = usize::try_from(key).unwrap();
            let place = (number / per_block, number % per_block);
            let hash = hash64(&key.to_le_bytes());
            assert!(index.candidates(hash).any(|found| found == place), "key {key} of {keys}");
        }
        let strangers = (1_000_000..1_010_000u64).map(|key| hash64(&key.to_le_bytes()));
        let led = strangers.filter(|hash| index.candidates(*hash).next().is_some()).count();
        assert!(led < 100, "{led} of 10,000 with {keys} keys");
    }
}

#[test]
fn a_search_goes_on_behind_a_full_line_and_from_the_last_line_to_the_first() {
    // All keys want the last of three lines, and their tags differ.
    let mut builder = HashBuilder::default();
    for key in 0..33u64 {
        builder.add(0xffff_ffff_0000_0000 | (key + 1), 0);
        builder.end_block();
    }
    let body = builder.encode(0).unwrap();
    assert_eq!(body[4], 3, "the reach");
    let index = read(body);
    for key in 0..33u64 {
        let hash = 0xffff_ffff_0000_0000 | (key + 1);
        let found: Vec<_> = index.candidates(hash).collect();
        assert_eq!(found, [(usize::try_from(key).unwrap(), 0)]);
    }
    assert_eq!(index.candidates(0xffff_ffff_0000_0fff).next(), None);
}

#[test]
fn a_hash_whose_low_bits_are_zero_has_a_tag_as_well() {
    let mut builder = HashBuilder::default();
    builder.add(0, 0);
    builder.end_block();
    let index = read(builder.encode(0).unwrap());
    assert_eq!(index.count(), 1);
    assert_eq!(index.candidates(0).next(), Some((0, 0)));
}

#[test]
fn too_many_keys_of_one_hash_make_no_index() {
    let of_one_hash = |keys| {
        let mut builder = built(10_000, 10);
        for _ in 0..keys {
            builder.add(7 << 40, 0);
        }
        builder.end_block();
        builder.encode(0)
    };
    assert_eq!(read(of_one_hash(40).unwrap()).candidates(7 << 40).count(), 40);
    assert!(of_one_hash(SLOTS * REACH_MAX + 1).is_none());
}

#[test]
fn numbers_that_leave_too_few_bits_for_tags_make_no_index() {
    let widest = |record: usize| {
        let mut builder = HashBuilder::default();
        for _ in 0..1 << 10 {
            builder.end_block();
        }
        builder.add(1, record);
        builder.end_block();
        builder.encode(0)
    };
    let index = read(widest((1 << 13) - 1).unwrap());
    assert_eq!(index.shape.tag_bits(), TAG_BITS_MIN);
    assert_eq!(index.candidates(1).next(), Some((1 << 10, (1 << 13) - 1)));
    assert!(widest(1 << 13).is_none());
}

#[test]
fn a_search_ends_where_every_line_is_full() {
    let mut body = built(300, 10).encode(0).unwrap();
    let start = HEADER_BYTES + usize::from(body[2]);
    body[4] = 16;
    body[start..].fill(0xff);
    let index = read(body);
    assert!(index.candidates(5).count() <= REACH_MAX * SLOTS);
    assert!(index.candidates(u64::MAX).count() <= REACH_MAX * SLOTS);
}

#[test]
fn a_header_that_makes_no_sense_is_malformed() {
    let good = built(100, 10).encode(0).unwrap();
    assert!(HashIndex::decode(Bytes::from(good.clone())).is_ok());
    for (at, byte) in [(1, 25), (1, 255), (2, 64), (3, 25), (4, 0), (4, 17), (5, 1), (7, 1), (8, 1)]
    {
        let mut bad = good.clone();
        bad[at] = byte;
        assert!(HashIndex::decode(Bytes::from(bad)).is_err(), "byte {at} is {byte}");
    }
    for length in [0, 7, 8, good.len() - 1, HEADER_BYTES + usize::from(good[2])] {
        assert!(HashIndex::decode(Bytes::from(good[..length].to_vec())).is_err(), "{length} bytes");
    }
}
