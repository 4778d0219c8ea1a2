//! How libFuzzer and the sanitizer run here, unless the command line or `ASAN_OPTIONS` says
//! otherwise.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Set in the environment of a program that runs with these settings.
const SETTLED: &str = "ICECORE_FUZZ_SETTLED";

/// For targets that decode: inputs need not be longer.
pub const BYTES: &[&str] = &["-max_len=4096"];

/// For targets that run whole stores. A run reaches ten thousand places in the code. Entropic
/// scheduling, which keeps a table of rare places for every input, would cost more than the run;
/// and how often a place was reached is not looked at, for it differs in nearly every history.
/// Histories are short: there are many of them.
pub const HISTORIES: &[&str] = &["-entropic=0", "-use_counters=0", "-max_len=80"];

/// As [`HISTORIES`], but longer ones.
pub const LONG_HISTORIES: &[&str] = &["-entropic=0", "-use_counters=0", "-max_len=600"];

/// Where memory was allocated is not kept: collecting it costs a sixth of the time. To see it for
/// an input that fails, run that input alone with `ASAN_OPTIONS=malloc_context_size=30`. A smaller
/// quarantine stays in the cache of the processor.
const SANITIZER: &str = "malloc_context_size=1:quarantine_size_mb=8:thread_local_quarantine_size_kb=64:\
     detect_stack_use_after_return=0:max_malloc_fill_size=64";

/// Runs this program anew with these flags of libFuzzer and the sanitizer's settings above, if it does not have them yet.
///
/// # Panics
/// When the program cannot run itself.
pub fn settle(flags: &[&str]) {
    if env::var_os(SETTLED).is_some() {
        return;
    }
    let program = env::current_exe().expect("a program knows where it is");
    let said = env::var("ASAN_OPTIONS").unwrap_or_default();
    // What comes later wins: what was said.
    let error = Command::new(program)
        .args(flags)
        .args(env::args_os().skip(1))
        .env("ASAN_OPTIONS", format!("{SANITIZER}:{said}"))
        .env(SETTLED, "1")
        .exec();
    panic!("the program does not run itself: {error}");
}
