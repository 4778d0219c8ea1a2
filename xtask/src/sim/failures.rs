//! B4: each call of every script fails, in every way.

use icecore_sim::dice::Dice;
use icecore_sim::failures::Victim;
use icecore_sim::script::Script;
use icecore_sim::trouble::{TROUBLES, TroubleKind};
use icecore_sim::{Totals, Violation};

use super::pool::{Pool, shuffle};
use super::{Arguments, percent, tell};
use crate::report::{Ending, grouped};

/// A call that fails.
struct Point<'a> {
    victim: Victim<'a>,
    calls: u64,
    call: u64,
    kind: TroubleKind,
}

pub(super) fn run(arguments: &Arguments) -> bool {
    let run = arguments.budget.begin();
    let scripts = arguments.scripts();
    let victims = victims(arguments, &scripts);
    if victims.is_empty() {
        println!("no script has such a name");
        return false;
    }
    if let Some(call) = arguments.at {
        return replay(arguments, &victims, call);
    }
    let mut points = match points(arguments, &victims) {
        Ok(points) => points,
        Err(violation) => {
            println!("{violation}");
            return run.conclude("B4", "sim", "nothing was examined", &Ending::Violated);
        }
    };
    shuffle(&mut points, run.seed());
    let (threads, keep_going) = (arguments.threads, arguments.keep_going);
    let repeats = arguments.thorough && arguments.budget.is_bounded();
    let rounds = if repeats { u64::MAX } else { 1 };
    let done =
        Pool { run: &run, threads, keep_going, rounds }.work(&points, |point, round, seed| {
            // Every call comes first, and pairs of failures then.
            let thorough = arguments.thorough && (round > 0 || !repeats);
            examine(point, thorough.then_some(seed))
        });
    println!("{}", done.totals);
    let counts = format!(
        "{} of {} calls of {} scripts and their recoveries, each with {} kinds of trouble; {} \
         recoveries",
        percent(done.items, points.len() as u64),
        grouped(points.iter().filter(|point| point.kind == TROUBLES[0]).count() as u64),
        scripts.len(),
        TROUBLES.len(),
        grouped(done.totals.recoveries),
    );
    let ending = if done.failures == 0 { Ending::Held } else { Ending::Violated };
    run.conclude("B4", "sim", &counts, &ending)
}

fn victims<'a>(arguments: &Arguments, scripts: &'a [Script]) -> Vec<Victim<'a>> {
    let both = |script| [Victim::Script(script), Victim::Recovery(script)];
    let mut victims: Vec<_> = scripts.iter().flat_map(both).collect();
    victims.extend(arguments.wants(&Victim::Creation.name()).then_some(Victim::Creation));
    victims
}

fn points<'a>(arguments: &Arguments, victims: &[Victim<'a>]) -> Result<Vec<Point<'a>>, Violation> {
    let kinds: Vec<_> = arguments.trouble.map_or(TROUBLES.to_vec(), |kind| vec![kind]);
    let mut points = Vec::new();
    for victim in victims {
        let calls = victim.calls()?;
        let all = kinds.iter().flat_map(|kind| (0..calls).map(move |call| (*kind, call)));
        points.extend(all.map(|(kind, call)| Point { victim: *victim, calls, call, kind }));
    }
    Ok(points)
}

/// Lets the call fail; with a seed, then also a later one.
fn examine(point: &Point<'_>, pair: Option<u64>) -> Result<Totals, String> {
    let Point { victim, calls, call, kind } = *point;
    let fail = |second: Option<u64>| {
        victim.fail(kind, call, second).map_err(|violation| {
            let name = victim.name();
            let (only, of) = name.split_once("recovery after ").map_or((&*name, ""), |(_, name)| {
                (name, " in the recovery after it")
            });
            let and = second.map(|second| format!(" --and {second}")).unwrap_or_default();
            format!(
                "{only}, {kind} at call {call}{of}: {violation}\n  cargo xtask sim --failures --only \
                 {only:?} --at {call} --trouble {kind}{and}"
            )
        })
    };
    let mut totals = fail(None)?;
    if let Some(seed) = pair.filter(|_| !kind.for_ever) {
        // Two errors often have to do with each other when they are close.
        let dice = Dice::new(seed ^ call);
        let reach = usize::try_from(calls - call).unwrap_or(usize::MAX).max(1);
        let distance = 1 + dice.below(dice.pick(&[4, 16, reach]));
        totals += fail(Some(call + distance as u64))?;
    }
    Ok(totals)
}

fn replay(arguments: &Arguments, victims: &[Victim<'_>], call: u64) -> bool {
    let kinds: Vec<_> = arguments.trouble.map_or(TROUBLES.to_vec(), |kind| vec![kind]);
    let mut held = true;
    for victim in victims {
        for kind in &kinds {
            let what = format!("{}, {kind} at call {call},", victim.name());
            held &= tell(&what, victim.fail(*kind, call, arguments.and));
        }
    }
    held
}
