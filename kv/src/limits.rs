//! How much one call may carry.
//!
//! The limits are Deno KV's: a program that stays within them runs against any Deno KV. They are
//! checked before anything is done, so that what exceeds one leaves no trace. The engine has wider
//! limits of its own, which hold in any case.

use std::time::Duration;

use crate::error::Error;

/// One of the [`Limits`], as errors name it.
///
/// ```
/// use icecore::{ErrorKind, Kv, Limit, key};
///
/// let kv = Kv::in_memory()?;
/// let keys: [_; 11] = std::array::from_fn(|id| key!["user", id]);
/// let ErrorKind::LimitExceeded { limit, max, got } = kv.get_many(keys).unwrap_err().kind() else {
///     panic!();
/// };
/// assert_eq!((limit, max, got), (Limit::GetManyKeys, 10, 11));
/// # Ok::<(), icecore::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// Bytes of an encoded key that is written or checked.
    KeyBytes,
    /// Bytes of an encoded bound of a read; one more than those of a key, for the end of the
    /// range that holds only this key.
    ReadKeyBytes,
    /// Bytes of a value.
    ValueBytes,
    /// Bytes of the payload of a message.
    PayloadBytes,
    /// Keys of one `get_many`.
    GetManyKeys,
    /// Entries of one batch of a list.
    ListBatchEntries,
    /// Checks of one atomic operation.
    Checks,
    /// Mutations and messages of one atomic operation.
    Mutations,
    /// Bytes of one atomic operation.
    CommitBytes,
    /// Bytes of the keys of one atomic operation.
    CommitKeyBytes,
    /// Keys of one watch.
    WatchKeys,
    /// Milliseconds by which a message may be delayed.
    EnqueueDelay,
    /// Intervals of one backoff schedule.
    BackoffIntervals,
    /// Milliseconds of one interval of a backoff schedule.
    BackoffInterval,
    /// Keys under which a message that cannot be delivered is stored.
    DeadLetterKeys,
    /// A limit of the engine, which no setting widens.
    Engine(&'static str),
}

impl Limit {
    /// What Deno says when the limit is exceeded.
    pub(crate) fn text(self, max: u64) -> String {
        match self {
            Limit::KeyBytes => format!("Key too large for write (max {max} bytes)"),
            Limit::ReadKeyBytes => format!("Key too large for read (max {max} bytes)"),
            Limit::ValueBytes => format!("Value too large (max {max} bytes)"),
            Limit::PayloadBytes => format!("enqueue payload too large (max {max} bytes)"),
            Limit::GetManyKeys => format!("Too many ranges (max {max})"),
            Limit::ListBatchEntries => format!("Too many entries (max {max})"),
            Limit::Checks => format!("Too many checks (max {max})"),
            Limit::Mutations => format!("Too many mutations (max {max})"),
            Limit::CommitBytes => format!("Total mutation size too large (max {max} bytes)"),
            Limit::CommitKeyBytes => format!("Total key size too large (max {max} bytes)"),
            Limit::WatchKeys => format!("Too many keys (max {max})"),
            Limit::EnqueueDelay if max.is_multiple_of(MS_PER_DAY) => {
                format!("Delay cannot be greater than {} days", max / MS_PER_DAY)
            }
            Limit::EnqueueDelay => format!("Delay cannot be greater than {max} ms"),
            Limit::BackoffIntervals => {
                format!("Invalid backoffSchedule, max {max} intervals allowed")
            }
            Limit::BackoffInterval => {
                format!("Invalid backoffSchedule, an interval is longer than {max} ms")
            }
            Limit::DeadLetterKeys => {
                "Too many dead letter keys for a single queue message.".to_owned()
            }
            Limit::Engine(what) => format!("{what} is too large (max {max})"),
        }
    }

