//! One request, and its answer.
//!
//! 1. *Whether a request may have been sent is known in every case*: [`Failure::NotSent`] says that
//!    no byte of it has left, which hyper tells by giving the request back.
//! 2. *An answer has a length at most*, which depends on what was asked, and a declared length is
//!    not believed: memory grows by what has come.

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode, Uri};
use tokio::time::{Instant, timeout_at};

use crate::address::Origin;
use crate::connection::Connections;
use crate::error::chain;

/// As whom a client introduces itself. The server rewrites no value for it.
const AGENT: &str = concat!("icecore/", env!("CARGO_PKG_VERSION"));

/// How much is read of the text of a refusal, and shown.
const TEXT_BYTES_MAX: usize = 4 << 10;
const TEXT_CHARS_MAX: usize = 512;

/// A request that is about to be posted.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    pub(crate) origin: Origin,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The request was not sent.
    NotSent(String),
    /// The request was sent, or a part of it, and what became of it is not known.
    Lost(String),
}

impl Failure {
    pub(crate) fn text(self) -> String {
        match self {
            Failure::NotSent(text) | Failure::Lost(text) => text,
        }
    }
}

impl Post {
    /// Sends the request, and gives the head of its answer.
    pub(crate) async fn send(
        self,
        connections: &Connections,
        deadline: Instant,
    ) -> Result<Response<Incoming>, Failure> {
        let late = |_| Failure::NotSent("there was no connection in time".to_owned());
        let connecting = timeout_at(deadline, connections.to(&self.origin));
        let mut sender = connecting.await.map_err(late)?.map_err(Failure::NotSent)?;
        let ready = timeout_at(deadline, sender.ready()).await.map_err(late)?;
        ready.map_err(|error| Failure::NotSent(chain(&error)))?;
        let mut request = Request::new(Full::new(self.body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = self.headers;
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
        match timeout_at(deadline, sender.try_send_request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if error.message().is_some() => {
                Err(Failure::NotSent(chain(&error.into_error())))
            }
            Ok(Err(error)) => Err(Failure::Lost(chain(&error.into_error()))),
            Err(_) => Err(Failure::Lost("no answer came in time".to_owned())),
        }
    }
}

/// The body of an answer, of at most `max` bytes.
pub(crate) async fn collect(
    mut body: Incoming,
    max: usize,
    deadline: Instant,
) -> Result<Bytes, Collecting> {
    let mut collected = BytesMut::new();
    loop {
        let frame = timeout_at(deadline, body.frame()).await;
        let frame = frame.map_err(|_| Collecting::Ended("the answer took too long".to_owned()))?;
        let Some(frame) = frame else { return Ok(collected.freeze()) };
        let frame = frame.map_err(|error| Collecting::Ended(chain(&error)))?;
        // Trailers say nothing.
        let Ok(data) = frame.into_data() else { continue };
        if collected.len() + data.len() > max {
            return Err(Collecting::TooLong(format!("the answer has more than {max} bytes")));
        }
        collected.extend_from_slice(&data);
    }
}

/// Why an answer is not whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Collecting {
    /// It ended, or came too slowly.
    Ended(String),
    /// It is longer than any that makes sense.
    TooLong(String),
}

/// What a refusal says, as far as it can be shown.
pub(crate) async fn text(response: Response<Incoming>, deadline: Instant) -> String {
    // Without a text the status has to do.
    let bytes = collect(response.into_body(), TEXT_BYTES_MAX, deadline).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let shown = text.trim().chars().take(TEXT_CHARS_MAX);
    shown.map(|char| if char.is_control() { ' ' } else { char }).collect()
}

/// A status and the text that came with it.
pub(crate) fn status_text(status: StatusCode, text: &str) -> String {
    if text.is_empty() { format!("status {status}") } else { format!("status {status}: {text}") }
}

/// Whether an answer is of one of these types, whatever parameters are named with it.
pub(crate) fn is_of_type(response: &Response<Incoming>, types: &[&str]) -> bool {
    let value = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next()).map(str::trim);
    essence.is_some_and(|essence| types.iter().any(|kind| essence.eq_ignore_ascii_case(kind)))
}

/// What an answer of a wrong type is called.
pub(crate) fn type_text(response: &Response<Incoming>) -> String {
    let shown = response.headers().get(CONTENT_TYPE);
    let shown = shown.map_or_else(String::new, |v| String::from_utf8_lossy(v.as_bytes()).into());
    format!("the answer has the content type {shown:?}: this is no KV Connect endpoint")
}
