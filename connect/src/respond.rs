//! From a request to its answer.
//!
//! On the data path the version, the token and the identity of the database are looked at before the
//! body: whoever has no token costs no memory.

use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::{HeaderMap, Request, Response, StatusCode};
use prost::Message;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use crate::auth::Holder;
use crate::body::Body;
use crate::budget::SMALL_BYTES;
use crate::client::Reader;
use crate::database::Database;
use crate::drive::drive;
use crate::error::Refusal;
use crate::limits::{
    ANSWER_BYTES_MAX, EXCHANGE_BODY_MAX, QUEUE_BODY_MAX, READ_BODY_MAX, WATCH_BODY_MAX,
    WRITE_BODY_MAX,
};
use crate::metrics::Method;
use crate::negotiate::exchange;
use crate::queue;
use crate::read::Ranges;
use crate::request::{Target, collect, discard};
use crate::state::State;
use crate::watch::{self, Frames, Place};
use crate::write::{self, Write};

const VERSION: &str = "x-denokv-version";
const DATABASE_ID: &str = "x-denokv-database-id";

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";
const STREAM: &str = "application/octet-stream";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The answer to a request; `stop` closes its connection.
pub(crate) async fn respond(
    state: &Arc<State>,
    stop: &Arc<Notify>,
    request: Request<Incoming>,
) -> Response<Body> {
    let began = state.settings.clock.monotonic();
    let path = request.uri().path().to_owned();
    let target = Target::of(&path);
    let verb = target.map(Target::verb);
    let answered = match target {
        None => Err(refuse(state, request, Refusal::not_found()).await),
        Some(target) if *request.method() != target.verb() => {
            Err(refuse(state, request, Refusal::wrong_method()).await)
        }
        Some(target) => answer(state, stop, target, request).await,
    };
    let mut response = answered.unwrap_or_else(refused);
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        let verb = verb.expect("only what is known has a verb");
        let verb = HeaderValue::from_str(verb.as_str()).expect("a verb is plain text");
        response.headers_mut().insert(ALLOW, verb);
    }
    let method = target.map_or(Method::Other, |target| target.method);
    let took = state.settings.clock.monotonic().saturating_sub(began);
    state.metrics.count(method, response.status(), took);
    tracing::debug!(?method, status = response.status().as_u16(), ?took, "answered");
    response
}

/// A refusal for which nobody looks at the body.
async fn refuse(state: &State, request: Request<Incoming>, refusal: Refusal) -> Refusal {
    discard(request.into_body(), state.settings.body_timeout).await;
    refusal
}

async fn answer(
    state: &Arc<State>,
    stop: &Arc<Notify>,
    target: Target<'_>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    match target.method {
        Method::Health => return health(state),
        Method::Metrics => return metrics(state).await,
        _ => {}
    }
    let Some(index) = state.find(target.database) else {
        return Err(refuse(state, request, Refusal::not_found()).await);
    };
    let (parts, body) = request.into_parts();
    let (database, headers) = (&state.databases[index], &parts.headers);
    let limit = state.settings.body_timeout;
    if target.method == Method::Exchange {
        let body = collect(body, EXCHANGE_BODY_MAX, limit).await?;
        let (clock, random) = (&state.settings.clock, &*state.settings.random);
        let metadata = exchange(database, headers, &body, clock.wall_ms(), random)?;
        return Ok(ok(JSON, Body::whole(metadata)));
    }
    let call = match authorize(state, database, headers) {
        Ok(holder) => Call { state, stop, index, reader: state.reader(headers), holder },
        Err(refusal) => {
            discard(body, limit).await;
            return Err(refusal);
        }
    };
    match target.method {
        Method::SnapshotRead => call.read(collect(body, READ_BODY_MAX, limit).await?).await,
        Method::AtomicWrite => call.write(body).await,
        Method::Watch => call.watch(collect(body, WATCH_BODY_MAX, limit).await?),
        Method::Receive => call.receive(&collect(body, QUEUE_BODY_MAX, limit).await?).await,
        Method::Finish => call.finish(&collect(body, QUEUE_BODY_MAX, limit).await?).await,
        _ => Err(Refusal::not_found()),
    }
}

