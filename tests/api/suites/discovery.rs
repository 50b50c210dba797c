//! What the operator asks of an API server to be found and trusted by gateways: who they are, and what it keeps.

mod authority;
mod tokens;

use cluster::ApiServer;
use kube::{
    Client, Config,
    config::{AuthInfo, KubeConfigOptions, Kubeconfig},
};
use tempfile::NamedTempFile;

/// An operator, with the rights that its authority needs and no others.
const RIGHTS: &str = r"
{apiVersion: v1, kind: ServiceAccount, metadata: {name: it-operator}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: it-operator}
rules:
- {apiGroups: [''], resources: [secrets, configmaps], verbs: [create]}
- {apiGroups: [''], resources: [secrets, configmaps], resourceNames: [it-discovery-ca], verbs: [get, update]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: it-operator}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: it-operator}
subjects: [{kind: ServiceAccount, name: it-operator}]
";

/// Applies manifests in a namespace.
fn apply(server: &ApiServer, namespace: &str, manifests: &str) {
    let file = NamedTempFile::new().expect("a temporary file can be made");
    std::fs::write(file.path(), manifests).expect("the file is writable");
    let file = file.path().to_str().expect("the path is text");
    server.kubectl(&["apply", "--namespace", namespace, "-f", file]);
}

/// A token of an account.
fn token(server: &ApiServer, namespace: &str, account: &str, arguments: &[&str]) -> String {
    let create = ["create", "token", account, "--namespace", namespace];
    server.kubectl(&[&create, arguments].concat()).trim().to_owned()
}

/// A client with the rights of an account and no others.
async fn client_of(server: &ApiServer, namespace: &str, account: &str) -> Client {
    let mut kubeconfig = Kubeconfig::read_from(server.kubeconfig()).expect("the file is a kubeconfig");
    let token = token(server, namespace, account, &[]);
    for user in &mut kubeconfig.auth_infos {
        user.auth_info = Some(AuthInfo {
            token: Some(token.clone().into()),
            ..AuthInfo::default()
        });
    }
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .expect("the kubeconfig is complete");
    Client::try_from(config).expect("a client can be made")
}
