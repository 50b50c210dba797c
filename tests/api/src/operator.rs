//! The real operator as a process.

use std::{
    env,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    path::PathBuf,
    process::{Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use harness::{Client, Metrics, eventually};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    ApiServer, Chart, Output,
    process::{Process, stop},
};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Any port of the loopback.
const ANY_PORT: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));

/// The release that operators of tests are of.
pub(crate) const RELEASE: &str = "roundhouse";

/// A running operator with an account of its own. Dropping it ends the process; when the test failed, its log is printed.
#[derive(Debug)]
pub struct Operator {
    process: Process,
    admin: SocketAddr,
    grpc: SocketAddr,
    // Holds the log; goes last.
    _folder: TempDir,
}

/// How to start an operator.
#[derive(Debug)]
pub struct OperatorLaunch {
    namespace: String,
    kubeconfig: PathBuf,
    listen: SocketAddr,
    arguments: Vec<String>,
}

impl OperatorLaunch {
    /// Prepares a start in `namespace` as the chart does with its default values: with the account and the rights of its
    /// release `roundhouse`.
    pub fn new(server: &ApiServer, namespace: &str) -> Self {
        Self::of(server, namespace, &Chart::new(RELEASE, namespace))
    }

    /// Prepares a start as `chart`, whose release is `roundhouse`, does in `namespace`.
    pub fn of(server: &ApiServer, namespace: &str, chart: &Chart) -> Self {
        chart.install_accounts(server);
        let mut launch = Self::as_account(server, namespace, &format!("{RELEASE}-operator"));
        launch.arguments = chart.arguments("operator");
        launch
    }

    /// Prepares a start in `namespace` as a `ServiceAccount` of it that is there already, with no arguments of a chart.
    pub fn as_account(server: &ApiServer, namespace: &str, account: &str) -> Self {
        Self::with_kubeconfig(namespace, server.kubeconfig_of(namespace, account))
    }

    /// Prepares a start in `namespace` as whom the file `kubeconfig` says, with no arguments of a chart.
    pub fn with_kubeconfig(namespace: &str, kubeconfig: PathBuf) -> Self {
        Self {
            namespace: namespace.to_owned(),
            kubeconfig,
            listen: ANY_PORT,
            arguments: Vec::new(),
        }
    }

    /// Listens for gateways, people and tools at this address instead of any port of the loopback.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Adds command line arguments, each a flag or `--flag=value`, in the place of those that there are of it.
    #[must_use]
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        for argument in arguments {
            self.drop_flag(argument);
            self.arguments.push((*argument).to_owned());
        }
        self
    }

    /// Leaves a flag out.
    #[must_use]
    pub fn without(mut self, flag: &str) -> Self {
        self.drop_flag(flag);
        self
    }

    fn drop_flag(&mut self, argument: &str) {
        let flag = |argument: &str| argument.split('=').next().unwrap_or_default().to_owned();
        let dropped = flag(argument);
        self.arguments.retain(|known| flag(known) != dropped);
    }

    /// Starts it and waits until it listens.
    pub async fn start(self) -> Operator {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let namespace = format!("--namespace={}", self.namespace);
        let kubeconfig = format!("--kubeconfig={}", self.kubeconfig.display());
        let listen = format!("--listen={}", self.listen);
        let launch = self.arguments(&[
            "--log-format=json",
            &listen,
            "--admin-listen=127.0.0.1:0",
            &namespace,
            &kubeconfig,
        ]);
        let run = launch.arguments.iter().filter(|argument| *argument != "run");
        let arguments = ["run".to_owned()].into_iter().chain(run.cloned());
        let process = Process::start("roundhouse-operator", &binary(), arguments, folder.path());
        let mut operator = Operator {
            process,
            admin: ANY_PORT,
            grpc: ANY_PORT,
            _folder: folder,
        };
        (operator.admin, operator.grpc) = eventually("the operator listens", PATIENCE, || {
            operator.process.must_run();
            let log = operator.process.log();
            let listening = |name| log.lines().find_map(|line| listening(line, name));
            let found = listening("admin").zip(listening("gRPC"));
            async move { found }
        })
        .await;
        operator
    }

    /// Starts it and waits until it is ready.
    pub async fn ready(self) -> Operator {
        let operator = self.start().await;
        operator.until_ready().await;
        operator
    }
}

