//! How many files the process may have open: each connection is one, and so is each table of a store.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Of the files that the process may open, connections take at most three quarters; the rest is for
/// the stores.
const QUARTERS_FOR_CONNECTIONS: u64 = 3;

/// Asks for as many open files as the process may have, and gives the number of connections, at most
/// `wanted`, for which they suffice.
pub(crate) fn connections(wanted: usize) -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let current = match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files was not raised");
            current
        }
    };
    let possible = within(current, wanted);
    if possible < wanted {
        let files = current.unwrap_or(u64::MAX);
        tracing::warn!(
            files,
            connections = possible,
            "the limit of open files allows fewer connections than {wanted}: raise it (ulimit -n)"
        );
    }
    possible
}

/// The connections for which so many files suffice; no number is no limit.
fn within(files: Option<u64>, wanted: usize) -> usize {
    let possible = files.map_or(u64::MAX, |files| files / 4 * QUARTERS_FOR_CONNECTIONS);
    usize::try_from(possible).map_or(wanted, |possible| possible.min(wanted)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_the_files_is_left_to_the_stores() {
        assert_eq!(within(Some(1_024), 12_000), 768);
        assert_eq!(within(Some(1 << 20), 12_000), 12_000);
        assert_eq!(within(None, 12_000), 12_000);
        assert_eq!(within(Some(0), 12_000), 1);
    }
}
