//! The disk in memory keeps the contract.

use std::sync::Arc;

use icecore_disk::{Disk, MemoryDisk};

fn make() -> ((), Arc<dyn Disk>) {
    ((), Arc::new(MemoryDisk::new()))
}

crate::contract::contract_tests!(make);
