//! Any bytes read as effects end in an error or encode to the same bytes, and never read as a
//! frame under a salt that they do not know.
#![no_main]

use icecore_model::frame::{Frame, Salt};
use icecore_model::{Effects, Malformed};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut again = Vec::new();
    let read: Result<(), Malformed> =
        Effects::new(bytes).try_for_each(|effect| effect.map(|effect| effect.encode(&mut again)));
    if read.is_ok() {
        assert_eq!(again, bytes);
    }
    if let Ok(frame) = Frame::decode(bytes, 0, Salt(0x1234_5678_9abc_def0)) {
        assert_eq!(frame.header.encode(frame.payload, Salt(0x1234_5678_9abc_def0)), bytes[..40]);
    }
});
