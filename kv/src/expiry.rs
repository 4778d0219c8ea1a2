//! When a value ceases to be.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use icecore_model::Timestamp;

use crate::error::Error;

/// The last moment that Deno can tell, in milliseconds since the epoch: the end of the year
/// 262142.
const LAST_MS: u64 = 8_210_266_876_799_999;

const NANOS_PER_MS: u128 = 1_000_000;

/// When a value ceases to be. From that moment on its key is absent from reads, lists, checks and
/// sums alike. Moments are whole milliseconds; what lies in between is rounded up, so that nothing
/// is absent before its time.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use icecore::{Expiry, Kv, key};
///
/// let kv = Kv::in_memory()?;
/// kv.set_expiring(key!["session"], "ada", Expiry::In(Duration::from_secs(60)))?;
/// kv.set_expiring(key!["offer"], "half price", Expiry::At(SystemTime::UNIX_EPOCH))?;
/// assert!(kv.get(key!["session"])?.is_present());
/// assert!(!kv.get(key!["offer"])?.is_present());
/// assert_eq!(Expiry::from(Duration::ZERO), Expiry::In(Duration::ZERO));
/// # Ok::<(), icecore::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// So long after the commit, by the store's clock.
    In(Duration),
    /// At this moment. One that has passed makes the key absent at once.
    At(SystemTime),
}

impl Expiry {
    /// The moment, for a commit at `now_ms`.
    pub(crate) fn moment(self, now_ms: u64) -> Result<Timestamp, Error> {
        let asked = match self {
            Expiry::In(_) => u128::from(now_ms) + self.asked_ms(),
            Expiry::At(_) => self.asked_ms(),
        };
        let refused = || {
            let text = format!("Invalid mutation: expireIn is too large: {}", self.asked_ms());
            Error::invalid(text, format!("the last moment is {LAST_MS} ms after 1970"))
        };
        let ms = u64::try_from(asked).ok().filter(|ms| *ms <= LAST_MS).ok_or_else(refused)?;
        // 0 would mean that it never expires; the first millisecond of 1970 is past as well.
        Ok(Timestamp::from_ms(ms.max(1)).expect("it is at least 1"))
    }

    /// From the commit or from 1970 on.
    fn asked_ms(self) -> u128 {
        let asked = match self {
            Expiry::In(wait) => wait,
            Expiry::At(moment) => moment.duration_since(UNIX_EPOCH).unwrap_or_default(),
        };
        asked.as_nanos().div_ceil(NANOS_PER_MS)
    }
}

impl From<Duration> for Expiry {
    fn from(wait: Duration) -> Expiry {
        Expiry::In(wait)
    }
}

impl From<SystemTime> for Expiry {
    fn from(moment: SystemTime) -> Expiry {
        Expiry::At(moment)
    }
}

/// The stored form of a moment, as the standard library tells it.
pub(crate) fn system_time(moment: Timestamp) -> SystemTime {
    // Within the last moment that can be written, this is far from overflowing.
    UNIX_EPOCH + Duration::from_millis(moment.ms().min(LAST_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_count_from_the_commit_and_end_where_deno_s_do() {
        let moment = |expiry: Expiry| expiry.moment(1_000).map(Timestamp::ms);
        assert_eq!(moment(Duration::from_millis(5).into()).unwrap(), 1_005);
        assert_eq!(moment(Duration::ZERO.into()).unwrap(), 1_000);
        assert_eq!(moment((UNIX_EPOCH + Duration::from_millis(7)).into()).unwrap(), 7);
        assert_eq!(moment((UNIX_EPOCH - Duration::from_millis(7)).into()).unwrap(), 1);
        assert_eq!(
            moment(Duration::from_micros(900).into()).unwrap(),
            1_001,
            "not before its time"
        );
        assert_eq!(moment(Duration::from_nanos(1_000_001).into()).unwrap(), 1_002);
        assert_eq!(moment((UNIX_EPOCH + Duration::from_nanos(7_000_001)).into()).unwrap(), 8);
        let error = moment(Duration::from_millis(9_007_199_254_740_991).into()).unwrap_err();
        assert_eq!(error.text(), "Invalid mutation: expireIn is too large: 9007199254740991");
        assert!(moment(Duration::MAX.into()).is_err());
    }
}
