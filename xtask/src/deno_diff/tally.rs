//! What was compared, in numbers: a check that meets no error has checked little.

use std::collections::BTreeMap;
use std::fmt;

use super::history::{History, Outcome, Step};

#[derive(Default)]
pub(crate) struct Tally {
    steps: BTreeMap<&'static str, usize>,
    outcomes: BTreeMap<&'static str, usize>,
    errors: BTreeMap<String, usize>,
}

impl Tally {
    /// Counts a history.
    pub(crate) fn count(&mut self, history: &History, outcomes: &[Outcome]) {
        for (step, outcome) in history.steps.iter().zip(outcomes) {
            *self.steps.entry(name(step)).or_default() += 1;
            let what = match outcome {
                Outcome::Commit { stamp: Some(_) } => "commits",
                Outcome::Commit { stamp: None } => "failed checks",
                Outcome::Entries { entries, .. } => {
                    *self.outcomes.entry("entries").or_default() += entries.len();
                    "reads"
                }
                Outcome::Delivered { messages } => {
                    *self.outcomes.entry("deliveries").or_default() += messages.len();
                    continue;
                }
                Outcome::Done => continue,
                Outcome::Error { text } => {
                    *self.errors.entry(text.clone()).or_default() += 1;
                    "errors"
                }
            };
            *self.outcomes.entry(what).or_default() += 1;
        }
    }
}

fn name(step: &Step) -> &'static str {
    match step {
        Step::Get { .. } => "get",
        Step::GetMany { .. } => "getMany",
        Step::Set { .. } => "set",
        Step::Delete { .. } => "delete",
        Step::Atomic { .. } => "atomic",
        Step::Enqueue(_) => "enqueue",
        Step::List(_) => "list",
        Step::Watch { .. } => "watch",
        Step::Look { .. } => "look",
        Step::Pass => "time passes",
        Step::Deliver => "deliver",
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |counts: &BTreeMap<&str, usize>| {
            let counts: Vec<String> =
                counts.iter().map(|(name, n)| format!("{name} {n}")).collect();
            counts.join(", ")
        };
        let steps: usize = self.steps.values().sum();
        writeln!(f, "{steps} steps: {}", joined(&self.steps))?;
        write!(f, "of these: {}", joined(&self.outcomes))?;
        self.errors.iter().try_for_each(|(text, n)| write!(f, "\n{n:6}  {text}"))
    }
}
