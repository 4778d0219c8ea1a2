//! One connection to a server of KV Connect, as lean as it can be: the load must not be what is
//! measured.
//!
//! Calls go over HTTP/1.1, one after the other; streams over HTTP/2, many in one connection. Both
//! are in the clear.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use icecore_wire::metadata::{Exchange, Metadata};
use prost::Message;
use tokio::net::TcpStream;

/// Where the data path of a server is, and what it wants to see there.
#[derive(Clone, Debug)]
pub(super) struct Session {
    address: SocketAddr,
    path: String,
    headers: HeaderMap,
}

impl Session {
    /// Shows the access token.
    pub(super) async fn begin(address: SocketAddr, token: &str) -> Result<Session, String> {
        let mut headers = HeaderMap::new();
        put(&mut headers, HOST, &address.to_string())?;
        put(&mut headers, AUTHORIZATION, &format!("Bearer {token}"))?;
        put(&mut headers, CONTENT_TYPE, "application/json")?;
        let mut session = Session { address, path: String::new(), headers };
        let exchange = Exchange { supported_versions: vec![3] };
        let body = serde_json::to_vec(&exchange).expect("a list of numbers is JSON");
        let answer = Client::connect(&session).await?.post("", body.into()).await?;
        let metadata: Metadata<'_> = serde_json::from_slice(&answer)
            .map_err(|error| format!("the metadata are not understood: {error}"))?;
        let endpoint = metadata.endpoints.iter().find(|endpoint| endpoint.consistency == "strong");
        let path = endpoint.and_then(|endpoint| endpoint.url.strip_prefix('/'));
        let path = path.ok_or("the metadata name no strong endpoint on the same server")?;
        session.path = format!("{path}/");
        let headers = &mut session.headers;
        put(headers, AUTHORIZATION, &format!("Bearer {}", metadata.token))?;
        put(headers, CONTENT_TYPE, "application/x-protobuf")?;
        let version = metadata.version.to_string();
        put(headers, HeaderName::from_static("x-denokv-version"), &version)?;
        put(headers, HeaderName::from_static("x-denokv-database-id"), &metadata.database_id)?;
        Ok(session)
    }

    async fn stream(&self) -> Result<TokioIo<TcpStream>, String> {
        let stream = TcpStream::connect(self.address).await.map_err(lost)?;
        stream.set_nodelay(true).map_err(lost)?;
        Ok(TokioIo::new(stream))
    }

    fn request(&self, uri: String, body: Bytes) -> Result<Request<Full<Bytes>>, String> {
        let request = Request::post(uri).body(Full::new(body));
        let mut request = request.map_err(|error| format!("no request: {error}"))?;
        self.headers.clone_into(request.headers_mut());
        Ok(request)
    }
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) -> Result<(), String> {
    let value = HeaderValue::from_str(value).map_err(|error| format!("{name}: {error}"))?;
    headers.insert(name, value);
    Ok(())
}

fn lost(error: impl std::fmt::Display) -> String {
    format!("the connection was lost: {error}")
}

/// A connection for calls.
#[derive(Debug)]
pub(super) struct Client {
    session: Session,
    sender: http1::SendRequest<Full<Bytes>>,
}

impl Client {
    pub(super) async fn connect(session: &Session) -> Result<Client, String> {
        let (sender, connection) = http1::handshake(session.stream().await?).await.map_err(lost)?;
        // How it ends is told by the call that is under way.
        tokio::spawn(async { drop(connection.await) });
        Ok(Client { session: session.clone(), sender })
    }

    /// Calls `method`, and gives its answer.
    pub(super) async fn call<A>(&mut self, method: &str, body: &impl Message) -> Result<A, String>
    where
        A: Message + Default,
    {
        let answer = self.post(method, body.encode_to_vec().into()).await?;
        A::decode(answer).map_err(|error| format!("the answer of {method}: {error}"))
    }

    async fn post(&mut self, method: &str, body: Bytes) -> Result<Bytes, String> {
        let request = self.session.request(format!("/{}{method}", self.session.path), body)?;
        self.sender.ready().await.map_err(lost)?;
        let response = self.sender.send_request(request).await.map_err(lost)?;
        whole(response).await
    }
}

/// The body of an answer that is none of trouble.
async fn whole(response: Response<Incoming>) -> Result<Bytes, String> {
    let status = response.status();
    let body = response.into_body().collect().await.map_err(lost)?.to_bytes();
    if status == StatusCode::OK {
        return Ok(body);
    }
    Err(format!("answered with {status}: {}", String::from_utf8_lossy(&body)))
}

/// A connection for streams.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    session: Session,
    sender: http2::SendRequest<Full<Bytes>>,
}

impl Streams {
    pub(super) async fn connect(session: &Session) -> Result<Streams, String> {
        let stream = session.stream().await?;
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), stream).await.map_err(lost)?;
        // How it ends is told by its streams.
        tokio::spawn(async { drop(connection.await) });
        Ok(Streams { session: session.clone(), sender })
    }

    /// Opens a stream of `method`.
    pub(super) async fn open(
        &mut self,
        method: &str,
        body: &impl Message,
    ) -> Result<Incoming, String> {
        let Session { address, path, .. } = &self.session;
        let uri = format!("http://{address}/{path}{method}");
        let mut request = self.session.request(uri, body.encode_to_vec().into())?;
        // HTTP/2 has it in the URI.
        request.headers_mut().remove(HOST);
        self.sender.ready().await.map_err(lost)?;
        let response = self.sender.send_request(request).await.map_err(lost)?;
        if response.status() == StatusCode::OK {
            return Ok(response.into_body());
        }
        whole(response).await.and(Err("an empty refusal".to_owned()))
    }
}
