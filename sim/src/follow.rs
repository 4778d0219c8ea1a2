//! Replicas: they know the state at a stamp, resume there later, and must then know the present
//! state, or be told to start over.
//!
//! A replica outlives crashes, while the store may lose what the replica has seen. What is demanded
//! when it resumes:
//!
//! 1. Carrying out the changes leads to what the oracle holds, in whatever life the replica began.
//! 2. Since the stamp of the present state, and since the beginning, changes can always be told.
//! 3. The same holds for a copy of the store, which knows what the original has forgotten.
//! 4. A stamp that the store has not come to again is refused, or said to be lost.
//!
//! Entries that have expired are left out of both sides, by the latest clock reading at which
//! anybody ever looked: a replica that looked at a late hour does not have them, although the clock
//! may go back in the next life.

use icecore_engine::{Changes, Engine, Error, ErrorKind};
use icecore_model::Versionstamp;

use crate::model::{State, Value};
use crate::reads::{ALL_KEYS, compare};
use crate::violation::{Violation, ensure};
use crate::world::{Copied, World};

/// What a replica knows, and the stamp that it resumes from.
#[derive(Clone, Debug)]
pub(crate) struct Replica {
    at: u64,
    state: State,
}

/// The keys that the replicas follow: everything, and one keyspace each.
const FOLLOWED: [(&[u8], &[u8]); 3] = [ALL_KEYS, (&[0x10], &[0x11]), (&[0x20], &[0x21])];

/// How many replicas there are: some look again often, others seldom.
pub const REPLICAS: usize = 2 * FOLLOWED.len();

impl World {
    /// The replica `number` resumes where it stopped, or begins.
    pub(crate) fn follow(&mut self, number: usize) -> Result<(), Violation> {
        let snapshot = match self.engine()?.snapshot() {
            Ok(snapshot) => snapshot,
            Err(error) => return self.refused(&error),
        };
        let at = snapshot.at().get();
        self.latest_ms = self.latest_ms.max(self.life.now);
        self.show(at);
        let (start, end) = FOLLOWED[number % FOLLOWED.len()];
        let present = self.model.state_within(start, end, at, self.latest_ms);
        let mut replica =
            self.replicas[number].take().unwrap_or(Replica { at: 0, state: State::new() });
        let since = replica.at;
        match snapshot.changes(start, end, Versionstamp::new(since)) {
            Ok(Some(changes)) => {
                if let Err(error) = carry_out(&mut replica.state, changes) {
                    return self.refused(&error);
                }
                let latest = self.latest_ms;
                replica.state.retain(|_, (_, value)| !value.has_ended(latest));
                compare(&replica.state, &present)
                    .map_err(|v| v.at(format!("replica {number}, from {since} to {at}")))?;
                self.totals.resumptions += u64::from(since > 0);
            }
            Ok(None) => {
                ensure(since != at && since != 0, || {
                    format!("replica {number} cannot resume at {since}, the store is at {at}")
                })?;
                self.totals.fresh_starts += 1;
            }
            Err(error) if error.kind() == ErrorKind::InvalidArgument => {
                ensure(since > at, || format!("replica {number} at {since} of {at}: {error}"))?;
            }
            Err(error) => return self.refused(&error),
        }
        self.replicas[number] = Some(Replica { at, state: present });
        Ok(())
    }
}

impl Copied {
    /// The replicas of the original, as they were when it was copied, resume in the copy.
    pub(crate) fn follow(&self, engine: &Engine, now: u64) -> Result<Result<(), Violation>, Error> {
        let snapshot = engine.snapshot()?;
        let at = snapshot.at().get();
        for (number, replica) in self.replicas.iter().enumerate() {
            let Some(mut replica) = replica.clone().filter(|replica| replica.at <= at) else {
                continue;
            };
            let (start, end) = FOLLOWED[number % FOLLOWED.len()];
            let since = Versionstamp::new(replica.at);
            let Some(changes) = snapshot.changes(start, end, since)? else { continue };
            carry_out(&mut replica.state, changes)?;
            replica.state.retain(|_, (_, value)| !value.has_ended(now));
            let present = self.model.state_within(start, end, self.at, now);
            if let Err(violation) = compare(&replica.state, &present) {
                return Ok(Err(violation.at(format!("replica {number}, from {since}"))));
            }
        }
        Ok(Ok(()))
    }
}

/// Deleted ranges first, then the items.
fn carry_out(state: &mut State, changes: Changes) -> Result<(), Error> {
    for range in changes.ranges() {
        state.retain(|key, _| key < &range.start || &range.end <= key);
    }
    for item in changes {
        let item = item?;
        match item.state {
            Some((bytes, expires_at)) => {
                let expires_at = expires_at.map(|moment| moment.ms());
                let value = Value { bytes: bytes.to_vec(), expires_at };
                state.insert(item.key, (item.stamp.get(), value));
            }
            None => {
                state.remove(&item.key);
            }
        }
    }
    Ok(())
}
