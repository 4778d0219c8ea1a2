//! `cargo xtask deno-diff`: is Icecore Deno KV?
//!
//! Random [histories](history) run in the real [Deno](deno), on `:memory:`, and in
//! [Icecore](ours). Results, the order of versionstamps, the texts of errors and the final
//! contents are [compared](compare). Differences are allowed only where the list of
//! [`defects`] has them. Then the [bytes] in which keys and values are stored are compared, and
//! a [ledger](transfers) is kept in both, by the same transfers.

mod bytes;
mod compare;
mod defects;
pub(crate) mod deno;
mod generate;
mod history;
mod ours;
mod tagged;
mod tally;
mod transfers;
mod v8;

use clap::Args;

use self::defects::{Defect, Seen};
use self::deno::Deno;
use self::history::{History, Outcomes};
use self::tally::Tally;

/// Which histories.
#[derive(Args)]
pub(crate) struct Arguments {
    /// How many.
    #[arg(long, default_value_t = 300)]
    histories: u64,
    /// The seed of the first.
    #[arg(long, default_value_t = 1)]
    start: u64,
    /// Only the history of this seed; prints it and what came of it.
    #[arg(long)]
    seed: Option<u64>,
    /// Waits until Deno itself has removed what has expired, about a minute for each history that
    /// asks for it, instead of removing it on Deno's behalf.
    #[arg(long)]
    patient: bool,
}

/// Says whether nothing differs but what is meant to. Without Deno it says that nothing was
/// compared.
pub(crate) fn run(arguments: &Arguments) -> bool {
    let deno = match Deno::install() {
        Ok(deno) => deno,
        Err(deno::NotHere(reason)) => {
            println!("skipped: deno-diff ({reason})");
            return true;
        }
    };
    let outcome = match arguments.seed {
        Some(seed) => show(&deno, seed, arguments.patient),
        None => compare_all(&deno, arguments),
    };
    outcome.unwrap_or_else(|trouble| {
        println!("deno-diff: {trouble}");
        false
    })
}

fn compare_all(deno: &Deno, arguments: &Arguments) -> Result<bool, String> {
    let seeds = arguments.start..arguments.start.saturating_add(arguments.histories);
    let histories: Vec<History> = seeds.map(generate::history).collect();
    let theirs = deno.run(&histories, arguments.patient)?;
    let mut tally = Tally::default();
    let mut differences = 0;
    for (history, theirs) in histories.iter().zip(&theirs) {
        let ours = run_ours(history)?;
        tally.count(history, &ours.outcomes);
        if let Some(found) = compare::compare(history, &theirs.outcomes, &ours.outcomes) {
            differences += 1;
            let step =
                serde_json::to_string(&history.steps[found.step]).expect("it can be written");
            let shown: String = step.chars().take(600).collect();
            println!("seed {}: step {} differs: {shown}{found}", history.seed, found.step);
            println!("  cargo xtask deno-diff --seed {}", history.seed);
        }
    }
    println!("{tally}");
    println!("{} histories, {differences} of them differ", histories.len());
    let meant = compare_defects(deno)?;
    let same_bytes = bytes::compare(deno, &histories)?;
    let balanced = transfers::compare(deno)?;
    Ok(differences == 0 && meant && same_bytes && balanced)
}

/// Whether the differences that are meant are as the list says.
fn compare_defects(deno: &Deno) -> Result<bool, String> {
    let mut all_as_listed = true;
    for Defect { what, seen } in defects::all() {
        match seen {
            Seen::Avoided(why) => println!("defect, not shown ({why}): {what}"),
            Seen::Here(probe) => {
                let history = probe.history(what);
                let theirs = deno.run(std::slice::from_ref(&history), false)?;
                let ours = run_ours(&history)?;
                match probe.check(&history, &theirs[0].outcomes, &ours.outcomes) {
                    Ok(()) => println!("defect, as listed: {what}"),
                    Err(surprise) => {
                        println!("defect, NOT as listed: {what}: {surprise}");
                        all_as_listed = false;
                    }
                }
            }
        }
    }
    Ok(all_as_listed)
}

fn run_ours(history: &History) -> Result<Outcomes, String> {
    ours::run(history).map_err(|error| format!("seed {}: {error}", history.seed))
}

/// Prints one history and what came of it.
fn show(deno: &Deno, seed: u64, patient: bool) -> Result<bool, String> {
    let history = generate::history(seed);
    let theirs = deno.run(std::slice::from_ref(&history), patient)?;
    let ours = run_ours(&history)?;
    let text = |outcome| serde_json::to_string(outcome).expect("it can be written");
    for (place, step) in history.steps.iter().enumerate() {
        println!("{place}: {}", serde_json::to_string(step).expect("it can be written"));
        println!("  deno {}", text(&theirs[0].outcomes[place]));
        println!("  ours {}", text(&ours.outcomes[place]));
    }
    let found = compare::compare(&history, &theirs[0].outcomes, &ours.outcomes);
    match &found {
        Some(found) => println!("step {} differs: {found}", found.step),
        None => println!("no difference"),
    }
    Ok(found.is_none())
}
