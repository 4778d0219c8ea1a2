use std::io::ErrorKind;

use super::*;
use crate::RealDisk;

const ENOSPC: i32 = 28;

fn disk(faults: &Arc<Faults>) -> (tempfile::TempDir, FaultDisk) {
    let directory = tempfile::tempdir().unwrap();
    let real = RealDisk::open(directory.path()).unwrap();
    (directory, FaultDisk::new(Arc::new(real), Arc::clone(faults)))
}

/// Creates, writes, syncs, renames, maps and removes: one operation of many kinds.
fn workload(disk: &dyn Disk) -> io::Result<Vec<u8>> {
    let file = disk.create(Name::Temp(1))?;
    file.allocate(8)?;
    file.write_all_at(0, b"ice")?;
    let data = Buffer::from(&b"core"[..]);
    file.complete(file.submit(Write { offset: 3, data, durable: true })).1?;
    file.set_len(7)?;
    file.sync()?;
    disk.rename(Name::Temp(1), Name::Table(1))?;
    disk.sync_dir()?;
    let file = disk.open(Name::Table(1), OpenMode::Read)?;
    let mut content = vec![0; usize::try_from(file.len()?).expect("a small file")];
    file.read_full_at(0, &mut content)?;
    assert_eq!(file.map()?.view(0..7), Ok(&content[..]));
    disk.remove(Name::Table(1))?;
    assert!(disk.list()?.is_empty());
    assert!(disk.free_bytes()? > 0);
    Ok(content)
}

#[test]
fn each_operation_can_fail_until_the_workload_runs_clean() {
    let mut seen = 0;
    for n in 0.. {
        let faults = Faults::new();
        let (_directory, disk) = disk(&faults);
        faults.inject(Fault::code(ENOSPC).after(n));
        match workload(&disk) {
            Ok(content) => {
                assert_eq!(content, b"icecore");
                assert_eq!((faults.struck(), faults.operations()), (0, n));
                break;
            }
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::StorageFull);
                assert_eq!((faults.struck(), faults.operations()), (1, n + 1));
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 15);
}

#[test]
fn a_fault_strikes_once_unless_it_is_for_ever() {
    let faults = Faults::new();
    let (_directory, disk) = disk(&faults);
    faults.inject(Fault::kind(ErrorKind::PermissionDenied).on(Operation::SyncDir).after(1));
    assert!(disk.sync_dir().is_ok());
    assert_eq!(disk.sync_dir().unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert!(disk.sync_dir().is_ok());
    faults.inject(Fault::kind(ErrorKind::PermissionDenied).on(Operation::SyncDir).for_ever());
    assert!(disk.sync_dir().is_err() && disk.sync_dir().is_err());
    assert!(disk.list().is_ok());
    faults.clear();
    assert!(disk.sync_dir().is_ok());
}

#[test]
fn a_fault_can_be_kept_to_one_kind_of_file() {
    let faults = Faults::new();
    let (_directory, disk) = disk(&faults);
    faults.inject(Fault::code(ENOSPC).named(|name| matches!(name, Name::Wal(_))).for_ever());
    assert!(disk.create(Name::Wal(1)).is_err());
    let file = disk.create(Name::Table(1)).unwrap();
    file.write_all_at(0, b"ice").unwrap();
    assert!(disk.rename(Name::Table(1), Name::Wal(2)).is_err());
    assert!(disk.sync_dir().is_ok());
}

#[test]
fn short_and_interrupted_calls_are_got_past() {
    let faults = Faults::new();
    let (_directory, disk) = disk(&faults);
    let file = disk.create(Name::Temp(1)).unwrap();
    faults.inject(Fault::short().for_ever());
    for operation in [Operation::WriteAt, Operation::ReadAt] {
        faults.inject(Fault::kind(ErrorKind::Interrupted).on(operation).after(1));
    }
    assert_eq!(file.write_at(0, b"0123456789").unwrap(), 5);
    file.write_all_at(5, b"56789").unwrap();
    let mut content = [0; 10];
    assert_eq!(file.read_at(0, &mut content).unwrap(), 5);
    assert_eq!(file.read_full_at(0, &mut content).unwrap(), 10);
    assert_eq!(content, *b"0123456789");
}

#[test]
fn a_failed_write_reaches_as_far_as_the_plan_says() {
    for (reach, expected) in [(Reach::None, 0), (Reach::Half, 5), (Reach::Full, 10)] {
        let faults = Faults::new();
        let (_directory, disk) = disk(&faults);
        let file = disk.create(Name::Wal(1)).unwrap();
        faults.inject(Fault::code(ENOSPC).on(Operation::Complete).reaching(reach));
        let data = Buffer::from(&b"0123456789"[..]);
        let ticket = file.submit(Write { offset: 0, data, durable: true });
        let (data, written) = file.complete(ticket);
        assert_eq!(written.unwrap_err().kind(), ErrorKind::StorageFull);
        assert_eq!(data[..], *b"0123456789");
        assert_eq!(file.len().unwrap(), expected, "{reach:?}");

        let file = disk.create(Name::Wal(2)).unwrap();
        faults.inject(Fault::code(ENOSPC).on(Operation::WriteAt).reaching(reach));
        assert!(file.write_all_at(0, b"0123456789").is_err());
        assert_eq!(file.len().unwrap(), expected, "{reach:?}");
    }
}

#[test]
fn an_operation_may_happen_and_fail_all_the_same() {
    let faults = Faults::new();
    let (_directory, disk) = disk(&faults);
    faults.inject(Fault::code(ENOSPC).on(Operation::Create).reaching(Reach::Full));
    assert!(disk.create(Name::Temp(1)).is_err());
    assert_eq!(disk.create(Name::Temp(1)).unwrap_err().kind(), ErrorKind::AlreadyExists);
}

#[test]
fn a_lock_that_fails_is_not_held() {
    let faults = Faults::new();
    let (_directory, disk) = disk(&faults);
    faults.inject(Fault::kind(ErrorKind::PermissionDenied).on(Operation::Lock));
    assert!(matches!(disk.lock(LockMode::Exclusive), Err(LockError::Io(_))));
    let _guard = disk.lock(LockMode::Exclusive).unwrap();
}
