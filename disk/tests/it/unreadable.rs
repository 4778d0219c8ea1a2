//! Mappings of real files whose pages cannot be read: the process lives on.
//!
//! What ends a process, or depends on who had the signal first, happens in a child: this program
//! again, with one ignored test.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use icecore_disk::real::unreadable_pages;
use icecore_disk::{Disk, File, MapFault, Name, OpenMode, RealDisk, Region};

use crate::foreign;

/// A multiple of the size of a page everywhere.
const STEP: usize = 64 << 10;

fn disk(directory: &Path) -> RealDisk {
    RealDisk::open(directory).unwrap()
}

/// A table of `steps` steps, each full of its own number plus one, and its mapping.
fn mapped(disk: &RealDisk, number: u64, steps: u8) -> (Box<dyn File>, Region) {
    let file = disk.create(Name::Table(number)).unwrap();
    let content: Vec<u8> = (1..=steps).flat_map(|n| vec![n; STEP]).collect();
    file.write_all_at(0, &content).unwrap();
    let region = file.map().unwrap();
    (file, region)
}

/// Reads a step in place and says what it held, as a careful reader does.
fn read(region: &Region, step: usize) -> Result<u8, MapFault> {
    let range = step * STEP..(step + 1) * STEP;
    let bytes = region.view(range.clone())?;
    let first = bytes[0];
    let same = bytes.iter().all(|b| *b == first);
    region.check(range)?;
    assert!(same && usize::from(first) == step + 1, "a step that passed holds its number");
    Ok(first)
}

#[test]
fn what_was_cut_off_is_a_fault_and_the_rest_is_read_as_before() {
    let directory = tempfile::tempdir().unwrap();
    let (file, region) = mapped(&disk(directory.path()), 1, 4);
    let kept = region.slice(STEP..2 * STEP).unwrap();
    assert!((0..4).all(|step| read(&region, step).is_ok()));
    let before = unreadable_pages();
    file.set_len(2 * STEP as u64).unwrap();
    assert_eq!(region.check(0..4 * STEP), Ok(()), "nobody has tried yet");
    assert_eq!(read(&region, 2), Err(MapFault { offset: 2 * STEP as u64 }));
    assert!(unreadable_pages() > before);
    assert!(!region.is_whole());
    assert_eq!((read(&region, 0), read(&region, 1)), (Ok(1), Ok(2)));
    assert_eq!(read(&region, 3), Err(MapFault { offset: 3 * STEP as u64 }));
    assert_eq!(region.clone().view(2 * STEP..2 * STEP + 1), Err(MapFault { offset: 131_072 }));
    drop(region);
    assert!(kept.iter().all(|b| *b == 2));
    // The file grows again, and a mapping of its own knows nothing of the old one's faults.
    file.set_len(4 * STEP as u64).unwrap();
    let again = file.map().unwrap();
    assert_eq!(again.view(2 * STEP..2 * STEP + 1), Ok(&[0][..]));
    assert!(again.is_whole());
}

#[test]
fn files_are_mapped_cut_read_and_unmapped_by_several_threads_at_once() {
    const ROUNDS: u64 = 48;
    let directory = tempfile::tempdir().unwrap();
    let disk = disk(directory.path());
    let (_steady_file, steady) = mapped(&disk, 1_000_000, 8);
    let (shared_file, shared) = mapped(&disk, 1_000_001, 8);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let cutters: Vec<_> = (0..3)
            .map(|thread| {
                let (disk, shared) = (&disk, &shared);
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let number = thread * ROUNDS + round + 1;
                        let (file, region) = mapped(disk, number, 6);
                        let left = usize::try_from(round % 6).unwrap();
                        file.set_len((left * STEP) as u64).unwrap();
                        for step in 0..6 {
                            assert_eq!(read(&region, step).is_ok(), step < left);
                        }
                        disk.remove(Name::Table(number)).unwrap();
                        // All threads come upon the same pages.
                        let step = usize::try_from(round % 8).unwrap();
                        assert!(read(shared, step).is_ok() || step >= 4);
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for step in 0..8 {
                    read(&steady, step).unwrap();
                }
            }
        });
        shared_file.set_len(4 * STEP as u64).unwrap();
        let ended: Vec<_> = cutters.into_iter().map(thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        assert!(ended.iter().all(Result::is_ok), "{ended:?}");
    });
    assert!(steady.is_whole());
    assert!(read(&shared, 4).is_err());
}

