//! Points in time.

use std::num::NonZeroU64;

/// Milliseconds since the Unix epoch, at least 1: the moment from which an entry is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(NonZeroU64);

impl Timestamp {
    /// The moment `ms` milliseconds after the epoch; `None` for 0, which stands for "never" in
    /// every stored form.
    pub const fn from_ms(ms: u64) -> Option<Timestamp> {
        match NonZeroU64::new(ms) {
            Some(ms) => Some(Timestamp(ms)),
            None => None,
        }
    }

    /// Milliseconds since the epoch.
    pub const fn ms(self) -> u64 {
        self.0.get()
    }
}

/// The stored form of an optional moment: 0 for none.
pub fn ms_or_zero(moment: Option<Timestamp>) -> u64 {
    moment.map_or(0, Timestamp::ms)
}
