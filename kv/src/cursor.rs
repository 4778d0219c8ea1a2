//! Cursors: where a list stopped, as a text that another list goes on from.
//!
//! A cursor is Deno's, byte for byte: the encoding of the last key without what all keys of the
//! selector [have in common](Bounds::common), in base64 for URLs, with padding. The key
//! `["a", "b"]` below the prefix `["a"]` is `AmIA`. The empty text is no cursor.
//!
//! 1. A cursor names a key, not a place in a file: it holds for as long as the store does, in any
//!    process, and also after the key is gone.
//! 2. Going on forwards starts at `key‖00`, which is the next possible key; going on backwards
//!    ends before `key`. So nothing comes twice, and nothing is left out.
//! 3. The empty text is never given while something may be left. The first key of a range may be
//!    all that its bounds have in common, as `["a"]` in `["a"]..["a", 9]`; Deno gives the empty
//!    text there, and begins again. Here this key has the cursor of a zero byte, which no other key
//!    of the range has: where a key ends, no part begins with zero. That the range begins with what
//!    is in common tells such a cursor from that of a key that goes on with a zero byte.
//! 4. A cursor of one selector does not lead outside of another: where start and end were named,
//!    it must lie within them, what all keys have in common comes from the selector, and what is
//!    left is never more than the selector.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;

use crate::error::Error;
use crate::selector::Bounds;

/// The tail of the key that is all that the keys of its selector have in common.
const COMMON_ALONE: [u8; 1] = [0];

/// The cursor behind the key with these stored bytes, which lies within `bounds`.
pub(crate) fn cursor(bounds: &Bounds, stored: &[u8]) -> String {
    match &stored[bounds.common..] {
        [] => URL_SAFE.encode(COMMON_ALONE),
        tail => URL_SAFE.encode(tail),
    }
}

/// What is left of `bounds` behind `cursor`, for a list that goes on forwards or is `reversed`.
pub(crate) fn behind(bounds: &Bounds, cursor: &str, reversed: bool) -> Result<Bounds, Error> {
    let mut rest = bounds.clone();
    if cursor.is_empty() {
        return Ok(rest);
    }
    let tail = URL_SAFE
        .decode(cursor)
        .map_err(|error| Error::invalid("invalid cursor", format!("{cursor:?}: {error}")))?;
    let begins_with_common = bounds.start.len() == bounds.common;
    let tail = if begins_with_common && tail == COMMON_ALONE { &[][..] } else { &tail };
    let mut key = [&bounds.start[..bounds.common], tail].concat();
    let is_outside = if reversed {
        rest.end = bounds.end.clone().min(key.clone());
        bounds.has_end && key > bounds.end
    } else {
        key.push(0);
        rest.start.clone_from(&key);
        bounds.has_start && key < bounds.start
    };
    if is_outside {
        return Err(Error::invalid("cursor out of bounds", format!("{cursor:?}")));
    }
    Ok(rest)
}

#[cfg(test)]
mod tests;
