//! The threads of the bank: what each does, and how it writes down what it saw.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use icecore::{
    Commit, Durability, Enqueue, Entry, Event, Key, Kv, Value, Versionstamp, key, prefix,
};
use icecore_disk::Clock;
use icecore_disk::clock::SystemClock;
use icecore_disk::random::SeededRandom;

use super::Failure;
use super::check::End;
use super::history::{Change, Looked, Received, Record, Seen, Span, Tried};

/// Threads that do so many rounds.
pub(crate) const WORKERS: usize = 11;
/// Threads that watch, follow and receive until the bank closes.
pub(crate) const FOLLOWERS: usize = 5;

const ACCOUNTS: u64 = 40;
const COINS: u64 = 1_000;
const SESSIONS: u64 = 30;
const QUEUE: &str = "receipts";
/// The number of the message that ends a receiver; it comes after all others.
const LAST_MESSAGE: u64 = u64::MAX;
const DELAY_MS_MAX: u64 = 20;
/// One transfer in so many sends a message.
const SENDERS: u64 = 10;
const READERS_PAUSE: Duration = Duration::from_millis(1);

/// The store, and what its threads share.
pub(crate) struct Bank {
    kv: Kv,
    seed: u64,
    clock: SystemClock,
    /// The highest reading of the clock so far: the store's own never goes back either.
    clock_ms: AtomicU64,
    /// The highest stamp that a commit has returned.
    acknowledged: AtomicU64,
    messages: AtomicU64,
    /// What the bank itself has committed.
    own: Mutex<Record>,
}

fn account(number: u64) -> Key {
    key!["account", number]
}

fn session(number: u64) -> Key {
    key!["session", number]
}

/// Lies among the accounts, so that whoever follows them sees it.
fn closed() -> Key {
    key!["account", "closed"]
}

impl Bank {
    /// Opens the accounts.
    pub(crate) fn found(kv: Kv, seed: u64) -> Result<Bank, Failure> {
        let bank = Bank {
            kv,
            seed,
            clock: SystemClock::new(),
            clock_ms: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            own: Mutex::default(),
        };
        let coins =
            |number| Change::Set { key: account(number), value: COINS.into(), lifetime_ms: None };
        bank.commit_alone((0..ACCOUNTS).map(coins).collect())?;
        Ok(bank)
    }

    /// What the bank itself has committed since this was asked last.
    pub(crate) fn own(&self) -> Record {
        std::mem::take(&mut self.own.lock().expect("nobody panics with it"))
    }

    /// Tells all followers that this is the end.
    pub(crate) fn close_the_day(&self) {
        let done = self.commit_alone(vec![Change::Set {
            key: closed(),
            value: 0.into(),
            lifetime_ms: None,
        }]);
        let last = || {
            let delay = Duration::from_millis(2 * DELAY_MS_MAX);
            let payload = LAST_MESSAGE.to_be_bytes().to_vec();
            self.kv.enqueue(Enqueue::new(payload).queue(QUEUE).delay(delay))
        };
        if done.is_err() || last().is_err() || last().is_err() {
            // The store has failed. Closing it lets everybody go; the workers have told why.
            drop(self.kv.close());
        }
    }

    /// What is there when all have gone home.
    pub(crate) fn closing(&self) -> Result<End, Failure> {
        let mut entries = Vec::new();
        for entry in self.kv.list(prefix![]) {
            entries.push(Seen::of(&entry?));
        }
        let balances = self.kv.list(prefix!["account"]);
        let sum = balances.map(|entry| entry?.u64()).sum::<Result<u64, _>>()?;
        let report = self.kv.check()?;
        if !report.is_clean() {
            return Err(format!("the store is damaged: {:?}", report.problems).into());
        }
        Ok(End { entries, now_ms: self.now_ms(), money: (ACCOUNTS * COINS, sum) })
    }

    /// A day of one worker.
    pub(crate) fn work(
        &self,
        number: usize,
        rounds: u64,
        stop: &AtomicBool,
    ) -> Result<Record, Failure> {
        let random = SeededRandom::new(self.seed << 8 | number as u64);
        let mut record = Record::default();
        for _ in 0..rounds {
            if stop.load(Ordering::SeqCst) {
                break;
            }
            match number {
                0..=6 => self.transfer(&random, &mut record)?,
                7 => self.keep_sessions(&random, &mut record)?,
                8 => self.look_at_sessions(&random, &mut record)?,
                _ => self.look_at_accounts(&random, &mut record)?,
            }
            if number >= 8 {
                // What readers see is kept until the end: at full speed it would fill the memory.
                thread::park_timeout(READERS_PAUSE);
            }
        }
        Ok(record)
    }

