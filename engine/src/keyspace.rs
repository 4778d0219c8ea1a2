//! The first byte of every key of the engine.
//!
//! User data, the expiry index and the engine's own notes live in keyspaces of their own, so that
//! nothing internal can appear in a list, whatever bytes a client sends.

use icecore_model::Timestamp;

/// The keyspace of user data.
pub const DATA: u8 = 0x10;
/// The keyspace of queues, for the layer above.
pub const QUEUE: u8 = 0x20;
/// The time-ordered index of entries that expire; written by the engine alone.
pub(crate) const EXPIRY: u8 = 0xe0;
/// The engine's own notes.
pub(crate) const META: u8 = 0xf0;

/// Whether callers may write keys that start with `byte`.
pub(crate) fn is_open_to_callers(byte: u8) -> bool {
    matches!(byte, DATA | QUEUE)
}

/// Where the sweeper notes how far it has come.
pub(crate) const WATERMARK_KEY: &[u8] = &[META, b'w'];

/// How many bytes an index key has besides the key it stands for.
pub(crate) const EXPIRY_KEY_OVERHEAD: usize = 9;

/// The key in the expiry index for `key`, which expires at `moment`.
pub(crate) fn expiry_key(moment: Timestamp, key: &[u8]) -> Vec<u8> {
    let mut index = Vec::with_capacity(EXPIRY_KEY_OVERHEAD + key.len());
    index.push(EXPIRY);
    index.extend_from_slice(&moment.ms().to_be_bytes());
    index.extend_from_slice(key);
    index
}

/// Takes a key of the expiry index apart.
pub(crate) fn parse_expiry_key(index: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (space, rest) = index.split_first()?;
    let (ms, key) = rest.split_first_chunk::<8>()?;
    let moment = Timestamp::from_ms(u64::from_be_bytes(*ms))?;
    (*space == EXPIRY && !key.is_empty()).then_some((moment, key))
}
