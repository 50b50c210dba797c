//! How scripts are run.

use std::sync::LazyLock;

use ::redis::Value;

use crate::redis::link::{self, Link, Script, Urgency};

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

/// All scripts.
pub(in crate::redis) fn all() -> Vec<&'static Script> {
    vec![&FLUSH, &FOLD, &ROSTER, &READ]
}

impl Scripts for Link {
    async fn run(&self, script: &'static Script, keys: &[Vec<u8>], args: &[Vec<u8>]) -> Result<Value, Away> {
        let call = script.on(keys).arg(args);
        Self::run(self, &call, Urgency::Background)
            .await
            .map_err(|away| match away {
                link::Away::NotRun(_) => Away::NotSent,
                link::Away::Unknown(_) => Away::Unknown,
                link::Away::Refused { code, detail } => {
                    tracing::error!(code, detail, "a script of the ledger failed");
                    Away::Unknown
                }
            })
    }
}

/// Writes what an owner counted.
pub(super) static FLUSH: LazyLock<Script> =
    LazyLock::new(|| Script::new("usage_flush", &[include_str!("flush.lua")]));

/// Takes over the numbers of an owner.
pub(super) static FOLD: LazyLock<Script> =
    LazyLock::new(|| Script::new("usage_fold", &[include_str!("fold.lua")]));

/// Lists owners.
pub(super) static ROSTER: LazyLock<Script> =
    LazyLock::new(|| Script::new("usage_roster", &[include_str!("roster.lua")]));

/// Reads counts.
pub(super) static READ: LazyLock<Script> =
    LazyLock::new(|| Script::new("usage_read", &[include_str!("read.lua")]));

/// What scripts take for the time: the server's.
pub(super) const SERVER_CLOCK: &str = "";
