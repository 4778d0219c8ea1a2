//! How a caller waits for a call: in his thread, or as a future for any executor.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use tokio::sync::oneshot;

use crate::error::Error;

/// A call that is under way. It goes on even if this is dropped.
#[derive(Debug)]
#[must_use = "what became of the call is known only when it is done"]
pub struct Pending<T> {
    state: State<T>,
}

#[derive(Debug)]
enum State<T> {
    /// The error is told when the call was given up.
    Sent(oneshot::Receiver<Result<T, Error>>, Error),
    Failed(Option<Error>),
}

impl<T> Pending<T> {
    /// Whose result comes over `receiver`, and is `given_up` when nothing comes.
    pub(crate) fn new(
        receiver: oneshot::Receiver<Result<T, Error>>,
        given_up: Error,
    ) -> Pending<T> {
        Pending { state: State::Sent(receiver, given_up) }
    }

    pub(crate) fn failed(error: Error) -> Pending<T> {
        Pending { state: State::Failed(Some(error)) }
    }

    /// Waits for the result, in this thread. It may be a thread of an executor, too, which then
    /// does nothing else meanwhile.
    ///
    /// # Errors
    /// What became of the call.
    pub fn wait(self) -> Result<T, Error> {
        let mut pending = pin!(self);
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            match pending.as_mut().poll(&mut context) {
                Poll::Ready(result) => return result,
                Poll::Pending => thread::park(),
            }
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl<T> Unpin for Pending<T> {}

impl<T> Future for Pending<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T, Error>> {
        match &mut self.state {
            State::Sent(receiver, given_up) => {
                let result = Pin::new(receiver).poll(context);
                result.map(|result| result.unwrap_or_else(|_| Err(given_up.clone())))
            }
            State::Failed(error) => {
                Poll::Ready(Err(error.take().expect("a future is not polled after its end")))
            }
        }
    }
}
