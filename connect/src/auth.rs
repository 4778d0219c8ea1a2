//! Who may use a database: access tokens, and the session tokens that they are exchanged for.
//!
//! ```text
//! session := expiry nonce mac                      in hexadecimal
//! expiry  := 8 bytes, big-endian                   milliseconds since 1970
//! nonce   := 16 random bytes
//! mac     := HMAC-SHA-256(key, database expiry nonce)
//! key     := HMAC-SHA-256(access token, "icecore session")
//! ```
//!
//! 1. *No token is compared byte by byte until one differs.* Digests are compared, in constant time,
//!    and with those of all tokens, on every path.
//! 2. *A session token is random, expires, and is good for one database.* It is not kept: the server
//!    knows its own by the code. So it survives a restart, after which a Node program, which never
//!    asks for another one because of a refusal, goes on; and an access token that is taken away
//!    takes its sessions with it.
//! 3. *A token that is taken away while the server runs* takes its sessions with it as well, and the
//!    watches that were opened with them.
//! 4. *No token is kept as it is written*, and none is shown.

use std::fmt;
use std::io;

use hmac::{Hmac, KeyInit, Mac};
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use icecore_disk::Random;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::error::Refusal;

/// The shortest access token; 32 characters are recommended.
pub const ACCESS_TOKEN_CHARS_MIN: usize = 12;

/// How long a session lasts. Node programs ask for the next one five minutes before its end, Deno
/// programs once a minute.
const SESSION_MS: u64 = 24 * 60 * 60 * 1_000;

const EXPIRY_BYTES: usize = size_of::<u64>();
const NONCE_BYTES: usize = 16;
const DIGEST_BYTES: usize = 32;
const SESSION_BYTES: usize = EXPIRY_BYTES + NONCE_BYTES + DIGEST_BYTES;

type Code = [u8; DIGEST_BYTES];

/// The access tokens of one database.
///
/// ```
/// use icecore_connect::AccessTokens;
///
/// let tokens = AccessTokens::parse("# for the shop\nb5c8f1f0a96a4d0e\n").unwrap();
/// assert!(!format!("{tokens:?}").contains("b5c8"));
/// assert!(AccessTokens::parse("short\n").is_err());
/// ```
#[derive(Clone)]
pub struct AccessTokens {
    secrets: Vec<Secret>,
}

#[derive(Clone)]
struct Secret {
    digest: Code,
    session_key: Code,
}

impl fmt::Debug for AccessTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccessTokens({})", self.secrets.len())
    }
}

/// Which access token somebody has shown, or has exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holder(pub(crate) usize);

/// A session token that was given out.
pub(crate) struct Session {
    pub(crate) token: String,
    pub(crate) expires_ms: u64,
}

impl AccessTokens {
    /// Reads tokens, one on each line; empty lines and those that begin with `#` are left out.
    /// With several, programs can be moved from one to the next.
    ///
    /// # Errors
    /// A text that says what is wrong, without the token: there is none, or one is too short or
    /// has characters that no header can have.
    pub fn parse(text: &str) -> Result<AccessTokens, String> {
        let lines = text.lines().map(str::trim);
        let tokens = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let secrets: Vec<Secret> = tokens.map(Secret::of).collect::<Result<_, String>>()?;
        if secrets.is_empty() {
            return Err("there is no access token".to_owned());
        }
        Ok(AccessTokens { secrets })
    }

    /// How many they are.
    pub(crate) fn len(&self) -> usize {
        self.secrets.len()
    }

    /// Where each of these is among `others`, if it is.
    pub(crate) fn places_in(&self, others: &AccessTokens) -> Vec<Option<usize>> {
        let place = |secret: &Secret| {
            others.secrets.iter().position(|other| secret.digest.ct_eq(&other.digest).into())
        };
        self.secrets.iter().map(place).collect()
    }

    /// Whose access token the headers show.
    pub(crate) fn authenticate(&self, headers: &HeaderMap) -> Result<Holder, Refusal> {
        let digest = digest(bearer(headers)?);
        self.find(|secret| secret.digest.ct_eq(&digest).into())
    }

    /// Whose session token for this database the headers show.
    pub(crate) fn authenticate_session(
        &self,
        headers: &HeaderMap,
        database: &[u8; 16],
        now_ms: u64,
    ) -> Result<Holder, Refusal> {
        let session = from_hex(bearer(headers)?).ok_or_else(invalid)?;
        let (body, mac) = session.split_at(EXPIRY_BYTES + NONCE_BYTES);
        let holder = self.find(|secret| secret.mac(database, body).ct_eq(mac).into())?;
        let expiry = body.first_chunk().copied().expect("it begins with the expiry");
        if u64::from_be_bytes(expiry) <= now_ms { Err(invalid()) } else { Ok(holder) }
    }

    fn find(&self, is: impl Fn(&Secret) -> bool) -> Result<Holder, Refusal> {
        let mut found = Err(invalid());
        for (index, secret) in self.secrets.iter().enumerate() {
            if is(secret) {
                found = Ok(Holder(index));
            }
        }
        found
    }

    /// A session token for this database.
    pub(crate) fn session(
        &self,
        holder: Holder,
        database: &[u8; 16],
        now_ms: u64,
        random: &dyn Random,
    ) -> io::Result<Session> {
        let expires_ms = now_ms.saturating_add(SESSION_MS);
        let mut session = Vec::with_capacity(SESSION_BYTES);
        session.extend_from_slice(&expires_ms.to_be_bytes());
        session.extend_from_slice(&random.next_u64()?.to_be_bytes());
        session.extend_from_slice(&random.next_u64()?.to_be_bytes());
        let mac = self.secrets[holder.0].mac(database, &session);
        session.extend_from_slice(&mac);
        let token = session.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Session { token, expires_ms })
    }
}

impl Secret {
    fn of(token: &str) -> Result<Secret, String> {
        if token.chars().count() < ACCESS_TOKEN_CHARS_MIN {
            let min = ACCESS_TOKEN_CHARS_MIN;
            return Err(format!("Access token must be at minimum {min} chars long."));
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("an access token has only visible ASCII characters".to_owned());
        }
        let session_key = code(token.as_bytes(), &[b"icecore session"]);
        Ok(Secret { digest: digest(token), session_key })
    }

    fn mac(&self, database: &[u8; 16], body: &[u8]) -> Code {
        code(&self.session_key, &[database, body])
    }
}

/// The token of a header `Authorization: Bearer …`.
fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let malformed = || Refusal::unauthorized("Malformed authorization header.");
    let (scheme, token) = header.and_then(|h| h.split_once(' ')).ok_or_else(malformed)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token) } else { Err(invalid()) }
}

fn invalid() -> Refusal {
    Refusal::unauthorized("Invalid access token.")
}

fn digest(token: &str) -> Code {
    Sha256::digest(token.as_bytes()).into()
}

fn code(key: &[u8], parts: &[&[u8]]) -> Code {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key may have any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

fn from_hex(text: &str) -> Option<[u8; SESSION_BYTES]> {
    if text.len() != 2 * SESSION_BYTES {
        return None;
    }
    let mut bytes = [0; SESSION_BYTES];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
