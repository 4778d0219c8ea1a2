//! Sessions: the metadata exchange, and when it is due.
//!
//! 1. One exchange goes on at a time; who needs it meanwhile waits for its result.
//! 2. A session is renewed ten seconds before it ends. A fresh one is used for five seconds in any
//!    case: a server whose clock is behind ours would otherwise be asked for a session before every
//!    call.
//! 3. While a session lasts, a failed renewal is no failure of a call.
//! 4. Tokens are in memory only, and marked so that nothing shows them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use icecore_disk::Clock;
use icecore_wire::metadata::{Exchange, Metadata, VERSIONS};
use icecore_wire::moment;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::address::Address;
use crate::connection::Connections;
use crate::error::{Error, ErrorKind};
use crate::post::{Collecting, Post, collect, is_of_type, status_text, text, type_text};
use crate::settings::Settings;

const RENEW_BEFORE: Duration = Duration::from_secs(10);
const USED_FOR: Duration = Duration::from_secs(5);
/// No session is believed for longer: a moment so far away is a mistake.
const LIFETIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Bytes of the metadata: a few short texts and addresses.
const METADATA_BYTES_MAX: usize = 64 << 10;

/// How fresh a read has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// Everything that was committed before the read is seen.
    Strong,
    /// The read may be of an earlier moment.
    Eventual,
}

/// What one exchange has given.
pub(crate) struct Session {
    /// Counts exchanges, so that one that is no good is replaced once.
    pub(crate) number: u64,
    pub(crate) database_id: [u8; 16],
    strong: Address,
    eventual: Option<Address>,
    /// What every request on the data path carries.
    headers: HeaderMap,
    renew_at: Instant,
    ends_at: Instant,
}

impl Session {
    /// The request of a method of the data path.
    pub(crate) fn post(
        &self,
        method: &str,
        consistency: Consistency,
        body: Bytes,
    ) -> Result<Post, Error> {
        let address = match (consistency, &self.eventual) {
            (Consistency::Eventual, Some(eventual)) => eventual,
            _ => &self.strong,
        };
        let (origin, uri) = (address.origin.clone(), address.below(method)?);
        Ok(Post { origin, uri, headers: self.headers.clone(), body })
    }
}

/// Why there is no session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoSession {
    /// It may be there later.
    Later(String),
    /// It is of no use to ask again.
    Never(Error),
}

/// The sessions of a client, one after the other.
pub(crate) struct Sessions {
    address: Address,
    access: HeaderValue,
    insecure_http: bool,
    clock: Arc<dyn Clock>,
    present: Mutex<Option<Arc<Session>>>,
}

impl Sessions {
    pub(crate) fn new(settings: &Settings) -> Result<Sessions, Error> {
        let address = Address::parse(&settings.url, settings.insecure_http)?;
        Ok(Sessions {
            address,
            access: bearer(&settings.access_token)?,
            insecure_http: settings.insecure_http,
            clock: Arc::clone(&settings.clock),
            present: Mutex::default(),
        })
    }

    pub(crate) fn is_secure(&self) -> bool {
        self.address.origin.is_secure
    }

    /// A session, other than the one with the number `refused`.
    pub(crate) async fn get(
        &self,
        connections: &Connections,
        refused: Option<u64>,
        deadline: Instant,
    ) -> Result<Arc<Session>, NoSession> {
        let mut present = self.present.lock().await;
        let usable = present.as_ref().filter(|session| Some(session.number) != refused);
        let now = Instant::now();
        if let Some(session) = usable
            && now < session.renew_at
        {
            return Ok(Arc::clone(session));
        }
        let number = present.as_ref().map_or(0, |session| session.number + 1);
        match self.exchange(connections, number, deadline).await {
            Ok(session) => {
                let session = Arc::new(session);
                *present = Some(Arc::clone(&session));
                Ok(session)
            }
            Err(failed) => match usable {
                Some(session) if now < session.ends_at => Ok(Arc::clone(session)),
                _ => Err(failed),
            },
        }
    }

