//! The streams of one connection of HTTP/2: how many are open, and that each is ended alone.
//!
//! Each stream is a task of its own, from the headers of its request to the last byte of its answer.
//! When its client does not take that, the task is dropped, which resets the stream and frees what
//! was to be sent on it. The other streams of the connection, and commits that they have begun, go
//! on. Over HTTP/1 a connection has one request at a time, and ends with it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hyper::rt::Executor;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::pulse::{Pulse, unless_stalled};

tokio::task_local! {
    /// The pulse of the stream whose task this is.
    static PULSE: Arc<Pulse>;
}

/// The streams of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    stall: Duration,
    /// How many are open; none at all before the first.
    open: Arc<watch::Sender<Option<usize>>>,
}

/// A stream, counted while this lives.
struct Open(Arc<watch::Sender<Option<usize>>>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open = open.map(|open| open - 1));
    }
}

impl Streams {
    pub(crate) fn new(stall: Duration) -> Streams {
        Streams { stall, open: Arc::new(watch::channel(None).0) }
    }

    /// How many are open.
    pub(crate) fn count(&self) -> usize {
        self.open.borrow().unwrap_or(0)
    }

    /// Waits until none has been open for so long. Over HTTP/1, that is never.
    pub(crate) async fn rested(&self, limit: Duration) {
        let mut open = self.open.subscribe();
        loop {
            let none = open.wait_for(|open| *open == Some(0)).await;
            none.expect("the sender lives as long as this");
            if timeout(limit, open.changed()).await.is_err() {
                return;
            }
        }
    }
}

/// The pulse of the stream whose task this is; none over HTTP/1.
pub(crate) fn pulse() -> Option<Arc<Pulse>> {
    PULSE.try_with(Arc::clone).ok()
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        self.open.send_modify(|open| *open = Some(open.unwrap_or(0) + 1));
        let (open, pulse) = (Open(Arc::clone(&self.open)), Pulse::new(self.stall));
        tokio::spawn(async move {
            let stream = PULSE.scope(Arc::clone(&pulse), stream);
            if unless_stalled(stream, &pulse).await.is_none() {
                tracing::warn!("a client does not take what it is sent: its stream is reset");
            }
            drop(open);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_rests_when_it_has_had_streams_and_has_none() {
        let (streams, limit) = (Streams::new(Duration::MAX), Duration::from_secs(60));
        let day = Duration::from_secs(86_400);
        assert!(timeout(day, streams.rested(limit)).await.is_err(), "it is HTTP/1");
        streams.execute(pending());
        assert_eq!(streams.count(), 1);
        assert!(timeout(day, streams.rested(limit)).await.is_err(), "one is open");
        let streams = Streams::new(Duration::MAX);
        streams.execute(ready(()));
        timeout(day, streams.rested(limit)).await.unwrap();
    }
}
