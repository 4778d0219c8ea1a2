//! `cargo xtask bank`: is a busy store strictly serialisable?
//!
//! Sixteen threads use one store at once: they move money with checks, keep sessions that expire,
//! list, read, watch, follow, and receive messages. Everything that they see is [written
//! down](history). Afterwards the commits are [replayed](check) in the order of their
//! versionstamps, and every check, read, list, frame and message has to be what the replay says,
//! at a moment between its call and its return.

mod agents;
mod check;
mod history;

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use clap::Args;
use icecore::Kv;

use self::agents::Bank;
use self::check::{End, Totals};
use self::history::Record;
use crate::report::{Budget, Ending};

/// How long.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    budget: Budget,
}

/// For how long the threads work, if nothing else is said.
const WORK: Duration = Duration::from_secs(60);

/// How often it is asked whether the time is over.
const PAUSE: Duration = Duration::from_millis(50);

/// What can end a run early.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// Says whether everything was consistent.
pub(crate) fn run(arguments: &Arguments) -> bool {
    let run = arguments.budget.begin();
    let is_bounded = arguments.budget.is_bounded();
    let is_over = || run.is_over() || (!is_bounded && run.elapsed() >= WORK);
    let enough = Enough { is_over: Some(&is_over), rounds: u64::MAX };
    let (counts, examined, problems) = match work(run.seed(), &enough) {
        Ok((totals, problems)) => {
            let counts = format!("{totals}, {} inconsistencies", problems.len());
            (counts, totals.commits as u64, problems)
        }
        Err(failure) => ("it failed".to_owned(), 0, vec![failure.to_string()]),
    };
    problems.iter().for_each(|problem| println!("{problem}"));
    let ending = Ending::of(examined, problems.is_empty());
    if let Ending::Violated = ending {
        println!(
            "the same dice, though not the same threads: cargo xtask bank --seed {}",
            run.seed()
        );
    }
    run.conclude("B17", "bank", &counts, &ending)
}

/// When the threads end.
struct Enough<'a> {
    /// Whether the time is over, if there is one.
    is_over: Option<&'a dyn Fn() -> bool>,
    /// When each has done so much.
    rounds: u64,
}

/// Lets the threads work, and checks what they saw.
fn work(seed: u64, enough: &Enough<'_>) -> Result<(Totals, Vec<String>), Failure> {
    let (records, end) = let_work(seed, enough)?;
    Ok(check::check(&records, &end))
}

/// Lets the threads work; gives what they saw, and what there is in the end.
fn let_work(seed: u64, enough: &Enough<'_>) -> Result<(Vec<Record>, End), Failure> {
    let directory = tempfile::tempdir()?;
    // Small enough for flushes and compactions to go on all the time.
    let kv = Kv::builder(directory.path().join("store")).memtable_bytes(256 << 10).open()?;
    let bank = Bank::found(kv, seed)?;
    let mut records = vec![bank.own()];
    let (stop, rounds) = (AtomicBool::new(false), enough.rounds);
    let (bank, stop) = (&bank, &stop);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..agents::WORKERS)
            .map(|number| start(scope, number, move || bank.work(number, rounds, stop)))
            .collect::<Result<_, _>>()?;
        let followers: Vec<_> = (0..agents::FOLLOWERS)
            .map(|number| start(scope, number, move || bank.follow(number)))
            .collect::<Result<_, _>>()?;
        if let Some(is_over) = enough.is_over {
            // Nobody ends before that, unless something fails.
            while !is_over() && !workers.iter().any(ScopedJoinHandle::is_finished) {
                thread::park_timeout(PAUSE);
            }
            stop.store(true, Ordering::SeqCst);
        }
        let worked = join(workers);
        // Followers see the end, and then go home, also when somebody failed.
        bank.close_the_day();
        let followed = join(followers);
        records.extend(worked?);
        records.extend(followed?);
        Ok::<(), Failure>(())
    })?;
    records.push(bank.own());
    let end = bank.closing()?;
    Ok((records, end))
}

fn start<'scope, T: Send + 'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    number: usize,
    body: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>, Failure> {
    Ok(thread::Builder::new().name(format!("bank-{number}")).spawn_scoped(scope, body)?)
}

fn join(
    handles: Vec<ScopedJoinHandle<'_, Result<Record, Failure>>>,
) -> Result<Vec<Record>, Failure> {
    let joined: Vec<_> = handles.into_iter().map(ScopedJoinHandle::join).collect();
    joined.into_iter().map(|record| record.map_err(|_| "a thread of the bank panicked")?).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_threads_see_one_order_of_commits() {
        let (totals, problems) = work(7, &Enough { is_over: None, rounds: 150 }).unwrap();
        println!("{totals}");
        assert_eq!(problems, [""; 0]);
        assert!(totals.commits > 500 && totals.reads > 1_000, "{totals}");
        assert!(totals.frames > 2 && totals.messages > 20, "{totals}");
    }

    #[test]
    fn what_does_not_fit_is_noticed() {
        let (records, end) = let_work(8, &Enough { is_over: None, rounds: 40 }).unwrap();
        let problems = |tamper: &dyn Fn(&mut Record)| {
            let mut records = records.clone();
            records.iter_mut().for_each(tamper);
            check::check(&records, &end).1
        };
        assert_eq!(problems(&|_| {}), [""; 0]);
        let other_value = |record: &mut Record| {
            let seen = record.looked.iter_mut().flat_map(|looked| &mut looked.seen);
            seen.take(1).for_each(|seen| {
                if let Some((value, _)) = &mut seen.found {
                    *value = 999_999.into();
                }
            });
        };
        assert!(problems(&other_value)[0].starts_with("no state explains what was read"));
        let lost = |record: &mut Record| record.received.truncate(record.received.len() / 2);
        assert!(problems(&lost)[0].contains("never came"));
        let twice = |record: &mut Record| record.received.extend(record.received.first().copied());
        assert!(problems(&twice)[0].contains("came twice"));
        let stale = |record: &mut Record| record.frames.reverse();
        assert!(problems(&stale)[0].contains("explains ["), "{:?}", problems(&stale));
        let passed = |record: &mut Record| {
            let checks = record.tried.iter_mut().flat_map(|tried| &mut tried.checks);
            checks.take(1).for_each(|(_, expected)| *expected = None);
        };
        assert!(problems(&passed)[0].contains("a check of"), "{:?}", problems(&passed));
    }
}
