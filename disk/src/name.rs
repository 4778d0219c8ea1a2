//! The names of the files of a store. They are made and parsed here and nowhere else.
//!
//! A name is a value, never a path, so that no content of a store can lead outside its directory.

use std::fmt;

/// The name of one file in a store's directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// `LOCK`: held by the process that owns the directory.
    Lock,
    /// `CURRENT`: which manifest counts.
    Current,
    /// `0000000007.manifest`: the log of edits to the set of files.
    Manifest(u64),
    /// `0000000007.wal`: a segment of the log of commits.
    Wal(u64),
    /// `0000000007.table`: an immutable sorted table.
    Table(u64),
    /// `0000000007.temp`: being written, of no meaning to anyone else.
    Temp(u64),
}

const DIGITS: usize = 10;

/// No file has a larger number, so that counting on from what a directory holds never overflows.
pub const NUMBER_MAX: u64 = u64::MAX / 2;

impl Name {
    /// Parses the name of a file; `None` when the store has no file of such a name.
    ///
    /// A number has exactly ten digits, or more without a leading zero, so that every name has one
    /// spelling; it is at most [`NUMBER_MAX`].
    pub fn parse(text: &str) -> Option<Name> {
        match text {
            "LOCK" => return Some(Name::Lock),
            "CURRENT" => return Some(Name::Current),
            _ => {}
        }
        let (digits, kind) = text.split_once('.')?;
        if digits.len() < DIGITS || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        if digits.len() > DIGITS && digits.starts_with('0') {
            return None;
        }
        let number = digits.parse().ok().filter(|number| *number <= NUMBER_MAX)?;
        match kind {
            "manifest" => Some(Name::Manifest(number)),
            "wal" => Some(Name::Wal(number)),
            "table" => Some(Name::Table(number)),
            "temp" => Some(Name::Temp(number)),
            _ => None,
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Lock => f.write_str("LOCK"),
            Name::Current => f.write_str("CURRENT"),
            Name::Manifest(n) => write!(f, "{n:010}.manifest"),
            Name::Wal(n) => write!(f, "{n:010}.wal"),
            Name::Table(n) => write!(f, "{n:010}.table"),
            Name::Temp(n) => write!(f, "{n:010}.temp"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_parses_back_to_itself() {
        let numbers = [0, 7, 9_999_999_999, 10_000_000_000, NUMBER_MAX];
        let numbered = [Name::Manifest, Name::Wal, Name::Table, Name::Temp];
        for name in numbers
            .iter()
            .flat_map(|n| numbered.iter().map(move |kind| kind(*n)))
            .chain([Name::Lock, Name::Current])
        {
            assert_eq!(Name::parse(&name.to_string()), Some(name));
        }
    }

    #[test]
    fn a_name_has_one_spelling() {
        for text in [
            "",
            "lock",
            "7.wal",
            "00000000007.wal",
            "+000000007.wal",
            "0000000007.sst",
            "0000000007.wal.bak",
            "99999999999999999999.wal",
            "9223372036854775808.wal",
            "../0000000007.wal",
            "0000000007",
        ] {
            assert_eq!(Name::parse(text), None, "{text}");
        }
    }
}
