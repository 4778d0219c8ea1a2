//! A disk that records keeps the contract of the disk below it, and notes what has happened.

use std::io::ErrorKind;
use std::sync::Arc;

use icecore_disk::fault::Operation;
use icecore_disk::record::{Note, RecordDisk, Recording};
use icecore_disk::{
    Buffer, Disk, Fault, FaultDisk, Faults, File, MemoryDisk, Name, OpenMode, Write,
};

fn make() -> ((), Arc<dyn Disk>) {
    ((), Arc::new(RecordDisk::new(Arc::new(MemoryDisk::new()), Arc::default())))
}

mod passive {
    crate::contract::contract_tests!(crate::record::make);
}

/// A recorded disk with one file, over one that fails on request.
fn failing() -> (Arc<Faults>, RecordDisk, Box<dyn File>, Arc<Recording>) {
    let (faults, recording) = (Faults::new(), Arc::new(Recording::default()));
    let inner = FaultDisk::new(Arc::new(MemoryDisk::new()), Arc::clone(&faults));
    let disk = RecordDisk::new(Arc::new(inner), Arc::clone(&recording));
    let file = disk.create(Name::Wal(1)).unwrap();
    recording.take();
    (faults, disk, file, recording)
}

#[test]
fn a_call_that_fails_and_does_nothing_is_not_noted() {
    let (faults, disk, file, recording) = failing();
    let fails = |operation, what: &dyn Fn() -> std::io::Result<()>| {
        faults.inject(Fault::kind(ErrorKind::PermissionDenied).on(operation));
        assert_eq!(what().unwrap_err().kind(), ErrorKind::PermissionDenied, "{operation:?}");
        assert_eq!(recording.take(), [], "{operation:?}");
    };
    let open = |mode| disk.open(Name::Wal(1), mode).map(drop);
    fails(Operation::Create, &|| disk.create(Name::Wal(2)).map(drop));
    fails(Operation::Open, &|| open(OpenMode::ReadWrite));
    fails(Operation::Rename, &|| disk.rename(Name::Wal(1), Name::Wal(2)));
    fails(Operation::Remove, &|| disk.remove(Name::Wal(1)));
    fails(Operation::WriteAt, &|| file.write_at(0, b"ice").map(drop));
    fails(Operation::SetLen, &|| file.set_len(8));
    fails(Operation::Allocate, &|| file.allocate(8));
    fails(Operation::Len, &|| file.is_empty().map(drop));
    assert!(file.is_empty().unwrap());
    assert_eq!(faults.struck(), 8);
}

#[test]
fn a_write_or_sync_that_fails_is_noted_as_begun() {
    let (faults, disk, file, recording) = failing();
    for operation in [Operation::Complete, Operation::Sync, Operation::SyncDir] {
        faults.inject(Fault::kind(ErrorKind::PermissionDenied).on(operation));
    }
    let data = Buffer::from(&b"ice"[..]);
    let ticket = file.submit(Write { offset: 0, data, durable: true });
    assert!(file.complete(ticket).1.is_err());
    assert!(file.sync().is_err());
    assert!(disk.sync_dir().is_err());
    let notes = recording.take();
    let begun = |note: &Note| matches!(note, Note::Submit { .. } | Note::SyncBegun { .. });
    assert!(notes.len() == 3 && notes.iter().all(begun), "{notes:?}");
}

#[test]
fn what_changes_a_file_is_noted_with_the_handle_that_did_it() {
    let (_, disk, file, recording) = failing();
    file.allocate(8).unwrap();
    let again = disk.open(Name::Wal(1), OpenMode::ReadWrite).unwrap();
    again.set_len(4).unwrap();
    disk.remove(Name::Wal(1)).unwrap();
    let notes = recording.take();
    let Note::Allocate { handle: first, bytes: 8 } = notes[0] else { panic!("{notes:?}") };
    let Note::Open { name: Name::Wal(1), handle } = notes[1] else { panic!("{notes:?}") };
    assert_ne!(first, handle);
    let rest = [Note::SetLen { handle, bytes: 4 }, Note::Remove { name: Name::Wal(1) }];
    assert_eq!(notes[2..], rest);
}
