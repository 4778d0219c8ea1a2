//! How much may go on at once: what a client asks for is bounded, and so is what all of them ask
//! for together.
//!
//! The store's calls wait: for a disk, for other writers, for room in memory. They run on the
//! runtime's threads for blocking work, so that connections, pings and timers go on meanwhile, and
//! each kind of call has a number of these threads that no other kind takes from it. A write holds
//! its thread while it is handed over to the store, and not while the disk makes it durable.
//!
//! An answer is read into memory whole, because an error cannot be told once its first byte is sent.
//! 1. An answer of up to [`SMALL_BYTES`] is paid for by its length, out of [`SMALL_ANSWERS_BYTES`].
//! 2. A longer one waits for one of [`LARGE_ANSWERS`] places, and is then read again.
//! 3. Both are given back when the last piece of the answer is handed to the connection.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::timeout;

use crate::error::Refusal;
use crate::settings::Settings;

/// Reads that run at once.
const READS: usize = 32;
/// Writes that are handed over to the store at once.
const WRITES: usize = 32;
/// Frames of watches that are read at once.
const FRAMES: usize = 16;
/// Looks for messages that are taken at once.
const RECEIVES: usize = 8;
/// The threads that all of them need, and a few for what happens once.
pub(crate) const BLOCKING_THREADS: usize = READS + WRITES + FRAMES + RECEIVES + 16;

/// The longest answer that needs no place among the large ones.
pub(crate) const SMALL_BYTES: usize = 1 << 20;
/// The bytes of all small answers that are on their way.
const SMALL_ANSWERS_BYTES: usize = 128 << 20;
/// The large answers that are on their way.
const LARGE_ANSWERS: usize = 2;
/// The bytes of all bodies that are coming in.
const BODIES_BYTES: usize = 128 << 20;
/// What bytes are counted in.
const UNIT_BYTES: usize = 1 << 10;

/// Threads for one kind of the store's calls.
#[derive(Debug)]
pub(crate) struct Pool(Arc<Semaphore>);

impl Pool {
    pub(crate) fn new(threads: usize) -> Arc<Pool> {
        Arc::new(Pool(Arc::new(Semaphore::new(threads))))
    }

    /// Runs `call` on a thread where it may wait. It runs to its end also when nobody waits for it.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let permit = Arc::clone(&self.0).acquire_owned().await.expect("it is never closed");
        spawn_blocking(move || {
            let result = call();
            drop(permit);
            result
        })
        .await
    }
}

/// All that is bounded.
#[derive(Debug)]
pub(crate) struct Budget {
    pub(crate) reads: Arc<Pool>,
    pub(crate) writes: Arc<Pool>,
    pub(crate) frames: Arc<Pool>,
    pub(crate) receives: Arc<Pool>,
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
    bodies: Arc<Semaphore>,
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) watches: Arc<Semaphore>,
    patience: std::time::Duration,
}

impl Budget {
    pub(crate) fn new(settings: &Settings) -> Budget {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Budget {
            reads: Pool::new(READS),
            writes: Pool::new(WRITES),
            frames: Pool::new(FRAMES),
            receives: Pool::new(RECEIVES),
            small: semaphore(SMALL_ANSWERS_BYTES / UNIT_BYTES),
            large: semaphore(LARGE_ANSWERS),
            bodies: semaphore(BODIES_BYTES / UNIT_BYTES),
            connections: semaphore(settings.connections_max),
            watches: semaphore(settings.watches_max),
            patience: settings.patience,
        }
    }

    /// Pays for the longest of the small answers.
    pub(crate) async fn small_answer(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        self.wait(&self.small, SMALL_BYTES).await
    }

    /// Gives back what was paid for more than `bytes`.
    pub(crate) fn shrink(&self, permit: &mut OwnedSemaphorePermit, bytes: usize) {
        let kept = bytes.div_ceil(UNIT_BYTES).min(permit.num_permits());
        drop(permit.split(permit.num_permits() - kept));
    }

    /// A place among the large answers.
    pub(crate) async fn large_answer(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        self.wait(&self.large, UNIT_BYTES).await
    }

    /// Pays for a body of so many bytes.
    pub(crate) async fn body(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        self.wait(&self.bodies, bytes).await
    }

    /// Waits for a while; then too much is going on.
    async fn wait(
        &self,
        semaphore: &Arc<Semaphore>,
        bytes: usize,
    ) -> Result<OwnedSemaphorePermit, Refusal> {
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).map_err(|_| Refusal::too_large())?;
        let permits = Arc::clone(semaphore).acquire_many_owned(units);
        match timeout(self.patience, permits).await {
            Ok(permits) => Ok(permits.expect("it is never closed")),
            Err(_) => Err(Refusal::unavailable()),
        }
    }
}
