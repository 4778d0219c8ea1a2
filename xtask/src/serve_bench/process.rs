//! What the operating system tells of a process: its memory and its time on the processors.

use std::time::Duration;

/// The memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Memory {
    /// What is resident now.
    pub(super) now: u64,
    /// The most that ever was.
    pub(super) peak: u64,
}

/// The memory of the process `id`.
pub(super) fn memory(id: u32) -> Result<Memory, String> {
    let status = read(id, "status")?;
    let bytes = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.map(|kib| kib << 10).ok_or_else(|| format!("process {id} has no {field}"))
    };
    Ok(Memory { now: bytes("VmRSS:")?, peak: bytes("VmHWM:")? })
}

/// How long the threads of the process `id` have been running, in all.
pub(super) fn processor_time(id: u32) -> Result<Duration, String> {
    let stat = read(id, "stat")?;
    let ticks = ticks(&stat).ok_or_else(|| format!("process {id} has no times: {stat}"))?;
    let second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_secs_f64(ticks as f64 / second as f64))
}

/// The ticks in user mode and in the kernel: fields 14 and 15. The second field is a name, in which
/// there may be spaces and parentheses.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let mut field = || fields.next()?.parse::<u64>().ok();
    Some(field()? + field()?)
}

#[expect(clippy::disallowed_methods, reason = "what the system tells is in no store")]
fn read(id: u32, file: &str) -> Result<String, String> {
    let path = format!("/proc/{id}/{file}");
    let bytes = std::fs::read(&path).map_err(|error| format!("{path}: {error}"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_move_the_times() {
        let stat = "77 (a) (b) S 1 77 77 0 -1 4194560 11 12 13 14 150 27 0 0 20 0 1 0 9 10";
        assert_eq!(ticks(stat), Some(177));
        assert_eq!(ticks("77 (a) S 1"), None);
    }

    #[test]
    fn this_process_has_memory_and_its_peak_is_no_less() {
        let memory = memory(std::process::id()).unwrap();
        assert!(0 < memory.now && memory.now <= memory.peak);
        processor_time(std::process::id()).unwrap();
    }
}
