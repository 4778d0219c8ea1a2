//! Whether a client takes what it is sent.
//!
//! 1. *A piece that was handed to the connection is held until its memory is free*: over HTTP/2 that
//!    is when the client's window has let it go, over HTTP/1 when the socket has taken it. What it
//!    was paid for with is in it.
//! 2. While a piece is held, the client owes progress: another piece gone within the time for a
//!    stall, and the whole answer at [a rate](ANSWER_BYTES_PER_SECOND) that no honest client falls
//!    below. The server's own work does not count: while nothing is held, nothing is due.
//! 3. Whoever is behind loses the stream that he does not take, and no other.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep_until};

/// The least that a client takes of an answer, over all of it.
const ANSWER_BYTES_PER_SECOND: u64 = 256 << 10;

/// What one client owes on one stream.
#[derive(Debug)]
pub(crate) struct Pulse {
    stall: Duration,
    owed: Mutex<Owed>,
}

#[derive(Debug, Default)]
struct Owed {
    /// The bytes of all pieces that are held.
    held: usize,
    /// When one was given or taken last; before the first, nothing is held.
    progress: Option<Instant>,
    /// When all must be taken.
    deadline: Option<Instant>,
    /// Who waits for the last of them to go.
    waker: Option<Waker>,
}

/// A piece of an answer, as long as anybody has it.
struct Piece<P> {
    bytes: Bytes,
    pulse: Arc<Pulse>,
    _paid: P,
}

impl<P> AsRef<[u8]> for Piece<P> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl<P> Drop for Piece<P> {
    fn drop(&mut self) {
        self.pulse.took(self.bytes.len());
    }
}

impl Pulse {
    pub(crate) fn new(stall: Duration) -> Arc<Pulse> {
        Arc::new(Pulse { stall, owed: Mutex::default() })
    }

    fn owed(&self) -> MutexGuard<'_, Owed> {
        // No panic leaves anything changed by halves.
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many bytes are about to be given, all in all.
    pub(crate) fn begin(&self, bytes: usize) {
        let time = Duration::from_secs(bytes as u64 / ANSWER_BYTES_PER_SECOND) + self.stall;
        let (now, mut owed) = (Instant::now(), self.owed());
        let from =
            owed.deadline.filter(|_| owed.held > 0).map_or(now, |deadline| deadline.max(now));
        owed.deadline = Some(from + time);
    }

    /// A piece to hand to the connection; `paid` is dropped when the connection has let it go.
    pub(crate) fn give<P: Send + 'static>(self: &Arc<Pulse>, bytes: Bytes, paid: P) -> Bytes {
        let mut owed = self.owed();
        owed.held += bytes.len();
        owed.progress = Some(Instant::now());
        drop(owed);
        Bytes::from_owner(Piece { bytes, pulse: Arc::clone(self), _paid: paid })
    }

    fn took(&self, bytes: usize) {
        let mut owed = self.owed();
        owed.held -= bytes;
        owed.progress = Some(Instant::now());
        let waker = if owed.held == 0 { owed.waker.take() } else { None };
        drop(owed);
        // Not under the lock: a waker is somebody else's code.
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether nothing is held.
    pub(crate) fn is_taken(&self) -> bool {
        self.owed().held == 0
    }

    /// Waits until nothing is held.
    pub(crate) fn poll_taken(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut owed = self.owed();
        if owed.held == 0 {
            return Poll::Ready(());
        }
        owed.waker = Some(context.waker().clone());
        Poll::Pending
    }

    /// When the client is behind, if it takes nothing until then.
    fn due(&self) -> Option<Instant> {
        let owed = self.owed();
        let progress = owed.progress.filter(|_| owed.held > 0)?;
        let stalled = progress + self.stall;
        Some(owed.deadline.map_or(stalled, |deadline| deadline.min(stalled)))
    }
}

/// Drives `future`, in whose polls pieces are given, to its end; `None` once the client is behind.
pub(crate) async fn unless_stalled<F: Future>(future: F, pulse: &Pulse) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut timer: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Some(output));
        }
        loop {
            // What is taken meanwhile only moves this into the future.
            let Some(due) = pulse.due() else { return Poll::Pending };
            let sleep = timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
            if due < sleep.deadline() {
                sleep.as_mut().reset(due);
            }
            ready!(sleep.as_mut().poll(context));
            if due <= Instant::now() {
                return Poll::Ready(None);
            }
            sleep.as_mut().reset(due);
        }
    })
    .await
}

#[cfg(test)]
mod tests;
