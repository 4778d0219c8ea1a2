//! The format in which V8 stores values, in its versions 13 to 16.
//!
//! The format was made by the V8 project (`ValueSerializer`); Deno KV stores its values in it, and
//! so does `v8.serialize` of Node. All multi-byte numbers are little-endian here, as on every
//! machine that Deno and Node run on. A *varint* has seven bits per byte, the lowest first, and the
//! top bit set on every byte but the last.
//!
//! ```text
//! stored    := FF version:varint value
//! value     := padding* ( atom | object ) | padding* buffer view
//! padding   := 00 | '?' count:varint
//!
//! atom      := '_' undefined | '0' null | 'T' true | 'F' false
//!            | 'I' zigzag:varint            an integer of 32 bits
//!            | 'U' varint                   one without a sign
//!            | 'N' f64
//!            | 'Z' bigint
//!            | string
//!            | '^' id:varint                an object that began earlier, in order of beginning
//! bigint    := bits:varint digits           bit 0: negative; the rest: how many bytes of digits
//! string    := '"' bytes:varint latin1
//!            | 'c' bytes:varint utf16       may hold lone surrogates
//!            | 'S' bytes:varint utf8
//!
//! object    := 'D' f64                      Date, milliseconds since 1970
//!            | 'y' | 'x'                    new Boolean(true), new Boolean(false)
//!            | 'n' f64 | 'z' bigint         new Number, Object(bigint)
//!            | 's' string                   new String
//!            | 'R' string flags:varint      RegExp
//!            | 'o' pair* '{' pairs:varint
//!            | 'A' length:varint element*length pair* '$' pairs:varint length:varint
//!            | 'a' length:varint pair* '@' pairs:varint length:varint
//!            | ';' (value value)* ':' values:varint      Map; keys and values are both counted
//!            | ''' value* ',' values:varint              Set
//!            | buffer
//!            | 'r' detail* '.'                           Error
//!            | '\' host
//! element   := value | '-'                  '-' is a hole
//! pair      := key:(string | number) value
//! buffer    := 'B' bytes:varint raw         ArrayBuffer
//!            | '~' bytes:varint max:varint raw           a resizable one
//! view      := 'V' type:u8 offset:varint bytes:varint [flags:varint]
//!              follows its buffer at once, or a '^' that means it; flags from version 14 on
//! host      := number:varint bytes:varint raw          a view or Buffer of Node
//!            | FFFFFFFF:varint value                  what Deno says of an object of its own
//! detail    := 'E' | 'R' | 'F' | 'S' | 'T' | 'U'         EvalError, RangeError, ReferenceError, …
//!            | 'm' string | 's' string | 'c' value       message, stack, cause
//! ```
//!
//! Ids are given to objects, buffers and views, each when its first tag is met: an array is 0 while
//! its first element, if an object, is 1. A view comes after its buffer. A boxed string has the id
//! before anything that it holds.
//!
//! # Objects of the host
//!
//! What follows `\` is the host's affair. `v8.serialize` of Node, and with it Deno KV's client for
//! Node, writes every typed array, `DataView` and `Buffer` so, wherever it stands: the number of
//! its class, the count of its bytes, and the bytes that it shows, without the rest of its buffer.
//! Each has one id. The numbers are 0 `Int8Array`, 1 `Uint8Array`, 2 `Uint8ClampedArray`,
//! 3 `Int16Array`, 4 `Uint16Array`, 5 `Int32Array`, 6 `Uint32Array`, 7 `Float32Array`,
//! 8 `Float64Array`, 9 `DataView`, 10 `Buffer`, 11 `BigInt64Array`, 12 `BigUint64Array`,
//! 13 `Float16Array`; so `5c 01 03 01 02 03` is `new Uint8Array([1, 2, 3])`. Deno cannot read them:
//! see [`for_deno`](crate::for_deno).
//!
//! # Versions
//!
//! Version 14 added the flags of views, 15 shared objects (never stored), 16 buffers of 4 GiB and
//! more. The lengths of buffers are therefore read with 64 bits in all versions. What is written
//! here has version 15, which Deno and every Node since 20 read.

