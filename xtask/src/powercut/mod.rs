//! `cargo xtask powercut`: is what was acknowledged there after a power cut on a real file system?
//!
//! A child commits to a store on ext4 or XFS, on an image of its own. At some moment the file
//! system is shut down as a power cut does it: what is in memory alone, the journal included, never
//! reaches the image. Then the image is mounted again. Every second time the store is opened and
//! compared with [what it must hold](crate::chronicle); otherwise the next child recovers it, and
//! the power may be cut during that. One store lives for many cycles.
//!
//! The moment of a cut is chosen by the clock, so a run cannot be repeated exactly; the image of a
//! violation is kept.

mod cycle;

use clap::Args;

use self::cycle::{Finding, Site, Totals};
use crate::mounts::{self, FileSystem, Inside};
use crate::report::{Budget, Ending, Run, grouped};

/// How often.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Power cuts on ext4.
    #[arg(long, default_value_t = 1_000)]
    ext4: u64,
    /// Power cuts on XFS.
    #[arg(long, default_value_t = 300)]
    xfs: u64,
    #[command(flatten)]
    budget: Budget,
    #[command(flatten)]
    inside: Inside,
}

/// Says whether nothing was violated.
pub(crate) fn run(arguments: &Arguments) -> bool {
    let run = arguments.budget.begin();
    let stage = match mounts::enter(&arguments.inside) {
        Ok(stage) => stage,
        Err(reason) => return run.conclude("B9", "powercut", "", &Ending::Skipped(reason)),
    };
    let wanted = [(FileSystem::Ext4, arguments.ext4), (FileSystem::Xfs, arguments.xfs)];
    let (mut courses, mut skipped) = (Vec::new(), Vec::new());
    for (file_system, cycles) in wanted.into_iter().filter(|(_, cycles)| *cycles > 0) {
        match file_system.missing() {
            None => {
                courses.push(Course { site: Site::new(&stage, &run, file_system), cycles, done: 0 })
            }
            Some(missing) => skipped.push(format!("{} skipped: {missing}", file_system.name())),
        }
    }
    if courses.is_empty() {
        return run.conclude("B9", "powercut", "", &Ending::Skipped(skipped.join(", ")));
    }
    let mut totals = Totals::default();
    let held = cut_often(&run, &mut courses, &mut totals);
    let mut counts: Vec<_> = courses.iter().map(Course::count).collect();
    counts.push(totals.to_string());
    counts.extend(skipped);
    let ending = Ending::of(courses.iter().map(|course| course.done).sum(), held);
    run.conclude("B9", "powercut", &counts.join(", "), &ending)
}

/// What is to be done on one file system, and how much is done.
struct Course<'a> {
    site: Site<'a>,
    cycles: u64,
    done: u64,
}

impl Course<'_> {
    fn count(&self) -> String {
        format!("{} {} cycles", grouped(self.done), self.site.file_system().name())
    }
}

/// Cycles in turns, so that every file system gets its part of the time. Says whether all held.
fn cut_often(run: &Run, courses: &mut [Course<'_>], totals: &mut Totals) -> bool {
    let behind = |course: &&mut Course<'_>| course.done * 1_000_000 / course.cycles;
    while !run.is_over() {
        let unfinished = courses.iter_mut().filter(|course| course.done < course.cycles);
        let Some(course) = unfinished.min_by_key(behind) else { break };
        if let Err(finding) = course.site.cycle(totals) {
            tell(run, &course.site, &finding);
            return false;
        }
        course.done += 1;
    }
    courses.iter_mut().all(|course| {
        let last = course.site.verify(totals);
        last.inspect_err(|finding| tell(run, &course.site, finding)).is_ok()
    })
}

fn tell(run: &Run, site: &Site<'_>, finding: &Finding) {
    site.heard().for_each(|event| println!("  {event}"));
    println!("{}: {finding}", site.describe());
    match site.keep_image() {
        Ok(path) => println!("its image before the last comparison: {}", path.display()),
        Err(error) => println!("its image could not be kept: {error}"),
    }
    let seed = run.seed();
    println!("replay (the moments of the cuts will differ): cargo xtask powercut --seed {seed}");
}
