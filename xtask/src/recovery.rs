//! `cargo xtask recovery-time`: how long is a store recovered after a kill, and does that end?
//!
//! A child fills a log and is killed. Recovering it is timed, and its speed printed: it is a
//! statement about this machine, not a condition. What is demanded is that everything is there
//! afterwards, and that a recovery ends although it is killed again and again:
//!
//! - at its disk: each life ends when its second table is durable;
//! - by the clock: each life ends 100 milliseconds after its process was started.
//!
//! Each life but the first moves at least one piece of the log into a table, so the number of lives
//! is bounded by the length of the log in pieces. By the clock, a life on a busy machine may be too
//! short for that: some are allowed.

use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clap::Args;
use icecore_disk::clock::SystemClock;
use icecore_disk::random::SystemRandom;
use icecore_disk::real::RealDisk;
use icecore_engine::keyspace::DATA;
use icecore_engine::{
    Batch, Durability, Engine, Environment, Error, Mutation, Options, Outcome, Workers,
};

use crate::kill9::strike::{Strike, StrikeDisk};
use crate::report::{Budget, Ending, Run, grouped};
use crate::witness::deed::content;

/// How much.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    budget: Budget,
    /// The sizes of the logs that are recovered.
    #[arg(long, value_delimiter = ',', default_values_t = [256, 1024])]
    mebibytes: Vec<u64>,
    /// The size of the log whose recovery is killed.
    #[arg(long, default_value_t = 64)]
    killed_mebibytes: u64,
}

/// The process that fills, recovers, and is killed.
#[derive(Args)]
pub(crate) struct ChildArguments {
    #[arg(long)]
    directory: PathBuf,
    /// Fills a log of so many bytes; without it, the store is recovered.
    #[arg(long)]
    fill: Option<u64>,
    /// Stands still when so many tables are durable.
    #[arg(long)]
    tables: Option<u64>,
}

/// MiB of the log a second. The aim is 256; a machine that does other things may take ten times as
/// long.
const SPEED_MIN: f64 = 25.0;
const VALUE_BYTES: u32 = 1_000;
const VALUES_PER_COMMIT: u64 = 16;
/// Each life gets at least so much of the log done.
const PIECE_BYTES: u64 = 1 << 20;
/// How many lives may get nothing done.
const IDLE_LIVES: u64 = 50;
/// What ends a life at the disk.
const STRIKE: &str = "table.sync.after";
/// At which time it ends a life.
const STRIKE_AT: u64 = 2;
/// How long a life lasts by the clock.
const LIFE: Duration = Duration::from_millis(100);
/// A child that says nothing for so long is stuck.
const PATIENCE: Duration = Duration::from_secs(300);

pub(crate) fn run(arguments: &Arguments) -> bool {
    let run = arguments.budget.begin();
    let mut told = Vec::new();
    let mut figures_told = 0;
    let result = figures(arguments, &run, &mut told).and_then(|()| {
        figures_told = told.len();
        for (end, how) in [(End::AtDisk, "at its disk"), (End::ByClock, "by the clock")] {
            let lives = lives(arguments, &run, end)?;
            told.push(format!("killed {how} it is done in life {lives}"));
        }
        Ok(())
    });
    let ending = match result {
        Ok(()) => Ending::of(figures_told as u64, true),
        Err(violation) => {
            println!("{violation}");
            println!("  cargo xtask recovery-time --seed {}", run.seed());
            Ending::Violated
        }
    };
    run.conclude("B23", "recovery-time", &told.join(", "), &ending)
}

/// Recovers a log of each size.
fn figures(arguments: &Arguments, run: &Run, told: &mut Vec<String>) -> Result<(), String> {
    for mebibytes in &arguments.mebibytes {
        if run.is_over() {
            break;
        }
        let filled = Filled::new(*mebibytes << 20)?;
        let took = filled.recover(run)?.as_secs_f64();
        let speed = filled.log_bytes as f64 / f64::from(1 << 20) / took;
        told.push(format!("{mebibytes} MiB in {took:.2} s ({speed:.0} MiB/s)"));
        if speed < SPEED_MIN {
            return Err(format!("recovery takes {took:.1} s for {mebibytes} MiB of log"));
        }
    }
    Ok(())
}

/// What ends a life.
#[derive(Clone, Copy, Debug)]
enum End {
    AtDisk,
    ByClock,
}

/// Recovers in lives that are ended before they are done, and counts them.
fn lives(arguments: &Arguments, run: &Run, end: End) -> Result<u64, String> {
    let filled = Filled::new(arguments.killed_mebibytes << 20)?;
    let lives_max = filled.log_bytes / PIECE_BYTES + IDLE_LIVES;
    let (tables, patience) = match end {
        End::AtDisk => (Some(STRIKE_AT), PATIENCE),
        End::ByClock => (None, LIFE),
    };
    for life in 1..=lives_max {
        let mut child = start(&filled.store(), None, tables).map_err(|e| e.to_string())?;
        let line = hear(&mut child, patience).map_err(|e| e.to_string())?;
        match (line.as_deref(), end) {
            (Some("recovered"), _) => {
                filled.recover(run)?;
                return Ok(life);
            }
            // Its moment had come.
            (Some("struck"), End::AtDisk) | (None, End::ByClock) => {}
            _ => return Err(format!("the child says {line:?}")),
        }
    }
    Err(format!("killed {end:?}, the recovery is not done in {lives_max} lives"))
}

