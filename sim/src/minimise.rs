//! Making a history that fails smaller: fewer operations, fewer rules of the disk, fewer stops.
//!
//! A [`Part`] says what of the history of a seed is carried out. The history is drawn in full first and
//! cut down then, so that what is left of it stays as it was. Operations are taken away in chunks
//! that become smaller and smaller (Zeller and Hildebrandt, "Simplifying and isolating
//! failure-inducing input", 2002), rules one after the other. What is left fails, perhaps in another
//! way than the whole.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use icecore_disk::sim::Rules;

use crate::generate::History;
use crate::history::{Op, Revival};
use crate::mutant_disk::DiskBug;
use crate::search::run_part;
use crate::violation::Violation;

/// Operations by their numbers in the history, as `3-7,19`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept(Vec<usize>);

/// What of a history is carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// These operations; `None` for all.
    pub kept: Option<Kept>,
    /// The rules of the disk without these.
    pub without: Vec<String>,
    /// Of the recoveries after a stop, at most so many are stopped in turn; `None` for all.
    pub nested: Option<usize>,
    /// The store is created in peace.
    pub calm_birth: bool,
}

impl Part {
    /// Cuts `history` down to this part.
    ///
    /// # Errors
    /// When no rule has one of the names.
    pub fn reduce(&self, mut history: History) -> Result<History, Violation> {
        for name in &self.without {
            let known = Rules::SWITCHES.contains(&name.as_str());
            let rules = known.then(|| history.rules.without(name));
            history.rules =
                rules.ok_or_else(|| Violation::new(format!("no rule is called {name:?}")))?;
        }
        if let Some(Kept(kept)) = &self.kept {
            let mut number = 0..;
            history.ops.retain(|_| number.next().is_some_and(|n| kept.binary_search(&n).is_ok()));
        }
        if self.calm_birth {
            history.birth = None;
        }
        if let Some(max) = self.nested {
            let birth = history.birth.iter_mut().map(|(_, revival)| revival);
            let revivals = birth.chain(history.ops.iter_mut().filter_map(revival));
            revivals.for_each(|revival| revival.nested.truncate(max));
        }
        Ok(history)
    }
}

fn revival(op: &mut Op) -> Option<&mut Revival> {
    match op {
        Op::Stop(revival) | Op::StopAfter { revival, .. } => Some(revival),
        _ => None,
    }
}

/// What is to be added to the command that runs the whole history.
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(kept) = &self.kept {
            write!(f, " --keep-ops {kept}")?;
        }
        if !self.without.is_empty() {
            write!(f, " --without {}", self.without.join(","))?;
        }
        if let Some(nested) = self.nested {
            write!(f, " --nested {nested}")?;
        }
        if self.calm_birth {
            f.write_str(" --calm-birth")?;
        }
        Ok(())
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        let runs = self.0.chunk_by(|a, b| a + 1 == *b);
        for (n, run) in runs.enumerate() {
            let comma = if n == 0 { "" } else { "," };
            match run {
                [only] => write!(f, "{comma}{only}")?,
                [first, .., last] => write!(f, "{comma}{first}-{last}")?,
                [] => {}
            }
        }
        Ok(())
    }
}

impl FromStr for Kept {
    type Err = Violation;

    fn from_str(text: &str) -> Result<Kept, Violation> {
        let mut kept = Vec::new();
        for part in text.split(',').filter(|_| text != "none") {
            let run = run_of(part);
            let run = run.filter(|run| kept.last().is_none_or(|last| last < run.start()));
            let wrong = || Violation::new(format!("{part:?} is no number or range that follows"));
            kept.extend(run.ok_or_else(wrong)?);
        }
        Ok(Kept(kept))
    }
}

/// More operations than any history has.
const OPERATION_MAX: usize = 1_000_000;

fn run_of(text: &str) -> Option<RangeInclusive<usize>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let run = first.parse().ok()?..=last.parse().ok()?;
    (run.start() <= run.end() && *run.end() <= OPERATION_MAX).then_some(run)
}

