//! What a stopped machine suffers: one crash, as a value that can be written on a command line.

use std::fmt;
use std::str::FromStr;

use icecore_disk::sim::{Crash, Rules};

use crate::dice::Dice;
use crate::history::Fate;
use crate::violation::Violation;
use crate::world::World;

/// How a machine stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blow {
    /// The power is cut, and this survives.
    Power(Crash),
    /// The power is cut, and one sector is torn.
    Torn,
    /// The power is cut, and renames may leave both names.
    Alice,
    /// The process is killed.
    Kill,
}

/// How many different blows a stopped machine suffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Of so many pending items each is lost alone and kept alone, and each prefix and each suffix
    /// of them survives. Of more, an even choice.
    pub singles: usize,
    /// Of so many pending items each pair is lost and kept.
    pub pairs: usize,
    /// Of more, so many random subsets survive.
    pub subsets: usize,
    /// So many rounds of what only chance decides: the order of names, torn sectors, split renames.
    pub rounds: usize,
    /// Of the blows to a machine, so many are followed by recoveries that are stopped in turn.
    pub followed: usize,
    /// Of the pending items of a stopped recovery, so many are lost alone and kept alone; 0 for one
    /// blow in all to each stopped recovery.
    pub nested_singles: usize,
    /// How many stops in a row: 2 for a recovery that is stopped.
    pub depth: u32,
}

impl Effort {
    /// As much as the gate does in a few minutes.
    pub const GATE: Effort = Effort {
        singles: usize::MAX,
        pairs: 12,
        subsets: 16,
        rounds: 1,
        followed: 4,
        nested_singles: 0,
        depth: 2,
    };

    /// As much as is done in hours.
    pub const SOAK: Effort = Effort {
        subsets: 200,
        rounds: 8,
        followed: usize::MAX,
        nested_singles: usize::MAX,
        ..Effort::GATE
    };

    /// The blows to a machine that has stopped with so many `pending` items, all different unless
    /// they are left to chance.
    pub(crate) fn blows(&self, pending: usize, dice: &Dice) -> Vec<Blow> {
        let mut blows = vec![Blow::Power(Crash::KeepNone), Blow::Power(Crash::KeepAll), Blow::Kill];
        for _ in 0..self.rounds {
            blows.extend([Blow::Power(Crash::Random), Blow::Torn, Blow::Alice]);
        }
        if pending < 2 {
            return blows;
        }
        let chosen = spread(pending, self.singles, dice);
        for i in chosen {
            blows.extend([Blow::Power(Crash::Only(i)), Blow::Power(Crash::AllBut(i))]);
            // Shorter ones and longer ones than these are among those above.
            if (2..pending - 1).contains(&i) {
                blows.extend([Blow::Power(Crash::First(i)), Blow::Power(Crash::From(i))]);
            }
        }
        if pending <= self.pairs {
            blows.extend(pairs(pending));
        } else {
            blows.extend((0..self.subsets).map(|_| subset(pending, dice)));
        }
        blows
    }

    /// The blows to a recovery that has stopped with so many `pending` items.
    pub(crate) fn nested_blows(&self, pending: usize, dice: &Dice) -> Vec<Blow> {
        let basic = [
            Blow::Power(Crash::KeepNone),
            Blow::Power(Crash::KeepAll),
            Blow::Kill,
            Blow::Power(Crash::Random),
        ];
        if self.nested_singles == 0 {
            let any = dice.below(pending.max(1));
            let one = [Blow::Power(Crash::Only(any)), Blow::Power(Crash::AllBut(any))];
            let all: Vec<_> = basic.into_iter().chain(one).collect();
            return vec![all[dice.below(all.len())].clone()];
        }
        let single = |i| [Blow::Power(Crash::Only(i)), Blow::Power(Crash::AllBut(i))];
        let singles = spread(pending, self.nested_singles, dice).flat_map(single);
        basic.into_iter().chain(singles).collect()
    }
}

/// At most `max` of `0..pending`, evenly.
fn spread(pending: usize, max: usize, dice: &Dice) -> impl Iterator<Item = usize> {
    let stride = pending.div_ceil(max).max(1);
    (dice.below(stride)..pending).step_by(stride)
}

/// Each pair of items kept, and each lost.
fn pairs(pending: usize) -> impl Iterator<Item = Blow> {
    let all = (1u64 << pending) - 1;
    let two = move |i: usize| (i + 1..pending).map(move |j| 1u64 << i | 1 << j);
    let blow = |survivors: u64| Blow::Power(Crash::Subset(vec![survivors]));
    // Of three items, losing two is keeping one; of four, it is keeping the other two.
    let kept = if pending > 3 { pending } else { 0 };
    let lost = if pending > 4 { pending } else { 0 };
    let lose = (0..lost).flat_map(two).map(move |pair| blow(all & !pair));
    (0..kept).flat_map(two).map(blow).chain(lose)
}

