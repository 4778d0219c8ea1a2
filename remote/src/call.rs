//! Calls: which are sent again, and which never.
//!
//! 1. *A read is sent again* whenever its answer is missing or says that it may work later, until
//!    its deadline.
//! 2. *A write is sent again only if it certainly was not carried out*: no byte of it was sent, or
//!    the answer says so. That is 401 and 403, with another session and once, and 503 with the text
//!    by which the servers of Icecore and Deno say that they have not begun. Any other 503 may come
//!    from something in between that has lost the answer.
//! 3. *A write whose answer is lost is never sent again*: it has no name by which the far end could
//!    know it, so that a sum would be added twice, and a check would fail by the write's own doing.
//! 4. Nothing of an answer is believed that the question does not bear out: ranges, entries and
//!    checks are counted, and keys lie where and in the order in which they were asked for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::{Response, StatusCode};
use icecore_disk::Random;
use icecore_wire::message::{
    AtomicWrite, AtomicWriteOutput, ReadRange, ReadRangeOutput, SnapshotRead, SnapshotReadOutput,
    read_status, write_status,
};
use prost::Message;
use tokio::time::{Instant, sleep};

use crate::backoff::Backoff;
use crate::connection::Connections;
use crate::error::{Error, ErrorKind};
use crate::post::{Collecting, Failure, collect, is_of_type, status_text, text, type_text};
use crate::session::{Consistency, NoSession, Session, Sessions};

/// With this text a server says that it has not begun. It is written like this in the reference.
const UNAVAILABLE: &str = "The server is temporarially unavailable, try again later.";

const PROTOBUF: [&str; 2] = ["application/x-protobuf", "application/protobuf"];

/// Bytes of the answer to a read: a thousand of the largest entries that Deno knows, and a third
/// more.
const READ_BYTES_MAX: usize = 96 << 20;
/// Bytes of the answer to a write: a status, a versionstamp, and the places of failed checks.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// What all calls of a client share.
pub(crate) struct Shared {
    pub(crate) sessions: Sessions,
    pub(crate) connections: Connections,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) call_timeout: Duration,
}

/// How an attempt ends that has brought no answer.
#[derive(Debug)]
pub(crate) enum Missed {
    /// It may work later, and nothing took effect.
    Later(String),
    /// The session with this number is not accepted.
    Denied(u64, String),
    /// That is that.
    Never(Error),
}

impl Missed {
    pub(crate) fn never(kind: ErrorKind, text: impl Into<String>) -> Missed {
        Missed::Never(Error::new(kind, text))
    }
}

impl From<NoSession> for Missed {
    fn from(none: NoSession) -> Missed {
        match none {
            NoSession::Later(text) => Missed::Later(text),
            NoSession::Never(error) => Missed::Never(error),
        }
    }
}

/// What is called, and what depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Read(Consistency),
    Write,
    Watch,
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Method::Read(_) => "snapshot_read",
            Method::Write => "atomic_write",
            Method::Watch => "watch",
        }
    }

    fn consistency(self) -> Consistency {
        match self {
            Method::Read(consistency) => consistency,
            Method::Write | Method::Watch => Consistency::Strong,
        }
    }

    /// What there is when no answer tells what became of a request that was sent.
    fn missed(self, text: String) -> Missed {
        match self {
            Method::Write => Missed::never(ErrorKind::OutcomeUnknown, text),
            Method::Read(_) | Method::Watch => Missed::Later(text),
        }
    }

    /// What there is when the answer is none that the protocol knows.
    fn foreign(self, text: String) -> Missed {
        match self {
            Method::Write => Missed::never(ErrorKind::OutcomeUnknown, text),
            Method::Read(_) | Method::Watch => Missed::never(ErrorKind::Foreign, text),
        }
    }
}

impl Shared {
    /// Carries a read out.
    pub(crate) async fn read(
        &self,
        read: SnapshotRead,
        consistency: Consistency,
    ) -> Result<SnapshotReadOutput, Error> {
        let method = Method::Read(consistency);
        let answer = self.call(method, read.encode_to_vec().into(), READ_BYTES_MAX).await?;
        let foreign = |text: String| Error::new(ErrorKind::Foreign, text);
        let output = SnapshotReadOutput::decode(answer)
            .map_err(|error| foreign(format!("the answer cannot be read: {error}")))?;
        // Servers of the first two versions of the protocol know only the flag.
        if output.read_disabled || output.status == read_status::READ_DISABLED {
            let text = "Reads are disabled for this database";
            return Err(Error::new(ErrorKind::Refused, text));
        }
        if consistency == Consistency::Strong && !output.read_is_strongly_consistent {
            return Err(foreign("a strong read was answered with one that is not".to_owned()));
        }
        let is_answer = output.ranges.len() == read.ranges.len()
            && read.ranges.iter().zip(&output.ranges).all(|(range, output)| answers(range, output));
        if !is_answer {
            return Err(foreign("the answer is not one to what was asked".to_owned()));
        }
        Ok(output)
    }

    /// Carries a write out.
    pub(crate) async fn write(&self, write: AtomicWrite) -> Result<AtomicWriteOutput, Error> {
        let body = write.encode_to_vec().into();
        let answer = self.call(Method::Write, body, WRITE_BYTES_MAX).await?;
        let unknown = |text: String| Error::new(ErrorKind::OutcomeUnknown, text);
        let output = AtomicWriteOutput::decode(answer)
            .map_err(|error| unknown(format!("the answer to a write cannot be read: {error}")))?;
        let is_place = |place: &u32| (*place as usize) < write.checks.len();
        match output.status {
            write_status::SUCCESS => Ok(output),
            write_status::CHECK_FAILURE
                if !write.checks.is_empty() && output.failed_checks.iter().all(is_place) =>
            {
                Ok(output)
            }
            write_status::WRITE_DISABLED => {
                let text = "Writes are disabled for this database";
                Err(Error::new(ErrorKind::ReadOnly, text))
            }
            status => Err(unknown(format!("a write was answered with the status {status}"))),
        }
    }

