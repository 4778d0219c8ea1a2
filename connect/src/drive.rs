//! Futures of the store on threads that may wait.
//!
//! A poll of such a future reads, and may submit a commit: it waits for a disk, or for its turn. So
//! each poll is a call of its own on a [`Pool`], and between two of them no thread is held.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use tokio::sync::Notify;

use crate::pool::{Panicked, Pool};

/// Whether somebody has called the waker.
pub(crate) struct News(Notify);

impl News {
    /// Something to look at from the beginning.
    pub(crate) fn new() -> Arc<News> {
        let news = News(Notify::new());
        news.tell();
        Arc::new(news)
    }

    /// As the waker does.
    pub(crate) fn tell(&self) {
        self.0.notify_one();
    }

    /// Waits until somebody has told since the last time.
    pub(crate) async fn told(&self) {
        self.0.notified().await;
    }
}

impl Wake for News {
    fn wake(self: Arc<News>) {
        self.tell();
    }

    fn wake_by_ref(self: &Arc<News>) {
        self.tell();
    }
}

/// Drives `future` to its end, or until `until` has come to its own, which gives `None`. A poll that
/// has begun is waited for, so that what it brings is not lost.
pub(crate) async fn drive<F>(
    pool: &Pool,
    future: F,
    until: impl Future,
) -> Result<Option<F::Output>, Panicked>
where
    F: Future + Unpin + Send + 'static,
    F::Output: Send,
{
    let news = News::new();
    let (mut waiting, mut until) = (future, pin!(until));
    loop {
        tokio::select! {
            biased;
            () = news.told() => {}
            _ = until.as_mut() => {
                // It may take back what it has begun, which is a commit.
                pool.run(move || drop(waiting)).await?;
                return Ok(None);
            }
        }
        let waker = Waker::from(Arc::clone(&news));
        let poll = move || {
            let polled = Pin::new(&mut waiting).poll(&mut Context::from_waker(&waker));
            (waiting, polled)
        };
        match pool.run(poll).await? {
            (_, Poll::Ready(output)) => return Ok(Some(output)),
            (pending, Poll::Pending) => waiting = pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn, ready};

    use super::*;

    #[tokio::test]
    async fn a_future_is_polled_whenever_its_waker_was_called_until_it_is_ready() {
        let pool = Pool::new(1);
        let mut polls = 0;
        let third = poll_fn(move |context| {
            polls += 1;
            context.waker().wake_by_ref();
            if polls == 3 { Poll::Ready(polls) } else { Poll::Pending }
        });
        assert_eq!(drive(&pool, third, pending::<()>()).await.unwrap(), Some(3));
    }

    #[tokio::test]
    async fn what_is_ready_at_once_is_taken_even_when_there_is_no_time() {
        let pool = Pool::new(1);
        assert_eq!(drive(&pool, ready(7), ready(())).await.unwrap(), Some(7));
        assert_eq!(drive(&pool, pending::<u8>(), ready(())).await.unwrap(), None);
    }
}
