//! Walks that lend their entries.
//!
//! 1. An entry that was shown counts before it is shown, and the cursor is behind it: as if it had
//!    been taken.
//! 2. After an error that came between entries, the cursor is where it was when the visit began, in
//!    a store of this process: what was shown last may have been read badly. A value that is not
//!    known was read well; the cursor is behind it, as after taking it.

use std::ops::ControlFlow;

use super::{Entries, State, Walk};
use crate::error::Error;
use crate::lent::EntryRef;

/// Why a scan was stopped.
enum Stop<B> {
    /// The visitor has seen enough.
    Broken(B),
    /// The limit was met.
    Limit,
    /// The value is not one.
    Bad(Error),
}

impl Walk<Entries> {
    /// Shows the entries from the front until `see` breaks.
    pub(crate) fn visit<B>(
        &mut self,
        see: impl FnMut(EntryRef<'_>) -> ControlFlow<B>,
    ) -> Result<Option<B>, Error> {
        let visited = self.begin().and_then(|()| match &self.state {
            State::Open(Entries::Here(_)) => self.visit_here(see),
            #[cfg(feature = "remote")]
            State::Open(Entries::There(_)) => self.visit_there(see),
            State::Ready(..) | State::Ended => Ok(None),
        });
        if visited.is_err() {
            self.end();
        }
        visited
    }

    fn visit_here<B>(
        &mut self,
        mut see: impl FnMut(EntryRef<'_>) -> ControlFlow<B>,
    ) -> Result<Option<B>, Error> {
        let Walk { state: State::Open(Entries::Here(scan)), left, .. } = self else {
            return Ok(None);
        };
        if *left == Some(0) {
            return Ok(None);
        }
        let mut stopped_at = Vec::new();
        let show = |seen: icecore_engine::Seen<'_>| {
            if let Some(left) = left {
                *left -= 1;
            }
            let stop = match EntryRef::new(seen.key, seen.value, seen.stamp, seen.expires_at) {
                Ok(entry) => match see(entry) {
                    ControlFlow::Break(found) => Stop::Broken(found),
                    ControlFlow::Continue(()) if *left == Some(0) => Stop::Limit,
                    ControlFlow::Continue(()) => return ControlFlow::Continue(()),
                },
                Err(error) => Stop::Bad(error),
            };
            stopped_at.extend_from_slice(seen.key);
            ControlFlow::Break(stop)
        };
        let stop = if self.settings.reversed { scan.visit_back(show) } else { scan.visit(show) }?;
        match stop {
            Some(stop) => {
                self.last = stopped_at;
                match stop {
                    Stop::Broken(found) => Ok(Some(found)),
                    Stop::Limit => Ok(None),
                    Stop::Bad(error) => Err(error),
                }
            }
            None => {
                self.is_exhausted = true;
                Ok(None)
            }
        }
    }

    /// Batches hold their entries, so each is taken.
    #[cfg(feature = "remote")]
    fn visit_there<B>(
        &mut self,
        mut see: impl FnMut(EntryRef<'_>) -> ControlFlow<B>,
    ) -> Result<Option<B>, Error> {
        while let Some(taken) = self.take(true) {
            let (key, record) = taken?;
            let entry = EntryRef::new(&key, &record.value, record.stamp, record.expires_at)?;
            if let ControlFlow::Break(found) = see(entry) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}
