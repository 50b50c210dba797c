//! The chart of this repository: what it renders, and releases of it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    ApiServer,
    programs::{self, Output},
};

/// The kinds that say who may do what.
const ACCOUNTS: [&str; 5] = [
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "ClusterRole",
    "ClusterRoleBinding",
];

/// The chart as one release, with its default values at first.
///
/// ```no_run
/// # let server = cluster::ApiServer::shared();
/// let chart = cluster::Chart::new("some", "some-namespace").with("clientKeys: {mint: true}");
/// chart.install_accounts(server);
/// let kubeconfig = server.kubeconfig_of("some-namespace", "some-operator");
/// let token = server.token("some-namespace", "some-gateway", &["roundhouse-discovery"]);
/// ```
#[derive(Clone, Debug)]
pub struct Chart {
    release: String,
    namespace: String,
    values: Vec<String>,
}

impl Chart {
    /// The chart as `release` in `namespace`. Two tests have different names for either.
    pub fn new(release: &str, namespace: &str) -> Self {
        Self {
            release: release.to_owned(),
            namespace: namespace.to_owned(),
            values: Vec::new(),
        }
    }

    /// With these values, as YAML, over those that it has.
    #[must_use]
    pub fn with(mut self, values: &str) -> Self {
        self.values.push(values.to_owned());
        self
    }

    /// The folder of the chart.
    pub fn folder() -> PathBuf {
        harness::repository().join("helm/roundhouse")
    }

    /// All objects of the release.
    pub fn render(&self) -> Vec<Value> {
        let rendered = self.try_render();
        assert!(rendered.success, "helm template: {}", rendered.error);
        objects(&rendered.output)
    }

    /// What `helm template` says; that it refuses the values is something to look at.
    pub fn try_render(&self) -> Output {
        self.helm(&["template"], &[], None)
    }

    /// Makes the `ServiceAccounts`, Roles and bindings of the release, and no more. Its namespaces are there already.
    pub fn install_accounts(&self, server: &ApiServer) {
        let mut objects = self.render();
        objects.retain(|object| ACCOUNTS.iter().any(|kind| object["kind"] == *kind));
        let applied = server.apply_objects(&objects, &["--force-conflicts"]);
        assert!(applied.success, "{}", applied.error);
    }

    /// The arguments of a part's container: of `gateway` or `operator`.
    pub fn arguments(&self, part: &str) -> Vec<String> {
        let pod = self.pod(part);
        let arguments = pod["spec"]["containers"][0]["args"].as_array();
        let arguments = arguments.expect("it has arguments");
        let text = |argument: &Value| argument.as_str().expect("an argument is text").to_owned();
        arguments.iter().map(text).collect()
    }

    /// The pod that the Deployment of a part makes, without a name.
    pub fn pod(&self, part: &str) -> Value {
        let name = format!("{}-{part}", self.release);
        let objects = self.render();
        let deployment = objects
            .iter()
            .find(|object| object["kind"] == "Deployment" && object["metadata"]["name"] == *name);
        let mut pod = deployment.expect("there is such a Deployment")["spec"]["template"].clone();
        pod["apiVersion"] = "v1".into();
        pod["kind"] = "Pod".into();
        pod["metadata"]["namespace"] = self.namespace.as_str().into();
        pod
    }

    /// Runs `helm install` with `arguments`.
    pub fn install(&self, server: &ApiServer, arguments: &[&str]) -> Output {
        self.helm(&["install"], arguments, Some(&server.kubeconfig()))
    }

    /// Runs `helm upgrade`.
    pub fn upgrade(&self, server: &ApiServer) -> Output {
        self.helm(&["upgrade"], &[], Some(&server.kubeconfig()))
    }

    /// Runs `helm uninstall`.
    pub fn uninstall(&self, server: &ApiServer) -> Output {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let mut command = helm(folder.path(), Some(&server.kubeconfig()));
        command.args(["uninstall", &self.release, "--namespace", &self.namespace]);
        Output::of(&mut command)
    }

    /// A command that takes the chart.
    fn helm(&self, command: &[&str], arguments: &[&str], kubeconfig: Option<&Path>) -> Output {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let mut helm = helm(folder.path(), kubeconfig);
        helm.args(command)
            .arg(&self.release)
            .arg(Self::folder())
            .args(["--namespace", &self.namespace])
            .args(arguments);
        for (number, values) in self.values.iter().enumerate() {
            let file = folder.path().join(format!("{number}.yaml"));
            fs::write(&file, values).expect("the folder is writable");
            helm.arg("--values").arg(file);
        }
        Output::of(&mut helm)
    }
}

/// Helm, without what is in the home of whoever runs the tests.
fn helm(home: &Path, kubeconfig: Option<&Path>) -> Command {
    let mut command = Command::new(programs::helm());
    for name in ["HOME", "HELM_CONFIG_HOME", "HELM_CACHE_HOME", "HELM_DATA_HOME"] {
        command.env(name, home);
    }
    command.env("KUBECONFIG", kubeconfig.unwrap_or(Path::new("/dev/null")));
    command
}

/// The objects of a stream of YAML documents, without empty ones.
fn objects(text: &str) -> Vec<Value> {
    let mut objects: Vec<Value> = serde_saphyr::from_multiple(text).expect("the manifests are YAML");
    objects.retain(|object| !object.is_null());
    objects
}
