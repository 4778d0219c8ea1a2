//! One entry for every check.

mod api;
mod bank;
#[cfg(target_os = "linux")]
mod blocklog;
#[cfg(target_os = "linux")]
mod chronicle;
mod connect_check;
mod coverage;
mod damage;
mod deno_diff;
#[cfg(target_os = "linux")]
mod eio;
#[cfg(target_os = "linux")]
mod enospc;
mod fuzz;
mod golden;
mod kill9;
mod loom;
mod metamorphic;
mod miri;
mod model;
#[cfg(target_os = "linux")]
mod mounts;
mod mutants;
mod nightly;
#[cfg(target_os = "linux")]
mod powercut;
mod programme;
mod recovery;
mod replay;
mod report;
mod sanitizers;
mod search;
#[cfg(target_os = "linux")]
mod serve_bench;
mod shuttle;
mod sim;
mod verify;
mod witness;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "One entry for every check")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Lets sixteen threads use one store, and checks that all they saw fits one order of commits.
    Bank(bank::Arguments),
    /// Runs the store under a seeded scheduler of its threads.
    Shuttle(shuttle::Arguments),
    /// Runs every interleaving of the lock-free parts.
    Loom(loom::Arguments),
    /// Runs the store on the simulated disk.
    Sim(sim::Arguments),
    /// Compares the store with the real Deno.
    DenoDiff(deno_diff::Arguments),
    /// Lets real programs of Deno and Node use a store that is served.
    ConnectCheck(connect_check::Arguments),
    /// Measures a store that is served, beside `denokv`.
    #[cfg(target_os = "linux")]
    ServeBench(serve_bench::Arguments),
    /// Kills a process at work again and again, and looks for what it had acknowledged.
    Kill9(kill9::Arguments),
    /// The process that is killed.
    #[command(hide = true)]
    Kill9Child(kill9::ChildArguments),
    /// Runs the fuzz targets for a while.
    Fuzz(fuzz::Arguments),
    /// Compares the golden stores with what is written today.
    Golden(golden::Arguments),
    /// Damages golden stores, and holds that nothing wrong is ever read.
    Damage(damage::Arguments),
    /// Looks for bugs that were planted.
    Mutants(mutants::Arguments),
    /// Runs the tests over unsafe code in Rust's interpreter.
    Miri(miri::Arguments),
    /// Runs the tests of the storage crates under AddressSanitizer.
    Asan(sanitizers::Arguments),
    /// Runs the tests with threads under ThreadSanitizer.
    Tsan(sanitizers::Arguments),
    /// Runs long histories on stores of many settings, which must not differ.
    Metamorphic(metamorphic::Arguments),
    /// Writes a million keys through thousands of flushes, and compares them with a model.
    Model(model::Arguments),
    /// Looks at the store after every write to its block device.
    #[cfg(target_os = "linux")]
    Blocklog(blocklog::Arguments),
    /// Fills the disk of the store.
    #[cfg(target_os = "linux")]
    Enospc(enospc::Arguments),
    /// Lets system calls of a store fail.
    #[cfg(target_os = "linux")]
    Eio(eio::Arguments),
    /// Cuts the power of real file systems, and looks whether all is there that must be.
    #[cfg(target_os = "linux")]
    Powercut(powercut::Arguments),
    /// Writes to a store, for the checks that stop it.
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    StoreChild(chronicle::child::Arguments),
    /// Recovers long logs, and kills that again and again.
    RecoveryTime(recovery::Arguments),
    /// The process that fills and recovers them.
    #[command(hide = true)]
    RecoveryChild(recovery::ChildArguments),
    /// Crashes what a real process has done to its files after every step.
    Replay(replay::Arguments),
    /// Runs the crash-safety programme within a few minutes.
    Programme(programme::Gate),
    /// Runs the crash-safety programme for hours, and writes a report.
    Soak(programme::Soak),
    /// Says which lines of the storage crates the tests reach, and which errors of the disk they take.
    Coverage(coverage::Arguments),
    /// Compares the public items with the list that was reviewed.
    Api(api::Arguments),
    /// Runs what CI runs.
    Verify,
}

fn main() -> ExitCode {
    let passed = match Arguments::parse().task {
        Task::Bank(arguments) => bank::run(&arguments),
        Task::Shuttle(arguments) => shuttle::run(&arguments),
        Task::Loom(arguments) => loom::run(&arguments),
        Task::Sim(arguments) => sim::run(&arguments),
        Task::DenoDiff(arguments) => deno_diff::run(&arguments),
        Task::ConnectCheck(arguments) => connect_check::run(&arguments),
        #[cfg(target_os = "linux")]
        Task::ServeBench(arguments) => serve_bench::run(&arguments),
        Task::Kill9(arguments) => kill9::run(&arguments),
        Task::Kill9Child(arguments) => kill9::run_child(&arguments),
        Task::Fuzz(arguments) => fuzz::run(&arguments),
        Task::Golden(arguments) => golden::run(&arguments),
        Task::Damage(arguments) => damage::run(&arguments),
        Task::Mutants(arguments) => mutants::run(&arguments),
        Task::Miri(arguments) => miri::run(&arguments),
        Task::Asan(arguments) => sanitizers::address(&arguments),
        Task::Tsan(arguments) => sanitizers::thread(&arguments),
        Task::Metamorphic(arguments) => metamorphic::run(&arguments),
        Task::Model(arguments) => model::run(&arguments),
        #[cfg(target_os = "linux")]
        Task::Blocklog(arguments) => blocklog::run(&arguments),
        #[cfg(target_os = "linux")]
        Task::Enospc(arguments) => enospc::run(&arguments),
        #[cfg(target_os = "linux")]
        Task::Eio(arguments) => eio::run(&arguments),
        #[cfg(target_os = "linux")]
        Task::Powercut(arguments) => powercut::run(&arguments),
        #[cfg(target_os = "linux")]
        Task::StoreChild(arguments) => chronicle::child::run(&arguments),
        Task::RecoveryTime(arguments) => recovery::run(&arguments),
        Task::RecoveryChild(arguments) => recovery::run_child(&arguments),
        Task::Replay(arguments) => replay::run(&arguments),
        Task::Programme(arguments) => programme::gate(&arguments),
        Task::Soak(arguments) => programme::soak(&arguments),
        Task::Coverage(arguments) => coverage::run(&arguments),
        Task::Api(arguments) => api::run(&arguments),
        Task::Verify => verify::run(),
    };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
