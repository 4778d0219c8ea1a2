//! The simulated disk keeps the contract, on a good day and on an impatient one.

use std::sync::Arc;

use icecore_disk::Disk;
use icecore_disk::sim::{Rules, SimDisk};

use crate::contract::contract_tests;

fn store() -> ((), Arc<dyn Disk>) {
    ((), SimDisk::new(1, Rules::power_cut()))
}

contract_tests!(store);