use crate::value::{ErrorClass, ViewKind};

/// The first byte of every stored value, before its version.
pub const VERSION: u8 = 0xff;

/// The oldest version that is read: the first with an explicit tag for host objects.
pub const VERSION_MIN: u32 = 13;

/// The newest version that is read.
pub const VERSION_MAX: u32 = 16;

/// The version that is written.
pub const VERSION_WRITTEN: u8 = 15;

/// The first version in which views have flags.
pub const VERSION_VIEW_FLAGS: u32 = 14;

/// A byte without meaning, which aligns what follows.
pub const PADDING: u8 = 0x00;

/// A count of objects, without meaning.
pub const OBJECT_COUNT: u8 = b'?';

/// `undefined`.
pub const UNDEFINED: u8 = b'_';
/// `null`.
pub const NULL: u8 = b'0';
/// `true`.
pub const TRUE: u8 = b'T';
/// `false`.
pub const FALSE: u8 = b'F';
/// A number of 32 bits with a sign, as a zigzag varint.
pub const INT32: u8 = b'I';
/// A number of 32 bits without a sign, as a varint.
pub const UINT32: u8 = b'U';
/// A number, as eight bytes.
pub const DOUBLE: u8 = b'N';
/// A bigint.
pub const BIGINT: u8 = b'Z';
/// A string of Latin-1.
pub const ONE_BYTE_STRING: u8 = b'"';
/// A string of UTF-16.
pub const TWO_BYTE_STRING: u8 = b'c';
/// A string of UTF-8.
pub const UTF8_STRING: u8 = b'S';
/// An object that was met before.
pub const REFERENCE: u8 = b'^';
/// An element of an array that is not there.
pub const HOLE: u8 = b'-';

/// A `Date`.
pub const DATE: u8 = b'D';
/// `new Boolean(true)`.
pub const TRUE_OBJECT: u8 = b'y';
/// `new Boolean(false)`.
pub const FALSE_OBJECT: u8 = b'x';
/// `new Number(…)`.
pub const NUMBER_OBJECT: u8 = b'n';
/// `Object(…n)`.
pub const BIGINT_OBJECT: u8 = b'z';
/// `new String(…)`.
pub const STRING_OBJECT: u8 = b's';
/// A regular expression.
pub const REGEXP: u8 = b'R';
/// The beginning of a plain object.
pub const OBJECT: u8 = b'o';
/// The end of a plain object.
pub const OBJECT_END: u8 = b'{';
/// The beginning of an array of which most elements are there.
pub const DENSE_ARRAY: u8 = b'A';
/// The end of such an array.
pub const DENSE_ARRAY_END: u8 = b'$';
/// The beginning of an array that lists its elements with their indices.
pub const SPARSE_ARRAY: u8 = b'a';
/// The end of such an array.
pub const SPARSE_ARRAY_END: u8 = b'@';
/// The beginning of a `Map`.
pub const MAP: u8 = b';';
/// The end of a `Map`.
pub const MAP_END: u8 = b':';
/// The beginning of a `Set`.
pub const SET: u8 = b'\'';
/// The end of a `Set`.
pub const SET_END: u8 = b',';
/// An `ArrayBuffer`.
pub const BUFFER: u8 = b'B';
/// An `ArrayBuffer` that can be resized.
pub const RESIZABLE_BUFFER: u8 = b'~';
/// A view of the buffer just before.
pub const VIEW: u8 = b'V';
/// An error.
pub const ERROR: u8 = b'r';
/// An object in a form that the host chose, which is Node here.
pub const HOST: u8 = b'\\';

/// The bit in a view's flags that says that it follows the length of its buffer.
pub const VIEW_TRACKS_LENGTH: u32 = 1;
/// The bit in a view's flags that says that its buffer can be resized.
pub const VIEW_IS_RESIZABLE: u32 = 2;

