//! The report of a soak: what ran where, and how far each check came.

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::process::Command;

use icecore_disk::Clock;
use icecore_disk::clock::SystemClock;

use super::child::{Ended, Finished};

/// What was true when the soak began.
pub(super) struct Beginning {
    clock: SystemClock,
    began_at: std::time::Duration,
    commit: String,
    machine: String,
}

impl Beginning {
    pub(super) fn now() -> Beginning {
        let clock = SystemClock::new();
        let began_at = clock.monotonic();
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let machine = format!("{cores} cores, {}", said_by("uname", &["-srm"]));
        let commit = said_by("git", &["describe", "--always", "--dirty"]);
        Beginning { clock, began_at, commit, machine }
    }
}

/// The first line that a command prints, or why there is none.
fn said_by(program: &str, words: &[&str]) -> String {
    match Command::new(program).args(words).output() {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout);
            text.lines().next().unwrap_or("unknown").to_owned()
        }
        Err(error) => format!("unknown ({program}: {error})"),
    }
}

/// Writes the report of the checks that are `finished`.
#[expect(clippy::disallowed_methods, reason = "the report is a file of the user's")]
pub(super) fn write(path: &Path, begun: &Beginning, finished: &[Finished]) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::write(path, text(begun, finished))
}

fn text(begun: &Beginning, finished: &[Finished]) -> String {
    let took = begun.clock.monotonic() - begun.began_at;
    let mut text = format!(
        "Commit {}, {}, {:.2} hours with builds.\n\n| check | bar | reached | minutes |\n|---|---|---|---|\n",
        begun.commit,
        begun.machine,
        took.as_secs_f64() / 3600.0,
    );
    for one in finished {
        let reached = match &one.ended {
            Ended::Failed(why) => format!("**failed**: {why}; {}", one.said),
            Ended::Held | Ended::Skipped => one.said.clone(),
        };
        let (id, name, bar) = (one.check.id, one.check.name, one.check.bar);
        let minutes = one.took.as_secs_f64() / 60.0;
        let reached = reached.replace('|', "\\|");
        writeln!(text, "| {id} {name} | {bar} | {reached} | {minutes:.1} |")
            .expect("a string takes everything");
    }
    text
}
