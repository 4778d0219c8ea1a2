//! One connection, from its handshake to its end.
//!
//! A connection that sends no request for a while after it was opened is closed, and so is one whose
//! client takes no bytes. HTTP/1 connections end when the headers of a request take too long, which
//! is also how long they may rest in between; those of HTTP/2 when pings are not answered.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::respond::respond;
use crate::stall::Stall;
use crate::state::State;

const HEADERS_MAX: usize = 64;
const HEADER_BYTES_MAX: u32 = 16 << 10;
/// What one HTTP/1 connection may buffer in each direction.
const BUFFER_BYTES_MAX: usize = 64 << 10;
/// Streams of one connection. Deno sends all that one `Kv` does over one connection, its watches
/// included; a stream beyond the limit would wait for one of them to end.
const STREAMS_MAX: u32 = 1_000;
/// What may be on its way to streams whose requests are not read yet.
const STREAM_WINDOW_BYTES: u32 = 128 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 512 << 10;
/// What waits to be sent on one stream.
const SEND_BUFFER_BYTES: usize = 64 << 10;
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// A rest between two requests of an HTTP/1 connection is not an attack.
const REST: Duration = Duration::from_secs(60);

/// Serves a connection until it ends.
pub(crate) async fn serve(state: Arc<State>, stream: TcpStream) {
    let _open = state.metrics.open_connection();
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection waits for full packets");
    }
    let Some(identity) = &state.settings.identity else {
        return serve_http(&state, stream).await;
    };
    let handshake = timeout(state.settings.header_timeout, identity.acceptor().accept(stream));
    match handshake.await {
        Ok(Ok(stream)) => serve_http(&state, stream).await,
        Ok(Err(error)) => tracing::debug!(%error, "a handshake has failed"),
        Err(_) => tracing::debug!("a handshake took too long"),
    }
}

async fn serve_http(state: &Arc<State>, stream: impl AsyncRead + AsyncWrite + Unpin + 'static) {
    let (stop, has_asked) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    let service = service_fn(|request| {
        has_asked.store(true, Ordering::Relaxed);
        let (state, stop) = (Arc::clone(state), Arc::clone(&stop));
        async move { Ok::<_, Infallible>(respond(&state, &stop, request).await) }
    });
    let builder = builder(state);
    let stream = TokioIo::new(Stall::new(stream, state.settings.stall_timeout));
    let mut served = pin!(builder.serve_connection(stream, service));
    let mut shutdown = state.shutdown.clone();
    let mut first_request = pin!(sleep(state.settings.header_timeout));
    let (mut is_over, mut is_judged) = (false, false);
    loop {
        tokio::select! {
            result = served.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(%error, "a connection has ended");
                }
                return;
            }
            () = stop.notified() => return,
            () = first_request.as_mut(), if !is_judged => {
                is_judged = true;
                if !has_asked.load(Ordering::Relaxed) {
                    return tracing::debug!("a connection has asked for nothing");
                }
            }
            _ = shutdown.wait_for(|is_over| *is_over), if !is_over => {
                is_over = true;
                served.as_mut().graceful_shutdown();
            }
        }
    }
}

fn builder(state: &State) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(state.settings.header_timeout.max(REST))
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
