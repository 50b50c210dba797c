//! The real gateway as a process.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    ADMIN_KEY, CLIENT_KEY, Client, Fixture, Metrics, Stats, eventually,
    tools::{panic_with, print_log, signal},
};

/// How long a start may take on a busy machine.
const START: Duration = Duration::from_secs(15);

/// The file in the state folder with the key for digests of secrets.
const DIGEST_KEY: &str = "digest-key";

/// What the quickstart reads: the environment of whoever runs the tests is not the test's.
const QUICKSTART: [&str; 5] = [
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_BASE_URL",
    "LOCAL_BASE_URL",
];

/// A running gateway. Dropping it ends the process; when the test failed, its log is printed.
#[derive(Debug)]
pub struct Gateway {
    process: Child,
    log: Arc<Mutex<String>>,
    output: Arc<Mutex<String>>,
    address: SocketAddr,
    admin: SocketAddr,
    folder: Arc<TempDir>,
}

/// How to start a gateway.
#[derive(Debug)]
pub struct Launch {
    fixture: Option<Fixture>,
    arguments: Vec<OsString>,
    variables: Vec<(String, String)>,
    folder: Option<Arc<TempDir>>,
    resources: Option<PathBuf>,
    operator: Option<String>,
    installation: Option<Vec<u8>>,
    ready: bool,
}

/// What `roundhouse-gateway validate` said.
#[derive(Debug)]
pub struct Validation {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub output: String,
    /// Standard error.
    pub log: String,
}

/// Where the gateway's binary is: `ROUNDHOUSE_GATEWAY_BIN`, or beside this test in the target folder.
pub fn binary() -> PathBuf {
    let path = env::var_os("ROUNDHOUSE_GATEWAY_BIN").map_or_else(
        || {
            let mut folder = env::current_exe().expect("a process knows its executable");
            folder.pop();
            if folder.ends_with("deps") {
                folder.pop();
            }
            folder.join("roundhouse-gateway")
        },
        PathBuf::from,
    );
    assert!(
        path.exists(),
        "{} is missing: build it first with `cargo build -p roundhouse-gateway`",
        path.display()
    );
    path
}

/// Runs `roundhouse-gateway validate` on files with these names and contents.
pub fn validate(files: &[(&str, &str)]) -> Validation {
    validate_with(files, &[])
}

/// The same, with environment variables.
pub fn validate_with(files: &[(&str, &str)], variables: &[(String, String)]) -> Validation {
    let folder = TempDir::new().expect("a temporary folder can be made");
    for (name, content) in files {
        fs::write(folder.path().join(name), content).expect("the folder is writable");
    }
    let done = Command::new(binary())
        .arg("validate")
        .arg(folder.path())
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .output()
        .expect("the gateway's binary starts");
    Validation {
        code: done.status.code().unwrap_or(-1),
        output: String::from_utf8_lossy(&done.stdout).into_owned(),
        log: String::from_utf8_lossy(&done.stderr).into_owned(),
    }
}

impl Validation {
    /// Standard output and standard error, for messages and loose searches.
    pub fn text(&self) -> String {
        format!("{}\n{}", self.output, self.log)
    }
}

