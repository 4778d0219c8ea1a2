//! What is measured.

use std::path::Path;
use std::sync::OnceLock;

use icecore::{Commit, Durability, Kv, Limits, List, Pending, Selector};
use icecore_disk::Clock;
use icecore_disk::random::SeededRandom;

use super::Args;
use super::data::Data;
use super::drive::{Drive, Measured, done};
use super::report;
use crate::failure::Failure;
use crate::ledger::accounts::Accounts;

/// So many accounts take part in transfers.
const ACCOUNTS: u32 = 1000;

/// So many records are loaded by one commit.
const RECORDS_PER_COMMIT: usize = 1000;

/// So many records are listed at once.
const LISTED: u64 = 100;

/// So many commits one thread keeps in flight.
const IN_FLIGHT: usize = 64;

/// The threads of rows that read and write.
const READERS: u32 = 2;

/// The rows, stage by stage: each stage has a store of its own.
pub(crate) struct Bench<'a> {
    args: &'a Args,
    directory: &'a Path,
    drive: Drive<'a>,
    data: Data,
    loaded: OnceLock<Kv>,
}

impl<'a> Bench<'a> {
    pub(crate) fn new(args: &'a Args, directory: &'a Path, clock: &'a dyn Clock) -> Bench<'a> {
        let drive = Drive { clock, duration: args.seconds };
        let data = Data { keys: args.keys, value_bytes: args.value_bytes };
        Bench { args, directory, drive, data, loaded: OnceLock::new() }
    }

    pub(crate) fn run(&self) -> Result<(), Failure> {
        self.commits("durable", Durability::Sync)?;
        self.commits("buffered", Durability::Buffered)?;
        self.load_in_order()?;
        self.load_and_read()
    }

    /// Measures a row, if it is wanted.
    fn row(
        &self,
        name: &str,
        measure: impl FnOnce() -> Result<Measured, Failure>,
    ) -> Result<(), Failure> {
        if !self.args.wants(name) {
            return Ok(());
        }
        let measured = measure().map_err(|failure| failure.during(name))?;
        report::row(self.args.json, name, &measured)
    }

    fn open(&self, name: &str, durability: Durability) -> Result<Kv, Failure> {
        // One commit opens all accounts.
        let builder = Kv::builder(self.directory.join(name)).limits(Limits::none());
        Ok(builder.durability(durability).open()?)
    }

    fn commits(&self, kind: &str, durability: Durability) -> Result<(), Failure> {
        let kv = self.open(kind, durability)?;
        let set = |random: &SeededRandom| {
            let number = random.below(self.data.keys);
            kv.atomic().set(Data::key(number), self.data.value(number))
        };
        let commit = |random: &SeededRandom| done(set(random).commit());
        let submit = |random: &SeededRandom| -> Pending { set(random).commit_async() };
        let threads = self.args.threads;
        self.row(&format!("{kind} commit, 1 thread"), || self.drive.repeat(1, &commit))?;
        let many = format!("{kind} commit, {threads} threads");
        self.row(&many, || self.drive.repeat(threads, &commit))?;
        let flying = format!("{kind} commit, {IN_FLIGHT} in flight");
        self.row(&flying, || self.drive.in_flight(IN_FLIGHT, &submit))?;
        let transfers = format!("{kind} transfer, {threads} agents");
        self.row(&transfers, || self.transfers(&kv))?;
        Ok(kv.close()?)
    }

    /// Agents that move money. The sum of all balances must stay.
    fn transfers(&self, kv: &Kv) -> Result<Measured, Failure> {
        let accounts = Accounts::open(kv, ACCOUNTS)?;
        let before = accounts.total(kv)?;
        let measured = self.drive.repeat(self.args.threads, &|random| {
            let transfer = accounts.transfer(kv, &accounts.choose(random), None)?;
            Ok(u64::from(transfer.done.is_some()))
        })?;
        let after = accounts.total(kv)?;
        if before == after {
            return Ok(measured);
        }
        Err(Failure::damaged(format!("the sum of all balances was {before}, and is {after}")))
    }

    fn load_in_order(&self) -> Result<(), Failure> {
        self.row("load, in order", || {
            let kv = self.open("in order", Durability::Buffered)?;
            let numbers: Vec<u64> = (0..self.data.keys).collect();
            let measured = self.drive.once(|| self.load(&kv, &numbers))?;
            self.count(&kv)?;
            kv.close()?;
            Ok(measured)
        })
    }

    /// Batches, the last of which waits until all of them are durable.
    fn load(&self, kv: &Kv, numbers: &[u64]) -> Result<u64, Failure> {
        let batches = numbers.chunks(RECORDS_PER_COMMIT);
        let last = batches.len() - 1;
        for (place, batch) in batches.enumerate() {
            let atomic = batch.iter().fold(kv.atomic(), |atomic, number| {
                atomic.set(Data::key(*number), self.data.value(*number))
            });
            let durability = if place == last { Durability::Sync } else { Durability::Buffered };
            done(atomic.commit_with(durability))?;
        }
        Ok(numbers.len() as u64)
    }

    fn load_and_read(&self) -> Result<(), Failure> {
        self.row("load, in an order of chance", || self.load_at_random())?;
        self.points()?;
        self.ranges()?;
        self.mixed()?;
        let Some(kv) = self.loaded.get() else { return Ok(()) };
        self.count(kv)?;
        Ok(kv.close()?)
    }

    /// The store with all records, which the first row that needs it makes.
    fn loaded(&self) -> Result<&Kv, Failure> {
        if self.loaded.get().is_none() {
            self.load_at_random()?;
        }
        Ok(self.loaded.get().expect("it has just been loaded"))
    }

    fn load_at_random(&self) -> Result<Measured, Failure> {
        let kv = self.open("random", Durability::Buffered)?;
        let numbers = self.data.shuffled(&SeededRandom::new(1));
        let measured = self.drive.once(|| self.load(&kv, &numbers))?;
        kv.flush()?;
        kv.close()?;
        let kv = self.open("random", Durability::Buffered)?;
        self.loaded.set(kv).expect("it is loaded once");
        Ok(measured)
    }

    fn points(&self) -> Result<(), Failure> {
        let below = |random: &SeededRandom| random.below(self.data.keys);
        for (name, threads) in [("get, 1 thread", 1), ("get, 2 threads", READERS)] {
            self.row(name, || {
                let kv = self.loaded()?;
                self.drive.repeat(threads, &|random| self.get(kv, below(random)))
            })?;
        }
        self.row("get 10 at once", || {
            let kv = self.loaded()?;
            self.drive.repeat(1, &|random| {
                let numbers: [u64; 10] = std::array::from_fn(|_| below(random));
                let entries = kv.get_many(numbers.map(Data::key))?;
                for (number, entry) in numbers.iter().zip(&entries) {
                    self.data.verify(*number, entry)?;
                }
                Ok(entries.len() as u64)
            })
        })?;
        self.row("get what is not there", || {
            let kv = self.loaded()?;
            self.drive.repeat(1, &|random| {
                let entry = kv.get(Data::missing_key(below(random)))?;
                if entry.is_present() {
                    return Err(Failure::damaged(format!("{} is there", entry.key)));
                }
                Ok(1)
            })
        })
    }

    fn get(&self, kv: &Kv, number: u64) -> Result<u64, Failure> {
        self.data.verify(number, &kv.get(Data::key(number))?)?;
        Ok(1)
    }

    fn ranges(&self) -> Result<(), Failure> {
        let all = || Selector::prefix(Data::prefix());
        let first = |random: &SeededRandom| random.below(self.data.keys - LISTED);
        let limit = usize::try_from(LISTED).expect("it is small");
        self.row("list 100", || {
            let kv = self.loaded()?;
            self.drive.repeat(1, &|random| {
                let first = first(random);
                let list = kv.list(all().start(Data::key(first))).limit(limit);
                self.walk(list, first..first + LISTED)
            })
        })?;
        self.row("list 100, backwards", || {
            let kv = self.loaded()?;
            self.drive.repeat(1, &|random| {
                let first = first(random);
                let list = kv.list(all().end(Data::key(first + LISTED))).limit(limit).reverse();
                self.walk(list, (first..first + LISTED).rev())
            })
        })?;
        self.row("scan", || {
            let kv = self.loaded()?;
            self.drive.once(|| self.walk(kv.list(all()), 0..self.data.keys))
        })?;
        self.row("scan, backwards", || {
            let kv = self.loaded()?;
            self.drive.once(|| self.walk(kv.list(all()).reverse(), (0..self.data.keys).rev()))
        })
    }

    /// Whether a list has these records and no others, and how many they are.
    fn walk(&self, list: List, numbers: impl Iterator<Item = u64>) -> Result<u64, Failure> {
        let mut numbers = numbers;
        let mut count = 0;
        for entry in list {
            let entry = entry?;
            let Some(number) = numbers.next() else {
                return Err(Failure::damaged(format!("{} is listed behind the last", entry.key)));
            };
            self.data.verify(number, &entry)?;
            count += 1;
        }
        match numbers.next() {
            None => Ok(count),
            Some(number) => Err(Failure::damaged(format!("{} is not listed", Data::key(number)))),
        }
    }

    fn mixed(&self) -> Result<(), Failure> {
        let below = |random: &SeededRandom| random.below(self.data.keys);
        self.row("mixed: half gets, half sets, 2 threads", || {
            let kv = self.loaded()?;
            self.drive.repeat(READERS, &|random| {
                let number = below(random);
                if random.one_in(2) {
                    return self.get(kv, number);
                }
                done(kv.atomic().set(Data::key(number), self.data.value(number)).commit())
            })
        })?;
        self.row("mixed: get, check and set, 2 threads", || {
            let kv = self.loaded()?;
            self.drive.repeat(READERS, &|random| self.rewrite(kv, below(random)))
        })
    }

    /// Reads and sets, again and again, until nobody gets in between.
    fn rewrite(&self, kv: &Kv, number: u64) -> Result<u64, Failure> {
        loop {
            let entry = kv.get(Data::key(number))?;
            self.data.verify(number, &entry)?;
            let atomic = kv.atomic().check(&entry).set(entry.key, self.data.value(number));
            if let Commit::Done { .. } = atomic.commit()? {
                return Ok(1);
            }
        }
    }

    fn count(&self, kv: &Kv) -> Result<(), Failure> {
        let (count, keys) = (kv.count(Selector::prefix(Data::prefix()))?, self.data.keys);
        if count == keys {
            return Ok(());
        }
        Err(Failure::damaged(format!("{count} records are there, where {keys} must be")))
    }
}
