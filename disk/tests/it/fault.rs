//! A faulty disk without faults keeps the contract, over whatever disk it stands.

use std::io::ErrorKind;
use std::sync::Arc;

use icecore_disk::fault::Operation;
use icecore_disk::{Disk, Fault, FaultDisk, Faults, Name};

use crate::real;

fn make() -> (tempfile::TempDir, Arc<dyn Disk>) {
    let (outer, inner) = real::make();
    (outer, Arc::new(FaultDisk::new(inner, Faults::new())))
}

mod quiet {
    crate::contract::contract_tests!(crate::fault::make);
}

#[test]
fn writes_and_reads_go_on_after_short_and_interrupted_calls() {
    let (_outer, inner) = real::make();
    let faults = Faults::new();
    let disk: Arc<dyn Disk> = Arc::new(FaultDisk::new(inner, Arc::clone(&faults)));
    for operation in [Operation::WriteAt, Operation::ReadAt] {
        faults.inject(Fault::kind(ErrorKind::Interrupted).on(operation));
        faults.inject(Fault::short().on(operation).for_ever());
    }
    crate::contract::what_was_written_is_read_back_through_every_handle(disk);
    assert!(faults.struck() > 2);
}

#[test]
fn a_link_to_another_kind_of_disk_asks_for_a_copy() {
    let (outer, inner) = real::make();
    let faulty = FaultDisk::new(Arc::clone(&inner), Faults::new());
    let target = faulty.create_directory(&outer.path().join("copy")).unwrap();
    inner.create(Name::Table(1)).unwrap();
    let error = inner.link(Name::Table(1), target.as_ref()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    faulty.link(Name::Table(1), target.as_ref()).unwrap();
    assert_eq!(target.list().unwrap().len(), 1);
}
