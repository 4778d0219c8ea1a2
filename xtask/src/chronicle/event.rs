//! What a child says: one line for each event, written as soon as it is true.

use std::fmt;
use std::str::FromStr;

/// Something that a child has seen happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// It begins to open the store.
    Opening,
    /// The store is open and holds the batches up to this number. Batches of this opening belong to
    /// the life `life`.
    Opened { number: u64, life: u64 },
    /// The store could not be opened.
    Unopened { error: String },
    /// The batch was acknowledged; `mark` is what the child was asked to measure at that moment.
    Committed { number: u64, stamp: u64, durable: bool, mark: u64 },
    /// The batch got an error.
    Failed { number: u64, kind: String, error: String },
    /// Something else than a commit got an error.
    Trouble { kind: String, error: String },
    /// The checkpoint `copy` begins.
    Copying { copy: u64 },
    /// The checkpoint is complete.
    Copied { copy: u64, stamp: u64 },
    /// What was read is not what had been written.
    Misread { what: String },
    /// The child has done what it was to do.
    Done,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Opening => write!(f, "opening"),
            Event::Opened { number, life } => write!(f, "opened {number} {life}"),
            Event::Unopened { error } => write!(f, "unopened {}", one_line(error)),
            Event::Committed { number, stamp, durable, mark } => {
                write!(f, "committed {number} {stamp} {durable} {mark}")
            }
            Event::Failed { number, kind, error } => {
                write!(f, "failed {number} {kind} {}", one_line(error))
            }
            Event::Trouble { kind, error } => write!(f, "trouble {kind} {}", one_line(error)),
            Event::Copying { copy } => write!(f, "copying {copy}"),
            Event::Copied { copy, stamp } => write!(f, "copied {copy} {stamp}"),
            Event::Misread { what } => write!(f, "misread {}", one_line(what)),
            Event::Done => write!(f, "done"),
        }
    }
}

fn one_line(text: &str) -> String {
    text.replace('\n', " ")
}

impl FromStr for Event {
    type Err = String;

    fn from_str(line: &str) -> Result<Event, String> {
        parse(line).ok_or_else(|| format!("a child said {line:?}"))
    }
}

fn parse(line: &str) -> Option<Event> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let mut words = rest.split(' ');
    let mut number = || words.next()?.parse().ok();
    Some(match word {
        "opening" => Event::Opening,
        "opened" => Event::Opened { number: number()?, life: number()? },
        "unopened" => Event::Unopened { error: rest.to_owned() },
        "committed" => {
            let (committed, stamp) = (number()?, number()?);
            let durable = words.next()?.parse().ok()?;
            let mark = words.next()?.parse().ok()?;
            Event::Committed { number: committed, stamp, durable, mark }
        }
        "failed" => {
            let mut parts = rest.splitn(3, ' ');
            let number = parts.next()?.parse().ok()?;
            let kind = parts.next()?.to_owned();
            Event::Failed { number, kind, error: parts.next()?.to_owned() }
        }
        "trouble" => {
            let (kind, error) = rest.split_once(' ')?;
            Event::Trouble { kind: kind.to_owned(), error: error.to_owned() }
        }
        "copying" => Event::Copying { copy: number()? },
        "copied" => Event::Copied { copy: number()?, stamp: number()? },
        "misread" => Event::Misread { what: rest.to_owned() },
        "done" => Event::Done,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_read_back_from_its_line() {
        let error = "cannot sync it".to_owned();
        let events = [
            Event::Opening,
            Event::Opened { number: 7, life: 3000 },
            Event::Unopened { error: error.clone() },
            Event::Committed { number: 8, stamp: 900, durable: true, mark: 5 },
            Event::Failed { number: 9, kind: "Io".to_owned(), error: error.clone() },
            Event::Trouble { kind: "OutOfSpace".to_owned(), error: error.clone() },
            Event::Copying { copy: 3 },
            Event::Copied { copy: 3, stamp: 901 },
            Event::Misread { what: error },
            Event::Done,
        ];
        for event in events {
            assert_eq!(event.to_string().parse(), Ok(event));
        }
    }

    #[test]
    fn a_line_that_was_cut_short_is_no_event() {
        for line in ["", "comm", "committed 8 900 true", "failed 9 Io", "opened 7", "copied 3"] {
            assert!(line.parse::<Event>().is_err(), "{line:?}");
        }
    }
}
