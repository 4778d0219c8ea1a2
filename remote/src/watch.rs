//! Watches: a stream of frames that is taken up again whenever it breaks.
//!
//! 1. *Nothing is missed*: every stream begins with the present state of all keys, so that what
//!    happened while there was none is in its first frame.
//! 2. *Nothing comes twice*: a first frame is left out if all versionstamps are those of the frame
//!    before it, which came over an earlier stream.
//! 3. Only what can never work ends a watch: a refusal, a token that is not accepted with a fresh
//!    session either, and what is no frame.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use icecore_wire::frame::{Decoder, FRAME_BYTES_MAX, Frame};
use icecore_wire::message::{KvEntry, Watch, WatchKey, WatchOutput, read_status};
use prost::Message;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

use crate::backoff::Backoff;
use crate::call::{Method, Missed, Shared};
use crate::error::{Error, ErrorKind};

/// How long it may take until a stream begins.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(30);

/// The states of the watched keys, in the order in which they were named.
pub(crate) type States = Vec<Option<KvEntry>>;

/// A watch that goes on until this is dropped.
pub struct Watching {
    pub(crate) task: AbortHandle,
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Watching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watching")
    }
}

impl Shared {
    /// Watches `keys`, and tells of every frame; an error is the last that is told.
    pub(crate) async fn watch(
        self: Arc<Shared>,
        keys: Vec<Bytes>,
        tell: impl Fn(Result<States, Error>) + Send,
    ) {
        let watch = Watch { keys: keys.into_iter().map(|key| WatchKey { key }).collect() };
        let (body, keys) = (Bytes::from(watch.encode_to_vec()), watch.keys.len());
        let (mut known, mut backoff, mut refused) = (None, Backoff::default(), None);
        loop {
            let deadline = Instant::now() + BEGIN_TIMEOUT;
            let ended = match self.ask(Method::Watch, body.clone(), refused, deadline).await {
                Ok(response) => {
                    refused = None;
                    let stream = Stream { body: response.into_body(), keys, known: &mut known };
                    stream.run(&mut backoff, &tell).await
                }
                Err(Missed::Denied(session, _)) if refused.is_none() => {
                    refused = Some(session);
                    continue;
                }
                Err(Missed::Denied(_, text)) => Err(Error::new(ErrorKind::Denied, text)),
                Err(Missed::Never(error)) => Err(error),
                Err(Missed::Later(_)) => Ok(()),
            };
            if let Err(error) = ended {
                return tell(Err(error));
            }
            sleep(backoff.next(&*self.random)).await;
        }
    }
}

/// One stream of a watch.
struct Stream<'a> {
    body: Incoming,
    /// How many there are.
    keys: usize,
    /// What the frame before it has said, of this stream or an earlier one.
    known: &'a mut Option<States>,
}

impl Stream<'_> {
    /// Tells of every frame, until the stream ends or breaks.
    async fn run(
        mut self,
        backoff: &mut Backoff,
        tell: &impl Fn(Result<States, Error>),
    ) -> Result<(), Error> {
        let foreign = |text: String| Error::new(ErrorKind::Foreign, text);
        let (mut decoder, mut is_first) = (Decoder::new(FRAME_BYTES_MAX), true);
        while let Some(Ok(piece)) = self.body.frame().await {
            let Ok(data) = piece.into_data() else { continue };
            decoder.put(&data);
            while let Some(frame) =
                decoder.next_frame().map_err(|error| foreign(error.to_string()))?
            {
                let Frame::Message(message) = frame else { continue };
                let output = WatchOutput::decode(message)
                    .map_err(|error| foreign(format!("a frame cannot be read: {error}")))?;
                let states = self.states(output)?;
                backoff.reset();
                let is_old = self.known.as_ref().is_some_and(|known| have_same(known, &states));
                if !(is_old && is_first) {
                    tell(Ok(states.clone()));
                }
                is_first = false;
                *self.known = Some(states);
            }
        }
        Ok(())
    }

    /// The states of the keys after a frame.
    fn states(&mut self, output: WatchOutput) -> Result<States, Error> {
        if output.status == read_status::READ_DISABLED {
            let text = "Reads are disabled for this database";
            return Err(Error::new(ErrorKind::Refused, text));
        }
        if output.keys.len() != self.keys {
            let text = format!("a frame of {} keys for {}", output.keys.len(), self.keys);
            return Err(Error::new(ErrorKind::Foreign, text));
        }
        let mut states = self.known.clone().unwrap_or_else(|| vec![None; self.keys]);
        for (state, key) in states.iter_mut().zip(output.keys) {
            if key.changed {
                *state = key.entry_if_changed;
            }
        }
        Ok(states)
    }
}

/// Whether nothing has changed from one frame to the other.
fn have_same(a: &States, b: &States) -> bool {
    let stamps = |states: &States| -> Vec<Option<Bytes>> {
        states.iter().map(|state| state.as_ref().map(|entry| entry.versionstamp.clone())).collect()
    };
    stamps(a) == stamps(b)
}