fn subset(pending: usize, dice: &Dice) -> Blow {
    Blow::Power(Crash::Subset((0..pending.div_ceil(64)).map(|_| dice.next()).collect()))
}

impl Blow {
    /// The machine of `world`, which has stopped, suffers it.
    pub(crate) fn hit(&self, world: &mut World) {
        match self {
            Blow::Kill => world.disk.kill(),
            Blow::Power(crash) => world.disk.crash(crash.clone()),
            Blow::Torn | Blow::Alice => {
                let rules = world.disk.rules();
                let torn = *self == Blow::Torn;
                world.disk.set_rules(Rules { torn, alice: !torn, ..rules });
                world.disk.crash(Crash::Random);
                world.disk.set_rules(rules);
            }
        }
        match self.fate() {
            Fate::Power => world.totals.power_cuts += 1,
            Fate::Kill => world.totals.kills += 1,
        }
    }

    pub(crate) fn fate(&self) -> Fate {
        if *self == Blow::Kill { Fate::Kill } else { Fate::Power }
    }
}

impl fmt::Display for Blow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Blow::Kill => f.write_str("kill"),
            Blow::Torn => f.write_str("torn"),
            Blow::Alice => f.write_str("alice"),
            Blow::Power(Crash::Random) => f.write_str("random"),
            Blow::Power(Crash::KeepNone) => f.write_str("none"),
            Blow::Power(Crash::KeepAll) => f.write_str("all"),
            Blow::Power(Crash::Only(i)) => write!(f, "only-{i}"),
            Blow::Power(Crash::AllBut(i)) => write!(f, "but-{i}"),
            Blow::Power(Crash::First(i)) => write!(f, "first-{i}"),
            Blow::Power(Crash::From(i)) => write!(f, "from-{i}"),
            Blow::Power(Crash::Subset(words)) => {
                f.write_str("subset")?;
                words.iter().try_for_each(|word| write!(f, "-{word:x}"))
            }
        }
    }
}

impl FromStr for Blow {
    type Err = Violation;

    fn from_str(text: &str) -> Result<Blow, Violation> {
        let unknown = || Violation::new(format!("{text:?} is no blow"));
        let (kind, rest) = text.split_once('-').unwrap_or((text, ""));
        let number = || rest.parse().map_err(|_| unknown());
        let crash = match kind {
            "kill" => return Ok(Blow::Kill),
            "torn" => return Ok(Blow::Torn),
            "alice" => return Ok(Blow::Alice),
            "random" => Crash::Random,
            "none" => Crash::KeepNone,
            "all" => Crash::KeepAll,
            "only" => Crash::Only(number()?),
            "but" => Crash::AllBut(number()?),
            "first" => Crash::First(number()?),
            "from" => Crash::From(number()?),
            "subset" => {
                let word = |word| u64::from_str_radix(word, 16).map_err(|_| unknown());
                Crash::Subset(rest.split('-').map(word).collect::<Result<_, _>>()?)
            }
            _ => return Err(unknown()),
        };
        Ok(Blow::Power(crash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_blows_are_the_same_but_for_chance() {
        for pending in [0, 1, 2, 3, 4, 12, 13, 70] {
            let blows = Effort::GATE.blows(pending, &Dice::new(1));
            for (n, blow) in blows.iter().enumerate() {
                assert!(!blows[..n].contains(blow), "{blow} of {pending}");
            }
        }
    }

    #[test]
    fn every_item_is_lost_alone_and_kept_alone_and_every_prefix_and_suffix_survives() {
        for pending in [4, 13, 70] {
            let blows = Effort::GATE.blows(pending, &Dice::new(1));
            let has = |crash| blows.contains(&Blow::Power(crash));
            for i in 0..pending {
                assert!(has(Crash::Only(i)) && has(Crash::AllBut(i)), "{i} of {pending}");
            }
            for i in 2..pending - 1 {
                assert!(has(Crash::First(i)) && has(Crash::From(i)), "{i} of {pending}");
            }
        }
        assert!(Effort::GATE.blows(4, &Dice::new(1)).contains(&"subset-9".parse().unwrap()));
    }

    #[test]
    fn a_blow_is_read_as_it_is_written() {
        for pending in [5, 70] {
            for blow in Effort::SOAK.blows(pending, &Dice::new(1)) {
                assert_eq!(blow.to_string().parse::<Blow>(), Ok(blow));
            }
        }
        for wrong in ["", "nothing", "only", "only-x", "subset-", "subset-1-g"] {
            assert!(wrong.parse::<Blow>().is_err(), "{wrong}");
        }
    }
}
