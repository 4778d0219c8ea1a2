//! A server of one page that does what a test says, over HTTP/2 on a port of its own.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};

/// A request that has come, all of it.
#[derive(Clone, Debug)]
pub(crate) struct Came {
    /// `/`, or `snapshot_read`, `atomic_write`, `watch`.
    pub(crate) method: String,
    pub(crate) token: String,
    pub(crate) body: Bytes,
    /// How many requests of this method came before it.
    pub(crate) earlier: usize,
}

/// What a test lets the server do with it.
pub(crate) enum Answer {
    /// Status, type and body.
    Reply(u16, &'static str, Vec<u8>),
    /// The connection ends, and no answer comes.
    Lost,
    /// Pieces of a body; the stream stays open if this says so.
    Stream(Vec<Bytes>, bool),
}

pub(crate) const PROTOBUF: &str = "application/x-protobuf";
pub(crate) const JSON: &str = "application/json";
pub(crate) const TEXT: &str = "text/plain";

/// Metadata that are right.
pub(crate) fn metadata(came: &Came) -> Answer {
    metadata_of(&format!("session-{}", came.earlier), "/v2", 3, "2099-11-23T19:58:51Z")
}

pub(crate) fn metadata_of(token: &str, endpoint: &str, version: u32, expires: &str) -> Answer {
    let json = format!(
        r#"{{"version":{version},"databaseId":"00112233-4455-6677-8899-aabbccddeeff","endpoints":[{{"url":"{endpoint}","consistency":"strong"}}],"token":"{token}","expiresAt":"{expires}"}}"#
    );
    Answer::Reply(200, JSON, json.into_bytes())
}

type Script = Arc<dyn Fn(&Came) -> Answer + Send + Sync>;

/// The server, until it is dropped.
pub(crate) struct Scripted {
    pub(crate) url: String,
    came: Arc<Mutex<Vec<Came>>>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Scripted {
    #[expect(clippy::disallowed_methods, reason = "the server is another program, in truth")]
    pub(crate) fn start(script: impl Fn(&Came) -> Answer + Send + Sync + 'static) -> Scripted {
        let (script, came): (Script, _) = (Arc::new(script), Arc::<Mutex<Vec<Came>>>::default());
        let log = Arc::clone(&came);
        let (end, ended) = oneshot::channel::<()>();
        let (tell, told) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                tokio::select! {
                    () = accept(listener, script, log) => {}
                    _ = ended => {}
                }
            });
        });
        let url = format!("http://{}", told.recv().unwrap());
        Scripted { url, came, end: Some(end), thread: Some(thread) }
    }

    /// The requests of this method that have come.
    pub(crate) fn came(&self, method: &str) -> Vec<Came> {
        let came = self.came.lock().unwrap();
        came.iter().filter(|came| came.method == method).cloned().collect()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        drop(self.end.take());
        self.thread.take().unwrap().join().unwrap_or_else(|_| eprintln!("a script has panicked"));
    }
}

async fn accept(listener: TcpListener, script: Script, log: Arc<Mutex<Vec<Came>>>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (script, log, kill) = (Arc::clone(&script), Arc::clone(&log), Arc::new(Notify::new()));
        let killed = Arc::clone(&kill);
        let service = service_fn(move |request| {
            answer(request, Arc::clone(&script), Arc::clone(&log), Arc::clone(&kill))
        });
        let connection = http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            tokio::select! {
                ended = connection => ended.unwrap_or_default(),
                () = killed.notified() => {}
            }
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    script: Script,
    log: Arc<Mutex<Vec<Came>>>,
    kill: Arc<Notify>,
) -> Result<Response<Pieces>, Infallible> {
    let method = request.uri().path().rsplit('/').next().filter(|last| !last.is_empty());
    let method = method.unwrap_or("/").to_owned();
    let token = request.headers()["authorization"].to_str().unwrap().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let came = {
        let mut log = log.lock().unwrap();
        let earlier = log.iter().filter(|came| came.method == method).count();
        log.push(Came { method, token, body, earlier });
        log.last().unwrap().clone()
    };
    let (status, kind, pieces, hangs) = match script(&came) {
        Answer::Reply(status, kind, body) => (status, kind, vec![body.into()], false),
        Answer::Stream(pieces, hangs) => (200, "application/octet-stream", pieces, hangs),
        Answer::Lost => {
            kill.notify_one();
            std::future::pending().await
        }
    };
    let response = Response::builder().status(status).header("content-type", kind);
    Ok(response.body(Pieces { left: pieces.into(), hangs }).unwrap())
}

/// A body of pieces, which may stay open.
struct Pieces {
    left: VecDeque<Bytes>,
    hangs: bool,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.left.pop_front() {
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            None if self.hangs => Poll::Pending,
            None => Poll::Ready(None),
        }
    }
}
