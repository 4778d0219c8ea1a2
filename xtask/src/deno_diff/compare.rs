//! What two outcomes of one history have in common, and the first step where they differ.
//!
//! Versionstamps are compared by their rank among all that the history has shown: each side counts
//! in its own way. They also stand in keys and so in cursors; there the twenty digits are replaced
//! in the same way. Deliveries have no order: Deno's have none.

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;

use super::history::{Entry, History, Outcome};
use super::tagged::{Tagged, Text};

const DIGITS: usize = 20;

/// Where outcomes differ first.
#[derive(Debug)]
pub(crate) struct Difference {
    /// The step, from 0.
    pub(crate) step: usize,
    pub(crate) deno: String,
    pub(crate) ours: String,
}

/// The first difference, if there is one.
pub(crate) fn compare(history: &History, deno: &[Outcome], ours: &[Outcome]) -> Option<Difference> {
    let (deno, ours) = (ranked(deno), ranked(ours));
    let step = (0..history.steps.len()).find(|step| deno[*step] != ours[*step])?;
    let text = |outcome: &Outcome| serde_json::to_string(outcome).expect("it can be written");
    Some(Difference { step, deno: text(&deno[step]), ours: text(&ours[step]) })
}

impl fmt::Display for Difference {
    /// Both texts, from shortly before the place where they part.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const BEFORE: usize = 80;
        const SHOWN: usize = 300;
        let same = self.deno.chars().zip(self.ours.chars()).take_while(|(a, b)| a == b).count();
        let from = same.saturating_sub(BEFORE);
        for (name, text) in [("deno", &self.deno), ("ours", &self.ours)] {
            let shown: String = text.chars().skip(from).take(SHOWN).collect();
            write!(f, "\n  {name} {}{shown}", if from > 0 { "… " } else { "" })?;
        }
        Ok(())
    }
}

/// The outcomes with ranks in the place of versionstamps.
fn ranked(outcomes: &[Outcome]) -> Vec<Outcome> {
    let mut stamps = BTreeSet::new();
    for outcome in outcomes {
        visit(&mut outcome.clone(), &mut |stamp| {
            stamps.insert(stamp.clone());
        });
    }
    let mut outcomes = outcomes.to_vec();
    let rank = |stamp: &String| stamps.iter().position(|it| it == stamp).expect("it was seen");
    for outcome in &mut outcomes {
        if let Outcome::Delivered { messages } = outcome {
            messages.sort_by_cached_key(|delivery| format!("{delivery:?}"));
        }
        visit(outcome, &mut |stamp| *stamp = format!("versionstamp {}", rank(stamp)));
    }
    outcomes
}

/// Shows every versionstamp of an outcome.
fn visit(outcome: &mut Outcome, show: &mut impl FnMut(&mut String)) {
    match outcome {
        Outcome::Commit { stamp } => stamp.iter_mut().for_each(show),
        Outcome::Entries { entries, cursor } => {
            for Entry { key, stamp, .. } in entries {
                stamp.iter_mut().for_each(&mut *show);
                key.iter_mut().filter_map(stamp_of_part).for_each(&mut *show);
            }
            if let Some(text) = cursor {
                visit_cursor(text, show);
            }
        }
        Outcome::Done | Outcome::Delivered { .. } | Outcome::Error { .. } => {}
    }
}

fn is_stamp(text: &str) -> bool {
    text.len() == DIGITS && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

fn stamp_of_part(part: &mut Tagged) -> Option<&mut String> {
    match part {
        Tagged::String(Text::Whole { v }) if is_stamp(v) => Some(v),
        _ => None,
    }
}

/// Shows the versionstamp in a cursor, if there is one, and takes the cursor apart around it.
fn visit_cursor(cursor: &mut String, show: &mut impl FnMut(&mut String)) {
    let Ok(bytes) = URL_SAFE.decode(&*cursor) else { return };
    let stamp_at = |at: usize| std::str::from_utf8(&bytes[at..at + DIGITS]).ok();
    let mut places = 0..(bytes.len() + 1).saturating_sub(DIGITS);
    let Some(at) = places.find(|at| stamp_at(*at).is_some_and(is_stamp)) else { return };
    let mut stamp = stamp_at(at).expect("it is there").to_owned();
    show(&mut stamp);
    let (front, rest) = (bytes[..at].escape_ascii(), bytes[at + DIGITS..].escape_ascii());
    *cursor = format!("{front}<{stamp}>{rest}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(stamp: &str, cursor: &str) -> Outcome {
        let key = vec![Tagged::text("log"), Tagged::text(stamp)];
        let entry = Entry { key, value: Some(Tagged::Null), stamp: Some(stamp.to_owned()) };
        Outcome::Entries { entries: vec![entry], cursor: Some(URL_SAFE.encode(cursor)) }
    }

    #[test]
    fn only_the_order_of_versionstamps_counts_wherever_they_are() {
        let of = |one: &str, other: &str| {
            let commit = Outcome::Commit { stamp: Some(one.to_owned()) };
            ranked(&[commit, list(other, &format!("\x02{other}\0"))])
        };
        let (a, b, c) = ("0000000000000001000a", "00000000000000020000", "00000000000000ff0000");
        assert_eq!(of(a, b), of(b, c));
        assert_eq!(of(a, c), of(a, b));
        assert_ne!(of(a, b), of(b, a));
        assert_ne!(of(a, b), of(a, a));
    }
}
