//! The metadata exchange: what a client sends to the address of a database, and what it learns.
//!
//! Clients of Deno and Node differ in what else they take. The one of the npm package is strict: no
//! property more, this form of the identity and of the moment, and endpoints without a slash at
//! their end. So nothing may be added here.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The versions of the protocol, of which all have the same shape.
pub const VERSIONS: [u64; 3] = [1, 2, 3];

/// What clients send.
///
/// ```
/// use icecore_wire::metadata::{Exchange, VERSIONS};
///
/// let json = serde_json::to_string(&Exchange { supported_versions: VERSIONS.to_vec() })?;
/// assert_eq!(json, r#"{"supportedVersions":[1,2,3]}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exchange {
    /// The versions that the client speaks.
    pub supported_versions: Vec<u64>,
}

/// What they get. No value of this type is shown: it holds a token.
///
/// ```
/// use icecore_wire::metadata::Metadata;
///
/// let json = r#"{"version":3,"databaseId":"00112233-4455-6677-8899-aabbccddeeff",
///     "endpoints":[{"url":"/v2","consistency":"strong"}],
///     "token":"secret","expiresAt":"2026-11-23T19:58:51.530Z"}"#;
/// let metadata: Metadata = serde_json::from_str(json)?;
/// assert_eq!(metadata.endpoints[0].url, "/v2");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata<'a> {
    /// The highest version that both sides know.
    pub version: u64,
    /// Which database this is: a UUID in lower case, with hyphens.
    #[serde(borrow)]
    pub database_id: Cow<'a, str>,
    /// Where the data path is.
    pub endpoints: Vec<Endpoint<'a>>,
    /// The token of the session, for the data path.
    pub token: Cow<'a, str>,
    /// When the session ends, in the form of RFC 3339.
    pub expires_at: Cow<'a, str>,
}

/// One place at which the data path is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint<'a> {
    /// Clients resolve it against the URL of the exchange, and add a slash and a method.
    #[serde(borrow)]
    pub url: Cow<'a, str>,
    /// `strong` or `eventual`: how fresh its reads are. Writes go to a strong one.
    pub consistency: Cow<'a, str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_written_as_the_strictest_client_takes_it() {
        let metadata = Metadata {
            version: 3,
            database_id: "id".into(),
            endpoints: vec![Endpoint { url: "/v2".into(), consistency: "strong".into() }],
            token: "secret".into(),
            expires_at: "2026-11-23T19:58:51.530Z".into(),
        };
        let json = serde_json::to_string(&metadata).unwrap();
        assert_eq!(
            json,
            r#"{"version":3,"databaseId":"id","endpoints":[{"url":"/v2","consistency":"strong"}],"token":"secret","expiresAt":"2026-11-23T19:58:51.530Z"}"#
        );
        assert!(serde_json::from_str::<Metadata<'_>>(&json).unwrap() == metadata);
    }

    #[test]
    fn what_is_added_later_is_read_over_and_what_is_missing_is_not() {
        let whole = r#"{"version":3,"databaseId":"i","endpoints":[{"url":"\u002fv2","consistency":"strong","x":1}],"token":"t","expiresAt":"","y":{}}"#;
        let metadata: Metadata<'_> = serde_json::from_str(whole).unwrap();
        assert_eq!(metadata.endpoints[0].url, "/v2");
        for part in ["\"version\":3,", "\"token\":\"t\",", "\"databaseId\":\"i\","] {
            let without = whole.replace(part, "");
            assert!(serde_json::from_str::<Metadata<'_>>(&without).is_err(), "{part}");
        }
    }
}
