//! One queue, as all handles of it share it: which messages are on lease, and what comes next.
//!
//! A receiver *picks*: it takes the news from the [`Board`], looks for the first message that is
//! ready and not on lease, and takes a [`Lease`] on it. Picks come one after the other.
//!
//! 1. *Every message below the floor is ahead, on lease, set aside, or no more.* So a pick reads
//!    from the floor on, and never again what was taken before: neither deletions nor leases make a
//!    queue slower. Whatever puts a message below the floor lowers it: a note on the board, a lease
//!    that is given back, a retry. Until a note is looked at, its message is on the board.
//! 2. *Nothing that is ahead is on lease*, and nobody else can take it: messages are removed only
//!    by those who have a lease on them. Some messages are read ahead at once.
//! 3. *A lease is on one message, and only one.* It lives in memory alone, since one process owns
//!    the store, and as long as its holder.
//! 4. *Nothing is picked before its deadline.*
//!
//! The lock of the picks is never taken by a commit, and the board's never while the store is
//! read.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use icecore_engine::{Engine, Observation, Observer, Snapshot};
use icecore_model::Versionstamp;
use icecore_sync::{Mutex, lock};

use super::board::{Board, Waiter};
use super::format::{Spot, end_of, messages_of};
use super::lines::Names;
use super::timer::Timer;
use crate::error::{Error, ErrorKind};

/// How many messages are read ahead.
const AHEAD_MAX: usize = 64;
/// How many bytes of messages are read ahead, give or take one message.
const AHEAD_BYTES_MAX: usize = 256 << 10;

/// One queue.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    /// What the keys of its messages begin with.
    pub(crate) messages: Vec<u8>,
    pub(crate) board: Arc<Board>,
    timer: Arc<Timer>,
    /// From the first pick on.
    observation: Mutex<Option<Observation>>,
    picks: Mutex<Picks>,
    names: Arc<Mutex<Names>>,
}

/// What a queue without handles is known by: see [`Lines`](super::lines::Lines).
#[derive(Debug)]
pub(super) struct Kept {
    board: Arc<Board>,
    observation: Observation,
    picks: Picks,
}

impl Drop for Line {
    fn drop(&mut self) {
        let observation = lock(&self.observation).take();
        let mut picks = std::mem::take(&mut *lock(&self.picks));
        // What was read ahead is read again, rather than kept in memory.
        picks.forget_ahead();
        // Nobody waits, and a waker that is left may own the store.
        self.board.sweep();
        let board = Arc::clone(&self.board);
        let kept = observation.map(|observation| Kept { board, observation, picks });
        Names::leave(&self.names, self, kept);
    }
}

/// A message that is ready.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) spot: Spot,
    /// The commit that put it there.
    pub(crate) stamp: Versionstamp,
    pub(crate) stored: Bytes,
}

#[derive(Debug)]
struct Picks {
    floor: Spot,
    /// Ready messages below the floor, in their order.
    ahead: VecDeque<Ready>,
    leased: BTreeSet<Spot>,
    /// Messages that nobody is to have.
    aside: BTreeSet<Spot>,
    beyond: Beyond,
}

/// What is known of the messages from the floor on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beyond {
    Unknown,
    /// None is ready before this moment.
    Deadline(u64),
    Nothing,
}

impl Default for Picks {
    fn default() -> Picks {
        Picks {
            floor: Spot::FIRST,
            ahead: VecDeque::new(),
            leased: BTreeSet::new(),
            aside: BTreeSet::new(),
            beyond: Beyond::Unknown,
        }
    }
}

/// What a pick comes to.
#[derive(Debug)]
pub(crate) enum Pick {
    Ready(Ready, Lease),
    /// A commit that has messages may not be visible yet: look again when it is.
    Unseen(Versionstamp),
    /// No message is ready before the next one is put, or before the alarm that was set.
    Nothing,
    Closed,
}