/// A store whose process was killed, with a long log.
struct Filled {
    root: tempfile::TempDir,
    log_bytes: u64,
    entries: u64,
}

impl Filled {
    fn new(bytes: u64) -> Result<Filled, String> {
        let told = |error: io::Error| error.to_string();
        let prefix = "icecore-recovery-";
        let root = tempfile::Builder::new().prefix(prefix).tempdir().map_err(told)?;
        let mut child = start(&root.path().join("store"), Some(bytes), None).map_err(told)?;
        let line = hear(&mut child, PATIENCE).map_err(told)?.ok_or("the log was not filled")?;
        let numbers: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [log_bytes, entries] = numbers[..] else {
            return Err(format!("the child says {line:?}"));
        };
        Ok(Filled { root, log_bytes, entries })
    }

    fn store(&self) -> PathBuf {
        self.root.path().join("store")
    }

    /// Opens the store, and compares what is in it. Gives the time of the opening alone.
    fn recover(&self, run: &Run) -> Result<Duration, String> {
        let begun = run.elapsed();
        let engine = open(&self.store(), None).map_err(|error| error.to_string())?;
        let took = run.elapsed() - begun;
        let compared = self.compare(&engine).map_err(|error| error.to_string())?;
        compared.map(|()| took)
    }

    fn compare(&self, engine: &Engine) -> Result<Result<(), String>, Error> {
        let mut number = 0;
        for item in engine.scan(&[DATA], &[DATA + 1])? {
            let item = item?;
            if item.key() != key(number) || item.value[..] != content(number, VALUE_BYTES) {
                let found = item.key().escape_ascii();
                return Ok(Err(format!("entry {number} is not there, but {found}")));
            }
            number += 1;
        }
        if number != self.entries {
            let (found, all) = (grouped(number), grouped(self.entries));
            return Ok(Err(format!("{found} of {all} entries are there")));
        }
        Ok(Ok(()))
    }
}

fn key(number: u64) -> Vec<u8> {
    [&[DATA][..], &number.to_be_bytes()].concat()
}

fn start(store: &Path, fill: Option<u64>, tables: Option<u64>) -> io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("recovery-child").arg("--directory").arg(store);
    if let Some(bytes) = fill {
        command.args(["--fill", &bytes.to_string()]);
    }
    if let Some(tables) = tables {
        command.args(["--tables", &tables.to_string()]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()
}

/// Waits for the one line that a child says, kills it, and gives the line.
fn hear(child: &mut Child, patience: Duration) -> io::Result<Option<String>> {
    let pipe = child.stdout.take().expect("the child's standard output is a pipe");
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            let line = BufReader::new(pipe).lines().next();
            // Whoever waits may have lost patience.
            drop(sender.send(line));
        });
        let line = receiver.recv_timeout(patience).ok().flatten().transpose();
        child.kill()?;
        child.wait()?;
        line
    })
}

/// Opens the store on a disk that stands still when so many tables are durable.
fn open(store: &Path, tables: Option<u64>) -> Result<Engine, Error> {
    let failed = |source| Error::Io {
        file: store.display().to_string(),
        action: "open",
        source: Arc::new(source),
    };
    let disk = RealDisk::create(store).map_err(failed)?;
    let name = tables.map(|_| STRIKE);
    let strike = Strike::new(name, tables.unwrap_or(0), Box::new(|| println!("struck")));
    strike.arm();
    let env = Environment {
        disk: Arc::new(StrikeDisk::new(Arc::new(disk), Arc::new(strike))),
        clock: Arc::new(SystemClock::new()),
        random: Arc::new(SystemRandom),
    };
    Engine::open(env, Options { workers: Workers::Manual, ..Options::default() })
}

/// Says one line, and waits to be killed.
pub(crate) fn run_child(arguments: &ChildArguments) -> bool {
    // An open store is not closed before the kill.
    let done = match arguments.fill {
        Some(bytes) => fill(&arguments.directory, bytes),
        None => open(&arguments.directory, arguments.tables)
            .map(|engine| (engine, "recovered".to_owned())),
    };
    match done {
        Err(error) => println!("failed: {error}"),
        Ok((_engine, line)) => {
            println!("{line}");
            loop {
                thread::park();
            }
        }
    }
    false
}

/// Commits until the log is so long, without a flush.
fn fill(store: &Path, bytes: u64) -> Result<(Engine, String), Error> {
    let options = Options {
        workers: Workers::Manual,
        memtable_bytes: 1 << 40,
        log_bytes_max: u64::MAX,
        ..Options::default()
    };
    let engine = Engine::open_path(store, options)?;
    let mut entries = 0;
    let mut log_bytes = 0;
    while log_bytes < bytes {
        let pairs: Vec<_> = (entries..entries + VALUES_PER_COMMIT)
            .map(|number| (key(number), content(number, VALUE_BYTES)))
            .collect();
        let mutations: Vec<_> = pairs
            .iter()
            .map(|(key, value)| Mutation::Set { key, value, expires_at: None })
            .collect();
        let batch = Batch { checks: &[], mutations: &mutations };
        let Outcome::Committed(_) = engine.commit_with(batch, Durability::Buffered)? else {
            unreachable!("there was no check");
        };
        entries += VALUES_PER_COMMIT;
        log_bytes = engine.stats()?.log.bytes;
    }
    Ok((engine, format!("{log_bytes} {entries}")))
}
