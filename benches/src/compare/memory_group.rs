//! A cgroup with a limit of memory, below that of this process: version 2 or version 1, whichever
//! is mounted in the usual place.

use std::path::{Path, PathBuf};

use crate::compare::Result;
use crate::compare::process;

/// Where groups are.
const ROOT: &str = "/sys/fs/cgroup";

/// The file that holds the limit, in version 2 and in version 1.
const LIMITS: [&str; 2] = ["memory.max", "memory.limit_in_bytes"];

/// A group that nobody is in.
#[derive(Debug)]
pub struct MemoryGroup {
    path: PathBuf,
}

impl MemoryGroup {
    /// A group whose processes have so much memory, page cache included.
    ///
    /// # Errors
    /// When there are no memory groups, or this process may not make one: usually that is root's
    /// right.
    pub fn create(bytes: u64) -> Result<MemoryGroup> {
        let parent = own().ok_or("there is no memory cgroup here")?;
        let path = parent.join(format!("icecore-compare-{}", std::process::id()));
        process::create_directory(&path)
            .map_err(|error| format!("no memory cgroup may be made here: {error}"))?;
        let group = MemoryGroup { path };
        let limit = LIMITS.iter().map(|name| group.path.join(name)).find(|path| path.exists());
        let limited = match limit {
            Some(limit) => process::write_file(&limit, &bytes.to_string()),
            None => Err("memory is not controlled in cgroups of this place".into()),
        };
        if let Err(error) = limited {
            group.remove()?;
            return Err(format!("the memory cgroup takes no limit: {error}").into());
        }
        Ok(group)
    }

    /// Where it is, for the process that is to enter it.
    pub fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// Puts this process into a group.
    ///
    /// # Errors
    /// When it is not let in.
    pub fn enter(path: &Path) -> Result<()> {
        process::write_file(&path.join("cgroup.procs"), &std::process::id().to_string())
    }

    /// The most memory that the group has ever had, where the system counts it.
    pub fn peak(&self) -> Option<u64> {
        let files = ["memory.peak", "memory.max_usage_in_bytes"];
        files.iter().find_map(|name| process::read_file(self.path.join(name))?.trim().parse().ok())
    }

    /// Puts this process back where the group was made.
    ///
    /// # Errors
    /// When it is not let in there.
    pub fn leave(&self) -> Result<()> {
        let parent = self.path.parent().ok_or("a group is made within another")?;
        MemoryGroup::enter(parent)
    }

    /// Removes the group, which must be empty.
    ///
    /// # Errors
    /// When it is not.
    pub fn remove(self) -> Result<()> {
        process::remove_directory(&self.path)
    }
}

/// The group of this process that controls memory.
fn own() -> Option<PathBuf> {
    let text = process::read_file("/proc/self/cgroup")?;
    place(&text).filter(|path| path.is_dir())
}

/// Lines are `number:controllers:/path`; version 2 has the number 0 and no controllers.
fn place(text: &str) -> Option<PathBuf> {
    let lines = || text.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let below = |mount: PathBuf, path: &str| mount.join(path.trim_start_matches('/'));
    let version1 = lines().find(|(controllers, _)| controllers.split(',').any(|c| c == "memory"));
    let version2 = lines().find(|(controllers, _)| controllers.is_empty());
    version1
        .map(|(_, path)| below(Path::new(ROOT).join("memory"), path))
        .or_else(|| version2.map(|(_, path)| below(PathBuf::from(ROOT), path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_that_controls_memory_is_found_in_both_versions() {
        let of = |text| place(text).expect("there is one");
        assert_eq!(of("0::/user.slice\n"), Path::new("/sys/fs/cgroup/user.slice"));
        let both = "8:pids:/\n4:memory:/a/b\n0::/\n";
        assert_eq!(of(both), Path::new("/sys/fs/cgroup/memory/a/b"));
        assert!(place("8:pids:/\n").is_none());
    }
}