    /// What is counted.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Limit::KeyBytes
            | Limit::ReadKeyBytes
            | Limit::ValueBytes
            | Limit::PayloadBytes
            | Limit::CommitBytes
            | Limit::CommitKeyBytes
            | Limit::Engine(_) => "bytes",
            Limit::GetManyKeys | Limit::WatchKeys | Limit::DeadLetterKeys => "keys",
            Limit::ListBatchEntries => "entries",
            Limit::Checks => "checks",
            Limit::Mutations => "mutations",
            Limit::EnqueueDelay | Limit::BackoffInterval => "ms",
            Limit::BackoffIntervals => "intervals",
        }
    }
}

const MS_PER_DAY: u64 = 24 * 60 * 60 * 1_000;

/// How the bytes of an atomic operation are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counting {
    /// As the manual says: every key and value of checks and mutations once; and among the keys
    /// those of all checks and mutations.
    Manual,
    /// As Deno's runtime does: the key of a mutation with a value twice; and among the keys only
    /// those of mutations with a value.
    Runtime,
}

/// How much one call may carry: [`Builder::limits`](crate::Builder::limits).
///
/// Each limit is a setting:
///
/// ```
/// use icecore::{Kv, Limits};
///
/// let limits = Limits::default().value_bytes(1 << 20).commit_bytes(2 << 20);
/// let kv = Kv::builder_in_memory().limits(limits).open()?;
/// kv.set(icecore::key!["large"], vec![0; 1 << 20])?;
/// let error = kv.set(icecore::key!["larger"], vec![0; 1_048_577]).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     r#"Value too large (max 1048576 bytes): 1048577 bytes for ["larger"]"#
/// );
/// # Ok::<(), icecore::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    pub(crate) key_bytes: usize,
    pub(crate) value_bytes: usize,
    pub(crate) get_many_keys: usize,
    pub(crate) list_batch_entries: usize,
    pub(crate) checks: usize,
    pub(crate) mutations: usize,
    pub(crate) commit_bytes: usize,
    pub(crate) commit_key_bytes: usize,
    pub(crate) watch_keys: usize,
    pub(crate) enqueue_delay: Duration,
    pub(crate) backoff_intervals: usize,
    pub(crate) backoff_interval: Duration,
    pub(crate) dead_letter_keys: usize,
    pub(crate) counting: Counting,
}

impl Default for Limits {
    /// What Deno KV's manual promises: keys of 2 KiB, values of 64 KiB, 10 keys in a `get_many`,
    /// 1,000 entries in a batch of a list, 100 checks, 1,000 mutations, 800 KiB in an atomic
    /// operation and 90 KiB of keys in it, 10 watched keys.
    fn default() -> Limits {
        Limits {
            key_bytes: 2 << 10,
            value_bytes: 64 << 10,
            get_many_keys: 10,
            list_batch_entries: 1_000,
            checks: 100,
            mutations: 1_000,
            commit_bytes: 800 << 10,
            commit_key_bytes: 90 << 10,
            watch_keys: 10,
            enqueue_delay: Duration::from_millis(30 * MS_PER_DAY),
            backoff_intervals: 5,
            backoff_interval: Duration::from_secs(60 * 60),
            dead_letter_keys: 10,
            counting: Counting::Manual,
        }
    }
}

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $kind:ty,)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $name(mut self, $name: $kind) -> Limits {
            self.$name = $name;
            self
        }
    )*};
}

impl Limits {
    /// What Deno's runtime enforces, where it differs from the manual: 80 KiB of keys, counting
    /// those of mutations with a value only; and in the 800 KiB such keys count twice. Messages may
    /// have any number of keys for when they cannot be delivered, and these count nowhere.
    ///
    /// ```
    /// use icecore::{Kv, Limits, key};
    ///
    /// // 85 KiB of keys: within the manual's 90 KiB, beyond the runtime's 80 KiB.
    /// let write = |limits: Limits| {
    ///     let kv = Kv::builder_in_memory().limits(limits).open()?;
    ///     let keys = (0..85).map(|id| key![id, "x".repeat(1024)]);
    ///     keys.fold(kv.atomic(), |atomic, key| atomic.set(key, "")).commit()
    /// };
    /// assert!(write(Limits::default()).is_ok());
    /// assert!(write(Limits::deno()).is_err());
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn deno() -> Limits {
        Limits {
            commit_key_bytes: 80 << 10,
            dead_letter_keys: usize::MAX,
            counting: Counting::Runtime,
            ..Limits::default()
        }
    }

