//! One walk over everything: is the store what it should be?
//!
//! The engine looks at files, records and their order; this adds what only the face knows: every
//! key decodes into parts, every value is one, and the rows of queues are messages and attempts of
//! these.

use std::collections::BTreeSet;
use std::fmt;

use icecore_engine::Engine;
use icecore_engine::keyspace::QUEUE;

use crate::entry::Entry;
use crate::error::{Error, ErrorKind};
use crate::key::Key;
use crate::queue::{Row, audit};
use crate::selector::Selector;
use crate::walk;

/// After so many unreadable entries the walk ends: a store in this state needs no longer list.
const PROBLEMS_MAX: usize = 100;

/// What a check has found.
///
/// ```
/// use icecore::{Kv, key};
///
/// let kv = Kv::in_memory()?;
/// kv.set(key!["a"], 1)?;
/// kv.flush()?;
/// kv.set(key!["b"], 2)?;
/// let report = kv.check()?;
/// assert_eq!((report.keys, report.tables), (2, 1));
/// assert!(report.to_string().ends_with("no problem found"));
/// # Ok::<(), icecore::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CheckReport {
    /// What is wrong; empty for a store that is in order.
    pub problems: Vec<Error>,
    /// Tables that were read in whole.
    pub tables: u64,
    /// Versions of keys in them, deletions and the store's own notes included.
    pub table_entries: u64,
    /// Bytes of tables that were read.
    pub table_bytes: u64,
    /// Commits that were read from the log.
    pub log_commits: u64,
    /// Keys that have a value, and that could be read.
    pub keys: u64,
    /// Messages in queues that could be read.
    pub messages: u64,
}

impl CheckReport {
    /// Whether nothing is wrong.
    ///
    /// ```
    /// let report = icecore::Kv::in_memory()?.check()?;
    /// assert!(report.is_clean());
    /// assert!(report.problems.is_empty());
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "keys: {}, messages: {}, tables: {} ({} entries, {} bytes), commits in the log: {}; ",
            self.keys,
            self.messages,
            self.tables,
            self.table_entries,
            self.table_bytes,
            self.log_commits
        )?;
        match self.problems.len() {
            0 => f.write_str("no problem found"),
            1 => f.write_str("1 problem found"),
            n => write!(f, "{n} problems found"),
        }
    }
}

pub(crate) fn check(engine: &Engine) -> Result<CheckReport, Error> {
    let found = engine.check()?;
    let mut report = CheckReport {
        problems: found.problems.into_iter().map(Error::from).collect(),
        tables: found.tables,
        table_entries: found.entries,
        table_bytes: found.bytes,
        log_commits: found.log_commits,
        keys: 0,
        messages: 0,
    };
    // Damaged files fail the walk, too, and were reported already.
    if report.is_clean() {
        check_entries(engine, &mut report)?;
        check_queues(engine, &mut report)?;
    }
    Ok(report)
}

fn check_queues(engine: &Engine, report: &mut CheckReport) -> Result<(), Error> {
    // Those whose message has not come yet: attempts stand before messages.
    let mut attempts = BTreeSet::new();
    for item in engine.scan(&[QUEUE], &[QUEUE + 1])? {
        match item.map_err(Error::from).and_then(|item| audit(item.key(), &item.value)) {
            Ok(Row::Message { attempt_key }) => {
                report.messages += 1;
                attempts.remove(&attempt_key);
            }
            Ok(Row::Attempts { key }) => {
                attempts.insert(key);
            }
            Err(problem) => report.problems.push(problem),
        }
        if report.problems.len() >= PROBLEMS_MAX {
            break;
        }
    }
    // The message of an attempt may be one of those that could not be read.
    if report.is_clean() {
        report.problems.extend(attempts.iter().take(PROBLEMS_MAX).map(|key| lost_attempts(key)));
    }
    Ok(())
}

fn lost_attempts(key: &[u8]) -> Error {
    let file = format!("the queue row {}", key.escape_ascii());
    let text = format!("{file} counts attempts of no message");
    Error::with_text(ErrorKind::Corrupt { file, offset: 0 }, text, "")
}

