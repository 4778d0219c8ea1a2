//! A store at work on a block device that logs all that is done to it.
//!
//! `qemu-storage-daemon` shows an image as a file through FUSE; whatever is written to that file it
//! writes to the image and to a log. The file is mounted by a loop device, which turns the flushes
//! of the file system into syncs of the file, and so into flushes of the log. The child puts the
//! number of entries that the log had into every acknowledgement: a commit must be there whenever
//! so many entries are.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};

use super::crash::Device;
use super::log::{self, Entry};
use crate::chronicle::batch::Origin;
use crate::chronicle::event::Event;
use crate::chronicle::model::Chronicle;
use crate::chronicle::teller::{self, Next, Teller};
use crate::mounts::{self, Failure, FileSystem, Stage};
use crate::report::Run;

const DAEMON: &str = "qemu-storage-daemon";

/// Nothing takes so long.
const HANG: Duration = Duration::from_secs(60);

/// How long to wait before looking again.
const GLANCE: Duration = Duration::from_millis(5);

/// What happened to a device, and what was acknowledged meanwhile.
#[derive(Debug)]
pub(super) struct Recording {
    pub(super) seed: u64,
    /// The device before.
    pub(super) base: Device,
    pub(super) entries: Vec<Entry>,
    pub(super) chronicle: Chronicle,
    /// Durable batches, and how many entries the log had when each was acknowledged.
    promised: Vec<(u64, u64)>,
}

impl Recording {
    /// The last batch that must be there if the first `entries` entries of the log are.
    pub(super) fn floor(&self, entries: u64) -> u64 {
        let kept = self.promised.iter().filter(|(_, mark)| *mark <= entries);
        kept.map(|(number, _)| *number).max().unwrap_or(0)
    }
}

/// Why nothing can be recorded here, if so.
pub(super) fn missing() -> Option<String> {
    if !mounts::has_tool(DAEMON) {
        return Some(format!("no {DAEMON}"));
    }
    (!Path::new("/dev/fuse").exists()).then(|| "no /dev/fuse".to_owned())
}

/// Lets a child do so many commits on a fresh file system, and logs what happens to its device.
pub(super) fn record(
    stage: &Stage,
    run: &Run,
    file_system: FileSystem,
    seed: u64,
    commits: u64,
) -> Result<Recording, Failure> {
    let image = stage.image("image", file_system, file_system.bytes())?;
    let base = Device::of(&mounts::read_file(&image)?);
    let log = stage.path("log");
    mounts::create_file(&log)?;
    let export = stage.path("export");
    mounts::create_file(&export)?;
    let mut daemon = Daemon::start(&image, &log, &export)?;
    daemon.await_export(run, &export, file_system.bytes())?;
    let mounted = stage.mount(&export, "disk", "")?;
    let mut command = teller::command(&mounted.path().join("store"), Origin { seed, life: 1_000 });
    command.arg(format!("--commits={commits}")).arg(format!("--mark={}", log.display()));
    let mut chronicle = Chronicle::new(seed);
    let promised = listen(Teller::start(command)?, &mut chronicle)?;
    mounted.unmount()?;
    daemon.end()?;
    let entries = log::parse(&mounts::read_file(&log)?)?;
    for left in [image, log, export] {
        mounts::remove_file(&left)?;
    }
    Ok(Recording { seed, base, entries, chronicle, promised })
}

/// Hears the child to its end.
fn listen(mut child: Teller, chronicle: &mut Chronicle) -> Result<Vec<(u64, u64)>, Failure> {
    let mut promised = Vec::new();
    loop {
        match child.next(HANG)? {
            Next::Event(Event::Done) => break,
            Next::Event(event) => {
                let failed = matches!(
                    event,
                    Event::Failed { .. } | Event::Trouble { .. } | Event::Unopened { .. }
                );
                if failed {
                    return Err(format!("a child failed on an intact disk: {event}").into());
                }
                chronicle.note(&event)?;
                if let Event::Committed { number, durable: true, mark, .. } = event {
                    promised.push((number, mark));
                }
            }
            Next::Silence => return Err("a child hangs".into()),
            Next::End => return Err(format!("a child ended: {}", child.wait()?).into()),
        }
    }
    let status = child.wait()?;
    if status.success() { Ok(promised) } else { Err(format!("a child ended: {status}").into()) }
}

/// The process that shows the image.
struct Daemon {
    process: Child,
}

impl Daemon {
    fn start(image: &Path, log: &Path, export: &Path) -> Result<Daemon, Failure> {
        let (image, log, export) = (image.display(), log.display(), export.display());
        let process = mounts::companion(DAEMON)
            .args(["--blockdev", &format!("driver=file,node-name=image,filename={image}")])
            .args(["--blockdev", "driver=raw,node-name=device,file=image"])
            .args(["--blockdev", &format!("driver=file,node-name=log-file,filename={log}")])
            .args(["--blockdev", "driver=raw,node-name=log,file=log-file"])
            .args(["--blockdev", LOGGING])
            .args([
                "--export",
                &format!("type=fuse,id=e,node-name=both,mountpoint={export},writable=on"),
            ])
            .stdin(Stdio::null())
            .spawn()?;
        Ok(Daemon { process })
    }

    /// Waits until the empty file has become the device.
    fn await_export(&mut self, run: &Run, export: &Path, bytes: u64) -> Result<(), Failure> {
        let end = run.elapsed() + HANG;
        while mounts::open_file(export)?.metadata()?.len() != bytes {
            if let Some(status) = self.process.try_wait()? {
                return Err(format!("{DAEMON} ended: {status}").into());
            }
            if run.elapsed() > end {
                return Err(format!("{DAEMON} shows nothing").into());
            }
            std::thread::park_timeout(GLANCE);
        }
        Ok(())
    }

    /// Lets it write what it has, and go.
    fn end(mut self) -> Result<(), Failure> {
        rustix::process::kill_process(Pid::from_child(&self.process), Signal::TERM)?;
        let status = self.process.wait()?;
        if status.success() { Ok(()) } else { Err(format!("{DAEMON} ended: {status}").into()) }
    }
}

/// The header of the log is renewed with each entry, so that the child can read how many there are.
const LOGGING: &str = "driver=blklogwrites,node-name=both,file=device,log=log,\
     log-sector-size=512,log-super-update-interval=1";

impl Drop for Daemon {
    fn drop(&mut self) {
        // It has ended already, unless something failed on the way here.
        if let Ok(None) = self.process.try_wait() {
            let ended = self.process.kill().and_then(|()| self.process.wait());
            if let Err(error) = ended {
                println!("{DAEMON} could not be ended: {error}");
            }
        }
    }
}
