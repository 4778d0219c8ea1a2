//! What a client has to know before it calls anybody.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use icecore_disk::clock::SystemClock;
use icecore_disk::random::SystemRandom;
use icecore_disk::{Clock, Random};

/// How long a call may take, unless it is said otherwise.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Where the store is, and how it is called.
///
/// ```
/// let settings = icecore_remote::Settings::new("http://localhost:4512", "secret");
/// assert!(!format!("{settings:?}").contains("secret"));
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Settings {
    /// The address of the metadata exchange, with `http` or `https`.
    pub url: String,
    /// The access token. It is shown to this address only.
    pub access_token: String,
    /// Whether tokens may go over plain HTTP to other machines than this one.
    pub insecure_http: bool,
    /// How long a call may take, with all its repetitions.
    pub call_timeout: Duration,
    /// Certificates in PEM that are trusted besides those of the machine.
    pub trusted: Vec<u8>,
    /// By which sessions end.
    pub clock: Arc<dyn Clock>,
    /// By which repetitions are scattered.
    pub random: Arc<dyn Random>,
}

impl Settings {
    /// The usual ones for the store at `url`.
    pub fn new(url: impl Into<String>, access_token: impl Into<String>) -> Settings {
        Settings {
            url: url.into(),
            access_token: access_token.into(),
            insecure_http: false,
            call_timeout: CALL_TIMEOUT,
            trusted: Vec::new(),
            clock: Arc::new(SystemClock::new()),
            random: Arc::new(SystemRandom),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { url, insecure_http, call_timeout, .. } = self;
        let mut shown = f.debug_struct("Settings");
        shown.field("url", url).field("insecure_http", insecure_http);
        shown.field("call_timeout", call_timeout).finish_non_exhaustive()
    }
}
