//! What the operator asks of an API server to be found and trusted by gateways: who they are, and what it keeps.

mod authority;
mod tokens;

use cluster::ApiServer;

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

/// A token of an account, asked for with these arguments.
fn token(server: &ApiServer, namespace: &str, account: &str, arguments: &[&str]) -> String {
    let create = ["create", "token", account, "--namespace", namespace];
    server.kubectl(&[&create, arguments].concat()).trim().to_owned()
}
