//! Starts the operator.

use std::process::ExitCode;

use clap::Parser;
use operator::{
    arguments::{Arguments, Command},
    commands,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run(arguments) => commands::run::run(&arguments),
        Command::Crds => commands::crds::run(&mut std::io::stdout().lock()).map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error| fail(&error))
}

#[expect(clippy::print_stderr, reason = "the log may not exist when this is needed")]
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("roundhouse-operator: {error:#}");
    ExitCode::FAILURE
}
