//! The real disk keeps the contract.

use std::sync::Arc;

use icecore_disk::{Disk, RealDisk};

pub(crate) fn make() -> (tempfile::TempDir, Arc<dyn Disk>) {
    let outer = tempfile::tempdir().unwrap();
    let disk = RealDisk::create(outer.path().join("store")).unwrap();
    (outer, Arc::new(disk))
}

crate::contract::contract_tests!(crate::real::make);
