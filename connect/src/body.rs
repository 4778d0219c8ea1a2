//! The bodies of answers.
//!
//! 1. A body gives its next piece only when the connection can take it, and every piece is on the
//!    [pulse](crate::pulse) of its stream until the connection has let it go.
//! 2. *A body is at its end when all of it was taken*, unless it is tiny: a stream that has ended
//!    cannot be reset any more, and what it still holds would be held for ever.
//! 3. *A watch has one frame*: the next is read when the client has taken it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

use crate::budget::Payment;
use crate::pulse::Pulse;
use crate::read::Answer;
use crate::watch::{Frames, Piece};

/// The longest answer that is left to the connection as it is.
const TINY_BYTES: usize = 2 << 10;

/// What is answered.
pub(crate) enum Content {
    Whole(Bytes),
    /// With a place that is given back when it was taken.
    Placed(Bytes, OwnedSemaphorePermit),
    Answer(Answer, Payment),
    Watch(Box<Frames>),
}

/// What a piece was paid for with.
enum Paid {
    Nothing,
    Place { _permit: OwnedSemaphorePermit },
    Bytes { _payment: Payment },
}

/// The body of an answer.
pub(crate) struct Body {
    pulse: Arc<Pulse>,
    pieces: VecDeque<Bytes>,
    /// The bytes of the pieces.
    left: usize,
    place: Option<OwnedSemaphorePermit>,
    payment: Option<Payment>,
    next: Option<Next>,
    is_tiny: bool,
}

/// The piece of a watch that is being waited for, and what comes after it.
type Next = Pin<Box<dyn Future<Output = (Box<Frames>, Option<Piece>)> + Send>>;

fn next(mut frames: Box<Frames>) -> Next {
    Box::pin(async move {
        let piece = frames.next().await;
        (frames, piece)
    })
}

impl Content {
    /// Its bytes, if it has an end.
    fn len(&self) -> usize {
        match self {
            Content::Whole(bytes) | Content::Placed(bytes, _) => bytes.len(),
            Content::Answer(answer, _) => answer.bytes,
            Content::Watch(_) => 0,
        }
    }
}

impl Body {
    /// The body of an answer on the stream with this pulse.
    pub(crate) fn new(content: Content, pulse: Arc<Pulse>) -> Body {
        let left = content.len();
        pulse.begin(left);
        let (pieces, place, payment, frames) = match content {
            Content::Whole(bytes) => ([bytes].into(), None, None, None),
            Content::Placed(bytes, permit) => ([bytes].into(), Some(permit), None, None),
            Content::Answer(answer, payment) => (answer.pieces, None, Some(payment), None),
            Content::Watch(frames) => (VecDeque::new(), None, None, Some(next(frames))),
        };
        let is_tiny = frames.is_none() && left <= TINY_BYTES;
        let pieces = if left == 0 { VecDeque::new() } else { pieces };
        Body { pulse, pieces, left, place, payment, next: frames, is_tiny }
    }

    /// The next piece of an answer that has an end.
    fn pop(&mut self) -> Option<Bytes> {
        let piece = self.pieces.pop_front()?;
        self.left -= piece.len();
        let paid = match (self.place.take(), &mut self.payment) {
            (Some(permit), _) => Paid::Place { _permit: permit },
            (None, Some(payment)) if !self.pieces.is_empty() => {
                Paid::Bytes { _payment: payment.split(piece.len()) }
            }
            // What was rounded up goes with the last.
            (None, _) => {
                self.payment.take().map_or(Paid::Nothing, |rest| Paid::Bytes { _payment: rest })
            }
        };
        Some(self.pulse.give(piece, paid))
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(piece) = self.pop() {
            return Poll::Ready(Some(piece));
        }
        ready!(self.pulse.poll_taken(context));
        let Some(waiting) = &mut self.next else { return Poll::Ready(None) };
        let (frames, piece) = ready!(waiting.as_mut().poll(context));
        self.next = piece.is_some().then(|| next(frames));
        let pulse = &self.pulse;
        Poll::Ready(piece.map(|Piece { bytes, payment }| {
            pulse.begin(bytes.len());
            pulse.give(bytes, payment)
        }))
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = ready!(self.poll_next(context));
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        let is_given = self.pieces.is_empty() && self.next.is_none();
        is_given && (self.is_tiny || self.pulse.is_taken())
    }

    fn size_hint(&self) -> SizeHint {
        match self.next {
            Some(_) => SizeHint::default(),
            None => SizeHint::with_exact(self.left as u64),
        }
    }
}
