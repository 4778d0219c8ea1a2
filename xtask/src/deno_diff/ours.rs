//! Carries histories out in Icecore: in an empty store in memory, on a clock that moves only when
//! a step lets time pass.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use icecore::{
    Atomic, Commit, Consistency, Enqueue, Environment, Error, Expiry, Key, Kv, Limits, Mutation,
    Selector, SumRange, Versionstamp, Watch,
};
use icecore_disk::Clock;
use icecore_disk::clock::{ManualClock, SystemClock};
use icecore_disk::random::SeededRandom;
use icecore_disk::sim::{Rules, SimDisk};

use super::history::{
    self, Check, Cursor, Delivery, Entry, History, Message, Outcome, Outcomes, PASSING_MS, Stamp,
    Step,
};
use super::tagged::{Tagged, key_of};

/// A morning in 2026.
const START_MS: u64 = 1_780_000_000_000;

/// What came of the steps of `history`.
pub(crate) fn run(history: &History) -> Result<Outcomes, Error> {
    let mut run = Run::new()?;
    for step in &history.steps {
        let outcome = run.step(step).unwrap_or_else(|refused| Outcome::Error { text: refused.0 });
        run.outcomes.push(outcome);
    }
    run.kv.close()?;
    Ok(Outcomes { seed: history.seed.clone(), outcomes: run.outcomes })
}

/// What an error says, in Deno's words.
struct Refused(String);

impl From<Error> for Refused {
    fn from(error: Error) -> Refused {
        Refused(error.text())
    }
}

/// Wakes the thread that looks.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Unpark>) {
        self.0.unpark();
    }
}

/// A history under way.
struct Run {
    kv: Kv,
    clock: Arc<ManualClock>,
    outcomes: Vec<Outcome>,
    /// What was sent and may be delivered.
    waiting: Vec<Message>,
    /// What is watched, and its last frame.
    watch: Option<(Watch, Vec<icecore::Entry>)>,
}

impl Run {
    fn new() -> Result<Run, Error> {
        let clock = Arc::new(ManualClock::at(START_MS));
        let environment = Environment {
            disk: SimDisk::new(0, Rules::default()),
            clock: clock.clone(),
            random: Arc::new(SeededRandom::new(0)),
        };
        let kv = Kv::builder_in(environment).limits(Limits::deno()).open()?;
        Ok(Run { kv, clock, outcomes: Vec::new(), waiting: Vec::new(), watch: None })
    }

    fn step(&mut self, step: &Step) -> Result<Outcome, Refused> {
        match step {
            Step::Get { key } => {
                let entry = self.kv.get(key_of(key))?;
                Ok(entries([entry], false))
            }
            Step::GetMany { keys } => {
                let keys: Vec<Key> = keys.iter().map(|key| key_of(key)).collect();
                // One call takes any number of keys, the other, as Deno's, not more than ten.
                let found = match <[Key; 11]>::try_from(keys) {
                    Ok(keys) => self.kv.get_many(keys)?.to_vec(),
                    Err(keys) => self.kv.get_all(keys)?,
                };
                Ok(entries(found, false))
            }
            Step::Set { key, value, expire_in } => {
                let (key, value) = (key_of(key), value.stored());
                let stamp = match expire_in {
                    Some(ms) => self.kv.set_expiring(key, value, Duration::from_millis(*ms))?,
                    None => self.kv.set(key, value)?,
                };
                Ok(Outcome::Commit { stamp: Some(stamp.to_string()) })
            }
            Step::Delete { key } => {
                self.kv.delete(key_of(key))?;
                Ok(Outcome::Done)
            }
            Step::Atomic { checks, mutations } => self.atomic(checks, mutations),
            Step::List(list) => self.list(list),
            Step::Watch { keys } => {
                self.watch = None;
                let mut watch = self.kv.watch(keys.iter().map(|key| key_of(key)))?;
                let frame = watch.next().transpose()?.unwrap_or_default();
                self.watch = Some((watch, frame.clone()));
                Ok(entries(frame, false))
            }
            Step::Look { patience } => self.look(Duration::from_millis(*patience)),
            Step::Pass => {
                self.clock.advance_ms(PASSING_MS);
                Ok(Outcome::Done)
            }
            Step::Enqueue(message) => {
                let stamp = self.kv.enqueue(enqueue(message))?;
                self.waiting.push(message.clone());
                Ok(Outcome::Commit { stamp: Some(stamp.to_string()) })
            }
            Step::Deliver => self.deliver(),
        }
    }

