//! The same seed and the same calls give the same trace.

use super::*;
use crate::OpenMode;

/// A few lives under all rules at once; errors are part of it.
fn lives(seed: u64, disk: &Arc<SimDisk>) -> u64 {
    let mut disk = Arc::clone(disk);
    for life in 0..4 {
        disk.crash_at(20 + seed % 7 * 3);
        for step in 0..40u64 {
            let name = Name::Wal(step % 5);
            let Ok(file) = disk.create(name).or_else(|_| disk.open(name, OpenMode::ReadWrite))
            else {
                continue;
            };
            let offset = step * 701 % 5000;
            // Whether it fails is part of the trace.
            let _ignored: Result<(), std::io::Error> = (|| {
                file.write_all_at(offset, &[life + 1; 900])?;
                file.complete(file.submit(write(8192, &[9; 512], true))).1?;
                if step % 4 == 0 {
                    file.sync()?;
                    disk.sync_dir()?;
                }
                disk.rename(name, Name::Table(step % 3))?;
                file.read_at(offset, &mut [0; 2000]).map(drop)
            })();
            check(&disk);
        }
        if seed.is_multiple_of(5) && disk.is_running() {
            disk.kill();
        } else {
            disk.crash(Crash::Random);
        }
        disk = disk.reopen();
        check(&disk);
    }
    disk.trace_hash()
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_one_does_not() {
    let mut hashes = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let run = || {
            let disk = SimDisk::new(seed, Rules::all());
            disk.record_trace(true);
            let hash = lives(seed, &disk);
            (hash, disk.trace(), disk.snapshot_files())
        };
        let (one, other) = (run(), run());
        assert_eq!(one.1, other.1);
        assert_eq!(one.2, other.2);
        assert_eq!(one.0, other.0);
        assert!(!one.1.is_empty());
        hashes.insert(one.0);
    }
    assert_eq!(hashes.len(), 50);
}

#[test]
fn keeping_the_text_of_the_trace_does_not_change_it() {
    let with = SimDisk::new(3, Rules::all());
    with.record_trace(true);
    let without = SimDisk::new(3, Rules::all());
    assert_eq!(lives(3, &with), lives(3, &without));
    assert_eq!(without.trace(), Vec::<String>::new());
}

#[test]
fn a_call_on_a_machine_that_stopped_leaves_no_trace() {
    let disk = SimDisk::new(3, Rules::none());
    let file = disk.create(WAL).unwrap();
    disk.crash(Crash::KeepAll);
    let hash = disk.trace_hash();
    assert!(file.write_at(0, b"x").is_err());
    assert!(file.sync().is_err());
    assert!(disk.list().is_err());
    let ticket = file.submit(write(0, b"x", true));
    assert!(file.complete(ticket).1.is_err());
    let error = disk.create(WAL).unwrap_err();
    assert_eq!(error.to_string(), "the machine has stopped");
    assert_eq!(disk.trace_hash(), hash);
}
