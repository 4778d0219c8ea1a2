//! How many damages of which kind were found.

use std::fmt;

use icecore_disk::Name;

use super::layout::Verdict;
use crate::report::grouped;

/// Kinds of files, as they are counted.
const FILES: [&str; 5] = ["CURRENT", "manifest", "log", "table", "other"];

/// What became of the damages to one kind of file.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    opens: u64,
    /// The damage concerned no living byte.
    dead: u64,
    /// Nothing proves that something is missing.
    undecidable: u64,
    /// Of those, the ones that were found all the same.
    undecidable_found: u64,
    /// It had to be found.
    live: u64,
    /// Of those, the ones that were.
    found: u64,
}

/// All counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    rows: [Row; 5],
    pub(super) forged: u64,
    pub(super) written: u64,
    pub(super) salvaged: u64,
}

fn place(file: Name) -> usize {
    match file {
        Name::Current => 0,
        Name::Manifest(_) => 1,
        Name::Wal(_) => 2,
        Name::Table(_) => 3,
        Name::Lock | Name::Temp(_) => 4,
    }
}

impl Tally {
    pub(super) fn note(&mut self, file: Name, verdict: Verdict, found: bool) {
        let row = &mut self.rows[place(file)];
        row.opens += 1;
        match verdict {
            Verdict::Dead => row.dead += 1,
            Verdict::LastEdits | Verdict::Torn(_) => {
                row.undecidable += 1;
                row.undecidable_found += u64::from(found);
            }
            Verdict::Provable => {
                row.live += 1;
                row.found += u64::from(found);
            }
        }
    }

    pub(super) fn add(&mut self, other: &Tally) {
        for (sum, row) in self.rows.iter_mut().zip(&other.rows) {
            sum.opens += row.opens;
            sum.dead += row.dead;
            sum.undecidable += row.undecidable;
            sum.undecidable_found += row.undecidable_found;
            sum.live += row.live;
            sum.found += row.found;
        }
        self.forged += other.forged;
        self.written += other.written;
        self.salvaged += other.salvaged;
    }

    pub(super) fn opens(&self) -> u64 {
        self.rows.iter().map(|row| row.opens).sum::<u64>() + self.forged
    }

    /// So many damages of so many that had to be found were.
    pub(super) fn detected(&self) -> (u64, u64) {
        self.rows.iter().fold((0, 0), |(found, live), row| (found + row.found, live + row.live))
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, row) in FILES.iter().zip(&self.rows).filter(|(_, row)| row.opens > 0) {
            writeln!(
                f,
                "  {name}: {} damages; {} of {} to provable bytes found, {} of {} to the \
                 undecidable end, {} to dead bytes",
                grouped(row.opens),
                grouped(row.found),
                grouped(row.live),
                grouped(row.undecidable_found),
                grouped(row.undecidable),
                grouped(row.dead),
            )?;
        }
        Ok(())
    }
}
