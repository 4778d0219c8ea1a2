//! Damages golden stores at rest, and holds that nothing wrong is ever read.
//!
//! Every store × every file × every sector × seven damages, and every file × eight damages to the
//! whole of it; then the same again with other dice. [`harm`] and [`forge`] do them, [`layout`] says which bytes
//! live and what must be found, [`exam`] opens the store and asks it everything, [`subject`] joins
//! them, [`tally`] counts.
//!
//! A case that takes half a minute is a hang. Memory is bounded for the process as a whole: an
//! allocation from a length that nobody checked ends it, and `--trace` then shows the case.

mod exam;
mod forge;
mod harm;
mod layout;
mod subject;
mod tally;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

use icecore_disk::Name;
use icecore_disk::random::SeededRandom;
use icecore_model::hash::hash64;
use rustix::process::{Resource, Rlimit, setrlimit};

use self::harm::{Harm, Kind, OF_FILES, OF_SECTORS, SECTOR};
use self::subject::Subject;
use self::tally::Tally;
use crate::golden::folder;
use crate::report::{Budget, Ending, Run, grouped};

/// What the process may take of memory, its own code included: far more than any case needs.
const MEMORY_BYTES: u64 = 2 << 30;
const THREADS: usize = 2;
const HANG: Duration = Duration::from_secs(30);
/// No more of them are printed.
const VIOLATIONS_MAX: usize = 20;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    budget: Budget,
    /// Ends after so many damaged stores.
    #[arg(long, default_value_t = 1_000_000)]
    opens: u64,
    /// Flips every single bit, once.
    #[arg(long)]
    every_bit: bool,
    /// Tells each case before it begins.
    #[arg(long)]
    trace: bool,
    /// Only this store.
    #[arg(long)]
    golden: Option<String>,
    /// Only this file of it: one damage, which the three that follow describe.
    #[arg(long, requires_all = ["golden", "kind"])]
    file: Option<String>,
    /// The sector, or the bit.
    #[arg(long, default_value_t = 0)]
    sector: usize,
    /// Only this kind of damage.
    #[arg(long)]
    kind: Option<Kind>,
    /// What the dice begin with.
    #[arg(long, default_value_t = 0)]
    variant: u64,
}

/// One place to be damaged.
#[derive(Clone, Copy)]
struct Case {
    subject: usize,
    file: Name,
    sector: usize,
    kind: Kind,
}

pub(crate) fn run(arguments: &Arguments) -> bool {
    let run = arguments.budget.begin();
    match examine(arguments, &run) {
        Ok((counts, ending)) => run.conclude("B14", "damage", &counts, &ending),
        Err(what) => {
            eprintln!("{what}");
            run.conclude("B14", "damage", "", &Ending::Violated)
        }
    }
}

fn examine(arguments: &Arguments, run: &Run) -> Result<(String, Ending), String> {
    let limit = Rlimit { current: Some(MEMORY_BYTES), maximum: Some(MEMORY_BYTES) };
    setrlimit(Resource::As, limit).map_err(|error| format!("cannot bound memory: {error}"))?;
    let subjects = folder::all()?.into_iter().map(Subject::new).collect::<Result<Vec<_>, _>>()?;
    let chosen =
        |subject: &Subject| arguments.golden.as_ref().is_none_or(|name| *name == subject.name);
    let cases = match (&arguments.file, arguments.kind) {
        (Some(file), Some(kind)) => {
            let file = Name::parse(file).ok_or_else(|| format!("{file:?} is no name"))?;
            let subject = subjects.iter().position(chosen).ok_or("there is no such store")?;
            vec![Case { subject, file, sector: arguments.sector, kind }]
        }
        (_, kind) => {
            let mut cases = cases(&subjects, chosen, arguments.every_bit);
            cases.retain(|case| kind.is_none_or(|kind| case.kind == kind));
            cases
        }
    };
    let replay = arguments.file.as_ref().map(|_| arguments.variant);
    let once = replay.is_some() || arguments.every_bit;
    let total = if once { cases.len() as u64 } else { arguments.opens };
    let ward =
        Ward { subjects: &subjects, cases: &cases, replay, run, total, trace: arguments.trace };
    let (tally, violations) = ward.work();
    print!("{tally}");
    let (found, live) = tally.detected();
    let counts = format!(
        "{} damages to {} stores, {} of {} to provable bytes found, {} forged, {} opened for \
         writing, {} salvaged",
        grouped(tally.opens()),
        subjects.len(),
        grouped(found),
        grouped(live),
        grouped(tally.forged),
        grouped(tally.written),
        grouped(tally.salvaged),
    );
    Ok((counts, Ending::of(tally.opens(), violations == 0)))
}

