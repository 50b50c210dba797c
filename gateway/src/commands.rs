//! What the binary can do, one file per subcommand.

pub mod serve;
pub mod validate;
