//! How long to wait before the next attempt.

use std::time::Duration;

use icecore_disk::Random;

/// The wait before the second attempt, and what comes on top at most.
const BASE_MS: u64 = 200;
const FIRST_MS: u64 = 10;
const MORE_MS_MAX: u64 = 5_000;

/// The waits between attempts: 200 ms, and a part that doubles up to five seconds. A random half of
/// all comes off, so that clients that have lost the same server do not all come back at once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Backoff {
    attempts: u32,
}

impl Backoff {
    pub(crate) fn next(&mut self, random: &dyn Random) -> Duration {
        let more = FIRST_MS
            .checked_shl(self.attempts.min(32))
            .map_or(MORE_MS_MAX, |ms| ms.min(MORE_MS_MAX));
        self.attempts = self.attempts.saturating_add(1);
        let ms = BASE_MS + more;
        // Without a random number it is only not scattered.
        let less = random.next_u64().map_or(0, |number| number % (ms / 2));
        Duration::from_millis(ms - less)
    }

    /// It went well: the next failure is a first one.
    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use icecore_disk::random::SeededRandom;

    #[test]
    fn waits_grow_up_to_a_cap_and_begin_anew_after_a_success() {
        let (random, mut backoff) = (SeededRandom::new(1), Backoff::default());
        let waits: Vec<u64> =
            (0..100).map(|_| backoff.next(&random).as_millis().try_into().unwrap()).collect();
        assert!((105..=210).contains(&waits[0]), "{waits:?}");
        assert!(waits[20..].iter().all(|ms| (2_600..=5_200).contains(ms)), "{waits:?}");
        backoff.reset();
        assert!(backoff.next(&random) <= Duration::from_millis(210));
    }
}
