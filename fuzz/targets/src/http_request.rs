//! Any bytes on a connection of the server.
//!
//! `$S` stands for the session token and `$D` for the identity of the database, so that requests
//! get beyond the door.
//!
//! 1. The connection ends when the client has said that nothing follows; one that watches, when it
//!    has gone.
//! 2. The first answer over HTTP/1.1, if there is one, is no failure of the server.
//! 3. Another client is served afterwards.

use crate::served::{Until, status, with_site};

/// # Panics
/// When a property does not hold.
pub fn run(bytes: &[u8]) {
    with_site(|site| {
        let said = replaced(&replaced(bytes, b"$S", &site.session), b"$D", &site.database);
        let answer = site.ask(&said, Until::Closed);
        if let Some(status) = status(&answer) {
            // 505 is for another version of HTTP, which is the client's doing.
            assert!(status < 500 || status == 505, "{}", answer.escape_ascii());
        }
        site.serves_others();
    });
}

fn replaced(bytes: &[u8], place: &[u8; 2], text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, after)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(place) {
            out.extend_from_slice(text.as_bytes());
            rest = after;
        } else {
            out.push(first);
            rest = after;
        }
    }
    out
}
