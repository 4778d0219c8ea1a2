//! The parent's end of a child: its events, and its end.

use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};

use super::batch::Origin;
use super::event::Event;
use crate::mounts::{self, Failure};

/// A child that is running.
#[derive(Debug)]
pub(crate) struct Teller {
    child: Child,
    out: ChildStdout,
    /// What was read and is not yet an event.
    unread: Vec<u8>,
}

/// What comes next from a child.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Event(Event),
    /// Nothing, for as long as was asked.
    Silence,
    /// It has ended, or has closed its mouth.
    End,
}

/// The arguments of a child.
pub(crate) fn arguments(directory: &Path, origin: Origin) -> Vec<String> {
    let Origin { seed, life } = origin;
    let directory = directory.display();
    ["store-child".to_owned()]
        .into_iter()
        .chain([("directory", directory.to_string())].map(|(k, v)| format!("--{k}={v}")))
        .chain([("seed", seed), ("life", life)].map(|(k, v)| format!("--{k}={v}")))
        .collect()
}

/// A command that is this program as a child.
pub(crate) fn command(directory: &Path, origin: Origin) -> Command {
    let mut command = Command::new(mounts::itself());
    command.args(arguments(directory, origin));
    command
}

impl Teller {
    /// Starts the child.
    pub(crate) fn start(mut command: Command) -> Result<Teller, Failure> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let out = child.stdout.take().expect("it was asked for");
        Ok(Teller { child, out, unread: Vec::new() })
    }

    /// The next event, if it comes before `patience` is at its end.
    pub(crate) fn next(&mut self, patience: Duration) -> Result<Next, Failure> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                let text = String::from_utf8_lossy(&line[..end]);
                return Ok(Next::Event(text.parse::<Event>()?));
            }
            let timeout = Timespec::try_from(patience)?;
            let ready = {
                let mut ends = [PollFd::new(&self.out, PollFlags::IN)];
                retry_on_intr(|| poll(&mut ends, Some(&timeout)))?
            };
            if ready == 0 {
                return Ok(Next::Silence);
            }
            let mut buffer = [0; 8 << 10];
            match self.out.read(&mut buffer) {
                Ok(0) => return Ok(Next::End),
                Ok(n) => self.unread.extend(&buffer[..n]),
                Err(e) if e.raw_os_error() == Some(Errno::INTR.raw_os_error()) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Ends the child, as `kill -9` does.
    pub(crate) fn kill(&mut self) -> io::Result<()> {
        self.child.kill()
    }

    /// How it has ended; waits for that.
    pub(crate) fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }
}

impl Drop for Teller {
    /// No child outlives its teller. Both calls fail only for a child that has ended already.
    fn drop(&mut self) {
        let ended = self.child.kill().and_then(|()| self.child.wait());
        if let Err(error) = ended {
            println!("a child could not be ended: {error}");
        }
    }
}

/// Whether a child ended well, or because it was killed on purpose.
pub(crate) fn ended_as_told(status: ExitStatus) -> bool {
    status.success() || status.signal() == Some(9)
}
