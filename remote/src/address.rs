//! Where a store is: the parts of its URL, and how other URLs follow from it.
//!
//! *Tokens go nowhere in the clear*: an address with plain HTTP that leads to another machine is
//! refused, unless the caller has said that he knows the network.

use std::fmt;
use std::net::IpAddr;

use hyper::Uri;
use hyper::http::uri::Scheme;

use crate::error::{Error, ErrorKind};

/// Where a connection goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) is_secure: bool,
    /// Without the brackets of an address of IPv6.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// A place to which requests are posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) origin: Origin,
    pub(crate) uri: Uri,
}

impl Address {
    /// Reads an URL.
    pub(crate) fn parse(url: &str, insecure_http: bool) -> Result<Address, Error> {
        // What holds an `@` may hold a password, also where it is no URL: it is not shown.
        let invalid = |what: &str| {
            let shown =
                if url.contains('@') { "(not shown)".to_owned() } else { format!("{url:?}") };
            Error::new(ErrorKind::Invalid, format!("{what}: {shown}"))
        };
        let uri: Uri = url.parse().map_err(|_| invalid("not an URL"))?;
        let is_secure = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(invalid("an URL begins with http:// or https://")),
        };
        let authority = uri.authority().ok_or_else(|| invalid("an URL names a host"))?;
        if authority.as_str().contains('@') {
            let text = "an URL holds no name and no password here";
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(invalid("an URL names a host"));
        }
        let port = authority.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
        let origin = Origin { is_secure, host, port };
        if !is_secure && !insecure_http && !origin.is_loopback() {
            return Err(invalid(
                "a token is not sent over plain http to another machine, where anybody may read \
                 it; use https, or allow insecure http",
            ));
        }
        Ok(Address { origin, uri })
    }

    /// What `reference` means here: a whole URL, or a path.
    pub(crate) fn resolve(&self, reference: &str, insecure_http: bool) -> Result<Address, Error> {
        if reference.contains("://") {
            return Address::parse(reference, insecure_http);
        }
        let scheme = if self.origin.is_secure { "https" } else { "http" };
        if let Some(rest) = reference.strip_prefix("//") {
            return Address::parse(&format!("{scheme}://{rest}"), insecure_http);
        }
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        let path = if reference.starts_with('/') {
            reference.to_owned()
        } else {
            let folder = self.uri.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{folder}/{}", reference.strip_prefix("./").unwrap_or(reference))
        };
        Address::parse(&format!("{scheme}://{authority}{path}"), insecure_http)
    }

    /// The place of a method below this one.
    pub(crate) fn below(&self, method: &str) -> Result<Uri, Error> {
        let text = format!("{}/{method}", self.uri);
        text.parse().map_err(|_| Error::new(ErrorKind::Foreign, format!("not an URL: {text:?}")))
    }
}

impl Origin {
    fn is_loopback(&self) -> bool {
        let by_number = self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        by_number || self.host.eq_ignore_ascii_case("localhost")
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> Address {
        Address::parse(url, false).unwrap()
    }

    #[test]
    fn an_url_has_a_scheme_a_host_and_a_port() {
        let origin = address("http://localhost").origin;
        assert_eq!((origin.is_secure, &*origin.host, origin.port), (false, "localhost", 80));
        let origin = address("https://[2001:db8::1]/a/b").origin;
        assert_eq!((origin.is_secure, &*origin.host, origin.port), (true, "2001:db8::1", 443));
        assert_eq!(address("http://[::1]:4512/").origin.port, 4512);
        for wrong in ["", "/v2", "ftp://a", "http://", "http://a b", "https://me:pw@host/"] {
            let error = Address::parse(wrong, true).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{wrong}");
        }
    }

    #[test]
    fn no_error_shows_a_password() {
        for wrong in ["https://me:secret@host/", "https://me:secret@a b", "ftp://me:secret@host"] {
            let error = Address::parse(wrong, true).unwrap_err();
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn plain_http_stays_on_the_machine_unless_it_is_allowed() {
        for near in ["http://localhost:1", "http://LOCALHOST", "http://127.9.9.9", "http://[::1]"] {
            assert!(Address::parse(near, false).is_ok(), "{near}");
        }
        for far in ["http://10.0.0.1", "http://db.example", "http://localhost.example"] {
            assert!(Address::parse(far, false).is_err(), "{far}");
            assert!(Address::parse(far, true).is_ok(), "{far}");
            assert!(address("https://db.example").resolve(far, false).is_err(), "{far}");
        }
    }

    #[test]
    fn endpoints_are_whole_or_relative_to_the_exchange() {
        let at = address("http://localhost:1/db/shop");
        let resolved = |reference| at.resolve(reference, false).unwrap().uri.to_string();
        assert_eq!(resolved("/v2"), "http://localhost:1/v2");
        assert_eq!(resolved("v2"), "http://localhost:1/db/v2");
        assert_eq!(resolved("./v2"), "http://localhost:1/db/v2");
        assert_eq!(resolved("//localhost:2/v2"), "http://localhost:2/v2");
        assert_eq!(resolved("https://db.example/v2"), "https://db.example/v2");
        let below = at.resolve("/v2", false).unwrap().below("watch").unwrap();
        assert_eq!(below, "http://localhost:1/v2/watch");
    }
}
