//! Reads of a history, compared with the oracle.

use icecore_engine::{Error, Record, Scan};

use crate::model::{State, Value};
use crate::violation::{Violation, ensure};
use crate::world::{Held, World};

/// Everything that a store holds lies between these two keys.
pub(crate) const ALL_KEYS: (&[u8], &[u8]) = (&[0x01], &[0xff]);

impl World {
    pub(crate) fn get_many(&mut self, keys: &[Vec<u8>], together: bool) -> Result<(), Violation> {
        let (engine, at, now) = (self.engine()?, self.visible(), self.life.now);
        let answer = match (keys, together) {
            ([key], false) => engine.get(key).map(|record| vec![record]),
            _ => engine.get_many(keys),
        };
        let records = match answer {
            Ok(records) => records,
            Err(error) => return self.unread(&error),
        };
        for (key, record) in keys.iter().zip(&records) {
            let expected = self.model.get(key, at, now).map(|(s, value)| (s, value.clone()));
            let found = record.as_ref().map(seen_record);
            ensure(found == expected, || {
                let key = key.escape_ascii();
                format!("{key} at {at} reads as {}, not {}", brief(&found), brief(&expected))
            })?;
        }
        self.show(at);
        Ok(())
    }

    pub(crate) fn scan(&mut self, start: &[u8], end: &[u8], sides: u64) -> Result<(), Violation> {
        let (at, now) = (self.visible(), self.life.now);
        let walked = self.engine()?.scan(start, end).and_then(|scan| walk(scan, sides));
        let found = match walked {
            Ok(found) => found,
            Err(error) => return self.unread(&error),
        };
        let expected = self.model.state_within(start, end, at, now);
        compare(&found, &expected).map_err(|v| v.at(format!("a scan at {at}")))?;
        self.show(at);
        Ok(())
    }

    pub(crate) fn snapshot(&mut self) -> Result<(), Violation> {
        let snapshot = match self.engine()?.snapshot() {
            Ok(snapshot) => snapshot,
            Err(error) => return self.unread(&error),
        };
        let (at, visible) = (snapshot.at().get(), self.visible());
        ensure(at == visible, || format!("a snapshot at {at} while {visible} is visible"))?;
        let expected = self.model.state(at, self.life.now);
        self.held.push(Held { snapshot, expected });
        self.show(at);
        Ok(())
    }

    /// Reads the snapshots that are held, and lets all but `keep` go.
    pub(crate) fn check_snapshots(&mut self, keep: usize) -> Result<(), Violation> {
        for index in 0..self.held.len() {
            let held = &self.held[index];
            let at = held.snapshot.at().get();
            let read = walk(held.snapshot.scan(ALL_KEYS.0, ALL_KEYS.1), at)
                .and_then(|state| Ok((state, self.read_points(held)?)));
            match read {
                Ok((state, points)) => {
                    compare(&state, &held.expected)
                        .and_then(|()| compare(&points, &held.expected))
                        .map_err(|v| v.at(format!("the snapshot of {at}")))?;
                    self.totals.snapshots += 1;
                }
                Err(error) => self.unread(&error)?,
            }
        }
        let surplus = self.held.len().saturating_sub(keep);
        self.held.drain(..surplus);
        Ok(())
    }

    fn read_points(&self, held: &Held) -> Result<State, Error> {
        let mut state = State::new();
        for key in self.model.keys_to_read(&held.expected, self.totals.operations) {
            if let Some(record) = held.snapshot.get(key)? {
                state.insert(key.clone(), seen_record(&record));
            }
        }
        Ok(state)
    }
}

pub(crate) fn seen_record(record: &Record) -> (u64, Value) {
    let expires_at = record.expires_at.map(|moment| moment.ms());
    (record.stamp.get(), Value { bytes: record.value.to_vec(), expires_at })
}

/// Walks over a scan from both ends, as `sides` says, bit by bit.
pub(crate) fn walk(mut scan: Scan, sides: u64) -> Result<State, Error> {
    let mut state = State::new();
    let mut turn = 0u32;
    loop {
        let back = sides.rotate_right(turn % 64) & 1 == 1;
        turn += 1;
        let Some(item) = (if back { scan.next_back() } else { scan.next() }) else { break };
        let item = item?;
        let expires_at = item.expires_at.map(|moment| moment.ms());
        let value = Value { bytes: item.value.to_vec(), expires_at };
        let stamp = item.stamp.get();
        state.insert(item.into_key(), (stamp, value));
    }
    Ok(state)
}

/// Whether two states are the same; if not, where they differ first.
pub(crate) fn compare(found: &State, expected: &State) -> Result<(), Violation> {
    if found == expected {
        return Ok(());
    }
    let keys = expected.keys().chain(found.keys());
    let key = keys.filter(|key| found.get(*key) != expected.get(*key)).min();
    let key = key.expect("states that differ do so at a key");
    let (found, expected) = (found.get(key).cloned(), expected.get(key).cloned());
    let name = key.escape_ascii();
    Err(Violation::new(format!("{name} is {}, not {}", brief(&found), brief(&expected))))
}

fn brief(value: &Option<(u64, Value)>) -> String {
    let Some((stamp, value)) = value else { return "absent".to_owned() };
    let front = value.bytes.get(..12).unwrap_or(&value.bytes).escape_ascii();
    let expiry = value.expires_at.map_or(String::new(), |ms| format!(" until {ms}"));
    format!("\"{front}\" ({} bytes) of {stamp}{expiry}", value.bytes.len())
}
