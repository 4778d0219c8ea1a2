//! Values of JavaScript: any bytes are read or refused, and what is read can be written and shown.

#![no_main]

use icecore_v8::{Number, for_deno, for_node, read, write};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let rewritten = for_deno(bytes);
    drop(for_node(bytes));
    if let Ok(Some(number)) = Number::read(bytes) {
        assert!(matches!(Number::read(&number.write()), Ok(Some(_))));
    }
    if let Ok(value) = read(bytes) {
        drop(value.to_string());
        // Bytes, because NaN is not equal to itself.
        let written = write(&value);
        assert_eq!(read(&written).map(|again| write(&again)), Ok(written));
        assert!(read(&rewritten).is_ok(), "what was rewritten is a value");
    }
});