    fn atomic(
        &mut self,
        checks: &[Check],
        mutations: &[history::Mutation],
    ) -> Result<Outcome, Refused> {
        let mut expected = Vec::new();
        for Check { key, stamp } in checks {
            expected.push((key_of(key), self.stamp(stamp.as_ref())?));
        }
        let kv = self.kv.clone();
        let mut atomic = kv.atomic();
        for (key, stamp) in expected {
            atomic = atomic.check_versionstamp(key, stamp);
        }
        for mutation in mutations {
            atomic = mutate(atomic, mutation);
        }
        let Commit::Done { versionstamp } = atomic.commit()? else {
            return Ok(Outcome::Commit { stamp: None });
        };
        let sent = mutations.iter().filter_map(|mutation| match mutation {
            history::Mutation::Enqueue(message) => Some(message.clone()),
            _ => None,
        });
        self.waiting.extend(sent);
        Ok(Outcome::Commit { stamp: Some(versionstamp.to_string()) })
    }

    /// The frame in which the watcher sees what is so. It hears of a commit by itself; of what has
    /// expired only when the store has noticed.
    fn look(&mut self, patience: Duration) -> Result<Outcome, Refused> {
        let Some((watch, frame)) = &mut self.watch else { return Ok(Outcome::Done) };
        while let Some(later) = watch.try_next()? {
            *frame = later;
        }
        let present = self.kv.get_all(frame.iter().map(|entry| &entry.key))?;
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        while stamps(frame) != stamps(&present) {
            match watch.poll_next(&mut Context::from_waker(&waker)) {
                Poll::Ready(Some(later)) => *frame = later?,
                Poll::Ready(None) => break,
                Poll::Pending => {
                    let clock = SystemClock::new();
                    std::thread::park_timeout(patience);
                    if clock.monotonic() >= patience {
                        break;
                    }
                }
            }
        }
        Ok(entries(frame.clone(), false))
    }

    /// Receives until nothing has come for some time.
    fn deliver(&mut self) -> Result<Outcome, Refused> {
        /// Longer than the backoff of any message that is refused.
        const QUIET_MS: u64 = 10 * PASSING_MS;
        let queue = self.kv.queue("");
        let mut messages = Vec::new();
        let mut quiet_ms = 0;
        while quiet_ms < QUIET_MS {
            let Some(message) = queue.try_receive()? else {
                self.clock.advance_ms(PASSING_MS);
                quiet_ms += PASSING_MS;
                continue;
            };
            quiet_ms = 0;
            let value = Tagged::of_stored(message.payload());
            let attempt = message.attempt() as usize;
            let sent = self.waiting.iter().find(|sent| sent.value == value);
            match attempt <= sent.map_or(0, |sent| sent.fails) {
                true => message.fail()?,
                false => message.finish()?,
            }
            messages.push(Delivery { value, attempt });
        }
        Ok(Outcome::Delivered { messages })
    }

    fn list(&self, asked: &history::List) -> Result<Outcome, Refused> {
        let bound = |parts: &Option<history::Parts>| parts.as_deref().map(key_of);
        let selector = Selector::new(bound(&asked.prefix), bound(&asked.start), bound(&asked.end))?;
        let consistency = match asked.consistency.as_deref() {
            Some("eventual") => Consistency::Eventual,
            _ => Consistency::Strong,
        };
        let mut list = self.kv.list(selector).consistency(consistency);
        if asked.reverse {
            list = list.reverse();
        }
        if let Some(limit) = asked.limit {
            list = list.limit(limit);
        }
        if let Some(entries) = asked.batch_size {
            list = list.batch_size(entries);
        }
        if let Some(cursor) = self.cursor(asked.cursor.as_ref()) {
            list = list.cursor(&cursor);
        }
        let mut found = Vec::new();
        while asked.take.is_none_or(|most| found.len() < most) {
            let Some(entry) = list.next() else { break };
            found.push(entry?);
        }
        let Outcome::Entries { entries, .. } = entries(found, asked.unordered) else {
            unreachable!("these are entries")
        };
        Ok(Outcome::Entries { entries, cursor: Some(list.cursor_after()?) })
    }

