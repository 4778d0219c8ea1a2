//! How receivers wait.
//!
//! A receiver enters the line of waiters *before* it looks, so that whatever comes after its look
//! wakes it. A thread and a task wait in the same way: each is a waker.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use icecore_engine::CommitFuture;
use icecore_model::{Planted, planted};
use icecore_sync::thread::{self, Thread};

use super::Queue;
use super::board::Waiter;
use super::line::Pick;
use super::message::{Begin, Message};
use crate::error::{Error, ErrorKind};

/// Wakes a thread that is parked.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Unpark>) {
        self.0.unpark();
    }
}

/// Blocks until there is a message, the store is closed, or `stopped` says so; whoever makes that
/// so unparks this thread.
pub(crate) fn receive(queue: &Queue, stopped: impl Fn() -> bool) -> Result<Option<Message>, Error> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut waiter = queue.line.board.waiter();
    loop {
        if stopped() {
            return Ok(None);
        }
        if !planted(Planted::ReceiverEntersLate) {
            waiter.enter(&waker);
        }
        let looked = look(queue, &mut waiter);
        if planted(Planted::ReceiverEntersLate) && matches!(looked, Ok(Look::Wait)) {
            waiter.enter(&waker);
        }
        match looked {
            Ok(Look::Message(message)) => return Ok(Some(*message)),
            Ok(Look::Again) => {}
            Ok(Look::Wait) => thread::park(),
            Ok(Look::Closed) => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Closed => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

enum Look {
    Message(Box<Message>),
    Again,
    Wait,
    Closed,
}

fn look(queue: &Queue, waiter: &mut Waiter) -> Result<Look, Error> {
    let engine = queue.kv.store().here(super::RECEIVING)?;
    Ok(match queue.line.pick(engine, Some(waiter))? {
        Pick::Ready(ready, lease) => match Begin::new(&queue.kv, ready, lease)?.commit()? {
            Some(message) => Look::Message(Box::new(message)),
            None => Look::Again,
        },
        Pick::Unseen(stamp) => {
            engine.wait_visible(stamp)?;
            Look::Again
        }
        Pick::Nothing => Look::Wait,
        Pick::Closed => Look::Closed,
    })
}

/// A message to come: [`Queue::receive_async`]. It needs no particular executor.
///
/// When it is dropped before it is done, no message is lost, and none has had an attempt.
///
/// ```
/// use icecore::{Error, Kv};
///
/// async fn drain(kv: &Kv) -> Result<u32, Error> {
///     let mut messages = 0;
///     while let Some(message) = kv.queue("").receive_async().await? {
///         message.finish_async().await?;
///         messages += 1;
///         # kv.close()?;
///     }
///     Ok(messages) // The store is closed.
/// }
/// # let kv = Kv::in_memory()?;
/// # kv.enqueue("hello")?;
/// # assert_eq!(futures_lite::future::block_on(drain(&kv))?, 1);
/// # Ok::<(), icecore::Error>(())
/// ```
#[must_use = "a message is received only while the future is polled"]
pub struct Receive {
    /// Dropped first: whoever it wakes may look at once.
    beginning: Option<Beginning>,
    waiter: Waiter,
    queue: Queue,
}

/// A message whose attempt is being noted. Dropped before that is done, it takes the attempt back.
struct Beginning {
    future: CommitFuture,
    /// `None` once it is done.
    begin: Option<Begin>,
}

impl Beginning {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Message>, Error>> {
        Pin::new(&mut self.future).poll(context).map(|outcome| {
            let begin = self.begin.take().expect("a future is not polled after its end");
            match outcome {
                Ok(outcome) => Ok(begin.committed(outcome)),
                Err(error) => Err(begin.refused(error.into())),
            }
        })
    }
}

impl Drop for Beginning {
    fn drop(&mut self) {
        // Without a stamp there is nothing to take back: no attempt was noted.
        if let (Some(begin), Some(begun)) = (self.begin.take(), self.future.stamp()) {
            begin.take_back(begun);
        }
    }
}

impl Receive {
    pub(crate) fn new(queue: Queue) -> Receive {
        Receive { beginning: None, waiter: queue.line.board.waiter(), queue }
    }

    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Message>, Error>> {
        loop {
            if let Some(beginning) = &mut self.beginning {
                let Poll::Ready(begun) = beginning.poll(context) else { return Poll::Pending };
                self.beginning = None;
                if let Some(message) = begun? {
                    return Poll::Ready(Ok(Some(message)));
                }
            }
            self.waiter.enter(context.waker());
            let engine = self.queue.kv.store().here(super::RECEIVING)?;
            match self.queue.line.pick(engine, Some(&mut self.waiter))? {
                Pick::Ready(ready, lease) => {
                    let begin = Begin::new(&self.queue.kv, ready, lease)?;
                    let future = begin.submit();
                    self.beginning = Some(Beginning { future, begin: Some(begin) });
                }
                Pick::Unseen(stamp) => match engine.poll_visible(stamp, context.waker()) {
                    Poll::Ready(visible) => visible?,
                    Poll::Pending => return Poll::Pending,
                },
                Pick::Nothing => return Poll::Pending,
                Pick::Closed => return Poll::Ready(Ok(None)),
            }
        }
    }
}

impl Future for Receive {
    type Output = Result<Option<Message>, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_message(context).map(|received| match received {
            Err(error) if error.kind() == ErrorKind::Closed => Ok(None),
            received => received,
        })
    }
}

impl fmt::Debug for Receive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receive({:?})", self.queue)
    }
}