fn check_entries(engine: &Engine, report: &mut CheckReport) -> Result<(), Error> {
    let all = Selector::all();
    let (start, end) = all.bounds()?;
    for item in engine.scan(start, end)? {
        let entry = walk::parts(item)
            .and_then(|(key, record)| Entry::new(Key::from_stored(key), Some(record)));
        match entry.and_then(|entry| entry.key.parts()) {
            Ok(_) => report.keys += 1,
            Err(problem) => report.problems.push(problem),
        }
        if report.problems.len() >= PROBLEMS_MAX {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use icecore_engine::keyspace::DATA;
    use icecore_engine::{Batch, Mutation, Options, Outcome};

    use super::*;
    use crate::{ErrorKind, key};

    #[test]
    fn entries_that_only_the_face_can_judge_are_judged() {
        let directory = tempfile::tempdir().unwrap();
        let engine = Engine::open_path(directory.path().join("store"), Options::default()).unwrap();
        let (good, malformed) = (key!["good"], [DATA, 0x7f]);
        let set = |key, value| {
            let mutations = [Mutation::Set { key, value, expires_at: None }];
            let outcome = engine.commit(Batch { checks: &[], mutations: &mutations }).unwrap();
            assert!(matches!(outcome, Outcome::Committed(_)));
        };
        set(good.stored(), b"\x03bytes");
        let report = check(&engine).unwrap();
        assert!(report.is_clean(), "{report}");
        assert_eq!(report.keys, 1);

        let unreadable = key!["unreadable"];
        set(unreadable.stored(), b"\x09unknown");
        set(&malformed, b"\x03bytes");
        let report = check(&engine).unwrap();
        let kinds: Vec<ErrorKind> = report.problems.iter().map(Error::kind).collect();
        let expected = [
            ErrorKind::UnknownFormat,
            ErrorKind::Corrupt { file: "malformed key \\x7f".into(), offset: 0 },
        ];
        assert_eq!(kinds, expected, "{report}");
        assert_eq!(report.keys, 1, "what cannot be read does not count");
    }

    #[test]
    fn rows_of_queues_are_judged_and_messages_counted() {
        let kv = crate::Kv::in_memory().unwrap();
        let sent = kv.enqueue(crate::Enqueue::new("a").queue("q")).unwrap();
        kv.enqueue("b").unwrap();
        let message = kv.queue("q").receive().unwrap().unwrap();
        assert_eq!(message.id().versionstamp, sent);
        let report = kv.check().unwrap();
        assert!(report.is_clean(), "{report}");
        assert_eq!((report.keys, report.messages), (0, 2));
        let rows = kv.engine().scan(&[QUEUE], &[QUEUE + 1]).unwrap().count();
        assert_eq!(rows, 3, "one of them says that there was an attempt");

        let mutations = [
            Mutation::Set { key: &[QUEUE, b'm', 9], value: b"?", expires_at: None },
            Mutation::Set { key: &[QUEUE, b'z'], value: b"?", expires_at: None },
        ];
        let batch = Batch { checks: &[], mutations: &mutations };
        assert!(matches!(kv.engine().commit(batch).unwrap(), Outcome::Committed(_)));
        let report = kv.check().unwrap();
        assert_eq!(report.problems.len(), 2, "{report}");
        let is_damage = |e: &Error| matches!(e.kind(), ErrorKind::Corrupt { .. });
        assert!(report.problems.iter().all(is_damage), "{:?}", report.problems);
    }

    #[test]
    fn attempts_of_no_message_are_told() {
        let kv = crate::Kv::in_memory().unwrap();
        kv.enqueue(crate::Enqueue::new("a").queue("q")).unwrap();
        let message = kv.queue("q").receive().unwrap().unwrap();
        let messages = kv.engine().scan(&[QUEUE, b'm'], &[QUEUE, b'n']).unwrap();
        let keys: Vec<_> = messages.map(|item| item.unwrap().key().to_vec()).collect();
        let mutations: Vec<_> = keys.iter().map(|key| Mutation::Delete { key }).collect();
        let batch = Batch { checks: &[], mutations: &mutations };
        assert!(matches!(kv.engine().commit(batch).unwrap(), Outcome::Committed(_)));
        let report = kv.check().unwrap();
        assert_eq!(report.problems.len(), 1, "{report}");
        let text = report.problems[0].to_string();
        assert!(text.ends_with("counts attempts of no message"), "{text}");
        message.finish().unwrap();
        assert!(kv.check().unwrap().is_clean());
    }
}
