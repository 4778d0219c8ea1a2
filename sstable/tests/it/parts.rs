//! The parts of a table one by one: what is built from something is read back as the same.

use bytes::Bytes;
use icecore_model::{Change, Entry, Versionstamp, hash::hash64};
use icecore_sstable::parts::{
    FilterPart, HashPart, Hashed, IndexPart, Indexed, build_block, build_filter, build_hash,
    build_index, build_packed, search_block, unpack, walk_block,
};

const KEYS: [&[u8]; 5] = [b"apple", b"apricot", b"banana", b"cherry", b"date"];

fn entries() -> Vec<Entry<'static>> {
    let entry = |(i, key): (u64, &'static [u8])| {
        let stamp = Versionstamp::new(10 + i);
        Entry { key, stamp, change: Change::Put { value: b"fruit", expires_at: None } }
    };
    (0..).zip(KEYS).map(entry).collect()
}

#[test]
fn a_block_is_walked_and_searched() {
    let body = build_block(&entries());
    let mut keys = Vec::new();
    let prefix = walk_block(&body, &mut |placed| {
        assert_eq!(placed.index, keys.len());
        assert!(body[placed.value..].starts_with(b"fruit"));
        keys.push(placed.entry.key.to_vec());
    });
    assert_eq!(keys, KEYS);
    assert_eq!(prefix, Ok(0));
    let alike = walk_block(&build_block(&entries()[..2]), &mut |_| ());
    assert_eq!(alike, Ok(2), "apricot begins as apple does");
    let find = |key: &[u8]| search_block(&body, key, Versionstamp::MAX).unwrap();
    assert_eq!(find(b"banana"), Some((2, true)));
    assert_eq!(find(b"blueberry"), Some((3, false)));
    assert_eq!(find(b"elder"), None);
}

#[test]
fn an_index_leads_to_the_block_that_holds_a_key() {
    let (one, two) = (Versionstamp::new(1), Versionstamp::new(2));
    let blocks = [
        Indexed { last: (KEYS[1], one), next: Some(KEYS[2]), bytes: 100 },
        Indexed { last: (KEYS[4], two), next: None, bytes: 50 },
    ];
    let body = Bytes::from(build_index(&blocks));
    let index = IndexPart::decode(body.clone(), 150).unwrap();
    assert_eq!(index.count(), 2);
    let find = |key: &[u8]| index.find(key, Versionstamp::MAX).unwrap();
    assert_eq!((find(KEYS[0]), find(KEYS[3]), find(b"elder")), (0, 1, 2));
    let (separator, _, end) = index.block(0).unwrap();
    assert!(KEYS[1] <= &separator[..] && &separator[..] <= KEYS[2]);
    assert_eq!((end, index.block(1).unwrap().2), (100, 150));
    assert!(index.block(2).is_err());
    assert!(IndexPart::decode(body, 151).is_err());
}

#[test]
fn a_filter_knows_every_hash_that_it_was_given() {
    let hashes: Vec<u64> = (0..1000u64).map(|n| hash64(&n.to_le_bytes())).collect();
    let (known, unknown) = hashes.split_at(500);
    let filter = FilterPart::decode(build_filter(known, 10, 0).into()).unwrap();
    assert!(known.iter().all(|hash| filter.may_contain(*hash)));
    let passed = unknown.iter().filter(|hash| filter.may_contain(**hash)).count();
    assert!(passed < 50, "{passed} of 500");
    assert!(FilterPart::decode(Bytes::from_static(b"ice")).is_none());
}

#[test]
fn a_hash_index_leads_to_every_key_that_it_was_given() {
    let keys: Vec<Hashed> = (0..1000u16)
        .map(|n| Hashed { hash: hash64(&n.to_le_bytes()), begins_block: n % 7 == 0, record: n % 7 })
        .collect();
    let index = HashPart::decode(build_hash(&keys, 5).unwrap().into()).unwrap();
    assert_eq!(index.count(), 1000);
    for (n, key) in keys.iter().enumerate() {
        assert!(index.candidates(key.hash).any(|place| place == (n / 7, n % 7)), "key {n}");
    }
    assert!(HashPart::decode(build_filter(&[1], 10, 0).into()).is_none());
    assert!(FilterPart::decode(build_hash(&keys, 5).unwrap().into()).is_some());
}

#[test]
fn a_packed_body_is_unpacked_and_one_that_grows_too_much_is_not() {
    let body = b"ice".repeat(1000);
    let packed = build_packed(&body);
    assert!(packed.len() < body.len() / 4);
    assert_eq!(unpack(&packed).unwrap(), body);
    assert!(unpack(&packed[..packed.len() - 1]).is_err());
    assert!(unpack(&[0xff; 8]).is_err());
}
