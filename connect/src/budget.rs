//! How much may go on at once: what a client asks for is bounded, and so is what all of them ask
//! for together.
//!
//! The store's calls wait: for a disk, for other writers, for room in memory. They run on
//! [threads](Pool) of their own, so that connections, pings and timers go on meanwhile, and each kind
//! of call has a number of them that no other kind takes from it. A write holds its thread while it
//! is handed over to the store, and not while the disk makes it durable.
//!
//! Bytes are paid for, each [kind](Kind) out of a purse of its own:
//! 1. *Whoever uses a token has a share*: half of each purse. What he does not give back, the others
//!    do not miss.
//! 2. *What was paid for is paid for until its memory is free.* The [`Payment`] lives in the buffer
//!    that is handed to the connection, not beside it.
//! 3. An answer is read into memory whole, because an error cannot be told once its first byte is
//!    sent. One of up to [`SMALL_BYTES`] is paid for by its length; a longer one is read again, out
//!    of a purse that holds the two longest there can be.
//! 4. The body of a request is paid for as its bytes come: who sends nothing takes nothing away.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::error::Refusal;
use crate::limits::ANSWER_BYTES_MAX;
use crate::pool::Pool;
use crate::settings::Settings;

/// Reads that run at once.
const READS: usize = 32;
/// Writes that are handed over to the store at once.
const WRITES: usize = 32;
/// Frames of watches that are read at once.
const FRAMES: usize = 16;
/// Looks for messages that are taken at once.
const RECEIVES: usize = 8;
/// Pages of figures that are made at once. They wait for no read.
const FIGURES: usize = 2;
/// The threads that all of them need, and a few for what happens once.
pub(crate) const BLOCKING_THREADS: usize = READS + WRITES + FRAMES + RECEIVES + FIGURES + 16;

/// The longest answer that is a small one.
pub(crate) const SMALL_BYTES: usize = 1 << 20;
/// What bytes are counted in.
const UNIT_BYTES: usize = 1 << 10;
/// Pages of figures that are on their way.
const PAGES: usize = 16;
/// Requests whose bodies are thrown away at once, so that their senders hear the answer.
const DISCARDS: usize = 256;

/// What bytes are paid for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    SmallAnswers,
    LargeAnswers,
    /// What comes in.
    Bodies,
    /// Of watches.
    Frames,
    /// Messages in the hands of receivers.
    Messages,
}

/// All kinds and the bytes of their purses, in the order of the variants.
const PURSES: [(Kind, usize); 5] = [
    (Kind::SmallAnswers, 128 << 20),
    (Kind::LargeAnswers, 2 * ANSWER_BYTES_MAX),
    (Kind::Bodies, 128 << 20),
    (Kind::Frames, 64 << 20),
    (Kind::Messages, 256 << 20),
];

/// All that is bounded.
#[derive(Debug)]
pub(crate) struct Budget {
    pub(crate) reads: Arc<Pool>,
    pub(crate) writes: Arc<Pool>,
    pub(crate) frames: Arc<Pool>,
    pub(crate) receives: Arc<Pool>,
    pub(crate) figures: Arc<Pool>,
    pub(crate) pages: Arc<Semaphore>,
    pub(crate) discards: Arc<Semaphore>,
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) watches: Arc<Semaphore>,
    purses: [Arc<Semaphore>; PURSES.len()],
    patience: Duration,
}

/// What one holder of a token may use of each purse.
#[derive(Debug)]
pub(crate) struct Share {
    purses: [Arc<Semaphore>; PURSES.len()],
    /// Places for watches.
    pub(crate) watches: Arc<Semaphore>,
}

/// Bytes that were paid for, until this is dropped.
#[derive(Debug)]
pub(crate) struct Payment {
    of_share: OwnedSemaphorePermit,
    of_all: OwnedSemaphorePermit,
}

impl Share {
    pub(crate) fn new(settings: &Settings) -> Share {
        Share {
            purses: PURSES.map(|(_, bytes)| Arc::new(Semaphore::new(bytes / 2 / UNIT_BYTES))),
            watches: Arc::new(Semaphore::new(settings.watches_per_token_max)),
        }
    }
}

impl Budget {
    pub(crate) fn new(settings: &Settings) -> Budget {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Budget {
            reads: Pool::new(READS),
            writes: Pool::new(WRITES),
            frames: Pool::new(FRAMES),
            receives: Pool::new(RECEIVES),
            figures: Pool::new(FIGURES),
            pages: semaphore(PAGES),
            discards: semaphore(DISCARDS),
            connections: semaphore(settings.connections_max),
            watches: semaphore(settings.watches_max),
            purses: PURSES.map(|(_, bytes)| semaphore(bytes / UNIT_BYTES)),
            patience: settings.patience,
        }
    }