    /// A versionstamp is no text here: what is none is refused where it is read.
    fn stamp(&self, stamp: Option<&Stamp>) -> Result<Option<Versionstamp>, Refused> {
        let text = match stamp {
            None => None,
            Some(Stamp::Now { now }) => return Ok(self.kv.get(key_of(now))?.versionstamp),
            Some(Stamp::Text { text }) => Some(text),
            Some(Stamp::Step { step }) => match &self.outcomes[*step] {
                Outcome::Commit { stamp } => stamp.as_ref(),
                _ => None,
            },
            Some(Stamp::Entry { step, entry }) => match &self.outcomes[*step] {
                Outcome::Entries { entries, .. } => {
                    entries.get(*entry).and_then(|entry| entry.stamp.as_ref())
                }
                _ => None,
            },
        };
        text.map(|text| text.parse()).transpose().map_err(|_| Refused("Invalid check".to_owned()))
    }

    fn cursor(&self, cursor: Option<&Cursor>) -> Option<String> {
        match cursor? {
            Cursor::Text { text } => Some(text.clone()),
            Cursor::Step { step } => match &self.outcomes[*step] {
                Outcome::Entries { cursor, .. } => cursor.clone(),
                _ => None,
            },
        }
    }
}

fn parts_of(key: &Key) -> Vec<Tagged> {
    let parts = key.parts().expect("the store gives back what it was given");
    parts.iter().map(Tagged::of_part).collect()
}

fn stamps(entries: &[icecore::Entry]) -> Vec<Option<Versionstamp>> {
    entries.iter().map(|entry| entry.versionstamp).collect()
}

/// Adds what the history asks for.
fn mutate<'kv>(atomic: Atomic<'kv>, mutation: &history::Mutation) -> Atomic<'kv> {
    use history::Mutation as Asked;
    let range = SumRange::default();
    let mutation = match mutation {
        Asked::Set { key, value, expire_in } => {
            let (key, value, expiry) = (key_of(key), value.stored(), expiry(*expire_in));
            Mutation::Set { key, value, expiry }
        }
        Asked::SetVersionstamped { key, value, expire_in } => {
            let (prefix, value, expiry) = (key_of(key), value.stored(), expiry(*expire_in));
            Mutation::SetVersionstamped { prefix, value, expiry }
        }
        Asked::Delete { key } => Mutation::Delete { key: key_of(key) },
        Asked::Sum { key, value } => {
            Mutation::Sum { key: key_of(key), operand: value.stored(), range }
        }
        Asked::Min { key, value } => Mutation::Min { key: key_of(key), operand: value.stored() },
        Asked::Max { key, value } => Mutation::Max { key: key_of(key), operand: value.stored() },
        Asked::Enqueue(message) => return atomic.enqueue(enqueue(message)),
    };
    atomic.mutate(mutation)
}

fn expiry(expire_in: Option<u64>) -> Option<Expiry> {
    expire_in.map(|ms| Expiry::In(Duration::from_millis(ms)))
}

fn enqueue(message: &Message) -> Enqueue {
    let mut enqueue = Enqueue::new(message.value.stored());
    if let Some(ms) = message.delay {
        enqueue = enqueue.delay(Duration::from_millis(ms));
    }
    if let Some(intervals) = &message.backoff {
        enqueue = enqueue.backoff(intervals.iter().map(|ms| Duration::from_millis(*ms)));
    }
    enqueue.keys_if_undelivered(message.keys.iter().map(|key| key_of(key)))
}

/// `unordered`: without versionstamps, whose order means nothing.
fn entries(entries: impl IntoIterator<Item = icecore::Entry>, unordered: bool) -> Outcome {
    let form = |entry: icecore::Entry| Entry {
        key: parts_of(&entry.key),
        value: entry.value.as_ref().map(Tagged::of_stored),
        stamp: entry.versionstamp.filter(|_| !unordered).map(|stamp| stamp.to_string()),
    };
    Outcome::Entries { entries: entries.into_iter().map(form).collect(), cursor: None }
}
