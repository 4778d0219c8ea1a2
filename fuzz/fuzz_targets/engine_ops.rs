#![no_main]

use icecore_fuzz::{LONG_HISTORIES, settle};
use icecore_fuzz_stores::engine_ops::run;
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: settle(LONG_HISTORIES), |bytes: &[u8]| run(bytes));
