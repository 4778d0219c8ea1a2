//! Runs the models. It is started by `cargo xtask shuttle`, in the build that has them.

#[cfg(not(shuttle))]
fn main() {
    eprintln!("the models are built with RUSTFLAGS=\"--cfg shuttle\": cargo xtask shuttle");
    std::process::exit(2);
}

#[cfg(shuttle)]
mod command;

#[cfg(shuttle)]
fn main() -> std::process::ExitCode {
    command::main()
}
