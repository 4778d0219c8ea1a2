//! What all connections share.

use std::sync::Arc;

use hyper::HeaderMap;
use tokio::sync::watch;

use crate::attempts::Attempts;
use crate::budget::Budget;
use crate::client::Reader;
use crate::database::Database;
use crate::metrics::Metrics;
use crate::peer::Strangers;
use crate::queue::Leases;
use crate::settings::Settings;

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) settings: Settings,
    pub(crate) databases: Vec<Database>,
    pub(crate) budget: Budget,
    pub(crate) metrics: Metrics,
    pub(crate) attempts: Attempts,
    pub(crate) strangers: Strangers,
    /// Messages in the hands of receivers.
    pub(crate) leases: Arc<Leases>,
    /// Whether the server is about to end.
    pub(crate) shutdown: watch::Receiver<bool>,
}

impl State {
    pub(crate) fn new(
        settings: Settings,
        databases: Vec<Database>,
        shutdown: watch::Receiver<bool>,
    ) -> State {
        State {
            attempts: Attempts::default(),
            strangers: Strangers::default(),
            budget: Budget::new(&settings),
            metrics: Metrics::default(),
            leases: Arc::default(),
            settings,
            databases,
            shutdown,
        }
    }

    /// The place of the database with this name.
    pub(crate) fn find(&self, name: Option<&str>) -> Option<usize> {
        self.databases.iter().position(|database| database.name.as_deref() == name)
    }

    /// For whom values are rewritten.
    pub(crate) fn reader(&self, headers: &HeaderMap) -> Reader {
        if self.settings.normalise { Reader::of(headers) } else { Reader::Plain }
    }
}
