//! The other end of a connection, and those of whom nobody knows who they are.
//!
//! A connection is a *stranger's* until a valid token has come over it. Strangers are bounded by
//! themselves: when there are too many, the one that has been one for longest is closed, so that
//! whoever has a token, and shows it soon, always finds a place.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use crate::pulse::Pulse;
use crate::stream::{self, Streams};

/// Connections of strangers.
const STRANGERS_MAX: usize = 1_024;
/// Streams that a stranger has open while another of them is refused.
const STREAMS_OF_STRANGER_MAX: usize = 64;

/// The other end of one connection.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) address: IpAddr,
    pub(crate) streams: Streams,
    /// Closes the connection.
    pub(crate) stop: Notify,
    /// Of the answer that is on its way over HTTP/1.
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) has_asked: AtomicBool,
    is_known: AtomicBool,
}

impl Peer {
    pub(crate) fn new(address: IpAddr, stall: Duration) -> Arc<Peer> {
        Arc::new(Peer {
            address,
            streams: Streams::new(stall),
            stop: Notify::new(),
            pulse: Pulse::new(stall),
            has_asked: AtomicBool::new(false),
            is_known: AtomicBool::new(false),
        })
    }

    /// A valid token has come from it.
    pub(crate) fn know(&self) {
        self.is_known.store(true, Ordering::Relaxed);
    }

    fn is_stranger(&self) -> bool {
        !self.is_known.load(Ordering::Relaxed)
    }

    /// It has got an answer for which it needs no token. A stranger that collects them without
    /// taking them is closed.
    pub(crate) fn note_free_answer(&self) {
        if self.is_stranger() && self.streams.count() > STREAMS_OF_STRANGER_MAX {
            tracing::debug!("a connection without a token has asked for too much at once");
            self.stop.notify_one();
        }
    }

    /// The pulse of the request that is being answered.
    pub(crate) fn pulse(&self) -> Arc<Pulse> {
        stream::pulse().unwrap_or_else(|| Arc::clone(&self.pulse))
    }
}

/// The strangers among all connections.
#[derive(Debug, Default)]
pub(crate) struct Strangers {
    /// In the order in which they came; some have become known, or have gone.
    peers: Mutex<VecDeque<Weak<Peer>>>,
}

impl Strangers {
    /// One more.
    pub(crate) fn enter(&self, peer: &Arc<Peer>) {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        peers.push_back(Arc::downgrade(peer));
        if peers.len() <= STRANGERS_MAX {
            return;
        }
        peers.retain(|peer| peer.upgrade().is_some_and(|peer| peer.is_stranger()));
        if peers.len() > STRANGERS_MAX
            && let Some(oldest) = peers.pop_front().and_then(|peer| peer.upgrade())
        {
            tracing::debug!("a connection without a token is closed: there are too many");
            oldest.stop.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[tokio::test]
    async fn of_too_many_strangers_the_first_to_come_goes_and_whoever_is_known_stays() {
        let strangers = Strangers::default();
        let peer = || Peer::new(IpAddr::V4(Ipv4Addr::LOCALHOST), Duration::MAX);
        let mut peers: Vec<_> = (0..STRANGERS_MAX).map(|_| peer()).collect();
        peers.iter().for_each(|peer| strangers.enter(peer));
        peers[0].know();
        drop(peers.remove(1));
        for _ in 0..2 {
            peers.push(peer());
            strangers.enter(&peers[peers.len() - 1]);
        }
        let is_told = async |peer: &Arc<Peer>| {
            tokio::time::timeout(Duration::ZERO, peer.stop.notified()).await.is_ok()
        };
        assert!(!is_told(&peers[1]).await, "two have made room");
        peers.push(peer());
        strangers.enter(&peers[peers.len() - 1]);
        assert!(!is_told(&peers[0]).await && is_told(&peers[1]).await && !is_told(&peers[2]).await);
    }
}
