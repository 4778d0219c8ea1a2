//! How large things may be. The stored formats rest on these; a store may set tighter ones.

/// The longest key of the engine in bytes, its keyspace byte included. Every block of a table
/// must be able to hold a key several times over.
pub const KEY_BYTES_MAX: usize = 16 << 10;

/// The longest value in bytes. A value and its key must fit in a frame with room to spare.
pub const VALUE_BYTES_MAX: usize = 64 << 20;

/// The largest commit in bytes of encoded effects: one frame must fit in a log segment, whose
/// offsets are 32 bits wide.
pub const COMMIT_BYTES_MAX: usize = 256 << 20;

const _: () = assert!(KEY_BYTES_MAX + VALUE_BYTES_MAX < COMMIT_BYTES_MAX);
const _: () = assert!(COMMIT_BYTES_MAX < (u32::MAX / 2) as usize);
