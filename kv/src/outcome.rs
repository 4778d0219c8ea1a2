//! What became of an atomic operation, at once or later.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use icecore_engine::{CommitFuture, Outcome};
use icecore_model::Versionstamp;

use crate::error::Error;

/// What became of an atomic operation.
///
/// ```
/// use icecore::{Commit, Kv, key};
///
/// let kv = Kv::in_memory()?;
/// kv.set(key!["b"], 1)?;
/// let commit = kv.atomic().check_absent(key!["a"]).check_absent(key!["b"]).commit()?;
/// assert_eq!(commit, Commit::CheckFailed { indexes: vec![1] });
/// # Ok::<(), icecore::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a failed check is an outcome, not an error"]
pub enum Commit {
    /// All of it took effect.
    Done {
        /// The versionstamp of everything that it set.
        versionstamp: Versionstamp,
    },
    /// Nothing took effect, because some checks do not hold.
    CheckFailed {
        /// Which ones: places in the order in which they were added, from 0, ascending. Empty where
        /// a store that is elsewhere does not say.
        indexes: Vec<usize>,
    },
}

impl Commit {
    /// The versionstamp; `None` if a check failed.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// let claim = || kv.atomic().check_absent(key!["seat"]).set(key!["seat"], "taken").commit();
    /// assert!(claim()?.versionstamp().is_some());
    /// assert!(claim()?.versionstamp().is_none());
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn versionstamp(&self) -> Option<Versionstamp> {
        match self {
            Commit::Done { versionstamp } => Some(*versionstamp),
            Commit::CheckFailed { .. } => None,
        }
    }

    pub(crate) fn from_outcome(outcome: Outcome) -> Commit {
        match outcome {
            Outcome::Committed(versionstamp) => Commit::Done { versionstamp },
            Outcome::CheckFailed { indexes } => Commit::CheckFailed { indexes },
        }
    }
}

/// A commit that was submitted: the future of what became of it.
///
/// ```
/// use icecore::{Commit, Error, Kv, key};
///
/// async fn rename(kv: &Kv, name: &str) -> Result<Commit, Error> {
///     kv.atomic().set(key!["name"], name).commit_async().await
/// }
/// # let kv = Kv::in_memory()?;
/// # assert!(futures_lite::future::block_on(rename(&kv, "ada"))?.versionstamp().is_some());
/// # Ok::<(), icecore::Error>(())
/// ```
#[must_use = "what became of the commit is known only when its future is done"]
pub struct Pending {
    state: State,
}

enum State {
    Here(CommitFuture),
    #[cfg(feature = "remote")]
    There(icecore_remote::Pending<icecore_wire::message::AtomicWriteOutput>),
    /// The error is taken when it is told.
    Failed(Option<Error>),
}

impl Pending {
    pub(crate) fn new(submitted: Result<CommitFuture, Error>) -> Pending {
        match submitted {
            Ok(future) => Pending { state: State::Here(future) },
            Err(error) => Pending { state: State::Failed(Some(error)) },
        }
    }

    #[cfg(feature = "remote")]
    pub(crate) fn there(
        sent: Result<icecore_remote::Pending<icecore_wire::message::AtomicWriteOutput>, Error>,
    ) -> Pending {
        match sent {
            Ok(future) => Pending { state: State::There(future) },
            Err(error) => Pending { state: State::Failed(Some(error)) },
        }
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").finish_non_exhaustive()
    }
}

impl Future for Pending {
    type Output = Result<Commit, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.state {
            State::Here(future) => Pin::new(future)
                .poll(context)
                .map(|outcome| outcome.map(Commit::from_outcome).map_err(Error::from)),
            #[cfg(feature = "remote")]
            State::There(future) => Pin::new(future).poll(context).map(crate::remote::commit),
            State::Failed(error) => {
                Poll::Ready(Err(error.take().expect("a future is not polled after its end")))
            }
        }
    }
}
