//! Key parts and their order-preserving encoding.

use crate::stamp::Versionstamp;

/// The bytes that [`append_versionstamp`] adds to a key.
pub const VERSIONSTAMP_PART_BYTES: usize = 22;

/// Appends a string part that holds the twenty hexadecimal digits of `stamp`.
pub fn append_versionstamp(key: &mut Vec<u8>, stamp: Versionstamp) {
    key.push(0x02);
    key.extend_from_slice(stamp.to_string().as_bytes());
    key.push(0x00);
}
