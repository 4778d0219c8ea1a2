//! One of the databases of a server.

use std::sync::{Arc, PoisonError, RwLock};

use icecore::Kv;

use crate::account::Accounts;
use crate::auth::AccessTokens;
use crate::settings::Settings;

/// A store that is served, and who may use it.
#[derive(Debug)]
pub struct Served {
    /// The name in the paths `/db/NAME`; none for the database at `/`.
    pub name: Option<String>,
    /// The store, opened with [`store_limits`](crate::store_limits).
    pub kv: Kv,
    /// Who may use it.
    pub tokens: AccessTokens,
    /// Whether writes are refused, as they must be when the store is open for reading only.
    pub read_only: bool,
}

/// The longest name of a database.
const NAME_CHARS_MAX: usize = 64;

/// Whether this can be the name of a database: letters, digits, `-` and `_`.
///
/// ```
/// assert!(icecore_connect::is_database_name("shop-2"));
/// assert!(!icecore_connect::is_database_name("../shop"));
/// ```
pub fn is_database_name(name: &str) -> bool {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=NAME_CHARS_MAX).contains(&name.len()) && name.bytes().all(is_known)
}

/// A [`Served`], and what follows from it.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) name: Option<String>,
    pub(crate) kv: Kv,
    accounts: RwLock<Arc<Accounts>>,
    pub(crate) read_only: bool,
    pub(crate) id: [u8; 16],
    pub(crate) uuid: String,
}

impl Database {
    pub(crate) fn new(served: Served, settings: &Settings) -> Database {
        let Served { name, kv, tokens, read_only } = served;
        let id = kv.id();
        let accounts = RwLock::new(Arc::new(Accounts::new(tokens, settings)));
        Database { name, kv, accounts, read_only, id, uuid: uuid(id) }
    }

    /// Who may use it now.
    pub(crate) fn accounts(&self) -> Arc<Accounts> {
        // No panic leaves anything changed by halves.
        Arc::clone(&self.accounts.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on these may use it. What was begun with another token comes to its end, but for
    /// watches, which are ended.
    pub(crate) fn replace_tokens(&self, tokens: AccessTokens, settings: &Settings) {
        let mut accounts = self.accounts.write().unwrap_or_else(PoisonError::into_inner);
        let renewed = Arc::new(accounts.renewed(tokens, settings));
        let before = std::mem::replace(&mut *accounts, Arc::clone(&renewed));
        drop(accounts);
        before.revoke_without(&renewed);
    }

    /// The path of its data path, which never ends with a slash.
    pub(crate) fn endpoint(&self) -> String {
        self.name.as_ref().map_or_else(|| "/v2".to_owned(), |name| format!("/db/{name}/v2"))
    }
}

/// The form in which clients expect an identity.
fn uuid(id: [u8; 16]) -> String {
    let digits: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_written_as_a_uuid() {
        let id = std::array::from_fn(|place| u8::try_from(place * 17).unwrap());
        assert_eq!(uuid(id), "00112233-4455-6677-8899-aabbccddeeff");
    }

    #[test]
    fn names_are_plain() {
        assert!(is_database_name("a") && is_database_name(&"a".repeat(64)));
        for wrong in ["", "a/b", "..", "a b", "ä", "a%2f", &"a".repeat(65)] {
            assert!(!is_database_name(wrong), "{wrong}");
        }
    }
}
