//! How a server is set up.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use icecore_disk::clock::SystemClock;
use icecore_disk::random::SystemRandom;
use icecore_disk::{Clock, Random};

use crate::tls::Identity;

/// The port of KV Connect.
pub const PORT: u16 = 4512;

/// How a server is set up. The default serves this machine alone.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens; by default on `127.0.0.1:4512`. Port 0 is any that is free.
    pub address: SocketAddr,
    /// With which certificate it speaks TLS, if it does.
    pub identity: Option<Identity>,
    /// Whether it may listen without TLS where other machines can hear it.
    pub insecure_http: bool,
    /// Whether values are rewritten for the program that reads them.
    pub normalise: bool,
    /// Connections at once; further ones are closed.
    pub connections_max: usize,
    /// Watches at once.
    pub watches_max: usize,
    /// Watches at once of those who use one access token.
    pub watches_per_token_max: usize,
    /// From the beginning of a connection to its first request, and for the headers of each.
    pub header_timeout: Duration,
    /// How long a connection may rest between two requests.
    pub idle_timeout: Duration,
    /// For the body of a request.
    pub body_timeout: Duration,
    /// For a client to take a piece of what it is sent.
    pub stall_timeout: Duration,
    /// How long a request waits for its turn.
    pub patience: Duration,
    /// How long a call waits for a message of a queue, at most.
    pub receive_timeout: Duration,
    /// How long requests may go on after the server was told to end.
    pub drain_timeout: Duration,
    /// Between the pings of a watch.
    pub ping_interval: Duration,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What session tokens are made of.
    pub random: Arc<dyn Random>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT),
            identity: None,
            insecure_http: false,
            normalise: true,
            connections_max: 12_000,
            watches_max: 10_000,
            watches_per_token_max: 1_000,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(30),
            stall_timeout: Duration::from_secs(30),
            patience: Duration::from_secs(10),
            receive_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(30),
            ping_interval: Duration::from_secs(5),
            clock: Arc::new(SystemClock::new()),
            random: Arc::new(SystemRandom),
        }
    }
}

impl Settings {
    /// Whether tokens and data stay where they belong.
    ///
    /// ```
    /// use icecore_connect::Settings;
    ///
    /// let address = "0.0.0.0:4512".parse().unwrap();
    /// assert!(Settings { address, ..Settings::default() }.check().is_err());
    /// assert!(Settings { address, insecure_http: true, ..Settings::default() }.check().is_ok());
    /// ```
    ///
    /// # Errors
    /// A text that says what is wrong: other machines could hear what is sent without TLS.
    pub fn check(&self) -> Result<(), String> {
        let is_heard = !self.address.ip().is_loopback();
        if is_heard && self.identity.is_none() && !self.insecure_http {
            let address = self.address;
            return Err(format!(
                "tokens and data would be sent in the clear to and from {address}"
            ));
        }
        Ok(())
    }
}
