//! `cargo xtask serve-bench`: how fast is a store that is served, beside `denokv`?
//!
//! Both get the same [load] by the same [client], on new files in one file system, in rounds that
//! alternate, with what each has by itself: 64 connections of durable transfers, and a thousand
//! [watches] of keys that nobody writes, at once. Each [round] ends with the books: every account
//! must hold what the acknowledged transfers have left in it, also after the server was killed. A
//! wrong answer is no figure.
//!
//! On a machine that is busy with other things, quote the ratio.

mod accounts;
mod client;
mod figures;
mod load;
mod process;
mod round;
mod server;
#[cfg(test)]
mod tests;
mod watches;

use std::iter;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use icecore_disk::Random;
use icecore_disk::random::SystemRandom;

use self::figures::Figures;
use self::load::Load;
use self::round::Round;
use self::server::Seat;
use crate::report::grouped;

/// How much.
#[derive(Args)]
pub(crate) struct Arguments {
    /// How long the load lasts, at each server in each round.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// How often each server is measured.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Agents that transfer funds, each over a connection of its own.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..))]
    connections: u64,
    /// Watches of keys that nobody writes.
    #[arg(long, default_value_t = 1_000)]
    watches: usize,
    /// Accounts between which funds are moved.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..))]
    accounts: u32,
    /// Where the dice of the first round begin; drawn and printed if it is left out.
    #[arg(long)]
    seed: Option<u64>,
    /// The program to compare with.
    #[arg(long, default_value = "denokv")]
    denokv: PathBuf,
    /// Measures it once more, with these options of `denokv serve`. May be given several times.
    #[arg(long, value_name = "OPTIONS", allow_hyphen_values = true)]
    denokv_options: Vec<String>,
    /// Puts our own server into both seats, to see how much is chance.
    #[arg(long)]
    against_itself: bool,
    /// Where the files are, on a disk that syncs; beside this program if it is left out.
    #[arg(long)]
    directory: Option<PathBuf>,
}

/// Says whether the books were right in every round.
pub(crate) fn run(arguments: &Arguments) -> bool {
    match bench(arguments) {
        Ok(line) => {
            println!("serve-bench: {line}; held");
            true
        }
        Err(what) => {
            println!("serve-bench: {what}; VIOLATED");
            false
        }
    }
}

/// Measures all servers, and gives the line that ends the report.
fn bench(arguments: &Arguments) -> Result<String, String> {
    server::build()?;
    let seats = seats(arguments)?;
    let drawn = || SystemRandom.next_u64().map(|drawn| drawn % 1_000_000);
    let seed =
        arguments.seed.map_or_else(drawn, Ok).map_err(|error| format!("no seed: {error}"))?;
    println!(
        "{} connections, {} idle watches, {} accounts; {} rounds of {} s; seed {seed}",
        arguments.connections,
        grouped(arguments.watches as u64),
        grouped(arguments.accounts.into()),
        arguments.rounds,
        arguments.seconds
    );
    for seat in &seats {
        println!("{}: {}", seat.name(), seat.promise());
    }
    let mut measured = vec![Vec::new(); seats.len()];
    let mut transfers = 0;
    for number in 0..arguments.rounds {
        // Who is first changes, so that nobody always comes after the same other.
        let mut order: Vec<_> = (0..seats.len()).collect();
        order.rotate_left(number as usize % seats.len());
        for place in order {
            let seat = &seats[place];
            let outcome = measure(arguments, seat, seed + u64::from(number))
                .map_err(|what| format!("{}, seed {seed}: {what}", seat.name()))?;
            println!("round {}: {}: {}", number + 1, seat.name(), outcome.figures.short());
            transfers += outcome.transfers;
            measured[place].push(outcome.figures);
        }
    }
    let counts = format!("{} acknowledged transfers audited; seed {seed}", grouped(transfers));
    Ok(format!("{}{counts}", conclude(&seats, &measured)))
}

/// Ours, and those it is compared with.
fn seats(arguments: &Arguments) -> Result<Vec<Seat>, String> {
    let mut seats = vec![Seat::Icecore { name: "icecore" }];
    if arguments.against_itself {
        seats.push(Seat::Icecore { name: "icecore again" });
        return Ok(seats);
    }
    let program = match server::find(&arguments.denokv) {
        Ok((program, version)) => {
            println!("compared with {version}");
            program
        }
        Err(reason) => {
            println!("skipped: {reason}");
            return Ok(seats);
        }
    };
    // As it starts without options, and as it was asked for.
    for options in iter::once("").chain(arguments.denokv_options.iter().map(String::as_str)) {
        let options = options.split_whitespace().map(str::to_owned).collect();
        seats.push(Seat::Denokv { program: program.clone(), options });
    }
    Ok(seats)
}

fn measure(arguments: &Arguments, seat: &Seat, seed: u64) -> Result<round::Outcome, String> {
    let round = Round {
        accounts: arguments.accounts as usize,
        watches: arguments.watches,
        load: Load {
            agents: arguments.connections,
            time: Duration::from_secs(arguments.seconds),
            seed,
        },
    };
    let beside = std::env::current_exe().map_err(|error| error.to_string())?;
    let beside = beside.parent().ok_or("this program is in no directory")?;
    let place = arguments.directory.as_deref().unwrap_or(beside);
    let directory = tempfile::Builder::new().prefix("serve-bench-").tempdir_in(place);
    let directory = directory.map_err(|error| format!("{}: {error}", place.display()))?;
    round.run(seat, directory.path())
}

/// Prints the medians, and gives how the first compares with the others.
fn conclude(seats: &[Seat], measured: &[Vec<Figures>]) -> String {
    let medians = measured.iter().map(|rounds| Figures::median(rounds).unwrap_or_default());
    let medians: Vec<_> = medians.collect();
    for (seat, median) in seats.iter().zip(&medians) {
        println!("median: {}: {}", seat.name(), median.long());
    }
    let others = seats.iter().zip(&medians).skip(1);
    others
        .map(|(seat, other)| format!("beside {}: {}; ", seat.name(), medians[0].beside(other)))
        .collect()
}
