//! The server: it listens, serves connections, and ends in order.
//!
//! 1. One port speaks HTTP/1.1, and HTTP/2 to whoever begins with it.
//! 2. *The end*: nothing new is accepted; watches end, each connection after the request that it is
//!    at; what is still going on after a while is cut off; the stores are closed, which makes every
//!    commit durable. A commit that was begun is never given up, whatever becomes of its connection.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use icecore::Kv;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};

use crate::auth::AccessTokens;
use crate::connection;
use crate::database::{Database, Served};
use crate::peer::Peer;
use crate::settings::Settings;
use crate::state::State;

/// How long to wait after a connection could not be accepted, because the process has too many
/// files open, say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A server that listens, and serves once it [runs](Server::run).
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    state: Arc<State>,
    shutdown: watch::Sender<bool>,
}

/// Changes the access tokens of a [server](Server::tokens).
#[derive(Clone, Debug)]
pub struct Tokens {
    state: Weak<State>,
}

impl Tokens {
    /// From now on these are the access tokens of the databases, in the order in which the server got
    /// those. The sessions of tokens that are left out are refused, and their watches end; what else
    /// was begun with them comes to its end.
    pub fn replace(&self, tokens: Vec<AccessTokens>) {
        let Some(state) = self.state.upgrade() else { return };
        for (database, tokens) in state.databases.iter().zip(tokens) {
            database.replace_tokens(tokens, &state.settings);
        }
    }
}

/// Why a server does not start or did not end as it should.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// The settings contradict each other, or themselves.
    Settings(String),
    /// The address cannot be listened on.
    Listen(SocketAddr, io::Error),
    /// A store could not be closed.
    Close(icecore::Error),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServeError::Settings(what) => f.write_str(what),
            ServeError::Listen(address, error) => write!(f, "cannot listen on {address}: {error}"),
            ServeError::Close(error) => {
                write!(f, "the store was not closed as it should be: {error}")
            }
        }
    }
}

impl std::error::Error for ServeError {}

impl Server {
    /// Begins to listen.
    ///
    /// # Errors
    /// [`ServeError::Settings`] where two databases have one name, a name is none, or plain HTTP
    /// would be heard by other machines; [`ServeError::Listen`].
    pub async fn bind(settings: Settings, databases: Vec<Served>) -> Result<Server, ServeError> {
        check(&settings, &databases).map_err(ServeError::Settings)?;
        let failed = |error| ServeError::Listen(settings.address, error);
        let listener = TcpListener::bind(settings.address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (shutdown, receiver) = watch::channel(false);
        let databases =
            databases.into_iter().map(|served| Database::new(served, &settings)).collect();
        let state = Arc::new(State::new(settings, databases, receiver));
        Ok(Server { listener, address, state, shutdown })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, as the URL of the database at `/`.
    pub fn url(&self) -> String {
        let scheme = if self.state.settings.identity.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Changes who may use its databases, also while it runs.
    pub fn tokens(&self) -> Tokens {
        Tokens { state: Arc::downgrade(&self.state) }
    }

    /// Serves until `end` is there, and closes the stores.
    ///
    /// # Errors
    /// [`ServeError::Close`].
    pub async fn run(self, end: impl Future<Output = ()>) -> Result<(), ServeError> {
        let mut connections = JoinSet::new();
        let mut end = pin!(end);
        loop {
            tokio::select! {
                () = &mut end => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, from)) => self.accept(&mut connections, stream, from),
                    Err(error) => {
                        tracing::warn!(%error, "a connection was not accepted");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                // So that what has ended takes no room.
                Some(_) = connections.join_next() => {}
            }
        }
        self.finish(connections).await
    }

    /// Serves one connection that did not come through the listener, until it ends: as those that
    /// do, without TLS, and beside their number.
    pub async fn serve_stream(
        &self,
        from: IpAddr,
        stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    ) {
        let peer = self.peer(from);
        connection::serve_stream(&self.state, &peer, stream).await;
    }

    fn peer(&self, from: IpAddr) -> Arc<Peer> {
        let peer = Peer::new(from, self.state.settings.stall_timeout);
        self.state.strangers.enter(&peer);
        peer
    }

    fn accept(&self, connections: &mut JoinSet<()>, stream: TcpStream, from: SocketAddr) {
        match Arc::clone(&self.state.budget.connections).try_acquire_owned() {
            Ok(permit) => {
                let peer = self.peer(from.ip());
                let served = connection::serve(Arc::clone(&self.state), peer, stream);
                connections.spawn(async move {
                    served.await;
                    drop(permit);
                });
            }
            Err(_) => self.state.metrics.refuse_connection(),
        }
    }

    async fn finish(self, mut connections: JoinSet<()>) -> Result<(), ServeError> {
        let Server { listener, state, shutdown, .. } = self;
        drop(listener);
        shutdown.send_replace(true);
        tracing::info!(connections = connections.len(), "ending");
        let drained = async { while connections.join_next().await.is_some() {} };
        if timeout(state.settings.drain_timeout, drained).await.is_err() {
            tracing::warn!(connections = connections.len(), "connections are cut off");
            connections.shutdown().await;
        }
        let stores: Vec<Kv> = state.databases.iter().map(|database| database.kv.clone()).collect();
        let close = move || stores.iter().try_for_each(Kv::close);
        let closed = spawn_blocking(close).await.expect("closing a store does not panic");
        closed.map_err(ServeError::Close)
    }
}

/// Whether the settings make sense together.
fn check(settings: &Settings, databases: &[Served]) -> Result<(), String> {
    let names: Vec<_> = databases.iter().map(|served| served.name.as_deref()).collect();
    for (place, name) in names.iter().enumerate() {
        if let Some(name) = name.filter(|name| !crate::is_database_name(name)) {
            return Err(format!("{name:?} is no name of a database: use letters, digits, - and _"));
        }
        if names[..place].contains(name) {
            let name = name.unwrap_or("at /");
            return Err(format!("there are two databases {name}"));
        }
    }
    settings.check()
}
