//! Any bytes as the messages of KV Connect: decoded, and sent to a server as the body of a request.
//!
//! 1. Bytes are a message or refused, in memory that follows their length; a message is written and
//!    read again as the same.
//! 2. Frames of a watch come out the same however their bytes are cut, and none is longer than was
//!    allowed.
//! 3. Each request is answered, and never with a failure of the server; other clients are served.

use std::fmt;

use icecore_wire::frame::{Decoder, Frame, TooLong};
use icecore_wire::message::{
    AtomicWrite, AtomicWriteOutput, SnapshotRead, SnapshotReadOutput, Watch, WatchOutput,
};
use prost::Message;

use crate::allocation::{MARGIN_BYTES, bounded_by};
use crate::choices::Choices;
use crate::served::{Until, status, with_site};

/// An empty message in a list takes two bytes, and a structure with several lists in memory; a list
/// is twice as long as needed, and there are two of them while it grows.
const MESSAGE_TIMES: usize = 512;
const FRAME_BYTES_MAX: usize = 256;

/// # Panics
/// When a property does not hold.
pub fn run(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    match choices.byte() % 5 {
        0 => frames(&mut choices),
        1 => ask("snapshot_read", choices.rest(), Until::End),
        2 => ask("atomic_write", choices.rest(), Until::End),
        3 => ask("watch", choices.rest(), Until::Headers),
        _ => {
            let bytes = choices.rest();
            decode::<SnapshotRead>(bytes);
            decode::<SnapshotReadOutput>(bytes);
            decode::<AtomicWrite>(bytes);
            decode::<AtomicWriteOutput>(bytes);
            decode::<Watch>(bytes);
            decode::<WatchOutput>(bytes);
        }
    }
}

fn decode<M: fmt::Debug + Message + Default + PartialEq>(bytes: &[u8]) {
    let max = MESSAGE_TIMES * bytes.len() + MARGIN_BYTES;
    if let Ok(message) = bounded_by(max, || M::decode(bytes)) {
        assert_eq!(M::decode(&message.encode_to_vec()[..]), Ok(message));
    }
}

fn frames(choices: &mut Choices<'_>) {
    let step = 1 + choices.below(16);
    let bytes = choices.take(usize::MAX);
    let max = 8 * bytes.len() + FRAME_BYTES_MAX + MARGIN_BYTES;
    let whole = bounded_by(max, || all_frames(bytes.chunks(bytes.len().max(1))));
    assert_eq!(all_frames(bytes.chunks(step)), whole);
}

/// All frames up to the end, or up to one that is too long.
fn all_frames<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Frame>, bool) {
    let (mut decoder, mut frames) = (Decoder::new(FRAME_BYTES_MAX), Vec::new());
    for piece in pieces {
        decoder.put(piece);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(TooLong { .. }) => return (frames, true),
            }
        }
    }
    (frames, false)
}

fn ask(method: &str, body: &[u8], until: Until) {
    with_site(|site| {
        let (session, database, length) = (&site.session, &site.database, body.len());
        let head = format!(
            "POST /v2/{method} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {session}\r\n\
             x-denokv-version: 3\r\nx-denokv-database-id: {database}\r\nconnection: close\r\n\
             content-length: {length}\r\n\r\n"
        );
        let answer = site.ask(&[head.as_bytes(), body].concat(), until);
        let status = status(&answer).expect("a request is answered");
        assert!(status < 500, "{}", answer.escape_ascii());
        // Only the body can be wrong: the door was open.
        assert!(![401, 404, 405].contains(&status), "{}", answer.escape_ascii());
        site.serves_others();
    });
}