impl Line {
    /// The queue `name`, as it was `kept`.
    pub(super) fn new(
        name: &str,
        kept: Option<Kept>,
        timer: &Arc<Timer>,
        names: &Arc<Mutex<Names>>,
    ) -> Line {
        let (board, observation, picks) = match kept {
            Some(Kept { board, observation, picks }) => (board, Some(observation), picks),
            None => (Arc::default(), None, Picks::default()),
        };
        Line {
            name: name.to_owned(),
            messages: messages_of(name),
            board,
            timer: Arc::clone(timer),
            observation: Mutex::new(observation),
            picks: Mutex::new(picks),
            names: Arc::clone(names),
        }
    }

    /// Takes the first message that is ready. Then `waiter`, who asks for it, waits no longer.
    pub(crate) fn pick(
        self: &Arc<Line>,
        engine: &Engine,
        waiter: Option<&mut Waiter>,
    ) -> Result<Pick, Error> {
        if !self.observe(engine)? {
            return Ok(Pick::Closed);
        }
        let mut picks = lock(&self.picks);
        // The visible stamp comes first: what is visible when the news are read is then scanned.
        let visible = engine.visible();
        let news = self.board.news(visible);
        if news.closed {
            return Ok(Pick::Closed);
        }
        if let Some(lowest) = news.lowest {
            picks.lower(lowest);
        }
        let now_ms = engine.now_ms();
        if picks.must_scan(now_ms) {
            self.read_ahead(&mut picks, engine, now_ms)?;
        }
        let ready = picks.ahead.pop_front();
        let lease = ready.as_ref().map(|ready| {
            assert!(picks.leased.insert(ready.spot), "what is ahead is not on lease");
            Lease { line: Arc::clone(self), spot: ready.spot, over: false }
        });
        let more = !picks.ahead.is_empty() || picks.beyond == Beyond::Unknown;
        let beyond = picks.beyond;
        // Under the lock: until it is left, whoever looks would find nothing and wait, and the next
        // note would call this waiter, who has what it wants.
        if let Some(waiter) = waiter.filter(|_| ready.is_some()) {
            waiter.served();
        }
        drop(picks);
        self.board.sweep();
        if ready.is_some() && more {
            self.board.wake_one();
        } else if let Beyond::Deadline(deadline_ms) = beyond {
            self.timer.set(&self.board, deadline_ms.saturating_sub(now_ms))?;
        }
        Ok(match (ready.zip(lease), news.unseen) {
            (Some((ready, lease)), _) => Pick::Ready(ready, lease),
            (None, Some(stamp)) => Pick::Unseen(stamp),
            (None, None) => Pick::Nothing,
        })
    }

    /// Whether the store is open.
    pub(crate) fn is_open(&self, engine: &Engine) -> Result<bool, Error> {
        Ok(self.observe(engine)? && !self.board.is_closed())
    }

