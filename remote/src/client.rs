//! What there is to call.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use icecore_wire::message::{
    AtomicWrite, AtomicWriteOutput, KvEntry, SnapshotRead, SnapshotReadOutput,
};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::call::Shared;
use crate::connection::Connections;
use crate::error::{Error, ErrorKind};
use crate::pending::Pending;
use crate::session::{Consistency, NoSession, Sessions};
use crate::settings::Settings;
use crate::tls;
use crate::watch::Watching;
use crate::worker::Worker;

/// A store that is elsewhere. It may be shared between threads. Dropping it lets the writes that
/// are under way end.
pub struct Client {
    shared: Arc<Shared>,
    database_id: [u8; 16],
    worker: Worker,
}

impl Client {
    /// Opens the store: begins a session with it.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid), [`Denied`](ErrorKind::Denied),
    /// [`Foreign`](ErrorKind::Foreign), [`Refused`](ErrorKind::Refused), and at once
    /// [`Unreachable`](ErrorKind::Unreachable) when nobody answers.
    pub fn open(settings: Settings) -> Result<Client, Error> {
        let sessions = Sessions::new(&settings)?;
        let tls = sessions.is_secure().then(|| tls::config(&settings.trusted)).transpose()?;
        let worker = Worker::start().map_err(|error| {
            let text = format!("the thread of the client cannot be started: {error}");
            Error::new(ErrorKind::Invalid, text)
        })?;
        let shared = Arc::new(Shared {
            sessions,
            connections: Connections::new(tls),
            random: settings.random,
            call_timeout: settings.call_timeout,
        });
        let opening = Arc::clone(&shared);
        let session = run(&worker, Error::closed(), async move {
            let deadline = Instant::now() + opening.call_timeout;
            let session = opening.sessions.get(&opening.connections, None, deadline).await;
            session.map_err(|none| match none {
                NoSession::Later(text) => Error::new(ErrorKind::Unreachable, text),
                NoSession::Never(error) => error,
            })
        });
        let database_id = session.wait()?.database_id;
        Ok(Client { shared, database_id, worker })
    }

    /// The identity of the store.
    pub fn database_id(&self) -> [u8; 16] {
        self.database_id
    }

    /// Reads ranges, all of one moment. Sent again until an answer comes or the time is up.
    pub fn snapshot_read(
        &self,
        read: SnapshotRead,
        consistency: Consistency,
    ) -> Pending<SnapshotReadOutput> {
        let shared = Arc::clone(&self.shared);
        run(&self.worker, Error::closed(), async move { shared.read(read, consistency).await })
    }

    /// Writes. Sent again only if it certainly was not carried out.
    pub fn atomic_write(&self, write: AtomicWrite) -> Pending<AtomicWriteOutput> {
        let shared = Arc::clone(&self.shared);
        let under_way = self.worker.begin_write();
        let text = "the client was closed while a write was under way";
        run(&self.worker, Error::new(ErrorKind::OutcomeUnknown, text), async move {
            let written = shared.write(write).await;
            drop(under_way);
            written
        })
    }

    /// Watches keys, and calls `tell` with the states of all of them, in their order, whenever one
    /// has changed. An error is the last that is told. The call comes from the thread of the
    /// client, and must not wait for anything.
    pub fn watch(
        &self,
        keys: Vec<Bytes>,
        tell: impl Fn(Result<Vec<Option<KvEntry>>, Error>) + Send + Sync + 'static,
    ) -> Watching {
        let watch = Arc::clone(&self.shared).watch(keys, tell);
        Watching { task: self.worker.handle().spawn(watch).abort_handle() }
    }

    /// Whether the client was closed.
    pub fn is_closed(&self) -> bool {
        self.worker.is_stopped()
    }

    /// Waits for the writes that are under way, gives reads up, and ends the thread.
    pub fn close(&self) {
        self.worker.stop(true);
    }
}

/// Runs a call; `given_up` is told when it does not come to its end.
fn run<T: Send + 'static>(
    worker: &Worker,
    given_up: Error,
    call: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Pending<T> {
    if worker.is_stopped() {
        return Pending::failed(Error::closed());
    }
    let (sender, receiver) = oneshot::channel();
    worker.handle().spawn(async move {
        // Nobody may be waiting any more.
        drop(sender.send(call.await));
    });
    Pending::new(receiver, given_up)
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("is_closed", &self.is_closed()).finish_non_exhaustive()
    }
}
