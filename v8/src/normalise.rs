//! Stored bytes for another reader.
//!
//! Deno and Node write one format, but neither reads all that the other writes. Deno writes
//! version 16, which differs from 15 for buffers of 4 GiB and more alone and which Node refuses.
//! Node writes typed arrays and `Buffer`s as objects of its own, which Deno refuses. Both can be
//! undone without loss, but for the class of a `Buffer`, which becomes a `Uint8Array`.

use std::borrow::Cow;

use crate::format;
use crate::read::read;
use crate::value::{JsObject, JsValue, ObjectId};
use crate::write::write;

/// The same value for a reader that knows no version after 15, such as Node 20's.
///
/// The bytes stay as they are if they have another version.
///
/// ```
/// let stored = icecore_v8::for_node(b"\xff\x10I\x0a");
/// assert_eq!(*stored, *b"\xff\x0fI\x0a");
/// ```
pub fn for_node(bytes: &[u8]) -> Cow<'_, [u8]> {
    const NEWEST: [u8; 2] = [format::VERSION, 16];
    if !bytes.starts_with(&NEWEST) || u32::try_from(bytes.len()).is_err() {
        return Cow::Borrowed(bytes);
    }
    let mut bytes = bytes.to_vec();
    bytes[1] = format::VERSION_WRITTEN;
    Cow::Owned(bytes)
}

/// The same value for a reader that does not know Node's typed arrays, such as Deno.
///
/// Each becomes an `ArrayBuffer` and a view of it, wherever it stands, and a `Buffer` becomes a
/// `Uint8Array`. The bytes stay as they are if there is none, or if they cannot be read.
///
/// ```
/// let stored = icecore_v8::for_deno(b"\xff\x0f\\\x01\x02ab");
/// assert_eq!(*stored, *b"\xff\x0fB\x02abVB\0\x02\0");
/// ```
pub fn for_deno(bytes: &[u8]) -> Cow<'_, [u8]> {
    if !bytes.contains(&format::HOST) {
        return Cow::Borrowed(bytes);
    }
    match read(bytes) {
        Ok(value) if value.objects().iter().any(is_of_node) => {
            Cow::Owned(write(&without_node(value)))
        }
        _ => Cow::Borrowed(bytes),
    }
}

fn is_of_node(object: &JsObject) -> bool {
    matches!(object, JsObject::NodeView { .. })
}

/// Puts the buffers of Node's views behind all objects, so that no place changes.
fn without_node(value: JsValue) -> JsValue {
    let (mut objects, root) = value.into_parts();
    for index in 0..objects.len() {
        let buffer = ObjectId(objects.len());
        if let JsObject::NodeView { kind, bytes, .. } = &mut objects[index] {
            let (kind, all) = (*kind, std::mem::take(bytes));
            let (offset, bytes) = (0, all.len());
            objects[index] = JsObject::View { kind, buffer, offset, bytes, tracks_length: false };
            objects.push(JsObject::ArrayBuffer { bytes: all, bytes_max: None });
        }
    }
    JsValue::of_checked(objects, root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{Item, JsError};

    #[test]
    fn what_has_no_need_is_not_copied() {
        for bytes in [&b"\xff\x0fI\x0a"[..], b"\xff\x0f\"\x01\\", b"", b"\xff", b"\xff\x0f\\"] {
            assert!(matches!(for_node(bytes), Cow::Borrowed(_)), "{bytes:?}");
            assert!(matches!(for_deno(bytes), Cow::Borrowed(_)), "{bytes:?}");
        }
    }

    #[test]
    fn references_still_mean_the_same_object_when_buffers_come_between() {
        // [view, view, {}, the same {}, view]
        let stored = b"\xff\x0fA\x05\\\x01\x01\x07^\x01o{\0^\x02^\x01$\0\x05";
        let expected = b"\xff\x0fA\x05B\x01\x07VB\0\x01\0^\x02o{\0^\x03^\x02$\0\x05";
        assert_eq!(*for_deno(stored), *expected);
    }

    #[test]
    fn a_buffer_becomes_an_array_of_bytes() {
        let stored = for_deno(b"\xff\x0f\\\x0a\x01a");
        let value = read(&stored).expect("well-formed");
        assert_eq!(value.to_string(), "Uint8Array(1) [ 97 ]");
    }

    #[test]
    fn what_cannot_be_read_stays() {
        let stored = b"\xff\x0fA\x02\\\x01\x01\x07\\\x63\x00$\0\x02";
        assert_eq!(*for_deno(stored), *stored);
    }

    #[test]
    fn objects_within_an_error_and_a_deno_object_are_found() {
        let cause = JsObject::NodeView {
            kind: crate::ViewKind::Int8Array,
            is_buffer: false,
            bytes: vec![1],
        };
        let error = JsError {
            class: crate::ErrorClass::Error,
            message: None,
            stack: None,
            cause: Some(Item::Object(ObjectId(2))),
        };
        let host = JsObject::DenoHost(Item::Object(ObjectId(1)));
        let objects = vec![host, JsObject::Error(Box::new(error)), cause];
        let value = JsValue::new(objects, Item::Object(ObjectId(0))).expect("whole");
        let stored = write(&value);
        assert!(!for_deno(&stored).windows(3).any(|bytes| bytes == b"\\\x00\x01"));
    }
}
