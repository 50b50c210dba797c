//! How scripts are run.

use ::redis::Value;

/// Runs scripts at a store that may be away.
pub trait Scripts: Send + Sync {
    /// Runs a script with these keys and arguments, and answers what it returns.
    fn run(
        &self,
        script: &'static Script,
        keys: &[Vec<u8>],
        args: &[Vec<u8>],
    ) -> impl Future<Output = Result<Value, Away>> + Send;
}

/// A script in Lua.
#[derive(Debug)]
pub struct Script {
    /// A short name, for metrics.
    pub name: &'static str,
    /// The text.
    pub source: &'static str,
}

/// The store is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Away {
    /// The script did not run and will not.
    #[error("the script was not sent")]
    NotSent,
    /// The script may have run, or may run later.
    #[error("whether the script ran is unknown")]
    Unknown,
}

/// Writes what an owner counted.
pub(super) static FLUSH: Script = Script {
    name: "usage_flush",
    source: include_str!("flush.lua"),
};

/// Takes over the numbers of an owner.
pub(super) static FOLD: Script = Script {
    name: "usage_fold",
    source: include_str!("fold.lua"),
};

/// Lists owners.
pub(super) static ROSTER: Script = Script {
    name: "usage_roster",
    source: include_str!("roster.lua"),
};

/// Reads counts.
pub(super) static READ: Script = Script {
    name: "usage_read",
    source: include_str!("read.lua"),
};

/// What scripts take for the time: the server's.
pub(super) const SERVER_CLOCK: &str = "";
