//! What it means when the store does not serve a call.

use std::{error::Error, fmt, io, sync::Arc};

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// A call was not served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Away {
    /// It has not run and will not: the link was down, or the server refused to look at it.
    #[error("the store is away: {0}")]
    NotRun(Why),
    /// It may have run, or may run yet.
    #[error("the store has not answered: {0}")]
    Unknown(Why),
    /// The store is in reach and answered with an error. A script has then done what precedes its error.
    #[error("the store refused: {code} {detail}")]
    Refused {
        /// The first word of the error (`ERR`, `WRONGTYPE`).
        code: String,
        /// The rest of it.
        detail: String,
    },
}

/// Why a store is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// It has not been reached yet.
    Starting,
    /// No connection: its name is unknown, it refuses, or it closed what was open.
    Unreachable,
    /// No answer in time: it hangs, is busy, does not understand TLS, or the network loses what is sent.
    Slow,
    /// TLS failed, or its certificate is not trusted.
    Untrusted,
    /// It does not accept the user and password, or the password cannot be read.
    Unauthenticated,
    /// The user may not do what is needed.
    Forbidden,
    /// It is a replica.
    ReadOnly,
    /// It has no memory left and evicts nothing.
    OutOfMemory,
    /// It reads its data into memory.
    Loading,
    /// Nobody is the master at the moment, or the address of one server of a cluster was given as that of all.
    NoMaster,
    /// It refuses for another reason, such as too few replicas or a full disk.
    Rejected,
}

/// What an error says.
pub(super) enum Verdict {
    /// The store is away. `ran` is whether the call may have run. Unless it is certain, it takes several.
    Away { why: Why, ran: bool, certain: bool },
    /// The call was wrong, not the store.
    Refused { code: String, detail: String },
}

/// How a call on the wire failed.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// It was not answered within its deadline.
    Late,
    /// It was answered with an error, or the connection broke.
    Redis(RedisError),
    /// A file that is needed to connect cannot be read.
    Unreadable { why: Why, cause: String },
}

impl Away {
    /// Whether the call has had no effect and will have none.
    pub const fn has_not_run(&self) -> bool {
        matches!(self, Self::NotRun(_))
    }
}

impl Why {
    /// All reasons.
    pub const ALL: [Self; 11] = [
        Self::Starting,
        Self::Unreachable,
        Self::Slow,
        Self::Untrusted,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::ReadOnly,
        Self::OutOfMemory,
        Self::Loading,
        Self::NoMaster,
        Self::Rejected,
    ];

