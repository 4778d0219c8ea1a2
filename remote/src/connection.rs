//! Connections: one for each origin, which all calls share.
//!
//! HTTP/2 alone, over plain TCP with prior knowledge: it is what Deno speaks, so that every endpoint
//! does. Many calls share a connection, and one that was not sent can be told from one that was.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::address::Origin;
use crate::error::chain;

/// How long it may take until a connection is there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection with calls under way is asked so often whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// And has so long to say so.
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// How much a stream may send ahead: a frame or an answer of the usual size needs no pause.
const WINDOW_BYTES: u32 = 1 << 20;

/// Sends requests over one connection.
pub(crate) type Sender = SendRequest<Full<Bytes>>;

/// The open connections.
pub(crate) struct Connections {
    /// None where no address needs it.
    tls: Option<Arc<ClientConfig>>,
    open: Mutex<HashMap<Origin, Sender>>,
}

impl Connections {
    pub(crate) fn new(tls: Option<Arc<ClientConfig>>) -> Connections {
        Connections { tls, open: Mutex::default() }
    }

    /// The connection to `origin`, which is made if there is none. Others wait meanwhile: they would
    /// make the same one.
    ///
    /// # Errors
    /// A text that says why there is none. Then nothing was sent.
    pub(crate) async fn to(&self, origin: &Origin) -> Result<Sender, String> {
        let mut open = self.open.lock().await;
        if let Some(sender) = open.get(origin).filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        open.remove(origin);
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT, self.connect(origin));
        let connected = connecting.await.unwrap_or_else(|_| Err("it took too long".to_owned()));
        let sender =
            connected.map_err(|cause| format!("failed to connect to {origin}: {cause}"))?;
        open.insert(origin.clone(), sender.clone());
        Ok(sender)
    }

    async fn connect(&self, origin: &Origin) -> Result<Sender, String> {
        let stream = TcpStream::connect((&*origin.host, origin.port)).await;
        let stream = stream.map_err(|error| chain(&error))?;
        stream.set_nodelay(true).map_err(|error| chain(&error))?;
        if !origin.is_secure {
            return handshake(stream).await;
        }
        let tls = self.tls.clone().ok_or("this client was opened without TLS")?;
        let name = ServerName::try_from(origin.host.clone()).map_err(|error| chain(&error))?;
        let stream = TlsConnector::from(tls).connect(name, stream).await;
        handshake(stream.map_err(|error| chain(&error))?).await
    }
}

async fn handshake<S>(stream: S) -> Result<Sender, String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(4 * WINDOW_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| chain(&error))?;
    // Its calls hear of its end, each by itself.
    tokio::spawn(async move { connection.await.unwrap_or_default() });
    Ok(sender)
}
