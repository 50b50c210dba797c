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
    done.unwrap_or_else(|error| process::fail("roundhouse-operator", &error))
}