    /// Only what the engine's formats ask for: keys of 16 KiB, values of 64 MiB, atomic operations
    /// of 256 MiB, each less a little that the store needs for itself.
    ///
    /// ```
    /// use icecore::{Kv, Limits, key};
    ///
    /// let kv = Kv::builder_in_memory().limits(Limits::none()).open()?;
    /// kv.set(key!["photo"], vec![0; 5_000_000])?;
    /// let pairs = (0..2_000).fold(kv.atomic(), |atomic, id| atomic.set(key![id], id));
    /// assert!(pairs.commit()?.versionstamp().is_some());
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn none() -> Limits {
        Limits {
            key_bytes: usize::MAX,
            value_bytes: usize::MAX,
            get_many_keys: usize::MAX,
            list_batch_entries: usize::MAX,
            checks: usize::MAX,
            mutations: usize::MAX,
            commit_bytes: usize::MAX,
            commit_key_bytes: usize::MAX,
            watch_keys: usize::MAX,
            enqueue_delay: Duration::MAX,
            backoff_intervals: usize::MAX,
            backoff_interval: Duration::MAX,
            dead_letter_keys: usize::MAX,
            counting: Counting::Manual,
        }
    }

    setters! {
        /// Bytes of an encoded key: 2 KiB.
        ///
        /// ```
        /// use icecore::{Kv, Limits, key};
        ///
        /// let limits = Limits::default().key_bytes(10);
        /// let kv = Kv::builder_in_memory().limits(limits).open()?;
        /// kv.set(key!["users"], 1)?;
        /// let error = kv.set(key!["users", "ada"], 1).unwrap_err();
        /// assert_eq!(error.text(), "Key too large for write (max 10 bytes)");
        /// # Ok::<(), icecore::Error>(())
        /// ```
        key_bytes: usize,
        /// Bytes of a value, and of the payload of a message: 64 KiB.
        ///
        /// ```
        /// use icecore::{Kv, Limits, key};
        ///
        /// let limits = Limits::default().value_bytes(4);
        /// let kv = Kv::builder_in_memory().limits(limits).open()?;
        /// kv.set(key!["name"], "ada")?;
        /// let error = kv.set(key!["name"], "grace").unwrap_err();
        /// assert_eq!(error.text(), "Value too large (max 4 bytes)");
        /// # Ok::<(), icecore::Error>(())
        /// ```
        value_bytes: usize,
        /// Keys of one [`Kv::get_many`](crate::Kv::get_many): 10.
        ///
        /// ```
        /// use icecore::{Kv, Limits, key};
        ///
        /// let limits = Limits::default().get_many_keys(20);
        /// let kv = Kv::builder_in_memory().limits(limits).open()?;
        /// let keys: [_; 20] = std::array::from_fn(|id| key!["user", id]);
        /// assert_eq!(kv.get_many(keys)?.len(), 20);
        /// # Ok::<(), icecore::Error>(())
        /// ```
        get_many_keys: usize,
        /// Entries of one batch of a list: 1,000. Lists themselves may be as long as they are.
        ///
        /// ```
        /// use icecore::{Kv, Limits, key};
        ///
        /// let limits = Limits::default().list_batch_entries(5_000);
        /// let kv = Kv::builder_in_memory().limits(limits).open()?;
        /// kv.set(key!["a"], 1)?;
        /// assert_eq!(kv.list(..).batch_size(5_000).count(), 1);
        /// let error = kv.list(..).batch_size(5_001).next().unwrap().unwrap_err();
        /// assert_eq!(error.text(), "Too many entries (max 5000)");
        /// # Ok::<(), icecore::Error>(())
        /// ```
        list_batch_entries: usize,
        /// Checks of one atomic operation: 100.
        ///
        /// ```
        /// use icecore::{Kv, Limits, key};
        ///
        /// let limits = Limits::default().checks(1);
        /// let kv = Kv::builder_in_memory().limits(limits).open()?;
        /// let both = kv.atomic().check_absent(key!["a"]).check_absent(key!["b"]);
        /// let error = both.commit().unwrap_err();
        /// assert_eq!(error.text(), "Too many checks (max 1)");
        /// # Ok::<(), icecore::Error>(())
        /// ```
        checks: usize,
        /// Mutations and messages of one atomic operation: 1,000.
        ///
        /// ```
        /// use icecore::{Kv, Limits, key};
        ///
        /// let limits = Limits::default().mutations(1);
        /// let kv = Kv::builder_in_memory().limits(limits).open()?;
        /// let error = kv.atomic().set(key!["a"], 1).set(key!["b"], 2).commit().unwrap_err();
        /// assert_eq!(error.text(), "Too many mutations (max 1)");
        /// # Ok::<(), icecore::Error>(())
        /// ```
        mutations: usize,
        /// Bytes of keys, values and messages of one atomic operation: 800 KiB.
        ///
        /// ```
        /// use icecore::{Kv, Limits, key};
        ///
        /// let limits = Limits::default().commit_bytes(1_000);
        /// let kv = Kv::builder_in_memory().limits(limits).open()?;
        /// kv.set(key!["a"], vec![0; 900])?;
        /// let both = kv.atomic().set(key!["a"], vec![0; 500]).set(key!["b"], vec![0; 500]);
        /// let error = both.commit().unwrap_err();
        /// assert_eq!(error.text(), "Total mutation size too large (max 1000 bytes)");
        /// # Ok::<(), icecore::Error>(())
        /// ```
        commit_bytes: usize,
        /// Bytes of keys of one atomic operation: 90 KiB.
        ///
        /// ```
        /// use icecore::{Kv, Limits, key};
        ///
        /// let limits = Limits::default().commit_key_bytes(10);
        /// let kv = Kv::builder_in_memory().limits(limits).open()?;
        /// kv.set(key!["name"], "ada")?;
        /// let both = kv.atomic().set(key!["name"], "ada").set(key!["age"], 36);
        /// let error = both.commit().unwrap_err();
        /// assert_eq!(error.text(), "Total key size too large (max 10 bytes)");
        /// # Ok::<(), icecore::Error>(())
        /// ```
        commit_key_bytes: usize,
        /// Keys of one [`Kv::watch`](crate::Kv::watch): 10.
        ///
        /// ```
        /// use icecore::{Kv, Limits, key};
        ///
        /// let limits = Limits::default().watch_keys(20);
        /// let kv = Kv::builder_in_memory().limits(limits).open()?;
        /// assert!(kv.watch((0..20).map(|id| ("door", id))).is_ok());
        /// assert!(kv.watch((0..21).map(|id| ("door", id))).is_err());
        /// # Ok::<(), icecore::Error>(())
        /// ```
        watch_keys: usize,
        /// By how much a message may be delayed: 30 days.
        ///
        /// ```
        /// use std::time::Duration;
        /// use icecore::{Enqueue, Kv, Limits};
        ///
        /// let limits = Limits::default().enqueue_delay(Duration::from_millis(500));
        /// let kv = Kv::builder_in_memory().limits(limits).open()?;
        /// let message = Enqueue::new("later").delay(Duration::from_secs(1));
        /// let error = kv.atomic().enqueue(message).commit().unwrap_err();
        /// assert!(error.text().starts_with("Delay cannot be greater than 500 ms"));
        /// # Ok::<(), icecore::Error>(())
        /// ```
        enqueue_delay: Duration,
        /// Intervals of a backoff schedule: 5.
        ///
        /// ```
        /// use std::time::Duration;
        /// use icecore::{Enqueue, Kv, Limits};
        ///
        /// let limits = Limits::default().backoff_intervals(1);
        /// let kv = Kv::builder_in_memory().limits(limits).open()?;
        /// let message = Enqueue::new("often").backoff([Duration::from_secs(1); 2]);
        /// let error = kv.atomic().enqueue(message).commit().unwrap_err();
        /// assert_eq!(error.text(), "Invalid backoffSchedule, max 1 intervals allowed");
        /// # Ok::<(), icecore::Error>(())
        /// ```
        backoff_intervals: usize,
        /// One interval of a backoff schedule: an hour.
        ///
        /// ```
        /// use std::time::Duration;
        /// use icecore::{Enqueue, Kv, Limits};
        ///
        /// let limits = Limits::default().backoff_interval(Duration::from_secs(86_400));
        /// let kv = Kv::builder_in_memory().limits(limits).open()?;
        /// let message = Enqueue::new("tomorrow").backoff([Duration::from_secs(86_400)]);
        /// assert!(kv.atomic().enqueue(message).commit()?.versionstamp().is_some());
        /// # Ok::<(), icecore::Error>(())
        /// ```
        backoff_interval: Duration,
        /// Keys for a message that cannot be delivered: 10.
        ///
        /// ```
        /// use icecore::{Enqueue, Kv, Limits, key};
        ///
        /// let limits = Limits::default().dead_letter_keys(0);
        /// let kv = Kv::builder_in_memory().limits(limits).open()?;
        /// let message = Enqueue::new("precious").keys_if_undelivered([key!["lost"]]);
        /// let error = kv.atomic().enqueue(message).commit().unwrap_err();
        /// assert_eq!(error.text(), "Too many dead letter keys for a single queue message.");
        /// # Ok::<(), icecore::Error>(())
        /// ```
        dead_letter_keys: usize,
    }

