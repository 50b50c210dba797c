//! What is logged, and how it looks.

use clap::Args;
use telemetry::log::{Filter, Format, Log, LogError};

/// What is logged, and how it looks.
#[derive(Debug, Args)]
pub struct LogArguments {
    /// How log lines look.
    #[arg(
        id = "log_format",
        long = "log-format",
        env = "ROUNDHOUSE_LOG_FORMAT",
        value_name = "FORMAT",
        value_enum,
        default_value_t = Format::Text
    )]
    pub format: Format,

    /// A level, or levels by module: `info,pool::redis=debug`.
    #[arg(
        id = "log_level",
        long = "log-level",
        env = "ROUNDHOUSE_LOG_LEVEL",
        value_name = "FILTER",
        default_value = "info"
    )]
    pub level: Filter,
}

impl LogArguments {
    /// Begins the log. It goes on for as long as what this gives is kept.
    pub fn install(&self) -> Result<Log, LogError> {
        telemetry::log::install(self.format, &self.level)
    }
}
