//! The lock of the real disk, between processes and against a meddler.

#![expect(clippy::disallowed_methods, reason = "the meddler does not go through the disk")]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use icecore_disk::{Disk, LockError, LockMode, Name, RealDisk};

/// Names the directory to the process that [`locked_by_another_process`] starts.
const DIRECTORY: &str = "ICECORE_LOCK_TEST_DIRECTORY";

/// Not a test: what the other process runs. It holds the lock until its standard input ends.
#[test]
#[ignore = "started by the other tests in a process of its own"]
fn holds_the_lock_until_told() {
    let directory = std::env::var(DIRECTORY).unwrap();
    let _guard = RealDisk::open(directory).unwrap().lock(LockMode::Exclusive).unwrap();
    println!("\nlocked");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// Another process that holds the exclusive lock of `directory`, and what it has yet to say.
fn locked_by_another_process(directory: &Path) -> (Child, impl Iterator<Item = String>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "lock::holds_the_lock_until_told", "--ignored", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line == "locked"), "the other process has no lock");
    (child, lines)
}

fn holder(disk: &RealDisk, mode: LockMode) -> String {
    match disk.lock(mode) {
        Err(LockError::Held { holder }) => holder,
        other => panic!("{mode:?} should be refused: {other:?}"),
    }
}

fn store() -> (tempfile::TempDir, RealDisk) {
    let directory = tempfile::tempdir().unwrap();
    let disk = RealDisk::open(directory.path()).unwrap();
    (directory, disk)
}

#[test]
fn a_second_open_in_this_process_is_told_so() {
    let (directory, disk) = store();
    let _guard = disk.lock(LockMode::Exclusive).unwrap();
    let second = RealDisk::open(directory.path().join(".")).unwrap();
    assert_eq!(holder(&second, LockMode::Exclusive), "this process");
    assert_eq!(holder(&second, LockMode::Shared), "this process");
}

#[test]
fn another_process_is_named_and_its_death_frees_the_lock() {
    let (directory, disk) = store();
    let (mut other, _lines) = locked_by_another_process(directory.path());
    let expected = format!("process {}", other.id());
    assert_eq!(holder(&disk, LockMode::Exclusive), expected);
    assert_eq!(holder(&disk, LockMode::Shared), expected);
    other.kill().unwrap();
    other.wait().unwrap();
    drop(disk.lock(LockMode::Exclusive).unwrap());
}

#[test]
fn a_deleted_lock_file_gives_no_second_owner_in_any_process() {
    let (directory, disk) = store();
    let (mut other, lines) = locked_by_another_process(directory.path());
    for _ in 0..2 {
        fs::remove_file(directory.path().join("LOCK")).unwrap();
        assert_eq!(holder(&disk, LockMode::Exclusive), "another process");
        assert_eq!(holder(&disk, LockMode::Shared), "another process");
        // One that was made anew is not the one that the owner holds.
        fs::write(directory.path().join("LOCK"), "").unwrap();
        assert_eq!(holder(&disk, LockMode::Exclusive), "another process");
        assert_eq!(holder(&disk, LockMode::Shared), "another process");
    }
    drop(other.stdin.take());
    lines.last();
    assert!(other.wait().unwrap().success());
    drop(disk.lock(LockMode::Exclusive).unwrap());
}

#[test]
fn threads_that_race_for_the_lock_hold_it_one_at_a_time() {
    let (_directory, disk) = store();
    let (holders, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let Ok(_guard) = disk.lock(LockMode::Exclusive) else { continue };
                    assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                    taken.fetch_add(1, Ordering::SeqCst);
                    assert_eq!(holders.fetch_sub(1, Ordering::SeqCst), 1);
                }
            });
        }
    });
    assert!(taken.into_inner() > 0);
    drop(disk.lock(LockMode::Exclusive).unwrap());
}

#[test]
fn a_refused_lock_leaves_nothing_locked() {
    let (_directory, disk) = store();
    let shared = disk.lock(LockMode::Shared).unwrap();
    holder(&disk, LockMode::Exclusive);
    drop(shared);
    let exclusive = disk.lock(LockMode::Exclusive).unwrap();
    holder(&disk, LockMode::Shared);
    drop(exclusive);
    drop(disk.lock(LockMode::Shared).unwrap());
}

#[test]
fn a_reader_needs_no_permission_to_write() {
    let (directory, disk) = store();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o500)).unwrap();
    drop(disk.lock(LockMode::Shared).unwrap());
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
    assert!(disk.list().unwrap().is_empty());
}

#[test]
fn the_holder_is_written_into_the_lock_file_and_taken_out_again() {
    let (directory, disk) = store();
    let path = directory.path().join("LOCK");
    fs::write(&path, "what an earlier and longer holder left behind").unwrap();
    let guard = disk.lock(LockMode::Exclusive).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
    drop(guard);
    assert_eq!(fs::read_to_string(&path).unwrap(), "");
    drop(disk.lock(LockMode::Exclusive).unwrap());
}

#[test]
fn a_link_in_the_place_of_the_lock_file_is_not_followed() {
    let (directory, disk) = store();
    let outside = tempfile::NamedTempFile::new().unwrap();
    fs::write(outside.path(), "kept").unwrap();
    std::os::unix::fs::symlink(outside.path(), directory.path().join("LOCK")).unwrap();
    assert!(matches!(disk.lock(LockMode::Exclusive), Err(LockError::Io(_))));
    assert_eq!(fs::read_to_string(outside.path()).unwrap(), "kept");
    disk.remove(Name::Lock).unwrap();
    drop(disk.lock(LockMode::Exclusive).unwrap());
}