    /// Bytes of a bound of a read.
    pub(crate) fn read_key_bytes(&self) -> usize {
        self.key_bytes.saturating_add(1)
    }

    /// Whether a key of this encoded length may be read.
    pub(crate) fn check_read_key(&self, encoded: &[u8]) -> Result<(), Error> {
        // The end of the range that holds only this key is one byte longer.
        let got = encoded.len().saturating_add(1);
        at_most(Limit::ReadKeyBytes, self.read_key_bytes(), got, String::new)
    }
}

/// Refuses `got` above `max`; `place` says what it is about.
#[inline]
pub(crate) fn at_most(
    limit: Limit,
    max: usize,
    got: usize,
    place: impl FnOnce() -> String,
) -> Result<(), Error> {
    if got <= max {
        return Ok(());
    }
    Err(Error::limit(limit, max as u64, got as u64, place()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_is_a_setting_with_a_text_that_names_the_maximum() {
        let limits = Limits::default().key_bytes(7).enqueue_delay(Duration::from_secs(1));
        assert_eq!(limits.read_key_bytes(), 8);
        assert_eq!(Limit::ReadKeyBytes.text(8), "Key too large for read (max 8 bytes)");
        let days = Limit::EnqueueDelay.text(30 * MS_PER_DAY);
        assert_eq!(days, "Delay cannot be greater than 30 days");
        assert_eq!(Limit::EnqueueDelay.text(1_000), "Delay cannot be greater than 1000 ms");
        assert!(limits.check_read_key(&[1; 7]).is_ok());
        let error = limits.check_read_key(&[1; 8]).unwrap_err();
        assert_eq!(error.to_string(), "Key too large for read (max 8 bytes): 9 bytes");
    }
}
