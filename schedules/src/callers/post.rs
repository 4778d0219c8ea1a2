//! Messages: what was sent, who holds what, and what became of it (I11).
//!
//! 1. A message is received only if it was sent, not before its time, by one holder at a time, and
//!    never after it was finished.
//! 2. Its attempts grow, and are no more than its schedule has intervals, and one.
//! 3. At the end each message was finished, or is under its dead-letter key, or has used all of its
//!    attempts and has no such key.
//!
//! The payload of a message is its number. All is judged at the moment at which it is noted, except
//! what is missing, which shows at the end.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use icecore::{Enqueue, Kv, Message, Value, Waiting, key};
use icecore_sync::model::Dice;

use super::now_ms;

/// The queues.
pub const QUEUES: [&str; 2] = ["jobs", "mail"];

/// What is known of a message.
#[derive(Clone, Debug, Default)]
struct Letter {
    /// The token of its commit.
    token: u32,
    backoff_ms: Vec<u64>,
    has_dead_letter: bool,
    /// It is not received before.
    due_ms: u64,
    /// Somebody was told so.
    told_due_ms: u64,
    fate: Fate,
    stamp: Option<u64>,
    attempt: u32,
    is_held: bool,
    end: End,
}

/// What became of the commit that sent it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fate {
    #[default]
    Unknown,
    Sent,
    /// It never was sent, or is gone with its commit.
    Void,
}

/// What became of it in the hands of its holders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    Open,
    /// Somebody has begun to finish it, or to give it up, and was not told how that went.
    Doubtful,
    Finished,
    /// Its last attempt has failed.
    GivenUp,
    /// A process ended in its last attempt: whoever comes across it gives it up.
    UsedUp,
}

/// All messages.
#[derive(Debug, Default)]
pub struct Post {
    inner: Mutex<BTreeMap<u64, Letter>>,
}

fn number_of(payload: &Value) -> u64 {
    let Value::U64(number) = payload else { panic!("{payload:?} was never sent") };
    *number
}

fn ms(moment: SystemTime) -> u64 {
    moment.duration_since(UNIX_EPOCH).expect("it is after 1970").as_millis() as u64
}

fn dead_key(number: u64) -> icecore::Key {
    key!["dead", number]
}

