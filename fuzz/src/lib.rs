//! How libFuzzer and the sanitizer run here, unless the command line or `ASAN_OPTIONS` says
//! otherwise.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Set in the environment of a program that runs with these settings.
const SETTLED: &str = "ICECORE_FUZZ_SETTLED";

/// Entropic scheduling keeps a table of rare features for every input. A run of a whole store has
/// ten thousand features, and the table would cost more than the run.
const FLAGS: [&str; 1] = ["-entropic=0"];

/// Where memory was allocated is not kept: collecting it costs a sixth of the time. To see it for
/// an input that fails, run that input alone with `ASAN_OPTIONS=malloc_context_size=30`. A smaller
/// quarantine stays in the cache of the processor.
const SANITIZER: &str =
    "malloc_context_size=1:quarantine_size_mb=8:thread_local_quarantine_size_kb=64:\
     detect_stack_use_after_return=0";

/// Runs this program anew with the settings above, if it does not have them yet.
///
/// # Panics
/// When the program cannot run itself.
pub fn settle() {
    if env::var_os(SETTLED).is_some() {
        return;
    }
    let program = env::current_exe().expect("a program knows where it is");
    let said = env::var("ASAN_OPTIONS").unwrap_or_default();
    // What comes later wins: what was said.
    let error = Command::new(program)
        .args(FLAGS)
        .args(env::args_os().skip(1))
        .env("ASAN_OPTIONS", format!("{SANITIZER}:{said}"))
        .env(SETTLED, "1")
        .exec();
    panic!("the program does not run itself: {error}");
}
