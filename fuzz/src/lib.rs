//! How libFuzzer and the sanitizer run here, unless the command line or `ASAN_OPTIONS` says
//! otherwise.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Set in the environment of a program that runs with these settings.
const SETTLED: &str = "ICECORE_FUZZ_SETTLED";

/// How libFuzzer runs a target.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    flags: &'static [&'static str],
    /// What the program compares is put into inputs.
    imitates: bool,
}

/// For targets that decode: inputs need not be longer.
pub const BYTES: Manner = Manner { flags: &["-max_len=4096"], imitates: true };

/// For targets that run whole stores. A run reaches ten thousand places in the code. Entropic
/// scheduling, which keeps a table of rare places for every input, would cost more than the run;
/// and how often a place was reached is not looked at, for it differs in nearly every history.
/// Histories are short: there are many of them.
pub const HISTORIES: Manner =
    Manner { flags: &["-entropic=0", "-use_counters=0", "-max_len=40"], imitates: false };

/// As [`HISTORIES`], but longer ones.
pub const LONG_HISTORIES: Manner =
    Manner { flags: &["-entropic=0", "-use_counters=0", "-max_len=600"], imitates: false };

/// Where memory was allocated is not kept: collecting it costs a sixth of the time. To see it for
/// an input that fails, run that input alone with `ASAN_OPTIONS=malloc_context_size=30`. A small
/// quarantine stays in the cache of the processor, which saves a quarter of the time; what was freed
/// longer ago than it holds may be in use again.
const SANITIZER: &str = "malloc_context_size=1:quarantine_size_mb=2:thread_local_quarantine_size_kb=64:\
     detect_stack_use_after_return=0:max_malloc_fill_size=64";

/// Runs this program anew in this manner and with the sanitizer's settings above, if it does not
/// run so yet.
///
/// # Panics
/// When the program cannot run itself.
pub fn settle(manner: Manner) {
    if env::var_os(SETTLED).is_some() {
        if manner.imitates {
            trace_comparisons();
        }
        return;
    }
    let program = env::current_exe().expect("a program knows where it is");
    let said = env::var("ASAN_OPTIONS").unwrap_or_default();
    // What comes later wins: what was said.
    let error = Command::new(program)
        .args(manner.flags)
        .args(env::args_os().skip(1))
        .env("ASAN_OPTIONS", format!("{SANITIZER}:{said}"))
        .env(SETTLED, "1")
        .exec();
    panic!("the program does not run itself: {error}");
}

/// From here on libFuzzer is told of each comparison that the program makes.
fn trace_comparisons() {
    unsafe extern "C" {
        /// The gate before the calls that tell of comparisons; the compiler makes it.
        static mut __sancov_should_track: u64;
    }
    // SAFETY: the name is that of a variable of 64 bits, which is in every program that is compiled
    // as the profile of this package says; the program has one thread yet, and what the compiler
    // puts before comparisons only reads it.
    unsafe { __sancov_should_track = 1 }
}
