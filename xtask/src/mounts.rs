//! File systems of our own: images, loop mounts, and their certain removal.
//!
//! 1. A check that mounts anything runs in a mount namespace of its own: [`enter`] makes the process
//!    become `unshare`, which becomes this program again. Nobody else sees the mounts.
//! 2. The namespace ends with its last process, and with it every mount; a loop device that was made
//!    by `mount` ends with its mount. So a panic, Ctrl-C and even `kill -9` leave nothing behind,
//!    as long as every process that is started from here ends with this one: children of ours ask
//!    for that themselves ([`die_with_parent`]), other programs are started by [`companion`].
//! 3. Images are files in a memory file system that is mounted over [`STAGE`] in the namespace alone:
//!    they vanish with it, too. What is mounted there for others stays as it is.
//!
//! All access to files that the checks with real file systems need, other than by a store, is here.

use std::error::Error;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use rustix::ioctl::{Opcode, Setter, opcode};
use rustix::mount::{MountFlags, UnmountFlags};
use rustix::process::Signal;

/// What keeps a check from going on: not a finding, but the machine.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// Every system has this directory, for mounts that do not stay.
const STAGE: &str = "/mnt";

/// The memory that images and small memory file systems may take together.
const STAGE_OPTIONS: &std::ffi::CStr = c"size=4g,mode=0700";

/// `FS_IOC_SHUTDOWN` of Linux (`linux/fs.h`), also known as `XFS_IOC_GOINGDOWN`.
const SHUTDOWN: Opcode = opcode::read::<u32>(b'X', 125);

/// The journal in memory is dropped, too.
const NO_LOG_FLUSH: u32 = 2;

/// Whether the process is in its own mount namespace already.
#[derive(Args, Clone, Debug)]
pub(crate) struct Inside {
    /// Set by the program itself.
    #[arg(long, hide = true)]
    inside: bool,
}

/// The directory of images and mount points; there is one while a check runs.
#[derive(Debug)]
pub(crate) struct Stage(());

/// The kinds of file systems that are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileSystem {
    /// With a journal of 4 MiB.
    Ext4,
    /// With the smallest log that its tools make.
    Xfs,
    /// With data and metadata once.
    Btrfs,
}

/// A mounted file system, until it is dropped.
#[derive(Debug)]
pub(crate) struct Mounted {
    at: PathBuf,
}

/// Goes into a mount namespace of its own and gives the place for images; or says why that is
/// impossible. It returns in the new process only.
pub(crate) fn enter(inside: &Inside) -> Result<Stage, String> {
    if !rustix::process::geteuid().is_root() {
        return Err("it needs root".to_owned());
    }
    if let Some(missing) = ["unshare", "setpriv", "mount"].into_iter().find(|t| !has_tool(t)) {
        return Err(format!("no {missing}"));
    }
    if !inside.inside {
        let program = std::env::current_exe().map_err(|e| format!("no path to itself: {e}"))?;
        let arguments = std::env::args_os().skip(1);
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--propagation", "private", "--"]).arg(program);
        let failed = unshare.args(arguments).arg("--inside").exec();
        return Err(format!("cannot become unshare: {failed}"));
    }
    // If `unshare` was refused, it said so, and this process never began.
    rustix::mount::mount("icecore", STAGE, "tmpfs", MountFlags::empty(), Some(STAGE_OPTIONS))
        .map_err(|e| format!("no mount is possible: {e}"))?;
    Ok(Stage(()))
}

/// Whether a program of this name can be started.
pub(crate) fn has_tool(name: &str) -> bool {
    let places = ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin"];
    places.iter().any(|place| Path::new(place).join(name).exists())
}

/// How to start this program once more, wherever its file is by now.
pub(crate) fn itself() -> PathBuf {
    PathBuf::from(format!("/proc/{}/exe", std::process::id()))
}

/// Ends this process when its parent ends.
pub(crate) fn die_with_parent() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?)
}

/// Another program, which ends with this one.
pub(crate) fn companion(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", program]);
    command
}