impl Post {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Letter>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, number: u64, note: impl FnOnce(&mut Letter) -> T) -> T {
        let mut letters = self.lock();
        note(letters.get_mut(&number).unwrap_or_else(|| panic!("nobody has sent {number}")))
    }

    /// A message to be sent by the commit of `token`; `is_timeless` if it is to be ready at once, always.
    pub fn draft(&self, dice: &mut Dice, token: u32, is_timeless: bool) -> (u64, Enqueue) {
        let mut roll = |choice: &[u64]| match is_timeless {
            true => 0,
            false => choice[dice.below(choice.len() as u64) as usize],
        };
        let delay_ms = roll(&[0, 0, 0, 3, 300, 2500]);
        let intervals = [roll(&[0, 5, 200]), roll(&[0, 1, 1500]), roll(&[0, 40])];
        let backoff_ms = intervals[..dice.below(4) as usize].to_vec();
        let has_dead_letter = dice.below(2) == 0;
        let due_ms = now_ms() + delay_ms;
        let mut letters = self.lock();
        let number = letters.len() as u64 + 1;
        let mut message = Enqueue::new(number)
            .queue(QUEUES[(number % 2) as usize])
            .delay(Duration::from_millis(delay_ms))
            .backoff(backoff_ms.iter().copied().map(Duration::from_millis));
        if has_dead_letter {
            message = message.keys_if_undelivered([dead_key(number)]);
        }
        let told_due_ms = due_ms;
        let letter =
            Letter { token, backoff_ms, has_dead_letter, due_ms, told_due_ms, ..Letter::default() };
        letters.insert(number, letter);
        (number, message)
    }

    /// The commit that was to send `number` has this stamp, or has failed its checks.
    pub fn sent(&self, number: u64, stamp: Option<u64>) {
        self.with(number, |letter| {
            let is_new = letter.fate == Fate::Unknown;
            assert!(is_new || stamp.is_some(), "{number} was received: {letter:?}");
            assert!(letter.stamp.is_none_or(|s| Some(s) == stamp), "{letter:?}: {stamp:?}");
            letter.stamp = stamp;
            letter.fate = if stamp.is_some() { Fate::Sent } else { Fate::Void };
        });
    }

    /// Notes that somebody received `message`. Gives its number. If `is_sure`, nothing fails: what
    /// somebody has begun to finish is finished.
    pub fn received(&self, message: &Message, is_sure: bool) -> u64 {
        let (number, now_ms) = (number_of(message.payload()), now_ms());
        let ready_ms = ms(message.ready_at());
        let (stamp, attempt) = (message.id().versionstamp.get(), message.attempt());
        self.with(number, |letter| {
            assert!(letter.fate != Fate::Void, "{number} was not sent: {letter:?}");
            assert!(!letter.is_held, "{number} has a holder: {letter:?}");
            let is_open = letter.end == End::Open || letter.end == End::Doubtful && !is_sure;
            assert!(is_open, "{number} comes again: {letter:?}");
            let due_ms = letter.due_ms.max(ready_ms);
            assert!(due_ms <= now_ms, "{number} came at {now_ms}, {ready_ms}: {letter:?}");
            assert!(letter.stamp.is_none_or(|s| s == stamp), "{stamp} sent {number}: {letter:?}");
            let last = letter.backoff_ms.len() as u32 + 1;
            assert!((letter.attempt + 1..=last).contains(&attempt), "{attempt}: {letter:?}");
            assert_eq!(message.is_last_attempt(), attempt == last);
            (letter.fate, letter.stamp) = (Fate::Sent, Some(stamp));
            (letter.is_held, letter.attempt) = (true, attempt);
        });
        number
    }

    /// The holder of `number` is about to finish it.
    pub fn finishing(&self, number: u64) {
        self.with(number, |letter| (letter.is_held, letter.end) = (false, End::Doubtful));
    }

    /// `number` is finished.
    pub fn finished(&self, number: u64) {
        self.with(number, |letter| {
            assert!(!letter.is_held, "{number} was received while it was finished: {letter:?}");
            letter.end = End::Finished;
        });
    }

    /// The holder of `number` is about to let it fail. It is not received before its schedule says,
    /// unless the failure may fail itself.
    pub fn failing(&self, number: u64, is_sure: bool) {
        self.with(number, |letter| {
            letter.is_held = false;
            match letter.interval_ms(letter.attempt) {
                Some(interval_ms) if is_sure => letter.due_ms = now_ms() + interval_ms,
                Some(_) => {}
                None => letter.end = End::Doubtful,
            }
        });
    }

    /// `number` has failed, which its holder began at `begun_ms` in the attempt `attempt`.
    pub fn failed(&self, number: u64, attempt: u32, begun_ms: u64) {
        self.with(number, |letter| match letter.interval_ms(attempt) {
            // Somebody may have received it since, and let it fail again: that is later.
            Some(interval_ms) => {
                letter.told_due_ms = letter.told_due_ms.max(begun_ms + interval_ms);
                letter.due_ms = letter.due_ms.max(letter.told_due_ms);
            }
            None => letter.end = End::GivenUp,
        });
    }

    /// What is not settled, as far as those know who sent and received. One of which somebody has
    /// begun the end counts as settled: nothing fails.
    pub fn open(&self) -> usize {
        let is_open = |l: &&Letter| l.fate != Fate::Void && l.end == End::Open;
        self.lock().values().filter(is_open).count()
    }

    /// The life is over, and the next one has the commits of `tokens`.
    ///
    /// # Panics
    /// When a message of one of these is missing, or one is there that should not be.
    pub fn judge(&self, kv: &Kv, tokens: &[u32]) {
        let waiting: Vec<Waiting> =
            QUEUES.iter().flat_map(|q| kv.queue(q).peek(1000).expect("a queue is read")).collect();
        let mut rows: BTreeMap<u64, &Waiting> = BTreeMap::new();
        for row in &waiting {
            let twice = rows.insert(number_of(&row.payload), row);
            assert!(twice.is_none(), "{row:?} is there twice");
        }
        let mut letters = self.lock();
        for (number, letter) in letters.iter_mut() {
            letter.is_held = false;
            let row = rows.remove(number);
            if letter.fate == Fate::Void || !tokens.contains(&letter.token) {
                assert!(row.is_none(), "{number} was not sent, and is there: {letter:?}");
                letter.fate = Fate::Void;
                continue;
            }
            letter.fate = Fate::Sent;
            let dead = kv.get(dead_key(*number)).expect("a key is read");
            assert!(dead.value.is_none_or(|v| v == Value::U64(*number)), "{number}: {letter:?}");
            let is_dead = dead.versionstamp.is_some();
            assert!(!is_dead || row.is_none(), "{number} is dead, and there: {letter:?}");
            match row {
                Some(row) => {
                    let is_over = matches!(letter.end, End::Finished | End::GivenUp);
                    assert!(!is_over, "{number} is there: {letter:?}");
                    assert!(row.attempts >= letter.attempt, "{row:?} has had {letter:?}");
                    assert!(letter.stamp.is_none_or(|s| s == row.id.versionstamp.get()));
                    letter.stamp = Some(row.id.versionstamp.get());
                    let ready_ms = ms(row.ready_at);
                    assert!(ready_ms >= letter.told_due_ms, "{row:?} is early: {letter:?}");
                    letter.due_ms = ready_ms;
                    // One may have been noted that nobody saw.
                    letter.attempt = row.attempts;
                    let is_used_up = letter.attempt as usize > letter.backoff_ms.len();
                    letter.end = if is_used_up { End::UsedUp } else { End::Open };
                }
                None => letter.assert_gone(*number, is_dead),
            }
        }
        assert!(rows.is_empty(), "nobody has sent {rows:?}");
    }

    /// Everything was received: nothing is left.
    ///
    /// # Panics
    /// When something is.
    pub fn assert_empty(&self, kv: &Kv) {
        for queue in QUEUES {
            let rest = kv.queue(queue).peek(10).expect("a queue is read");
            assert!(rest.is_empty(), "{rest:?} is left: {:?}", self.lock());
        }
    }
}

impl Letter {
    /// How long to wait after this attempt has failed; `None` after the last one.
    fn interval_ms(&self, attempt: u32) -> Option<u64> {
        self.backoff_ms.get(attempt as usize - 1).copied()
    }

    /// It is not in its queue.
    fn assert_gone(&mut self, number: u64, is_dead: bool) {
        let is_used_up = self.attempt as usize > self.backoff_ms.len();
        let could_die = self.end != End::Finished && is_used_up;
        if is_dead {
            assert!(self.has_dead_letter && could_die, "{number} is dead: {self:?}");
            self.end = End::GivenUp;
        } else if self.end != End::Finished {
            // With a dead-letter key it was finished, by somebody who was not told.
            let was_ending = self.end == End::Doubtful;
            let was_dropped = !self.has_dead_letter && could_die;
            assert!(was_ending || was_dropped, "{number} is lost: {self:?}");
            self.end = End::Finished;
        }
    }
}
