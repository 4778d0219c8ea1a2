//! The bodies of answers, and clients that do not take them.
//!
//! A body gives its next piece only when the connection can take it. A connection that takes one
//! piece of a longer body and asks for no other within the [time](crate::Settings::stall_timeout)
//! is closed: its client has stopped to read, on this stream at least, and what it holds belongs to
//! the others.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::{Instant, interval};

use crate::read::Answer;
use crate::watch::Frames;

/// The body of an answer.
pub(crate) struct Body {
    kind: Kind,
    pulse: Option<Arc<Pulse>>,
}

enum Kind {
    Whole(Bytes),
    Pieces { answer: Answer, _permit: OwnedSemaphorePermit },
    Watch(Next),
    Ended,
}

/// The piece of a watch that is being waited for, and what comes after it.
type Next = Pin<Box<dyn Future<Output = (Frames, Option<Bytes>)> + Send>>;

/// When the last piece was given away that the connection has not asked on from.
struct Pulse {
    origin: Instant,
    /// Milliseconds after `origin`, and one; 0 while the connection waits for the body.
    given: AtomicU64,
}

impl Body {
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Body {
        Body { kind: Kind::Whole(bytes.into()), pulse: None }
    }

    /// An answer; `permit` is what it was paid for with, and `stop` closes its connection.
    pub(crate) fn answer(
        answer: Answer,
        permit: OwnedSemaphorePermit,
        stall: Duration,
        stop: &Arc<Notify>,
    ) -> Body {
        let pulse = (answer.pieces.len() > 1).then(|| Pulse::watched(stall, stop));
        Body { kind: Kind::Pieces { answer, _permit: permit }, pulse }
    }

    /// A watch; `stop` closes its connection.
    pub(crate) fn watch(frames: Frames, stall: Duration, stop: &Arc<Notify>) -> Body {
        Body { kind: Kind::Watch(next(frames)), pulse: Some(Pulse::watched(stall, stop)) }
    }
}

fn next(mut frames: Frames) -> Next {
    Box::pin(async move {
        let piece = frames.next().await;
        (frames, piece)
    })
}

impl Kind {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let piece = match self {
            Kind::Whole(bytes) => Some(std::mem::take(bytes)).filter(|bytes| !bytes.is_empty()),
            Kind::Pieces { answer, .. } => {
                let piece = answer.pieces.pop_front();
                answer.bytes -= piece.as_ref().map_or(0, Bytes::len);
                piece
            }
            Kind::Watch(waiting) => {
                let (frames, piece) = ready!(waiting.as_mut().poll(context));
                if piece.is_some() {
                    *waiting = next(frames);
                }
                piece
            }
            Kind::Ended => None,
        };
        if piece.is_none() {
            *self = Kind::Ended;
        }
        Poll::Ready(piece)
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(pulse) = &self.pulse {
            pulse.given.store(0, Ordering::Relaxed);
        }
        let piece = ready!(self.kind.poll(context));
        if let (Some(pulse), Some(_)) = (&self.pulse, &piece) {
            pulse.given.store(pulse.now(), Ordering::Relaxed);
        }
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Whole(bytes) => bytes.is_empty(),
            Kind::Pieces { answer, .. } => answer.pieces.is_empty(),
            Kind::Watch(_) => false,
            Kind::Ended => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Pieces { answer, .. } => SizeHint::with_exact(answer.bytes as u64),
            Kind::Watch(_) => SizeHint::default(),
            Kind::Ended => SizeHint::with_exact(0),
        }
    }
}

impl Pulse {
    /// A pulse that is looked after until its body is dropped.
    fn watched(stall: Duration, stop: &Arc<Notify>) -> Arc<Pulse> {
        let pulse = Arc::new(Pulse { origin: Instant::now(), given: AtomicU64::new(0) });
        tokio::spawn(look_after(Arc::downgrade(&pulse), stall, Arc::clone(stop)));
        pulse
    }

    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    fn has_stalled(&self, stall: Duration) -> bool {
        let given = self.given.load(Ordering::Relaxed);
        let waited = Duration::from_millis(self.now().saturating_sub(given));
        given != 0 && waited >= stall
    }
}

async fn look_after(pulse: Weak<Pulse>, stall: Duration, stop: Arc<Notify>) {
    let mut looks = interval(stall / 2);
    loop {
        looks.tick().await;
        let Some(pulse) = pulse.upgrade() else { return };
        if pulse.has_stalled(stall) {
            tracing::warn!("a client does not take what it is sent: its connection is closed");
            return stop.notify_one();
        }
    }
}
