//! Tests under a nightly toolchain: for the tools that only it has.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// What a run of tests came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Tests that passed; one that ran twice counts twice.
    pub(crate) passed: u64,
    /// Tests that failed.
    pub(crate) failed: u64,
}

impl Tally {
    /// Takes in a line of test programs. Under Miri several print at once, and sums may share a
    /// line.
    fn note(&mut self, line: &str) {
        for (what, sum) in [(" passed; ", &mut self.passed), (" failed; ", &mut self.failed)] {
            for (at, _) in line.match_indices(what) {
                let number = line[..at].rsplit([' ', '.']).next();
                *sum += number.and_then(|number| number.parse().ok()).unwrap_or(0);
            }
        }
    }

    pub(crate) fn add(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// Why nightly cannot run here with these components, if it cannot.
pub(crate) fn missing(components: &[&str]) -> Option<String> {
    let list = Command::new("rustup")
        .args(["component", "list", "--installed", "--toolchain", "nightly"])
        .output();
    let installed = match list {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
        _ => return Some("there is no nightly toolchain (rustup toolchain add nightly)".into()),
    };
    let is_there = |name: &str| installed.lines().any(|line| line.starts_with(name));
    let component = components.iter().find(|component| !is_there(component))?;
    Some(format!(
        "nightly has no {component} (rustup component add {component} --toolchain nightly)"
    ))
}

/// The name of the machine that this runs on, as toolchains call it.
pub(crate) fn host() -> Option<String> {
    let output = Command::new("rustc").args(["+nightly", "-vV"]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned)
}

/// A command of nightly's cargo, from outside the build that runs this.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new("cargo");
    // What cargo says to its own tools would turn nightly into this toolchain.
    for variable in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN", "RUSTFLAGS"] {
        command.env_remove(variable);
    }
    command.arg("+nightly");
    command
}

/// Runs a command of tests, shows what it prints, and adds up. The second part says whether it
/// ended well.
pub(crate) fn run(command: &mut Command) -> (Tally, bool) {
    let mut tally = Tally::default();
    let mut child = match command.stdout(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(e) => {
            println!("cannot start {command:?}: {e}");
            return (tally, false);
        }
    };
    let printed = child.stdout.take().into_iter().flat_map(|out| BufReader::new(out).lines());
    for line in printed.map_while(Result::ok) {
        tally.note(&line);
        let is_news = !line.is_empty() && !line.ends_with("ok") && !line.contains("ignored,");
        if is_news {
            println!("{line}");
        }
    }
    let ended_well = child.wait().is_ok_and(|status| status.success());
    (tally, ended_well)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_sums_up_is_counted_and_no_other() {
        let mut tally = Tally::default();
        for line in [
            "test tests::a_test_result_is_5_passed ... ok",
            "test result: ok. 17 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out",
            "test result: FAILED. 3 passed; 4 failed; 0 ignored; 0 measured; 0 filtered out",
            "running 17 tests",
            "test result: test result: okok. 4 passed; 0 failed; 2 ignored. 5 passed; 1 failed; 0",
        ] {
            tally.note(line);
        }
        assert_eq!(tally, Tally { passed: 29, failed: 5 });
    }
}
