//! Scripts and their calls.

use redis::{Cmd, ToRedisArgs};

/// A Lua script, usually in a `LazyLock`.
pub struct Script {
    name: &'static str,
    source: String,
    sha1: String,
}

/// A call of a script: its keys and arguments.
#[derive(Clone, Debug)]
pub struct Invocation {
    script: &'static Script,
    command: Cmd,
}

/// Room for the arguments of most calls, so that they are written without being moved.
const USUAL_ARGS: usize = 32;
const USUAL_BYTES: usize = 512;

impl Script {
    /// A script whose source is these parts in a row. Metrics show the name.
    pub fn new(name: &'static str, parts: &[&str]) -> Self {
        let source = parts.concat();
        Self {
            name,
            sha1: redis::Script::new(&source).get_hash().to_owned(),
            source,
        }
    }

    /// The name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The source.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Begins a call on these keys, which in a cluster must share a hash tag.
    pub fn on<K: AsRef<[u8]>>(&'static self, keys: &[K]) -> Invocation {
        let mut command = Cmd::with_capacity(USUAL_ARGS, USUAL_BYTES);
        command.arg("EVALSHA").arg(&self.sha1).arg(keys.len());
        for key in keys {
            command.arg(key.as_ref());
        }
        Invocation {
            script: self,
            command,
        }
    }

    /// The command that teaches a server the script.
    pub(super) fn load(&self) -> Cmd {
        let mut command = Cmd::new();
        command.arg("SCRIPT").arg("LOAD").arg(&self.source);
        command
    }
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Script")
            .field("name", &self.name)
            .field("sha1", &self.sha1)
            .finish_non_exhaustive()
    }
}

impl Invocation {
    /// Adds an argument, or several if the value is a list.
    #[must_use]
    pub fn arg(mut self, value: impl ToRedisArgs) -> Self {
        self.command.arg(value);
        self
    }

    /// Which script.
    pub fn script(&self) -> &'static Script {
        self.script
    }

    /// The call for a server that knows the script.
    pub(super) fn by_hash(&self) -> &Cmd {
        &self.command
    }

    /// The call for a server that does not.
    pub(super) fn by_source(&self) -> Cmd {
        let mut command = Cmd::new();
        command.arg("EVAL").arg(&self.script.source);
        for arg in self.command.args_iter().skip(2) {
            if let redis::Arg::Simple(bytes) = arg {
                command.arg(bytes);
            }
        }
        command
    }
}
