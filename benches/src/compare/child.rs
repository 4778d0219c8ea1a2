//! A stage in a process of its own: the parent starts this program again with a task, and reads
//! figures from its output, one a line.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use crate::compare::Result;
use crate::compare::figure::Figure;
use crate::compare::peers;
use crate::compare::stages::{Bench, Task};

/// The argument before the task.
pub const FLAG: &str = "--task";

/// Begins every line that is a figure: a store may print lines of its own.
const MARK: &str = "figure ";

/// The number of the signal on every system that has one.
const SIGKILL: i32 = 9;

/// How a process ended, if not by an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It has done what it was told.
    Done,
    /// It was killed, by itself or for want of memory.
    Killed,
}

/// Runs a task in a new process. `tell` gets the figures as they come.
///
/// # Errors
/// When the process ends by an error: its last words, or how it ended.
pub fn spawn(task: &Task, mut tell: impl FnMut(Figure)) -> Result<Ending> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg(FLAG)
        .arg(serde_json::to_string(task)?)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().ok_or("the output is not piped")?;
    let mut last_words = None;
    for line in BufReader::new(output).lines() {
        let line = line?;
        match line.strip_prefix(MARK) {
            Some(figure) => tell(serde_json::from_str(figure)?),
            None => last_words = Some(line),
        }
    }
    let status = child.wait()?;
    if status.success() {
        Ok(Ending::Done)
    } else if status.signal() == Some(SIGKILL) {
        Ok(Ending::Killed)
    } else {
        Err(last_words.unwrap_or_else(|| status.to_string()).into())
    }
}

/// What the new process does.
///
/// # Errors
/// When the task is none, and what stopped its stage.
pub fn perform(task: &str) -> Result<()> {
    let task: Task = serde_json::from_str(task)?;
    let peer = peers::find(&task.peer).ok_or_else(|| format!("{} is not built in", task.peer))?;
    let mut failure = None;
    let mut tell = |figure: Figure| {
        let line = serde_json::to_string(&figure).map_err(std::io::Error::from);
        let told = line.and_then(|line| writeln!(std::io::stdout(), "{MARK}{line}"));
        failure = failure.take().or(told.err());
    };
    Bench::run(&task, peer, &mut tell)?;
    failure.map_or(Ok(()), |error| Err(error.into()))
}
