//! The acknowledgements that a child tells its parent, one per line:
//!
//! ```text
//! life agent number from to amount versionstamp
//! ```
//!
//! A line is written after the commit has returned, by one write to the pipe. A line without its
//! end was never acknowledged: the child was killed in the middle of it.

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

use icecore::Versionstamp;

use super::accounts::{Order, TransferId};

/// A transfer that was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Acknowledgement {
    pub(crate) id: TransferId,
    pub(crate) order: Order,
    pub(crate) versionstamp: Versionstamp,
}

/// The child's end of the pipe.
#[derive(Debug)]
pub(crate) struct Journal {
    life: u64,
}

impl Journal {
    pub(crate) fn new(life: u64) -> Journal {
        Journal { life }
    }

    /// The number of this life.
    pub(crate) fn life(&self) -> u64 {
        self.life
    }

    /// Tells the parent.
    pub(crate) fn acknowledge(&self, acknowledgement: &Acknowledgement) -> io::Result<()> {
        let line = format!("{acknowledgement}\n");
        let mut out = io::stdout().lock();
        out.write_all(line.as_bytes())?;
        out.flush()
    }
}

impl fmt::Display for Acknowledgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TransferId { life, agent, number } = self.id;
        write!(f, "{life} {agent} {number} {} {}", self.order, self.versionstamp)
    }
}

/// The line is not an acknowledgement.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotAnAcknowledgement;

impl FromStr for Acknowledgement {
    type Err = NotAnAcknowledgement;

    fn from_str(line: &str) -> Result<Acknowledgement, NotAnAcknowledgement> {
        let mut fields = line.splitn(4, ' ');
        let mut number = || fields.next()?.parse().ok();
        let id = (|| Some(TransferId { life: number()?, agent: number()?, number: number()? }))();
        let rest = fields.next().and_then(|rest| rest.rsplit_once(' '));
        match (id, rest) {
            (Some(id), Some((order, versionstamp))) => Ok(Acknowledgement {
                id,
                order: order.parse().map_err(|_| NotAnAcknowledgement)?,
                versionstamp: versionstamp.parse().map_err(|_| NotAnAcknowledgement)?,
            }),
            _ => Err(NotAnAcknowledgement),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_reads_back_only_from_a_whole_line() {
        let acknowledgement = Acknowledgement {
            id: TransferId { life: 3, agent: 7, number: 41 },
            order: Order { from: 5, to: 900, amount: 12 },
            versionstamp: Versionstamp::new(0xabc),
        };
        let line = acknowledgement.to_string();
        assert_eq!(line, "3 7 41 5 900 12 0000000000000abc0000");
        assert_eq!(line.parse(), Ok(acknowledgement));
        for end in 0..line.len() {
            assert_eq!(line[..end].parse::<Acknowledgement>(), Err(NotAnAcknowledgement), "{end}");
        }
        assert_eq!(
            "1 2 3 4 5 6 7 0000000000000abc0000".parse::<Acknowledgement>(),
            Err(NotAnAcknowledgement)
        );
    }
}
