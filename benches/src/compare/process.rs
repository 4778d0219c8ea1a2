//! What the suite asks of the operating system: time, memory, bytes written, directories, an end
//! without goodbye. All of it is Linux's; elsewhere figures are 0.

#![expect(clippy::disallowed_methods, reason = "a program that measures stores is outside of them")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::compare::Result;

/// For so long nothing must change before a store counts as settled.
const QUIET: Duration = Duration::from_millis(500);

/// A store that is still busy after this time is measured as it is.
const QUIET_WAIT_MAX: Duration = Duration::from_secs(120);

/// How often [`quiet`] looks.
const LOOK: Duration = Duration::from_millis(50);

/// This moment.
pub fn now() -> Instant {
    Instant::now()
}

/// Waits until what `probe` reports has not changed for a while.
///
/// # Errors
/// Those of `probe`.
pub fn quiet<T: PartialEq>(mut probe: impl FnMut() -> Result<T>) -> Result<()> {
    let begin = now();
    let (mut last, mut since) = (probe()?, now());
    while since.elapsed() < QUIET && begin.elapsed() < QUIET_WAIT_MAX {
        std::thread::sleep(LOOK);
        let next = probe()?;
        if next != last {
            (last, since) = (next, now());
        }
    }
    Ok(())
}

/// A number of bytes from a file of `/proc/self`, whose line begins with `field`.
fn proc_number(file: &str, field: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/self/{file}")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Bytes that this process has caused to be written to disk. A page of the page cache counts when
/// it becomes dirty, so that what is written twice before it is flushed counts once.
pub fn bytes_written() -> u64 {
    proc_number("io", "write_bytes:").unwrap_or(0)
}

/// The largest resident memory that this process ever had, mapped files included, in bytes.
pub fn peak_memory() -> u64 {
    proc_number("status", "VmHWM:").map_or(0, |kib| kib << 10)
}

/// The memory that is the process's own at this moment, without mapped files, in bytes.
pub fn own_memory() -> u64 {
    proc_number("status", "RssAnon:").map_or(0, |kib| kib << 10)
}

/// The space that a directory takes on the disk, in bytes: blocks, not lengths, because some stores
/// keep files with holes.
///
/// # Errors
/// When it cannot be read.
pub fn space(directory: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        // A store may remove a file while it is being counted.
        let entry = entry?;
        let Ok(metadata) = entry.metadata() else { continue };
        bytes += if metadata.is_dir() { space(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(bytes)
}

/// Asks the operating system to drop what it remembers of the files below a directory, so that the
/// next process reads them from the disk. What is not written yet stays.
///
/// # Errors
/// When a file cannot be opened.
pub fn forget_pages(directory: &Path) -> Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            forget_pages(&path)?;
        } else {
            let file = std::fs::File::open(&path)?;
            file.sync_all()?;
            #[cfg(target_os = "linux")]
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        }
    }
    Ok(())
}

/// Removes an empty directory.
///
/// # Errors
/// When it is not empty, or not there.
pub fn remove_directory(path: &Path) -> Result<()> {
    Ok(std::fs::remove_dir(path)?)
}

/// Makes a directory, with those above it.
///
/// # Errors
/// When it cannot be made.
pub fn create_directory(path: &Path) -> Result<()> {
    Ok(std::fs::create_dir_all(path)?)
}

/// Writes a file.
///
/// # Errors
/// When it cannot be written.
pub fn write_file(path: &Path, text: &str) -> Result<()> {
    Ok(std::fs::write(path, text)?)
}

/// The text of a file, if it can be read.
pub fn read_file(path: impl AsRef<Path>) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// The output of a program, if it is there and succeeds.
pub fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// Ends this process at once, as `kill -9` does: no destructor, no handler, no buffer written.
pub fn kill_self() -> ! {
    use rustix::process::{Signal, getpid, kill_process};
    let sent = kill_process(getpid(), Signal::KILL);
    unreachable!("a process may kill itself: {sent:?}")
}
