//! The stable hash of a key: XXH3, 64 bits (Yann Collet, <https://xxhash.com>). It is written
//! into tables, so it never changes.

pub use xxhash_rust::xxh3::Xxh3 as Hasher;

/// The hash of `bytes`.
#[inline]
pub fn hash64(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}

/// The CRC-32 (IEEE 802.3) of `bytes`: the checksum of headers and blocks.
#[inline]
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(hash64(b""), 0x2d06_8005_38d3_94c2);
        let mut hasher = Hasher::new();
        hasher.update(b"ice");
        hasher.update(b"core");
        assert_eq!(hasher.digest(), hash64(b"icecore"));
    }
}
