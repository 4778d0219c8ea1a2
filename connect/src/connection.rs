//! One connection, from its handshake to its end.
//!
//! 1. A connection that sends no request for a while after it was opened is closed, and so is one
//!    whose socket takes no bytes.
//! 2. HTTP/1 connections end when the headers of a request take too long, which is also how long they
//!    may rest in between, and when their client does not take an answer.
//! 3. Those of HTTP/2 end when pings are not answered, and when no stream was open for a while. A
//!    client that does not take an answer loses [its stream](crate::stream) alone.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::peer::Peer;
use crate::pulse::unless_stalled;
use crate::respond::respond;
use crate::stall::Stall;
use crate::state::State;
use crate::stream::Streams;

const HEADERS_MAX: usize = 64;
const HEADER_BYTES_MAX: u32 = 16 << 10;
/// What one HTTP/1 connection may buffer in each direction.
const BUFFER_BYTES_MAX: usize = 64 << 10;
/// Streams of one connection. Deno sends all that one `Kv` does over one connection, its watches
/// included; a stream beyond the limit would wait for one of them to end.
const STREAMS_MAX: u32 = 1_000;
/// What may be on its way to streams whose requests are not read yet.
const STREAM_WINDOW_BYTES: u32 = 128 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 128 << 10;
/// What waits to be sent on one stream.
const SEND_BUFFER_BYTES: usize = 64 << 10;
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Serves a connection until it ends.
pub(crate) async fn serve(state: Arc<State>, peer: Arc<Peer>, stream: TcpStream) {
    let _open = state.metrics.open_connection();
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection waits for full packets");
    }
    let Some(identity) = &state.settings.identity else {
        return serve_http(&state, &peer, stream).await;
    };
    let handshake = timeout(state.settings.header_timeout, identity.acceptor().accept(stream));
    match handshake.await {
        Ok(Ok(stream)) => serve_http(&state, &peer, stream).await,
        Ok(Err(error)) => tracing::debug!(%error, "a handshake has failed"),
        Err(_) => tracing::debug!("a handshake took too long"),
    }
}

/// Serves a connection in the clear that came from elsewhere.
pub(crate) async fn serve_stream(
    state: &Arc<State>,
    peer: &Arc<Peer>,
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
) {
    let _open = state.metrics.open_connection();
    serve_http(state, peer, stream).await;
}

async fn serve_http(
    state: &Arc<State>,
    peer: &Arc<Peer>,
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
) {
    let service = service_fn(|request| {
        let (state, peer) = (Arc::clone(state), Arc::clone(peer));
        async move { Ok::<_, Infallible>(respond(&state, &peer, request).await) }
    });
    let builder = builder(state, peer.streams.clone());
    let settings = &state.settings;
    let stream = TokioIo::new(Stall::new(stream, settings.stall_timeout));
    let mut served = pin!(builder.serve_connection(stream, service));
    let mut shutdown = state.shutdown.clone();
    let mut first_request = pin!(sleep(settings.header_timeout));
    let mut rested = pin!(peer.streams.rested(settings.idle_timeout));
    // What arrives while the other end has not heard of the end yet is still served.
    let mut gone = pin!(peer.streams.rested(settings.header_timeout));
    let (mut is_over, mut is_judged, mut is_idle) = (false, false, false);
    loop {
        tokio::select! {
            result = unless_stalled(served.as_mut(), &peer.pulse) => {
                return match result {
                    Some(Ok(())) => {}
                    Some(Err(error)) => tracing::debug!(%error, "a connection has ended"),
                    None => tracing::warn!("a client does not take what it is sent: it is closed"),
                };
            }
            () = peer.stop.notified() => return,
            () = first_request.as_mut(), if !is_judged => {
                is_judged = true;
                if !peer.has_asked.load(Ordering::Relaxed) {
                    return tracing::debug!("a connection has asked for nothing");
                }
            }
            () = rested.as_mut(), if !is_idle => {
                is_idle = true;
                served.as_mut().graceful_shutdown();
            }
            () = gone.as_mut(), if is_idle => {
                return tracing::debug!("a connection has nothing to do");
            }
            _ = shutdown.wait_for(|is_over| *is_over), if !is_over => {
                is_over = true;
                served.as_mut().graceful_shutdown();
            }
        }
    }
}

fn builder(state: &State, streams: Streams) -> auto::Builder<Streams> {
    let mut builder = auto::Builder::new(streams);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(state.settings.header_timeout.max(state.settings.idle_timeout))
        .max_headers(HEADERS_MAX)
        .max_buf_size(BUFFER_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEADER_BYTES_MAX)
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE);
    builder
}
