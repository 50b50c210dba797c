//! Servers that end with the tests.

use std::{
    ffi::OsStr,
    fmt::Debug,
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

/// Waits until whoever holds its standard input is gone, then ends the process and removes the folder.
const GUARD: &str = r#"
cat >/dev/null
kill -KILL "$1"
sleep 0.2
rm -rf -- "$2"
"#;

/// A running server. Dropping it ends the process; so does the end of the tests, however they end: nothing drops what
/// all tests of a program share.
#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    server: Child,
    guard: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program` with its log in `folder`, which goes when the process does.
    pub(crate) fn start<A: AsRef<OsStr> + Debug>(
        name: &'static str,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
        folder: &Path,
    ) -> Self {
        let log = folder.join(format!("{name}.log"));
        let output = fs::File::create(&log).expect("the folder is writable");
        let server = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("an open file can be opened twice"))
            .stderr(output)
            .spawn();
        let server = server.unwrap_or_else(|error| {
            let program = program.display();
            stop(&format!(
                "{program} does not start: {error}: run hack/test-tools.sh first"
            ))
        });
        let guard = Command::new("sh")
            .args(["-c", GUARD, "guard", &server.id().to_string()])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // What interrupts the tests does not interrupt the guard.
            .process_group(0)
            .spawn()
            .expect("sh starts");
        Self {
            name,
            server,
            guard,
            log,
        }
    }

    /// Fails when the process has ended, with the end of its log.
    pub(crate) fn must_run(&mut self) {
        let status = self.server.try_wait().expect("a child can be waited for");
        if let Some(status) = status {
            stop(&format!("{} ended with {status}:\n{}", self.name, self.log_end()));
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.server.id()).expect("a process id fits");
        let id = Pid::from_raw(id).expect("a process id is not zero");
        kill_process(id, signal).expect("the process is there to be signalled");
    }

    /// Ends it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        // It may have ended already.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }

    /// How it ended, if it has.
    pub(crate) fn exited(&mut self) -> Option<ExitStatus> {
        self.server.try_wait().expect("a child can be waited for")
    }

    /// Resident memory in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.server.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        kilobytes.expect("a process that runs has memory") * 1024
    }

    /// Its log so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// How its log ends.
    pub(crate) fn log_end(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The guard first: what it would end has a number that another process may have by then.
        for child in [&mut self.guard, &mut self.server] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Stops a test with a message.
#[expect(clippy::panic, reason = "a harness reports by panicking")]
pub(crate) fn stop(message: &str) -> ! {
    panic!("{message}")
}
