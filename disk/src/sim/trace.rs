//! What was done to a world: a hash of all of it, and the text on request.

use crate::Name;

use super::error::OpKind;

/// One call and how it ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    /// The number of the mutating operation, or of the next one for a call that changes nothing.
    pub(super) operation: u64,
    pub(super) kind: OpKind,
    pub(super) name: Option<Name>,
    pub(super) offset: u64,
    pub(super) len: u64,
    /// Bytes or 0 for a success; the code of the error for a failure.
    pub(super) outcome: Result<u64, i32>,
}

#[derive(Clone, Default)]
pub(super) struct Trace {
    hash: u64,
    lines: Option<Vec<String>>,
}

impl Trace {
    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) fn keep_lines(&mut self, keep: bool) {
        match (keep, &self.lines) {
            (true, None) => self.lines = Some(Vec::new()),
            (false, _) => self.lines = None,
            (true, Some(_)) => {}
        }
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.lines.clone().unwrap_or_default()
    }

    pub(super) fn record(&mut self, record: Record) {
        let Record { operation, kind, name, offset, len, outcome } = record;
        self.mix(operation << 8 | kind as u64);
        self.mix(name.map_or(0, number_of));
        self.mix(offset);
        self.mix(len);
        self.mix(match outcome {
            Ok(n) => n << 1,
            Err(code) => u64::from(code.cast_unsigned()) << 1 | 1,
        });
        if let Some(lines) = &mut self.lines {
            let name = name.map_or(String::new(), |name| name.to_string());
            let outcome = match outcome {
                Ok(n) => format!("ok {n}"),
                Err(code) => format!("error {code}"),
            };
            lines.push(format!("{operation} {kind:?} {name} {offset}+{len}: {outcome}"));
        }
    }

    /// Data that was written or read: samples of it, because a hash of all of it would cost more
    /// than the copy.
    pub(super) fn sample(&mut self, data: &[u8]) {
        for at in [0, data.len() / 2, data.len().saturating_sub(8)] {
            if let Some((eight, _)) = data[at..].split_first_chunk() {
                self.mix(u64::from_le_bytes(*eight));
            }
        }
    }

    /// Something that happened to the world from outside.
    pub(super) fn note(&mut self, code: u64, text: impl FnOnce() -> String) {
        self.mix(code);
        if let Some(lines) = &mut self.lines {
            lines.push(text());
        }
    }

    /// One round of a multiply-and-rotate hash: quick, and every bit counts.
    pub(super) fn mix(&mut self, value: u64) {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        self.hash = (self.hash ^ value).wrapping_mul(ODD).rotate_left(29).wrapping_add(1);
    }
}

/// A number that tells names apart.
pub(super) fn number_of(name: Name) -> u64 {
    let (kind, number) = match name {
        Name::Lock => (1, 0),
        Name::Current => (2, 0),
        Name::Manifest(n) => (3, n),
        Name::Wal(n) => (4, n),
        Name::Table(n) => (5, n),
        Name::Temp(n) => (6, n),
    };
    number << 3 | kind
}
