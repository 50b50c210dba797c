//! etcd and kube-apiserver.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::Command,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use harness::free_port;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::{NamedTempFile, TempDir};

use crate::{
    identities,
    process::{Process, stop},
    programs::{self, Output},
};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// The address range of Services. Nothing routes it.
const SERVICES: &str = "10.96.0.0/16";

/// A running API server on a port of 127.0.0.1, with TLS, RBAC and an etcd and a folder of its own. It has no
/// controllers: nothing makes the objects that they make, and nothing schedules pods.
#[derive(Debug)]
pub struct ApiServer {
    apiserver: Process,
    etcd_url: String,
    port: u16,
    etcd: Process,
    kubeconfig: String,
    folder: TempDir,
}

impl ApiServer {
    /// The one that all tests of a program share, with the definitions of this repository.
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<ApiServer> = LazyLock::new(ApiServer::start_defined);
        &SHARED
    }

    /// Starts one with the definitions of this repository, for a test that does more to it than others could bear.
    pub fn start_defined() -> Self {
        let server = Self::start();
        server.define();
        server
    }

    /// Starts one and waits until it is ready.
    pub fn start() -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let etcd_url = format!("http://127.0.0.1:{}", free_port());
        let etcd = start_etcd(&folder, &etcd_url);
        let port = free_port();
        let kubeconfig = identities::write(folder.path(), port);
        fs::write(folder.path().join("kubeconfig"), &kubeconfig).expect("the folder is writable");
        let mut server = Self {
            apiserver: start_apiserver(&folder, &etcd_url, port),
            etcd_url,
            port,
            etcd,
            kubeconfig,
            folder,
        };
        server.until_ready();
        server
    }

    /// Stops the API server with SIGSTOP: connections stay and nobody answers.
    pub fn pause(&self) {
        self.apiserver.signal(Signal::STOP);
    }

    /// Goes on after [`ApiServer::pause`].
    pub fn resume(&self) {
        self.apiserver.signal(Signal::CONT);
    }

    /// Ends the API server with SIGKILL. What it stored stays.
    pub fn kill(&mut self) {
        self.apiserver.kill();
    }

    /// Starts the API server again after [`ApiServer::kill`], and waits until it is ready.
    pub fn revive(&mut self) {
        self.apiserver = start_apiserver(&self.folder, &self.etcd_url, self.port);
        self.until_ready();
    }

    /// Applies objects, written as YAML, to a namespace.
    pub fn apply(&self, namespace: &str, yaml: &str) {
        let file = NamedTempFile::new().expect("a temporary file can be made");
        fs::write(file.path(), yaml).expect("the file is writable");
        let path = file.path().to_str().expect("the path is text");
        self.kubectl(&[
            "apply",
            "--server-side",
            "--force-conflicts",
            "--validate=strict",
            "--namespace",
            namespace,
            "-f",
            path,
        ]);
    }

    /// The administrator's kubeconfig, as a file.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// A client with all rights, for the runtime that it is made on.
    pub async fn client(&self) -> Client {
        connect(&self.kubeconfig).await
    }

    /// A token of a `ServiceAccount`, for one hour: for `audiences`, or for the API server when there are none.
    pub fn token(&self, namespace: &str, account: &str, audiences: &[&str]) -> String {
        let audiences: Vec<String> = audiences
            .iter()
            .map(|audience| format!("--audience={audience}"))
            .collect();
        let mut arguments = vec![
            "create",
            "token",
            account,
            "--namespace",
            namespace,
            "--duration=1h",
        ];
        arguments.extend(audiences.iter().map(String::as_str));
        self.kubectl(&arguments).trim_end().to_owned()
    }

    /// The same token with another end, in seconds since the Unix epoch: nobody else can make one that has ended
    /// already.
    pub fn token_ending(&self, token: &str, end: i64) -> String {
        identities::token_ending(self.folder.path(), token, end)
    }

    /// The kubeconfig of a `ServiceAccount`, as a file: for a process that is to have its rights and no others.
    pub fn kubeconfig_of(&self, namespace: &str, account: &str) -> PathBuf {
        let path = self.folder.path().join(format!("kubeconfig-{}", number()));
        let text = self.kubeconfig_text_of(namespace, account);
        fs::write(&path, text).expect("the folder is writable");
        path
    }

    /// The same, for a process that reaches the API server at another address.
    pub fn kubeconfig_through(&self, namespace: &str, account: &str, address: SocketAddr) -> PathBuf {
        let path = self.kubeconfig_of(namespace, account);
        let text = fs::read_to_string(&path).expect("the file was written");
        let mut config: Value = serde_json::from_str(&text).expect("the file is written as JSON");
        config["clusters"][0]["cluster"]["server"] = format!("https://{address}").into();
        fs::write(&path, config.to_string()).expect("the folder is writable");
        path
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// A client with the rights of a `ServiceAccount`, for the runtime that it is made on.
    pub async fn client_of(&self, namespace: &str, account: &str) -> Client {
        connect(&self.kubeconfig_text_of(namespace, account)).await
    }

    fn kubeconfig_text_of(&self, namespace: &str, account: &str) -> String {
        let token = self.token(namespace, account, &[]);
        let mut config: Value = serde_json::from_str(&self.kubeconfig).expect("the file is written as JSON");
        config["users"][0]["user"] = json!({"token": token});
        config.to_string()
    }

    /// Makes a namespace for one test.
    pub fn namespace(&self, name: &str) {
        self.kubectl(&["create", "namespace", name]);
    }

    /// Gives the Lease of the operators in a namespace to somebody who never gives it back: they stand by.
    pub fn hold_lease(&self, namespace: &str) {
        self.apply(
            namespace,
            "
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: roundhouse-operator}
spec: {holderIdentity: somebody, leaseDurationSeconds: 86400, leaseTransitions: 0}
",
        );
    }

    /// Runs kubectl and returns what it prints. Fails when kubectl does.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let done = self.try_kubectl(arguments);
        let what = arguments.join(" ");
        assert!(done.success, "kubectl {what}: {}{}", done.error, done.output);
        done.output
    }

    /// Runs kubectl; that it fails is something to look at.
    pub fn try_kubectl(&self, arguments: &[&str]) -> Output {
        Output::of(
            Command::new(programs::built("kubectl"))
                .arg("--kubeconfig")
                .arg(self.kubeconfig())
                .arg("--cache-dir")
                .arg(self.folder.path().join("kubectl"))
                .args(arguments)
                // Plug-ins and settings of whoever runs the tests are not the test's.
                .env("HOME", self.folder.path()),
        )
    }

    /// Applies manifests, each the text of an object, as `kubectl apply --server-side` with `arguments` does.
    pub fn apply_objects(&self, manifests: &[Value], arguments: &[&str]) -> Output {
        let file = self.folder.path().join(format!("manifests-{}.json", number()));
        let list = json!({"apiVersion": "v1", "kind": "List", "items": manifests});
        fs::write(&file, list.to_string()).expect("the folder is writable");
        let file = file.to_str().expect("the path is text");
        let apply = ["apply", "--server-side", "--validate=strict", "-f", file];
        self.try_kubectl(&[&apply, arguments].concat())
    }

    /// Asks kubectl again and again until it succeeds with an output that is `good`, and returns that.
    pub fn until(&self, arguments: &[&str], good: impl Fn(&str) -> bool) -> String {
        let started = Instant::now();
        loop {
            let done = self.try_kubectl(arguments);
            if done.success && good(&done.output) {
                return done.output;
            }
            let what = arguments.join(" ");
            assert!(
                started.elapsed() < PATIENCE,
                "kubectl {what}: not within {PATIENCE:?}: {done:?}"
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Applies the definitions of this repository and waits until they are served and described.
    fn define(&self) {
        let crds = harness::repository().join("deploy/crds");
        let crds = crds.to_str().expect("the path is text");
        self.kubectl(&["apply", "--server-side", "--validate=strict", "-f", crds]);
        self.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "-f", crds]);
        // What explains a kind and validates fields by name follows a moment later.
        for kind in ["provider", "credential", "modelroute", "clientkey"] {
            self.until(&["explain", kind], |output| output.contains("roundhouse.dev"));
        }
    }

    fn until_ready(&mut self) {
        let started = Instant::now();
        while !self.try_kubectl(&["get", "--raw", "/readyz"]).success {
            self.etcd.must_run();
            self.apiserver.must_run();
            if started.elapsed() > PATIENCE {
                let log = self.apiserver.log_end();
                stop(&format!(
                    "kube-apiserver is not ready within {PATIENCE:?}:\n{log}"
                ));
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}

async fn connect(kubeconfig: &str) -> Client {
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig).expect("the text is a kubeconfig");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .expect("the kubeconfig is complete");
    Client::try_from(config).expect("a client can be made")
}

/// Another one each time, for names of files.
fn number() -> u64 {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

fn start_etcd(folder: &TempDir, url: &str) -> Process {
    let peers = format!("http://127.0.0.1:{}", free_port());
    let data = folder.path().join("etcd");
    let arguments = [
        "--name=tests".to_owned(),
        format!("--data-dir={}", data.display()),
        // Nothing here outlives the machine.
        "--unsafe-no-fsync".to_owned(),
        format!("--listen-client-urls={url}"),
        format!("--advertise-client-urls={url}"),
        format!("--listen-peer-urls={peers}"),
        format!("--initial-advertise-peer-urls={peers}"),
        format!("--initial-cluster=tests={peers}"),
    ];
    Process::start("etcd", &programs::etcd(), arguments, folder.path())
}

fn start_apiserver(folder: &TempDir, etcd: &str, port: u16) -> Process {
    let file = |flag: &str, name: &str| format!("--{flag}={}", folder.path().join(name).display());
    let arguments = [
        format!("--etcd-servers={etcd}"),
        format!("--secure-port={port}"),
        "--bind-address=127.0.0.1".to_owned(),
        // It would look for a way out of the machine, which there may not be. Nobody is told of this address.
        "--advertise-address=127.0.0.1".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(),
        file("client-ca-file", "ca.crt"),
        file("tls-cert-file", "apiserver.crt"),
        file("tls-private-key-file", "apiserver.key"),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        file("service-account-key-file", "tokens.pub"),
        file("service-account-signing-key-file", "tokens.key"),
        format!("--service-cluster-ip-range={SERVICES}"),
        "--profiling=false".to_owned(),
    ];
    Process::start(
        "kube-apiserver",
        &programs::built("kube-apiserver"),
        arguments,
        folder.path(),
    )
}
