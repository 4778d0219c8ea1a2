//! Watches and feeds as streams, for asynchronous programs; with the feature `stream`.
//!
//! They are types of their own: a type that is an iterator and a stream at once has two methods
//! `next` and two `map`, and neither can be called where both traits are in scope.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::entry::Entry;
use crate::error::Error;
use crate::feed::{Event, Feed};
use crate::watch::Watch;

/// The frames of a [`Watch`] as a [`Stream`]; made by [`Watch::into_stream`].
///
/// ```
/// use futures_lite::StreamExt;
/// use icecore::{Error, Kv, key};
///
/// async fn opened(kv: &Kv) -> Result<(), Error> {
///     let mut frames = kv.watch([key!["door"]])?.into_stream();
///     while let Some(frame) = frames.try_next().await? {
///         if frame[0].is_present() {
///             break;
///         }
///     }
///     Ok(())
/// }
/// # let kv = Kv::in_memory()?;
/// # kv.set(key!["door"], "open")?;
/// # futures_lite::future::block_on(opened(&kv))?;
/// # Ok::<(), icecore::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a stream reads nothing until it is polled"]
pub struct WatchStream {
    watch: Watch,
}

/// The events of a [`Feed`] as a [`Stream`]; made by [`Feed::into_stream`].
///
/// ```
/// use futures_lite::StreamExt;
/// use icecore::{Error, Event, Kv, key, prefix};
///
/// async fn users(kv: &Kv) -> Result<usize, Error> {
///     let events = kv.watch_prefix(prefix!["users"])?.into_stream();
///     let mut until = events.take_while(|event| !matches!(event, Ok(Event::UpTo(_))));
///     let mut users = 0;
///     while let Some(event) = until.try_next().await? {
///         users += usize::from(matches!(event, Event::Set(_)));
///     }
///     Ok(users)
/// }
/// # let kv = Kv::in_memory()?;
/// # kv.set(key!["users", "ada"], 36)?;
/// # assert_eq!(futures_lite::future::block_on(users(&kv))?, 1);
/// # Ok::<(), icecore::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a stream reads nothing until it is polled"]
pub struct FeedStream {
    feed: Feed,
}

impl Watch {
    /// The frames as a [`Stream`], for any executor. Polling it is [`Watch::poll_next`].
    ///
    /// ```
    /// use std::pin::pin;
    /// use std::task::{Context, Poll, Waker};
    /// use futures_core::Stream;
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// let mut frames = pin!(kv.watch([key!["door"]])?.into_stream());
    /// let mut context = Context::from_waker(Waker::noop());
    /// let Poll::Ready(Some(frame)) = frames.as_mut().poll_next(&mut context) else { panic!() };
    /// assert!(!frame?[0].is_present());
    /// assert!(frames.as_mut().poll_next(&mut context).is_pending());
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn into_stream(self) -> WatchStream {
        WatchStream { watch: self }
    }
}

impl Feed {
    /// The events as a [`Stream`], for any executor. Polling it is [`Feed::poll_next`].
    ///
    /// ```
    /// use std::pin::pin;
    /// use std::task::{Context, Poll, Waker};
    /// use futures_core::Stream;
    /// use icecore::{Event, Kv, prefix};
    ///
    /// let kv = Kv::in_memory()?;
    /// let mut events = pin!(kv.watch_prefix(prefix!["users"])?.into_stream());
    /// let mut context = Context::from_waker(Waker::noop());
    /// let first = events.as_mut().poll_next(&mut context);
    /// assert!(matches!(first, Poll::Ready(Some(Ok(Event::Reset)))));
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn into_stream(self) -> FeedStream {
        FeedStream { feed: self }
    }
}

impl Stream for WatchStream {
    type Item = Result<Vec<Entry>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.watch.poll_next(context)
    }
}

impl Stream for FeedStream {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.feed.poll_next(context)
    }
}