/// Who asks for the data of this database, if he may.
fn authorize(state: &State, database: &Database, headers: &HeaderMap) -> Result<Holder, Refusal> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if !matches!(text(VERSION), Some("2" | "3")) {
        return Err(Refusal::bad("Expected protocol version 2."));
    }
    let now_ms = state.settings.clock.wall_ms();
    let holder = database.tokens.authenticate_session(headers, &database.id, now_ms)?;
    let is_this = |id: &str| id.eq_ignore_ascii_case(&database.uuid);
    if text(DATABASE_ID).is_some_and(is_this) {
        Ok(holder)
    } else {
        Err(Refusal::bad("Invalid database id."))
    }
}

/// A call of the data path, by somebody who may.
struct Call<'a> {
    state: &'a Arc<State>,
    stop: &'a Arc<Notify>,
    index: usize,
    reader: Reader,
    holder: Holder,
}

impl Call<'_> {
    fn database(&self) -> &Database {
        &self.state.databases[self.index]
    }

    async fn read(&self, body: Bytes) -> Result<Response<Body>, Refusal> {
        let ranges = Ranges::decode(body)?;
        let budget = &self.state.budget;
        let mut permit = budget.small_answer().await?;
        let answer = match self.read_at_most(&ranges, SMALL_BYTES).await? {
            Some(answer) => {
                budget.shrink(&mut permit, answer.bytes);
                answer
            }
            None => {
                drop(permit);
                permit = budget.large_answer().await?;
                let answer = self.read_at_most(&ranges, ANSWER_BYTES_MAX).await?;
                answer.ok_or_else(|| Refusal::bad("The result is too large: ask for less."))?
            }
        };
        let stall = self.state.settings.stall_timeout;
        Ok(ok(PROTOBUF, Body::answer(answer, permit, stall, self.stop)))
    }

    async fn read_at_most(
        &self,
        ranges: &Ranges,
        bytes_max: usize,
    ) -> Result<Option<crate::read::Answer>, Refusal> {
        let (ranges, reader, kv) = (ranges.clone(), self.reader, self.database().kv.clone());
        let read = self.state.budget.reads.run(move || ranges.read(&kv, reader, bytes_max));
        Ok(read.await.map_err(|_| Refusal::internal())??)
    }

    async fn write(&self, body: Incoming) -> Result<Response<Body>, Refusal> {
        let (state, database) = (self.state, self.database());
        let declared = hyper::body::Body::size_hint(&body).upper();
        let declared = declared.and_then(|bytes| usize::try_from(bytes).ok());
        let bytes = declared.unwrap_or(WRITE_BODY_MAX).min(WRITE_BODY_MAX);
        let permit = state.budget.body(bytes).await?;
        let body = collect(body, WRITE_BODY_MAX, state.settings.body_timeout).await?;
        let write = Write::decode(body, state.settings.clock.wall_ms())?;
        if database.read_only {
            return Ok(ok(PROTOBUF, Body::whole(write::disabled().encode_to_vec())));
        }
        let kv = database.kv.clone();
        // From here on the write goes its way, whether or not its client is still there: a call on
        // a thread is not taken back, nor is a commit whose future is dropped.
        let submitted = state.budget.writes.run(move || write.submit(&kv)).await;
        let commit = submitted.map_err(|_| Refusal::unknown_outcome())?.await?;
        drop(permit);
        Ok(ok(PROTOBUF, Body::whole(write::output(&commit).encode_to_vec())))
    }

    fn watch(&self, body: Bytes) -> Result<Response<Body>, Refusal> {
        let (state, settings) = (self.state, &self.state.settings);
        let keys = watch::decode(body)?;
        let of_token = &state.watches_of_tokens[self.index][self.holder.0];
        let place = Place {
            pool: Arc::clone(&state.budget.frames),
            reader: self.reader,
            ping: settings.ping_interval,
            shutdown: state.shutdown.clone(),
            _permits: vec![place(of_token)?, place(&state.budget.watches)?],
        };
        let database = self.database();
        let frames = Frames::new(&database.kv, keys, database.read_only, place)?;
        Ok(ok(STREAM, Body::watch(frames, settings.stall_timeout, self.stop)))
    }
}