impl Operator {
    /// Runs `roundhouse-operator crds`.
    pub fn crds() -> Output {
        let done = Command::new(binary())
            .arg("crds")
            .stdin(Stdio::null())
            .output()
            .expect("the operator's binary starts");
        Output {
            success: done.status.success(),
            output: String::from_utf8_lossy(&done.stdout).into_owned(),
            error: String::from_utf8_lossy(&done.stderr).into_owned(),
        }
    }

    /// Where gateways, people and tools connect.
    pub fn grpc(&self) -> SocketAddr {
        self.grpc
    }

    /// A client of its admin listener.
    pub fn admin(&self) -> Client {
        Client::new(self.admin)
    }

    /// Waits until it is ready.
    pub async fn until_ready(&self) {
        eventually("the operator is ready", PATIENCE, || async {
            let answer = self.admin().request("GET", "/readyz").attempt().await;
            answer.is_ok_and(|answer| answer.status == 200).then_some(())
        })
        .await;
    }

    /// What `/readyz` says, with its status.
    pub async fn readiness(&self) -> (u16, String) {
        let answer = self.admin().get("/readyz").await;
        (answer.status, answer.text())
    }

    /// What is published, as people at the machine see it.
    pub async fn snapshot(&self) -> String {
        self.admin().get("/debug/snapshot").await.expect(200).text()
    }

    /// What is said of each object, a line for each condition.
    pub async fn conditions(&self) -> String {
        self.admin().get("/debug/conditions").await.expect(200).text()
    }

    /// Waits until it says this of an object, such as `Credential team/one ResolvedRefs=True`.
    pub async fn says(&self, condition: &str) {
        self.until_conditions(condition, |conditions| {
            conditions.lines().any(|line| line.starts_with(condition))
        })
        .await;
    }

    /// Waits until what is said of all objects is `good`.
    pub async fn until_conditions(&self, what: &str, good: impl Fn(&str) -> bool) {
        eventually(what, PATIENCE, || async {
            let conditions = self.conditions().await;
            good(&conditions).then_some(())
        })
        .await;
    }

    /// Scrapes `/metrics`.
    pub async fn metrics(&self) -> Metrics {
        Metrics::parse(&self.admin().get("/metrics").await.expect(200).text())
    }

    /// The log so far.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Waits until the log holds `text`.
    pub async fn logged(&self, text: &str) {
        eventually(&format!("a log line with {text:?}"), PATIENCE, || async {
            self.log().contains(text).then_some(())
        })
        .await;
    }

    /// Resident memory in bytes.
    pub fn memory(&self) -> u64 {
        self.process.memory()
    }

    /// Sends SIGTERM and waits for the end.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.process.signal(Signal::TERM);
        self.ended().await
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        let process = &mut self.process;
        let mut exited = None;
        let deadline = std::time::Instant::now() + PATIENCE;
        while exited.is_none() {
            assert!(
                std::time::Instant::now() < deadline,
                "the operator did not end within {PATIENCE:?}"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
            exited = process.exited();
        }
        exited.unwrap_or_default()
    }

    /// Whether the process has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.process.exited().is_some()
    }

    /// Ends the process with SIGKILL: it can hand nothing over.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Stops the process with SIGSTOP.
    pub fn pause(&self) {
        self.process.signal(Signal::STOP);
    }

    /// Goes on after [`Operator::pause`].
    pub fn resume(&self) {
        self.process.signal(Signal::CONT);
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = self.process.log_end();
            #[expect(clippy::print_stderr, reason = "this is what explains a failed test")]
            {
                eprintln!("--- the log of the operator ends with ---\n{log}\n---");
            }
        }
    }
}

/// Where the operator's binary is: `ROUNDHOUSE_OPERATOR_BIN`, or beside this test in the target folder.
fn binary() -> PathBuf {
    let path = env::var_os("ROUNDHOUSE_OPERATOR_BIN").map_or_else(
        || {
            let mut folder = env::current_exe().expect("a process knows its executable");
            folder.pop();
            if folder.ends_with("deps") {
                folder.pop();
            }
            folder.join("roundhouse-operator")
        },
        PathBuf::from,
    );
    if !path.exists() {
        stop(&format!(
            "{} is missing: build it first with `cargo build -p roundhouse-operator`",
            path.display()
        ));
    }
    path
}

/// The address in a log line that says that a listener listens.
fn listening(line: &str, listener: &str) -> Option<SocketAddr> {
    let line: Value = serde_json::from_str(line).ok()?;
    (line["message"] == "listening" && line["listener"] == *listener)
        .then(|| line["address"].as_str()?.parse().ok())?
}
