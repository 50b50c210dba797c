//! How to start a server.

use std::{
    env,
    ffi::OsString,
    fmt::Write as _,
    fs::{self, OpenOptions},
    path::Path,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use super::{OPERATOR, Redis, USER};
use crate::{Certificates, free_port, tools::panic_with};

/// What gateways find in their password file at first.
const PASSWORD: &str = "redis-password-0123456789";

/// How to start a [`Redis`].
#[derive(Clone, Debug, Default)]
pub struct RedisLaunch {
    program: Option<OsString>,
    options: Vec<(String, String)>,
    mode: Option<&'static str>,
    /// The key prefix that the gateways' user is confined to.
    pub(super) protected: Option<String>,
    pub(super) tls: Option<Certificates>,
}

impl RedisLaunch {
    /// Starts this program instead of `redis-server`.
    #[must_use]
    pub fn program(mut self, program: &Path) -> Self {
        self.program = Some(program.into());
        self
    }

    /// Adds a line to the server's configuration. The last one of a name decides.
    #[must_use]
    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.options.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Keeps every write on disk, so that a restart finds it.
    #[must_use]
    pub fn durable(self) -> Self {
        self.option("appendonly", "yes").option("appendfsync", "always")
    }

    /// Follows `master`.
    #[must_use]
    pub fn replica_of(self, master: &Redis) -> Self {
        self.option("replicaof", &format!("127.0.0.1 {}", master.port()))
    }

    /// Asks for user and password: gateways get a user with the rights that they need on keys that begin with
    /// `prefix`, and a password file.
    #[must_use]
    pub fn protected(mut self, prefix: &str) -> Self {
        self.protected = Some(prefix.to_owned());
        self
    }

    /// Speaks TLS only. The certificate has to be for 127.0.0.1.
    #[must_use]
    pub fn tls(mut self, certificates: &Certificates) -> Self {
        self.tls = Some(certificates.clone());
        self
    }

    /// Is a sentinel.
    #[must_use]
    pub(super) fn sentinel(mut self) -> Self {
        self.mode = Some("--sentinel");
        self
    }

    /// Starts it and waits until it answers.
    pub async fn start(self) -> Redis {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let port = free_port();
        self.write_files(folder.path(), port);
        let process = self.spawn(folder.path());
        let mut redis = Redis {
            launch: self,
            process,
            port,
            folder,
        };
        redis.until_it_answers().await;
        redis
    }

    /// Starts the process in `folder`, where its files are.
    pub(super) fn spawn(&self, folder: &Path) -> Child {
        let program = self
            .program
            .clone()
            .or_else(|| env::var_os("ROUNDHOUSE_REDIS_SERVER"))
            .unwrap_or_else(|| "redis-server".into());
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder.join("log"))
            .expect("the folder is writable");
        let spawned = Command::new(&program)
            .arg(folder.join("redis.conf"))
            .args(self.mode)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("an open file can be opened twice"))
            .stderr(log)
            .spawn();
        spawned.unwrap_or_else(|error| {
            panic_with(&format!(
                "{} does not start: {error}: run hack/test-tools.sh first",
                program.display()
            ))
        })
    }

    fn write_files(&self, folder: &Path, port: u16) {
        let write = |name: &str, content: &str| {
            fs::write(folder.join(name), content).expect("the folder is writable");
        };
        let path = |name: &str| format!("\"{}\"", folder.join(name).display());
        let listen = if self.tls.is_some() { "tls-port" } else { "port" };
        let mut lines = vec![
            ("bind".to_owned(), "127.0.0.1".to_owned()),
            ("protected-mode".to_owned(), "no".to_owned()),
            ("port".to_owned(), "0".to_owned()),
            (listen.to_owned(), port.to_string()),
            ("dir".to_owned(), path("")),
        ];
        let mut add = |name: &str, value: &str| lines.push((name.to_owned(), value.to_owned()));
        if self.mode.is_none() {
            add("save", "\"\"");
            add("appendonly", "no");
            add("repl-diskless-sync-delay", "0");
        }
        if let Some(certificates) = &self.tls {
            write("ca.pem", certificates.authority());
            write("certificate.pem", certificates.certificate());
            write("key.pem", certificates.key());
            add("tls-ca-cert-file", &path("ca.pem"));
            add("tls-cert-file", &path("certificate.pem"));
            add("tls-key-file", &path("key.pem"));
            add("tls-auth-clients", "no");
        }
        if let Some(prefix) = &self.protected {
            let (operator, password) = OPERATOR;
            let rules = format!(
                "user default off\n\
                 user {operator} on >{password} ~* &* +@all\n\
                 user {USER} on >{PASSWORD} ~{prefix}:* resetchannels &{prefix}:* +@all -@dangerous\n"
            );
            write("users.acl", &rules);
            // With the line's end that an editor leaves.
            write("password", &format!("{PASSWORD}\n"));
            add("aclfile", &path("users.acl"));
        }
        let mut text = String::new();
        for (name, value) in lines.iter().chain(&self.options) {
            let _ = writeln!(text, "{name} {value}");
        }
        write("redis.conf", &text);
    }
}
