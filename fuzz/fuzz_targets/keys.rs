//! Any bytes decode to key parts that encode to the same bytes, or to an error.
#![no_main]

use icecore_model::key;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(parts) = key::decode(bytes) {
        assert_eq!(key::encode(&parts), bytes);
    }
});