    /// The name for metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Unreachable => "unreachable",
            Self::Slow => "slow",
            Self::Untrusted => "untrusted",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::ReadOnly => "read_only",
            Self::OutOfMemory => "out_of_memory",
            Self::Loading => "loading",
            Self::NoMaster => "no_master",
            Self::Rejected => "rejected",
        }
    }

    /// Whether the connection is still the right one once the reason is gone.
    pub(super) const fn keeps_connection(self) -> bool {
        match self {
            Self::Slow | Self::OutOfMemory | Self::Loading | Self::Rejected => true,
            // A replica that was the master, and a master without a user, are asked for anew: so Sentinel
            // names the new master, and a changed password is read.
            Self::Starting
            | Self::Unreachable
            | Self::Untrusted
            | Self::Unauthenticated
            | Self::Forbidden
            | Self::ReadOnly
            | Self::NoMaster => false,
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Failure {
    /// What it says.
    pub(super) fn verdict(&self) -> Verdict {
        match self {
            Self::Late => Verdict::Away {
                why: Why::Slow,
                ran: true,
                certain: false,
            },
            Self::Unreadable { why, .. } => Verdict::Away {
                why: *why,
                ran: false,
                certain: true,
            },
            Self::Redis(error) => {
                if let Some(code) = error.code() {
                    return answered(code, error.detail().unwrap_or_default());
                }
                let why = broken(error);
                Verdict::Away {
                    why,
                    ran: true,
                    certain: why != Why::Slow,
                }
            }
        }
    }

    /// Why the store is away when this happened to a probe or while connecting: the store must then serve.
    pub(super) fn why(&self) -> Why {
        match self.verdict() {
            Verdict::Away { why, .. } => why,
            // Of calls, some may be forbidden and others not.
            Verdict::Refused { code, .. } if code == "NOPERM" => Why::Forbidden,
            Verdict::Refused { .. } => Why::Rejected,
        }
    }

    /// What happened, for the log. An answer is named by its code alone: an old server repeats the unknown
    /// command that it was sent, and that may be the one with the password.
    pub(super) fn cause(&self) -> String {
        match self {
            Self::Late => "no answer in time".to_owned(),
            Self::Unreadable { cause, .. } => cause.clone(),
            Self::Redis(error) => match (error.code(), io(error)) {
                (Some(code), _) => code.to_owned(),
                (None, Some(error)) => error.to_string(),
                (None, None) => error.category().to_owned(),
            },
        }
    }
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

impl From<tokio::time::error::Elapsed> for Failure {
    fn from(_: tokio::time::error::Elapsed) -> Self {
        Self::Late
    }
}

fn answered(code: &str, detail: &str) -> Verdict {
    let code = in_script(code, detail).unwrap_or(code);
    match of_code(code) {
        Some((why, certain)) => Verdict::Away {
            why,
            ran: false,
            certain,
        },
        None => Verdict::Refused {
            code: code.to_owned(),
            detail: detail.to_owned(),
        },
    }
}

/// The code of a command that failed in a script before Redis 7, which tells of it as
/// `ERR Error running script (…): @user_script:1: CODE …` or `…: -CODE …`.
fn in_script<'a>(code: &str, detail: &'a str) -> Option<&'a str> {
    if code != "ERR" || !detail.starts_with("Error running script") {
        return None;
    }
    detail
        .split(": ")
        .filter_map(|part| part.split(' ').next())
        .map(|word| word.strip_prefix('-').unwrap_or(word))
        .find(|word| word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_uppercase()))
}

/// What the codes mean that are about the server and not about the command, and whether that is certain.
fn of_code(code: &str) -> Option<(Why, bool)> {
    Some(match code {
        "NOAUTH" | "WRONGPASS" => (Why::Unauthenticated, true),
        "READONLY" => (Why::ReadOnly, true),
        "OOM" => (Why::OutOfMemory, true),
        "LOADING" => (Why::Loading, true),
        "BUSY" => (Why::Slow, false),
        "MASTERDOWN" | "CLUSTERDOWN" => (Why::NoMaster, true),
        // While slots move, some keys are nowhere for a moment.
        "TRYAGAIN" | "MOVED" | "ASK" => (Why::NoMaster, false),
        "MISCONF" | "NOREPLICAS" => (Why::Rejected, true),
        _ => return None,
    })
}

fn broken(error: &RedisError) -> Why {
    match error.kind() {
        ErrorKind::AuthenticationFailed => Why::Unauthenticated,
        ErrorKind::MasterNameNotFoundBySentinel
        | ErrorKind::ClusterConnectionNotFound
        | ErrorKind::Server(ServerErrorKind::ClusterDown) => Why::NoMaster,
        ErrorKind::Io => match io(error) {
            Some(error)
                if error
                    .get_ref()
                    .is_some_and(<dyn Error + Send + Sync>::is::<rustls::Error>) =>
            {
                Why::Untrusted
            }
            Some(_) if error.is_timeout() => Why::Slow,
            _ => Why::Unreachable,
        },
        // What cannot be parsed comes from no Redis.
        ErrorKind::Parse => Why::Unreachable,
        _ => Why::Rejected,
    }
}

/// The error of the socket, which the client library hands out behind an `Arc`.
fn io(error: &RedisError) -> Option<&io::Error> {
    let source = error.source()?;
    source.downcast_ref::<io::Error>().or_else(|| {
        source
            .downcast_ref::<Arc<dyn Error + Send + Sync>>()?
            .downcast_ref()
    })
}

#[cfg(test)]
mod tests;
