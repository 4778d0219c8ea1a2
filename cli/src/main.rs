//! The `icecore` command.
//!
//! Results go to standard output, progress and errors to standard error. An error ends with a line
//! that begins with "try:" where there is something to try. Exit codes: 0 in order, 1 a problem,
//! 2 a wrong call, 3 the store is locked by somebody else, 4 it is damaged, 5 a copy is complete but
//! for what the destination cannot hold.

#![forbid(unsafe_code)]

mod bench;
mod check;
mod compact;
mod copy;
mod failure;
mod figures;
mod ledger;
mod queue;
mod salvage;
mod serve;
mod stats;
mod store;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::Failure;

/// An embedded, versionstamped key-value store.
#[derive(Debug, Parser)]
#[command(name = "icecore", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Ledger(ledger::Args),
    Bench(bench::Args),
    Check(check::Args),
    Compact(compact::Args),
    Copy(copy::Args),
    Stats(stats::Args),
    Salvage(salvage::Args),
    Serve(serve::Args),
    Queue(queue::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Ledger(args) => ledger::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Compact(args) => compact::run(&args),
        Command::Copy(args) => copy::run(&args),
        Command::Stats(args) => stats::run(&args),
        Command::Salvage(args) => salvage::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Queue(args) => queue::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // A failure that cannot be shown still has its exit code.
            drop(write!(io::stderr(), "{failure}"));
            failure.code()
        }
    }
}

/// Writes to standard output.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")
        .and_then(|()| out.flush())
        .map_err(|e| Failure::io("write to standard output", &e))
}

/// Writes `value` to standard output as JSON.
fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).expect("plain structs of numbers and texts serialize");
    print(&text)
}