    /// Begins to observe, unless that has happened; `false` when the store is closed.
    fn observe(&self, engine: &Engine) -> Result<bool, Error> {
        let mut observation = lock(&self.observation);
        if observation.is_none() {
            let range = self.messages.clone()..end_of(&self.messages);
            let board = Arc::clone(&self.board) as Arc<dyn Observer>;
            match engine.observe(vec![range], board).map_err(Error::from) {
                Ok(made) => *observation = Some(made),
                Err(error) if error.kind() == ErrorKind::Closed => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// The store at a moment, and a key before which the queue has no message there: what is no
    /// more is not read over.
    pub(crate) fn look(&self, engine: &Engine) -> Result<(Snapshot, Vec<u8>), Error> {
        // Under the lock, what the snapshot has stays where it is known of: on the board, in the
        // picks, or from the floor on.
        let picks = lock(&self.picks);
        let snapshot = engine.snapshot()?;
        let first = picks.first().min(self.board.lowest().unwrap_or(picks.floor));
        Ok((snapshot, first.message_key(&self.messages)))
    }

    /// Reads messages that are ready, from the floor on, and raises it.
    fn read_ahead(&self, picks: &mut Picks, engine: &Engine, now_ms: u64) -> Result<(), Error> {
        let start = picks.floor.message_key(&self.messages);
        let mut bytes = 0;
        picks.beyond = Beyond::Unknown;
        for item in engine.scan(&start, &end_of(&self.messages))? {
            let item = item?;
            let spot = self.spot(item.key())?;
            if spot.deadline_ms > now_ms {
                picks.beyond = Beyond::Deadline(spot.deadline_ms);
                return Ok(());
            }
            picks.floor = spot.next();
            if picks.leased.contains(&spot) || picks.aside.contains(&spot) {
                continue;
            }
            bytes += item.value.len();
            picks.ahead.push_back(Ready { spot, stamp: item.stamp, stored: item.value });
            if picks.ahead.len() >= AHEAD_MAX || bytes >= AHEAD_BYTES_MAX {
                return Ok(());
            }
        }
        picks.beyond = Beyond::Nothing;
        Ok(())
    }

    /// The spot of a message key of this queue.
    pub(crate) fn spot(&self, key: &[u8]) -> Result<Spot, Error> {
        let rest = key.get(self.messages.len()..).unwrap_or_default();
        Spot::decode(rest).map_err(|malformed| Error::bad_queue(&self.name, malformed))
    }

    /// The lease on `leased` ends; there is a message at `put`, which may be below the floor.
    fn release(&self, leased: Spot, put: Option<Spot>) {
        let mut picks = lock(&self.picks);
        picks.leased.remove(&leased);
        let Some(spot) = put else { return };
        picks.lower(spot);
        drop(picks);
        self.board.wake_one();
    }

    #[cfg(test)]
    pub(crate) fn floor(&self) -> Spot {
        lock(&self.picks).floor
    }

    /// How many messages are on lease.
    pub(crate) fn leased(&self) -> usize {
        lock(&self.picks).leased.len()
    }
}

impl Picks {
    /// Sees to it that a message at `spot` is found.
    fn lower(&mut self, spot: Spot) {
        self.beyond = Beyond::Unknown;
        if self.ahead.back().is_some_and(|last| spot < last.spot) {
            // Its place may be among those ahead: they are read again, with it.
            self.forget_ahead();
        }
        self.floor = self.floor.min(spot);
    }

    /// Has those ahead read again.
    fn forget_ahead(&mut self) {
        if let Some(first) = self.ahead.front() {
            self.beyond = Beyond::Unknown;
            self.floor = self.floor.min(first.spot);
            self.ahead.clear();
        }
    }

    /// No message of the queue is before this spot, if none was put since the last look.
    fn first(&self) -> Spot {
        let ahead = self.ahead.front().map(|ready| &ready.spot);
        let known = [ahead, self.leased.first(), self.aside.first()];
        known.into_iter().flatten().fold(self.floor, |first, spot| first.min(*spot))
    }

    fn must_scan(&self, now_ms: u64) -> bool {
        let quiet = match self.beyond {
            Beyond::Unknown => false,
            Beyond::Deadline(deadline_ms) => now_ms < deadline_ms,
            Beyond::Nothing => true,
        };
        self.ahead.is_empty() && !quiet
    }
}

/// The right to work on one message. While it lives, nobody else gets the message; when it is
/// dropped, the message is ready again, at its old place.
#[derive(Debug)]
pub(crate) struct Lease {
    line: Arc<Line>,
    spot: Spot,
    /// The message is no longer here, or nobody is to have it.
    over: bool,
}

impl Lease {
    pub(crate) fn line(&self) -> &Arc<Line> {
        &self.line
    }

    pub(crate) fn spot(&self) -> Spot {
        self.spot
    }

    /// A lease on a spot where nobody else has one.
    #[cfg(test)]
    pub(crate) fn on(line: &Arc<Line>, spot: Spot) -> Lease {
        assert!(lock(&line.picks).leased.insert(spot), "it is on lease");
        Lease { line: Arc::clone(line), spot, over: false }
    }

    /// Nobody gets the message any more, as long as what is known of the queue is.
    pub(crate) fn set_aside(mut self) {
        self.over = true;
        let mut picks = lock(&self.line.picks);
        picks.leased.remove(&self.spot);
        picks.aside.insert(self.spot);
    }

    /// The message is no more, or has been moved to another spot; that is visible.
    pub(crate) fn settle(mut self, moved_to: Option<Spot>) {
        self.over = true;
        self.line.release(self.spot, moved_to);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.over {
            self.line.release(self.spot, Some(self.spot));
        }
    }
}
