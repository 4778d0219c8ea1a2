//! The future of a message that is being settled.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use icecore_engine::CommitFuture;

use super::change::Change;
use super::format::Spot;
use super::line::Lease;
use super::message::settled;
use crate::error::Error;
use crate::kv::Kv;

/// The end of a message, which goes on whether or not this is polled:
/// [`Message::finish_async`](crate::Message::finish_async),
/// [`Message::fail_async`](crate::Message::fail_async).
///
/// ```
/// use icecore::Kv;
///
/// let kv = Kv::in_memory()?;
/// kv.enqueue("hello")?;
/// let message = kv.queue("").receive()?.expect("the store is open");
/// let settle = message.finish_async(); // Under way, whether or not anybody polls it.
/// futures_lite::future::block_on(settle)?;
/// assert!(kv.queue("").is_empty()?);
/// # Ok::<(), icecore::Error>(())
/// ```
#[must_use = "whether the message is settled is known only when the future is done"]
pub struct Settle {
    future: CommitFuture,
    /// `None` once it is done.
    lease: Option<Lease>,
    moved_to: Option<Spot>,
    /// Keeps the store open.
    _kv: Kv,
}

impl Settle {
    pub(crate) fn new(kv: Kv, change: &Change, lease: Lease, moved_to: Option<Spot>) -> Settle {
        Settle { future: change.submit(kv.engine()), lease: Some(lease), moved_to, _kv: kv }
    }
}

impl fmt::Debug for Settle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settle").finish_non_exhaustive()
    }
}

impl Future for Settle {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = Pin::new(&mut self.future).poll(context);
        polled.map(|outcome| {
            let lease = self.lease.take().expect("a future is not polled after its end");
            settled(outcome?, lease, self.moved_to)
        })
    }
}
