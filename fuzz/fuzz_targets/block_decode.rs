#![no_main]

use icecore_fuzz::{BYTES, settle};
use icecore_fuzz_targets::block_decode::run;
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: settle(BYTES), |bytes: &[u8]| run(bytes));
