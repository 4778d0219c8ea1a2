//! A check as a process of its own: started, listened to, and ended if it does not end by itself.

use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::checks::{Check, Form};

/// How much longer than its share a check may take before it counts as hanging: what it builds, and
/// the piece of work that it has begun.
const GRACE: Duration = Duration::from_secs(600);

/// How long to wait before looking again whether a check has ended.
const GLANCE: Duration = Duration::from_millis(5);

/// This very program, copied to where nobody replaces it: one of the checks builds it anew, with
/// planted bugs, while the others are still to come.
#[derive(Debug)]
pub(super) struct Program {
    path: PathBuf,
    /// Removed with this.
    _folder: tempfile::TempDir,
}

impl Program {
    #[expect(clippy::disallowed_methods, reason = "a tool copies itself")]
    pub(super) fn copy() -> io::Result<Program> {
        let folder = tempfile::Builder::new().prefix("icecore-programme-").tempdir()?;
        let path = folder.path().join("xtask");
        std::fs::copy(std::env::current_exe()?, &path)?;
        Ok(Program { path, _folder: folder })
    }
}

/// How a check ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// It said that everything held.
    Held,
    /// It could not run here.
    Skipped,
    /// It said that something did not hold, or did not say anything; then this tells why.
    Failed(String),
}

/// A check that has been run.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) check: &'static Check,
    pub(super) ended: Ended,
    /// Its last line, without id and name.
    pub(super) said: String,
    /// How long the process ran.
    pub(super) took: Duration,
}

impl Finished {
    /// The line that tells it all.
    pub(super) fn line(&self) -> String {
        let Check { id, name, .. } = self.check;
        match &self.ended {
            Ended::Failed(why) => format!("{id} {name}: FAILED: {why}; {}", self.said),
            Ended::Held | Ended::Skipped => format!("{id} {name}: {}", self.said),
        }
    }

    /// How much longer than `share` it took: what it had to build.
    pub(super) fn building(&self, share: Duration) -> Duration {
        self.took.saturating_sub(share)
    }
}

/// Runs `check`, showing what it prints.
pub(super) fn run(
    program: &Program,
    check: &'static Check,
    form: Form,
    share: Duration,
    seed: Option<u64>,
) -> Finished {
    let mut words: Vec<String> = form.words.split_whitespace().map(str::to_owned).collect();
    words.extend(["--seconds".to_owned(), share.as_secs().max(1).to_string()]);
    words.extend(seed.iter().flat_map(|seed| ["--seed".to_owned(), seed.to_string()]));
    println!("\n== {}: cargo xtask {}", check.id, words.join(" "));
    let listened = listen(program, &words, check, share + GRACE);
    let (ended, said, took) = match listened {
        Ok((said, succeeded, took)) => (judge(&said, succeeded), said, took),
        Err(why) => (Ended::Failed(why), String::new(), share + GRACE),
    };
    Finished { check, ended, said, took }
}

fn judge(said: &str, succeeded: bool) -> Ended {
    if !succeeded {
        Ended::Failed("it exits with a failure".to_owned())
    } else if said.starts_with("skipped: ") {
        Ended::Skipped
    } else if said.ends_with("; held") {
        Ended::Held
    } else {
        Ended::Failed("its last line says neither that it held nor that it was skipped".to_owned())
    }
}

/// Starts `program` with `words`; gives the last line that begins with the check's id and
/// name, whether it succeeded, and how long it took.
#[expect(clippy::disallowed_methods, reason = "a check is bounded by real time")]
fn listen(
    program: &Program,
    words: &[String],
    check: &Check,
    limit: Duration,
) -> Result<(String, bool, Duration), String> {
    let begun = Instant::now();
    let mut command = Command::new(&program.path);
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|e| format!("cannot start: {e}"))?;
    let output = child.stdout.take().ok_or("its output was not caught")?;
    let (sender, lines) = mpsc::channel();
    let reading = std::thread::Builder::new().name("listen".to_owned()).spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // Nobody listens any more after the time limit.
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    reading.map_err(|e| format!("cannot listen: {e}"))?;
    let prefix = format!("{} {}: ", check.id, check.name);
    let mut said = String::new();
    loop {
        match lines.recv_timeout(limit.saturating_sub(begun.elapsed())) {
            Ok(line) => {
                println!("{line}");
                if let Some(rest) = line.strip_prefix(&prefix) {
                    rest.clone_into(&mut said);
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                end(&mut child);
                return Err(format!("it did not end within {} s", limit.as_secs()));
            }
        }
    }
    // It may have closed its output and go on.
    loop {
        match child.try_wait().map_err(|e| format!("cannot wait for it: {e}"))? {
            Some(status) => return Ok((said, status.success(), begun.elapsed())),
            None if begun.elapsed() < limit => std::thread::park_timeout(GLANCE),
            None => {
                end(&mut child);
                return Err(format!("it said all and did not end within {} s", limit.as_secs()));
            }
        }
    }
}

/// Kills `child` and everything that it has started.
fn end(child: &mut Child) {
    for pid in descendants(child.id()) {
        let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
        let killed =
            pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL));
        if let Some(Err(error)) = killed {
            println!("cannot end a process that hangs: {error}");
        }
    }
    if let Err(error) = child.kill().and_then(|()| child.wait().map(drop)) {
        println!("cannot end a check that hangs: {error}");
    }
}

/// The processes below `pid`, children first; none where the system does not list them.
#[expect(clippy::disallowed_methods, reason = "the system lists processes as files")]
fn descendants(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let mut next = vec![pid];
    while let Some(pid) = next.pop() {
        let listed = std::fs::read(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let text = String::from_utf8_lossy(&listed).into_owned();
        let children = text.split_whitespace().filter_map(|word| word.parse::<u32>().ok());
        let before = found.len();
        found.extend(children);
        next.extend(&found[before..]);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_check_that_says_so_has_held() {
        assert!(matches!(judge("9 kills; seed 1; 3 s; held", true), Ended::Held));
        assert!(matches!(judge("skipped: it needs root", true), Ended::Skipped));
        assert!(matches!(judge("9 kills; seed 1; 3 s; VIOLATED", true), Ended::Failed(_)));
        assert!(matches!(judge("9 kills; seed 1; 3 s; held", false), Ended::Failed(_)));
        assert!(matches!(judge("", true), Ended::Failed(_)));
    }

    #[test]
    fn a_check_that_closes_its_output_and_does_not_end_is_ended() {
        let folder = tempfile::tempdir().expect("there is room for a directory");
        let program = Program { path: PathBuf::from("/bin/sh"), _folder: folder };
        let words = ["-c".to_owned(), "exec >&-; sleep 600".to_owned()];
        let check = &super::super::checks::ALL[0];
        let why = listen(&program, &words, check, Duration::from_millis(50)).err();
        assert_eq!(why.as_deref(), Some("it said all and did not end within 0 s"));
    }
}
