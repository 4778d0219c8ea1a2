//! What a request asks for, by its path and method, and its body.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::Method as Verb;
use hyper::body::{Body, Incoming};
use tokio::time::timeout;

use crate::account::Account;
use crate::budget::{Budget, Kind, Payment};
use crate::error::Refusal;
use crate::metrics::Method;

/// Which database, and what of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    /// The name in the path; none for the database at `/`.
    pub(crate) database: Option<&'a str>,
    pub(crate) method: Method,
}

impl<'a> Target<'a> {
    /// What is at `path`, if anything is.
    pub(crate) fn of(path: &'a str) -> Option<Target<'a>> {
        let target = |database, method| Some(Target { database, method });
        match path {
            "/healthz" => return target(None, Method::Health),
            "/metrics" => return target(None, Method::Metrics),
            _ => {}
        }
        let (database, rest) = match path.strip_prefix("/db/") {
            Some(named) => match named.split_once('/') {
                Some((name, rest)) => (Some(name), rest),
                None => (Some(named), ""),
            },
            None => (None, path.strip_prefix('/')?),
        };
        let method = match rest {
            "" => Method::Exchange,
            "v2/snapshot_read" => Method::SnapshotRead,
            "v2/atomic_write" => Method::AtomicWrite,
            "v2/watch" => Method::Watch,
            "v2/queue/receive" => Method::Receive,
            "v2/queue/finish" => Method::Finish,
            _ => return None,
        };
        target(database, method)
    }

    /// The only verb with which it can be asked for.
    pub(crate) fn verb(self) -> Verb {
        match self.method {
            Method::Health | Method::Metrics => Verb::GET,
            _ => Verb::POST,
        }
    }
}

/// The body of a request, and what it was paid for with, which is to be kept as long as anything of
/// it is.
pub(crate) struct Collected {
    pub(crate) bytes: Bytes,
    pub(crate) _payment: Payment,
}

/// Who takes in a body, and pays for it.
pub(crate) struct Collector<'a> {
    pub(crate) budget: &'a Budget,
    pub(crate) account: &'a Account,
    /// For all of the body.
    pub(crate) limit: Duration,
}

impl Collector<'_> {
    /// A body of at most `max` bytes. What is longer is refused before more than that is in memory.
    pub(crate) async fn collect(&self, body: Incoming, max: usize) -> Result<Collected, Refusal> {
        if body.size_hint().lower() > max as u64 {
            discard(self.budget, body, self.limit).await;
            return Err(Refusal::too_large());
        }
        match timeout(self.limit, self.collect_at_most(body, max)).await {
            Ok(collected) => collected,
            Err(_) => Err(Refusal::too_slow()),
        }
    }

    async fn collect_at_most(&self, mut body: Incoming, max: usize) -> Result<Collected, Refusal> {
        let mut collected = BytesMut::new();
        let mut payment = self.pay(0).await?;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Refusal::bad("The request body ended early."))?;
            // Trailers say nothing.
            let Ok(data) = frame.into_data() else { continue };
            let bytes = collected.len() + data.len();
            if bytes > max {
                discard(self.budget, body, DISCARD_TIMEOUT).await;
                return Err(Refusal::too_large());
            }
            if bytes > payment.bytes() {
                payment.add(self.pay(bytes - payment.bytes()).await?);
            }
            collected.extend_from_slice(&data);
        }
        Ok(Collected { bytes: collected.freeze(), _payment: payment })
    }

    async fn pay(&self, bytes: usize) -> Result<Payment, Refusal> {
        self.budget.pay(&self.account.share, Kind::Bodies, bytes).await
    }
}

/// What is thrown away of a body that nobody wants.
const DISCARD_BYTES_MAX: usize = 256 << 10;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(1);

/// Throws a body away, so that its sender gets to hear the answer: one that has not sent all may
/// otherwise meet the end of the connection instead. When this is done for too many at once, it is
/// not done.
pub(crate) async fn discard(budget: &Budget, mut body: Incoming, limit: Duration) {
    let Ok(_permit) = budget.discards.try_acquire() else { return };
    let all = async {
        let mut bytes = 0;
        while bytes < DISCARD_BYTES_MAX
            && let Some(Ok(frame)) = body.frame().await
        {
            bytes += frame.data_ref().map_or(0, Bytes::len);
        }
    };
    // Whoever is slower than that has had his chance.
    timeout(limit.min(DISCARD_TIMEOUT), all).await.unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_one_thing_or_to_none() {
        let found = |path| Target::of(path).map(|target| (target.database, target.method));
        assert_eq!(found("/"), Some((None, Method::Exchange)));
        assert_eq!(found("/v2/watch"), Some((None, Method::Watch)));
        assert_eq!(found("/db/a"), Some((Some("a"), Method::Exchange)));
        assert_eq!(found("/db/a/"), Some((Some("a"), Method::Exchange)));
        assert_eq!(found("/db/a/v2/atomic_write"), Some((Some("a"), Method::AtomicWrite)));
        assert_eq!(found("/healthz"), Some((None, Method::Health)));
        for nothing in ["", "/v2", "/v2/", "//v2/watch", "/v2/watch/", "/db/a/b", "/v2/dequeue"] {
            assert_eq!(found(nothing), None, "{nothing}");
        }
    }
}
