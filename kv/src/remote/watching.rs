//! Watches of a store elsewhere.
//!
//! One frame is held: the newest one that came. A consumer that is slow gets it instead of those
//! before it, as with a store in this process.

use std::fmt;
use std::sync::Arc;
use std::task::Poll;

use icecore_model::Versionstamp;
use icecore_sync::{Mutex, lock};
use icecore_wire::message::KvEntry;

use super::{Remote, record};
use crate::entry::Entry;
use crate::error::{Error, ErrorKind};
use crate::key::Key;
use crate::signal::{Canceller, News, Patience, Signal};

/// The newest frame, which goes to the consumer; and how many there have been.
#[derive(Default)]
struct Newest {
    frame: Option<Result<Vec<Option<KvEntry>>, Error>>,
    count: u64,
}

/// What a watch hears of.
pub(crate) struct Watching {
    signal: Arc<Signal>,
    newest: Arc<Mutex<Newest>>,
    /// What has been given, by number.
    seen: u64,
    /// None at the end.
    source: Option<Source>,
}

struct Source {
    _watching: icecore_remote::Watching,
    /// Keeps the store open.
    _remote: Arc<Remote>,
}

impl Watching {
    pub(crate) fn new(remote: &Arc<Remote>, keys: &[Key]) -> Result<Watching, Error> {
        if remote.client.is_closed() {
            return Err(Error::with_text(ErrorKind::Closed, "the store was closed", ""));
        }
        let (signal, newest) = (Arc::<Signal>::default(), Arc::<Mutex<Newest>>::default());
        let encoded = keys.iter().map(|key| key.encoded().to_vec().into()).collect();
        let (told, held) = (Arc::clone(&signal), Arc::clone(&newest));
        let watching = remote.client.watch(encoded, move |frame| {
            let mut newest = lock(&held);
            newest.frame = Some(frame.map_err(Error::from));
            newest.count += 1;
            let count = newest.count;
            drop(newest);
            told.touch(Versionstamp::new(count));
        });
        remote.remember(&signal);
        if keys.is_empty() {
            signal.end();
        }
        let source = Source { _watching: watching, _remote: Arc::clone(remote) };
        Ok(Watching { signal, newest, seen: 0, source: Some(source) })
    }

    /// The next frame, as soon as its consumer's patience allows.
    pub(crate) fn frame(
        &mut self,
        keys: &[Key],
        patience: Patience<'_>,
    ) -> Poll<Option<Result<Vec<Entry>, Error>>> {
        if self.source.is_none() {
            return Poll::Ready(None);
        }
        match self.signal.listen(Some(Versionstamp::new(self.seen)), patience) {
            None => return Poll::Pending,
            Some(News::Touched(_)) => {}
            Some(News::Ended) => {
                self.end();
                return Poll::Ready(None);
            }
        }
        let mut newest = lock(&self.newest);
        let (frame, count) = (newest.frame.take(), newest.count);
        drop(newest);
        self.seen = count;
        let frame = frame.expect("each is told of once").and_then(|states| entries(keys, states));
        if frame.is_err() {
            self.end();
        }
        Poll::Ready(Some(frame))
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.source.is_none() || self.signal.is_ended()
    }

    pub(crate) fn end(&mut self) {
        self.source = None;
        drop(self.signal.swap_waker(None));
    }

    pub(crate) fn canceller(&self) -> Canceller {
        Canceller::new(&self.signal)
    }
}

fn entries(keys: &[Key], states: Vec<Option<KvEntry>>) -> Result<Vec<Entry>, Error> {
    let entry = |(key, state): (&Key, Option<KvEntry>)| {
        Entry::new(key.clone(), state.map(record).transpose()?)
    };
    keys.iter().zip(states).map(entry).collect()
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Watching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_ended() { "Watching(ended)" } else { "Watching" })
    }
}
