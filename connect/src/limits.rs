//! How much one request may carry. What a client may send is decided here, before the store is
//! asked; the store's own limits are set as wide.

use icecore::Limits;

/// Bytes of a key that is written, watched, or kept for a message that cannot be delivered.
pub(crate) const KEY_BYTES_MAX: usize = 2_048;
/// Bytes of a bound of a read, which may be a key and one byte more.
pub(crate) const READ_KEY_BYTES_MAX: usize = KEY_BYTES_MAX + 1;
/// Bytes of a value or of a message.
pub(crate) const VALUE_BYTES_MAX: usize = 65_536;
/// What a key that ends with its versionstamp has more than was sent.
pub(crate) const VERSIONSTAMP_PART_BYTES: usize = 22;
/// Ranges of one read.
pub(crate) const RANGES_MAX: usize = 10;
/// Entries of one read, over all ranges.
pub(crate) const ENTRIES_MAX: i64 = 1_000;
/// Checks of one write. Deno promises as many; the reference server takes ten.
pub(crate) const CHECKS_MAX: usize = 100;
/// Mutations and messages of one write.
pub(crate) const MUTATIONS_MAX: usize = 1_000;
/// Bytes of all that one write carries.
pub(crate) const WRITE_BYTES_MAX: usize = 819_200;
/// Keys of one watch.
pub(crate) const WATCH_KEYS_MAX: usize = 10;
/// Keys for one message that cannot be delivered.
pub(crate) const DEAD_LETTER_KEYS_MAX: usize = 10;
/// Attempts at a message after the first.
pub(crate) const BACKOFF_INTERVALS_MAX: usize = 10;
/// The wait before one of them.
pub(crate) const BACKOFF_MS_MAX: u32 = 3_600_000;
/// By how much a message may be delayed: 30 days, and a minute by which clocks may differ.
pub(crate) const DELAY_MS_MAX: u64 = (30 * 24 * 60 + 1) * 60_000;

/// Bytes of the body of a metadata exchange.
pub(crate) const EXCHANGE_BODY_MAX: usize = 4 << 10;
/// Bytes of the body of a read: ten ranges of two bounds.
pub(crate) const READ_BODY_MAX: usize = 64 << 10;
/// Bytes of the body of a watch: ten keys.
pub(crate) const WATCH_BODY_MAX: usize = 32 << 10;
/// Bytes of the body of a write: its payload several times over.
pub(crate) const WRITE_BODY_MAX: usize = 4 << 20;

/// Bytes of the body of a call about messages.
pub(crate) const QUEUE_BODY_MAX: usize = 8 << 10;
/// How long a call waits for a message, unless it says otherwise.
pub(crate) const WAIT_MS: u64 = 20_000;
/// How long a receiver has for a message, unless he says otherwise, and at most.
pub(crate) const LEASE_MS: u64 = 60_000;
pub(crate) const LEASE_MS_MAX: u64 = 3_600_000;
/// Messages that are in the hands of receivers.
pub(crate) const LEASES_MAX: usize = 10_000;

/// Bytes of one answer: a thousand of the largest entries, and a little.
pub(crate) const ANSWER_BYTES_MAX: usize = 80 << 20;

const _: () = assert!(RANGES_MAX * 2 * (READ_KEY_BYTES_MAX + 8) < READ_BODY_MAX);
const _: () = assert!(WATCH_KEYS_MAX * (KEY_BYTES_MAX + 8) < WATCH_BODY_MAX);
const _: () = assert!(WRITE_BYTES_MAX * 2 < WRITE_BODY_MAX);
const _: () = assert!(1_000 * (KEY_BYTES_MAX + VALUE_BYTES_MAX + 64) < ANSWER_BYTES_MAX);

/// The limits with which a store that is served is opened: nothing that passes this crate's own
/// checks meets one of them.
///
/// ```
/// use icecore::{Kv, key};
///
/// let kv = Kv::builder_in_memory().limits(icecore_connect::store_limits()).open()?;
/// let keys = (0..400).map(|id| key![id, "k".repeat(2_030)]);
/// let commit = keys.fold(kv.atomic(), |atomic, key| atomic.delete(key)).commit()?;
/// assert!(commit.versionstamp().is_some(), "Deno has no limit for keys that are deleted");
/// # Ok::<(), icecore::Error>(())
/// ```
pub fn store_limits() -> Limits {
    Limits::default()
        .key_bytes(READ_KEY_BYTES_MAX)
        .commit_key_bytes(WRITE_BYTES_MAX)
        .backoff_intervals(BACKOFF_INTERVALS_MAX)
        .enqueue_delay(std::time::Duration::MAX)
}