impl Launch {
    /// Adds command line arguments.
    #[must_use]
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(OsString::from));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Uses the folder (resources and state) of an earlier gateway.
    #[must_use]
    pub fn in_folder_of(mut self, folder: Arc<TempDir>) -> Self {
        self.folder = Some(folder);
        self
    }

    /// Reads resources from `path` instead of a temporary folder.
    #[must_use]
    pub fn resources(mut self, path: PathBuf) -> Self {
        self.resources = Some(path);
        self
    }

    /// Follows the operator at this URL instead of files.
    #[must_use]
    pub fn operator(mut self, url: &str) -> Self {
        self.operator = Some(url.to_owned());
        self
    }

    /// Belongs to the installation of `other`: its key for digests of secrets is the same.
    #[must_use]
    pub fn of_installation(mut self, other: &Gateway) -> Self {
        let key = fs::read(other.state().join(DIGEST_KEY));
        self.installation = Some(key.expect("a gateway that runs has made its key"));
        self
    }

    /// Does not wait until the gateway says that it is ready.
    #[must_use]
    pub fn without_waiting(mut self) -> Self {
        self.ready = false;
        self
    }

    /// Starts it.
    pub async fn start(self) -> Gateway {
        let folder = self
            .folder
            .unwrap_or_else(|| Arc::new(TempDir::new().expect("a temporary folder can be made")));
        let resources = self.resources.unwrap_or_else(|| folder.path().join("resources"));
        fs::create_dir_all(&resources).expect("the folder is writable");
        if let Some(fixture) = &self.fixture {
            fixture.write(&resources);
        }
        if let Some(key) = &self.installation {
            let state = folder.path().join("state");
            fs::create_dir_all(&state).expect("the folder is writable");
            fs::write(state.join(DIGEST_KEY), key).expect("the folder is writable");
            for (path, mode) in [(state.join(DIGEST_KEY), 0o600), (state, 0o700)] {
                let mode = fs::Permissions::from_mode(mode);
                fs::set_permissions(path, mode).expect("the folder is our own");
            }
        }
        let mut command = Command::new(binary());
        command
            .args(["serve", "--log-format", "json", "--listen", "127.0.0.1:0"])
            .args(["--admin-listen", "127.0.0.1:0"]);
        match &self.operator {
            Some(url) => command.arg("--discovery").arg(url),
            None => command.arg("--resources").arg(&resources),
        };
        command
            .arg("--state-dir")
            .arg(folder.path().join("state"))
            .args(&self.arguments)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for name in QUICKSTART {
            command.env_remove(name);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        if !self.arguments.iter().any(|argument| argument == "--drain-min") {
            command.args(["--drain-min", "0s"]);
        }
        let mut process = command.spawn().expect("the gateway's binary starts");
        let log = collect(process.stderr.take());
        let output = collect(process.stdout.take());
        let placeholder = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut gateway = Gateway {
            process,
            log,
            output,
            address: placeholder,
            admin: placeholder,
            folder,
        };
        gateway.find_listeners().await;
        if self.ready {
            gateway.await_readiness().await;
        }
        gateway
    }
}

impl Gateway {
    /// Prepares a start with these resources.
    pub fn with(fixture: Fixture) -> Launch {
        Launch {
            fixture: Some(fixture),
            arguments: Vec::new(),
            variables: Vec::new(),
            folder: None,
            resources: None,
            operator: None,
            installation: None,
            ready: true,
        }
    }

    /// Prepares a start with whatever resources are in the folder already.
    pub fn bare() -> Launch {
        Launch {
            fixture: None,
            ..Self::with(Fixture::new())
        }
    }

    /// Starts with these resources and waits until it is ready.
    pub async fn start(fixture: Fixture) -> Self {
        Self::with(fixture).start().await
    }

    /// Where it serves clients.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A client with [`CLIENT_KEY`].
    pub fn client(&self) -> Client {
        self.client_with(CLIENT_KEY)
    }

    /// A client with `key`.
    pub fn client_with(&self, key: &str) -> Client {
        self.anonymous().bearer(key)
    }

    /// A client without a key.
    pub fn anonymous(&self) -> Client {
        Client::new(self.address)
    }

    /// A client of the admin listener.
    pub fn admin(&self) -> Client {
        Client::new(self.admin)
    }

    /// Scrapes `/metrics`.
    pub async fn metrics(&self) -> Metrics {
        Metrics::parse(&self.admin().get("/metrics").await.expect(200).text())
    }

