//! The directory of a store, with its files damaged at rest.
//!
//! The stores are made once; of each, every state that it was ever in is known. Files go missing,
//! are cut, extended, duplicated, swapped, replaced by older versions of themselves or by those of
//! another store, changed in their bytes, and something else lies in their place (F1 to F8).
//!
//! 1. The store opens or says why not; whatever opens is read and checked without a panic.
//! 2. What is read was once committed with this stamp and this value.
//! 3. A walk without an error shows a state that the store was in, as a whole; of a store that was
//!    closed, the last one. Less is shown only where the error says so.
//! 4. A table whose bytes have changed does not pass the store's own check.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use icecore_disk::clock::ManualClock;
use icecore_disk::random::SeededRandom;
use icecore_disk::sim::{Damage, Filler, Foreign, Rules, SimDisk};
use icecore_disk::{Disk, Name};
use icecore_engine::keyspace::DATA;
use icecore_engine::{
    Access, Batch, Create, Engine, Environment, Error, ErrorKind, LogOptions, Mutation, Options,
    Outcome, ReadMode, TableOptions, Workers,
};

use crate::choices::Choices;

/// The whole keyspace of user data.
const ALL: (&[u8], &[u8]) = (&[DATA], &[DATA + 1]);
const CLOCK_MS: u64 = 1_000_000;
const COMMITS: u64 = 60;
/// How many kinds of stores there are.
const STORES: usize = 4;

/// Keys with stamps and values.
type State = BTreeMap<Vec<u8>, (u64, Vec<u8>)>;
type Files = Vec<(Name, Vec<u8>)>;

/// A store at rest, and all that it ever was.
struct Store {
    disk: Arc<SimDisk>,
    files: Files,
    /// What its files were earlier.
    older: Files,
    /// The state after each commit, the empty one first.
    states: Vec<State>,
    closed: bool,
}

/// # Panics
/// When a property does not hold.
pub fn run(bytes: &[u8]) {
    static MADE: OnceLock<Vec<Store>> = OnceLock::new();
    let stores = MADE.get_or_init(|| (0..STORES).map(Store::make).collect());
    let mut choices = Choices::new(bytes);
    let which = choices.below(STORES);
    let store = &stores[which];
    let disk = store.disk.fork();
    let count = 1 + choices.below(3);
    for _ in 0..count {
        damage(&mut choices, &disk, store, &stores[(which + 1) % STORES]);
    }
    let spoiled = spoiled_table(store, &disk);
    let access = choices.pick(&[Access::ReadWrite, Access::ReadOnly]);
    let read_mode = choices.pick(&[ReadMode::Mmap, ReadMode::MmapStrict, ReadMode::Read]);
    let options = Options { access, read_mode, create: Create::Never, ..settings(which) };
    match open(&disk.reopen(), options) {
        Ok(engine) => store.examine(&engine, spoiled),
        Err(error) => assert!(says_why(&error), "{error} ({:?})", error.kind()),
    }
}

/// Whether an error is one that damage may lead to.
fn says_why(error: &Error) -> bool {
    use ErrorKind::{Corrupt, InvalidArgument, Io, NotFound, UnknownFormat};
    matches!(error.kind(), Corrupt | UnknownFormat | Io | NotFound | InvalidArgument)
}

/// A table that the store has, whose file is not what it was.
fn spoiled_table(store: &Store, disk: &SimDisk) -> bool {
    let tables = store.files.iter().filter(|(name, _)| matches!(name, Name::Table(_)));
    tables.into_iter().any(|(name, content)| match disk.read_file(*name) {
        Ok(found) => found != *content,
        Err(_) => true,
    })
}

fn settings(which: usize) -> Options {
    Options {
        workers: Workers::Manual,
        // Half of the stores have most of their commits in the log.
        memtable_bytes: if which.is_multiple_of(2) { 1 << 10 } else { 16 << 10 },
        log: LogOptions { segment_bytes: 4 << 10, spare_segments: 1, ..LogOptions::default() },
        table: TableOptions { block_bytes: 256, ..TableOptions::default() },
        table_bytes: 1 << 10,
        level0_tables: 2,
        level_base_bytes: 2 << 10,
        level_multiplier: 2,
        cache_bytes: 16 << 10,
        reserve_bytes: 0,
        ..Options::default()
    }
}

fn open(disk: &Arc<SimDisk>, options: Options) -> Result<Engine, Error> {
    let env = Environment {
        disk: Arc::clone(disk) as Arc<dyn Disk>,
        clock: Arc::new(ManualClock::at(CLOCK_MS)),
        random: Arc::new(SeededRandom::new(1)),
    };
    Engine::open(env, options)
}

impl Store {
    /// Store number `which`.
    fn make(which: usize) -> Store {
        let seed = which as u64 + 1;
        let disk = SimDisk::new(seed, Rules::none());
        let closed = which < STORES / 2;
        let engine = open(&disk, settings(which)).expect("an empty directory becomes a store");
        let mut states = vec![State::new()];
        let mut older = Files::new();
        for n in 0..COMMITS {
            let key = vec![DATA, b'a' + u8::try_from(n * 7 % 20).expect("it is small")];
            let value = [&[u8::try_from(n).expect("it is small"); 90][..], &key].concat();
            let mutations = match n % 6 {
                5 => [Mutation::Delete { key: &key }],
                _ => [Mutation::Set { key: &key, value: &value, expires_at: None }],
            };
            let outcome = engine.commit(Batch { checks: &[], mutations: &mutations });
            let Ok(Outcome::Committed(stamp)) = outcome else { panic!("{outcome:?}") };
            let mut state = states[states.len() - 1].clone();
            match n % 6 {
                5 => drop(state.remove(&key)),
                _ => drop(state.insert(key, (stamp.get(), value))),
            }
            states.push(state);
            if n == COMMITS / 2 {
                engine.compact().expect("the disk has no faults");
                older = disk.snapshot_files();
            }
        }
        if closed {
            engine.close().expect("the disk has no faults");
        }
        // A store that is dropped closes itself, and this one is to be killed.
        disk.kill();
        drop(engine);
        Store { files: disk.snapshot_files(), disk, older, states, closed }
    }

