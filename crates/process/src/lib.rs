//! What both processes are started and ended with.

pub mod arguments;
mod signals;

use std::process::ExitCode;

pub use signals::signals;

/// Says on standard error why a process cannot go on, and gives the code to end it with.
#[expect(clippy::print_stderr, reason = "the log may not exist when this is needed")]
pub fn fail(name: &str, error: &anyhow::Error) -> ExitCode {
    eprintln!("{name}: {error:#}");
    ExitCode::FAILURE
}