/// Runs a program to its end, which must be a good one.
pub(crate) fn tool<S: AsRef<OsStr>>(
    name: &str,
    arguments: impl IntoIterator<Item = S>,
) -> Result<(), Failure> {
    let mut command = Command::new(name);
    let ended = command.args(arguments).stdin(Stdio::null()).output()?;
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    Err(format!("{name} failed ({}): {}", ended.status, said.trim()).into())
}

impl Stage {
    /// A path in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        Path::new(STAGE).join(name)
    }

    /// An image of `bytes` with an empty file system.
    pub(crate) fn image(
        &self,
        name: &str,
        file_system: FileSystem,
        bytes: u64,
    ) -> Result<PathBuf, Failure> {
        let path = self.path(name);
        create_file(&path)?.set_len(bytes)?;
        file_system.make(&path)?;
        Ok(path)
    }

    /// Mounts the image `image` at the directory `name`, with these options.
    pub(crate) fn mount(
        &self,
        image: &Path,
        name: &str,
        options: &str,
    ) -> Result<Mounted, Failure> {
        let at = self.mount_point(name)?;
        let all = if options.is_empty() { "loop".to_owned() } else { format!("loop,{options}") };
        tool("mount", [OsStr::new("-o"), all.as_ref(), image.as_ref(), at.as_ref()])?;
        Ok(Mounted { at })
    }

    /// Mounts an empty memory file system of `bytes` at the directory `name`.
    pub(crate) fn memory(&self, name: &str, bytes: u64) -> Result<Mounted, Failure> {
        let at = self.mount_point(name)?;
        let options = std::ffi::CString::new(format!("size={bytes}"))?;
        rustix::mount::mount("icecore", &at, "tmpfs", MountFlags::empty(), Some(&*options))?;
        Ok(Mounted { at })
    }

    #[expect(clippy::disallowed_methods, reason = "a mount point is no file of a store")]
    fn mount_point(&self, name: &str) -> io::Result<PathBuf> {
        let at = self.path(name);
        fs::create_dir_all(&at)?;
        Ok(at)
    }
}

impl FileSystem {
    /// Its name, as commands and mounts call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            FileSystem::Ext4 => "ext4",
            FileSystem::Xfs => "xfs",
            FileSystem::Btrfs => "btrfs",
        }
    }

    /// Why it cannot be made here, if so.
    pub(crate) fn missing(self) -> Option<String> {
        let tool = format!("mkfs.{}", self.name());
        (!has_tool(&tool)).then(|| format!("no {tool}"))
    }

    /// The smallest size of an image that suits it.
    pub(crate) fn bytes(self) -> u64 {
        match self {
            FileSystem::Ext4 => 32 << 20,
            FileSystem::Xfs => 300 << 20,
            FileSystem::Btrfs => 128 << 20,
        }
    }

    /// Where on the device the superblock is that mounting begins with.
    pub(crate) fn superblock(self) -> Range<u64> {
        match self {
            FileSystem::Ext4 => 1024..2048,
            FileSystem::Xfs => 0..512,
            FileSystem::Btrfs => (64 << 10)..(68 << 10),
        }
    }

    fn make(self, image: &Path) -> Result<(), Failure> {
        let options: &[&str] = match self {
            FileSystem::Ext4 => &["-q", "-F", "-b", "4096", "-J", "size=4"],
            FileSystem::Xfs => &["-q", "-f"],
            FileSystem::Btrfs => &["-q", "-f", "-m", "single"],
        };
        let arguments = options.iter().map(OsStr::new).chain([image.as_os_str()]);
        tool(&format!("mkfs.{}", self.name()), arguments)
    }
}

