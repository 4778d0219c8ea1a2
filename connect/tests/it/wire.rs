//! Requests, as a program sends them with HTTP/1.1 over a plain socket, and with HTTP/2 by prior
//! knowledge.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How a request is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

pub(crate) const BOTH: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) verb: &'static str,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| &**value)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Status and text.
    pub(crate) fn told(&self) -> (u16, &str) {
        (self.status, self.text())
    }
}

impl Call {
    pub(crate) fn new(verb: &'static str, path: &str) -> Call {
        Call { verb, path: path.to_owned(), headers: Vec::new(), body: Bytes::new() }
    }

    pub(crate) fn post(path: &str, body: impl Into<Bytes>) -> Call {
        Call { body: body.into(), ..Call::new("POST", path) }
    }

    /// With this header instead of any other of its name.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Call {
        self = self.without(name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Call {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    pub(crate) async fn send(&self, address: SocketAddr, protocol: Protocol) -> Reply {
        match protocol {
            Protocol::Http1 => self.send_http1(address).await,
            Protocol::Http2 => self.send_http2(address).await,
        }
    }

    /// The bytes of the request.
    pub(crate) fn bytes(&self, last: &str) -> Vec<u8> {
        let Call { verb, path, headers, body } = self;
        let mut head = format!("{verb} {path} HTTP/1.1\r\nhost: icecore\r\n{last}");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("content-length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    }

    async fn send_http1(&self, address: SocketAddr) -> Reply {
        raw(address, &self.bytes("connection: close\r\n")).await.unwrap()
    }

    async fn send_http2(&self, address: SocketAddr) -> Reply {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let stream = TokioIo::new(stream);
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        let driven = tokio::spawn(connection);
        let uri = format!("http://{address}{}", self.path);
        let mut request = Request::builder().method(self.verb).uri(uri);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(self.body.clone())).unwrap();
        let response = sender.send_request(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let text = |value: &hyper::header::HeaderValue| value.to_str().unwrap().to_owned();
        let headers = parts.headers.iter();
        let headers = headers.map(|(name, value)| (name.to_string(), text(value))).collect();
        let body = body.collect().await.unwrap().to_bytes();
        drop(sender);
        driven.await.unwrap().unwrap();
        Reply { status: parts.status.as_u16(), headers, body }
    }
}

/// Sends these bytes, and reads until the other end closes; `None` if that is before an answer.
pub(crate) async fn raw(address: SocketAddr, bytes: &[u8]) -> Option<Reply> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The other end may have heard enough before all is sent.
    stream.write_all(bytes).await.unwrap_or_default();
    read_reply(&mut stream).await
}

/// Reads until the other end closes.
pub(crate) async fn read_reply(stream: &mut TcpStream) -> Option<Reply> {
    let mut all = Vec::new();
    // A reset after the answer is an end as well.
    stream.read_to_end(&mut all).await.unwrap_or_default();
    parse(&all)
}

fn parse(all: &[u8]) -> Option<Reply> {
    let end = all.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&all[..end]).unwrap();
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().unwrap();
    let header = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_owned(), value.to_owned())
    };
    let headers: Vec<_> = lines.map(header).collect();
    let is_chunked = headers.iter().any(|(name, _)| name == "transfer-encoding");
    let body = &all[end + 4..];
    let body = if is_chunked { dechunk(body) } else { body.to_vec() };
    Some(Reply { status, headers, body: body.into() })
}

/// What is in the chunks, as far as they came.
fn dechunk(mut chunked: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = chunked.windows(2).position(|bytes| bytes == b"\r\n") {
        let length = std::str::from_utf8(&chunked[..end]).unwrap();
        let length = usize::from_str_radix(length, 16).unwrap();
        let data = &chunked[end + 2..];
        if length == 0 || data.len() < length + 2 {
            break;
        }
        body.extend_from_slice(&data[..length]);
        chunked = &data[length + 2..];
    }
    body
}