/// The smallest part of the history of `seed` that was found to fail before the time `is_over`.
pub fn minimise(seed: u64, bug: Option<DiskBug>, is_over: &dyn Fn() -> bool) -> Part {
    let history = History::new(seed);
    let everything = Kept((0..history.ops.len()).collect());
    let whole = Part { kept: Some(everything), ..Part::default() };
    let mut search = Minimiser { seed, bug, is_over, part: whole };
    loop {
        let before = search.part.clone();
        search.drop_operations();
        search.calm_down(&history);
        if search.part == before || is_over() {
            return search.part;
        }
    }
}

struct Minimiser<'a> {
    seed: u64,
    bug: Option<DiskBug>,
    is_over: &'a dyn Fn() -> bool,
    part: Part,
}

impl Minimiser<'_> {
    /// Takes `smaller` if it fails, too.
    fn take(&mut self, smaller: Part) -> bool {
        if (self.is_over)() {
            return false;
        }
        let fails = run_part(self.seed, &smaller, self.bug, false).violation.is_some();
        if fails {
            self.part = smaller;
        }
        fails
    }

    fn drop_operations(&mut self) {
        let kept = |part: &Part| part.kept.as_ref().map_or(&[][..], |Kept(ops)| ops).to_vec();
        let mut chunk = kept(&self.part).len().div_ceil(2).max(1);
        loop {
            // From the end: what comes after the failure goes at once.
            let mut end = kept(&self.part).len();
            while end > 0 {
                let start = end.saturating_sub(chunk);
                let mut fewer = kept(&self.part);
                fewer.drain(start..end);
                self.take(Part { kept: Some(Kept(fewer)), ..self.part.clone() });
                end = start;
            }
            if chunk == 1 || (self.is_over)() {
                return;
            }
            chunk = chunk.div_ceil(2);
        }
    }

    fn calm_down(&mut self, history: &History) {
        if history.birth.is_some() && !self.part.calm_birth {
            self.take(Part { calm_birth: true, ..self.part.clone() });
        }
        for nested in 0..self.part.nested.unwrap_or(3) {
            if self.take(Part { nested: Some(nested), ..self.part.clone() }) {
                break;
            }
        }
        for name in Rules::SWITCHES {
            let is_off = self.part.without.iter().any(|without| without == name);
            if history.rules.is_on(name) && !is_off {
                let mut part = self.part.clone();
                part.without.push((*name).to_owned());
                self.take(part);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_operations_are_read_as_they_are_written() {
        for text in ["none", "0", "3-7,19", "0-1,3,5-9"] {
            assert_eq!(text.parse::<Kept>().unwrap().to_string(), text);
        }
        for wrong in ["", "3-", "7-3", "3,3", "5,2", "x", "0-18446744073709551615"] {
            assert!(wrong.parse::<Kept>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_kept_of_a_history_stays_as_it_was() {
        let whole = History::new(7);
        let part = Part { kept: Some("2-3,9".parse().unwrap()), ..Part::default() };
        let reduced = part.reduce(History::new(7)).unwrap();
        let told = |ops: &[&Op]| format!("{ops:?}");
        let expected: Vec<_> = [2, 3, 9].map(|n: usize| &whole.ops[n]).into();
        assert_eq!(told(&reduced.ops.iter().collect::<Vec<_>>()), told(&expected));
        assert_eq!(reduced.rules, whole.rules);
    }

    #[test]
    fn rules_and_stops_of_recoveries_can_be_left_out() {
        let part = Part {
            without: vec!["lengths".to_owned()],
            nested: Some(0),
            calm_birth: true,
            ..Part::default()
        };
        let mut reduced = part.reduce(History::new(7)).unwrap();
        assert!(!reduced.rules.lengths && reduced.rules.sectors && reduced.birth.is_none());
        assert!(reduced.ops.iter_mut().filter_map(revival).all(|r| r.nested.is_empty()));
        let unknown = Part { without: vec!["gravity".to_owned()], ..Part::default() };
        assert!(unknown.reduce(History::new(7)).is_err());
    }
}
