//! On what the figures were taken.

use std::path::Path;

use serde::Serialize;

use crate::compare::process::{output, read_file};

/// What a figure depends on besides the store.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The model of the processor.
    pub processor: String,
    /// How many threads it runs at once.
    pub cores: i32,
    /// The memory in MiB.
    pub memory_mib: u64,
    /// The kernel.
    pub kernel: String,
    /// The file system of the stores, its device and its options.
    pub file_system: String,
    /// How busy the machine was when the run began: the load of the last minute.
    pub load: String,
    /// The commit that was measured.
    pub commit: String,
}

/// How many threads run at once.
pub fn cores() -> i32 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    i32::try_from(cores).unwrap_or(i32::MAX)
}

impl Machine {
    /// This machine, with the disk that holds `directory`.
    pub fn describe(directory: &Path) -> Machine {
        let unknown = || "unknown".to_owned();
        let field = |file: &str, name: &str| {
            let text = read_file(file)?;
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory = field("/proc/meminfo", "MemTotal")
            .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
        let load = read_file("/proc/loadavg");
        let mount = ["-n", "-o", "FSTYPE,SOURCE,OPTIONS", "--target"];
        let directory = directory.to_string_lossy();
        let mount: Vec<&str> = mount.into_iter().chain([directory.as_ref()]).collect();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        Machine {
            processor: field("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
            cores: cores(),
            memory_mib: memory.map_or(0, |kib| kib >> 10),
            kernel: output("uname", &["-sr"]).unwrap_or_else(unknown),
            file_system: output("findmnt", &mount).unwrap_or_else(unknown),
            load: load
                .and_then(|text| text.split_whitespace().next().map(str::to_owned))
                .unwrap_or_else(unknown),
            commit: output("git", &["-C", source, "rev-parse", "--short", "HEAD"])
                .unwrap_or_else(unknown),
        }
    }

    /// In one line.
    pub fn line(&self) -> String {
        format!(
            "{} × {}, {} MiB, {}, {}, load {} at the beginning, commit {}",
            self.cores,
            self.processor,
            self.memory_mib,
            self.kernel,
            self.file_system,
            self.load,
            self.commit
        )
    }
}
