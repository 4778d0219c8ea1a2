//! The metadata exchange: a client shows its access token, and learns which version of the protocol
//! is spoken, where, and with which session token.
//!
//! The client of the npm package is strict: it takes no property that it does not know, and only
//! this form of the identity and of the moment.

use bytes::Bytes;
use icecore_disk::Random;
use icecore_wire::metadata::{Endpoint, Exchange, Metadata};
use icecore_wire::moment::rfc3339;

use crate::auth::{AccessTokens, Holder};
use crate::database::Database;
use crate::error::Refusal;

/// Answers an exchange of the holder of one of these tokens.
pub(crate) fn exchange(
    database: &Database,
    tokens: &AccessTokens,
    holder: Holder,
    body: &Bytes,
    now_ms: u64,
    random: &dyn Random,
) -> Result<Bytes, Refusal> {
    let version = version(body)?;
    let session = tokens.session(holder, &database.id, now_ms, random);
    let session = session.map_err(|error| {
        tracing::error!(%error, "there is no random number for a session");
        Refusal::internal()
    })?;
    let metadata = Metadata {
        version,
        database_id: database.uuid.as_str().into(),
        endpoints: vec![Endpoint { url: database.endpoint().into(), consistency: "strong".into() }],
        token: session.token.into(),
        expires_at: rfc3339(session.expires_ms).into(),
    };
    let json = serde_json::to_vec(&metadata).expect("plain structs of texts serialize");
    Ok(json.into())
}

/// The highest version that both sides know.
fn version(body: &[u8]) -> Result<u64, Refusal> {
    // A client of version 1 sends no body.
    let exchange: Exchange = serde_json::from_slice(body).map_err(|_| {
        let text = "The server requires at least protocol version 2. Use Deno 1.38.0 or newer.";
        Refusal::bad(text)
    })?;
    let known = [3, 2].into_iter().find(|known| exchange.supported_versions.contains(known));
    known.ok_or_else(|| {
        let text = "The server could not negotiate a protocol version. The server requires \
                    protocol version 2 or 3.";
        Refusal::bad(text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_version_that_both_know_is_chosen() {
        let version = |body: &str| version(body.as_bytes()).map_err(|refusal| refusal.text);
        assert_eq!(version(r#"{"supportedVersions":[1,2,3]}"#), Ok(3));
        assert_eq!(version(r#"{"supportedVersions":[2],"more":0}"#), Ok(2));
        assert_eq!(version(r#"{"supportedVersions":[4,3]}"#), Ok(3));
        for none in [r#"{"supportedVersions":[1]}"#, r#"{"supportedVersions":[]}"#] {
            assert!(version(none).unwrap_err().starts_with("The server could not negotiate"));
        }
        for old in ["", "{}", "null", "[1]", r#"{"supportedVersions":[-1]}"#, "\u{0}"] {
            assert!(version(old).unwrap_err().starts_with("The server requires at least"), "{old}");
        }
    }
}