impl Mounted {
    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        &self.at
    }

    /// Stops the file system as a power cut does: nothing that is in memory alone reaches the
    /// device any more, the journal neither.
    #[expect(unsafe_code, reason = "the system call has no safe wrapper")]
    pub(crate) fn cut_power(&self) -> io::Result<()> {
        let root = open_file(&self.at)?;
        // SAFETY:
        // - SHUTDOWN is an opcode of file systems that support it; others answer with ENOTTY.
        // - Its argument is a pointer to a u32, from which the kernel reads and to which it does
        //   not write: what `Setter` hands over.
        unsafe { rustix::ioctl::ioctl(root, Setter::<SHUTDOWN, u32>::new(NO_LOG_FLUSH))? };
        Ok(())
    }

    /// Unmounts it, once nobody uses it.
    pub(crate) fn unmount(self) -> Result<(), Failure> {
        let unmounted = rustix::mount::unmount(&self.at, UnmountFlags::empty());
        unmounted.map_err(|e| format!("cannot unmount {}: {e}", self.at.display()))?;
        std::mem::forget(self);
        Ok(())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // An error was met already; the namespace takes the mount with it in any case.
        if let Err(error) = rustix::mount::unmount(&self.at, UnmountFlags::DETACH) {
            println!("cannot unmount {}: {error}", self.at.display());
        }
    }
}

/// A new file, or an old one made empty.
#[expect(clippy::disallowed_methods, reason = "images are no files of a store")]
pub(crate) fn create_file(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(true).open(path)
}

/// Opens for reading.
#[expect(clippy::disallowed_methods, reason = "images are no files of a store")]
pub(crate) fn open_file(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// All of a file.
#[expect(clippy::disallowed_methods, reason = "images are no files of a store")]
pub(crate) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path)
}

/// All of a file, as text.
#[expect(clippy::disallowed_methods, reason = "it is no file of a store")]
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Makes a file shorter, whoever uses it.
#[expect(clippy::disallowed_methods, reason = "it is what must not happen to a file of a store")]
pub(crate) fn cut_file(path: &Path, bytes: u64) -> io::Result<()> {
    File::options().write(true).open(path)?.set_len(bytes)
}

/// The number at `offset` of a file, little-endian.
pub(crate) fn read_number(path: &Path, offset: u64) -> io::Result<u64> {
    let mut bytes = [0; 8];
    open_file(path)?.read_exact_at(&mut bytes, offset)?;
    Ok(u64::from_le_bytes(bytes))
}

/// Copies an image with its holes.
pub(crate) fn copy_image(from: &Path, to: &Path) -> Result<(), Failure> {
    tool("cp", [OsStr::new("--sparse=auto"), from.as_ref(), to.as_ref()])
}

/// Removes a directory and all that is in it.
#[expect(clippy::disallowed_methods, reason = "the store in it is not used any more")]
pub(crate) fn remove_directory(path: &Path) -> io::Result<()> {
    fs::remove_dir_all(path)
}

/// Removes a file.
#[expect(clippy::disallowed_methods, reason = "images are no files of a store")]
pub(crate) fn remove_file(path: &Path) -> io::Result<()> {
    fs::remove_file(path)
}

/// Every file of a directory, with its length.
#[expect(clippy::disallowed_methods, reason = "it is looked at from outside")]
pub(crate) fn files(path: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    let entries = fs::read_dir(path)?;
    entries.map(|entry| entry.and_then(|e| Ok((e.path(), e.metadata()?.len())))).collect()
}

/// Makes a file grow until there is no space left on its file system.
#[expect(
    clippy::disallowed_methods,
    reason = "it takes the space of a store, and is none of its files"
)]
pub(crate) fn take_space(path: &Path) -> io::Result<()> {
    let file = File::options().append(true).create(true).open(path)?;
    // Smaller and smaller pieces, so that nothing is left.
    for piece in [1 << 20, 64 << 10, 4 << 10, 1] {
        let bytes = vec![0xf1; piece];
        loop {
            match (&file).write(&bytes) {
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::StorageFull => break,
                Err(e) => return Err(e),
            }
        }
    }
    // Where space is only reserved at first, the file might still shrink.
    match file.sync_all() {
        Err(e) if e.kind() != io::ErrorKind::StorageFull => Err(e),
        _ => Ok(()),
    }
}

/// How much can be written to the file system of `path`.
pub(crate) fn free_bytes(path: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail * stat.f_frsize)
}

/// Writes `data` at `offset` of `file`, all of it.
pub(crate) fn write_at(file: &File, data: &[u8], offset: u64) -> io::Result<()> {
    file.write_all_at(data, offset)
}