    /// Pays for so many bytes, and waits for them a while; then too much is going on.
    pub(crate) async fn pay(
        &self,
        share: &Share,
        kind: Kind,
        bytes: usize,
    ) -> Result<Payment, Refusal> {
        let paid = timeout(self.patience, self.pay_sometime(share, kind, bytes)).await;
        paid.map_err(|_| Refusal::unavailable())
    }

    /// As [`Budget::pay`], however long it takes. More than a share is a whole share.
    pub(crate) fn pay_sometime(
        &self,
        share: &Share,
        kind: Kind,
        bytes: usize,
    ) -> impl Future<Output = Payment> + Send + use<> {
        let place = kind as usize;
        let units = bytes.div_ceil(UNIT_BYTES).min(PURSES[place].1 / 2 / UNIT_BYTES);
        let units = u32::try_from(units).expect("a purse is smaller than that");
        let (of_share, of_all) =
            (Arc::clone(&share.purses[place]), Arc::clone(&self.purses[place]));
        async move {
            // His own share first: who waits for that takes nothing from anybody.
            let of_share = of_share.acquire_many_owned(units).await.expect("it is never closed");
            let of_all = of_all.acquire_many_owned(units).await.expect("it is never closed");
            Payment { of_share, of_all }
        }
    }

    /// The bytes of all answers and frames that are on their way.
    pub(crate) fn sent_bytes(&self) -> usize {
        [Kind::SmallAnswers, Kind::LargeAnswers, Kind::Frames]
            .map(|kind| self.paid(kind))
            .iter()
            .sum()
    }

    /// How many bytes of this kind are paid for.
    pub(crate) fn paid(&self, kind: Kind) -> usize {
        let place = kind as usize;
        PURSES[place].1 - self.purses[place].available_permits() * UNIT_BYTES
    }
}

impl Payment {
    /// For how many bytes it is at least.
    pub(crate) fn bytes(&self) -> usize {
        self.of_all.num_permits() * UNIT_BYTES
    }

    /// Gives back what was paid for more than `bytes`.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let units = self.of_all.num_permits();
        drop(self.split_units(units.saturating_sub(bytes.div_ceil(UNIT_BYTES))));
    }

    /// The part of it that is for `bytes`; all of it if they are more.
    pub(crate) fn split(&mut self, bytes: usize) -> Payment {
        self.split_units(bytes.div_ceil(UNIT_BYTES).min(self.of_all.num_permits()))
    }

    fn split_units(&mut self, units: usize) -> Payment {
        let split = |permit: &mut OwnedSemaphorePermit| permit.split(units);
        let (of_share, of_all) = (split(&mut self.of_share), split(&mut self.of_all));
        let whole = "the part is not more than the whole";
        Payment { of_share: of_share.expect(whole), of_all: of_all.expect(whole) }
    }

    /// Both together.
    pub(crate) fn add(&mut self, more: Payment) {
        self.of_share.merge(more.of_share);
        self.of_all.merge(more.of_all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn kinds_are_in_their_order_and_a_payment_is_split_to_the_last_byte() {
        assert!(PURSES.iter().enumerate().all(|(place, (kind, _))| *kind as usize == place));
        let settings = Settings::default();
        let (budget, share) = (Budget::new(&settings), Share::new(&settings));
        let mut payment = budget.pay(&share, Kind::Frames, 10_000).await.unwrap();
        assert_eq!((payment.bytes(), budget.paid(Kind::Frames)), (10_240, 10_240));
        payment.shrink(5_000);
        let first = payment.split(3_000);
        assert_eq!((first.bytes(), payment.bytes()), (3_072, 2_048));
        drop(payment);
        assert_eq!(budget.paid(Kind::Frames), 3_072);
        drop(first);
        assert_eq!(budget.paid(Kind::Frames), 0);
    }

    #[tokio::test]
    async fn who_has_used_up_his_share_waits_and_others_do_not() {
        let settings = Settings { patience: Duration::from_millis(1), ..Settings::default() };
        let budget = Budget::new(&settings);
        let (greedy, modest) = (Share::new(&settings), Share::new(&settings));
        let all = budget.pay(&greedy, Kind::Bodies, usize::MAX).await.unwrap();
        assert_eq!(all.bytes(), 64 << 20);
        let refused = budget.pay(&greedy, Kind::Bodies, 1).await.unwrap_err();
        assert_eq!(refused, Refusal::unavailable());
        budget.pay(&modest, Kind::Bodies, 64 << 20).await.unwrap();
    }
}
