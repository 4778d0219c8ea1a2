//! The calls of the data path, by somebody who may.
//!
//! *What was begun is brought to its end*, whether or not its client is still there: a write goes its
//! way once it is handed over to the store, and so does what becomes of a message.

use std::sync::Arc;

use hyper::{Response, StatusCode};
use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::account::Account;
use crate::body::Content;
use crate::budget::{Kind, SMALL_BYTES};
use crate::client::Reader;
use crate::database::Database;
use crate::error::Refusal;
use crate::limits::ANSWER_BYTES_MAX;
use crate::queue::{self, Given};
use crate::read::{Answer, Ranges};
use crate::request::Collected;
use crate::respond::ok;
use crate::state::State;
use crate::watch::{self, Frames, Place};
use crate::write::{self, Write};

const PROTOBUF: &str = "application/x-protobuf";
const STREAM: &str = "application/octet-stream";

/// A call of the data path, by somebody who may.
pub(crate) struct Call<'a> {
    pub(crate) state: &'a Arc<State>,
    pub(crate) index: usize,
    pub(crate) reader: Reader,
    pub(crate) account: &'a Arc<Account>,
}

impl Call<'_> {
    fn database(&self) -> &Database {
        &self.state.databases[self.index]
    }

    pub(crate) async fn read(&self, body: Collected) -> Result<Response<Content>, Refusal> {
        let ranges = Ranges::decode(body.bytes.clone())?;
        let (budget, share) = (&self.state.budget, &self.account.share);
        let mut payment = budget.pay(share, Kind::SmallAnswers, SMALL_BYTES).await?;
        let answer = match self.read_at_most(&ranges, SMALL_BYTES).await? {
            Some(answer) => answer,
            None => {
                drop(payment);
                payment = budget.pay(share, Kind::LargeAnswers, ANSWER_BYTES_MAX).await?;
                let answer = self.read_at_most(&ranges, ANSWER_BYTES_MAX).await?;
                answer.ok_or_else(|| Refusal::bad("The result is too large: ask for less."))?
            }
        };
        payment.shrink(answer.bytes);
        Ok(ok(PROTOBUF, Content::Answer(answer, payment)))
    }

    async fn read_at_most(
        &self,
        ranges: &Ranges,
        bytes_max: usize,
    ) -> Result<Option<Answer>, Refusal> {
        let (ranges, reader, kv) = (ranges.clone(), self.reader, self.database().kv.clone());
        let read = self.state.budget.reads.run(move || ranges.read(&kv, reader, bytes_max));
        Ok(read.await.map_err(|_| Refusal::internal())??)
    }

    pub(crate) async fn write(&self, body: Collected) -> Result<Response<Content>, Refusal> {
        let (state, database) = (self.state, self.database());
        let write = Write::decode(body.bytes.clone(), state.settings.clock.wall_ms())?;
        if database.read_only {
            return Ok(ok(PROTOBUF, Content::Whole(write::disabled().encode_to_vec().into())));
        }
        let kv = database.kv.clone();
        // From here on the write goes its way, whether or not its client is still there: a call on
        // a thread is not taken back, nor is a commit whose future is dropped.
        let submitted = state.budget.writes.run(move || (write.submit(&kv), body)).await;
        let (commit, body) = submitted.map_err(|_| Refusal::unknown_outcome())?;
        let commit = commit.await?;
        drop(body);
        Ok(ok(PROTOBUF, Content::Whole(write::output(&commit).encode_to_vec().into())))
    }

    pub(crate) fn watch(&self, body: Collected) -> Result<Response<Content>, Refusal> {
        let (state, database) = (self.state, self.database());
        let keys = watch::decode(body.bytes)?;
        let place = Place {
            state: Arc::clone(state),
            account: Arc::clone(self.account),
            reader: self.reader,
            _permits: [place(&self.account.share.watches)?, place(&state.budget.watches)?],
        };
        let frames = Frames::new(&database.kv, keys, database.read_only, place)?;
        Ok(ok(STREAM, Content::Watch(Box::new(frames))))
    }

    pub(crate) async fn receive(&self, body: Collected) -> Result<Response<Content>, Refusal> {
        if self.database().read_only {
            return Err(Refusal::bad("This database is read only."));
        }
        let asked = queue::Asked::decode(&body.bytes)?;
        drop(body);
        let lease = asked.lease;
        let kv = &self.database().kv;
        let Some(given) = Given::wait(self.state, self.account, (self.index, kv), asked).await?
        else {
            return Ok(empty());
        };
        let message = given.message();
        let (encoding, payload) = queue::payload(message.payload(), self.reader);
        let mut response = ok(STREAM, Content::Whole(payload));
        let mut put = |name, value: &str| {
            let value = value.parse().expect("it is plain text");
            response.headers_mut().insert(name, value);
        };
        put("x-icecore-message", given.receipt());
        put("x-icecore-encoding", encoding);
        put("x-icecore-attempt", &message.attempt().to_string());
        put("x-icecore-last-attempt", &message.is_last_attempt().to_string());
        given.keep(lease);
        Ok(response)
    }

    pub(crate) async fn finish(&self, body: Collected) -> Result<Response<Content>, Refusal> {
        let ended = queue::Ended::decode(&body.bytes)?;
        let leased = self.state.leases.take(&ended.message, self.index);
        let leased = leased.ok_or_else(Refusal::attempt_over)?;
        let pool = Arc::clone(&self.state.budget.writes);
        // A task of its own: a message that was taken must not fail because its receiver has gone.
        let settled = tokio::spawn(async move { queue::settle(&pool, leased, ended.ok).await });
        match settled.await.map_err(|_| Refusal::unknown_outcome())?? {
            Ok(()) => Ok(empty()),
            Err(error) if error.kind() == icecore::ErrorKind::InvalidArgument => {
                Err(Refusal::attempt_over())
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn empty() -> Response<Content> {
    let mut response = Response::new(Content::Whole("".into()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn place(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Refusal> {
    Arc::clone(places).try_acquire_owned().map_err(|_| Refusal::too_many_watches())
}
