//! All that a server is told.

use std::{
    fs::{self, File},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::NamedTempFile;

use super::Redis;
use crate::eventually;

/// Listens to every command, from its start until it is read. For a server that asks nobody who they are.
#[derive(Debug)]
pub struct Monitor {
    process: Child,
    output: NamedTempFile,
}

impl Monitor {
    /// Starts to listen to `redis`.
    pub async fn of(redis: &Redis) -> Self {
        let output = NamedTempFile::new().expect("a temporary file can be made");
        let file: File = output.reopen().expect("an open file can be opened twice");
        let process = Command::new("redis-cli")
            .args(["-h", "127.0.0.1", "-p", &redis.port().to_string(), "monitor"])
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-cli starts: run hack/test-tools.sh first");
        let monitor = Self { process, output };
        monitor.until(redis, "it-listens").await;
        monitor
    }

    /// Everything so far: commands with their arguments, and those that scripts gave.
    pub async fn read(&self, redis: &Redis) -> String {
        self.until(redis, "it-was-read").await;
        self.text()
    }

    /// Waits until it has heard of what it is told now, and so of everything before.
    async fn until(&self, redis: &Redis, mark: &str) {
        eventually("the monitor hears", Duration::from_secs(10), || async {
            redis.cli(&["echo", mark]).await;
            self.text().contains(mark).then_some(())
        })
        .await;
    }

    fn text(&self) -> String {
        let bytes = fs::read(self.output.path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        // It may have ended with its server.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