impl Call<'_> {
    async fn receive(&self, body: &[u8]) -> Result<Response<Body>, Refusal> {
        let (state, database) = (self.state, self.database());
        if database.read_only {
            return Err(Refusal::bad("This database is read only."));
        }
        let asked = queue::Asked::decode(body)?;
        let lease = Arc::clone(&state.leases).reserve(self.index)?;
        let receipt = lease.receipt(&*state.settings.random)?;
        let mut shutdown = state.shutdown.clone();
        let receive = database.kv.queue(&asked.queue).receive_async();
        let over = async {
            tokio::select! {
                () = sleep(asked.wait) => {}
                _ = shutdown.wait_for(|is_over| *is_over) => {}
            }
        };
        let received = drive(&state.budget.receives, receive, over).await;
        let Some(received) = received.map_err(|_| Refusal::internal())? else { return Ok(empty()) };
        let received = received?;
        let Some(message) = received else { return Err(Refusal::unavailable()) };
        let (encoding, payload) = queue::payload(message.payload(), self.reader);
        let mut response = ok(STREAM, Body::whole(payload));
        let mut put = |name, value: &str| {
            let value = HeaderValue::from_str(value).expect("it is plain text");
            response.headers_mut().insert(name, value);
        };
        put("x-icecore-message", &receipt);
        put("x-icecore-encoding", encoding);
        put("x-icecore-attempt", &message.attempt().to_string());
        put("x-icecore-last-attempt", &message.is_last_attempt().to_string());
        lease.fill(receipt, message, asked.lease, Arc::clone(&state.budget.writes));
        Ok(response)
    }

    async fn finish(&self, body: &[u8]) -> Result<Response<Body>, Refusal> {
        let ended = queue::Ended::decode(body)?;
        let message = self.state.leases.take(&ended.message, self.index);
        let message = message.ok_or_else(Refusal::attempt_over)?;
        match queue::settle(&self.state.budget.writes, message, ended.ok).await? {
            Ok(()) => Ok(empty()),
            Err(error) if error.kind() == icecore::ErrorKind::InvalidArgument => {
                Err(Refusal::attempt_over())
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn empty() -> Response<Body> {
    let mut response = Response::new(Body::whole(""));
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn place(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Refusal> {
    Arc::clone(places).try_acquire_owned().map_err(|_| Refusal::too_many_watches())
}

/// Whether the server can do its work.
fn health(state: &State) -> Result<Response<Body>, Refusal> {
    let is_well =
        |database: &Database| database.kv.stats().is_ok_and(|stats| stats.poisoned.is_none());
    if *state.shutdown.borrow() || !state.databases.iter().all(is_well) {
        return Err(Refusal::unavailable());
    }
    Ok(ok(TEXT, Body::whole("ok\n")))
}

async fn metrics(state: &Arc<State>) -> Result<Response<Body>, Refusal> {
    let shared = Arc::clone(state);
    let text = state.budget.reads.run(move || {
        let watches = shared.settings.watches_max - shared.budget.watches.available_permits();
        shared.metrics.text(&shared.databases, watches)
    });
    let text = text.await.map_err(|_| Refusal::internal())?;
    Ok(ok(PROMETHEUS, Body::whole(text)))
}

fn ok(kind: &'static str, body: Body) -> Response<Body> {
    response(StatusCode::OK, kind, body)
}

fn refused(refusal: Refusal) -> Response<Body> {
    let mut response = response(refusal.status, TEXT, Body::whole(refusal.text));
    if refusal.status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn response(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