    /// A day of one follower.
    pub(crate) fn follow(&self, number: usize) -> Result<Record, Failure> {
        match number {
            0 | 1 => self.watch(number as u64),
            2 => self.follow_accounts(),
            _ => self.receive(),
        }
    }

    fn transfer(&self, random: &SeededRandom, record: &mut Record) -> Result<(), Failure> {
        let from = random.below(ACCOUNTS);
        let to = (from + 1 + random.below(ACCOUNTS - 1)) % ACCOUNTS;
        let [a, b] = self.look(record, |bank| {
            let read = bank.kv.get_many([account(from), account(to)])?;
            Ok((read.clone(), read.iter().map(Seen::of).collect(), None, None))
        })?;
        let amount = random.below(20).min(a.u64()?);
        let set = |entry: &Entry, balance: u64| Change::Set {
            key: entry.key.clone(),
            value: balance.into(),
            lifetime_ms: None,
        };
        let mut changes = vec![
            set(&a, a.u64()? - amount),
            set(&b, b.u64()? + amount),
            Change::Sum { key: key!["transfers", from], operand: 1 },
            Change::SetVersionstamped { prefix: key!["log", from], value: amount.into() },
        ];
        // Receiving takes two durable commits: more messages would pile up.
        if random.one_in(SENDERS) {
            let number = self.messages.fetch_add(1, Ordering::SeqCst);
            changes.push(Change::Send { number, delay_ms: random.below(DELAY_MS_MAX) });
        }
        let checks = vec![(a.key, a.versionstamp), (b.key, b.versionstamp)];
        let durability = if random.one_in(2) { Durability::Sync } else { Durability::Buffered };
        self.commit(record, checks, changes, durability)?;
        Ok(())
    }

    fn keep_sessions(&self, random: &SeededRandom, record: &mut Record) -> Result<(), Failure> {
        let key = session(random.below(SESSIONS));
        let lifetime_ms = random.one_in(4).then(|| 1 + random.below(30)).or(Some(2_000));
        let value = Value::from(random.below(1_000));
        let set = Change::Set { key: key.clone(), value, lifetime_ms };
        let (checks, change) = match random.below(4) {
            0 => (Vec::new(), Change::Delete { key }),
            1 => (vec![(key, None)], set),
            _ => (Vec::new(), set),
        };
        self.commit(record, checks, vec![change], Durability::Buffered)?;
        Ok(())
    }

    fn look_at_sessions(&self, random: &SeededRandom, record: &mut Record) -> Result<(), Failure> {
        let reversed = random.one_in(2);
        self.look(record, |bank| {
            let list = bank.kv.list(prefix!["session"]);
            let list = if reversed { list.reverse() } else { list };
            let mut entries = list.collect::<Result<Vec<_>, _>>()?;
            if reversed {
                entries.reverse();
            }
            Ok(((), entries.iter().map(Seen::of).collect(), Some(key!["session"]), None))
        })
    }

    fn look_at_accounts(&self, random: &SeededRandom, record: &mut Record) -> Result<(), Failure> {
        let way = random.below(3);
        self.look(record, |bank| {
            let snapshot = bank.kv.snapshot()?;
            let (entries, at) = match way {
                0 => (bank.kv.list(prefix!["account"]).collect::<Result<Vec<_>, _>>()?, None),
                1 => {
                    let list = snapshot.list(prefix!["account"]);
                    (list.collect::<Result<Vec<_>, _>>()?, Some(snapshot.versionstamp()))
                }
                _ => {
                    let keys = [closed()].into_iter().chain((0..ACCOUNTS).map(account));
                    (snapshot.get_all(keys)?, Some(snapshot.versionstamp()))
                }
            };
            Ok(((), entries.iter().map(Seen::of).collect(), Some(key!["account"]), at))
        })
    }

    fn watch(&self, number: u64) -> Result<Record, Failure> {
        let keys = [account(number), session(number), account(number + 2), closed()];
        let mut record = Record::default();
        for frame in self.kv.watch(keys)? {
            let frame = frame?;
            record.frames.push(frame.iter().map(Seen::of).collect());
            if frame[3].is_present() {
                break;
            }
        }
        Ok(record)
    }

