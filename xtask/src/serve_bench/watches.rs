//! Watches of keys that nobody writes.
//!
//! Each is a stream of its own, which counts as open once its first frame has come. From then on
//! nothing but pings may come: whatever else does, and an end, is an error.

use http_body_util::BodyExt;
use hyper::body::Incoming;
use icecore::key;
use icecore_wire::frame::{Decoder, FRAME_BYTES_MAX, Frame};
use icecore_wire::message::{Watch, WatchKey};
use tokio::task::JoinSet;

use super::client::{Session, Streams};

/// Streams in one connection: half of what servers of hyper take unless they are told otherwise.
const STREAMS: usize = 100;

/// Watches that are open. Dropped, they end.
#[derive(Debug)]
pub(super) struct Watches {
    /// Each ends only by an error.
    open: JoinSet<String>,
}

impl Watches {
    /// Opens so many, each of a key of its own.
    pub(super) async fn open(session: &Session, count: usize) -> Result<Watches, String> {
        let mut open = JoinSet::new();
        for first in (0..count).step_by(STREAMS) {
            let mut streams = Streams::connect(session).await?;
            for id in first..count.min(first + STREAMS) {
                let key = key!["idle", id as u64].encoded().to_vec().into();
                let watch = Watch { keys: vec![WatchKey { key }] };
                let mut watched = Watched::new(streams.open("watch", &watch).await?);
                while watched.frame().await? == Frame::Ping {}
                // The connection is open as long as somebody may ask over it.
                let streams = streams.clone();
                open.spawn(async move {
                    let error = watched.is_told().await;
                    drop(streams);
                    error
                });
            }
        }
        Ok(Watches { open })
    }

    /// Whether all are still open and were told nothing.
    pub(super) fn are_idle(&mut self) -> Result<(), String> {
        match self.open.try_join_next() {
            None => Ok(()),
            Some(Ok(error)) => Err(error),
            Some(Err(error)) => Err(format!("a watch has panicked: {error}")),
        }
    }
}

/// The stream of one of them.
struct Watched {
    body: Incoming,
    decoder: Decoder,
}

impl Watched {
    fn new(body: Incoming) -> Watched {
        Watched { body, decoder: Decoder::new(FRAME_BYTES_MAX) }
    }

    async fn frame(&mut self) -> Result<Frame, String> {
        loop {
            let frame = self.decoder.next_frame().map_err(|error| error.to_string())?;
            if let Some(frame) = frame {
                return Ok(frame);
            }
            let piece = self.body.frame().await.ok_or("a watch has ended")?;
            let piece = piece.map_err(|error| format!("a watch was lost: {error}"))?;
            // Trailers say nothing.
            self.decoder.put(piece.data_ref().map_or(&[], |data| &data[..]));
        }
    }

    /// Waits for what must not come.
    async fn is_told(&mut self) -> String {
        loop {
            match self.frame().await {
                Ok(Frame::Ping) => {}
                Ok(Frame::Message(_)) => {
                    return "an idle watch was told of a change".to_owned();
                }
                Err(error) => return error,
            }
        }
    }
}