fn cases(subjects: &[Subject], chosen: impl Fn(&Subject) -> bool, bits: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    for (subject, it) in subjects.iter().enumerate().filter(|(_, it)| chosen(it)) {
        for (file, bytes) in &it.files {
            let mut add = |sector, kind| cases.push(Case { subject, file: *file, sector, kind });
            // The zeros at the end of a file are all alike.
            let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            let examined = bytes.len().min(used + SECTOR);
            if bits {
                (0..8 * examined).for_each(|bit| add(bit, Kind::ThisBit));
                continue;
            }
            for sector in 0..examined.div_ceil(SECTOR) {
                OF_SECTORS.into_iter().for_each(|kind| add(sector, kind));
                // A long file has more places for lies.
                add(sector, Kind::Forged);
            }
            OF_FILES.into_iter().for_each(|kind| add(0, kind));
        }
    }
    cases
}

/// Where stores suffer.
struct Ward<'w> {
    subjects: &'w [Subject],
    cases: &'w [Case],
    /// The dice of the one case, if it is one.
    replay: Option<u64>,
    run: &'w Run,
    total: u64,
    trace: bool,
}

impl Ward<'_> {
    /// Works in threads. Gives the counts, and how much did not hold.
    fn work(&self) -> (Tally, usize) {
        let next = AtomicU64::new(0);
        let at_hand: Vec<Mutex<String>> = (0..THREADS).map(|_| Mutex::default()).collect();
        let (tell, told) = mpsc::channel::<()>();
        let mut sum = Tally::default();
        let mut violations = Vec::new();
        std::thread::scope(|scope| {
            let workers: Vec<_> = at_hand
                .iter()
                .map(|at_hand| {
                    let (tell, next) = (tell.clone(), &next);
                    scope.spawn(move || {
                        let _tell = tell;
                        self.thread(next, at_hand)
                    })
                })
                .collect();
            drop(tell);
            self.watch(&told, &at_hand);
            for worker in workers {
                let (tally, mut bad) = worker.join().expect("every panic is caught");
                sum.add(&tally);
                violations.append(&mut bad);
            }
        });
        violations.iter().take(VIOLATIONS_MAX).for_each(|violation| println!("{violation}"));
        (sum, violations.len())
    }

    /// Waits for the threads to end. If one of them does not go on, nobody can end it.
    fn watch(&self, told: &mpsc::Receiver<()>, at_hand: &[Mutex<String>]) {
        let look = || at_hand.iter().map(|case| lock(case).clone()).collect::<Vec<_>>();
        let mut before = look();
        while told.recv_timeout(HANG) == Err(mpsc::RecvTimeoutError::Timeout) {
            let now = look();
            if let Some((case, _)) = now.iter().zip(&before).find(|(now, old)| now == old) {
                println!("it hangs: {case}");
                self.run.conclude("B14", "damage", "", &Ending::Violated);
                std::process::exit(1);
            }
            before = now;
        }
    }

    fn thread(&self, next: &AtomicU64, at_hand: &Mutex<String>) -> (Tally, Vec<String>) {
        let mut tally = Tally::default();
        let mut violations = Vec::new();
        while !self.run.is_over() && violations.len() < VIOLATIONS_MAX {
            let number = next.fetch_add(1, Ordering::SeqCst);
            if number >= self.total || self.cases.is_empty() {
                break;
            }
            let (case, harm, strange) = self.draw(number);
            let subject = &self.subjects[case.subject];
            let line = command(subject, &harm);
            if self.trace {
                eprintln!("{line}");
            }
            lock(at_hand).clone_from(&line);
            let strange = &self.subjects[strange].files;
            if let Err(what) = subject.suffer(&harm, strange, &mut tally) {
                violations.push(format!("{what}\n  {line}"));
            }
        }
        (tally, violations)
    }

    /// The case of this number, what is done to it, and the store that strange bytes come from.
    fn draw(&self, number: u64) -> (Case, Harm, usize) {
        let count = self.cases.len() as u64;
        let (round, place) = (number / count, number % count);
        // Neighbours come far from each other, so that a run that ends early has seen all kinds.
        let seed = self.run.seed();
        let place =
            if self.replay.is_some() { place } else { (place * stride(count) + seed) % count };
        let case = self.cases[usize::try_from(place).expect("it is below a length")];
        let bytes = [seed, round, place].map(u64::to_le_bytes).concat();
        let is_whole = round == 0 && case.kind != Kind::Forged;
        let variant = if is_whole { 0 } else { hash64(&bytes) };
        let variant = self.replay.unwrap_or(variant);
        let others = self.subjects.len() as u64;
        let other = SeededRandom::new(!variant ^ case.sector as u64).below(others - 1) + 1;
        let strange = (case.subject as u64 + other) % others;
        let harm = Harm { file: case.file, sector: case.sector, kind: case.kind, variant };
        (case, harm, usize::try_from(strange).expect("it is below a length"))
    }
}

/// A step that meets every number below `count` before it repeats one.
fn stride(count: u64) -> u64 {
    // A prime that does not divide the count.
    [7_919, 104_729].into_iter().find(|prime| !count.is_multiple_of(*prime)).unwrap_or(1)
}

fn command(subject: &Subject, harm: &Harm) -> String {
    let Harm { file, sector, kind, variant } = harm;
    let name = &subject.name;
    format!(
        "cargo xtask damage --golden {name} --file {file} --sector {sector} --kind {kind} \
         --variant {variant}"
    )
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
