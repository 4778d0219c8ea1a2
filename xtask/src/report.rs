//! What a check says at its end, in one line, and how long it may take.
//!
//! Every check of the crash-safety programme ends with one line that begins with its id, so that
//! the gate and the soak, which run checks as processes of their own, can collect it:
//!
//! ```text
//! B8 kill9: 2,003 kills, 5,331,007 acknowledged commits; seed 17; 188 s; held
//! B9 powercut: skipped: it needs root
//! ```

use std::time::{Duration, Instant};

use clap::Args;
use icecore_disk::Random;
use icecore_disk::random::SystemRandom;

/// How far a check goes.
#[derive(Args, Clone, Debug)]
pub(crate) struct Budget {
    /// Begins nothing new after so many seconds.
    #[arg(long)]
    seconds: Option<u64>,
    /// Where its dice begin; drawn and printed if it is left out.
    #[arg(long)]
    seed: Option<u64>,
}

/// A check on its way.
#[derive(Debug)]
pub(crate) struct Run {
    seed: u64,
    begun: Instant,
    limit: Option<Duration>,
}

/// How a check ended.
#[derive(Debug)]
pub(crate) enum Ending {
    /// Everything that was examined held.
    Held,
    /// Something did not hold; what it was has been printed.
    Violated,
    /// Nothing was examined that could have been violated.
    Idle,
    /// It could not run here, and why.
    Skipped(String),
}

impl Ending {
    /// How a check ends that has examined so many things. Nothing is not enough to hold.
    pub(crate) fn of(examined: u64, held: bool) -> Ending {
        match (held, examined) {
            (false, _) => Ending::Violated,
            (true, 0) => Ending::Idle,
            (true, _) => Ending::Held,
        }
    }
}

impl Budget {
    /// The seed that was asked for, if one was.
    pub(crate) fn seed(&self) -> Option<u64> {
        self.seed
    }

    /// Whether the time is bounded.
    pub(crate) fn is_bounded(&self) -> bool {
        self.seconds.is_some()
    }

    /// How many seconds were given, if they were.
    pub(crate) fn seconds(&self) -> Option<u64> {
        self.seconds
    }

    /// Starts the clock, with the dice at `seed` if it is given.
    pub(crate) fn begin_at(&self, seed: Option<u64>) -> Run {
        Budget { seed: seed.or(self.seed), ..self.clone() }.begin()
    }

    /// Starts the clock.
    #[expect(clippy::disallowed_methods, reason = "a check is bounded by real time")]
    pub(crate) fn begin(&self) -> Run {
        // Six digits are enough, and can be typed.
        let drawn =
            || SystemRandom.next_u64().expect("the system gives random numbers") % 1_000_000;
        let seed = self.seed.unwrap_or_else(drawn);
        let limit = self.seconds.map(Duration::from_secs);
        Run { seed, begun: Instant::now(), limit }
    }
}

impl Run {
    /// Where the dice begin.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// How long it has been running.
    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Whether nothing new is to be begun.
    pub(crate) fn is_over(&self) -> bool {
        self.limit.is_some_and(|limit| self.elapsed() >= limit)
    }

    /// Prints the line that ends the check `id`, named as its command is. `counts` says how much was
    /// examined. Says whether nothing was violated.
    pub(crate) fn conclude(&self, id: &str, name: &str, counts: &str, ending: &Ending) -> bool {
        let ended = match ending {
            Ending::Held => "held",
            Ending::Violated => "VIOLATED",
            Ending::Idle => "NOTHING EXAMINED",
            Ending::Skipped(reason) => {
                println!("{id} {name}: skipped: {reason}");
                return true;
            }
        };
        let seconds = self.elapsed().as_secs();
        println!("{id} {name}: {counts}; seed {}; {seconds} s; {ended}", self.seed);
        matches!(ending, Ending::Held)
    }
}

/// A number with commas between its thousands.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_commas_between_its_thousands() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(5_331_007), "5,331,007");
    }
}
