//! What belongs to an access token: its share of what the server has, and all that ends with it.

use std::sync::Arc;

use tokio::sync::watch;

use crate::auth::AccessTokens;
use crate::budget::Share;
use crate::settings::Settings;

/// What belongs to one access token of one database.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) share: Share,
    revoked: watch::Sender<bool>,
}

/// The access tokens of one database, each with its account.
#[derive(Debug)]
pub(crate) struct Accounts {
    pub(crate) tokens: AccessTokens,
    /// In the order of the tokens.
    accounts: Vec<Arc<Account>>,
}

impl Account {
    fn new(settings: &Settings) -> Arc<Account> {
        Arc::new(Account { share: Share::new(settings), revoked: watch::channel(false).0 })
    }

    #[cfg(test)]
    pub(crate) fn for_tests(settings: &Settings) -> Account {
        Account { share: Share::new(settings), revoked: watch::channel(false).0 }
    }

    /// Tells when the token is not good any more.
    pub(crate) fn revoked(&self) -> watch::Receiver<bool> {
        self.revoked.subscribe()
    }
}

impl Accounts {
    pub(crate) fn new(tokens: AccessTokens, settings: &Settings) -> Accounts {
        let accounts = (0..tokens.len()).map(|_| Account::new(settings)).collect();
        Accounts { tokens, accounts }
    }

    pub(crate) fn get(&self, place: usize) -> Arc<Account> {
        Arc::clone(&self.accounts[place])
    }

    /// The accounts of these tokens: those that are known keep theirs.
    pub(crate) fn renewed(&self, tokens: AccessTokens, settings: &Settings) -> Accounts {
        let known = tokens.places_in(&self.tokens).into_iter();
        let accounts = known
            .map(|place| place.map_or_else(|| Account::new(settings), |place| self.get(place)));
        let accounts = accounts.collect();
        Accounts { tokens, accounts }
    }

    /// Ends what belongs to tokens that `others` lack.
    pub(crate) fn revoke_without(&self, others: &Accounts) {
        for account in &self.accounts {
            if !others.accounts.iter().any(|other| Arc::ptr_eq(account, other)) {
                account.revoked.send_replace(true);
            }
        }
    }
}