/// The end of an error.
pub const ERROR_END: u8 = b'.';
/// An error's message.
pub const ERROR_MESSAGE: u8 = b'm';
/// An error's stack.
pub const ERROR_STACK: u8 = b's';
/// An error's cause.
pub const ERROR_CAUSE: u8 = b'c';

/// The number of a host object that Deno describes by a value.
pub const HOST_DENO: u32 = u32::MAX;
/// The number of a `Buffer` among Node's host objects.
pub const HOST_BUFFER: u32 = 10;

/// The letters of a regular expression's flags, the lowest bit first.
pub const REGEXP_FLAGS: [char; 9] = ['g', 'i', 'm', 'y', 'u', 's', 'l', 'd', 'v'];

/// Every kind of view, its tag among V8's views and its number among Node's host objects.
const VIEWS: [(ViewKind, u8, u32); 13] = [
    (ViewKind::Int8Array, b'b', 0),
    (ViewKind::Uint8Array, b'B', 1),
    (ViewKind::Uint8ClampedArray, b'C', 2),
    (ViewKind::Int16Array, b'w', 3),
    (ViewKind::Uint16Array, b'W', 4),
    (ViewKind::Int32Array, b'd', 5),
    (ViewKind::Uint32Array, b'D', 6),
    (ViewKind::Float32Array, b'f', 7),
    (ViewKind::Float64Array, b'F', 8),
    (ViewKind::DataView, b'?', 9),
    (ViewKind::BigInt64Array, b'q', 11),
    (ViewKind::BigUint64Array, b'Q', 12),
    (ViewKind::Float16Array, b'h', 13),
];

/// Every class of errors that has a tag.
const ERRORS: [(ErrorClass, u8); 6] = [
    (ErrorClass::EvalError, b'E'),
    (ErrorClass::RangeError, b'R'),
    (ErrorClass::ReferenceError, b'F'),
    (ErrorClass::SyntaxError, b'S'),
    (ErrorClass::TypeError, b'T'),
    (ErrorClass::UriError, b'U'),
];

/// The kind of view that has this tag.
pub(crate) fn view_kind(tag: u8) -> Option<ViewKind> {
    VIEWS.iter().find(|view| view.1 == tag).map(|view| view.0)
}

/// The tag and the number of a kind of view.
pub(crate) fn view_tag(kind: ViewKind) -> (u8, u32) {
    let view = VIEWS.iter().find(|view| view.0 == kind).expect("the table has every kind");
    (view.1, view.2)
}

/// The kind that has this number among Node's host objects, and whether it is a `Buffer`.
pub(crate) fn node_kind(number: u32) -> Option<(ViewKind, bool)> {
    if number == HOST_BUFFER {
        return Some((ViewKind::Uint8Array, true));
    }
    VIEWS.iter().find(|view| view.2 == number).map(|view| (view.0, false))
}

/// The class of errors that has this tag.
pub(crate) fn error_class(tag: u8) -> Option<ErrorClass> {
    ERRORS.iter().find(|error| error.1 == tag).map(|error| error.0)
}

/// The tag of a class of errors. `Error` has none.
pub(crate) fn error_tag(class: ErrorClass) -> Option<u8> {
    ERRORS.iter().find(|error| error.0 == class).map(|error| error.1)
}

/// Whether a value of these versions may begin with `tag` and yet be no number.
pub(crate) fn begins_other(tag: u8) -> bool {
    matches!(
        tag,
        UNDEFINED
            | NULL
            | TRUE
            | FALSE
            | ONE_BYTE_STRING
            | TWO_BYTE_STRING
            | UTF8_STRING
            | DATE
            | TRUE_OBJECT
            | FALSE_OBJECT
            | NUMBER_OBJECT
            | BIGINT_OBJECT
            | STRING_OBJECT
            | REGEXP
            | OBJECT
            | DENSE_ARRAY
            | SPARSE_ARRAY
            | MAP
            | SET
            | BUFFER
            | RESIZABLE_BUFFER
            | ERROR
            | HOST
    )
}

/// Appends a varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Appends the header.
pub(crate) fn put_header(out: &mut Vec<u8>) {
    out.extend([VERSION, VERSION_WRITTEN]);
}
