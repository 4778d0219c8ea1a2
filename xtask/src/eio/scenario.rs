//! The faults, by name.

use std::path::Path;
use std::process::Command;

use icecore_engine::ReadMode;
use icecore_sim::dice::Dice;

use crate::chronicle::batch::Origin;
use crate::chronicle::settings::settings;
use crate::chronicle::teller;
use crate::mounts;

/// Tables whose calls are watched where only those of tables count.
const TABLES: u64 = 120;

/// One way in which the system fails.
#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) fault: Fault,
    /// Whether the store has to tell somebody: what fails in the background, and can be tried
    /// again, shows in its statistics only.
    pub(super) must_tell: bool,
}

/// What fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A system call gets EIO.
    Call {
        /// Its name.
        name: &'static str,
        /// One of so many first calls is chosen.
        among: usize,
        /// The calls before that are those of the start of a process.
        after: usize,
        /// Whether all calls from the chosen one on fail.
        for_ever: bool,
        /// Only calls for tables, and the way of reading in which there are such calls.
        tables: Option<ReadMode>,
    },
    /// Tables become shorter while they are mapped.
    CutTables,
}

const fn call(name: &'static str, among: usize) -> Fault {
    Fault::Call { name, among, after: 0, for_ever: false, tables: None }
}

const fn for_ever(name: &'static str, among: usize) -> Fault {
    Fault::Call { name, among, after: 0, for_ever: true, tables: None }
}

const fn of_tables(name: &'static str, among: usize, mode: ReadMode) -> Fault {
    Fault::Call { name, among, after: 0, for_ever: false, tables: Some(mode) }
}

const fn scenario(name: &'static str, fault: Fault, must_tell: bool) -> Scenario {
    Scenario { name, fault, must_tell }
}

pub(super) const ALL: &[Scenario] = &[
    scenario("a durable log write fails", call("pwritev2", 12), true),
    scenario("all durable log writes fail", for_ever("pwritev2", 12), true),
    scenario("a write fails", call("pwrite64", 200), false),
    // Of tables, manifests and spare segments, and the calls are counted thread by thread: where only
    // the thread that writes tables is struck, near the end of a run, no commit depends on it any
    // more. The log has all, and tables are tried again.
    scenario("all writes fail", for_ever("pwrite64", 200), false),
    scenario("no write ever succeeds", for_ever("pwrite64", 1), true),
    scenario("a sync of a file fails", call("fdatasync", 100), false),
    scenario("all syncs of files fail", for_ever("fdatasync", 100), false),
    scenario("no sync of a file ever succeeds", for_ever("fdatasync", 1), true),
    scenario("a sync of the directory fails", call("fsync", 60), false),
    scenario("a renaming fails", call("renameat", 6), false),
    scenario("a removal fails", call("unlinkat", 30), false),
    scenario("a change of a length fails", call("ftruncate", 6), false),
    scenario("a reservation fails", call("fallocate", 8), false),
    scenario("a link fails", call("linkat", 3), true),
    scenario(
        "an opening fails",
        Fault::Call { name: "openat", among: 150, after: 12, for_ever: false, tables: None },
        false,
    ),
    scenario("a mapping of a table fails", of_tables("mmap", 10, ReadMode::Mmap), false),
    scenario("a read of a table fails", of_tables("pread64", 40, ReadMode::Read), false),
    scenario("all reads of tables fail", for_ever_of_tables(), true),
    scenario("mapped tables are cut by somebody else", Fault::CutTables, true),
];

const fn for_ever_of_tables() -> Fault {
    Fault::Call {
        name: "pread64",
        among: 40,
        after: 0,
        for_ever: true,
        tables: Some(ReadMode::Read),
    }
}

impl Scenario {
    /// Whether it needs `strace`.
    pub(super) fn is_traced(&self) -> bool {
        self.fault != Fault::CutTables
    }

    /// Whether no commit can be durable any more once the fault has struck.
    pub(super) fn stops_commits(&self) -> bool {
        matches!(self.fault, Fault::Call { name: "pwritev2", for_ever: true, .. })
    }

    /// Whether the store may answer with an error of this kind.
    pub(super) fn allows(&self, kind: &str) -> bool {
        // Cut files are damaged files, whoever looks.
        let damaged = self.fault == Fault::CutTables && kind == "Corrupt";
        damaged || matches!(kind, "Io" | "OutcomeUnknown" | "Poisoned")
    }

    /// The first life of a store of this seed whose settings suit the fault.
    pub(super) fn origin(&self, seed: u64) -> Origin {
        let mode = match self.fault {
            Fault::Call { tables, .. } => tables,
            Fault::CutTables => Some(ReadMode::Mmap),
        };
        let lives = (1..).map(|life| Origin { seed, life: life * 1_000 });
        let suits = |origin: &Origin| mode.is_none_or(|mode| settings(*origin).read_mode == mode);
        lives.into_iter().find(suits).expect("every third life suits")
    }

    /// The child, and who makes its calls fail.
    pub(super) fn command(
        &self,
        store: &Path,
        trace: &Path,
        origin: Origin,
        dice: &Dice,
    ) -> Command {
        let Fault::Call { name, among, after, for_ever, tables } = self.fault else {
            let mut command = teller::command(store, origin);
            command.arg("--cut-tables");
            return command;
        };
        let number = after + dice.between(1, among);
        let more = if for_ever { "+" } else { "" };
        let mut strace = mounts::companion("strace");
        strace.args(["-f", "-qq", "-o"]).arg(trace);
        strace.args(["-e", &format!("trace={name}")]);
        strace.args(["-e", &format!("inject={name}:error=EIO:when={number}{more}")]);
        for table in (1..=TABLES).filter(|_| tables.is_some()) {
            strace.arg("-P").arg(store.join(format!("{table:010}.table")));
        }
        strace.arg(mounts::itself()).args(teller::arguments(store, origin));
        strace
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = ALL.iter().map(|s| s.name).collect();
        assert_eq!(names.len(), ALL.len());
        assert!(names.len() >= 12);
    }

    #[test]
    fn the_settings_suit_the_fault() {
        for scenario in ALL {
            let mode = settings(scenario.origin(7)).read_mode;
            match scenario.fault {
                Fault::Call { tables: Some(wanted), .. } => assert_eq!(mode, wanted),
                Fault::CutTables => assert_eq!(mode, ReadMode::Mmap),
                Fault::Call { .. } => {}
            }
        }
    }

    #[test]
    fn damage_is_no_answer_to_a_call_that_fails() {
        for scenario in ALL {
            assert!(scenario.allows("Poisoned") && !scenario.allows("OutOfSpace"));
            assert_eq!(scenario.allows("Corrupt"), !scenario.is_traced());
        }
    }
}