    /// Reads what opened.
    fn examine(&self, engine: &Engine, spoiled: bool) {
        let report = engine.check();
        let clean = report.as_ref().is_ok_and(|report| report.is_clean());
        assert!(!(spoiled && clean), "a table has changed, and the check is content");
        let forwards = read(engine, false);
        let backwards = read(engine, true);
        for (state, whole) in [&forwards, &backwards] {
            self.was_committed(state);
            if *whole {
                let last = self.states.last() == Some(state);
                assert!(last || !self.closed, "a store that was closed shows less");
                assert!(self.states.contains(state), "the store was never in this state");
            }
        }
        if forwards.1 && backwards.1 {
            assert_eq!(forwards, backwards);
        }
        for key in self.states.iter().flat_map(BTreeMap::keys).take(40) {
            match engine.get(key) {
                Ok(Some(record)) => {
                    let found = (record.stamp.get(), record.value.to_vec());
                    self.was_committed(&State::from([(key.clone(), found)]));
                }
                Ok(None) => {}
                Err(error) => assert!(says_why(&error), "{error}"),
            }
        }
    }

    /// Holds that each of these is of a state that the store was in.
    fn was_committed(&self, found: &State) {
        for (key, version) in found {
            let known = self.states.iter().any(|state| state.get(key) == Some(version));
            assert!(known, "{key:?} never was {version:?}");
        }
    }
}

/// What a walk over everything shows, and whether it came to the end without an error.
fn read(engine: &Engine, backwards: bool) -> (State, bool) {
    let mut state = State::new();
    let scan = match engine.scan(ALL.0, ALL.1) {
        Ok(scan) => scan,
        Err(error) => {
            assert!(says_why(&error), "{error}");
            return (state, false);
        }
    };
    let items: &mut dyn Iterator<Item = _> =
        if backwards { &mut scan.rev() } else { &mut { scan } };
    for item in items {
        match item {
            Ok(item) => {
                let version = (item.stamp.get(), item.value.to_vec());
                state.insert(item.into_key(), version);
            }
            Err(error) => {
                assert!(says_why(&error), "{error}");
                return (state, false);
            }
        }
    }
    (state, true)
}

/// Does one thing to the files of a store.
fn damage(choices: &mut Choices<'_>, disk: &SimDisk, store: &Store, another: &Store) {
    let files = disk.snapshot_files();
    let kind = choices.below(16);
    let (name, content) = &files[choices.below(files.len())];
    let (other, _) = &files[choices.below(files.len())];
    let place = choices.below(content.len().max(1)) as u64;
    let number = u64::from(choices.byte() % 40);
    // What cannot be done, as to change a byte of an empty file, is not done.
    let done = match kind {
        0 => disk.remove_file(*name),
        1 => disk.truncate_file(*name, place),
        2 => disk.extend_file(*name, 1 + number * 37, Filler::Zeros),
        3 => disk.extend_file(*name, 1 + number * 37, Filler::Garbage),
        4 => disk.duplicate_file(*name, renumbered(*name, number)),
        5 => disk.swap_files(*name, *other),
        6 => disk.duplicate_file(*name, *other),
        7 => {
            disk.restore_older(&store.older, |older| older == *name);
            Ok(())
        }
        8 => {
            let older = &store.older[choices.below(store.older.len())];
            disk.write_file(older.0, &older.1);
            Ok(())
        }
        9 => {
            let foreign = &another.files[choices.below(another.files.len())];
            disk.write_file(foreign.0, &foreign.1);
            Ok(())
        }
        10 => {
            let entry = choices.pick(&[0u8, 1]);
            let entry = if entry == 0 { Foreign::Symlink } else { Foreign::Directory };
            disk.add_foreign_entry(&name.to_string(), entry);
            Ok(())
        }
        11 => {
            disk.add_foreign_entry("letter.txt", Foreign::File(vec![1; 10]));
            Ok(())
        }
        12 => disk.corrupt(*name, place, Damage::FlipBit(number.try_into().expect("it is small"))),
        13 => disk.corrupt(*name, place, Damage::ZeroSector),
        14 => disk.corrupt(*name, place, Damage::BadSector),
        _ => {
            let mut content = content.clone();
            let start = usize::try_from(place).expect("it is a place in memory");
            let length = 1 + choices.below(8);
            let bytes = choices.take(length);
            let end = content.len().min(start + bytes.len());
            content[start..end].copy_from_slice(&bytes[..end - start]);
            disk.write_file(*name, &content);
            Ok(())
        }
    };
    drop(done);
}

/// The name that a file of this kind has under another number.
fn renumbered(name: Name, number: u64) -> Name {
    match name {
        Name::Table(_) => Name::Table(number),
        Name::Wal(_) => Name::Wal(number),
        Name::Manifest(_) => Name::Manifest(number),
        Name::Temp(_) => Name::Temp(number),
        Name::Current | Name::Lock => name,
    }
}
