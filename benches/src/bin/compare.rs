//! Compares Icecore with other embedded stores: see [`icecore_benches::compare`].

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use icecore_benches::compare::arguments::Arguments;
use icecore_benches::compare::peers::PEERS;
use icecore_benches::compare::row::ROWS;
use icecore_benches::compare::{child, run};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.task {
        Some(task) => child::perform(task).map(|()| true),
        None if arguments.list => {
            list();
            Ok(true)
        }
        None => run::run(&arguments),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // The parent of a task reads this line.
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn list() {
    for row in ROWS {
        println!("{:<12} {} [{}]", row.name, row.title, row.unit.name());
    }
    println!();
    for peer in PEERS {
        println!(
            "{:<16} {}; a buffered commit survives {}",
            peer.name, peer.setup, peer.buffered_survives
        );
    }
}
