#![no_main]

use icecore_fuzz::{HISTORIES, settle};
use icecore_fuzz_stores::engine_crash::run;
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: settle(HISTORIES), |bytes: &[u8]| run(bytes));