    /// Calls until there is an answer, as often as is allowed.
    async fn call(&self, method: Method, body: Bytes, answer_max: usize) -> Result<Bytes, Error> {
        let deadline = Instant::now() + self.call_timeout;
        let (mut backoff, mut refused) = (Backoff::default(), None);
        loop {
            let attempt = async {
                let response = self.ask(method, body.clone(), refused, deadline).await?;
                whole(method, response, answer_max, deadline).await
            };
            let cause = match attempt.await {
                Ok(answer) => return Ok(answer),
                Err(Missed::Never(error)) => return Err(error),
                Err(Missed::Denied(session, _)) if refused.is_none() => {
                    refused = Some(session);
                    continue;
                }
                Err(Missed::Denied(_, text)) => return Err(Error::new(ErrorKind::Denied, text)),
                Err(Missed::Later(cause)) => cause,
            };
            let wait = backoff.next(&*self.random);
            if Instant::now() + wait >= deadline {
                let text = format!("no answer within {:?}: {cause}", self.call_timeout);
                return Err(Error::new(ErrorKind::Unreachable, text));
            }
            sleep(wait).await;
        }
    }

    /// Sends a request with a session, and gives its answer if that is one.
    pub(crate) async fn ask(
        &self,
        method: Method,
        body: Bytes,
        refused: Option<u64>,
        deadline: Instant,
    ) -> Result<Response<Incoming>, Missed> {
        let session = self.sessions.get(&self.connections, refused, deadline).await?;
        let post = session.post(method.name(), method.consistency(), body);
        match post.map_err(Missed::Never)?.send(&self.connections, deadline).await {
            Ok(response) if response.status() == StatusCode::OK => Ok(response),
            Ok(response) => Err(refusal(method, &session, response, deadline).await),
            Err(Failure::NotSent(text)) => Err(Missed::Later(text)),
            Err(Failure::Lost(text)) => Err(method.missed(text)),
        }
    }
}

/// What an answer other than 200 means.
async fn refusal(
    method: Method,
    session: &Session,
    response: Response<Incoming>,
    deadline: Instant,
) -> Missed {
    let status = response.status();
    let said = text(response, deadline).await;
    let shown = status_text(status, &said);
    match (status.as_u16(), method) {
        (401 | 403, _) => Missed::Denied(session.number, shown),
        (503, Method::Write) if said == UNAVAILABLE => Missed::Later(shown),
        (429, Method::Read(_) | Method::Watch) => Missed::Later(shown),
        // With this a server of Icecore says that it does not know either.
        (409, Method::Write) => method.missed(shown),
        (400..500, _) if !said.is_empty() => Missed::never(ErrorKind::Refused, said),
        (400..500, _) => Missed::never(ErrorKind::Refused, shown),
        (300..400, _) => {
            let text = format!("{shown}: where a redirect leads is not followed");
            Missed::never(ErrorKind::Foreign, text)
        }
        (500.., _) => method.missed(shown),
        _ => method.foreign(shown),
    }
}

/// All of an answer.
async fn whole(
    method: Method,
    response: Response<Incoming>,
    max: usize,
    deadline: Instant,
) -> Result<Bytes, Missed> {
    if !is_of_type(&response, &PROTOBUF) {
        return Err(method.foreign(type_text(&response)));
    }
    collect(response.into_body(), max, deadline).await.map_err(|failed| match failed {
        Collecting::Ended(text) => method.missed(text),
        Collecting::TooLong(text) => method.foreign(text),
    })
}

/// Whether these entries can be those of the range.
fn answers(range: &ReadRange, output: &ReadRangeOutput) -> bool {
    let values = &output.values;
    let is_inside = |key: &Bytes| range.start <= *key && *key < range.end;
    let is_before = |a: &Bytes, b: &Bytes| if range.reverse { a > b } else { a < b };
    usize::try_from(range.limit).is_ok_and(|limit| values.len() <= limit)
        && values.iter().all(|entry| is_inside(&entry.key))
        && values.windows(2).all(|pair| is_before(&pair[0].key, &pair[1].key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use icecore_wire::message::KvEntry;

    #[test]
    fn an_answer_lies_in_its_range_in_order_and_within_the_limit() {
        let output = |keys: &[&'static str]| ReadRangeOutput {
            values: keys
                .iter()
                .map(|key| KvEntry {
                    key: Bytes::from_static(key.as_bytes()),
                    ..KvEntry::default()
                })
                .collect(),
        };
        let range = |reverse| ReadRange { start: "b".into(), end: "e".into(), limit: 2, reverse };
        assert!(answers(&range(false), &output(&[])));
        assert!(answers(&range(false), &output(&["b", "d"])));
        assert!(answers(&range(true), &output(&["d", "b"])));
        for wrong in [&["a"][..], &["e"], &["d", "b"], &["b", "b"], &["b", "c", "d"]] {
            assert!(!answers(&range(false), &output(wrong)), "{wrong:?}");
        }
        assert!(!answers(&range(true), &output(&["b", "d"])));
    }
}
