//! `watch`: the state of a few keys, again and again.
//!
//! 1. The stream begins with a ping; then comes the first frame, and one after every commit that
//!    touches a watched key, unless another commit follows so quickly that they share one. In
//!    between a ping comes whenever nothing else came for a while.
//! 2. *A stream holds no frame.* One is read when the connection can take it, and given away. What
//!    is kept for a stream does not grow, however slow its client and however many the commits.
//! 3. Frames are read on threads that may wait for a disk, as everything of the store.
//! 4. A store that is open for reading only hears of no commits, and nothing but the passing of time
//!    changes it: what has expired is found out with every ping.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use icecore::{Entry, Error, Key, Kv, Versionstamp};
use icecore_wire::frame::{self, PING};
use icecore_wire::message::{self, WatchKeyOutput, WatchOutput, read_status};
use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::budget::Pool;
use crate::client::Reader;
use crate::drive::News;
use crate::error::Refusal;
use crate::limits::{KEY_BYTES_MAX, WATCH_KEYS_MAX};
use crate::read::malformed;
use crate::write::key;

/// The keys that a request names.
pub(crate) fn decode(body: Bytes) -> Result<Vec<Key>, Refusal> {
    let message::Watch { keys } = message::Watch::decode(body).map_err(malformed)?;
    if keys.len() > WATCH_KEYS_MAX {
        return Err(Refusal::bad("Too many keys watched in a single watch request."));
    }
    if keys.iter().any(|watched| watched.key.len() > KEY_BYTES_MAX) {
        return Err(Refusal::bad("A key exceeds the key size limit."));
    }
    keys.iter().map(|watched| key(&watched.key)).collect()
}

/// What a stream needs of the server.
pub(crate) struct Place {
    pub(crate) pool: Arc<Pool>,
    pub(crate) reader: Reader,
    pub(crate) ping: Duration,
    pub(crate) shutdown: watch::Receiver<bool>,
    /// Gives the place of this stream back.
    pub(crate) _permits: Vec<OwnedSemaphorePermit>,
}

/// A stream of frames.
pub(crate) struct Frames {
    /// Away while somebody reads a frame, and after the end.
    source: Option<Source>,
    news: Arc<News>,
    pings: Interval,
    has_begun: bool,
    place: Place,
}

/// Where frames come from.
enum Source {
    Watch(icecore::Watch),
    /// A store that tells of nothing.
    Silent {
        kv: Kv,
        keys: Vec<Key>,
        seen: Option<Vec<Option<Versionstamp>>>,
    },
    /// No keys: nothing ever changes, and a stream that ended would be opened again.
    Nothing,
}

impl Frames {
    /// The frames of `keys`.
    pub(crate) fn new(
        kv: &Kv,
        keys: Vec<Key>,
        read_only: bool,
        place: Place,
    ) -> Result<Frames, Error> {
        let source = if keys.is_empty() {
            Source::Nothing
        } else if read_only {
            Source::Silent { kv: kv.clone(), keys, seen: None }
        } else {
            Source::Watch(kv.watch(keys)?.raw(true))
        };
        let mut pings = interval_at(Instant::now() + place.ping, place.ping);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let news = News::new();
        Ok(Frames { source: Some(source), news, pings, has_begun: false, place })
    }

    /// The next piece of the stream; `None` at its end.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        if !std::mem::replace(&mut self.has_begun, true) {
            return Some(PING);
        }
        loop {
            tokio::select! {
                biased;
                _ = self.place.shutdown.wait_for(|is_over| *is_over) => return None,
                _ = self.pings.tick() => {
                    if matches!(self.source, Some(Source::Silent { .. })) {
                        self.news.tell();
                    }
                    return Some(PING);
                }
                () = self.news.told() => {}
            }
            match self.look().await? {
                Poll::Pending => {}
                Poll::Ready(frame) => {
                    self.pings.reset();
                    return Some(frame);
                }
            }
        }
    }

    /// Reads a frame, if there is news.
    async fn look(&mut self) -> Option<Poll<Bytes>> {
        let (mut source, news) = (self.source.take()?, Arc::clone(&self.news));
        let reader = self.place.reader;
        let looked = self.place.pool.run(move || {
            let frame = source.poll(&Waker::from(news), reader);
            (source, frame)
        });
        // It panics where the store has a bug; then the stream is at its end.
        let (source, polled) = looked.await.ok()?;
        match polled {
            Poll::Pending => {
                self.source = Some(source);
                Some(Poll::Pending)
            }
            Poll::Ready(Some(Ok(frame))) => {
                // Whether there is more is found out before anybody waits.
                if matches!(source, Source::Watch(_)) {
                    self.news.tell();
                }
                self.source = Some(source);
                Some(Poll::Ready(frame))
            }
            Poll::Ready(Some(Err(error))) => {
                tracing::error!(%error, "a watch has failed");
                None
            }
            Poll::Ready(None) => None,
        }
    }
}

impl Source {
    fn poll(&mut self, waker: &Waker, reader: Reader) -> Poll<Option<Result<Bytes, Error>>> {
        match self {
            Source::Watch(watch) => {
                let polled = watch.poll_next(&mut Context::from_waker(waker));
                polled.map(|entries| entries.map(|e| e.map(|entries| frame(&entries, reader))))
            }
            Source::Silent { kv, keys, seen } => match kv.get_all(&*keys) {
                Ok(entries) => note(seen, &entries).map(|()| Some(Ok(frame(&entries, reader)))),
                Err(error) => Poll::Ready(Some(Err(error))),
            },
            Source::Nothing => Poll::Pending,
        }
    }
}

/// The frame of these entries. Each is sent as changed: clients tell by the versionstamps which
/// are.
fn frame(entries: &[Entry], reader: Reader) -> Bytes {
    let key = |entry| WatchKeyOutput { changed: true, entry_if_changed: reader.entry(entry) };
    let keys = entries.iter().map(key).collect();
    frame::encode(&WatchOutput { status: read_status::SUCCESS, keys })
}

/// Whether these entries are others than those that were seen.
fn note(seen: &mut Option<Vec<Option<Versionstamp>>>, entries: &[Entry]) -> Poll<()> {
    let stamps = entries.iter().map(|entry| entry.versionstamp).collect();
    let stamps = Some(stamps);
    if *seen == stamps {
        return Poll::Pending;
    }
    *seen = stamps;
    Poll::Ready(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use icecore::key;
    use icecore_wire::frame::{Decoder, FRAME_BYTES_MAX, Frame};

    #[test]
    fn a_frame_says_of_each_key_whether_it_is_there() {
        let kv = Kv::in_memory().unwrap();
        kv.set(key!["a"], 7).unwrap();
        let mut decoder = Decoder::new(FRAME_BYTES_MAX);
        let entries = kv.get_many([key!["a"], key!["b"]]).unwrap();
        decoder.put(&frame(&entries, Reader::Plain));
        let Ok(Some(Frame::Message(message))) = decoder.next_frame() else { panic!("no message") };
        let output = WatchOutput::decode(message).unwrap();
        assert!(output.status == read_status::SUCCESS && output.keys.iter().all(|key| key.changed));
        let entry = output.keys[0].entry_if_changed.as_ref().unwrap();
        assert_eq!(entry.value, 7_u64.to_le_bytes()[..]);
        assert_eq!(output.keys[1].entry_if_changed, None);
    }
}
