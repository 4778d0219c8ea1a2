//! What a request is refused with: a status and a text.
//!
//! 1. The texts are those of the reference server where it has one, because clients look for words
//!    in them and people search for them.
//! 2. *What a client has done wrong is 4xx.* Clients send a request that was answered with 5xx
//!    again, and again.
//! 3. *5xx says that nothing took effect.* A commit whose outcome is not known is therefore 409.
//! 4. No text holds a path, a key or a value of the store; the log says more.

use hyper::StatusCode;
use icecore::{Error, ErrorKind};

/// A request that is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) text: String,
}

/// The text for what is wrong inside of the server.
const INTERNAL: &str = "An internal server error occurred.";
/// The text for a server that is about to end. It is written like this in the reference.
const UNAVAILABLE: &str = "The server is temporarially unavailable, try again later.";

impl Refusal {
    fn new(status: StatusCode, text: impl Into<String>) -> Refusal {
        Refusal { status, text: text.into() }
    }

    /// The client has asked for what makes no sense.
    pub(crate) fn bad(text: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, text)
    }

    /// The client has not shown who it is.
    pub(crate) fn unauthorized(text: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::UNAUTHORIZED, text)
    }

    /// There is nothing at this path.
    pub(crate) fn not_found() -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, "Resource not found.")
    }

    /// There is something at this path, for another method.
    pub(crate) fn wrong_method() -> Refusal {
        Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "")
    }

    /// The body is larger than any that makes sense.
    pub(crate) fn too_large() -> Refusal {
        let text = "Failed to buffer the request body: length limit exceeded";
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text)
    }

    /// The body came too slowly.
    pub(crate) fn too_slow() -> Refusal {
        Refusal::new(StatusCode::REQUEST_TIMEOUT, "The request body came too slowly.")
    }

    /// Too much is going on, or the server is about to end.
    pub(crate) fn unavailable() -> Refusal {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE)
    }

    /// Too many watches of one holder of a token.
    pub(crate) fn too_many_watches() -> Refusal {
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, "Too many watches are open.")
    }

    /// Too many wrong tokens from one address.
    pub(crate) fn too_many_attempts() -> Refusal {
        let text = "Too many invalid access tokens: try again later.";
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, text)
    }

    /// Nobody has this message, or not any more.
    pub(crate) fn attempt_over() -> Refusal {
        Refusal::new(StatusCode::GONE, "The attempt is over.")
    }

    /// Too many messages are in the hands of receivers.
    pub(crate) fn too_many_messages() -> Refusal {
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, "Too many messages are not settled.")
    }

    /// Something is wrong here. Nothing took effect.
    pub(crate) fn internal() -> Refusal {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, INTERNAL)
    }

    /// Whether the write took effect is not known.
    pub(crate) fn unknown_outcome() -> Refusal {
        let text = "The outcome of the write is unknown: read what it wrote before trying again.";
        Refusal::new(StatusCode::CONFLICT, text)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        match error.kind() {
            ErrorKind::InvalidArgument
            | ErrorKind::LimitExceeded { .. }
            | ErrorKind::TypeMismatch => Refusal::bad(error.text()),
            ErrorKind::Closed => Refusal::unavailable(),
            // Nothing took effect, and it may work later.
            ErrorKind::OutOfSpace | ErrorKind::Poisoned => {
                tracing::error!(%error, "the store takes no commit");
                Refusal::unavailable()
            }
            ErrorKind::OutcomeUnknown => {
                tracing::error!(%error, "the outcome of a commit is unknown");
                Refusal::unknown_outcome()
            }
            _ => {
                tracing::error!(%error, "a request has failed");
                Refusal::internal()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use icecore::{Kv, key};

    #[test]
    fn errors_of_the_caller_keep_their_text_and_a_closed_store_is_no_fault_of_his() {
        let kv = Kv::in_memory().unwrap();
        kv.set(key!["a"], "text").unwrap();
        let refusal = Refusal::from(kv.atomic().sum(key!["a"], 1).commit().unwrap_err());
        let text = "Failed to perform 'sum' mutation on a non-U64 value in the database";
        assert_eq!(refusal, Refusal::bad(text));
        kv.close().unwrap();
        assert_eq!(Refusal::from(kv.get(key!["a"]).unwrap_err()), Refusal::unavailable());
    }
}
