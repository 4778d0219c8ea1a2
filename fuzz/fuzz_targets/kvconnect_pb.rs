#![no_main]

use icecore_fuzz::{BYTES, settle};
use icecore_fuzz_targets::kvconnect_pb::run;
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: settle(BYTES), |bytes: &[u8]| run(bytes));