    /// Scrapes `/metrics` until `enough` is true. Settling happens after a client has its last byte, so numbers may be
    /// a moment late.
    pub async fn metrics_when(&self, what: &str, enough: impl Fn(&Metrics) -> bool) -> Metrics {
        let mut last = self.metrics().await;
        let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
        while !enough(&last) {
            assert!(
                tokio::time::Instant::now() < deadline,
                "{what}: not within 5 s; the last scrape:\n{}",
                last.text()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
            last = self.metrics().await;
        }
        last
    }

    /// What everybody used, as an admin is told. Needs [`Fixture::admin`].
    pub async fn stats(&self) -> Stats {
        let admin = self.client_with(ADMIN_KEY);
        Stats::parse(&admin.get("/api/stats").await.expect(200).json())
    }

    /// What `/readyz` says. It has to be 200.
    pub async fn readiness(&self) -> String {
        self.admin().get("/readyz").await.expect(200).text()
    }

    /// The log so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Standard output so far.
    pub fn output(&self) -> String {
        self.output.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the log holds `text`.
    pub async fn logged(&self, text: &str) {
        eventually(
            &format!("a log line with {text:?}"),
            Duration::from_secs(10),
            || async { self.log().contains(text).then_some(()) },
        )
        .await;
    }

    /// The folder with the resource files.
    pub fn resources(&self) -> PathBuf {
        self.folder.path().join("resources")
    }

    /// The state folder.
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// The folder of resources and state, to start another gateway there.
    pub fn folder(&self) -> Arc<TempDir> {
        Arc::clone(&self.folder)
    }

    /// Replaces the resource file. The gateway sees it when it sees it: await an effect.
    pub fn apply(&self, fixture: &Fixture) {
        fixture.write(&self.resources());
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        signal(&self.process, Signal::TERM);
    }

    /// Ends the process with SIGKILL: it can say goodbye to nobody.
    pub fn kill(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Stops the process with SIGSTOP.
    pub fn pause(&self) {
        signal(&self.process, Signal::STOP);
    }

    /// Goes on after [`Gateway::pause`].
    pub fn resume(&self) {
        signal(&self.process, Signal::CONT);
    }

    /// Waits for the process to end.
    pub async fn exit(&mut self, within: Duration) -> ExitStatus {
        let process = &mut self.process;
        let deadline = tokio::time::Instant::now() + within;
        loop {
            if let Some(status) = process.try_wait().expect("a child can be waited for") {
                return status;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "the gateway did not end within {within:?}"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Resident memory in bytes.
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap_or_default();
        status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|kilobytes| kilobytes.parse::<u64>().ok())
            .map_or(0, |kilobytes| kilobytes * 1024)
    }

    async fn find_listeners(&mut self) {
        let deadline = tokio::time::Instant::now() + START;
        loop {
            let log = self.log();
            let found = |listener: &str| log.lines().find_map(|line| listening(line, listener));
            if let (Some(client), Some(admin)) = (found("client"), found("admin")) {
                (self.address, self.admin) = (client, admin);
                return;
            }
            if let Some(status) = self.process.try_wait().expect("a child can be waited for") {
                // The reader of the log may be a moment behind.
                tokio::time::sleep(Duration::from_millis(50)).await;
                panic_with(&format!("the gateway ended at its start with {status}"));
            }
            if tokio::time::Instant::now() > deadline {
                panic_with(&format!("no two log lines \"listening\" within {START:?}"));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn await_readiness(&self) {
        eventually("the gateway is ready", START, || async {
            let answer = self.admin().request("GET", "/readyz").attempt().await;
            answer.is_ok_and(|answer| answer.status == 200).then_some(())
        })
        .await;
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
        print_log("the gateway", &self.log());
    }
}

/// Reads a stream of the process to its end on a thread of its own, so that the process never blocks on it.
fn collect(stream: Option<impl std::io::Read + Send + 'static>) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let sink = Arc::clone(&text);
    if let Some(stream) = stream {
        thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                sink.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
    }
    text
}

/// The address in a log line that says that `listener` listens.
fn listening(line: &str, listener: &str) -> Option<SocketAddr> {
    let line: Value = serde_json::from_str(line).ok()?;
    let fields = line.get("fields").unwrap_or(&line);
    (fields["message"] == "listening" && fields["listener"] == listener)
        .then(|| fields["address"].as_str()?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::listening;

    #[test]
    fn the_address_is_found_in_the_log() {
        let line =
            r#"{"level":"INFO","fields":{"message":"listening","listener":"admin","address":"127.0.0.1:7"}}"#;
        assert_eq!(listening(line, "admin"), "127.0.0.1:7".parse().ok());
        assert_eq!(listening(line, "client"), None);
        assert_eq!(listening("plain text", "admin"), None);
    }
}