    async fn exchange(
        &self,
        connections: &Connections,
        number: u64,
        deadline: Instant,
    ) -> Result<Session, NoSession> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, self.access.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let exchange = Exchange { supported_versions: VERSIONS.to_vec() };
        let body = serde_json::to_vec(&exchange).expect("a list of numbers serializes").into();
        let (origin, uri) = (self.address.origin.clone(), self.address.uri.clone());
        let post = Post { origin, uri, headers, body };
        let response = post.send(connections, deadline).await;
        let response = response.map_err(|failure| NoSession::Later(failure.text()))?;
        let never = |kind, text: String| NoSession::Never(Error::new(kind, text));
        let status = response.status();
        if status != StatusCode::OK {
            let text = status_text(status, &text(response, deadline).await);
            let text =
                format!("the metadata endpoint at {} answered with {text}", self.address.uri);
            return Err(match status.as_u16() {
                401 | 403 => never(ErrorKind::Denied, text),
                429 | 500.. => NoSession::Later(text),
                400.. => never(ErrorKind::Refused, text),
                _ => never(ErrorKind::Foreign, text),
            });
        }
        if !is_of_type(&response, &["application/json"]) {
            return Err(never(ErrorKind::Foreign, type_text(&response)));
        }
        let json = collect(response.into_body(), METADATA_BYTES_MAX, deadline).await;
        let json = json.map_err(|failed| match failed {
            Collecting::Ended(text) => NoSession::Later(text),
            Collecting::TooLong(text) => never(ErrorKind::Foreign, text),
        })?;
        self.session(number, &json).map_err(|text| {
            let text = format!("{} is not a valid KV Connect endpoint: {text}", self.address.uri);
            never(ErrorKind::Foreign, text)
        })
    }

    /// The session of these metadata.
    fn session(&self, number: u64, json: &[u8]) -> Result<Session, String> {
        // The text of the error would show a piece of what is a token, perhaps.
        let metadata: Metadata<'_> =
            serde_json::from_slice(json).map_err(|_| "its metadata cannot be read".to_owned())?;
        if !VERSIONS.contains(&metadata.version) {
            return Err(format!("it reported the unknown metadata version {}", metadata.version));
        }
        let endpoint = |consistency: &str| {
            let mut endpoints = metadata.endpoints.iter();
            let found = endpoints.find(|endpoint| endpoint.consistency == consistency)?;
            if found.url.ends_with('/') || found.url.contains(['?', '#']) {
                return Some(Err(format!(
                    "its endpoint {:?} is not the front of others",
                    found.url
                )));
            }
            let resolved = self.address.resolve(&found.url, self.insecure_http);
            Some(resolved.map_err(|error| error.text().to_owned()))
        };
        let strong = endpoint("strong").ok_or("it has no strong endpoint")??;
        let expires_ms = moment::parse(&metadata.expires_at).ok_or("its end is no moment")?;
        let lifetime = Duration::from_millis(expires_ms.saturating_sub(self.clock.wall_ms()));
        let lifetime = lifetime.min(LIFETIME_MAX);
        let now = Instant::now();
        Ok(Session {
            number,
            database_id: uuid(&metadata.database_id).ok_or("its identity is no UUID")?,
            strong,
            eventual: endpoint("eventual").transpose()?,
            headers: data_headers(&metadata)?,
            renew_at: now + lifetime.saturating_sub(RENEW_BEFORE).max(USED_FOR),
            ends_at: now + lifetime.max(USED_FOR),
        })
    }
}

/// What the requests of a session carry.
fn data_headers(metadata: &Metadata<'_>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let token = bearer(&metadata.token).map_err(|_| "its token is none".to_owned())?;
    headers.insert(AUTHORIZATION, token);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
    let id = HeaderValue::from_str(&metadata.database_id).map_err(|_| "its identity is none")?;
    if metadata.version == 1 {
        headers.insert(HeaderName::from_static("x-transaction-domain-id"), id);
    } else {
        headers.insert(HeaderName::from_static("x-denokv-database-id"), id);
        let version = HeaderValue::from(metadata.version);
        headers.insert(HeaderName::from_static("x-denokv-version"), version);
    }
    Ok(headers)
}

fn bearer(token: &str) -> Result<HeaderValue, Error> {
    let invalid = || Error::new(ErrorKind::Invalid, "the access token is none");
    if token.trim().is_empty() {
        return Err(invalid());
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| invalid())?;
    value.set_sensitive(true);
    Ok(value)
}

/// The sixteen bytes of a UUID.
fn uuid(text: &str) -> Option<[u8; 16]> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
    let number = std::str::from_utf8(&digits).ok().filter(|digits| digits.len() == 32)?;
    let is_number = number.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_number.then(|| u128::from_str_radix(number, 16).ok().map(u128::to_be_bytes))?
}

#[cfg(test)]
mod tests;
