//! From a request to its answer.
//!
//! 1. *The token is looked at before the body*: whoever has none costs no memory. The reference server
//!    looks at it last where metadata is exchanged, which only decides of two errors which is told.
//! 2. An address that shows wrong tokens again and again is refused without a look.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::{HeaderMap, Request, Response, StatusCode};

use crate::account::Account;
use crate::auth::Holder;
use crate::body::{Body, Content};
use crate::call::Call;
use crate::database::Database;
use crate::error::Refusal;
use crate::limits::{
    EXCHANGE_BODY_MAX, QUEUE_BODY_MAX, READ_BODY_MAX, WATCH_BODY_MAX, WRITE_BODY_MAX,
};
use crate::metrics::Method;
use crate::negotiate::exchange;
use crate::peer::Peer;
use crate::request::{Collector, Target, discard};
use crate::state::State;

const VERSION: &str = "x-denokv-version";
const DATABASE_ID: &str = "x-denokv-database-id";

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The answer to a request.
pub(crate) async fn respond(
    state: &Arc<State>,
    peer: &Peer,
    request: Request<Incoming>,
) -> Response<Body> {
    peer.has_asked.store(true, Ordering::Relaxed);
    let began = state.settings.clock.monotonic();
    let path = request.uri().path().to_owned();
    let target = Target::of(&path);
    let verb = target.map(Target::verb);
    let answered = match target {
        None => Err(refuse(state, request, Refusal::not_found()).await),
        Some(target) if *request.method() != target.verb() => {
            Err(refuse(state, request, Refusal::wrong_method()).await)
        }
        Some(target) => answer(state, peer, target, request).await,
    };
    peer.note_free_answer();
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
    response.map(|content| Body::new(content, peer.pulse()))
}

/// A refusal for which nobody looks at the body.
async fn refuse(state: &State, request: Request<Incoming>, refusal: Refusal) -> Refusal {
    discard(&state.budget, request.into_body(), state.settings.body_timeout).await;
    refusal
}

async fn answer(
    state: &Arc<State>,
    peer: &Peer,
    target: Target<'_>,
    request: Request<Incoming>,
) -> Result<Response<Content>, Refusal> {
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
    let is_exchange = target.method == Method::Exchange;
    let (holder, account) = match identify(state, peer, database, headers, is_exchange) {
        Ok(identified) => identified,
        Err(refusal) => {
            discard(&state.budget, body, state.settings.body_timeout).await;
            return Err(refusal);
        }
    };
    let limit = state.settings.body_timeout;
    let collector = Collector { budget: &state.budget, account: &account, limit };
    let call = Call { state, index, reader: state.reader(headers), account: &account };
    match target.method {
        Method::Exchange => {
            let body = collector.collect(body, EXCHANGE_BODY_MAX).await?;
            let (clock, random) = (&state.settings.clock, &*state.settings.random);
            let tokens = &database.accounts().tokens;
            let metadata = exchange(database, tokens, holder, &body.bytes, clock.wall_ms(), random);
            Ok(ok(JSON, Content::Whole(metadata?)))
        }
        Method::SnapshotRead => call.read(collector.collect(body, READ_BODY_MAX).await?).await,
        Method::AtomicWrite => call.write(collector.collect(body, WRITE_BODY_MAX).await?).await,
        Method::Watch => call.watch(collector.collect(body, WATCH_BODY_MAX).await?),
        Method::Receive => call.receive(collector.collect(body, QUEUE_BODY_MAX).await?).await,
        Method::Finish => call.finish(collector.collect(body, QUEUE_BODY_MAX).await?).await,
        _ => Err(Refusal::not_found()),
    }
}

/// Who asks, by his access token in an exchange and by his session token elsewhere, where the version
/// and the database must be right as well.
fn identify(
    state: &State,
    peer: &Peer,
    database: &Database,
    headers: &HeaderMap,
    is_exchange: bool,
) -> Result<(Holder, Arc<Account>), Refusal> {
    let (attempts, now) = (&state.attempts, state.settings.clock.monotonic());
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if !is_exchange && !matches!(text(VERSION), Some("2" | "3")) {
        return Err(Refusal::bad("Expected protocol version 2."));
    }
    let accounts = database.accounts();
    let found = if is_exchange {
        attempts.check(peer.address, now)?;
        accounts.tokens.authenticate(headers)
    } else {
        let now_ms = state.settings.clock.wall_ms();
        accounts.tokens.authenticate_session(headers, &database.id, now_ms)
    };
    match found {
        Ok(holder) => {
            peer.know();
            let is_this = |id: &str| id.eq_ignore_ascii_case(&database.uuid);
            if is_exchange || text(DATABASE_ID).is_some_and(is_this) {
                Ok((holder, accounts.get(holder.0)))
            } else {
                Err(Refusal::bad("Invalid database id."))
            }
        }
        Err(refusal) => {
            let judged = attempts.check(peer.address, now);
            attempts.note(peer.address, now);
            Err(judged.err().unwrap_or(refusal))
        }
    }
}

/// Whether the server can do its work.
fn health(state: &State) -> Result<Response<Content>, Refusal> {
    let is_well =
        |database: &Database| database.kv.stats().is_ok_and(|stats| stats.poisoned.is_none());
    if *state.shutdown.borrow() || !state.databases.iter().all(is_well) {
        return Err(Refusal::unavailable());
    }
    Ok(ok(TEXT, Content::Whole("ok\n".into())))
}

async fn metrics(state: &Arc<State>) -> Result<Response<Content>, Refusal> {
    // Nobody has to show a token for it, so it is bounded by itself.
    let place = Arc::clone(&state.budget.pages).try_acquire_owned();
    let place = place.map_err(|_| Refusal::unavailable())?;
    let shared = Arc::clone(state);
    let text = state.budget.figures.run(move || {
        let watches = shared.settings.watches_max - shared.budget.watches.available_permits();
        shared.metrics.text(&shared.databases, watches, shared.budget.sent_bytes())
    });
    let text = text.await.map_err(|_| Refusal::internal())?;
    Ok(ok(PROMETHEUS, Content::Placed(text.into(), place)))
}

pub(crate) fn ok(kind: &'static str, content: Content) -> Response<Content> {
    response(StatusCode::OK, kind, content)
}

fn refused(refusal: Refusal) -> Response<Content> {
    let mut response = response(refusal.status, TEXT, Content::Whole(refusal.text.into()));
    if refusal.status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn response(status: StatusCode, kind: &'static str, content: Content) -> Response<Content> {
    let mut response = Response::new(content);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
