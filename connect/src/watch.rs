//! `watch`: the state of a few keys, again and again.
//!
//! 1. The stream begins with a ping; then comes the first frame, and one after every commit that
//!    touches a watched key, unless another commit follows so quickly that they share one. In
//!    between a ping comes whenever nothing else came for a while.
//! 2. *A stream holds one frame at most*, which is paid for until its client has taken it; before that
//!    no other is read. What is kept for a stream does not grow, however slow its client and however
//!    many the commits.
//! 3. Frames are read on threads that may wait for a disk, as everything of the store.
//! 4. A store that is open for reading only hears of no commits, and nothing but the passing of time
//!    changes it: what has expired is found out with every ping.
//! 5. A stream ends with the server, and with its access token.

use std::pin::Pin;
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

use crate::account::Account;
use crate::budget::{Kind, Payment};
use crate::client::Reader;
use crate::drive::News;
use crate::error::Refusal;
use crate::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX, WATCH_KEYS_MAX};
use crate::read::malformed;
use crate::state::State;
use crate::write::key;

/// What is paid for before a frame is read: the longest that these limits allow, for a client that
/// reads what it has written here.
const FRAME_BYTES: usize = WATCH_KEYS_MAX * (KEY_BYTES_MAX + VALUE_BYTES_MAX + 64);

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
    pub(crate) state: Arc<State>,
    pub(crate) account: Arc<Account>,
    pub(crate) reader: Reader,
    /// Gives the place of this stream back.
    pub(crate) _permits: [OwnedSemaphorePermit; 2],
}

/// A stream of frames.
pub(crate) struct Frames {
    /// Away while somebody reads a frame, and after the end.
    source: Option<Source>,
    news: Arc<News>,
    pings: Interval,
    has_begun: bool,
    /// Waits for the bytes of the frame that there is news for.
    paying: Option<Paying>,
    shutdown: watch::Receiver<bool>,
    revoked: watch::Receiver<bool>,
    place: Place,
}

type Paying = Pin<Box<dyn Future<Output = Payment> + Send>>;

/// A piece of a stream, and what it was paid for with.
pub(crate) struct Piece {
    pub(crate) bytes: Bytes,
    pub(crate) payment: Option<Payment>,
}

const PIECE_PING: Piece = Piece { bytes: PING, payment: None };

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
        let ping: Duration = place.state.settings.ping_interval;
        let mut pings = interval_at(Instant::now() + ping, ping);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let news = News::new();
        Ok(Frames {
            source: Some(source),
            news,
            pings,
            has_begun: false,
            paying: None,
            shutdown: place.state.shutdown.clone(),
            revoked: place.account.revoked(),
            place,
        })
    }

    /// The next piece of the stream; `None` at its end.
    pub(crate) async fn next(&mut self) -> Option<Piece> {
        if !std::mem::replace(&mut self.has_begun, true) {
            return Some(PIECE_PING);
        }
        loop {
            let news = Arc::clone(&self.news);
            let is_paying = self.paying.is_some();
            let mut payment = tokio::select! {
                biased;
                _ = self.shutdown.wait_for(|is_over| *is_over) => return None,
                _ = self.revoked.wait_for(|is_revoked| *is_revoked) => return None,
                _ = self.pings.tick() => {
                    if matches!(self.source, Some(Source::Silent { .. })) {
                        self.news.tell();
                    }
                    return Some(PIECE_PING);
                }
                payment = paid(&mut self.paying), if is_paying => payment,
                () = news.told(), if !is_paying => {
                    let Place { state, account, .. } = &self.place;
                    let paying = state.budget.pay_sometime(&account.share, Kind::Frames, FRAME_BYTES);
                    self.paying = Some(Box::pin(paying));
                    continue;
                }
            };
            self.paying = None;
            if let Poll::Ready(bytes) = self.look().await? {
                self.pings.reset();
                payment.shrink(bytes.len());
                return Some(Piece { bytes, payment: Some(payment) });
            }
        }
    }

    /// Reads a frame, if there is news.
    async fn look(&mut self) -> Option<Poll<Bytes>> {
        let (mut source, news) = (self.source.take()?, Arc::clone(&self.news));
        let reader = self.place.reader;
        let looked = self.place.state.budget.frames.run(move || {
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

/// What is paid, once it is.
async fn paid(paying: &mut Option<Paying>) -> Payment {
    match paying {
        Some(paying) => paying.await,
        None => std::future::pending().await,
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
