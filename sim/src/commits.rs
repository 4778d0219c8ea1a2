//! Commits of a history, and what is demanded of their outcome.

use std::task::Poll;

use icecore_engine::{Durability, ErrorKind, Outcome};
use icecore_model::Versionstamp;

use crate::batch::{BatchSpec, CheckSpec, MutationSpec};
use crate::history::CheckPlan;
use crate::model::Fruitless;
use crate::violation::{Violation, ensure};
use crate::world::{Compared, InFlight, World, poll_once};

impl World {
    pub(crate) fn commit(
        &mut self,
        checks: &[CheckPlan],
        mutations: &[MutationSpec],
        durability: Durability,
        wait: bool,
    ) -> Result<(), Violation> {
        let now = self.life.now;
        let checks = checks.iter().map(|plan| self.settle(plan)).collect();
        let batch = BatchSpec { checks, mutations: mutations.to_vec() };
        let compared = Compared { last: self.life.last, now };
        let stamp = compared.last + 1;
        let resolved = self.model.resolve(&batch, stamp, now);
        let was_poisoned = self.life.poisoned;
        let failed_before = self.check_fail_stop(stamp);
        let engine = self.engine()?;
        let answer = if wait {
            Poll::Ready(batch.with(|batch| engine.commit_with(batch, durability)))
        } else {
            let mut future = batch.with(|batch| engine.commit_async(batch, durability));
            let answer = poll_once(&mut future);
            if answer.is_pending() {
                let expected = match &resolved {
                    Ok(_) => Outcome::Committed(Versionstamp::new(stamp)),
                    Err(Fruitless::CheckFailed(indexes)) => {
                        Outcome::CheckFailed { indexes: indexes.clone() }
                    }
                    Err(Fruitless::Refused) => {
                        return Err(Violation::new("a commit that must be refused is under way"));
                    }
                };
                self.in_flight.push(InFlight { future, batch: batch.clone(), expected, compared });
            }
            answer
        };
        self.note(|| format!("  at {stamp}: {answer:?}"));
        let appended = match &answer {
            Poll::Pending => resolved.is_ok(),
            Poll::Ready(Ok(Outcome::Committed(_))) => true,
            Poll::Ready(Err(error)) => error.kind() == ErrorKind::OutcomeUnknown,
            Poll::Ready(Ok(_)) => false,
        };
        let shown = self.shown;
        ensure(!appended || stamp > shown, || format!("{stamp} comes again, {shown} was shown"))?;
        let fruitless = match resolved {
            Ok(effects) if appended => {
                self.model.apply(effects, stamp, durability == Durability::Sync);
                self.life.last = stamp;
                None
            }
            Ok(_) => None,
            Err(fruitless) => Some(fruitless),
        };
        if appended && !matches!(&answer, Poll::Ready(Err(_))) {
            failed_before?;
        }
        ensure(!(appended && was_poisoned), || "a poisoned store took a commit".to_owned())?;
        match answer {
            Poll::Pending => Ok(()),
            Poll::Ready(Ok(outcome)) => {
                let expected = match fruitless {
                    None => Outcome::Committed(Versionstamp::new(stamp)),
                    Some(Fruitless::CheckFailed(indexes)) => {
                        self.totals.failed_checks += 1;
                        self.show_failure(&batch, &indexes, compared)?;
                        Outcome::CheckFailed { indexes }
                    }
                    Some(Fruitless::Refused) => {
                        return Err(Violation::new(format!("not refused, but {outcome:?}")));
                    }
                };
                self.told(&outcome, &expected)
            }
            Poll::Ready(Err(error)) => match (error.kind(), fruitless) {
                (ErrorKind::TypeMismatch, Some(Fruitless::Refused)) => Ok(()),
                _ => self.refused(&error),
            },
        }
    }

    /// A caller who is told that a check failed must see why. Commits and clock readings after the
    /// comparison may have undone it, and do not count.
    pub(crate) fn show_failure(
        &self,
        batch: &BatchSpec,
        indexes: &[usize],
        compared: Compared,
    ) -> Result<(), Violation> {
        let at = self.visible().min(compared.last);
        for index in indexes {
            let check = batch.checks.get(*index).ok_or_else(|| {
                Violation::new(format!("check {index} failed, and there is no such check"))
            })?;
            let seen = self.model.get(&check.key, at, compared.now).map(|(stamp, _)| stamp);
            ensure(seen != check.expected, || {
                format!("check {index} failed because of a state that is not visible")
            })?;
        }
        Ok(())
    }

    fn settle(&self, plan: &CheckPlan) -> CheckSpec {
        let actual = self.model.get(&plan.key, u64::MAX, self.life.now).map(|(stamp, _)| stamp);
        let expected = match (plan.right, actual) {
            (true, actual) => actual,
            (false, Some(stamp)) if stamp % 2 == 0 => None,
            (false, Some(stamp)) => Some(stamp - 1),
            (false, None) => Some(self.life.last.max(1)),
        };
        CheckSpec { key: plan.key.clone(), expected }
    }
}
