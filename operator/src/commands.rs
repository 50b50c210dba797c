//! What the binary can do, one file per subcommand.

pub mod crds;
pub mod run;
