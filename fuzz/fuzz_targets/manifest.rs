#![no_main]

use icecore_fuzz::settle;
use icecore_fuzz_targets::manifest::run;
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: settle(), |bytes: &[u8]| run(bytes));
