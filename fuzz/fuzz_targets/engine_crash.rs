#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| icecore_fuzz_stores::engine_crash::run(bytes));
