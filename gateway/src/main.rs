//! Starts the gateway.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, error::ErrorKind};
use gateway::{
    arguments::{Arguments, Command, Serve, Validate},
    commands,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Serve(arguments) => serve(&arguments),
        Command::Validate(arguments) => validate(&arguments),
    }
}

fn serve(arguments: &Serve) -> ExitCode {
    if let Err(misuse) = arguments.check() {
        Arguments::command()
            .error(ErrorKind::ArgumentConflict, misuse)
            .exit();
    }
    commands::serve::run(arguments).unwrap_or_else(|error| fail(&error))
}

fn validate(arguments: &Validate) -> ExitCode {
    match commands::validate::run(&arguments.paths, &mut std::io::stdout().lock()) {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            fail(&error.into());
            ExitCode::from(BAD_USAGE)
        }
    }
}

/// The exit code of bad usage.
const BAD_USAGE: u8 = 2;

fn fail(error: &anyhow::Error) -> ExitCode {
    process::fail("roundhouse-gateway", error)
}