/// Runs one of the ignored tests of [`child`] in a process of its own.
fn in_a_child(name: &str) -> ExitStatus {
    let this = std::env::current_exe().unwrap();
    let name = format!("unreadable::child::{name}");
    let output = Command::new(this).args(["--exact", &name, "--ignored"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("running 1 test"), "{name}: {said}");
    output.status
}

fn is_killed(name: &str) -> bool {
    in_a_child(name).signal() == Some(foreign::SIGBUS)
}

#[test]
fn a_handler_that_was_there_before_is_called_for_addresses_that_are_not_ours() {
    assert_eq!(in_a_child("with_a_handler_that_takes_details").code(), Some(foreign::DETAILED));
    assert_eq!(in_a_child("with_a_handler_that_takes_the_number").code(), Some(foreign::PLAIN));
}

#[test]
fn what_ended_the_process_before_ends_it_still() {
    assert!(is_killed("with_the_default_action"));
    assert!(is_killed("with_the_handler_of_the_runtime"));
    assert!(is_killed("with_the_default_action_and_a_sent_signal"));
    assert!(is_killed("with_an_ignored_signal"));
}

#[test]
fn a_signal_that_is_ignored_and_was_sent_does_nothing() {
    assert!(in_a_child("with_an_ignored_signal_that_is_sent").success());
}

#[test]
fn a_disk_that_does_not_watch_leaves_the_signal_alone() {
    assert!(in_a_child("without_watching").success());
    assert!(is_killed("without_watching_and_a_cut_file"));
}

mod child {
    use super::*;

    /// A page of ours that cannot be read is survived, whoever had the signal before.
    fn survive_our_own(directory: &Path) {
        let (file, region) = mapped(&disk(directory), 1, 2);
        file.set_len(STEP as u64).unwrap();
        assert!(read(&region, 1).is_err());
        assert_eq!(read(&region, 0), Ok(1));
    }

    fn with(action: foreign::Action, then: fn(&Path)) {
        let directory = tempfile::tempdir().unwrap();
        foreign::act(action);
        survive_our_own(directory.path());
        then(directory.path());
    }

    #[test]
    #[ignore = "ends its process"]
    fn with_a_handler_that_takes_details() {
        with(foreign::Action::Detailed, foreign::fault);
    }

    #[test]
    #[ignore = "ends its process"]
    fn with_a_handler_that_takes_the_number() {
        with(foreign::Action::Plain, foreign::fault);
    }

    #[test]
    #[ignore = "ends its process"]
    fn with_the_default_action() {
        with(foreign::Action::Default, foreign::fault);
    }

    #[test]
    #[ignore = "ends its process"]
    fn with_the_handler_of_the_runtime() {
        with(foreign::Action::None, foreign::fault);
    }

    #[test]
    #[ignore = "ends its process"]
    fn with_the_default_action_and_a_sent_signal() {
        with(foreign::Action::Default, |_| foreign::send());
    }

    #[test]
    #[ignore = "ends its process"]
    fn with_an_ignored_signal() {
        with(foreign::Action::Ignored, foreign::fault);
    }

    #[test]
    #[ignore = "changes what its process does with a signal"]
    fn with_an_ignored_signal_that_is_sent() {
        with(foreign::Action::Ignored, |_| foreign::send());
    }

    #[test]
    #[ignore = "changes what its process does with a signal"]
    fn without_watching() {
        let directory = tempfile::tempdir().unwrap();
        let before = foreign::handler();
        let disk = disk(directory.path()).watching(false);
        let (_file, region) = mapped(&disk, 1, 1);
        assert_eq!(read(&region, 0), Ok(1));
        assert_eq!(foreign::handler(), before);
        let copy = disk.create_directory(&directory.path().join("copy")).unwrap();
        disk.link(Name::Table(1), &*copy).unwrap();
        copy.open(Name::Table(1), OpenMode::Read).unwrap().map().unwrap();
        assert_eq!(foreign::handler(), before, "a directory made by it watches as little");
        let (_file, _region) = mapped(&disk.watching(true), 2, 1);
        assert_ne!(foreign::handler(), before);
    }

    #[test]
    #[ignore = "ends its process"]
    fn without_watching_and_a_cut_file() {
        let directory = tempfile::tempdir().unwrap();
        let (file, region) = mapped(&disk(directory.path()).watching(false), 1, 1);
        file.set_len(0).unwrap();
        assert_eq!(read(&region, 0), Ok(1), "it does not come to this");
    }
}
