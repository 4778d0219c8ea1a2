//! Pages over HTTP, with axum: several people edit them, and nobody overwrites what they have not
//! seen.
//!
//! ```text
//! GET /page/{name}     the text; its versionstamp is the ETag
//! PUT /page/{name}     stores the text, if the page is still as If-Match says;
//!                      without If-Match, if there is no such page yet
//! ```
//!
//! `get` reads from memory, or a table that is mapped into it, so a handler calls it directly.
//! `commit_async` waits for the disk without blocking a thread of the runtime. The program sends
//! its requests to itself, without a network.
//!
//! ```text
//! cargo run -p icecore --example async_handler
//! ```

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use icecore::{Commit, Error, ErrorKind, Kv, Versionstamp, key};
use tower::ServiceExt;

/// An error of the store, as a client sees it.
struct Failure(Error);

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = match self.0.kind() {
            ErrorKind::InvalidArgument => StatusCode::BAD_REQUEST,
            ErrorKind::LimitExceeded { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorKind::OutOfSpace => StatusCode::INSUFFICIENT_STORAGE,
            ErrorKind::Poisoned | ErrorKind::Closed => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, self.0.to_string()).into_response()
    }
}

fn etag(versionstamp: Versionstamp) -> [(header::HeaderName, String); 1] {
    [(header::ETAG, format!("\"{versionstamp}\""))]
}

async fn read(State(kv): State<Kv>, Path(name): Path<String>) -> Result<Response, Failure> {
    let page = kv.get(key!["page", name])?;
    let Some(versionstamp) = page.versionstamp else {
        return Ok(StatusCode::NOT_FOUND.into_response());
    };
    Ok((etag(versionstamp), page.str()?.to_owned()).into_response())
}

async fn write(
    State(kv): State<Kv>,
    Path(name): Path<String>,
    headers: HeaderMap,
    text: String,
) -> Result<Response, Failure> {
    let expected = match headers.get(header::IF_MATCH) {
        None => None,
        Some(tag) => {
            let tag = tag.to_str().unwrap_or_default().trim_matches('"');
            let Ok(versionstamp) = tag.parse() else {
                return Ok(StatusCode::PRECONDITION_FAILED.into_response());
            };
            Some(versionstamp)
        }
    };
    let page = key!["page", name];
    let commit = kv.atomic().check_versionstamp(&page, expected).set(&page, text).commit_async();
    Ok(match commit.await? {
        Commit::Done { versionstamp } => (etag(versionstamp), "stored").into_response(),
        Commit::CheckFailed { .. } => StatusCode::PRECONDITION_FAILED.into_response(),
    })
}

fn router(kv: Kv) -> Router {
    Router::new().route("/page/{name}", get(read).put(write)).with_state(kv)
}

/// Sends a request: the status, the ETag and the body of the answer.
async fn send(
    router: &Router,
    method: &str,
    tag: Option<&str>,
    text: &str,
) -> (StatusCode, Option<String>, String) {
    let mut request = Request::builder().method(method).uri("/page/home");
    if let Some(tag) = tag {
        request = request.header(header::IF_MATCH, tag);
    }
    let request = request.body(Body::from(text.to_owned())).expect("the request is well-formed");
    let response = router.clone().oneshot(request).await.expect("a router does not fail");
    let status = response.status();
    let tag = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok());
    let tag = tag.map(str::to_owned);
    let body = to_bytes(response.into_body(), 1 << 20).await.expect("the body is in memory");
    (status, tag, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let kv = Kv::in_memory()?;
    let router = router(kv.clone());

    assert_eq!(send(&router, "GET", None, "").await.0, StatusCode::NOT_FOUND);
    let (status, first, _) = send(&router, "PUT", None, "hello").await;
    assert_eq!(status, StatusCode::OK);
    let (_, tag, text) = send(&router, "GET", None, "").await;
    assert_eq!((&tag, &*text), (&first, "hello"));

    // Two people have read the page, and both write it. The second one has to read again.
    let (status, second, _) = send(&router, "PUT", tag.as_deref(), "hello, world").await;
    assert_eq!(status, StatusCode::OK);
    let (status, ..) = send(&router, "PUT", tag.as_deref(), "goodbye").await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED);
    let (status, ..) = send(&router, "PUT", second.as_deref(), "hello and goodbye").await;
    assert_eq!(status, StatusCode::OK);

    // A value of more than 64 KiB is refused, by the limits of this store.
    let long = "x".repeat(65_537);
    let (status, _, text) = send(&router, "PUT", None, &long).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{text}");

    assert_eq!(kv.get(key!["page", "home"])?.str()?, "hello and goodbye");
    println!("nobody was overwritten unseen");
    Ok(())
}

#[test]
fn nobody_overwrites_what_they_have_not_seen() -> Result<(), Error> {
    main()
}