    /// Keeps a copy of the accounts. Whenever the feed says up to which commit it tells, the copy
    /// must be the state at that commit.
    fn follow_accounts(&self) -> Result<Record, Failure> {
        let mut record = Record::default();
        let mut copy: BTreeMap<Key, Entry> = BTreeMap::new();
        for event in self.kv.watch_prefix(prefix!["account"])? {
            match event? {
                Event::Reset => copy.clear(),
                Event::Set(entry) => drop(copy.insert(entry.key.clone(), entry)),
                Event::Deleted { key, .. } => drop(copy.remove(&key)),
                Event::DeletedRange { range, .. } => copy.retain(|key, _| !range.contains(key)),
                Event::UpTo(at) => {
                    let (seen, all_of) =
                        (copy.values().map(Seen::of).collect(), Some(key!["account"]));
                    let span = Span {
                        acknowledged: Versionstamp::ZERO,
                        visible: Versionstamp::MAX,
                        began_ms: 0,
                        ended_ms: 0,
                    };
                    record.looked.push(Looked { span, at: Some(at), all_of, seen });
                    if copy.contains_key(&closed()) {
                        break;
                    }
                }
            }
        }
        Ok(record)
    }

    fn receive(&self) -> Result<Record, Failure> {
        let mut record = Record::default();
        let queue = self.kv.queue(QUEUE);
        while let Some(message) = queue.receive()? {
            let Value::Bytes(payload) = message.payload() else {
                return Err("a message is not what was sent".into());
            };
            let number = u64::from_be_bytes(payload[..].try_into()?);
            message.finish()?;
            if number == LAST_MESSAGE {
                break;
            }
            record.received.push(Received { number, at_ms: self.now_ms() });
        }
        Ok(record)
    }
}

/// What a read gives: something for the caller, and what is written down.
type Read<T> = (T, Vec<Seen>, Option<Key>, Option<Versionstamp>);

impl Bank {
    fn now_ms(&self) -> u64 {
        let wall = self.clock.wall_ms();
        self.clock_ms.fetch_max(wall, Ordering::SeqCst).max(wall)
    }

    fn begin(&self) -> Span {
        let acknowledged = Versionstamp::new(self.acknowledged.load(Ordering::SeqCst));
        let began_ms = self.now_ms();
        Span { acknowledged, visible: Versionstamp::MAX, began_ms, ended_ms: u64::MAX }
    }

    fn end(&self, span: Span) -> Result<Span, Failure> {
        let visible = self.kv.snapshot()?.versionstamp();
        Ok(Span { visible, ended_ms: self.now_ms(), ..span })
    }

    fn look<T>(
        &self,
        record: &mut Record,
        read: impl FnOnce(&Bank) -> Result<Read<T>, Failure>,
    ) -> Result<T, Failure> {
        let span = self.begin();
        let (result, seen, all_of, at) = read(self)?;
        record.looked.push(Looked { span: self.end(span)?, at, all_of, seen });
        Ok(result)
    }

    fn commit_alone(&self, changes: Vec<Change>) -> Result<(), Failure> {
        let mut record = Record::default();
        self.commit(&mut record, Vec::new(), changes, Durability::Sync)?;
        self.own.lock().expect("nobody panics with it").tried.append(&mut record.tried);
        Ok(())
    }

    fn commit(
        &self,
        record: &mut Record,
        checks: Vec<(Key, Option<Versionstamp>)>,
        changes: Vec<Change>,
        durability: Durability,
    ) -> Result<(), Failure> {
        let checked = checks
            .iter()
            .fold(self.kv.atomic(), |atomic, (key, stamp)| atomic.check_versionstamp(key, *stamp));
        let atomic = changes.iter().fold(checked, |atomic, change| match change.clone() {
            Change::Set { key, value, lifetime_ms: None } => atomic.set(key, value),
            Change::Set { key, value, lifetime_ms: Some(ms) } => {
                atomic.set_expiring(key, value, Duration::from_millis(ms))
            }
            Change::SetVersionstamped { prefix, value } => atomic.set_versionstamped(prefix, value),
            Change::Delete { key } => atomic.delete(key),
            Change::Sum { key, operand } => atomic.sum(key, operand),
            Change::Send { number, delay_ms } => {
                let payload = number.to_be_bytes().to_vec();
                let delay = Duration::from_millis(delay_ms);
                atomic.enqueue(Enqueue::new(payload).queue(QUEUE).delay(delay))
            }
        });
        let span = self.begin();
        let commit = atomic.commit_with(durability)?;
        if let Commit::Done { versionstamp } = &commit {
            self.acknowledged.fetch_max(versionstamp.get(), Ordering::SeqCst);
        }
        record.tried.push(Tried { span: self.end(span)?, checks, changes, commit });
        Ok(())
    }
}
