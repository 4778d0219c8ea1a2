//! Golden stores: directories as some version of the program wrote them, which every later version
//! must be able to read.
//!
//! [`scripts`] has one function for each of them, by name; [`maker`] gives it a simulated machine.
//! A script always makes the same store: its dice have a seed, and its clock stands still.
//!
//! Without arguments the command compares what today's scripts make with what is listed. The bytes
//! may differ, since what is written is free to change; what is read from them may not.
//! `--write` keeps the stores of scripts that are not listed yet. One that is listed is written
//! again only if `--replace` names it, and none may be whose format was released.

pub(crate) mod folder;
mod maker;
mod scripts;

use icecore_engine::Access;

use self::folder::contents::{self, Contents};
use self::folder::{Golden, archive};
use self::maker::Maker;
use crate::report::{Budget, Ending, grouped};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    budget: Budget,
    /// Keeps the stores of scripts that are not listed yet.
    #[arg(long)]
    write: bool,
    /// Writes the store of this script again.
    #[arg(long)]
    replace: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> bool {
    let run = arguments.budget.begin();
    match compare(arguments) {
        Ok((counts, ending)) => run.conclude("B22", "golden", &counts, &ending),
        Err(what) => {
            eprintln!("{what}");
            run.conclude("B22", "golden", "", &Ending::Violated)
        }
    }
}

fn compare(arguments: &Arguments) -> Result<(String, Ending), String> {
    let mut listed = folder::all()?;
    let (mut written, mut other_bytes, mut wrong) = (0, 0, 0);
    for (name, script) in scripts::ALL {
        let mut maker = Maker::new(name);
        let made = script(&mut maker);
        let expected = read_whole(&made).map_err(|error| format!("{name}: {error}"))?.to_string();
        let golden = Golden { name: (*name).to_owned(), files: made, expected };
        let known = listed.iter_mut().find(|known| known.name == *name);
        match known {
            None if arguments.write => {
                folder::write(&golden)?;
                listed.push(golden);
                written += 1;
            }
            None => {
                println!("{name} is not listed: cargo xtask golden --write");
                wrong += 1;
            }
            Some(known) if arguments.replace.contains(&golden.name) => {
                folder::write(&golden)?;
                *known = golden;
                written += 1;
            }
            Some(known) if known.expected != golden.expected => {
                println!("{name} was {}, and is made as {}", known.expected, golden.expected);
                wrong += 1;
            }
            Some(known) => other_bytes += u32::from(known.files != golden.files),
        }
    }
    listed.sort_by(|a, b| a.name.cmp(&b.name));
    folder::list(&listed)?;
    let bytes: usize = listed.iter().map(|golden| archive::pack(&golden.files).len()).sum();
    let counts = format!(
        "{} stores in {} bytes, {written} written, {other_bytes} with other bytes than today",
        listed.len(),
        grouped(bytes as u64),
    );
    Ok((counts, Ending::of(listed.len() as u64, wrong == 0)))
}

/// What the store in `files` shows, in every way of reading it.
fn read_whole(files: &archive::Files) -> Result<Contents, String> {
    let disk = std::sync::Arc::new(archive::disk_of(files));
    let engine = contents::open(disk, |options| options.access = Access::ReadOnly);
    let engine = engine.map_err(|error| error.to_string())?;
    let contents = Contents::of(&engine).map_err(|error| error.to_string())?;
    let report = engine.check().map_err(|error| error.to_string())?;
    if let Some(problem) = report.problems.first() {
        return Err(problem.to_string());
    }
    if Contents::backwards(&engine).map_err(|error| error.to_string())? != contents {
        return Err("a walk from the end gives something else".to_owned());
    }
    if Contents::of_changes(&engine).map_err(|error| error.to_string())? != contents {
        return Err("the changes lead to something else".to_owned());
    }
    Ok(contents)
}
