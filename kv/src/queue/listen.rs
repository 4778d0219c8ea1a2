//! Threads that work on the messages of a queue.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use icecore_sync::atomic::{AtomicBool, Ordering};
use icecore_sync::thread::{self, JoinHandle};
use icecore_sync::{Condvar, Mutex, lock};

use super::Queue;
use super::message::Message;
use super::receive::receive;
use super::timer::not_started;
use crate::error::{Error, ErrorKind};

/// How long a listener waits before it tries again what failed for want of space.
const FAILURE_PATIENCE: Duration = Duration::from_millis(200);

/// How [`Queue::listen`] works.
///
/// ```
/// use icecore::{Kv, ListenOptions, Message};
///
/// let kv = Kv::in_memory()?;
/// assert_eq!(ListenOptions::default().concurrency, 1);
/// let work = |_: &Message| Ok::<(), String>(());
/// assert!(kv.queue("").listen(ListenOptions { concurrency: 0 }, work).is_err());
/// # Ok::<(), icecore::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    /// How many messages may be in work at once: each takes a thread. The default is 1: then one
    /// message comes after the other, in the order of the queue.
    pub concurrency: usize,
}

impl Default for ListenOptions {
    fn default() -> ListenOptions {
        ListenOptions { concurrency: 1 }
    }
}

/// Threads that receive messages and call a handler: [`Queue::listen`]. They end when this is
/// [stopped](Listener::stop) or dropped, and when the store is closed. Until then they keep the
/// store open.
///
/// ```
/// use std::sync::mpsc;
/// use icecore::{Kv, ListenOptions, Message};
///
/// let kv = Kv::in_memory()?;
/// let (done, results) = mpsc::channel();
/// let handler = move |message: &Message| done.send(message.payload().clone());
/// let listener = kv.queue("").listen(ListenOptions::default(), handler)?;
/// kv.enqueue("hello")?;
/// assert_eq!(results.recv().expect("the listener runs"), "hello".into());
/// drop(listener);
/// assert!(results.recv().is_err(), "the handler is gone");
/// # Ok::<(), icecore::Error>(())
/// ```
#[must_use = "dropping a listener stops it"]
pub struct Listener {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stopped: AtomicBool,
    failure: Mutex<Option<Error>>,
    /// With `failure`; when `stopped` has become true.
    stopping: Condvar,
}

impl Shared {
    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Waits for a while, unless it is to stop.
    fn pause(&self) {
        let failure = lock(&self.failure);
        let waited =
            self.stopping.wait_timeout_while(failure, FAILURE_PATIENCE, |_| !self.is_stopped());
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Listener {
    pub(crate) fn start<E>(
        queue: &Queue,
        options: ListenOptions,
        handler: impl Fn(&Message) -> Result<(), E> + Send + Sync + 'static,
    ) -> Result<Listener, Error> {
        if options.concurrency == 0 {
            return Err(Error::invalid("a listener needs a concurrency of at least 1", ""));
        }
        let handler = Arc::new(handler);
        // Threads that were started when one cannot be are stopped as this is dropped.
        let mut listener = Listener { shared: Arc::default(), threads: Vec::new() };
        for _ in 0..options.concurrency {
            let (queue, shared) = (queue.clone(), Arc::clone(&listener.shared));
            let handler = Arc::clone(&handler);
            let thread = thread::Builder::new().name("icecore-listen".to_owned());
            let run = move || listen(&queue, &shared, &*handler);
            listener.threads.push(thread.spawn(run).map_err(not_started)?);
        }
        Ok(listener)
    }

    /// Receives no further messages, and waits until the handlers that are running have come to
    /// their end.
    ///
    /// ```
    /// use icecore::{Kv, ListenOptions, Message};
    ///
    /// let kv = Kv::in_memory()?;
    /// let work = |_: &Message| Ok::<(), String>(());
    /// let listener = kv.queue("").listen(ListenOptions::default(), work)?;
    /// listener.stop()?;
    /// kv.enqueue("hello")?;
    /// assert_eq!(kv.queue("").len()?, 1, "nobody listens");
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// The first error that made one of the threads end, or that kept a message from being given
    /// up, which does not end them.
    pub fn stop(mut self) -> Result<(), Error> {
        self.signal();
        self.join()
    }

    /// Waits until the listener has come to its end by itself, because the store was closed or by
    /// an error.
    ///
    /// ```
    /// use icecore::{Kv, ListenOptions, Message};
    ///
    /// let kv = Kv::in_memory()?;
    /// let work = |_: &Message| Ok::<(), String>(());
    /// let listener = kv.queue("").listen(ListenOptions::default(), work)?;
    /// kv.close()?;
    /// assert!(listener.wait().is_ok());
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Listener::stop`].
    pub fn wait(mut self) -> Result<(), Error> {
        self.join()
    }

    fn signal(&self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Under the lock, so that nobody is between the question and the wait.
        drop(lock(&self.shared.failure));
        self.shared.stopping.notify_all();
        self.threads.iter().for_each(|thread| thread.thread().unpark());
    }

    fn join(&mut self) -> Result<(), Error> {
        for running in self.threads.drain(..) {
            // A handler that drops its own listener cannot wait for itself.
            if running.thread().id() != thread::current().id() {
                running.join().expect("a listener catches the panics of its handlers");
            }
        }
        lock(&self.shared.failure).take().map_or(Ok(()), Err)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.signal();
        // Whoever wants to hear of an error calls `stop`.
        self.join().unwrap_or_default();
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listener({} threads)", self.threads.len())
    }
}

/// The life of a thread.
fn listen<E>(
    queue: &Queue,
    shared: &Shared,
    handler: &(impl Fn(&Message) -> Result<(), E> + Send + Sync),
) {
    let mut next = None;
    loop {
        let received = match next.take() {
            Some(message) => Ok(Some(message)),
            None => receive(queue, || shared.is_stopped()),
        };
        let worked = match received {
            Ok(None) => return,
            Ok(Some(message)) => work(message, shared, handler),
            Err(error) => Err(error),
        };
        match worked {
            Ok(message) => next = message,
            Err(error) if error.is_retryable() => shared.pause(),
            Err(error) => {
                // A message that cannot be given up is set aside; the others go on.
                let goes_on = matches!(error.kind(), ErrorKind::LimitExceeded { .. });
                lock(&shared.failure).get_or_insert(error);
                if !goes_on {
                    return;
                }
                shared.pause();
            }
        }
    }
}

/// Calls the handler, and gives the next message to be worked on, if it is known by then.
fn work<E>(
    message: Message,
    shared: &Shared,
    handler: &(impl Fn(&Message) -> Result<(), E> + Send + Sync),
) -> Result<Option<Message>, Error> {
    // What a panic leaves half done is the handler's own: the message is only read.
    match catch_unwind(AssertUnwindSafe(|| handler(&message))) {
        Ok(Ok(())) if shared.is_stopped() => message.finish().map(|()| None),
        Ok(Ok(())) => message.finish_and_receive(),
        Ok(Err(_)) | Err(_) => message.fail().map(|()| None),
    }
}
